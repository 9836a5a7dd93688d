//! What is asked: the part that the planner reads, the part that only the worker reads, and when it is due.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use crate::id::{ContainerId, GpuType, INTEGER_MAX, MachineName, PoolName, Revision, Runtime, Workspace};
use crate::resources::{Booking, GPU_DEVICES_MAX, GPU_WHOLE_MILLI};
use crate::time::Timestamp;

/// The most bytes that an ask may take, as [`Ask::bytes`] counts them.
pub const ASK_BYTES_MAX: usize = 2 * 1024;
/// The most bytes that a body may take, as [`Body::bytes`] counts them.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// The most labels that a request or a worker may have.
pub const LABELS_MAX: usize = 32;
/// The lowest priority.
pub const PRIORITY_MIN: i8 = -100;
/// The highest priority.
pub const PRIORITY_MAX: i8 = 100;
/// One step of priority is worth this much waiting.
pub const PRIORITY_STEP: Duration = Duration::from_mins(1);

/// Words attached to a worker, or demanded by a request.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// What the planner reads of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whose quota it counts against.
    pub workspace: Workspace,
    /// Thousandths of a cpu, at least 1.
    pub cpu_milli: u64,
    /// Mebibytes of memory, at least 1.
    pub memory_mib: u64,
    /// GPUs, if it wants any.
    pub gpu: Option<GpuAsk>,
    /// The only pool that may serve it.
    pub pool: Option<PoolName>,
    /// The only machine that may serve it.
    pub machine: Option<MachineName>,
    /// The runtime it needs; any if it names none.
    pub runtime: Option<Runtime>,
    /// Whether it may run where it can be interrupted.
    pub preemptible: bool,
    /// From [`PRIORITY_MIN`] to [`PRIORITY_MAX`], higher first.
    pub priority: i8,
    /// Requests with the same key prefer the same worker.
    pub affinity: Option<Arc<str>>,
    /// Labels that a worker must carry, each with this value.
    pub labels: Labels,
}

/// GPUs that a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuAsk {
    /// The kinds it accepts.
    pub types: GpuWish,
    /// How many devices, at least 1.
    pub count: u32,
    /// How much of each device, 1 to [`GPU_WHOLE_MILLI`].
    pub milli: u32,
}

/// The kinds of GPU that a request accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuWish {
    /// Any kind.
    Any,
    /// These, the most wished first; never empty.
    OneOf(Vec<GpuType>),
}

/// What only the worker reads of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// Its own environment.
    pub env: BTreeMap<String, String>,
    /// Its working folder; an empty folder of its own if absent.
    pub cwd: Option<String>,
    /// How long one attempt may run, from the start of its process.
    pub timeout: Option<Duration>,
    /// From TERM to KILL; the worker's default if absent.
    pub kill_after: Option<Duration>,
}

/// What a worker does with a container when it has not reached a server for the keepalive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfSilent {
    /// Ends it; it is placed elsewhere once the worker is given up.
    #[default]
    Stop,
    /// Lets it run on; it is placed elsewhere only when it is certain that it is gone.
    Keep,
}

/// A request as it is handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The caller's name for it; handing in the same id and content again changes nothing.
    pub id: ContainerId,
    /// What the planner reads.
    pub ask: Arc<Ask>,
    /// What the worker reads.
    pub body: Arc<Body>,
    /// What happens when its worker is cut off.
    pub if_silent: IfSilent,
    digest: Digest,
}

impl Submission {
    /// Puts a request together and takes the digest of its content.
    pub fn new(id: ContainerId, ask: Ask, body: Body, if_silent: IfSilent) -> Self {
        let digest = Digest::of(&canonical(&ask, &body, if_silent));
        Self { id, ask: Arc::new(ask), body: Arc::new(body), if_silent, digest }
    }

    /// Tells "already there" from "another request under the same id".
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Text as it is written where words are told apart by quotes: the same in every version, which `{:?}` does not promise.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_escaped = |char: char| char.is_ascii_control() || matches!(char, '"' | '\\');
        f.write_char('"')?;
        for part in self.0.split_inclusive(is_escaped) {
            let plain = part.trim_end_matches(is_escaped);
            write!(f, "{plain}{}", part[plain.len()..].escape_default())?;
        }
        f.write_char('"')
    }
}

/// The content of a request written out, each value quoted. A field that comes later is written only where it is set, so
/// that what was handed in before still has its digest.
fn canonical(ask: &Ask, body: &Body, if_silent: IfSilent) -> String {
    let mut text = format!("{} priority={}", ask.shape(), ask.priority);
    if let Some(affinity) = &ask.affinity {
        let _ = write!(text, " affinity={}", Quoted(affinity));
    }
    let command: Vec<_> = body.command.iter().map(|word| Quoted(word).to_string()).collect();
    let _ = write!(text, " command=[{}]", command.join(", "));
    for (name, value) in &body.env {
        let _ = write!(text, " env {}={}", Quoted(name), Quoted(value));
    }
    if let Some(cwd) = &body.cwd {
        let _ = write!(text, " cwd={}", Quoted(cwd));
    }
    for (name, period) in [("timeout", body.timeout), ("kill_after", body.kill_after)] {
        if let Some(period) = period {
            let _ = write!(text, " {name}={}", period.as_nanos());
        }
    }
    if if_silent == IfSilent::Keep {
        text.push_str(" if_silent=keep");
    }
    text
}

/// 128 bits that stand for a content: FNV-1a (Fowler, Noll, Vo), the same on every machine and in every version.
///
/// It guards a caller against a mistake of its own, not against an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// The digest of `text`.
    pub fn of(text: &str) -> Self {
        const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        Self(OFFSET).followed_by(text)
    }

    /// The digest of what this is the digest of, and `text` behind it.
    pub(crate) fn followed_by(self, text: &str) -> Self {
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        Self(text.bytes().fold(self.0, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
    }
}

/// Where a request stands in line: linear ageing, a step of priority being worth [`PRIORITY_STEP`] of waiting.
///
/// The smallest goes first. A request that comes back to the line keeps its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// Milliseconds: submitted - priority x step.
    pub rank: i64,
    /// The revision of the submit.
    pub revision: Revision,
    /// The position within that submit.
    pub position: u32,
}

impl OrderKey {
    /// The place in line of a request of `priority` submitted at `submitted`.
    pub fn new(submitted: Timestamp, priority: i8, revision: Revision, position: u32) -> Self {
        let step = i64::try_from(PRIORITY_STEP.as_millis()).unwrap_or(i64::MAX);
        let submitted = i64::try_from(submitted.0).unwrap_or(i64::MAX);
        Self { rank: submitted.saturating_sub(i64::from(priority) * step), revision, position }
    }

    /// The greatest key before this one; none before the least.
    pub fn just_before(self) -> Option<Self> {
        if let Some(position) = self.position.checked_sub(1) {
            return Some(Self { position, ..self });
        }
        if let Some(revision) = self.revision.0.checked_sub(1) {
            return Some(Self { revision: Revision(revision), position: u32::MAX, ..self });
        }
        let rank = self.rank.checked_sub(1)?;
        Some(Self { rank, revision: Revision(u64::MAX), position: u32::MAX })
    }
}

/// All that eligibility and room read of an ask, written out: requests alike have the same shape and share one lot.
///
/// Priority and affinity are no part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape(Arc<str>);

impl Shape {
    /// A shape read back from where [`Shape::as_str`] was kept.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The shape as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request that no store may accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadRequest {
    /// The field, as the formats name it.
    pub field: &'static str,
    /// What is wrong with its value, and what would be right.
    pub problem: String,
}

impl BadRequest {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

impl Ask {
    /// Whether a placement of it can own exactly this; memory may be more, by an overhead.
    pub fn is_booked_by(&self, booking: &Booking) -> bool {
        let (count, milli) = self.gpu.as_ref().map_or((0, 0), |gpu| (gpu.count as usize, gpu.milli));
        booking.cpu_milli == self.cpu_milli
            && booking.memory_mib >= self.memory_mib
            && (booking.gpu_devices.len(), booking.gpu_milli) == (count, milli)
            && booking.gpu_devices.is_sorted_by(|a, b| a < b)
    }

    /// Asks for cpu and memory, and demands nothing else.
    pub fn plain(workspace: Workspace, cpu_milli: u64, memory_mib: u64) -> Self {
        Self {
            workspace,
            cpu_milli,
            memory_mib,
            gpu: None,
            pool: None,
            machine: None,
            runtime: None,
            preemptible: false,
            priority: 0,
            affinity: None,
            labels: Labels::new(),
        }
    }

    /// The shape that it shares with requests alike.
    pub fn shape(&self) -> Shape {
        let mut text = format!("{} cpu={} mem={}", self.workspace, self.cpu_milli, self.memory_mib);
        if let Some(gpu) = &self.gpu {
            let _ = write!(text, " gpu={}x{}:", gpu.count, gpu.milli);
            match &gpu.types {
                GpuWish::Any => text.push_str("any"),
                GpuWish::OneOf(types) => {
                    let folded: Vec<_> = types.iter().map(|kind| kind.as_str().to_ascii_lowercase()).collect();
                    text.push_str(&folded.join("|"));
                }
            }
        }
        let mut word = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _ = write!(text, " {name}={value}");
            }
        };
        word("pool", self.pool.as_ref().map(PoolName::as_str));
        word("machine", self.machine.as_ref().map(MachineName::as_str));
        word("runtime", self.runtime.as_ref().map(Runtime::as_str));
        word("preemptible", self.preemptible.then_some("yes"));
        for (key, value) in &self.labels {
            let _ = write!(text, " {}={}", Quoted(key), Quoted(value));
        }
        Shape(text.into())
    }

    /// How many bytes its words take together, against [`ASK_BYTES_MAX`].
    pub fn bytes(&self) -> usize {
        self.shape().as_str().len() + self.affinity.as_ref().map_or(0, |key| key.len())
    }

    /// Refuses what no worker could ever be asked, naming the field.
    pub fn check(&self) -> Result<(), BadRequest> {
        let amount = |field, value: u64| match value {
            0 => Err(BadRequest::new(field, "0 is not an amount; ask for at least 1")),
            1..=INTEGER_MAX => Ok(()),
            _ => Err(BadRequest::new(field, format!("{value} is beyond 53 bits"))),
        };
        amount("cpu_milli", self.cpu_milli)?;
        amount("memory_mib", self.memory_mib)?;
        self.gpu.as_ref().map_or(Ok(()), GpuAsk::check)?;
        if !(PRIORITY_MIN..=PRIORITY_MAX).contains(&self.priority) {
            let problem = format!("{} is not from {PRIORITY_MIN} to {PRIORITY_MAX}", self.priority);
            return Err(BadRequest::new("priority", problem));
        }
        if self.labels.len() > LABELS_MAX {
            let problem = format!("{} labels, at most {LABELS_MAX} are allowed", self.labels.len());
            return Err(BadRequest::new("labels", problem));
        }
        if self.bytes() > ASK_BYTES_MAX {
            let problem = format!("{} bytes of names and labels, at most {ASK_BYTES_MAX}", self.bytes());
            return Err(BadRequest::new("request", problem));
        }
        Ok(())
    }
}

impl GpuAsk {
    fn check(&self) -> Result<(), BadRequest> {
        if !(1..=GPU_DEVICES_MAX).contains(&self.count) {
            let problem = format!("{} is not from 1 to {GPU_DEVICES_MAX}", self.count);
            return Err(BadRequest::new("gpu.count", problem));
        }
        if !(1..=GPU_WHOLE_MILLI).contains(&self.milli) {
            let problem = format!("{} is not from 1 to {GPU_WHOLE_MILLI}", self.milli);
            return Err(BadRequest::new("gpu.milli", problem));
        }
        if matches!(&self.types, GpuWish::OneOf(types) if types.is_empty()) {
            return Err(BadRequest::new("gpu.types", "an empty list accepts nothing; name a type, or \"any\""));
        }
        Ok(())
    }
}

impl Body {
    /// How many bytes its words take together, each with its end, against [`BODY_BYTES_MAX`]: words that are empty are
    /// bounded as well.
    pub fn bytes(&self) -> usize {
        let words = self.env.iter().flat_map(|(name, value)| [name, value]);
        words.chain(&self.command).chain(&self.cwd).map(|word| word.len() + 1).sum()
    }

    /// Refuses what no worker could ever start, naming the field.
    pub fn check(&self) -> Result<(), BadRequest> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err(BadRequest::new("command", "it is empty; name a program to run"));
        }
        if self.bytes() > BODY_BYTES_MAX {
            let problem = format!("{} bytes of command and environment, at most {BODY_BYTES_MAX}", self.bytes());
            return Err(BadRequest::new("command", problem));
        }
        let nul = |text: &str| text.contains('\0');
        if self.command.iter().any(|word| nul(word)) {
            return Err(BadRequest::new("command", "it holds a NUL byte, which no program can be given"));
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains('=') || nul(name)) {
            return Err(BadRequest::new("env", format!("{name:?} cannot name a variable")));
        }
        if let Some((name, _)) = self.env.iter().find(|(_, value)| nul(value)) {
            return Err(BadRequest::new("env", format!("the value of {name} holds a NUL byte")));
        }
        if self.cwd.as_deref().is_some_and(|cwd| cwd.is_empty() || nul(cwd)) {
            return Err(BadRequest::new("cwd", "it is empty or holds a NUL byte"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(change: impl FnOnce(&mut Ask, &mut Body)) -> Submission {
        let mut ask = Ask::plain(Workspace::new("lab").unwrap(), 1000, 512);
        let mut body = Body { command: vec!["true".to_owned()], ..Body::default() };
        change(&mut ask, &mut body);
        Submission::new(ContainerId::new("a").unwrap(), ask, body, IfSilent::Stop)
    }

    #[test]
    fn a_digest_is_the_same_in_every_version() {
        assert_eq!(submission(|_, _| {}).digest(), Digest(218_063_088_085_486_711_324_398_951_731_639_506_587));
    }

    #[test]
    fn what_a_digest_and_a_shape_quote_depends_on_no_version_of_unicode() {
        let text = "a \u{200b}\u{301}\u{378} \"b\\ \n";
        assert_eq!(Quoted(text).to_string(), "\"a \u{200b}\u{301}\u{378} \\\"b\\\\ \\n\"");
        let label = submission(|ask, _| drop(ask.labels.insert("k".into(), "\u{301}".into())));
        assert!(label.ask.shape().as_str().ends_with(" \"k\"=\"\u{301}\""), "{}", label.ask.shape());
    }

    #[test]
    fn a_body_of_words_that_are_empty_is_bounded() {
        let words =
            |count| Body { command: [vec!["true".to_owned()], vec![String::new(); count]].concat(), ..Body::default() };
        assert_eq!(words(BODY_BYTES_MAX - 5).check(), Ok(()));
        assert_eq!(words(BODY_BYTES_MAX).check().unwrap_err().field, "command");
    }

    #[test]
    fn every_part_of_a_content_is_in_its_digest() {
        let changes: [fn(&mut Ask, &mut Body); 9] = [
            |_, _| {},
            |ask, _| ask.cpu_milli += 1,
            |ask, _| ask.priority = 1,
            |ask, _| ask.affinity = Some("a".into()),
            |_, body| body.command.push("x".to_owned()),
            |_, body| body.command[0] = "true\", \"x".to_owned(),
            |_, body| drop(body.env.insert("A".to_owned(), "b".to_owned())),
            |_, body| body.cwd = Some("/".to_owned()),
            |_, body| body.kill_after = Some(Duration::from_secs(1)),
        ];
        let digests: std::collections::BTreeSet<u128> =
            changes.into_iter().map(|change| submission(change).digest().0).collect();
        assert_eq!(digests.len(), 9);
    }
}
