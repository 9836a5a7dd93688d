//! Breadth first through all that can happen: what is found first is found by the shortest way.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use domain::request::IfSilent;

use crate::choice::Choice;
use crate::choice::Fault::{
    self, Copy, Crash, Cut, Drain, Exit, Join, LateAnswer, LateCall, LatePlan, LostAnswer, LostCall, Mistake, Reopen,
    Repeated, RepeatedPlan, Restore, Slow, Stop, Swap, Takeover, Unread,
};
use crate::rules::Without;
use crate::scenario::{KEEP, STOP, Scenario};
use crate::world::World;

/// A way to a broken promise, in words.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) promise: String,
    pub(crate) steps: Vec<String>,
}

/// What a search saw.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) violation: Option<Trace>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:4}. {step}")?;
        }
        write!(f, "      {}", self.promise)
    }
}

/// How a state was reached: from which other, by which choice.
type Reached = (usize, Choice);

impl Scenario {
    /// Searches until a promise breaks, or there is nothing more.
    pub(crate) fn search(&self, without: Without) -> Found {
        let start = self.begin(without, false);
        let mut seen = HashSet::from([fingerprint(&start)]);
        // The first is the start, and was reached from nowhere.
        let mut reached: Vec<Reached> = vec![(0, Choice::Go)];
        let mut layer = vec![(0, start)];
        let mut depth = 0;
        while !layer.is_empty() {
            let mut next = Vec::new();
            for (at, world) in layer {
                let choices = world.choices();
                if world.violation.is_some() || rests_badly(&world, &choices) {
                    let violation = Some(self.trace(without, &path_to(&reached, at)));
                    return Found { states: seen.len(), depth, violation };
                }
                for choice in choices {
                    let mut after = world.clone();
                    after.take(choice);
                    if seen.insert(fingerprint(&after)) {
                        reached.push((at, choice));
                        next.push((reached.len() - 1, after));
                    }
                }
            }
            layer = next;
            depth += 1;
        }
        Found { states: seen.len(), depth, violation: None }
    }

    /// Searches to the end; nothing may break.
    pub(crate) fn search_all(&self, what: &str) {
        let found = self.search(Without::NOTHING);
        println!("{what}: {} states, depth {}", found.states, found.depth);
        if let Some(trace) = found.violation {
            panic!("{what}: with all rules,\n{trace}");
        }
    }

    /// Goes a way once more, and tells it.
    pub(crate) fn trace(&self, without: Without, path: &[Choice]) -> Trace {
        let mut world = self.begin(without, true);
        for choice in path {
            if world.choices().contains(choice) && world.violation.is_none() {
                world.take(*choice);
            }
        }
        world.finish();
        let promise = world.violation.expect("the same way leads to the same end");
        Trace { promise, steps: world.story.unwrap_or_default() }
    }
}

/// Whether nothing can go wrong any more, and yet something does.
fn rests_badly(world: &World, choices: &[Choice]) -> bool {
    if !choices.is_empty() {
        return false;
    }
    let mut world = world.clone();
    world.finish();
    world.violation.is_some()
}

fn path_to(reached: &[Reached], mut at: usize) -> Vec<Choice> {
    let mut path = Vec::new();
    while at != 0 {
        let (from, choice) = reached[at];
        path.push(choice);
        at = from;
    }
    path.reverse();
    path
}

/// 128 bits of all that a world is.
fn fingerprint(world: &World) -> u128 {
    let text = format!("{world:?}");
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(text.as_bytes());
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

const TWO: Scenario = Scenario { machines: &[("w1", "k1", true), ("w2", "k2", true)], ..Scenario::ONE };
const PAIR: &[IfSilent] = &[STOP, STOP];

const fn one(budget: &'static [(Fault, u8)]) -> Scenario {
    Scenario { budget, ..Scenario::ONE }
}

const fn two(budget: &'static [(Fault, u8)]) -> Scenario {
    Scenario { budget, ..TWO }
}

/// What is searched to the end each time.
const WHOLE: &[(&str, Scenario)] = &[
    ("a crash and an end", one(&[(Crash, 1), (Exit, 1)])),
    ("a crash, two machines", Scenario { struck: 2, ..two(&[(Crash, 1)]) }),
    ("a lost call and a lost answer", Scenario { horizon: 4, ..one(&[(LostCall, 1), (LostAnswer, 1)]) }),
    ("a late call and a repeated one", Scenario { horizon: 3, ..one(&[(LateCall, 1), (Repeated, 1)]) }),
    ("a stop, slowly obeyed, and a crash", Scenario { horizon: 4, ..one(&[(Stop, 1), (Slow, 1), (Crash, 1)]) }),
    ("a drain, slowly obeyed, an end and a stop", one(&[(Drain, 1), (Slow, 1), (Exit, 1), (Stop, 1)])),
    ("what is kept, and a new machine under an old name", KEPT),
    ("two containers, a cut and an end", Scenario { containers: PAIR, ..two(&[(Cut, 1), (Exit, 1)]) }),
    ("a cut, a slow start and a crash", Scenario { horizon: 6, ..two(&[(Cut, 1), (Slow, 1), (Crash, 1)]) }),
    ("takeovers and a late plan", two(&[(Takeover, 2), (LatePlan, 1), (RepeatedPlan, 1)])),
    ("a store opened anew, and a cut", two(&[(Reopen, 1), (Cut, 1)])),
    ("a store opened anew, cuts, and beats left unread", UNREAD),
    ("a worker called lost that lives, a crash and a cut", MISTAKEN),
    ("lost writes that a call gives away, and an end", SWAPPED),
    ("lost writes and an end", Scenario { horizon: 5, ..two(&[(LatePlan, 1), (Copy, 1), (Restore, 1), (Exit, 1)]) }),
    ("lost writes and a cut", Scenario { horizon: 5, ..two(&[(LatePlan, 1), (Copy, 1), (Restore, 1), (Cut, 1)]) }),
    ("lost writes and a stop", Scenario { horizon: 5, ..one(&[(LatePlan, 1), (Copy, 1), (Restore, 1), (Stop, 1)]) }),
];

const KEPT: Scenario = Scenario {
    machines: &[("w1", "k1", true), ("w1", "k2", false), ("w2", "k3", true)],
    containers: &[KEEP],
    ..one(&[(Join, 1), (Cut, 1), (Exit, 1)])
};

const UNREAD: Scenario = Scenario { horizon: 4, ..two(&[(Reopen, 2), (Unread, 1), (Cut, 2)]) };

const MISTAKEN: Scenario = Scenario { horizon: 5, ..two(&[(Crash, 1), (Cut, 1), (Mistake, 1)]) };

const SWAPPED: Scenario = Scenario { horizon: 5, ..two(&[(LatePlan, 1), (Copy, 1), (Swap, 1), (Exit, 1)]) };

/// What takes minutes.
const WIDER: &[(&str, Scenario)] = &[
    ("two crashes and an end", one(&[(Crash, 2), (Exit, 1)])),
    (
        "two containers, a crash, a cut and an end",
        Scenario { containers: PAIR, ..two(&[(Crash, 1), (Cut, 1), (Exit, 1)]) },
    ),
    (
        "a late call, a late answer and a crash",
        Scenario { horizon: 5, ..one(&[(LateCall, 1), (LateAnswer, 1), (Crash, 1)]) },
    ),
    ("a cut, a late loss and a repeated call", two(&[(Cut, 1), (LatePlan, 1), (Repeated, 1)])),
    ("a drain and a crash on either of two", Scenario { struck: 2, ..two(&[(Drain, 1), (Crash, 1), (Stop, 1)]) }),
    ("lost writes, takeovers and a late plan", one(&[(Copy, 1), (Restore, 1), (Takeover, 2), (LatePlan, 1)])),
    ("lost writes, a cut, a stop and an end", LOSSY),
];

const LOSSY: Scenario =
    Scenario { horizon: 6, ..two(&[(LatePlan, 1), (Copy, 1), (Restore, 1), (Cut, 1), (Stop, 1), (Exit, 1)]) };

#[test]
fn no_promise_breaks_within_small_bounds() {
    for (what, scenario) in WHOLE {
        scenario.search_all(what);
    }
}

#[test]
#[ignore = "takes minutes in an optimised build: cargo test --release -p app --test explorer -- --ignored --nocapture"]
fn no_promise_breaks_within_wider_bounds() {
    for (what, scenario) in WIDER {
        scenario.search_all(what);
    }
}
