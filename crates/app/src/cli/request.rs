//! A request as a command line writes it.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use super::talk::Failure;
use crate::api::calls::IfSilent;
use crate::api::field::BadField;
use crate::api::quantity::Quantity;
use crate::api::request::{GpuDocument, GpuTypes, RequestDocument};

/// The characters of the random part of an id: those that cannot be taken for each other.
const ID_CHARACTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many of them make an id unlike any other.
const ID_RANDOM: u32 = 6;
/// How many of them make a batch of ids unlike any other: nobody looks whether it is taken.
const BATCH_RANDOM: u32 = 10;
/// How much of the command's name is kept in its id.
const ID_NAME_MAX: usize = 60;

/// What is asked for a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct RequestArgs {
    /// Its name; repeating it with the same request changes nothing [default: made of the command's name]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Cpu: 2, 0.5, 500m [default: 1]
    #[arg(long, value_name = "CPU")]
    cpu: Option<String>,
    /// Memory, with a unit: 512Mi, 1.5Gi [default: 512Mi]
    #[arg(long, value_name = "MEMORY")]
    memory: Option<String>,
    /// GPUs: T4:1, any:2, or several kinds in the order of preference, A10G,T4:1
    #[arg(long, value_name = "TYPE[:COUNT]")]
    gpu: Option<String>,
    /// How much of each GPU, in thousandths [default: 1000]
    #[arg(long, value_name = "N")]
    gpu_milli: Option<String>,
    /// The only pool that may serve it
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// The only machine that may serve it
    #[arg(long, value_name = "MACHINE")]
    machine: Option<String>,
    /// What is to run it
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,
    /// Whose quota it counts against [default: default]
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<String>,
    /// From -100 to 100, higher first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<String>,
    /// Requests with the same key prefer the same worker
    #[arg(long, value_name = "KEY")]
    affinity: Option<String>,
    /// A label that its worker must carry; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Its working folder on the worker, from the root there: tmp is /tmp [default: an empty one of its own]
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// How long one attempt may run, such as 10m [default: for ever]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// What happens to it when its worker reaches no server for the keepalive [default: stop]
    #[arg(long, value_name = "WHAT")]
    if_silent: Option<WhenSilent>,
    /// From TERM to KILL [default: 10s]
    #[arg(long, value_name = "TIME")]
    kill_after: Option<String>,
    /// It may run where it can be interrupted
    #[arg(long)]
    preemptible: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WhenSilent {
    /// It is ended, and runs elsewhere later.
    Stop,
    /// It runs on.
    Keep,
}

impl RequestArgs {
    /// Whether the caller chose the id.
    pub(crate) fn names_id(&self) -> bool {
        self.id.is_some()
    }

    /// The request to run `command`, which is checked as the server will check it.
    pub(crate) fn to_document(&self, command: &[String]) -> Result<RequestDocument, Failure> {
        let text = |word: &String| Quantity::text(word);
        let document = RequestDocument {
            id: Some(self.id.clone().map_or_else(|| make_id(command), Ok)?),
            workspace: self.workspace.clone(),
            cpu: self.cpu.as_ref().map(text),
            memory: self.memory.as_ref().map(text),
            gpu: self.to_gpu()?,
            pool: self.pool.clone(),
            machine: self.machine.clone(),
            runtime: self.runtime.clone(),
            preemptible: self.preemptible,
            priority: self.priority.as_ref().map(text),
            affinity: self.affinity.clone(),
            labels: pairs("--label", &self.label)?,
            command: command.to_vec(),
            env: pairs("--env", &self.env)?,
            cwd: self.cwd.clone(),
            timeout: self.timeout.clone(),
            if_silent: self.if_silent.map(|when| match when {
                WhenSilent::Stop => IfSilent::Stop,
                WhenSilent::Keep => IfSilent::Keep,
            }),
            kill_after: self.kill_after.clone(),
            ..RequestDocument::default()
        };
        document.to_submission().map_err(|bad| refuse_field(&bad))?;
        Ok(document)
    }

    fn to_gpu(&self) -> Result<Option<GpuDocument>, Failure> {
        let Some(gpu) = &self.gpu else {
            return match &self.gpu_milli {
                Some(milli) => {
                    Err(Failure::usage(format!("--gpu-milli {milli} is given without --gpu; add --gpu any:1")))
                }
                None => Ok(None),
            };
        };
        let (types, count) = gpu.rsplit_once(':').unwrap_or((gpu, "1"));
        let types = match types {
            "any" => GpuTypes::Any,
            types => GpuTypes::OneOf(types.split(',').map(str::to_owned).collect()),
        };
        let milli = self.gpu_milli.as_ref().map(Quantity::text);
        Ok(Some(GpuDocument { types, count: Some(Quantity::text(count)), milli }))
    }
}

fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Failure::usage(format!("{option}: {text:?} has no '='; write NAME=VALUE")));
        };
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage(format!("{option}: {name} is given twice")));
        }
    }
    Ok(pairs)
}

/// The field by the name of the option that sets it.
fn refuse_field(bad: &BadField) -> Failure {
    let option = match bad.path.split(['.', '[']).collect::<Vec<_>>()[..] {
        ["command", ..] => "command".to_owned(),
        ["gpu", "milli", ..] => "--gpu-milli".to_owned(),
        ["labels", ..] => "--label".to_owned(),
        [field, ..] => format!("--{}", field.trim_end_matches("_milli").replace('_', "-")),
        [] => "request".to_owned(),
    };
    Failure::usage(format!("{option}: {}", bad.problem))
}

/// An id that says what runs, and is unlike any other.
pub(crate) fn make_id(command: &[String]) -> Result<String, Failure> {
    Ok(id_of(command, &random(ID_RANDOM)?))
}

/// The name of a batch, unlike any other.
pub(crate) fn make_batch() -> Result<String, Failure> {
    random(BATCH_RANDOM)
}

/// The id of the request at `index` of a batch: the same whenever it is made.
pub(crate) fn id_in_batch(command: &[String], batch: &str, index: usize) -> String {
    id_of(command, &format!("{batch}-{index}"))
}

fn random(characters: u32) -> Result<String, Failure> {
    let random = getrandom::u64().map_err(|error| Failure::new(1, format!("failed to draw an id: {error}")))?;
    Ok(spelled(random, characters))
}

fn spelled(random: u64, characters: u32) -> String {
    let character = |place: u32| char::from(ID_CHARACTERS[((random >> (5 * place)) & 31) as usize]);
    (0..characters).map(character).collect()
}

fn id_of(command: &[String], rest: &str) -> String {
    let program = command.first().map_or("", |program| program.rsplit('/').next().unwrap_or_default());
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = program.chars().filter(allowed).take(ID_NAME_MAX).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    let name = if name.is_empty() { "container" } else { name };
    format!("{name}-{rest}")
}

#[cfg(test)]
mod tests {
    use domain::id::ContainerId;

    use super::*;

    #[test]
    fn ids_say_what_runs_and_are_always_names() {
        let id = |program: &str| id_of(&[program.to_owned()], &spelled(u64::MAX, ID_RANDOM));
        assert_eq!(id("/usr/bin/python3.11"), "python3.11-zzzzzz");
        assert_eq!(id("./run me.sh"), "runme.sh-zzzzzz");
        assert_eq!(id("-x"), "x-zzzzzz");
        assert_eq!(id("日本"), "container-zzzzzz");
        assert_eq!(id_of(&[], &spelled(33, ID_RANDOM)), "container-110000");
        for program in ["", "/", "..", "a/", &"x".repeat(300), "é-é"] {
            ContainerId::new(&id(program)).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_option() {
        let refused = |args: RequestArgs| args.to_document(&["true".to_owned()]).unwrap_err().error;
        let some = |text: &str| Some(text.to_owned());
        let plain = RequestArgs::default;
        let table = [
            (RequestArgs { cpu: some("1e3"), ..plain() }, "--cpu: \"1e3\" has an exponent; write all of its digits"),
            (RequestArgs { memory: some("10"), ..plain() }, "--memory: \"10\" has no unit; write 10Mi or 10Gi"),
            (RequestArgs { gpu: some("T4:0"), ..plain() }, "--gpu: 0 is not from 1 to 1024"),
            (RequestArgs { gpu_milli: some("5"), ..plain() }, "--gpu-milli 5 is given without --gpu; add --gpu any:1"),
            (
                RequestArgs { priority: some("200"), ..plain() },
                "--priority: \"200\" is not a whole number from -100 to 100",
            ),
            (RequestArgs { label: vec!["a".into()], ..plain() }, "--label: \"a\" has no '='; write NAME=VALUE"),
            (RequestArgs { env: vec!["A=1".into(), "A=2".into()], ..plain() }, "--env: A is given twice"),
        ];
        for (args, said) in table {
            assert_eq!(refused(args), said);
        }
        let refused = plain().to_document(&[String::new()]).unwrap_err().error;
        assert_eq!(refused, "command: it is empty; name a program to run");
    }

    #[test]
    fn kinds_of_gpu_are_listed_in_the_order_of_preference() {
        let args =
            RequestArgs { gpu: Some("A10G,T4:2".into()), gpu_milli: Some("500".into()), ..RequestArgs::default() };
        let gpu = args.to_document(&["true".to_owned()]).unwrap().gpu.unwrap();
        assert_eq!(gpu.types, GpuTypes::OneOf(vec!["A10G".into(), "T4".into()]));
        assert_eq!((gpu.count.unwrap().as_str(), gpu.milli.unwrap().as_str()), ("2", "500"));
    }
}
