//! What is computed and printed.

use expect_test::expect;

use crate::bench::machine::Machine;
use crate::bench::result::{Column, Table, Value};
use crate::bench::samples::Samples;
use crate::bench::table::{shown, text};

#[test]
fn a_percentile_is_a_sample() {
    let of = |samples: &[f64]| {
        let mut all = Samples::default();
        for sample in samples {
            all.push(*sample);
        }
        (all.median(), all.percentile(99))
    };
    assert_eq!(of(&[7.0]), (7.0, 7.0));
    assert_eq!(of(&[3.0, 1.0, 2.0]), (2.0, 3.0));
    assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]), (2.0, 4.0));
    assert_eq!(of(&[5.0, 5.0, 1.0, 9.0, 5.0]), (5.0, 9.0));
    let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    assert_eq!(of(&hundred), (50.0, 99.0));
    assert!(of(&[]).0.is_nan());
}

#[test]
fn numbers_have_three_digits_that_count() {
    let numbers = [0.004, 1.5, 9.996, 42.04, 99.96, 1_234.4, -1_234_567.0].map(|number| shown(&Value::from(number)));
    assert_eq!(numbers, ["0.00", "1.50", "10.0", "42.0", "100", "1,234", "-1,234,567"]);
    assert_eq!(shown(&Value::from(123_456_usize)), "123,456");
    assert_eq!(shown(&Value::from(f64::NAN)), "-");
}

#[test]
fn a_table_stands_between_its_title_and_its_notes() {
    let column = |name: &str, unit: &str| Column { name: name.to_owned(), unit: unit.to_owned() };
    let table = Table {
        name: "speed".to_owned(),
        title: "Speed".to_owned(),
        about: "Of two.".to_owned(),
        runs: 3,
        machine: Machine::here(),
        columns: vec![column("store", ""), column("all placed", "ms")],
        rows: vec![vec!["redis".into(), 12.34.into()], vec!["embedded".into(), 1_234.0.into()]],
        notes: vec!["both were busy".to_owned()],
        plots: Vec::new(),
    };
    let text: Vec<String> = text(&table).lines().map(|line| line.trim_end().to_owned()).collect();
    expect![[r"

        Speed
        Of two.

        store        all
                  placed
                      ms
        redis       12.3
        embedded   1,234

        - both were busy"]]
    .assert_eq(&text.join("\n"));
}
