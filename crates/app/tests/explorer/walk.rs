//! Walks by dice, beyond what a search can see whole. A seed is a walk.

use ports::random::dice::Dice;

use crate::choice::{Choice, Fault};
use crate::rules::Without;
use crate::scenario::{KEEP, STOP, Scenario};
use crate::search::Trace;

/// How many choices a walk makes before faults stop.
const STEPS: usize = 120;
/// The seed of the first walk, and how many there are, unless the environment says otherwise.
const SEED: u64 = 1;
const ROUNDS: u64 = 150;

/// Three machines, of which one comes later under an old name, and three containers, of which one is to be kept.
const WIDE: Scenario = Scenario {
    machines: &[("w1", "k1", true), ("w2", "k2", true), ("w1", "k3", false)],
    containers: &[STOP, STOP, KEEP],
    room: 2,
    before: &[],
    horizon: u64::MAX,
    struck: 3,
    budget: &[
        (Fault::LostCall, 6),
        (Fault::LostAnswer, 6),
        (Fault::LateCall, 4),
        (Fault::LateAnswer, 4),
        (Fault::Repeated, 4),
        (Fault::LostPlan, 2),
        (Fault::LatePlan, 3),
        (Fault::RepeatedPlan, 2),
        (Fault::Elsewhere, 4),
        (Fault::LateWord, 1),
        (Fault::Slow, 3),
        (Fault::Crash, 4),
        (Fault::Cut, 3),
        (Fault::Reopen, 2),
        (Fault::Unread, 3),
        (Fault::Takeover, 2),
        (Fault::Stop, 1),
        (Fault::Drain, 1),
        (Fault::Remove, 1),
        (Fault::Exit, 3),
        (Fault::Join, 1),
    ],
};

/// The same, with a store that loses writes once, whether or not it knows, and an operator who errs. What is to be kept may then run twice, where only the lost part knew
/// its worker.
const LOSSY: Scenario = Scenario {
    containers: &[STOP, STOP, STOP],
    budget: &[
        (Fault::LostCall, 3),
        (Fault::LostAnswer, 3),
        (Fault::LateAnswer, 2),
        (Fault::LatePlan, 3),
        (Fault::Elsewhere, 4),
        (Fault::Crash, 3),
        (Fault::Cut, 2),
        (Fault::Slow, 2),
        (Fault::Copy, 1),
        (Fault::Restore, 1),
        (Fault::Swap, 1),
        (Fault::Takeover, 1),
        (Fault::Stop, 2),
        (Fault::LateWord, 1),
        (Fault::Mistake, 1),
        (Fault::Exit, 3),
    ],
    ..WIDE
};

/// One of these; mostly what goes well, or time would stand still among faults.
fn pick(dice: &mut Dice, choices: &[Choice]) -> Choice {
    let weight = |choice: &Choice| match choice {
        Choice::Go => 40,
        Choice::Tick => 8,
        Choice::Restart(_) | Choice::Heal(_) | Choice::Arrive(_) => 2,
        _ => 1,
    };
    let mut left = dice.below(choices.iter().map(weight).sum());
    for choice in choices {
        match left.checked_sub(weight(choice)) {
            Some(rest) => left = rest,
            None => return *choice,
        }
    }
    unreachable!("the dice show less than all weights together")
}

impl Scenario {
    /// Goes one walk; answers the way, and whether a promise broke on it or after it.
    fn walk(&self, seed: u64) -> (Vec<Choice>, bool) {
        let mut dice = Dice(seed);
        let mut world = self.begin(Without::NOTHING, false);
        let mut path = Vec::new();
        while path.len() < STEPS && world.violation.is_none() {
            let choices = world.choices();
            if choices.is_empty() {
                break;
            }
            let choice = pick(&mut dice, &choices);
            path.push(choice);
            world.take(choice);
        }
        world.finish();
        (path, world.violation.is_some())
    }

    /// Whether this way leads to a broken promise, as far as it can be gone.
    fn breaks_on(&self, path: &[Choice]) -> bool {
        let mut world = self.begin(Without::NOTHING, false);
        for choice in path {
            if world.choices().contains(choice) && world.violation.is_none() {
                world.take(*choice);
            }
        }
        world.finish();
        world.violation.is_some()
    }

    /// The way without the choices that it can do without.
    fn shortened(&self, mut path: Vec<Choice>) -> Trace {
        let mut at = path.len();
        while at > 0 {
            at -= 1;
            let mut shorter = path.clone();
            shorter.remove(at);
            if self.breaks_on(&shorter) {
                path = shorter;
            }
        }
        self.trace(Without::NOTHING, &path)
    }

    fn walk_all(&self, seed: u64, rounds: u64) {
        for seed in (0..rounds).map(|round| seed.wrapping_add(round)) {
            let (path, is_broken) = self.walk(seed);
            let trace = is_broken.then(|| self.shortened(path));
            assert!(trace.is_none(), "seed {seed}: with all rules,\n{}", trace.expect("it is broken"));
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn no_walk_breaks_a_promise() {
    let (seed, rounds) = (setting("STOWPLAN_TORTURE_SEED", SEED), setting("STOWPLAN_TORTURE_ROUNDS", ROUNDS));
    println!("seed {seed}: {rounds} walks of {STEPS} steps, and as many with a store that loses writes");
    WIDE.walk_all(seed, rounds);
    LOSSY.walk_all(seed, rounds);
}
