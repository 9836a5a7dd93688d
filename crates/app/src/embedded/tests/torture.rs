//! Power cuts: whatever the disk keeps of what was not synced, no answered step is lost, and none is half made.

use domain::audit;
use domain::model::Mandate;
use ports::random::dice::Dice;
use ports::random::script::{sound, step};

use super::disk::{Disk, Lost};
use super::pair::Pair;
use super::side::Side;
use super::{read, try_open};

/// How many power cuts are made; `STOWPLAN_TORTURE_ROUNDS` asks for more.
const CUTS: u64 = 1_000;
/// How many a store lives through, one after the other, before the next one begins empty.
const CUTS_A_LIFE: u64 = 10;
/// How many steps are queued together at most.
const BURST_MAX: u64 = 8;
/// The power goes out within so many writes and syncs of a burst's begin.
const OPERATIONS_MAX: u64 = 60;

/// What cuts have taken.
#[derive(Debug, Default)]
struct Toll {
    cuts: u64,
    /// Those that took something of what was not synced.
    lossy: u64,
    /// Those that hit a store while it was opened after another one.
    at_opening: u64,
    answered: usize,
    /// Steps that were under way or behind it, and how many of them were made all the same.
    unanswered: usize,
    made: usize,
    /// Writes of which something is gone, and how many bytes of them.
    writes: usize,
    bytes: usize,
}

/// The state after a step: how many changes the reference had made, and who planned.
type After = (usize, Option<Mandate>);

/// A store that goes through power cuts.
struct Life {
    pair: Pair,
    dice: Dice,
    toll: Toll,
}

impl Life {
    async fn new(seed: u64) -> Self {
        Self { pair: Pair::new().await, dice: Dice(seed), toll: Toll::default() }
    }

    /// Queues steps until the power goes out in the midst of them, and looks at what is left. An error says what is
    /// wrong with it.
    async fn cut(&mut self) -> Result<(), String> {
        self.pair.disk.cut_power_after(self.dice.below(OPERATIONS_MAX));
        loop {
            let mut ops = Vec::new();
            let mut states = vec![self.now()];
            let mut expected = Vec::new();
            for _ in 0..=self.dice.below(BURST_MAX) {
                let seen = self.pair.see().await;
                let op = sound(step(&mut self.dice, &seen), &seen);
                expected.push(self.pair.expect(&op).await);
                states.push(self.now());
                ops.push(op);
            }
            let answers = self.pair.answers(ops.into_iter()).await;
            let answered = answers.iter().zip(&expected).take_while(|(answer, expected)| answer == expected).count();
            let is_out = |answer: &String| answer.starts_with("Err(Unavailable");
            if let Some(strange) = answers[answered..].iter().find(|answer| !is_out(answer)) {
                return Err(format!("a step behind one that failed is answered {strange}"));
            }
            self.toll.answered += answered;
            if answered < answers.len() {
                self.toll.unanswered += answers.len() - answered;
                return self.come_back(states.split_off(answered)).await;
            }
        }
    }

    fn now(&self) -> After {
        (self.pair.reference.changes(), self.pair.mandate.clone())
    }

    /// Opens what is left of the disk: it must hold one of these states, the first of which was answered.
    async fn come_back(&mut self, states: Vec<After>) -> Result<(), String> {
        let mut disk = self.survivor(&self.pair.disk.clone());
        while self.dice.once_in(4) {
            disk.cut_power_after(self.dice.below(OPERATIONS_MAX / 4));
            // Opened or not, nobody has seen anything of it.
            drop(try_open(&disk));
            self.toll.at_opening += 1;
            disk = self.survivor(&disk);
        }
        let store = try_open(&disk).map_err(|error| format!("it does not open: {error}"))?;
        let findings = read(&store, |rows| audit::of_rows(&rows)).await.map_err(|error| error.to_string())?;
        if let Some(corruption) = findings.iter().find(|finding| finding.is_corruption()) {
            return Err(corruption.to_string());
        }
        let right = Side::over(store).await;
        let found = right.read_all(None, 100).await;
        for (made, (changes, mandate)) in states.into_iter().enumerate() {
            let reference = self.pair.reference.reopened_at(changes, self.toll.cuts);
            let left = Side::over(reference.clone()).await;
            if left.read_all(None, 100).await == found {
                self.toll.made += made;
                self.pair = Pair { reference, disk, left, right, mandate };
                return Ok(());
            }
        }
        Err("an answered step is lost, or a step is half made".to_owned())
    }

    /// What a machine finds on this disk after the power went out.
    fn survivor(&mut self, disk: &Disk) -> Disk {
        let (survivor, Lost { writes, bytes }) = disk.after_power_cut(&mut self.dice);
        self.toll.cuts += 1;
        self.toll.lossy += u64::from(writes > 0);
        self.toll.writes += writes;
        self.toll.bytes += bytes;
        survivor
    }
}

impl Toll {
    fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.lossy += other.lossy;
        self.at_opening += other.at_opening;
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.made += other.made;
        self.writes += other.writes;
        self.bytes += other.bytes;
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn no_answered_step_is_lost_by_a_power_cut() {
    let (first, cuts) = (number("STOWPLAN_TORTURE_SEED", 0), number("STOWPLAN_TORTURE_ROUNDS", CUTS));
    let mut toll = Toll::default();
    for seed in first..first + cuts.div_ceil(CUTS_A_LIFE) {
        let mut life = Life::new(seed).await;
        for cut in 1..=CUTS_A_LIFE {
            life.cut().await.unwrap_or_else(|wrong| panic!("STOWPLAN_TORTURE_SEED={seed}, cut {cut}: {wrong}"));
        }
        toll.add(&life.toll);
    }
    println!("{toll:?}");
    // A few cuts, as when one seed is looked at, may be much alike.
    if cuts >= CUTS {
        assert!(toll.lossy * 2 > toll.cuts, "most cuts took nothing, and prove nothing: {toll:?}");
        assert!(toll.answered > 0, "no step was there to be lost: {toll:?}");
        assert!(toll.made > 0 && toll.made < toll.unanswered, "cuts hit no commit at its edge: {toll:?}");
    }
}

/// The check is worth something: it finds a store whose syncs do nothing.
#[tokio::test]
async fn a_disk_that_lies_is_found_out() {
    for seed in 0..5 {
        let mut life = Life::new(seed).await;
        // Reading what is left may panic, too.
        let survives = tokio::spawn(async move {
            for _ in 0..CUTS_A_LIFE {
                life.pair.disk.lie();
                life.cut().await?;
            }
            Ok::<_, String>(())
        });
        assert!(!matches!(survives.await, Ok(Ok(()))), "seed {seed}: {CUTS_A_LIFE} cuts, and nothing was missed");
    }
}
