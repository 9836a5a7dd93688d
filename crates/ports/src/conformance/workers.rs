//! Clauses of workers, but for their registration.

use std::collections::BTreeMap;

use domain::container::Phase;
use domain::id::{History, Incarnation, Mark, Revision, WorkerId, Workspace};
use domain::model::FleetName;
use domain::model::placements::{Loss, Outcome};
use domain::model::workers::{Look, RemoveHow, RemoveOutcome, StatusChange, StatusOutcome};
use domain::quota::Usage;
use domain::wait::{LotKey, LotRow};
use domain::worker::{CallAnswer, Caller, Status, WorkerRow};

use super::case::{Case, answered, ask, cpus, exited, shape_lot, starts, wid};

pub async fn beats_show_the_greatest_number(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.beat("w2").await;
    case.rejoin("w2", &[]).await;
    case.beat("w1").await;
    let late = case.caller("w1");
    let beats = answered(case.ports.workers.beats(&case.cell).await);
    let mut numbers = beats.numbers;
    numbers.sort();
    let shown: Vec<_> =
        numbers.iter().map(|(id, incarnation, number)| (id.as_str(), incarnation.0, number.0)).collect();
    assert_eq!(shown, [("w1", 1, 1), ("w2", 2, 0)]);
    assert_eq!(beats.history, late.mark.history);
}

pub async fn beats_leave_out_the_lost(case: &Case) {
    case.join("w1", 4).await;
    case.lose_worker("w1").await;
    assert_eq!(case.number("w1").await, None);
}

pub async fn heartbeat_never_puts_a_number_back(case: &Case) {
    case.join("w1", 4).await;
    let (early, late) = (case.caller("w1"), case.caller("w1"));
    let answers = case.beat_as(vec![late.clone(), early.clone()]).await;
    assert_eq!(answers, [CallAnswer::Ok, CallAnswer::Ok]);
    assert_eq!(case.number("w1").await, Some(late.number));
    case.beat_as(vec![early.clone()]).await;
    let taken = case.ports.placements.take(&case.cell, case.now(), early, None, 10).await;
    assert_eq!(answered(taken).call, CallAnswer::Ok);
    assert_eq!(case.number("w1").await, Some(late.number));
}

pub async fn heartbeat_answers_each_caller_by_who_it_is(case: &Case) {
    case.join("w1", 4).await;
    let old = case.caller("w1");
    case.rejoin("w1", &[]).await;
    let now = case.caller("w1");
    let later = Caller { incarnation: now.incarnation.next(), ..now.clone() };
    let history = History::from_random(now.mark.history.get() ^ 1);
    let elsewhere = Caller { mark: Mark { history, ..now.mark }, ..now.clone() };
    let nobody = Caller { worker: wid("w9"), ..now.clone() };
    let answers = case.beat_as(vec![old, now.clone(), later, elsewhere, nobody]).await;
    let expected =
        [CallAnswer::Refused, CallAnswer::Ok, CallAnswer::Register, CallAnswer::Register, CallAnswer::Removed];
    assert_eq!(answers, expected);
    case.lose_worker("w1").await;
    assert_eq!(case.beat_as(vec![now]).await, [CallAnswer::Register]);
}

pub async fn a_cordon_survives_registrations_and_losses(case: &Case) {
    case.join("w1", 4).await;
    case.placed("c1", "w1").await;
    assert_eq!(case.set("w1", StatusChange::Cordoned).await, StatusOutcome::Done);
    assert_eq!(starts(&case.take("w1", None).await), ["c1"], "what is there goes on");
    case.submit("c2", ask(1)).await;
    assert_eq!(case.place("c2", "w1").await, Outcome::WorkerClosed);
    case.rejoin("w1", &[]).await;
    assert_eq!(case.worker("w1").await.status(), Status::Cordoned);
    case.lose_worker("w1").await;
    case.rejoin("w1", &[]).await;
    assert_eq!(case.worker("w1").await.status(), Status::Cordoned);
    assert_eq!(case.set("w1", StatusChange::Open).await, StatusOutcome::Done);
    assert_eq!(case.place("c2", "w1").await, Outcome::Done);
}

pub async fn a_drain_is_over_when_nothing_is_owned(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.placed("c2", "w1").await;
    assert_eq!(case.drain("w1").await, StatusOutcome::Done);
    assert_eq!((case.phase("c1").await, case.phase("c2").await), (Phase::Running, Phase::Pending));
    assert_eq!(case.worker("w1").await.status(), Status::Draining);
    assert_eq!(case.place("c2", "w1").await, Outcome::WorkerClosed);
    case.report("w1", "c1", exited(0)).await;
    assert_eq!(case.worker("w1").await.status(), Status::Drained);
}

pub async fn set_status_repeated_is_already_so(case: &Case) {
    case.join("w1", 4).await;
    assert_eq!(case.set("w1", StatusChange::Open).await, StatusOutcome::Already);
    assert_eq!(case.set("w1", StatusChange::Cordoned).await, StatusOutcome::Done);
    assert_eq!(case.set("w1", StatusChange::Cordoned).await, StatusOutcome::Already);
    assert_eq!(case.drain("w1").await, StatusOutcome::Done);
    let before = case.worker("w1").await;
    assert_eq!(case.drain("w1").await, StatusOutcome::Already);
    assert_eq!(case.worker("w1").await, before);
    let changes = vec![(wid("w9"), StatusChange::Cordoned), (wid("w1"), StatusChange::Open)];
    let outcomes = answered(case.ports.workers.set_status(&case.cell, case.now(), changes).await);
    assert_eq!(outcomes, [StatusOutcome::NoSuchWorker, StatusOutcome::Done]);
}

pub async fn remove_refuses_what_owns(case: &Case) {
    case.join("w1", 4).await;
    case.placed("c1", "w1").await;
    assert_eq!(case.remove("w1", RemoveHow::IfEmpty).await, RemoveOutcome::Owns(1));
    case.stop("c1").await;
    assert_eq!(case.remove("w1", RemoveHow::IfEmpty).await, RemoveOutcome::Done);
    assert_eq!(case.remove("w1", RemoveHow::IfEmpty).await, RemoveOutcome::NoSuchWorker);
}

pub async fn remove_lost_names_the_incarnation(case: &Case) {
    case.join("w1", 4).await;
    case.submit_keep("c1").await;
    assert_eq!(case.place("c1", "w1").await, Outcome::Done);
    case.start("c1", "w1").await;
    let incarnation = case.worker("w1").await.incarnation;
    let other = RemoveHow::Lost { incarnation: incarnation.next(), seen: None };
    assert_eq!(case.remove("w1", other).await, RemoveOutcome::Registered);
    assert_eq!(case.phase("c1").await, Phase::Running);
    let how = case.gone("w1").await;
    assert_eq!(case.remove("w1", how).await, RemoveOutcome::Done);
    assert_eq!((case.phase("c1").await, case.worker_or_none("w1").await), (Phase::Pending, None));
    assert_eq!(case.booked("w1").await, (0, 0));
}

pub async fn remove_repeated_hits_nobody_else(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let how = case.gone("w1").await;
    assert_eq!(case.remove("w1", how).await, RemoveOutcome::Done);
    assert_eq!(case.remove("w1", how).await, RemoveOutcome::NoSuchWorker);
    case.rejoin("w1", &[]).await;
    assert_eq!(case.remove("w1", how).await, RemoveOutcome::Registered);
    assert_eq!((case.worker("w1").await.status(), case.row("c1").await.failures), (Status::Available, 1));
}

pub async fn remove_lost_goes_in_bounded_steps(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2", "c3"] {
        case.running(id, "w1").await;
    }
    let how = case.gone("w1").await;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let removals = vec![(wid("w1"), how)];
        outcomes.extend(answered(case.ports.workers.remove(&case.cell, case.now(), removals, 2).await));
    }
    assert_eq!(outcomes, [RemoveOutcome::More(2), RemoveOutcome::Done]);
}

pub async fn a_removed_worker_is_told_so(case: &Case) {
    case.join("w1", 4).await;
    case.remove("w1", RemoveHow::IfEmpty).await;
    assert_eq!(case.beat("w1").await, CallAnswer::Removed);
    assert_eq!(case.take("w1", None).await.call, CallAnswer::Removed);
    assert_eq!(case.report_all("w1", Vec::new()).await.call, CallAnswer::Removed);
    let late = Loss::Silent {
        worker: wid("w1"),
        incarnation: Incarnation(1),
        number: domain::id::CallNumber(0),
        boot: answered(case.ports.workers.beats(&case.cell).await).boot,
    };
    assert_eq!(case.lose(late).await, domain::model::placements::LossOutcome::Refused);
}

/// What a reader of looks knows.
#[derive(Debug, Default, PartialEq)]
struct View {
    workers: BTreeMap<WorkerId, WorkerRow>,
    lots: BTreeMap<LotKey, LotRow>,
    usage: BTreeMap<Workspace, Usage>,
    upto: Option<Revision>,
}

impl View {
    /// Reads a page; answers whether there is more.
    async fn read(&mut self, case: &Case, limit: usize) -> bool {
        let look = answered(case.ports.workers.look(&case.cell, self.upto, limit).await);
        let Look::Page(page) = look else { panic!("nothing is forgotten yet") };
        for name in page.gone {
            match name {
                FleetName::Worker(id) => drop(self.workers.remove(&id)),
                FleetName::Lot(key) => drop(self.lots.remove(&key)),
                FleetName::Usage(workspace) => drop(self.usage.remove(&workspace)),
            }
        }
        self.workers.extend(page.workers.into_iter().map(|row| (row.id.clone(), row)));
        self.lots.extend(page.lots.into_iter().map(|row| (row.key.clone(), row)));
        self.usage.extend(page.usage);
        self.upto = Some(page.upto.revision);
        page.more
    }
}

pub async fn look_pages_add_up_while_all_changes(case: &Case) {
    for number in 0..6 {
        case.join(&format!("w{number}"), 4).await;
    }
    case.running("c1", "w0").await;
    case.submit("c2", ask(9)).await;
    case.park("c2", shape_lot(9)).await;
    let mut view = View::default();
    view.read(case, 1).await;
    case.report("w0", "c1", exited(0)).await;
    view.read(case, 2).await;
    case.remove("w0", RemoveHow::IfEmpty).await;
    view.read(case, 1).await;
    case.join_as("w0", cpus(8)).await;
    case.running("c3", "w5").await;
    while view.read(case, 1).await {}
    case.remove("w1", RemoveHow::IfEmpty).await;
    case.stop("c2").await;
    view.read(case, 1).await;
    case.report("w5", "c3", exited(0)).await;
    while view.read(case, 1).await {}
    let mut whole = View::default();
    while whole.read(case, 5_000).await {}
    assert_eq!(view, whole);
    assert_eq!((view.workers.len(), view.lots.len(), view.usage.len()), (5, 0, 0));
}

pub async fn look_reads_only_what_changed(case: &Case) {
    for id in ["w1", "w2", "w3"] {
        case.join(id, 4).await;
    }
    let since = case.revision().await;
    case.remove("w1", RemoveHow::IfEmpty).await;
    case.placed("c1", "w2").await;
    let look = answered(case.ports.workers.look(&case.cell, Some(since), 100).await);
    let Look::Page(page) = look else { panic!("nothing is forgotten yet") };
    let workers: Vec<_> = page.workers.iter().map(|row| row.id.as_str()).collect();
    assert_eq!((workers, page.gone, page.usage.len()), (vec!["w2"], vec![FleetName::Worker(wid("w1"))], 1));
    let look = answered(case.ports.workers.look(&case.cell, Some(page.upto.revision), 100).await);
    let Look::Page(page) = look else { panic!("nothing is forgotten yet") };
    assert!(page.workers.is_empty() && page.gone.is_empty() && !page.more);
}

pub async fn a_page_of_look_ends_with_a_whole_step(case: &Case) {
    let mut decisions = Vec::new();
    for number in 0..4 {
        let (id, worker) = (format!("c{number}"), format!("w{number}"));
        case.join(&worker, 4).await;
        case.submit(&id, ask(1)).await;
        decisions.push(case.placing(&id, &worker).await);
    }
    let since = case.revision().await;
    case.decide(decisions).await;
    let look = answered(case.ports.workers.look(&case.cell, Some(since), 1).await);
    let Look::Page(page) = look else { panic!("nothing is forgotten yet") };
    assert_eq!((page.workers.len(), page.usage.len(), page.more), (4, 1, false));
}

pub async fn look_from_beyond_the_end_is_whole(case: &Case) {
    case.join("w1", 4).await;
    let beyond = case.revision().await.next();
    assert_eq!(answered(case.ports.workers.look(&case.cell, Some(beyond), 10).await), Look::Whole);
}
