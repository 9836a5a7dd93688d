//! What scripts spell out by themselves is what the domain says, in the encoding of `ports::wire`.

use domain::container::{End, FAILURES_MAX};
use domain::model::placements::TAKE_BYTES_MAX;
use domain::model::{CALL_ITEMS_MAX, GONE_ROWS_MAX};
use domain::resources::GPU_WHOLE_MILLI;

use super::*;

const CELL: &str = include_str!("../lua/cell.lua");
const STEP: &str = include_str!("../lua/step.lua");
const LIFE: &str = include_str!("../lua/life.lua");
const TAKE: &str = include_str!("../lua/take.lua");
const FORGET: &str = include_str!("../lua/forget.lua");
const STOP: &str = include_str!("../lua/stop.lua");

/// What a script's line `local A, B = 1, 2 -- why` says of one of these names.
fn constant<'a>(script: &'a str, name: &str) -> &'a str {
    let of_line = |line: &'a str| {
        let (names, values) = line.strip_prefix("local ")?.split_once(" = ")?;
        let at = names.split(", ").position(|found| found == name)?;
        values.split(" --").next()?.split(", ").nth(at)
    };
    let mut found = script.lines().filter_map(of_line);
    let value = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(found.next(), None, "{name} is said once");
    value
}

/// The same, of a text.
fn constant_text<'a>(script: &'a str, name: &str) -> &'a str {
    let quoted = constant(script, name);
    quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or_else(|| panic!("{quoted} is no text"))
}

#[test]
fn ends_that_a_store_finds_are_spelt_as_they_are_encoded() {
    for (name, end) in
        [("WORKER_LOST", End::WorkerLost), ("WORKER_FORGOT", End::WorkerForgot), ("NEVER_STARTED", End::NeverStarted)]
    {
        assert_eq!(constant_text(LIFE, name), text(&end).unwrap());
    }
}

#[test]
fn reasons_that_a_store_finds_are_spelt_as_they_are_encoded() {
    assert_eq!(constant_text(STEP, "NO_WORKERS"), text(&Why::NoWorkers).unwrap());
    let settling = STOP.split('\'').find(|literal| literal.contains("settling")).expect("a reason to wait");
    for unregistered in [0, 7, 100_000] {
        let said = settling.replace("%.0f", &unregistered.to_string());
        assert_eq!(said, text(&Why::Settling { unregistered }).unwrap());
    }
}

#[test]
fn lots_of_a_kind_are_named_alike() {
    for (name, lot) in [("KEEP", LotKey::Keep), ("STOP", LotKey::Stop), ("CORRUPT", LotKey::Corrupt)] {
        assert_eq!(constant_text(STEP, name), lot_name(&lot));
    }
}

#[test]
fn bounds_are_those_of_the_domain() {
    assert_eq!(constant(CELL, "ITEMS_MAX"), CALL_ITEMS_MAX.to_string());
    assert_eq!(constant(CELL, "VERSION"), VERSION.to_string());
    assert_eq!(constant(STEP, "GPU_WHOLE"), GPU_WHOLE_MILLI.to_string());
    assert_eq!(constant(LIFE, "FAILURES_MAX"), FAILURES_MAX.to_string());
    assert_eq!(constant(TAKE, "BODIES_BYTES_MAX"), TAKE_BYTES_MAX.to_string());
    assert_eq!(constant(FORGET, "REMOVALS_MAX"), GONE_ROWS_MAX.to_string());
}
