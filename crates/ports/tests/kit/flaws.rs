//! Broken stores, one flaw each, and what finds it: the whole kit is run against each of them, and these clauses must
//! fail, and no other.

mod called;
mod cell;
mod shown;
mod written;

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::catch_unwind;

use ports::conformance::{UNSOUND, run, run_corrupt, run_durable, run_restored};

use crate::store::{Flaw, Kept, Sound};

/// A clause by its name, and its run.
type Clause = (&'static str, fn());

/// Names the clauses of a list.
macro_rules! named {
    ($harness:ty; $($port:ident { $($clause:ident)* })*) => {
        vec![$($((stringify!($clause), || run::<$harness>(&ports::conformance::$port::$clause))),*),*]
    };
    ($harness:ty; $run:ident $port:ident { $($clause:ident)* }) => {
        vec![$((stringify!($clause), || $run::<$harness>(&ports::conformance::$port::$clause::<$harness>))),*]
    };
}

/// The whole kit.
fn clauses<F: Flaw>() -> Vec<Clause> {
    let lists: [Vec<Clause>; 4] = [
        ports::__every_clause! { [named] Kept<F> },
        ports::__every_durable_clause! { [named] Kept<F> },
        ports::__every_restored_clause! { [named] Kept<F> },
        ports::__every_corrupt_clause! { [named] Kept<F> },
    ];
    lists.concat()
}

/// What fails on a store: clauses, and `books` where one ended well and the cell did not add up. Clauses wait most of their
/// time, so that a few of them run at once.
fn failures<F: Flaw>() -> BTreeSet<&'static str> {
    const AT_ONCE: usize = 8;
    let clauses = clauses::<F>();
    std::thread::scope(|scope| {
        let run = |lane: Vec<Clause>| scope.spawn(|| lane.into_iter().filter_map(failure).collect::<Vec<_>>());
        let lane = |first| clauses.iter().skip(first).step_by(AT_ONCE).copied().collect();
        let lanes: Vec<_> = (0..AT_ONCE).map(lane).map(run).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("a panic is caught")).collect()
    })
}

/// The clause, or the books, if it fails.
fn failure((name, clause): Clause) -> Option<&'static str> {
    let panic = catch_unwind(clause).err()?;
    Some(if is_unsound(&*panic) { "books" } else { name })
}

fn is_unsound(panic: &(dyn Any + Send)) -> bool {
    panic.downcast_ref::<String>().is_some_and(|message| message.starts_with(UNSOUND))
}

/// How often a clause is run that a race may pass by: on a busy machine steps seldom meet.
const RACES: usize = 50;

/// Fails unless these clauses find the flaw, and no other.
fn breaks<F: Flaw>(listed: &str) {
    let listed: BTreeSet<&str> = listed.split_whitespace().collect();
    let mut found = failures::<F>();
    if F::RACES {
        let missed = clauses::<F>().into_iter().filter(|(name, _)| listed.contains(name) && !found.contains(name));
        let again: Vec<_> = missed.filter_map(|clause| (0..RACES).find_map(|_| failure(clause))).collect();
        found.extend(again);
    }
    assert_eq!(found, listed, "what finds the flaw is not what is listed");
}

#[test]
fn a_store_without_a_flaw_is_found_sound() {
    breaks::<Sound>("");
}
