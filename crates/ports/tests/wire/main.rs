//! Every row reads back as it was written, and what was written once stays readable.

mod golden;
mod strategies;

use domain::container::{ContainerRow, Output};
use domain::model::{CellRow, UsageRow};
use domain::request::Body;
use domain::wait::LotRow;
use domain::worker::WorkerRow;
use ports::PortError;
use ports::wire::{Row, VERSION};
use proptest::prelude::*;

fn reads_back<T: Row + PartialEq + std::fmt::Debug>(row: &T) -> Result<(), TestCaseError> {
    let bytes = row.encode().expect("integers fit");
    prop_assert_eq!(bytes.first(), Some(&VERSION));
    prop_assert_eq!(&T::decode("it", &bytes).expect("it reads back"), row);
    Ok(())
}

proptest! {
    #[test]
    fn containers_read_back(row in strategies::container()) {
        reads_back(&row)?;
    }

    #[test]
    fn bodies_read_back(row in strategies::body()) {
        reads_back(&row)?;
    }

    #[test]
    fn outputs_read_back(row in strategies::output()) {
        reads_back(&row)?;
    }

    #[test]
    fn workers_read_back(row in strategies::worker()) {
        reads_back(&row)?;
    }

    #[test]
    fn lots_read_back(row in strategies::lot()) {
        reads_back(&row)?;
    }

    #[test]
    fn usage_reads_back(row in strategies::usage_row()) {
        reads_back(&row)?;
    }

    #[test]
    fn cells_read_back(row in strategies::cell()) {
        reads_back(&row)?;
    }

    /// Whatever a disk or a stranger puts there: an error that names the row, never a panic.
    #[test]
    fn damaged_bytes_are_corrupt_or_another_row(
        row in strategies::container(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = row.encode().expect("integers fit");
        let at = at.index(bytes.len());
        bytes[at] = byte;
        match ContainerRow::decode("container c1", &bytes) {
            Ok(read) => reads_back(&read)?,
            Err(error) => prop_assert_eq!(error.to_string(), "container c1 cannot be decoded"),
        }
        bytes.truncate(at);
        prop_assert!(ContainerRow::decode("container c1", &bytes).is_err());
    }
}

fn why_not<T: Row + std::fmt::Debug>(bytes: &[u8]) -> String {
    match T::decode("the row", bytes) {
        Err(PortError::Corrupt { what, source }) => format!("{what}: {source}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_versions_are_refused() {
    assert_eq!(why_not::<Body>(b""), "the row: it is empty");
    assert_eq!(why_not::<Body>(br#"2{"cmd":["a"]}"#), "the row: it begins with 0x32, and only version 0x31 is known");
    assert_eq!(why_not::<Body>(br#"{"cmd":["a"]}"#), "the row: it begins with 0x7b, and only version 0x31 is known");
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    let unknown = why_not::<Body>(br#"1{"cmd":["a"],"user":"root"}"#);
    assert!(unknown.contains("unknown field `user`"), "{unknown}");
    let missing = why_not::<Body>(br#"1{"env":{}}"#);
    assert!(missing.contains("missing field `cmd`"), "{missing}");
    let more = why_not::<Body>(br#"1{"cmd":["a"]}{}"#);
    assert!(more.contains("trailing characters"), "{more}");
}

#[test]
fn names_and_integers_are_checked() {
    let usage = |workspace: &str, cpu: &str| {
        let json = format!(r#"1{{"ws":"{workspace}","uses":{{"cpu":{cpu},"mem":0,"gpu":0,"n":1}},"rev":1}}"#);
        UsageRow::decode("usage", json.as_bytes()).map_err(|_| why_not::<UsageRow>(json.as_bytes()))
    };
    assert!(usage("team", "9007199254740991").is_ok());
    let bad = usage("team", "9007199254740992").expect_err("too large");
    assert!(bad.contains("9007199254740992 is beyond 53 bits"), "{bad}");
    assert!(usage("team", "-1").is_err());
    let bad = usage("a/b", "1").expect_err("no name");
    assert!(bad.contains("'/' is not allowed in a name"), "{bad}");
}

#[test]
fn what_no_reader_would_accept_is_not_written() {
    let mut row = golden::usage();
    row.usage.cpu_milli = domain::id::INTEGER_MAX + 1;
    let error = row.encode().expect_err("too large");
    assert!(matches!(error, PortError::Corrupt { .. }), "{error:?}");
}

/// Bytes once written must stay readable, whatever becomes of the code: a change that fails here needs a new version,
/// and a reader of the old one.
#[test]
fn what_was_written_once_stays_readable() {
    fn check<T: Row + PartialEq + std::fmt::Debug>(row: &T, written: &str) {
        let bytes = row.encode().expect("integers fit");
        assert_eq!(String::from_utf8_lossy(&bytes), written);
        assert_eq!(T::decode("it", written.as_bytes()).expect("it stays readable"), *row);
    }
    check::<CellRow>(&golden::cell(), golden::CELL);
    check::<ContainerRow>(&golden::running(), golden::RUNNING);
    check::<ContainerRow>(&golden::parked(), golden::PARKED);
    check::<WorkerRow>(&golden::worker(), golden::WORKER);
    check::<LotRow>(&golden::lot(), golden::LOT);
    check::<UsageRow>(&golden::usage(), golden::USAGE);
    check::<Body>(&golden::body(), golden::BODY);
    check::<Output>(&golden::output(), golden::OUTPUT);
}
