use std::sync::Arc;
use std::time::Duration;

use domain::container::{End, Exit};
use domain::id::{CallNumber, ContainerId, Incarnation, Mark, PlannerId, Revision, WorkerId, WorkerKey};
use domain::model::backlog::SubmitOutcome;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, Decision, DecisionKind, Outcome, ReportOutcome, TakeAnswer};
use domain::model::workers::{RegisterOutcome, Registration};
use domain::model::{Event, Order, Report};
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::resources::{Booking, Capacity};
use domain::worker::{CallAnswer, Caller, WorkerSpec};
use ports::Ports;
use tokio::time::timeout;

use super::*;
use crate::config::RedisConfig;
use crate::testing::Server;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn cell() -> CellName {
    CellName::new("main").unwrap()
}

fn ports(server: &Server) -> Ports {
    ports_for(server, Duration::from_mins(1))
}

/// The ports of a store whose calls are given up after so long.
fn ports_for(server: &Server, call_timeout: Duration) -> Ports {
    crate::open(RedisConfig::parse(&server.url()).unwrap().with_call_timeout(call_timeout)).unwrap()
}

fn request(id: &str) -> Submission {
    let ask = Ask::plain("default".parse().unwrap(), 1_000, 1);
    let body = Body { command: vec!["true".to_owned()], ..Body::default() };
    Submission::new(ContainerId::new(id).unwrap(), ask, body, IfSilent::Stop)
}

/// All calls, made at once on tasks of their own; their answers in the same order.
async fn at_once<A: Send + 'static>(calls: impl Iterator<Item = impl Future<Output = A> + Send + 'static>) -> Vec<A> {
    let mut answers = Vec::new();
    for task in calls.map(tokio::spawn).collect::<Vec<_>>() {
        answers.push(task.await.unwrap());
    }
    answers
}

async fn submit(ports: Ports, id: String) -> PortResult<Vec<SubmitOutcome>> {
    ports.backlog.submit(&cell(), NOW, vec![request(&id)]).await
}

/// How many scripts a server has run.
fn scripts_run(server: &Server) -> u64 {
    let said = server.command(&["INFO", "commandstats"]).text();
    let calls =
        said.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or_default()
}

/// Workers that each own some containers, placed and not yet taken.
struct Fleet {
    ports: Ports,
    mark: Mark,
    workers: Vec<String>,
}

impl Fleet {
    async fn of(ports: &Ports, workers: usize, each: usize) -> Self {
        let spec = Arc::new(WorkerSpec::plain(
            "default".parse().unwrap(),
            "process".parse().unwrap(),
            Capacity { cpu_milli: 1_000_000, memory_mib: 4_096, gpu_type: None, gpu_count: 0 },
        ));
        let workers: Vec<_> = (0..workers).map(|worker| format!("w{worker}")).collect();
        let mut decisions = Vec::new();
        for worker in &workers {
            let (id, key) = (WorkerId::new(worker).unwrap(), WorkerKey::new(worker).unwrap());
            let registration = Registration::plain(id.clone(), Incarnation(1), key, Arc::clone(&spec));
            let registered = ports.workers.register(&cell(), NOW, registration).await.unwrap();
            assert!(matches!(registered, RegisterOutcome::Registered { .. }), "{registered:?}");
            let requests: Vec<_> = (0..each).map(|at| request(&format!("{worker}-{at:02}"))).collect();
            decisions.extend(requests.iter().map(|request| {
                let booking = Booking { cpu_milli: 1_000, memory_mib: 1, ..Booking::default() };
                let kind = DecisionKind::Place { worker: id.clone(), incarnation: Incarnation(1), booking };
                Decision { container: request.id.clone(), attempt: domain::id::Attempt(0), kind }
            }));
            ports.backlog.submit(&cell(), NOW, requests).await.unwrap();
        }
        let planner = PlannerId::new("test").unwrap();
        let acquired = ports.leadership.acquire(&cell(), &planner, None).await.unwrap();
        let AcquireOutcome::Acquired(mandate) = acquired else { panic!("{acquired:?}") };
        let committed =
            ports.placements.commit(&mandate, NOW, Commit { decisions, ..Commit::default() }).await.unwrap();
        assert!(committed.outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{committed:?}");
        Self { ports: ports.clone(), mark: Mark { revision: Revision(1), ..mandate.mark }, workers }
    }

    fn caller(&self, worker: &str, number: u64) -> Caller {
        let (worker, number) = (WorkerId::new(worker).unwrap(), CallNumber(number));
        Caller { worker, incarnation: Incarnation(1), number, mark: self.mark }
    }

    /// Every worker takes; the first has seen this mark.
    async fn take(&self, first_saw: Mark) -> Vec<PortResult<TakeAnswer>> {
        at_once(self.workers.iter().enumerate().map(|(at, worker)| {
            let mark = if at == 0 { first_saw } else { self.mark };
            let (ports, caller) = (self.ports.clone(), Caller { mark, ..self.caller(worker, 1) });
            async move { ports.placements.take(&cell(), NOW, caller, None, 100).await }
        }))
        .await
    }
}

#[tokio::test]
async fn requests_that_come_at_once_share_a_step_in_the_order_in_which_they_came() {
    let server = Server::start();
    let ports = ports(&server);
    ports.backlog.depth(&cell()).await.unwrap();
    let before = scripts_run(&server);
    let ids: Vec<_> = (0..200).map(|at| format!("c{at}")).collect();
    let again = ids.iter().take(20);
    let outcomes = at_once(ids.iter().chain(again).map(|id| submit(ports.clone(), id.clone()))).await;
    let steps = scripts_run(&server) - before;
    assert!(steps <= 2, "{steps} steps for 220 calls");
    let accepted = outcomes.iter().take_while(|outcome| matches!(outcome.as_deref(), Ok([SubmitOutcome::Accepted])));
    assert_eq!(accepted.count(), 200, "{outcomes:?}");
    assert!(outcomes[200..].iter().all(|outcome| matches!(outcome.as_deref(), Ok([SubmitOutcome::Already(_)]))));
    let line = ports.backlog.next(&cell(), None, 1_000, Vec::new()).await.unwrap();
    assert_eq!(line.ready.iter().map(|waiting| waiting.candidate.id.as_str()).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn workers_that_take_and_report_at_once_are_answered_each_for_itself() {
    let server = Server::start();
    let fleet = Fleet::of(&ports(&server), 40, 20).await;
    let before = scripts_run(&server);
    let taken = fleet.take(fleet.mark).await;
    let mut reports = Vec::new();
    for (worker, taken) in fleet.workers.iter().zip(taken) {
        let orders = taken.unwrap().orders;
        let placement = |order: Order| match order {
            Order::Start(start) => start.placement,
            Order::Stop { .. } => panic!("{order:?}"),
        };
        let placements: Vec<_> = orders.into_iter().map(placement).collect();
        let names: Vec<_> = placements.iter().map(|placement| placement.container.to_string()).collect();
        assert_eq!(names, (0..20).map(|at| format!("{worker}-{at:02}")).collect::<Vec<_>>());
        let event = || Event::Ended(End::Exited(Exit::Code(0)));
        let over = placements.into_iter().map(|placement| Report { placement, event: event(), output: None });
        reports.push((fleet.ports.clone(), fleet.caller(worker, 2), over.collect()));
    }
    let reported = at_once(reports.into_iter().map(|(ports, caller, reports)| async move {
        ports.placements.report(&cell(), NOW, caller, reports).await.unwrap().outcomes
    }));
    assert!(reported.await.into_iter().all(|outcomes| outcomes == [ReportOutcome::Accepted; 20]));
    // 800 orders, and as many reports, have no room in one step each.
    let steps = scripts_run(&server) - before;
    assert!((4..20).contains(&steps), "{steps} steps for 80 calls");
    let depth = fleet.ports.backlog.depth(&cell()).await.unwrap();
    assert_eq!(depth.phases.iter().sum::<u64>(), depth.phases[domain::container::Phase::Succeeded as usize]);
}

#[tokio::test]
async fn a_worker_that_cannot_be_decoded_stands_in_nobodys_way() {
    let server = Server::start();
    let fleet = Fleet::of(&ports(&server), 6, 2).await;
    server.command(&["HSET", "stowplan:{main}:workers", "w3", "no row at all"]);
    for (worker, taken) in fleet.workers.iter().zip(fleet.take(fleet.mark).await) {
        match taken {
            Ok(taken) => assert_eq!((taken.orders.len(), worker.as_str() != "w3"), (2, true), "{worker}"),
            Err(error) => assert!(worker == "w3" && error.in_full().contains("worker w3"), "{worker}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn lost_writes_that_one_worker_has_seen_are_noticed_before_another_takes() {
    let server = Server::start();
    let fleet = Fleet::of(&ports(&server), 6, 2).await;
    let first = fleet.take(Mark { revision: Revision(1_000), ..fleet.mark }).await.swap_remove(0).unwrap();
    assert_eq!((first.call, first.mark.history), (CallAnswer::Register, fleet.mark.history));
    for taken in fleet.take(fleet.mark).await {
        let taken = taken.unwrap();
        assert_eq!((taken.call, taken.orders.len()), (CallAnswer::Register, 0));
    }
}

#[tokio::test]
async fn what_was_asked_is_done_also_if_nobody_waits_for_the_answer() {
    let server = Server::start();
    let ports = ports(&server);
    let left = timeout(Duration::ZERO, submit(ports.clone(), "c1".to_owned())).await;
    assert!(left.is_err(), "it cannot be answered already: {left:?}");
    for _ in 0..6_000 {
        if ports.backlog.depth(&cell()).await.unwrap().ready == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing came");
}

#[tokio::test]
async fn a_server_that_is_away_is_told_to_all_who_share_a_call_and_calls_go_on_when_it_is_back() {
    let server = Server::start();
    let ports = ports_for(&server, Duration::from_secs(2));
    server.kill9();
    let outcomes = at_once((0..20).map(|at| submit(ports.clone(), format!("c{at}")))).await;
    for outcome in outcomes {
        let error = outcome.expect_err("nobody is there");
        assert!(
            matches!(error, PortError::Unavailable(_)) && error.in_full().contains("cannot connect to redis"),
            "{error:?}"
        );
    }
    server.restart();
    // On a machine that has much else to do, 2 s may not be enough for the first calls.
    for _ in 0..30 {
        match submit(ports.clone(), "c1".to_owned()).await {
            Ok(outcomes) => {
                return assert!(matches!(outcomes[..], [SubmitOutcome::Accepted | SubmitOutcome::Already(_)]));
            }
            Err(error) => assert!(matches!(error, PortError::Unavailable(_)), "{error:?}"),
        }
    }
    panic!("calls do not go on");
}

#[tokio::test]
async fn callers_that_leave_while_the_server_is_away_pile_up_to_a_bound_only() {
    let server = Server::start();
    let ports = ports(&server);
    let cell = cell();
    server.freeze();
    let mut refused = None;
    for call in 0..1_000 {
        let requests = (0..1_000).map(|at| request(&format!("c{call}-{at}"))).collect();
        let asked = timeout(Duration::ZERO, ports.backlog.submit(&cell, NOW, requests)).await;
        if let Ok(answer) = asked {
            refused = Some((call, answer.expect_err("nobody is there").in_full()));
            break;
        }
    }
    server.thaw();
    let (calls, why) = refused.expect("there is a bound");
    assert!(calls >= 100 && why.contains("too many calls wait for it"), "{calls}: {why}");
    while ports.backlog.submit(&cell, NOW, vec![request("last")]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
