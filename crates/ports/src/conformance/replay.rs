//! The same calls to the store and to `domain::model` on rows in memory: the same answers, the same rows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CellName, Revision};
use domain::model::{CellRow, MemoryRows};

use super::audited::audit;
use super::case::{Case, answered};
use crate::random::call::Op;
use crate::random::dice::Dice;
use crate::random::read_all;
use crate::random::script::{Seen, reading, sound, step};
use crate::rows::{ReadStep, RowPorts, RowStore, WriteStep};
use crate::{Limits, PortError, PortResult, Ports};

/// How many cells are played; `STOWPLAN_TORTURE_ROUNDS` asks for more, and `STOWPLAN_TORTURE_SEED` says which is first.
const ROUNDS: u64 = 4;
/// How many calls a cell is given.
const CALLS: u64 = 300;

/// The rows of one cell in memory, which are what the model makes of them.
struct Model(Mutex<MemoryRows<PortError>>);

impl Model {
    /// A model that begins with the words of a cell in which nothing has happened.
    async fn of(case: &Case) -> Ports {
        let beats = answered(case.ports.workers.beats(&case.cell).await);
        let rows = MemoryRows::new(CellRow::new(beats.history), beats.boot);
        (case.likewise)(RowPorts::over(Self(Mutex::new(rows))))
    }

    fn rows(&self) -> MutexGuard<'_, MemoryRows<PortError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RowStore for Model {
    async fn write(&self, _: &CellName, mut step: WriteStep) -> PortResult<()> {
        let mut rows = self.rows();
        let changes = step(&*rows)?;
        rows.apply(changes);
        Ok(())
    }

    async fn read(&self, _: &CellName, mut step: ReadStep) -> PortResult<()> {
        step(&*self.rows())
    }

    fn limits(&self) -> Limits {
        Limits { exclusive: true, ..Limits::default() }
    }
}

/// A caller that has seen more of the cell than there is: the store goes on in a new history.
fn from_beyond(mut op: Op) -> Op {
    if let Op::Heartbeat(callers) = &mut op {
        for caller in callers {
            caller.mark.revision = Revision(1_000_000);
        }
    }
    op
}

pub async fn random_calls_are_answered_as_the_model_answers(case: &Case) {
    let first = told("STOWPLAN_TORTURE_SEED", 1);
    for seed in first..first + told("STOWPLAN_TORTURE_ROUNDS", ROUNDS) {
        let case = Case::fresh(case.ports.clone(), case.likewise);
        play(&case, seed).await;
        audit(&case).await;
    }
}

async fn play(case: &Case, seed: u64) {
    let (model, cell) = (Model::of(case).await, &case.cell);
    let mut dice = Dice(seed);
    let mut mandate = None;
    for call in 0..CALLS {
        let known = Seen::of(&model, cell, mandate.clone()).await;
        let op = if dice.once_in(4) { reading(&mut dice, &known) } else { sound(step(&mut dice, &known), &known) };
        let op = if dice.once_in(12) { from_beyond(op) } else { op };
        if let Op::Ordered(seen) = op {
            let (least, upto) = (ordered(&model, cell, seen).await, ordered(&case.ports, cell, seen).await);
            assert!(
                upto >= least,
                "STOWPLAN_TORTURE_SEED={seed}, call {call}: a wait after {seen:?} ends at {upto:?}, before {least:?}"
            );
            continue;
        }
        let expected = op.clone().call(&model, cell, &mut mandate).await;
        let answer = op.clone().call(&case.ports, cell, &mut mandate).await;
        assert_eq!(answer, expected, "STOWPLAN_TORTURE_SEED={seed}, call {call}: {op:#?}");
    }
    let (expected, found) = (read_all(&model, cell, None, 3).await, read_all(&case.ports, cell, None, 3).await);
    assert_eq!(found, expected, "STOWPLAN_TORTURE_SEED={seed}, what is left");
}

/// How far a wait that is over at once says that orders go. A store that hears of a step after it has read it may count it
/// twice, which wakes in vain and is allowed; one that falls behind passes orders over.
async fn ordered(ports: &Ports, cell: &CellName, seen: Revision) -> Revision {
    answered(ports.placements.wait(cell, seen, Duration::ZERO).await).upto
}

/// What is said from outside, or the default.
fn told(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}
