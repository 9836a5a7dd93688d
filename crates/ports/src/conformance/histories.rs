//! Clauses of a cell that lost writes: it goes on in a new history, and nothing runs twice.
//!
//! Any store can be told by a caller who has seen more than there is. What a worker then tells of the lost part is made
//! up here: the store cannot know better.

use domain::container::{End, Phase, PlacementId};
use domain::id::{Attempt, Mark, Revision};
use domain::model::containers::StopOutcome;
use domain::model::placements::{Commit, LossOutcome, Outcome, ReportOutcome};
use domain::model::workers::{RegisterOutcome, Registration};
use domain::model::{Event, Report};
use domain::worker::{CallAnswer, Caller};

use super::case::{Case, ask, cid, exited, held_one, is_rewound, kills, starts};
use super::{Reopening, Restorable};

const SETTLED: LossOutcome = LossOutcome::Done(0);

/// A caller of `worker` has seen more than there is; the planner takes the cell anew.
async fn lose_writes(case: &Case, worker: &str) {
    let caller = case.caller(worker);
    let ahead = Mark { revision: Revision(caller.mark.revision.0 + 1_000), ..caller.mark };
    assert_eq!(case.beat_as(vec![Caller { mark: ahead, ..caller }]).await, [CallAnswer::Register]);
    case.take_over().await;
}

/// The first placement of a container, in a part of this history that will be lost.
async fn lost_placement(case: &Case, id: &str) -> PlacementId {
    let history = case.look().await.upto.history;
    PlacementId { container: cid(id), attempt: Attempt(1), history }
}

pub async fn a_caller_who_saw_more_starts_a_new_history(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    let before = case.look().await.upto;
    lose_writes(case, "w1").await;
    let after = case.look().await.upto;
    assert!(after.history != before.history && after.revision > before.revision);
    for worker in ["w1", "w2"] {
        assert_eq!(case.beat(worker).await, CallAnswer::Register, "{worker}");
    }
    assert_eq!(case.phase("c1").await, Phase::Running, "what is there stays");
    let running = case.placement("c1").await;
    case.rejoin("w1", &[running]).await;
    assert_eq!(case.look().await.upto.history, after.history, "once is enough");
    assert_eq!(case.beat("w1").await, CallAnswer::Ok);
}

pub async fn calls_of_another_history_write_nothing(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.placed("c2", "w1").await;
    let mandate = case.mandate().await;
    lose_writes(case, "w1").await;
    let before = (case.row("c1").await, case.row("c2").await, case.revision().await);
    let placements = &case.ports.placements;
    assert!(is_rewound(&placements.commit(&mandate, case.now(), Commit::default()).await));
    assert!(is_rewound(&placements.lose(&mandate, case.now(), Vec::new(), 10).await));
    assert!(is_rewound(&case.ports.leadership.renew(&mandate).await));
    assert_eq!(case.take("w1", None).await.call, CallAnswer::Register);
    let running = case.placement("c1").await;
    assert_eq!(case.report_on("w1", &running, exited(0)).await.call, CallAnswer::Register);
    assert_eq!((case.row("c1").await, case.row("c2").await, case.revision().await), before);
}

pub async fn nothing_is_placed_before_all_have_said_what_they_hold(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.submit("c1", ask(1)).await;
    let lost = lost_placement(case, "c1").await;
    lose_writes(case, "w2").await;
    assert_eq!(case.settle(None).await, LossOutcome::Refused);
    case.rejoin("w2", &[]).await;
    assert_eq!(case.place("c1", "w2").await, Outcome::Settling);
    assert_eq!(case.settle(None).await, LossOutcome::Refused, "w1 has not said what it holds");
    case.rejoin("w1", std::slice::from_ref(&lost)).await;
    assert_eq!(case.settle(None).await, SETTLED);
    assert_eq!((case.phase("c1").await, case.placement("c1").await), (Phase::Starting, lost));
    case.submit("c2", ask(1)).await;
    assert_eq!(case.place("c2", "w2").await, Outcome::Done);
}

pub async fn a_settling_waits_for_nobody_who_is_lost(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    lose_writes(case, "w2").await;
    case.rejoin("w2", &[]).await;
    assert_eq!(case.lose_worker("w1").await, LossOutcome::Done(1));
    assert_eq!(case.place("c1", "w2").await, Outcome::Settling, "its time is not over");
    assert_eq!(case.settle(None).await, SETTLED);
    assert_eq!(case.place("c1", "w2").await, Outcome::Done);
    assert_eq!(case.row("c1").await.attempt, Attempt(2));
}

pub async fn a_settling_is_not_cut_short_where_something_is_known_to_be_lost(case: &Case) {
    case.join("w1", 4).await;
    let survived = case.look().await.upto;
    lose_writes(case, "w1").await;
    case.rejoin("w1", &[]).await;
    assert_eq!(case.settle(Some(survived)).await, LossOutcome::Refused, "that all of it survived is not so");
    assert_eq!(case.settle(None).await, SETTLED);
}

pub async fn an_attempt_of_the_lost_part_is_adopted(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    for id in ["c1", "c2"] {
        case.submit(id, ask(1)).await;
    }
    case.running("c3", "w1").await;
    let first = case.placement("c3").await;
    let (held, ended) = (lost_placement(case, "c1").await, lost_placement(case, "c2").await);
    let second = PlacementId { attempt: Attempt(2), ..first.clone() };
    lose_writes(case, "w1").await;
    let ends = vec![Report { placement: ended, event: exited(0), output: None }];
    let holds = [held.clone(), second.clone()].map(held_one).to_vec();
    let again = Registration { holds, ends, ..case.registration("w2") };
    assert_eq!(kills(&case.register(again).await), []);
    assert_eq!((case.placement("c1").await, case.phase("c1").await), (held, Phase::Starting));
    assert_eq!(case.phase("c2").await, Phase::Succeeded, "what ended does not run again");
    assert_eq!(case.placement("c3").await, second);
    assert_eq!(kills(&case.rejoin("w1", std::slice::from_ref(&first)).await), [first], "the older attempt gives way");
    assert_eq!(case.booked("w2").await.0, 2000);
    case.rejoin("w1", &[]).await;
    assert_eq!(case.settle(None).await, SETTLED);
    assert_eq!(case.report("w2", "c1", Event::Ended(End::NotStarted)).await, ReportOutcome::Accepted);
    assert_eq!(case.place("c1", "w1").await, Outcome::Done);
    assert_eq!(case.row("c1").await.attempt, Attempt(2), "the greatest that is known, and one");
}

pub async fn what_was_accepted_and_is_lost_is_counted_and_killed(case: &Case) {
    case.join("w1", 4).await;
    let unknown = lost_placement(case, "c1").await;
    lose_writes(case, "w1").await;
    let outcome = case.rejoin("w1", std::slice::from_ref(&unknown)).await;
    assert!(
        matches!(&outcome, RegisterOutcome::Registered { kills, unknown: 1, .. } if kills[..] == [unknown]),
        "{outcome:?}"
    );
}

pub async fn what_was_placed_in_the_history_before_counts_as_handed_over(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2"] {
        case.placed(id, "w1").await;
    }
    let held = case.placement("c2").await;
    lose_writes(case, "w1").await;
    assert_eq!(case.stop("c1").await, StopOutcome::Stopping, "it may have been taken in the lost part");
    case.drain("w1").await;
    assert_eq!(case.phase("c2").await, Phase::Placed, "nor does a drain give it back");
    case.rejoin("w1", &[held]).await;
    assert_eq!((case.phase("c1").await, case.phase("c2").await), (Phase::Stopped, Phase::Starting));
}

pub async fn a_stop_while_settling_waits_for_who_may_run_it(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2"] {
        case.submit(id, ask(1)).await;
    }
    let lost = lost_placement(case, "c1").await;
    lose_writes(case, "w1").await;
    for id in ["c1", "c2", "c1", "c2"] {
        assert_eq!(case.stop(id).await, StopOutcome::Stopping, "{id}");
    }
    assert_eq!(case.place("c2", "w1").await, Outcome::NotPending);
    case.rejoin("w1", &[lost]).await;
    assert_eq!(case.phase("c1").await, Phase::Stopping, "it is told to stop");
    assert_eq!(case.settle(None).await, LossOutcome::Done(1));
    assert_eq!(case.phase("c2").await, Phase::Stopped);
    assert_eq!(case.report("w1", "c1", Event::Ended(End::StopOrder)).await, ReportOutcome::Accepted);
    assert_eq!(case.phase("c1").await, Phase::Stopped);
}

pub async fn what_is_to_be_kept_waits_for_every_worker(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.submit_keep("c1").await;
    let lost = lost_placement(case, "c1").await;
    lose_writes(case, "w1").await;
    case.rejoin("w2", &[]).await;
    assert_eq!(case.lose_worker("w1").await, SETTLED);
    assert_eq!(case.settle(None).await, SETTLED);
    assert_eq!(case.place("c1", "w2").await, Outcome::Settling, "w1 may run it on, cut off");
    case.rejoin("w1", std::slice::from_ref(&lost)).await;
    assert_eq!((case.phase("c1").await, case.placement("c1").await), (Phase::Starting, lost));
}

pub async fn an_older_copy_is_noticed<H: Restorable>(store: &mut Reopening<H>) {
    let case = store.case();
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    let copy = store.copy().await;
    let case = store.case();
    let before = case.look().await.upto;
    case.running("c1", "w1").await;
    case.submit("c2", ask(1)).await;
    case.take("w1", None).await;
    let running = case.placement("c1").await;
    let caller = case.caller_who_saw("w1", case.look().await.upto);
    store.restore(copy).await;
    let case = store.case();
    assert_eq!((case.phase("c1").await, case.found("c2").await), (Phase::Pending, None));
    assert_eq!(case.beat_as(vec![caller]).await, [CallAnswer::Register]);
    assert_ne!(case.look().await.upto.history, before.history);
    case.take_over().await;
    assert_eq!(case.place("c1", "w1").await, Outcome::Settling);
    case.rejoin("w1", std::slice::from_ref(&running)).await;
    assert_eq!(case.settle(None).await, SETTLED);
    assert_eq!(starts(&case.take("w1", None).await), ["c1"]);
    assert_eq!(case.placement("c1").await, running, "nothing runs twice");
    assert_eq!(case.report("w1", "c1", exited(0)).await, ReportOutcome::Accepted);
}
