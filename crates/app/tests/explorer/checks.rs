//! The promises, checked after each thing that happens.

use std::collections::{BTreeMap, BTreeSet};

use app::agent::core::{Answer, Call};
use app::api::calls::{Event as Occurrence, PlacementName, ReportOutcome, Verdict};
use domain::audit;
use domain::container::{Phase, State};
use domain::id::{Attempt, ContainerId, History, PlannerId, Term};
use domain::model::containers::StopOutcome;
use domain::model::{Change, Rows};
use domain::wait::LotKey;
use domain::worker::{Status, WorkerRow};

use crate::planner::all_workers;
use crate::words::name;
use crate::world::{World, read};

/// What was acknowledged, and so must stay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witness {
    /// Who plans, by the last takeover.
    pub(crate) mandate: Option<(PlannerId, Term, History)>,
    /// Containers whose end somebody was told, and that end.
    ended: BTreeMap<ContainerId, Phase>,
    /// Containers that were stopped before a worker was told of them.
    never_started: BTreeSet<ContainerId>,
    /// Containers whose stop was accepted: this attempt is their last.
    stopping: BTreeMap<ContainerId, Attempt>,
}

impl World {
    fn blame(&mut self, words: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation =
                Some(words()).filter(|words| self.without.promise.is_none_or(|promise| words.starts_with(promise)));
        }
    }

    /// S1, and of S3 that no room is given away while a process lives in it.
    pub(crate) fn check_processes(&mut self) {
        let mut seen = BTreeSet::new();
        for at in 0..self.machines.len() {
            let live: Vec<_> = self.machines[at].live().map(|(placement, _)| placement.clone()).collect();
            for placement in live {
                if !seen.insert(placement.container.clone()) {
                    self.blame(|| format!("S1: two processes of {} are alive", placement.container));
                }
                self.check_never_started(at, &placement);
                if !self.has_room_for(at, &placement) {
                    self.blame(|| format!("S3: {} is alive on machine {at}, and its room is free", name(&placement)));
                }
            }
        }
    }

    /// S2: what was stopped before a worker was told of it has no process.
    fn check_never_started(&mut self, at: usize, placement: &PlacementName) {
        let id = ContainerId::new(&placement.container).unwrap();
        if self.witness.never_started.contains(&id) {
            self.blame(|| format!("S2: {} is alive on machine {at}, and its container was stopped", name(placement)));
        }
    }

    fn has_room_for(&self, at: usize, placement: &PlacementName) -> bool {
        let worker = self.machines[at].worker();
        let is_booked = self.row(&placement.container).is_some_and(|row| {
            row.attempt.0 == placement.attempt && row.state.placement().is_some_and(|place| place.worker == worker)
        });
        // What cannot be placed on cannot be given away, nor what is another machine's under the same name.
        let is_given = |row: WorkerRow| {
            let has_key = row.key.as_ref().is_some_and(|key| key.as_str() == self.machines[at].key);
            has_key && row.status() == Status::Available
        };
        is_booked || !read(self.store.worker(&worker)).is_some_and(is_given)
    }

    /// S2: what was over does not begin again.
    pub(crate) fn check_start(&mut self, placement: &PlacementName) {
        let id = ContainerId::new(&placement.container).unwrap();
        if self.witness.ended.contains_key(&id) {
            self.blame(|| format!("S2: {} begins, and its container had ended", name(placement)));
        }
        if self.witness.stopping.get(&id).is_some_and(|last| last.0 < placement.attempt) {
            self.blame(|| format!("S2: {} begins, and its container was stopped", name(placement)));
        }
    }

    /// Forgets what was acknowledged in a part that is lost.
    pub(crate) fn forget_lost(&mut self) {
        let ended = std::mem::take(&mut self.witness.ended);
        self.witness.stopping.clear();
        self.witness.never_started.clear();
        for (id, phase) in ended {
            if self.phase(id.as_str()) == Some(phase) {
                self.witness.ended.insert(id, phase);
            }
        }
    }

    /// S2, S3 and S4 as rows tell.
    pub(crate) fn check_store(&mut self) {
        for (id, phase) in self.witness.ended.clone() {
            let now = self.phase(id.as_str());
            if now != Some(phase) {
                self.blame(|| format!("S2: {id} was {phase:?}, and is {now:?}"));
            }
        }
        for id in self.witness.stopping.keys().cloned().collect::<Vec<_>>() {
            let Some(row) = self.row(id.as_str()) else { continue };
            let is_stopping = matches!(row.state, State::Stopping(..)) || row.state.lot() == Some(&LotKey::Stop);
            if !is_stopping && !row.state.phase().is_ended() {
                self.blame(|| format!("S2: {id} was told to stop, and is not stopping"));
            }
            // A worker may still tell of a later attempt that a lost part knew.
            self.witness.stopping.insert(id, row.attempt);
        }
        for id in self.containers.clone() {
            if self.phase(id.as_str()).is_none() {
                self.blame(|| format!("S4: {id} was accepted, and is not there"));
            }
        }
        let found = read(audit::of_rows(&*self.store));
        if let Some(corruption) = found.into_iter().find(audit::Finding::is_corruption) {
            self.blame(|| format!("S3: {corruption}"));
        }
    }

    /// S5: a planner that was replaced writes nothing.
    pub(crate) fn check_mandate(&mut self, planner: usize, changes: &[Change]) {
        let mandate = self.planners[planner].mandate.as_ref();
        let carried = mandate.map(|mandate| (mandate.planner.clone(), mandate.term, mandate.mark.history));
        if !changes.is_empty() && carried != self.witness.mandate {
            self.blame(|| format!("S5: planner {planner} was replaced, and its call writes"));
        }
    }

    pub(crate) fn note_stop(&mut self, container: &ContainerId, outcome: StopOutcome) {
        match (outcome, self.row(container.as_str())) {
            (StopOutcome::Stopped, _) => {
                self.witness.never_started.insert(container.clone());
                self.witness.ended.insert(container.clone(), Phase::Stopped);
            }
            (StopOutcome::Ended(phase), _) => drop(self.witness.ended.insert(container.clone(), phase)),
            (StopOutcome::Stopping, Some(row)) => {
                self.witness.stopping.insert(container.clone(), row.attempt);
            }
            _ => {}
        }
        self.check_store();
    }

    /// An agent is told that the store knows of ends: of those by themselves it must know for good.
    pub(crate) fn check_acknowledged(&mut self, call: &Call, answer: &Answer) {
        // What a lost part acknowledged is lost with it.
        let present = read(self.store.cell()).history;
        let history = present.get();
        let told: Vec<_> = match (call, answer) {
            (Call::Register(call), Answer::Registered(answer)) if answer.history == history => {
                call.ends.iter().collect()
            }
            (Call::Report(call), Answer::Report(answer))
                if answer.verdict == Verdict::Ok && call.caller.history == history =>
            {
                let outcomes = call.reports.iter().zip(&answer.outcomes);
                outcomes.filter(|(_, outcome)| **outcome != ReportOutcome::Kill).map(|(report, _)| report).collect()
            }
            _ => return,
        };
        for report in told {
            let Some(row) = self.row(&report.placement.container) else { continue };
            // Of an attempt that only a lost part knew, too, unless the container was placed since.
            let from_lost_part = row.attempt.0 < report.placement.attempt && row.placed_in != Some(present);
            let last = row.placement_id().map(|placement| PlacementName::from(&placement));
            let is_last = from_lost_part || last.as_ref() == Some(&report.placement);
            if !is_last || !matches!(report.event, Occurrence::Exited { .. }) {
                continue;
            }
            let phase = row.state.phase();
            if phase.is_ended() {
                self.witness.ended.insert(row.id, phase);
            } else {
                self.blame(|| {
                    format!("S2: the end of {} was acknowledged, and it is {phase:?}", name(&report.placement))
                });
            }
        }
    }

    pub(crate) fn all_ended(&self) -> bool {
        self.containers.iter().all(|id| self.phase(id.as_str()).is_some_and(Phase::is_ended))
    }

    /// L1: whoever has not ended waits for a worker.
    pub(crate) fn check_all_ended(&mut self) {
        let is_open = all_workers(&self.store).iter().any(|row| row.status() == Status::Available);
        for id in self.containers.clone() {
            let Some(row) = self.row(id.as_str()) else { continue };
            let phase = row.state.phase();
            let waits_for_worker = phase == Phase::Pending && !is_open;
            // An operator has to say that it is gone.
            let is_kept = row.state.placement().is_some_and(|place| {
                row.if_silent == domain::request::IfSilent::Keep
                    && read(self.store.worker(&place.worker)).is_some_and(|row| row.status() == Status::Lost)
            });
            if !phase.is_ended() && !waits_for_worker && !is_kept {
                self.blame(|| format!("L1: {id} is {phase:?} for ever"));
            }
        }
    }
}
