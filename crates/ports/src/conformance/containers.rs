//! Clauses of containers: read, listed, stopped, forgotten, exported.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::container::{End, Phase};
use domain::model::backlog::SubmitOutcome;
use domain::model::containers::{Keep, StopOutcome};
use domain::model::workers::{RemoveHow, RemoveOutcome};
use domain::model::{Event, Filter};

use super::case::{Case, answered, ask, cid, exited, request, starts, stops, wid};

pub async fn get_answers_in_order(case: &Case) {
    case.submit_all(["c1", "c2"].map(|id| request(id, ask(1))).to_vec()).await;
    let ids = vec![cid("c2"), cid("c9"), cid("c1"), cid("c2")];
    let found = answered(case.ports.containers.get(&case.cell, ids).await);
    let names: Vec<_> = found.iter().map(|found| found.as_ref().map(|found| found.row.id.as_str())).collect();
    assert_eq!(names, [Some("c2"), None, Some("c1"), Some("c2")]);
    assert!(found.iter().flatten().all(|found| found.body.is_some() && found.output.is_none()));
}

async fn list(case: &Case, filter: &Filter, limit: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = answered(case.ports.containers.list(&case.cell, filter.clone(), after, limit).await);
        ids.extend(page.rows.into_iter().map(|row| row.id.to_string()));
        after = page.after;
        if after.is_none() {
            return ids;
        }
    }
}

pub async fn list_pages_skip_and_repeat_nothing(case: &Case) {
    let mut names: Vec<_> = (0..23).map(|number| format!("c{number}")).collect();
    case.submit_all(names.iter().map(|id| request(id, ask(1))).collect()).await;
    names.sort();
    for limit in [1, 5, 23, 100] {
        assert_eq!(list(case, &Filter::All, limit).await, names);
    }
    let page = answered(case.ports.containers.list(&case.cell, Filter::All, None, 10).await);
    case.submit("a", ask(1)).await;
    case.submit("z", ask(1)).await;
    case.stop("c1").await;
    let rest = answered(case.ports.containers.list(&case.cell, Filter::All, page.after, 100).await);
    let ids: Vec<_> = page.rows.iter().chain(&rest.rows).map(|row| row.id.to_string()).collect();
    assert_eq!(ids, [&names[..], &["z".to_owned()]].concat());
}

pub async fn list_filters_by_state_workspace_and_worker(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    case.placed("c2", "w2").await;
    case.submit("c3", ask(1)).await;
    case.submit("c4", domain::request::Ask { workspace: "other".parse().expect("a name"), ..ask(1) }).await;
    case.running("c5", "w1").await;
    case.report("w1", "c5", exited(0)).await;
    let expected = [
        (Filter::Phase(Phase::Running), vec!["c1"]),
        (Filter::Phase(Phase::Placed), vec!["c2"]),
        (Filter::Phase(Phase::Pending), vec!["c3", "c4"]),
        (Filter::Phase(Phase::Succeeded), vec!["c5"]),
        (Filter::Phase(Phase::Failed), vec![]),
        (Filter::Workspace("other".parse().expect("a name")), vec!["c4"]),
        (Filter::Workspace("default".parse().expect("a name")), vec!["c1", "c2", "c3", "c5"]),
        (Filter::Worker(wid("w1")), vec!["c1"]),
        (Filter::Worker(wid("w9")), vec![]),
    ];
    for (filter, ids) in expected {
        for limit in [1, 100] {
            assert_eq!(list(case, &filter, limit).await, ids, "{filter:?}");
        }
    }
}

pub async fn stop_of_what_was_not_handed_over_ends_it(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    case.placed("c2", "w1").await;
    case.submit("c3", ask(1)).await;
    case.park("c3", super::case::shape_lot(1)).await;
    let ids = ["c1", "c2", "c9", "c3"].map(cid).to_vec();
    let outcomes = answered(case.ports.containers.stop(&case.cell, case.now(), ids).await);
    let stopped = StopOutcome::Stopped;
    assert_eq!(outcomes, [stopped, stopped, StopOutcome::NoSuchContainer, stopped]);
    assert_eq!(case.booked("w1").await, (0, 0));
    assert_eq!(starts(&case.take("w1", None).await), [] as [&str; 0], "its worker never hears of it");
    assert_eq!(case.lot(&super::case::shape_lot(1)).await, None);
}

pub async fn stop_of_what_was_handed_over_waits_for_its_worker(case: &Case) {
    case.join("w1", 4).await;
    case.placed("c1", "w1").await;
    let upto = case.take("w1", None).await.upto;
    case.running("c2", "w1").await;
    for id in ["c1", "c2"] {
        assert_eq!(case.stop(id).await, StopOutcome::Stopping);
        assert_eq!(case.phase(id).await, Phase::Stopping);
    }
    assert_eq!(case.booked("w1").await, (2000, 2000));
    assert_eq!(stops(&case.take("w1", upto).await), ["c1", "c2"]);
    case.report("w1", "c1", Event::Ended(End::NotStarted)).await;
    case.report("w1", "c2", Event::Ended(End::StopOrder)).await;
    for id in ["c1", "c2"] {
        assert_eq!((case.phase(id).await, case.row(id).await.failures), (Phase::Stopped, 0), "{id}");
    }
    assert_eq!(case.booked("w1").await, (0, 0));
}

pub async fn stop_repeated_changes_nothing(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    case.running("c2", "w1").await;
    case.stop("c1").await;
    case.stop("c2").await;
    let before = (case.row("c1").await, case.row("c2").await);
    case.later(1000);
    assert_eq!(case.stop("c1").await, StopOutcome::Ended(Phase::Stopped));
    assert_eq!(case.stop("c2").await, StopOutcome::Stopping);
    assert_eq!((case.row("c1").await, case.row("c2").await), before);
}

pub async fn stop_against_take_has_one_winner(case: &Case) {
    case.join("w1", 64).await;
    for number in 0..20 {
        let id = format!("c{number}");
        case.placed(&id, "w1").await;
        let (ports, cell, now, caller) = (case.ports.clone(), case.cell.clone(), case.now(), case.caller("w1"));
        let taking = tokio::spawn(async move { ports.placements.take(&cell, now, caller, None, 100).await });
        let stopped = case.stop(&id).await;
        let taken = answered(taking.await.expect("a call ends"));
        let handed_over = starts(&taken).contains(&id) || stops(&taken).contains(&id);
        match stopped {
            StopOutcome::Stopped => assert!(!handed_over, "{id} is stopped, and handed over"),
            StopOutcome::Stopping => {
                assert!(handed_over, "{id} is stopping, and nobody has it");
                case.report("w1", &id, Event::Ended(End::StopOrder)).await;
            }
            other => panic!("{id} was answered {other:?}"),
        }
        assert_eq!(case.phase(&id).await, Phase::Stopped);
    }
    assert_eq!(case.booked("w1").await, (0, 0));
}

pub async fn forget_keeps_as_long_and_as_many_as_it_is_told(case: &Case) {
    for id in ["c0", "c1", "c2", "c3", "c4"] {
        case.submit(id, ask(1)).await;
        case.stop(id).await;
        case.later(1000);
    }
    case.submit("waits", ask(1)).await;
    let forget = async |within: u64, ended_max: u64, limit: usize| {
        let keep = Keep { within: Duration::from_millis(within), ended_max };
        let forgotten = answered(case.ports.containers.forget(&case.cell, case.now(), keep, limit).await);
        (forgotten.containers, forgotten.more)
    };
    assert_eq!(forget(10_000, 10, 10).await, (0, false));
    assert_eq!(forget(3500, 10, 10).await, (2, false), "those that ended 5 and 4 s ago");
    assert_eq!(forget(10_000, 1, 1).await, (1, true));
    assert_eq!(forget(10_000, 1, 10).await, (1, false));
    assert_eq!(list(case, &Filter::All, 10).await, ["c4", "waits"]);
}

pub async fn forget_repeated_forgets_no_more(case: &Case) {
    for id in ["c0", "c1", "c2"] {
        case.submit(id, ask(1)).await;
        case.stop(id).await;
        case.later(1000);
    }
    let keep = Keep { within: Duration::from_hours(1), ended_max: 1 };
    for containers in [2, 0] {
        let forgotten = answered(case.ports.containers.forget(&case.cell, case.now(), keep, 10).await);
        assert_eq!((forgotten.containers, forgotten.more), (containers, false));
        assert_eq!(list(case, &Filter::All, 10).await, ["c2"]);
    }
}

pub async fn a_forgotten_id_is_free(case: &Case) {
    case.submit("c1", ask(1)).await;
    case.stop("c1").await;
    let keep = Keep { within: Duration::from_hours(1), ended_max: 0 };
    answered(case.ports.containers.forget(&case.cell, case.now(), keep, 10).await);
    assert_eq!(case.found("c1").await, None);
    assert_eq!(case.submit("c1", ask(2)).await, SubmitOutcome::Accepted);
    assert_eq!(case.phase("c1").await, Phase::Pending);
}

pub async fn export_pages_add_up_while_all_changes(case: &Case) {
    for worker in ["w1", "w2", "w3"] {
        case.join(worker, 4).await;
    }
    for (id, worker) in [("c1", "w1"), ("c2", "w2")] {
        case.running(id, worker).await;
    }
    case.submit("c3", ask(1)).await;
    let (mut workers, mut containers, mut since) = (BTreeSet::new(), BTreeSet::new(), None);
    let mut to_come = BTreeSet::from(["w3", "c1"]);
    loop {
        let page = answered(case.ports.containers.export(&case.cell, since, 1).await);
        workers.retain(|id| !page.gone.contains(id));
        containers.retain(|id| !page.ended.contains(id));
        workers.extend(page.workers.iter().map(|row| row.id.clone()));
        containers.extend(page.containers.iter().map(|row| row.id.clone()));
        since = Some(page.upto.revision);
        if !page.more {
            assert_eq!(page.usage.iter().map(|row| row.usage.containers).sum::<u64>(), 1);
            break;
        }
        assert!(page.usage.is_empty(), "usage comes on the last page");
        // What was just read is no more before the next page.
        if workers.contains(&wid("w3")) && to_come.remove("w3") {
            assert_eq!(case.remove("w3", RemoveHow::IfEmpty).await, RemoveOutcome::Done);
            case.submit("c4", ask(1)).await;
        }
        if containers.contains(&cid("c1")) && to_come.remove("c1") {
            case.report("w1", "c1", exited(0)).await;
        }
    }
    assert_eq!(to_come, BTreeSet::new(), "these were read before the last page");
    assert_eq!(workers, BTreeSet::from([wid("w1"), wid("w2")]));
    assert_eq!(containers, BTreeSet::from([cid("c2"), cid("c3"), cid("c4")]));
}
