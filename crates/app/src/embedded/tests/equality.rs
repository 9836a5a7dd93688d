//! The same steps on the reference and on the file: the same answers, the same rows.

use std::collections::BTreeMap;

use domain::container::{ContainerRow, End, EndRecord, Phase, Placement, State, StopCause, Waiting};
use domain::id::{Attempt, CellName, Incarnation, Revision, WorkerId, Workspace};
use domain::model::{Change, Filter, FleetName, Replace, backlog};
use domain::request::{OrderKey, Shape};
use domain::resources::Booking;
use domain::time::Timestamp;
use domain::wait::LotKey;
use ports::random::dice::Dice;
use ports::random::script::step;
use ports::rows::{RowStore, RowsOf};

use super::disk::Disk;
use super::pair::Pair;
use super::side::Reference;
use super::{ask, cell, container, open, ranges, read, submission};

/// How many sequences of steps are tried; `EQUALITY_SEEDS` asks for more.
const SEEDS: u64 = 30;
/// How long each is.
const ROUNDS: u64 = 40;

#[tokio::test]
async fn the_file_answers_as_the_reference_does() {
    let seeds = std::env::var("EQUALITY_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        let mut dice = Dice(seed);
        let mut pair = Pair::new().await;
        for _ in 0..ROUNDS {
            round(&mut pair, &mut dice, seed).await;
            if dice.once_in(20) {
                pair = pair.reopened(seed + 2).await;
                compare(&pair, &mut dice, seed).await;
            }
        }
    }
}

/// Makes a few steps on both, and reads all of both.
async fn round(pair: &mut Pair, dice: &mut Dice, seed: u64) {
    let count = if dice.once_in(2) { 1 } else { 1 + dice.below(5) };
    let mut steps = Vec::new();
    for _ in 0..count {
        let op = step(dice, &pair.see().await);
        let expected = pair.expect(&op).await;
        steps.push((op, expected));
    }
    let answers = pair.answers(steps.iter().map(|(op, _)| op.clone())).await;
    for ((op, expected), answer) in steps.iter().zip(answers) {
        assert_eq!(answer, *expected, "seed {seed}: {op:#?}");
    }
    compare(pair, dice, seed).await;
}

async fn compare(pair: &Pair, dice: &mut Dice, seed: u64) {
    let since = if dice.once_in(3) { None } else { Some(Revision(dice.below(40))) };
    let limit = 1 + dice.size(6);
    let (left, right) = (pair.left.read_all(since, limit).await, pair.right.read_all(since, limit).await);
    assert_eq!(right, left, "seed {seed}: read since {since:?}, {limit} at a time");
}

/// Rows that no step would write, close to each other in every index.
#[tokio::test]
async fn indexes_follow_rows() {
    let (reference, file) = (Reference::new(), open(&Disk::default()));
    let mut dice = Dice(1);
    let mut rows = BTreeMap::new();
    for round in 0..300 {
        let mut changes = Vec::new();
        for _ in 0..=dice.below(8) {
            let id = format!("c{}", dice.below(40));
            let after = (!dice.once_in(5)).then(|| any_row(&mut dice, &id));
            let before = rows.remove(&id);
            rows.extend(after.clone().map(|row| (id, row)));
            changes.push(Change::Container(Box::new(Replace { before, after })));
        }
        for store in [&reference as &dyn RowStore, &file] {
            let changes = changes.clone();
            store.write(&cell(), Box::new(move |_| Ok(changes.clone()))).await.expect("written");
        }
        let expected = read(&reference, |rows| ranges(rows)).await.expect("readable");
        assert_eq!(read(&file, |rows| ranges(rows)).await.expect("readable"), expected, "round {round}");
    }
}

fn any_row(dice: &mut Dice, id: &str) -> ContainerRow {
    let submission = submission(id, ask("red", 100, 0));
    let place = Placement {
        worker: dice.worker(),
        incarnation: Incarnation(1),
        booking: Booking::default(),
        order: Revision(dice.below(4)),
    };
    let quota = LotKey::Quota(submission.ask.workspace.clone());
    let state = match dice.below(8) {
        0 | 1 => State::Pending(Waiting::Ready),
        2 => State::Pending(Waiting::Parked(LotKey::Corrupt)),
        3 => State::Pending(Waiting::Parked(quota)),
        4 => State::Pending(Waiting::Parked(LotKey::Shape(submission.ask.shape()))),
        5 => State::Placed(place),
        6 => State::Stopping(place, StopCause::Stop),
        _ => State::Failed,
    };
    // One place in line a container, so that no two rows claim the same.
    let position = id[1..].parse().expect("a number");
    let end = EndRecord { end: End::Gone, attempt: Attempt(1), worker: None, at: Timestamp(dice.below(3)) };
    ContainerRow {
        id: container(id),
        digest: submission.digest(),
        ask: submission.ask,
        if_silent: submission.if_silent,
        key: OrderKey { rank: i64::from(position % 3) - 1, revision: Revision(u64::from(position % 2)), position },
        submitted: Timestamp(1),
        state,
        attempt: Attempt(1),
        placed_in: None,
        failures: 0,
        placed_at: None,
        taken_at: None,
        running_at: None,
        last_end: Some(end),
        changed: Revision(1 + dice.below(5)),
    }
}

/// Removals are remembered and forgotten one by one; what is gone sorts after what has changed, each by its kind.
#[tokio::test]
async fn removals_are_remembered_in_order() {
    let names = || {
        let workspace = || Workspace::new("w").expect("a name");
        [
            FleetName::Usage(workspace()),
            FleetName::Lot(LotKey::Corrupt),
            FleetName::Lot(LotKey::Quota(workspace())),
            FleetName::Lot(LotKey::Shape(Shape::from_text("é \"x\"=\"\u{10ffff}\""))),
            FleetName::Lot(LotKey::Shape(Shape::from_text("b"))),
            FleetName::Worker(WorkerId::new("w").expect("a name")),
        ]
    };
    let steps = [
        names().map(|name| Change::Gone(Revision(3), name)).to_vec(),
        names().map(|name| Change::Gone(Revision(u64::MAX >> 11), name)).to_vec(),
        names().into_iter().skip(3).map(|name| Change::ForgetGone(Revision(3), name)).collect(),
    ];
    let (reference, file) = (Reference::new(), open(&Disk::default()));
    for changes in steps {
        for store in [&reference as &dyn RowStore, &file] {
            let changes = changes.clone();
            store.write(&cell(), Box::new(move |_| Ok(changes.clone()))).await.expect("written");
        }
        let expected = read(&reference, |rows| rows.changed_fleet(Revision(0), 100)).await.expect("readable");
        assert_eq!(read(&file, |rows| rows.changed_fleet(Revision(0), 100)).await.expect("readable"), expected);
    }
}

/// Cells of one file share nothing, also if the name of one begins with the name of the other.
#[tokio::test]
async fn cells_do_not_see_each_other() {
    let store = open(&Disk::default());
    let cells = ["main", "main2", "mai", "other"].map(|text| CellName::new(text).expect("a name"));
    for (index, cell) in cells.iter().enumerate() {
        let step = move |rows: &RowsOf<'_>| {
            let id = format!("c{index}");
            Ok(backlog::submit(&rows, Timestamp(1), &[submission(&id, ask("team", 100, 0))])?.1)
        };
        store.write(cell, Box::new(step)).await.expect("written");
    }
    for (index, cell) in cells.iter().enumerate() {
        let step = move |rows: &RowsOf<'_>| {
            let only = [container(&format!("c{index}"))];
            assert_eq!((rows.cell()?.ready, rows.cell()?.revision), (1, Revision(1)));
            assert_eq!(rows.containers(&Filter::All, None, 9)?, only);
            assert_eq!(rows.containers(&Filter::Phase(Phase::Pending), None, 9)?, only);
            assert_eq!(rows.ready(None, 9)?.len() + rows.changed_containers(Revision(0), 9)?.len(), 2);
            assert_eq!(rows.container(&container("c9"))?, None);
            Ok(())
        };
        store.read(cell, Box::new(step)).await.expect("its own rows, and nobody else's");
    }
}
