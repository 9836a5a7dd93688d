//! Performs what the core decides: HTTP, the data folder, the executors, and the clock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::sleep;

use super::client::Client;
use super::clock;
use super::core::{Action, Answer, Call, Core, Event, Farewell, Identity, Notice, Past, Ticket};
use super::data::Folder;
use super::executor::{Executor, Found, Happening};
use crate::api::calls::{Event as Occurrence, Report, StartOrder};

/// How many answers may wait to be handled.
const INBOX_MAX: usize = 1_024;
/// How long the call may take that opens a worker again.
const OPEN_TIMEOUT_MS: u64 = 5_000;
/// The longest sleep: tokio's clock stands still while the machine is suspended, the core's runs on.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Everything an agent has.
pub(super) struct Driver {
    core: Core,
    folder: Folder,
    client: Client,
    executors: Vec<Box<dyn Executor>>,
    /// The last incarnation that is known to be written down.
    raised: u64,
    /// Whether an earlier agent of this folder asked to be drained and did not leave: the worker is to be opened again.
    returns: bool,
    inbox: Receiver<Event>,
    answers: Sender<Event>,
    happenings: Receiver<Happening>,
}

/// What ends a driver.
pub(super) enum Outcome {
    /// The core said so.
    Farewell(Farewell),
    /// A signal: the containers run on, for the next agent of this folder.
    Signal(&'static str),
}

impl Driver {
    /// Finds what an earlier agent left, and makes a core that knows of it.
    pub(super) fn new(
        identity: Identity,
        folder: Folder,
        client: Client,
        mut executors: Vec<Box<dyn Executor>>,
        happenings: Receiver<Happening>,
    ) -> anyhow::Result<Self> {
        let now_ms = clock::boot_ms();
        let settled = folder.settled().into_iter().map(|(age_ms, end)| (now_ms.saturating_sub(age_ms), end));
        let mut past = Past {
            incarnation: folder.incarnation()?,
            deadline_ms: folder.deadline_ms(),
            settled: settled.collect(),
            ..Past::default()
        };
        for executor in &mut executors {
            for found in executor.recover(&|placement| folder.has_settled(placement))? {
                match found {
                    Found::Held(placement) => past.held.push(placement),
                    Found::Ended(end) => past.ends.push(end),
                }
            }
        }
        tracing::info!(held = past.held.len(), ended = past.ends.len(), "found what an earlier agent left");
        let (answers, inbox) = mpsc::channel(INBOX_MAX);
        let (raised, core) = (past.incarnation, Core::new(identity, past));
        let returns = folder.is_leaving();
        Ok(Self { core, folder, client, executors, raised, returns, inbox, answers, happenings })
    }

    /// Registers as booting, and as ready after this long.
    pub(super) fn boot_for(&mut self, delay: Duration) {
        self.core.boot();
        let events = self.events();
        tokio::spawn(async move {
            sleep(delay).await;
            let _ = events.send(Event::Ready).await;
        });
    }

    /// Where to send [`Event::Leave`].
    pub(super) fn events(&self) -> Sender<Event> {
        self.answers.clone()
    }

    /// Runs until the core, or a signal, ends it.
    pub(super) async fn run(mut self, signal: impl Future<Output = &'static str>) -> Outcome {
        tokio::pin!(signal);
        let mut event = Event::Tick;
        loop {
            if let Some(farewell) = self.handle(event) {
                return Outcome::Farewell(farewell);
            }
            let due_in =
                self.core.wake_at_ms().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(clock::boot_ms())));
            event = tokio::select! {
                biased;
                name = &mut signal => return Outcome::Signal(name),
                Some(happening) = self.happenings.recv() => Event::Happened(happening),
                Some(event) = self.inbox.recv() => event,
                () = sleep(due_in.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)) => Event::Tick,
            };
        }
    }

    fn handle(&mut self, event: Event) -> Option<Farewell> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if event == Event::Leave {
                self.leave();
            }
            for action in self.core.handle(clock::boot_ms(), event) {
                match action {
                    Action::Exit(farewell) => {
                        if farewell == Farewell::Left {
                            // The worker is gone, and its drain with it.
                            let _ = self.folder.forget_leaving();
                        }
                        if matches!(farewell, Farewell::Left | Farewell::Removed)
                            && let Err(error) = self.folder.note_left()
                        {
                            tracing::warn!(%error, "a provider may start this worker again");
                        }
                        return Some(farewell);
                    }
                    action => events.extend(self.perform(action)),
                }
            }
        }
        None
    }

    /// Performs one action; what that causes at once is answered. The file operations here take far less than a
    /// millisecond, but for the incarnation's, without which nothing can go on. A full disk ends no agent.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::RaiseIncarnation(incarnation) => match self.folder.raise_incarnation(incarnation) {
                Ok(()) => self.raised = incarnation,
                Err(error) => tracing::error!(error = format!("{error:#}"), "cannot register"),
            },
            Action::Send { ticket, call, timeout_ms } => return self.send(ticket, call, timeout_ms),
            Action::ExtendLease { deadline_ms, keepalive_ms } => {
                if let Err(error) = self.folder.extend_lease(deadline_ms, keepalive_ms) {
                    tracing::error!(%error, "failed to extend the lease: containers will end at their last deadline");
                }
            }
            Action::Start(order) => return self.start(&order),
            Action::Stop(placement, request) => {
                for executor in &mut self.executors {
                    executor.stop(&placement, &request);
                }
            }
            Action::Settle(end) => self.settle(end),
            Action::Forget(placement) => {
                if let Err(error) = self.folder.forget(&placement) {
                    tracing::warn!(error = format!("{error:#}"), "an old end stays on disk");
                }
            }
            Action::Say(notice) => {
                say(&notice);
                if matches!(notice, Notice::Registered { .. }) {
                    self.open_again();
                }
            }
            Action::Exit(_) => {}
        }
        None
    }

    fn leave(&mut self) {
        self.returns = false;
        if let Err(error) = self.folder.note_leaving() {
            tracing::warn!(%error, "if this agent is killed before it has left, the worker stays drained");
        }
    }

    /// Ends the drain that an earlier agent asked for. If the call fails, the next registration tries again.
    fn open_again(&mut self) {
        if !self.returns {
            return;
        }
        let (client, leaving) = (self.client.clone(), self.folder.leaving_path());
        tokio::spawn(async move {
            if client.call(&Call::Open, OPEN_TIMEOUT_MS).await == Answer::Done {
                let _ = std::fs::remove_file(leaving);
            }
        });
    }

    /// No registration leaves whose incarnation is not on disk.
    fn send(&self, ticket: Ticket, call: Call, timeout_ms: u64) -> Option<Event> {
        if matches!(&call, Call::Register(call) if call.incarnation != self.raised) {
            let detail = "the incarnation cannot be written down in the data folder".to_owned();
            return Some(Event::Answered(ticket, Answer::Unreachable(detail)));
        }
        let (client, answers) = (self.client.clone(), self.answers.clone());
        tokio::spawn(async move {
            let answer = client.call(&call, timeout_ms).await;
            let _ = answers.send(Event::Answered(ticket, answer)).await;
        });
        None
    }

    /// Remembers first, so that a folder half discarded is known for what it is.
    fn settle(&mut self, end: Report) {
        let placement = end.placement.clone();
        if let Err(error) = self.folder.settle(end) {
            tracing::error!(error = format!("{error:#}"), "a restart of this agent will tell this end again");
            return;
        }
        for executor in &mut self.executors {
            executor.discard(&placement);
        }
    }

    fn start(&mut self, order: &StartOrder) -> Option<Event> {
        let wanted = |executor: &&mut Box<dyn Executor>| {
            order.runtime.as_ref().is_none_or(|runtime| runtime == executor.runtime())
        };
        let started = match self.executors.iter_mut().find(wanted) {
            Some(executor) => executor.start(order, self.core.deadline_ms()),
            None => Err(anyhow::anyhow!("this worker does not offer the runtime {:?}", order.runtime)),
        };
        let error = started.err()?;
        let occurrence = Occurrence::StartFailed { detail: format!("{error:#}") };
        let end = Report { placement: order.placement.clone(), event: occurrence, output: None };
        Some(Event::Happened(Happening::Ended(end)))
    }
}

fn say(notice: &Notice) {
    match notice {
        Notice::Registered { incarnation } => tracing::info!(incarnation, "registered"),
        Notice::Conflict(detail) => super::say(&format!("error: refused for now, and trying again: {detail}")),
        Notice::Rejected(detail) => super::say(&format!("error: the server did not understand a call: {detail}")),
        Notice::Unauthorized(detail) => {
            super::say(&format!(
                "error: the server does not accept the token: {detail}\nnext: set STOWPLAN_TOKEN, or --token-file"
            ));
        }
        Notice::Unreachable(detail) => {
            super::say(&format!("warning: cannot reach the server, and trying again: {detail}"));
        }
    }
}
