//! Clauses of committing and of losing.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::container::{End, Phase};
use domain::id::{Attempt, GpuType, History, Mark, Revision};
use domain::model::placements::{
    Commit, Decision, DecisionKind, Loss, LossOutcome, NewWorker, Outcome, RemovalOutcome,
};
use domain::model::workers::StatusChange;
use domain::model::{Event, Mandate};
use domain::quota::{Limit, OverQuota, QuotaLimits, QuotaResource};
use domain::request::Ask;
use domain::resources::{Booking, Capacity};
use domain::wait::LotKey;
use domain::worker::{CallAnswer, Status};

use super::case::{Case, answered, ask, cid, cpus, exited, gpu_ask, is_stale, request, shape_lot, spec, starts, wid};
use crate::PortError;

pub async fn commit_never_books_more_than_a_worker_has(case: &Case) {
    case.join("w1", 2).await;
    let mut decisions = Vec::new();
    for id in ["c1", "c2", "c3"] {
        case.submit(id, ask(1)).await;
        decisions.push(case.placing(id, "w1").await);
    }
    let outcomes = case.decide(decisions).await;
    assert_eq!(outcomes[..2], [Outcome::Done, Outcome::Done]);
    assert!(matches!(&outcomes[2], Outcome::NoRoom(free) if free.cpu_milli == 0), "{outcomes:?}");
    assert_eq!((case.phase("c3").await, case.booked("w1").await), (Phase::Pending, (2000, 2000)));
}

pub async fn commits_at_once_book_room_once(case: &Case) {
    case.join("w1", 3).await;
    let mandate = case.mandate().await;
    let mut calls = Vec::new();
    for number in 0..6 {
        let id = format!("c{number}");
        case.submit(&id, ask(1)).await;
        let commit = Commit { decisions: vec![case.placing(&id, "w1").await], ..Commit::default() };
        let (ports, mandate, now) = (case.ports.clone(), mandate.clone(), case.now());
        calls.push(async move { ports.placements.commit(&mandate, now, commit).await });
    }
    let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut done = 0;
    for call in calls {
        let answer = answered(call.await.expect("a call ends"));
        done += usize::from(answer.outcomes == [Outcome::Done]);
    }
    assert_eq!((done, case.booked("w1").await), (3, (3000, 3000)));
}

pub async fn commit_books_room_usage_and_orders_in_one_step(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(3)).await;
    assert_eq!(case.place("c1", "w1").await, Outcome::Done);
    let row = case.row("c1").await;
    let place = row.state.placement().expect("it is placed");
    assert_eq!((row.state.phase(), row.attempt, row.placed_at), (Phase::Placed, Attempt(1), Some(case.now())));
    assert_eq!((&place.worker, place.booking.cpu_milli), (&wid("w1"), 3000));
    assert_eq!((case.booked("w1").await, case.worker("w1").await.used.containers), ((3000, 3000), 1));
    assert_eq!(starts(&case.take("w1", None).await), ["c1"]);
}

pub async fn commit_books_gpu_devices(case: &Case) {
    let kind = Some(GpuType::new("T4").expect("a name"));
    case.join_as("w1", Capacity { gpu_type: kind, gpu_count: 2, ..cpus(8) }).await;
    let mut decisions = Vec::new();
    for (id, count, milli, devices) in
        [("c1", 2, 400, vec![0, 1]), ("c2", 1, 600, vec![1]), ("c3", 1, 500, vec![1]), ("c4", 1, 100, vec![2])]
    {
        case.submit(id, gpu_ask(count, milli)).await;
        let mut decision = case.placing(id, "w1").await;
        if let DecisionKind::Place { booking, .. } = &mut decision.kind {
            *booking = Booking { gpu_devices: devices, gpu_milli: milli, ..booking.clone() };
        }
        decisions.push(decision);
    }
    let outcomes = case.decide(decisions).await;
    assert_eq!(outcomes[..2], [Outcome::Done, Outcome::Done]);
    assert!(matches!(&outcomes[2], Outcome::NoRoom(free) if free.gpu_milli == [600, 0]), "{outcomes:?}");
    assert!(matches!(&outcomes[3], Outcome::NoRoom(_)), "there is no third device");
    case.report("w1", "c1", exited(0)).await;
    assert_eq!(case.worker("w1").await.used.gpu_milli, [0, 600]);
}

pub async fn commit_repeated_changes_nothing(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    case.submit("c2", ask(9)).await;
    let park = DecisionKind::Park { lot: shape_lot(9), why: domain::wait::Why::NoWorkers };
    let commit = Commit {
        decisions: vec![
            case.placing("c1", "w1").await,
            Decision { container: cid("c2"), attempt: Attempt(0), kind: park },
        ],
        workers: vec![NewWorker { id: wid("w2"), spec: spec(cpus(8)), boot_within: Duration::from_mins(1) }],
        removals: vec![wid("w9")],
        ..Commit::default()
    };
    let first = case.commit(commit.clone()).await;
    assert_eq!(first.outcomes, [Outcome::Done, Outcome::Done]);
    let before = (case.look().await, case.row("c1").await, case.row("c2").await);
    let again = case.commit(commit).await;
    assert_eq!(again.outcomes, [Outcome::AlreadyDone, Outcome::AlreadyDone]);
    assert_eq!(again.removals, first.removals);
    let mut after = (case.look().await, case.row("c1").await, case.row("c2").await);
    after.0.upto = before.0.upto;
    assert_eq!(after, before);
}

pub async fn commit_repeated_for_another_worker_is_told_so(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.submit("c1", ask(1)).await;
    let elsewhere = case.placing("c1", "w2").await;
    case.place("c1", "w1").await;
    assert_eq!(case.decide(vec![elsewhere]).await, [Outcome::NotPending]);
    assert_eq!(case.booked("w2").await.0, 0);
}

pub async fn one_refusal_hurts_no_other(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2", "c3", "c4"] {
        case.submit(id, ask(if id == "c2" { 5 } else { 2 })).await;
    }
    let decisions = vec![
        case.placing("c1", "w1").await,
        case.placing("c2", "w1").await,
        case.placing("c3", "w9").await,
        case.placing("c4", "w1").await,
    ];
    let outcomes = case.decide(decisions).await;
    assert_eq!((&outcomes[0], &outcomes[2], &outcomes[3]), (&Outcome::Done, &Outcome::WorkerGone, &Outcome::Done));
    assert!(matches!(outcomes[1], Outcome::NoRoom(_)), "{outcomes:?}");
    for (id, phase) in [("c1", Phase::Placed), ("c2", Phase::Pending), ("c3", Phase::Pending), ("c4", Phase::Placed)] {
        assert_eq!(case.phase(id).await, phase, "{id}");
    }
}

pub async fn commit_outcomes_have_a_precedence(case: &Case) {
    case.join("w1", 1).await;
    case.submit("c1", ask(2)).await;
    let limits = QuotaLimits { cpu_milli: Limit::AtMost(0), ..QuotaLimits::UNLIMITED };
    let limits = BTreeMap::from([("default".parse().expect("a name"), limits)]);
    let decision = case.placing("c1", "w1").await;
    let stale = Decision { attempt: Attempt(5), ..case.placing("c1", "w9").await };
    let gone = case.placing("c1", "w9").await;
    let first = case.commit(Commit { decisions: vec![stale, gone], limits: limits.clone(), ..Commit::default() }).await;
    assert_eq!(first.outcomes, [Outcome::NotPending, Outcome::WorkerGone]);
    case.set("w1", StatusChange::Cordoned).await;
    let commit = Commit { decisions: vec![decision], limits, ..Commit::default() };
    assert_eq!(case.commit(commit.clone()).await.outcomes, [Outcome::WorkerClosed]);
    case.set("w1", StatusChange::Open).await;
    assert!(matches!(case.commit(commit.clone()).await.outcomes[..], [Outcome::OverQuota(_)]));
    let commit = Commit { limits: BTreeMap::new(), ..commit };
    assert!(matches!(case.commit(commit).await.outcomes[..], [Outcome::NoRoom(_)]));
}

pub async fn commit_refuses_another_run_of_the_worker(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    let decision = case.placing("c1", "w1").await;
    case.rejoin("w1", &[]).await;
    assert_eq!(case.decide(vec![decision]).await, [Outcome::WorkerGone]);
    let decision = case.placing("c1", "w1").await;
    case.lose_worker("w1").await;
    assert_eq!(case.decide(vec![decision]).await, [Outcome::WorkerGone]);
}

pub async fn commit_keeps_quotas(case: &Case) {
    case.join("w1", 100).await;
    let limits = QuotaLimits { cpu_milli: Limit::AtMost(24_000), ..QuotaLimits::UNLIMITED };
    let limits = BTreeMap::from([("default".parse().expect("a name"), limits)]);
    let mut decisions = Vec::new();
    for (id, cpu) in [("c1", 12), ("c2", 12), ("c3", 16)] {
        case.submit(id, ask(cpu)).await;
        decisions.push(case.placing(id, "w1").await);
    }
    let commit = Commit { decisions, limits, ..Commit::default() };
    let over = OverQuota { resource: QuotaResource::Cpu, limit: 24_000, used: 24_000, needs: 16_000 };
    assert_eq!(case.commit(commit.clone()).await.outcomes, [Outcome::Done, Outcome::Done, Outcome::OverQuota(over)]);
    for id in ["c1", "c2"] {
        case.report("w1", id, exited(0)).await;
    }
    assert_eq!(case.booked("w1").await, (0, 0));
    let last = Commit { decisions: commit.decisions[2..].to_vec(), ..commit };
    assert_eq!(case.commit(last).await.outcomes, [Outcome::Done]);
    assert_eq!(case.booked("w1").await, (16_000, 16_000));
}

pub async fn commit_parks_in_lots(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2", "c3"] {
        case.submit(id, ask(1)).await;
    }
    for id in ["c3", "c1", "c2"] {
        assert_eq!(case.park(id, shape_lot(1)).await, Outcome::Done);
    }
    let lot = case.lot(&shape_lot(1)).await.expect("three wait");
    assert_eq!((lot.count, lot.first, lot.ask.as_deref()), (3, case.row("c1").await.key, Some(&ask(1))));
    assert_eq!(case.place("c1", "w1").await, Outcome::Done);
    let lot = case.lot(&shape_lot(1)).await.expect("two wait");
    assert_eq!((lot.count, lot.first), (2, case.row("c2").await.key));
    let quota = LotKey::Quota("default".parse().expect("a name"));
    assert_eq!(case.park("c2", quota.clone()).await, Outcome::Done);
    case.stop("c3").await;
    assert_eq!(case.lot(&shape_lot(1)).await, None);
    assert_eq!(case.lot(&quota).await.map(|lot| lot.count), Some(1));
}

pub async fn commit_announces_and_removes_workers(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.submit("c1", ask(1)).await;
    let commit = Commit {
        decisions: vec![case.placing("c1", "w1").await],
        workers: vec![NewWorker { id: wid("w3"), spec: spec(cpus(8)), boot_within: Duration::from_mins(1) }],
        removals: vec![wid("w1"), wid("w2")],
        ..Commit::default()
    };
    let answer = case.commit(commit).await;
    assert_eq!(answer.removals, [RemovalOutcome::Owns(1), RemovalOutcome::Done], "a racing placement wins");
    assert_eq!(case.worker_or_none("w2").await, None);
    assert_eq!(case.worker("w3").await.status(), Status::Pending);
    case.submit("c2", ask(1)).await;
    assert_eq!(case.place("c2", "w3").await, Outcome::WorkerClosed);
    case.join("w3", 8).await;
    assert_eq!(case.place("c2", "w3").await, Outcome::Done);
}

pub async fn commit_refuses_an_older_term_and_another_history(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    let mandate = case.mandate().await;
    let commit = Commit { decisions: vec![case.placing("c1", "w1").await], ..Commit::default() };
    let older = Mandate { term: domain::id::Term(mandate.term.0 - 1), ..mandate.clone() };
    let other = Mandate { planner: super::case::planner("other"), ..mandate.clone() };
    let history = History::from_random(mandate.mark.history.get() ^ 1);
    let elsewhere = Mandate { mark: Mark { history, revision: Revision(0) }, ..mandate };
    let placements = &case.ports.placements;
    assert!(is_stale(&placements.commit(&older, case.now(), commit.clone()).await));
    assert!(is_stale(&placements.commit(&other, case.now(), commit.clone()).await));
    let rewound = placements.commit(&elsewhere, case.now(), commit).await;
    assert!(matches!(rewound, Err(PortError::Rewound)), "{rewound:?}");
    assert_eq!((case.phase("c1").await, case.booked("w1").await), (Phase::Pending, (0, 0)));
}

pub async fn commit_answers_the_revisions_around_it(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    case.mandate().await;
    let before = case.revision().await;
    let commit = Commit { decisions: vec![case.placing("c1", "w1").await], ..Commit::default() };
    let answer = case.commit(commit).await;
    assert_eq!((answer.before, answer.after), (before, case.revision().await));
    assert!(answer.after > answer.before);
}

pub async fn commit_takes_a_whole_batch(case: &Case) {
    const BATCH: usize = 1_000;
    assert!(case.ports.limits.call_items_max >= BATCH, "a store takes at least {BATCH} items a call");
    for number in 0..10 {
        case.join(&format!("w{number}"), 100).await;
    }
    let small = |number: usize| request(&format!("c{number}"), Ask { cpu_milli: 1000, ..ask(1) });
    case.submit_all((0..BATCH).map(small).collect()).await;
    let pattern = case.placing("c0", "w0").await;
    let place = |number: usize| {
        let mut decision = Decision { container: cid(&format!("c{number}")), ..pattern.clone() };
        if let DecisionKind::Place { worker, .. } = &mut decision.kind {
            *worker = wid(&format!("w{}", number % 10));
        }
        decision
    };
    let outcomes = case.decide((0..BATCH).map(place).collect()).await;
    assert_eq!(outcomes, vec![Outcome::Done; BATCH]);
    assert_eq!(case.booked("w9").await, (100_000, 1_000_000));
}

pub async fn lose_gives_back_what_a_silent_worker_owned(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.running("c3", "w1").await;
    case.stop("c3").await;
    case.placed("c2", "w1").await;
    let loss = case.silence("w1").await;
    assert_eq!(case.lose(loss.clone()).await, LossOutcome::Done(3));
    assert_eq!(case.worker("w1").await.status(), Status::Lost);
    let row = case.row("c1").await;
    assert_eq!((row.state.phase(), row.failures), (Phase::Pending, 1));
    assert_eq!(row.last_end.map(|last| last.end), Some(End::WorkerLost));
    assert_eq!((case.phase("c2").await, case.row("c2").await.failures), (Phase::Pending, 0), "it was never told of");
    assert_eq!(case.phase("c3").await, Phase::Stopped);
    assert_eq!(case.booked("w1").await, (0, 0));
    assert_eq!(case.lose(loss).await, LossOutcome::Done(0));
}

pub async fn lose_is_refused_if_anything_moved(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let before = case.silence("w1").await;
    case.beat("w1").await;
    assert_eq!(case.lose(before).await, LossOutcome::Refused);
    let before = case.silence("w1").await;
    case.take("w1", None).await;
    assert_eq!(case.lose(before).await, LossOutcome::Refused, "a take is a call");
    let before = case.silence("w1").await;
    case.report("w1", "c1", Event::Running).await;
    assert_eq!(case.lose(before).await, LossOutcome::Refused, "a report is a call");
    let Loss::Silent { worker, incarnation, number, boot } = case.silence("w1").await else { unreachable!() };
    let boot_before = domain::id::Boot::from_random(boot.get() ^ 1);
    let another_boot = Loss::Silent { worker: worker.clone(), incarnation, number, boot: boot_before };
    assert_eq!(case.lose(another_boot).await, LossOutcome::Refused);
    let held = [case.placement("c1").await];
    case.rejoin("w1", &held).await;
    assert_eq!(case.lose(Loss::Silent { worker, incarnation, number, boot }).await, LossOutcome::Refused);
    assert_eq!(case.worker("w1").await.status(), Status::Available);
}

pub async fn lose_repeated_changes_nothing(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    let loss = case.silence("w1").await;
    assert_eq!(case.lose(loss.clone()).await, LossOutcome::Done(1));
    assert_eq!(case.place("c1", "w2").await, Outcome::Done);
    let before = (case.row("c1").await, case.worker("w1").await.status());
    assert_eq!(case.lose(loss.clone()).await, LossOutcome::Done(0));
    assert_eq!((case.row("c1").await, case.worker("w1").await.status()), before);
    case.rejoin("w1", &[]).await;
    assert_eq!(case.lose(loss).await, LossOutcome::Refused, "it is another run");
}

pub async fn lose_leaves_what_is_to_be_kept(case: &Case) {
    case.join("w1", 4).await;
    case.submit_keep("c1").await;
    case.place("c1", "w1").await;
    case.start("c1", "w1").await;
    assert_eq!(case.lose_worker("w1").await, LossOutcome::Done(0));
    assert_eq!((case.phase("c1").await, case.booked("w1").await), (Phase::Running, (1000, 1000)));
    let held = [case.placement("c1").await];
    case.rejoin("w1", &held).await;
    assert_eq!((case.phase("c1").await, case.placement("c1").await), (Phase::Running, held[0].clone()));
    case.rejoin("w1", &[]).await;
    assert_eq!(case.phase("c1").await, Phase::Pending);
}

pub async fn lose_goes_in_bounded_steps(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2", "c3"] {
        case.running(id, "w1").await;
    }
    let (loss, mandate) = (case.silence("w1").await, case.mandate().await);
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let call = case.ports.placements.lose(&mandate, case.now(), vec![loss.clone()], 2);
        outcomes.extend(answered(call.await));
    }
    assert_eq!(outcomes, [LossOutcome::More(2), LossOutcome::Done(1), LossOutcome::Done(0)]);
}

pub async fn a_lost_worker_is_told_to_register(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let placement = case.placement("c1").await;
    case.lose_worker("w1").await;
    assert_eq!(case.beat("w1").await, CallAnswer::Register);
    assert_eq!(case.take("w1", None).await.call, CallAnswer::Register);
    let answer = case.report_on("w1", &placement, exited(0)).await;
    assert_eq!((answer.call, answer.outcomes), (CallAnswer::Register, vec![]));
    assert_eq!(case.phase("c1").await, Phase::Pending);
    let answer = case.rejoin("w1", std::slice::from_ref(&placement)).await;
    assert_eq!(super::case::kills(&answer), [placement], "it is given away");
}

pub async fn a_drain_that_is_due_stops_what_runs(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let due = Loss::DrainDue { worker: wid("w1") };
    assert_eq!(case.lose(due.clone()).await, LossOutcome::Refused, "it is not drained");
    case.drain("w1").await;
    assert_eq!(case.lose(due.clone()).await, LossOutcome::Done(1));
    assert_eq!((case.phase("c1").await, case.booked("w1").await.0), (Phase::Stopping, 1000));
    assert_eq!(case.lose(due).await, LossOutcome::Done(0));
    case.report("w1", "c1", Event::Ended(End::DrainOrder)).await;
    assert_eq!((case.phase("c1").await, case.row("c1").await.failures), (Phase::Pending, 0));
    assert_eq!(case.worker("w1").await.status(), Status::Drained);
}
