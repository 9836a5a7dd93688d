//! Workers that a program of the operator's makes: started once a call, JSON in, JSON out.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CellName, PoolName, WorkerId};
use domain::model::placements::NewWorker;

use ports::{AddOutcome, PortError, PortResult, ProviderRemoveOutcome, WorkerProvider};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::Context;
use crate::agent::open_files;
use crate::api::field::BadField;
use crate::api::json::{self, objects};
use crate::api::period::spoken;
use crate::api::worker::WorkerDocument;
use crate::config::PoolConfig;

/// The only version of the calls that there is.
const VERSION: u32 = 1;
/// The most that a program may answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How much of what it said on standard error is repeated: the end.
const COMPLAINT_BYTES_MAX: usize = 2 * 1024;
/// What a program that has ended wrote is there at once; who else has its output open is not waited for.
const REST_WITHIN: Duration = Duration::from_millis(100);

/// Asks the program of one pool.
pub(super) struct CommandProvider {
    cell: CellName,
    pool: PoolName,
    server: String,
    command: Vec<String>,
    call_within: Duration,
}

/// What `add` and `remove` are answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomesDocument {
    #[serde(deserialize_with = "objects")]
    outcomes: Vec<OutcomeDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeDocument {
    id: String,
    outcome: String,
    #[serde(default)]
    why: Option<String>,
}

/// What `list` is answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkersDocument {
    workers: Vec<String>,
}

impl CommandProvider {
    pub(super) fn new(pool: &PoolConfig, command: &[String], context: &Context) -> Self {
        Self {
            cell: context.cell.clone(),
            pool: pool.settings.template.name.clone(),
            server: pool.server.clone().unwrap_or_else(|| context.server.clone()),
            command: command.to_vec(),
            call_within: pool.settings.call_within,
        }
    }

    /// Asks, and reads the answer. Whatever goes wrong, what became of the workers is unknown.
    async fn ask<D: DeserializeOwned, T>(
        &self,
        call: &str,
        workers: Option<Vec<Value>>,
        read: impl FnOnce(D) -> Result<T, BadField>,
    ) -> PortResult<T> {
        let mut input = json!({
            "version": VERSION, "call": call, "cell": self.cell.as_str(), "pool": self.pool.as_str(),
            "server": self.server,
        });
        if let Some(workers) = workers {
            input["workers"] = workers.into();
        }
        let mut run = Run::default();
        let answer = match timeout(self.call_within, run.until_the_end(&self.command, input.to_string())).await {
            Ok(Ok(())) => json::read::<D>(&run.answer).map_err(|bad| bad.to_string()),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!("has not ended within {}", spoken(self.call_within))),
        };
        let answer = answer.and_then(|document| read(document).map_err(|bad| bad.to_string()));
        answer.map_err(|why| {
            let program = self.command.first().map_or("", String::as_str);
            let said = run.complaint();
            PortError::unavailable(format!("{program} of pool {}, asked to {call}: {why}{said}", self.pool))
        })
    }
}

#[async_trait]
impl WorkerProvider for CommandProvider {
    async fn add(&self, workers: Vec<NewWorker>) -> PortResult<Vec<AddOutcome>> {
        let asked = workers.iter().map(|new| {
            let boot_within_s = new.boot_within.as_millis().div_ceil(1_000);
            json!({
                "id": new.id.as_str(), "worker": WorkerDocument::of_spec(&new.spec),
                "boot_within_s": u64::try_from(boot_within_s).unwrap_or(u64::MAX),
            })
        });
        let ids: Vec<_> = workers.iter().map(|new| new.id.clone()).collect();
        self.ask("add", Some(asked.collect()), |answer| {
            let outcomes = in_order(answer, &ids, "coming")?.into_iter();
            Ok(outcomes.map(|failed| failed.map_or(AddOutcome::Coming, AddOutcome::Failed)).collect())
        })
        .await
    }

    async fn remove(&self, workers: Vec<WorkerId>) -> PortResult<Vec<ProviderRemoveOutcome>> {
        let asked = workers.iter().map(|id| json!({ "id": id.as_str() }));
        self.ask("remove", Some(asked.collect()), |answer| {
            let outcomes = in_order(answer, &workers, "gone")?.into_iter();
            Ok(outcomes
                .map(|failed| failed.map_or(ProviderRemoveOutcome::Gone, ProviderRemoveOutcome::Failed))
                .collect())
        })
        .await
    }

    async fn list(&self) -> PortResult<Vec<WorkerId>> {
        self.ask("list", None, |answer: WorkersDocument| {
            let mut workers = BTreeMap::new();
            for (index, text) in answer.workers.iter().enumerate() {
                let bad = |bad: BadField| bad.at(index).inside("workers");
                let worker = WorkerId::new(text).map_err(|name| bad(BadField::name("", text, &name)))?;
                if workers.insert(worker, ()).is_some() {
                    return Err(bad(BadField::of("", text, "is there already")));
                }
            }
            Ok(workers.into_keys().collect())
        })
        .await
    }
}

/// Why each of `ids` failed, if it did, in their order: each must have one outcome, `good` or `failed`.
fn in_order(answer: OutcomesDocument, ids: &[WorkerId], good: &str) -> Result<Vec<Option<String>>, BadField> {
    let mut failures: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (index, OutcomeDocument { id, outcome, why }) in answer.outcomes.into_iter().enumerate() {
        let bad = |bad: BadField| bad.at(index).inside("outcomes");
        if !ids.iter().any(|asked| asked.as_str() == id) {
            return Err(bad(BadField::of("id", &id, "was not asked about")));
        }
        let failed = match outcome.as_str() {
            "failed" => Some(why.unwrap_or_else(|| "the program does not say why".to_owned())),
            word if word == good => None,
            word => return Err(bad(BadField::unknown("outcome", word, &[good, "failed"]))),
        };
        if failures.contains_key(&id) {
            return Err(bad(BadField::of("id", &id, "is there already")));
        }
        failures.insert(id, failed);
    }
    let outcome = |id: &WorkerId| {
        let missing = || BadField::new("outcomes", format!("there is none for {:?}", id.as_str()));
        failures.remove(id.as_str()).ok_or_else(missing)
    };
    ids.iter().map(outcome).collect()
}

/// One run of a program.
#[derive(Default)]
struct Run {
    answer: Vec<u8>,
    said: Vec<u8>,
}

impl Run {
    /// Runs the program until it ends. If this is given up, or fails, all that it started in its group is killed.
    async fn until_the_end(&mut self, command: &[String], input: String) -> Result<(), String> {
        let (program, args) = command.split_first().ok_or("there is no program")?;
        let mut command = Command::new(program);
        command.args(args).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
        open_files::give_back(&child);
        let mut group = Group::of(&child);
        let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("has no pipes".to_owned());
        };
        let hand_in = async move {
            // Who answers without reading all of it has been told enough.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        tokio::pin!(hand_in);
        let (mut is_told, mut talks, mut complains) = (false, true, true);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.map_err(|error| format!("cannot be waited for: {error}"))?,
                () = &mut hand_in, if !is_told => is_told = true,
                more = hear(&mut stdout, &mut self.answer), if talks => talks = more,
                more = hear(&mut stderr, &mut self.said), if complains => complains = more,
            }
            self.check_size()?;
        };
        group.is_over();
        let rest_until = Instant::now() + REST_WITHIN;
        while talks && timeout_at(rest_until, hear(&mut stdout, &mut self.answer)).await.unwrap_or(false) {
            self.check_size()?;
        }
        while complains && timeout_at(rest_until, hear(&mut stderr, &mut self.said)).await.unwrap_or(false) {
            self.check_size()?;
        }
        if status.success() { Ok(()) } else { Err(format!("ended with {status}")) }
    }

    fn check_size(&mut self) -> Result<(), String> {
        let superfluous = self.said.len().saturating_sub(COMPLAINT_BYTES_MAX);
        self.said.drain(..superfluous);
        if self.answer.len() > ANSWER_BYTES_MAX {
            return Err(format!("answers more than {ANSWER_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// What it said on standard error, as the end of a sentence.
    fn complaint(&self) -> String {
        let said = String::from_utf8_lossy(&self.said);
        let said = said.trim();
        if said.is_empty() { String::new() } else { format!("; it says: {said}") }
    }
}

/// Reads what is there; whether more may come.
async fn hear(stream: &mut (impl AsyncRead + Unpin), heard: &mut Vec<u8>) -> bool {
    stream.read_buf(heard).await.is_ok_and(|count| count > 0)
}

/// The processes of a run, killed together unless it came to its end.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    /// Its leader was waited for: its number may be another's from now on.
    fn is_over(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
