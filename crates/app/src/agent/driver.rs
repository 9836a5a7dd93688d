//! Performs what the core decides: HTTP, the data folder, the executors, and the clock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::sleep;

use super::client::Client;
use super::clock;
use super::core::{Action, Core, Event, Farewell, Identity, Notice, Past};
use super::data::Folder;
use super::executor::{Executor, Found, Happening};
use crate::api::calls::{Event as Occurrence, Report, StartOrder};

/// How many answers may wait to be handled.
const INBOX_MAX: usize = 1_024;
/// The longest sleep: tokio's clock stands still while the machine is suspended, the core's runs on.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Everything an agent has.
pub(super) struct Driver {
    core: Core,
    folder: Folder,
    client: Client,
    executors: Vec<Box<dyn Executor>>,
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
            for found in executor.recover()? {
                let placement = match &found {
                    Found::Held(placement) => placement,
                    Found::Ended(end) => &end.placement,
                };
                if past.settled.iter().any(|(_, end)| end.placement == *placement) {
                    executor.discard(placement); // an agent died between acknowledging and discarding
                    continue;
                }
                match found {
                    Found::Held(placement) => past.held.push(placement),
                    Found::Ended(end) => past.ends.push(end),
                }
            }
        }
        tracing::info!(held = past.held.len(), ended = past.ends.len(), "found what an earlier agent left");
        let (answers, inbox) = mpsc::channel(INBOX_MAX);
        Ok(Self { core: Core::new(identity, past), folder, client, executors, inbox, answers, happenings })
    }

    /// Where to send [`Event::Leave`].
    pub(super) fn events(&self) -> Sender<Event> {
        self.answers.clone()
    }

    /// Runs until the core, or a signal, ends it.
    pub(super) async fn run(mut self, signal: impl Future<Output = &'static str>) -> anyhow::Result<Outcome> {
        tokio::pin!(signal);
        let mut event = Event::Tick;
        loop {
            if let Some(farewell) = self.handle(event)? {
                return Ok(Outcome::Farewell(farewell));
            }
            let due_in =
                self.core.wake_at_ms().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(clock::boot_ms())));
            event = tokio::select! {
                biased;
                name = &mut signal => return Ok(Outcome::Signal(name)),
                Some(happening) = self.happenings.recv() => Event::Happened(happening),
                Some(event) = self.inbox.recv() => event,
                () = sleep(due_in.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)) => Event::Tick,
            };
        }
    }

    fn handle(&mut self, event: Event) -> anyhow::Result<Option<Farewell>> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.core.handle(clock::boot_ms(), event) {
                match action {
                    Action::Exit(farewell) => return Ok(Some(farewell)),
                    action => events.extend(self.perform(action)?),
                }
            }
        }
        Ok(None)
    }

    /// Performs one action; what that causes at once is answered. File operations here take far less than a
    /// millisecond, but for the incarnation's, without which nothing can go on.
    fn perform(&mut self, action: Action) -> anyhow::Result<Option<Event>> {
        match action {
            Action::RaiseIncarnation(incarnation) => self.folder.raise_incarnation(incarnation)?,
            Action::Send { ticket, call, timeout_ms } => {
                let (client, answers) = (self.client.clone(), self.answers.clone());
                tokio::spawn(async move {
                    let answer = client.call(&call, timeout_ms).await;
                    let _ = answers.send(Event::Answered(ticket, answer)).await;
                });
            }
            Action::ExtendLease { deadline_ms, keepalive_ms } => {
                if let Err(error) = self.folder.extend_lease(deadline_ms, keepalive_ms) {
                    tracing::error!(%error, "failed to extend the lease: containers will end at their last deadline");
                }
            }
            Action::Start(order) => return Ok(self.start(&order)),
            Action::Stop(placement, request) => {
                for executor in &mut self.executors {
                    executor.stop(&placement, &request);
                }
            }
            Action::Settle(end) => {
                for executor in &mut self.executors {
                    executor.discard(&end.placement);
                }
                self.folder.settle(end)?;
            }
            Action::Forget(placement) => self.folder.forget(&placement)?,
            Action::Say(notice) => say(&notice),
            Action::Exit(_) => {}
        }
        Ok(None)
    }

    fn start(&mut self, order: &StartOrder) -> Option<Event> {
        let wanted = |executor: &&mut Box<dyn Executor>| {
            order.runtime.as_ref().is_none_or(|runtime| runtime == executor.runtime())
        };
        let started = match self.executors.iter_mut().find(wanted) {
            Some(executor) => executor.start(order),
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
        Notice::Conflict(detail) => eprintln!("error: refused for now, and trying again: {detail}"),
        Notice::Rejected(detail) => eprintln!("error: the server did not understand a call: {detail}"),
        Notice::Unauthorized(detail) => {
            eprintln!(
                "error: the server does not accept the token: {detail}\nnext: set STOWPLAN_TOKEN, or --token-file"
            );
        }
        Notice::Unreachable(detail) => eprintln!("warning: cannot reach the server, and trying again: {detail}"),
    }
}
