//! What scripts spell out by themselves is what the domain says, in the encoding of `ports::wire`.

use domain::container::{End, FAILURES_MAX};
use domain::id::INTEGER_MAX;
use domain::model::placements::TAKE_BYTES_MAX;
use domain::model::{CALL_ITEMS_MAX, GONE_ROWS_MAX};
use domain::request::Ask;
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
fn the_lot_of_a_shape_of_its_own_is_spelt_as_the_domain_spells_it() {
    assert_eq!(constant_text(STEP, "OWN"), OWN_LOT);
    for (workspace, cpu, memory) in [("default", 1_000, 512), ("a-team", 1, INTEGER_MAX)] {
        let spelt = constant_text(STEP, "OWN_LOT").replacen("%s", workspace, 1);
        let spelt = spelt.replacen("%.0f", &cpu.to_string(), 1).replacen("%.0f", &memory.to_string(), 1);
        let ask = Ask::plain(Workspace::new(workspace).unwrap(), cpu, memory);
        assert_eq!(spelt, lot_name(&LotKey::Shape(ask.shape())));
    }
}

#[test]
fn phases_are_counted_in_the_order_of_the_domain() {
    let words = Phase::ALL.map(|phase| format!("'{}'", phase.as_str())).join(", ");
    assert!(CELL.contains(&format!("local WORDS = {{ {words} }}\n")), "{words}");
    let numbers: Vec<_> =
        Phase::ALL.iter().enumerate().map(|(at, phase)| format!("{} = {}", phase.as_str(), at + 1)).collect();
    let numbers = numbers.join(", ");
    assert!(CELL.contains(&format!("local PHASE = {{\n  {numbers},\n}}\n")), "{numbers}");
}

#[test]
fn a_digest_reads_back_from_its_text() {
    for bits in [0, 1, 0x7f, 0x80, u128::MAX, Digest::of("a").0] {
        let kept = digest_text(Digest(bits));
        assert_eq!((kept.len(), digest(&kept).unwrap()), (DIGEST_CHARS, Digest(bits)));
    }
    assert!(digest("").is_err());
    assert!(digest(&format!("{}é", "0".repeat(DIGEST_CHARS - 2))).is_err());
}

#[test]
fn what_is_asked_reads_back_whether_or_not_it_is_more_than_cpu_and_memory() {
    let plain = Ask::plain(Workspace::new("a").unwrap(), 1, 2);
    let urgent = Ask { priority: 1, ..plain.clone() };
    let other = Ask::plain(Workspace::new("a").unwrap(), 1, 3);
    let mut asks = Asks::default();
    for (ask, is_plain) in
        [(&plain, true), (&plain, true), (&other, true), (&urgent, false), (&urgent, false), (&plain, true)]
    {
        let rest = ask_rest(ask).unwrap();
        assert_eq!(rest.is_empty(), is_plain);
        let (workspace, cpu, memory) = (ask.workspace.as_str(), ask.cpu_milli, ask.memory_mib);
        let last = asks.read(&AskRecord { workspace, cpu, memory, rest: &rest }).unwrap();
        assert_eq!(last.shape(), ask.shape());
        assert_eq!(*last.ask, *ask);
    }
}

#[test]
fn bounds_are_those_of_the_domain() {
    assert_eq!(constant(CELL, "ITEMS_MAX"), CALL_ITEMS_MAX.to_string());
    assert_eq!(constant(CELL, "VERSION"), VERSION.to_string());
    assert_eq!(constant(CELL, "LOT_BYTES"), LOT_BYTES.to_string());
    assert_eq!(constant(STEP, "GPU_WHOLE"), GPU_WHOLE_MILLI.to_string());
    assert_eq!(constant(LIFE, "FAILURES_MAX"), FAILURES_MAX.to_string());
    assert_eq!(constant(TAKE, "BODIES_BYTES_MAX"), TAKE_BYTES_MAX.to_string());
    assert_eq!(constant(FORGET, "REMOVALS_MAX"), GONE_ROWS_MAX.to_string());
}
