//! The seed's old entry point: one request for one worker, placed between two cycles.

use domain::container::Phase;
use domain::id::WorkerId;
use domain::model::backlog::{InLine, SubmitOutcome};
use domain::model::placements::{Commit, Decision, DecisionKind, Outcome};
use domain::placement::place_on;
use domain::request::Submission;
use domain::wait::Rule;
use ports::{PortError, PortResult};

use super::{Cycle, look_again};
use crate::scheduler::ScheduleCall;

/// What became of a request for a worker by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheduled {
    /// It is placed there, now or before.
    Placed,
    /// The request was refused as it was handed in.
    Refused(SubmitOutcome),
    /// The worker may not serve it, or has no room: the first rule that it fails.
    NotEligible(Rule),
    /// There is no such worker.
    NoSuchWorker,
    /// The store refused the placement.
    NotPlaced(Outcome),
}

impl Cycle<'_> {
    /// Places one request on one worker by name, through the same commit as a batch.
    pub(super) async fn schedule(&mut self, call: ScheduleCall) -> PortResult<()> {
        let ScheduleCall { worker, request, answer } = call;
        let outcome = self.schedule_on(&worker, request).await;
        if let Err(PortError::StaleTerm | PortError::Rewound) = &outcome {
            return outcome.map(drop);
        }
        // Nobody waits for the answer any more: the request is placed or in line all the same.
        let _ = answer.send(outcome);
        Ok(())
    }

    async fn schedule_on(&mut self, worker: &WorkerId, request: Submission) -> PortResult<Scheduled> {
        let (cell, now) = (&self.settings.cell, (self.settings.clock)());
        let id = request.id.clone();
        let submitted = self.ports.backlog.submit(cell, now, vec![request]).await?.pop();
        match submitted {
            Some(SubmitOutcome::Accepted | SubmitOutcome::Already(Phase::Pending)) => {}
            Some(SubmitOutcome::Already(_)) => return Ok(Scheduled::Placed),
            refused => return Ok(Scheduled::Refused(refused.unwrap_or(SubmitOutcome::Conflict))),
        }
        look_again(self).await?;
        let Some(row) = self.ports.containers.get(cell, vec![id]).await?.pop().flatten().map(|found| found.row) else {
            return Ok(Scheduled::NotPlaced(Outcome::NotPending));
        };
        let fleet = self.view().fleet();
        let Some(worker) = fleet.worker(worker) else {
            return Ok(Scheduled::NoSuchWorker);
        };
        let booking = match place_on(worker, &row.ask, &self.settings.policy) {
            Ok(booking) => booking,
            Err(rule) => return Ok(Scheduled::NotEligible(rule)),
        };
        let kind = DecisionKind::Place { worker: worker.id.clone(), incarnation: worker.incarnation, booking };
        let decision = Decision { container: row.id.clone(), attempt: row.attempt, kind };
        // Nobody else may hold the fleet while the commit is booked in it: it would be copied.
        drop(fleet);
        let waiting = InLine::from(row);
        let limits = self.limits(&[&waiting]);
        let commit = Commit { decisions: vec![decision], limits, ..Commit::default() };
        let answer = self.finalize(&commit, &[&waiting]).await?;
        Ok(match answer.outcomes.into_iter().next() {
            Some(Outcome::Done | Outcome::AlreadyDone) => Scheduled::Placed,
            other => Scheduled::NotPlaced(other.unwrap_or(Outcome::NotPending)),
        })
    }
}
