//! How a step is run: its script where the cell lives, a cell founded when it is first touched, a new history begun where
//! writes may have been lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::id::{Boot, CellName, History, Mark, Revision, WorkerId};
use domain::model::Mandate;
use ports::signals::{Heights, Signal, Signals};
use ports::{PortError, PortResult, Source};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Receiver;
use tokio::task::AbortHandle;

use crate::backlog::Submit;
use crate::connection::{Connections, Role};
use crate::keys::Keys;
use crate::placements::{Reports, Take};
use crate::scripts::{SCRIPTS, Script, Scripts};
use crate::subscription::{self, Heard};
use crate::together::Together;

/// How long after a cell that is to be followed could not be read it is read again.
const READ_AGAIN: Duration = Duration::from_millis(200);
/// How often a step is tried again because the cell was founded, or began a new history, under it.
const ROUNDS: usize = 8;

/// What all ports share.
pub(crate) struct Store {
    connections: Arc<Connections>,
    pub(crate) scripts: &'static Scripts,
    signals: Signals,
    itself: Weak<Self>,
    /// The cells whose events are heard, each by a task.
    followed: Mutex<BTreeMap<CellName, AbortHandle>>,
    /// Cells that have answered this process.
    known: Mutex<BTreeSet<CellName>>,
    pub(crate) submits: Together<Submit>,
    pub(crate) takes: Together<Take>,
    pub(crate) reports: Together<Reports>,
}

/// What a script answered, still as bytes: rows are read where they lie.
pub(crate) struct Answer {
    script: &'static str,
    reply: Vec<u8>,
    from: usize,
}

impl Answer {
    /// What the script answered.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> PortResult<T> {
        let read = rmp_serde::from_slice(&self.reply[self.from..]);
        read.map_err(|error| PortError::corrupt(format!("the answer of {}", self.script), error))
    }
}

/// The next history of a cell that stands at a mark: (history, revision, next).
type Word = (u64, u64, u64);

/// How a reply begins that holds an answer: a map of one entry, `done`.
const DONE: &[u8] = b"\x81\xa4done";

/// What a script says instead of an answer.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum NotDone {
    /// The cell is not there yet.
    NoCell,
    /// Writes may be lost: history and revision as they are, the run of the server, and whether the store itself found it.
    Rewind((u64, u64, String, bool)),
}

/// By which word callers know a run of a server.
pub(crate) fn boot_of(run: &str) -> PortResult<Boot> {
    let word = run.get(..13).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    word.map(Boot::from_random).ok_or_else(|| PortError::corrupt("the run of the server", format!("{run:?}")))
}

#[derive(Serialize)]
struct Found {
    history: u64,
    /// Whether there was such a cell before, of which nothing is left: workers may still run what it handed them.
    settling: bool,
}

#[derive(Serialize)]
struct Rewind {
    rewinding: bool,
}

#[derive(Serialize)]
struct Nothing {}

/// Who plans, as scripts read it.
#[derive(Serialize)]
pub(crate) struct Fenced<'a> {
    planner: &'a str,
    term: u64,
    history: u64,
    revision: u64,
}

impl<'a> Fenced<'a> {
    pub(crate) fn by(mandate: &'a Mandate) -> Self {
        Self {
            planner: mandate.planner.as_str(),
            term: mandate.term.0,
            history: mandate.mark.history.get(),
            revision: mandate.mark.revision.0,
        }
    }
}

/// What a fenced script refused, or `none`.
pub(crate) fn admitted(refusal: &str) -> PortResult<()> {
    match refusal {
        "none" => Ok(()),
        "stale_term" => Err(PortError::StaleTerm),
        "rewound" => Err(PortError::Rewound),
        other => Err(PortError::corrupt("a refusal", other.to_owned())),
    }
}

/// A mark as scripts write it.
pub(crate) fn mark((history, revision): (u64, u64)) -> Mark {
    Mark { history: History::from_random(history), revision: Revision(revision) }
}

impl Store {
    pub(crate) fn new(connections: Arc<Connections>) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: Weak::clone(itself),
            connections,
            scripts: &SCRIPTS,
            signals: Signals::default(),
            followed: Mutex::default(),
            known: Mutex::default(),
            submits: Together::default(),
            takes: Together::default(),
            reports: Together::default(),
        })
    }

    /// Runs a step that is asked `asked`.
    pub(crate) async fn run(
        &self,
        role: Role,
        cell: &CellName,
        script: &Script,
        asked: &(impl Serialize + Sync),
    ) -> PortResult<Answer> {
        let mut word: Option<Word> = None;
        for _ in 0..ROUNDS {
            let reply = self.call(role, cell, script, asked, word).await?;
            if reply.starts_with(DONE) {
                self.know(cell);
                return Ok(Answer { script: script.name, reply, from: DONE.len() });
            }
            let not_done: NotDone = rmp_serde::from_slice(&reply)
                .map_err(|error| PortError::corrupt(format!("the answer of {}", script.name), error))?;
            match not_done {
                NotDone::NoCell => self.found(role, cell).await?,
                NotDone::Rewind((history, revision, run, by_store)) => {
                    let seen = mark((history, revision));
                    let next = seen.history.after(boot_of(&run)?, seen.revision);
                    word = Some((history, revision, next.get()));
                    if by_store {
                        tracing::warn!(%cell, revision, "another run of the server goes on: writes may be lost");
                        self.call(role, cell, &self.scripts.rewind, &Rewind { rewinding: true }, word).await?;
                    }
                }
            }
        }
        Err(PortError::unavailable(format!("cell {cell} changes under every try of {}", script.name)))
    }

    async fn call(
        &self,
        role: Role,
        cell: &CellName,
        script: &Script,
        asked: &(impl Serialize + Sync),
        word: Option<Word>,
    ) -> PortResult<Vec<u8>> {
        let asked = rmp_serde::to_vec_named(&(asked, word));
        let asked = asked.map_err(|error| PortError::corrupt(format!("what {} is asked", script.name), error))?;
        self.connections.run(role, cell, script, Keys::of(cell).names(), &asked).await
    }

    /// Makes the cell's row, of a random history, when the cell is first touched. One that this process has known settles
    /// first, as after any other loss: all of it is lost, and its workers do not know.
    async fn found(&self, role: Role, cell: &CellName) -> PortResult<()> {
        let random = getrandom::u64().map_err(|error| PortError::unavailable(error.to_string()))?;
        let settling = self.known().contains(cell);
        let found = Found { history: History::from_random(random).get(), settling };
        let reply = self.call(role, cell, &self.scripts.found, &found, None).await?;
        let is_made = Answer { script: self.scripts.found.name, reply, from: DONE.len() }.read()?;
        if settling && is_made {
            tracing::error!(%cell, "the cell is gone, with all requests: a new one begins once its workers have stopped what they run");
        }
        Ok(())
    }

    fn know(&self, cell: &CellName) {
        let mut known = self.known();
        if !known.contains(cell) {
            known.insert(cell.clone());
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<CellName>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signal of a cell, which this process follows from now on.
    pub(crate) fn signal(&self, cell: &CellName) -> Arc<Signal> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.entry(cell.clone()).or_insert_with(|| {
            let heard = subscription::follow(&self.connections, cell.clone(), Keys::events(cell));
            tokio::spawn(raise(heard, Weak::clone(&self.itself), cell.clone())).abort_handle()
        });
        self.signals.of(cell)
    }

    /// How far a cell is.
    pub(crate) async fn heights(&self, role: Role, cell: &CellName) -> PortResult<Heights> {
        let answer = self.run(role, cell, &self.scripts.heights, &Nothing {}).await?;
        Ok(heights_of(answer.read()?))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let followed = self.followed.get_mut().unwrap_or_else(PoisonError::into_inner);
        followed.values().for_each(AbortHandle::abort);
    }
}

/// Raises a cell's signal for every step that is heard of, as long as the store is there.
async fn raise(mut heard: Receiver<Heard>, store: Weak<Store>, cell: CellName) {
    while let Some(heard) = heard.recv().await {
        let Some(store) = store.upgrade() else { return };
        let signal = store.signals.of(&cell);
        match heard {
            Heard::Lost => signal.set_followed(false),
            // What was said before may have been missed.
            Heard::Subscribed => {
                let heights = loop {
                    match store.heights(Role::Planner, &cell).await {
                        Ok(heights) => break heights,
                        Err(_) => tokio::time::sleep(READ_AGAIN).await,
                    }
                };
                signal.reach_read(heights);
                signal.set_followed(true);
            }
            Heard::Message(message) => match heard_of(&message) {
                Ok((heights, workers)) => store.signals.raise(&cell, heights, workers),
                Err(error) => tracing::warn!(%cell, %error, "what a step says of itself cannot be decoded"),
            },
        }
    }
}

/// How far a step brought its cell, and which workers it gave orders.
fn heard_of(message: &[u8]) -> Result<(Heights, Vec<WorkerId>), Source> {
    let (heights, workers): ((u64, u64, u64, u64), Vec<&str>) = rmp_serde::from_slice(message)?;
    let workers: Result<_, _> = workers.into_iter().map(WorkerId::new).collect();
    Ok((heights_of(heights), workers?))
}

/// Heights as scripts write them: history, and the revisions of the last step, of the last that gave the planner work, and
/// of the last that gave a worker orders.
fn heights_of((history, revision, woken, ordered): (u64, u64, u64, u64)) -> Heights {
    Heights {
        history: Some(History::from_random(history)),
        revision: Revision(revision),
        woken: Revision(woken),
        ordered: Revision(ordered),
    }
}
