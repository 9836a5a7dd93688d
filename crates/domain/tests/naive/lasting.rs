//! A fleet that lives on: batches are planned and booked, and workers change, come and go in between.
//!
//! What a fleet keeps sorted and remembers must say what the slow planner finds by looking at every worker.

use std::cell::RefCell;
use std::collections::BTreeMap;

use domain::fleet::{Fleet, Policy};
use domain::id::WorkerId;
use domain::placement::{Candidate, Verdict, plan};
use domain::wait::Why;
use domain::worker::Worker;
use proptest::prelude::*;

use super::generate::{self, Bytes, Row};
use super::{model, runner};

const CASES: u32 = 1_500;

#[derive(Debug, Clone)]
struct Life {
    fleet: Fleet,
    turns: Vec<Turn>,
}

#[derive(Debug, Clone)]
struct Turn {
    batch: Vec<Candidate>,
    policy: Policy,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Put(Worker),
    Remove(WorkerId),
}

/// How workers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variety {
    /// In everything.
    Free,
    /// In room only, by large steps.
    Alike,
    /// In room only, by so little that what is left is the same but for rounding.
    Close,
}

#[test]
fn a_fleet_that_lives_on_is_planned_for_as_if_all_were_looked_at() {
    let seen: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    let result = runner(CASES).run(&lives(), |life| {
        let mut fleet = life.fleet;
        for (number, Turn { batch, policy, changes }) in life.turns.into_iter().enumerate() {
            fleet.lots = generate::lots(&batch, &mut Bytes([].iter()));
            let verdicts = plan(&fleet, &batch, &policy);
            for ((candidate, planned), expected) in
                batch.iter().zip(&verdicts).zip(model::plan(&fleet, &batch, &policy))
            {
                prop_assert_eq!(planned, &expected, "request {} of turn {}", &candidate.id, number);
            }
            fleet.book_all(batch.iter().zip(&verdicts).filter_map(|(candidate, verdict)| placed(candidate, verdict)));
            note(&mut seen.borrow_mut(), number, fleet.workers().len(), &verdicts);
            for change in changes {
                match change {
                    Change::Put(worker) => fleet.put(worker),
                    Change::Remove(id) => fleet.remove(&id),
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    for what in ["placed", "placed among many", "no room", "no room later", "never", "never later"] {
        let times = seen.borrow().get(what).copied().unwrap_or(0);
        assert!(times >= 100, "{what} was met {times} times: {seen:?}");
    }
}

type Placed<'a> = (&'a WorkerId, &'a domain::request::Ask, &'a domain::resources::Booking);

fn placed<'a>(candidate: &'a Candidate, verdict: &'a Verdict) -> Option<Placed<'a>> {
    match verdict {
        Verdict::Place { worker, booking, .. } => Some((worker, &candidate.ask, booking)),
        Verdict::Wait { .. } => None,
    }
}

fn note(seen: &mut BTreeMap<&str, u32>, turn: usize, workers: usize, verdicts: &[Verdict]) {
    let mut see = |what| *seen.entry(what).or_default() += 1;
    for verdict in verdicts {
        match verdict {
            Verdict::Place { .. } if workers > 50 => see("placed among many"),
            Verdict::Place { .. } => see("placed"),
            Verdict::Wait { why: Why::NoFit { never, .. }, .. } => see(match (never, turn) {
                (None, 0) => "no room",
                (None, _) => "no room later",
                (Some(_), 0) => "never",
                (Some(_), _) => "never later",
            }),
            Verdict::Wait { .. } => {}
        }
    }
}

fn lives() -> impl Strategy<Value = Life> {
    let rows = |rows: std::ops::Range<usize>| prop::collection::vec(any::<Row>(), rows);
    let turn = (rows(1..12), rows(0..6), prop::collection::vec(any::<u8>(), 40));
    let variety = prop::sample::select(vec![Variety::Free, Variety::Alike, Variety::Close]);
    (variety, rows(1..160), rows(1..6), rows(0..3), prop::collection::vec(turn, 1..6)).prop_map(
        |(variety, workers, asks, pools, turns)| {
            let workers = workers.iter().enumerate().map(|(n, row)| worker(variety, n, row));
            let mut fleet = Fleet::of(workers);
            fleet.pools = pools.iter().enumerate().map(|(n, row)| generate::pool(n, &mut Bytes(row.iter()))).collect();
            let asks: Vec<_> = asks.iter().map(|row| ask(variety, row)).collect();
            let mut policy = None;
            let turns = turns.iter().map(|(batch, changes, rest)| {
                let mut rest = Bytes(rest.iter());
                let changed = rest.rarely(5);
                let next = generate::policy(&mut rest);
                let policy = if changed { &*policy.insert(next) } else { &*policy.get_or_insert(next) };
                let batch = batch.iter().enumerate();
                Turn {
                    batch: batch.map(|(n, row)| generate::candidate(n, &asks, &mut Bytes(row.iter()))).collect(),
                    policy: policy.clone(),
                    changes: changes.iter().map(|row| change(variety, row)).collect(),
                }
            });
            Life { fleet, turns: turns.collect() }
        },
    )
}

fn worker(variety: Variety, n: usize, row: &Row) -> Worker {
    let mut worker = generate::worker(n, &mut Bytes(row.iter()));
    // Every other name is long, and begins as all of these do.
    let id = if n.is_multiple_of(2) { format!("w{n:03}") } else { format!("a-worker-with-a-long-name-{n:03}") };
    worker.id = id.parse().expect("a name");
    if variety == Variety::Free {
        return worker;
    }
    let mut spec = generate::plain(&worker.spec);
    if variety == Variety::Close {
        let [.., a, b, c] = *row;
        (spec.total.cpu_milli, spec.total.memory_mib) = (3_000_017, 5_000_011 + u64::from(a % 64 == 0));
        worker.used.cpu_milli = u64::from(b % 16);
        worker.used.memory_mib = u64::from(c % 16);
    }
    worker.spec = spec.into();
    worker
}

fn ask(variety: Variety, row: &Row) -> domain::request::Ask {
    let mut ask = generate::ask(variety == Variety::Free, &mut Bytes(row.iter()));
    if variety == Variety::Close {
        let [.., a, b, c] = *row;
        (ask.cpu_milli, ask.memory_mib) = (u64::from(a) * 7 + 1, u64::from(b) * 11 + 1);
        if c < 100 {
            // Two of these fill a worker.
            ask.cpu_milli += 1_500_000;
        }
    }
    ask
}

fn change(variety: Variety, row: &Row) -> Change {
    // Of those that are there, those that are not, and those that come behind all.
    let worker = worker(variety, usize::from(row[20]) % 170, row);
    if row[21] < 64 { Change::Remove(worker.id) } else { Change::Put(worker) }
}
