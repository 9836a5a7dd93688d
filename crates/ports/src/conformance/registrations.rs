//! Clauses of registration: who a worker is, what it holds, and what it may not run.

use domain::container::{End, Phase};
use domain::id::{CallNumber, Incarnation, WorkerKey};
use domain::model::placements::{Outcome, ReportOutcome};
use domain::model::workers::{RegisterOutcome, Registration};
use domain::model::{Event, Report};
use domain::worker::{CallAnswer, Status};

use super::case::{Case, ask, cpus, exited, held_one, kills, spec, starts, wid};

pub async fn register_shows_a_worker_to_look(case: &Case) {
    case.join("w1", 4).await;
    let row = case.worker("w1").await;
    assert_eq!((row.status(), row.incarnation, &row.spec), (Status::Available, Incarnation(1), &spec(cpus(4))));
    assert_eq!(row.used.containers, 0);
}

pub async fn register_repeated_changes_nothing(case: &Case) {
    case.join("w1", 4).await;
    let registration = case.registration("w1");
    case.register(registration.clone()).await;
    case.running("c1", "w1").await;
    let (row, number) = (case.worker("w1").await, case.number("w1").await);
    let again = case.register(registration).await;
    assert!(matches!(again, RegisterOutcome::Registered { kills, .. } if kills.is_empty()));
    assert_eq!((case.worker("w1").await, case.number("w1").await), (row, number));
    assert_eq!(case.phase("c1").await, Phase::Running);
}

pub async fn register_keeps_what_is_held(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.placed("c2", "w1").await;
    let held = [case.placement("c1").await, case.placement("c2").await];
    assert_eq!(kills(&case.rejoin("w1", &held).await), []);
    assert_eq!((case.phase("c1").await, case.phase("c2").await), (Phase::Running, Phase::Starting));
    assert_eq!(case.placement("c1").await, held[0]);
    assert_eq!(starts(&case.take("w1", None).await), ["c1", "c2"]);
}

pub async fn register_gives_back_what_is_not_held(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.running("c2", "w1").await;
    case.stop("c2").await;
    case.placed("c3", "w1").await;
    case.take("w1", None).await;
    case.placed("c4", "w1").await;
    case.rejoin("w1", &[]).await;
    assert_eq!(case.phase("c2").await, Phase::Stopped, "who asked for a stop does not see it run again");
    for (id, failures) in [("c1", 1), ("c3", 0), ("c4", 0)] {
        let row = case.row(id).await;
        assert_eq!((row.state.phase(), row.failures), (Phase::Pending, failures), "{id}");
    }
    assert_eq!(case.booked("w1").await, (0, 0));
}

pub async fn register_answers_kill_for_what_it_may_not_hold(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    case.running("c2", "w2").await;
    let (other, old) = (case.placement("c1").await, case.placement("c2").await);
    case.report("w2", "c2", Event::Ended(End::NotStarted)).await;
    assert_eq!(case.place("c2", "w2").await, Outcome::Done);
    let held = [other, old, case.placement("c2").await];
    assert_eq!(kills(&case.rejoin("w2", &held).await), held[..2]);
    assert_eq!((case.phase("c1").await, case.phase("c2").await), (Phase::Running, Phase::Starting));
}

pub async fn a_kill_makes_a_registration_incomplete(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    case.running("c2", "w2").await;
    case.submit("c3", ask(1)).await;
    let held = [case.placement("c1").await, case.placement("c2").await];
    assert_eq!(kills(&case.rejoin("w2", &held).await), held[..1]);
    assert_eq!(case.worker("w2").await.status(), Status::Pending);
    assert_eq!(case.place("c3", "w2").await, Outcome::WorkerClosed);
    let taken = case.take("w2", None).await;
    assert_eq!((taken.call, taken.orders.len()), (CallAnswer::Ok, 0));
    assert_eq!(kills(&case.rejoin("w2", &held[1..]).await), []);
    assert_eq!(starts(&case.take("w2", None).await), ["c2"]);
    assert_eq!(case.place("c3", "w2").await, Outcome::Done);
}

pub async fn a_registration_in_pages_ends_with_the_last(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2", "c3"] {
        case.running(id, "w1").await;
    }
    let page = case.registration("w1");
    let first = Registration { holds: vec![held_one(case.placement("c1").await)], more: true, ..page.clone() };
    let last = Registration { holds: vec![held_one(case.placement("c2").await)], ..page };
    case.register(first.clone()).await;
    assert_eq!((case.phase("c3").await, case.worker("w1").await.status()), (Phase::Running, Status::Pending));
    case.register(last).await;
    assert_eq!(case.worker("w1").await.status(), Status::Available);
    for (id, phase) in [("c1", Phase::Running), ("c2", Phase::Running), ("c3", Phase::Pending)] {
        assert_eq!(case.phase(id).await, phase, "{id}");
    }
    case.register(first).await;
    assert_eq!(case.worker("w1").await.status(), Status::Available, "a page that comes late changes nothing");
}

pub async fn a_kill_on_any_page_spoils_the_registration(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    let page = case.registration("w2");
    let first = Registration { holds: vec![held_one(case.placement("c1").await)], more: true, ..page.clone() };
    assert_eq!(kills(&case.register(first).await).len(), 1);
    assert_eq!(kills(&case.register(page).await), []);
    assert_eq!(case.worker("w2").await.status(), Status::Pending);
    case.rejoin("w2", &[]).await;
    assert_eq!(case.worker("w2").await.status(), Status::Available);
}

pub async fn ends_travel_in_a_registration(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let lost = Report { placement: case.placement("c1").await, event: exited(0), output: None };
    case.lose_worker("w1").await;
    assert_eq!(case.phase("c1").await, Phase::Pending);
    case.rejoin("w1", &[]).await;
    case.running("c2", "w1").await;
    let owned = Report { placement: case.placement("c2").await, event: exited(1), output: None };
    case.register(Registration { ends: vec![lost, owned], ..case.registration("w1") }).await;
    assert_eq!((case.phase("c1").await, case.phase("c2").await), (Phase::Succeeded, Phase::Failed));
}

pub async fn an_old_end_hides_nothing(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let old = Report { placement: case.placement("c1").await, event: exited(0), output: None };
    case.report("w1", "c1", Event::Ended(End::NotStarted)).await;
    case.place("c1", "w1").await;
    case.start("c1", "w1").await;
    case.register(Registration { ends: vec![old], ..case.registration("w1") }).await;
    assert_eq!((case.phase("c1").await, case.booked("w1").await), (Phase::Pending, (0, 0)));
}

pub async fn the_same_key_replaces_only_upwards(case: &Case) {
    case.join("w1", 4).await;
    let late = case.registration("w1");
    case.rejoin("w1", &[]).await;
    case.running("c1", "w1").await;
    assert_eq!(case.register(late).await, RegisterOutcome::Replaced);
    assert_eq!(case.phase("c1").await, Phase::Running);
}

fn stranger(incarnation: Incarnation) -> Registration {
    Registration::plain(wid("w1"), incarnation, WorkerKey::new("stranger").expect("a name"), spec(cpus(2)))
}

pub async fn another_key_is_refused_while_taken_work_is_owned(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.placed("c2", "w1").await;
    let answer = case.register(stranger(Incarnation(9))).await;
    assert_eq!(answer, RegisterOutcome::KeyTaken { taken: 1 });
    assert_eq!(case.report("w1", "c1", exited(0)).await, ReportOutcome::Accepted, "the worker feels nothing");
    let answer = case.register(stranger(Incarnation(9))).await;
    assert!(matches!(answer, RegisterOutcome::Registered { .. }), "c2 was never handed over: {answer:?}");
    assert_eq!((case.phase("c2").await, case.booked("w1").await), (Phase::Pending, (0, 0)));
    assert_eq!(case.worker("w1").await.spec.total, cpus(2));
}

pub async fn another_key_must_raise_the_incarnation(case: &Case) {
    case.join("w1", 4).await;
    case.beat("w1").await;
    let late = case.caller("w1");
    let above = case.worker("w1").await.incarnation;
    assert_eq!(case.register(stranger(above)).await, RegisterOutcome::Raise { above });
    let answer = case.register(stranger(above.next())).await;
    assert!(matches!(answer, RegisterOutcome::Registered { .. }), "{answer:?}");
    assert_eq!(case.number("w1").await, Some(CallNumber(0)), "its calls are counted from their own beginning");
    assert_eq!(case.beat_as(vec![late]).await, [CallAnswer::Refused]);
}

pub async fn a_worker_that_is_not_ready_is_given_nothing(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    case.register(Registration { ready: false, ..case.registration("w1") }).await;
    assert_eq!(case.worker("w1").await.status(), Status::Pending);
    assert_eq!(case.place("c1", "w1").await, Outcome::WorkerClosed);
    case.rejoin("w1", &[]).await;
    assert_eq!(case.place("c1", "w1").await, Outcome::Done);
}

pub async fn a_smaller_worker_keeps_what_runs(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2"] {
        case.running(id, "w1").await;
    }
    case.resize("w1", cpus(1));
    let held = [case.placement("c1").await, case.placement("c2").await];
    assert_eq!(kills(&case.rejoin("w1", &held).await), []);
    assert!(case.worker("w1").await.is_over_committed());
    case.submit("c3", ask(1)).await;
    assert!(matches!(case.place("c3", "w1").await, Outcome::NoRoom(_)));
    assert_eq!(case.booked("w1").await.0, 2000);
}
