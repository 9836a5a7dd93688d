#![expect(clippy::needless_raw_string_hashes, reason = "the form in which expect-test writes what it updates")]

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

type Parse = fn(&str, Rounding) -> Result<u64, BadQuantity>;

/// One line a text: what a request asks with it, and what a worker has.
fn check(parse: Parse, texts: &[&str], expected: &Expect) {
    let mut table = String::new();
    for text in texts {
        let _ = match (parse(text, Rounding::Up), parse(text, Rounding::Down)) {
            (Ok(up), Ok(down)) => writeln!(table, "{text} = {up} asked, {down} had"),
            (Err(error), _) => writeln!(table, "{error}"),
            (up, down) => panic!("{text}: rounding decided what is an amount: {up:?}, {down:?}"),
        };
    }
    expected.assert_eq(&table);
}

#[test]
fn cpu_is_a_plain_number_or_thousandths() {
    let texts = ["2", "0.5", "2000m", "0.1", "0.0005", "1.9999", "0.5m", "007", "2.000", "0", "9007199254740.991"];
    check(
        parse_cpu_milli,
        &texts,
        &expect![[r#"
            2 = 2000 asked, 2000 had
            0.5 = 500 asked, 500 had
            2000m = 2000 asked, 2000 had
            0.1 = 100 asked, 100 had
            0.0005 = 1 asked, 0 had
            1.9999 = 2000 asked, 1999 had
            0.5m = 1 asked, 0 had
            007 = 7000 asked, 7000 had
            2.000 = 2000 asked, 2000 had
            0 = 0 asked, 0 had
            9007199254740.991 = 9007199254740991 asked, 9007199254740991 had
        "#]],
    );
}

#[test]
fn memory_needs_a_unit() {
    let texts = ["512Mi", "1.2Gi", "1G", "1500k", "1Ki", "1Ti", "1T", "1M", "1048576k", "0.30000000000000004Gi"];
    check(
        parse_memory_mib,
        &texts,
        &expect![[r#"
            512Mi = 512 asked, 512 had
            1.2Gi = 1229 asked, 1228 had
            1G = 954 asked, 953 had
            1500k = 2 asked, 1 had
            1Ki = 1 asked, 0 had
            1Ti = 1048576 asked, 1048576 had
            1T = 953675 asked, 953674 had
            1M = 1 asked, 0 had
            1048576k = 1000 asked, 1000 had
            0.30000000000000004Gi = 308 asked, 307 had
        "#]],
    );
    let bare = ["10", "0", "10GB", "10gi", "10K", "10Pi", "10B", "10m"];
    check(
        parse_memory_mib,
        &bare,
        &expect![[r#"
            "10" has no unit; write 10Mi or 10Gi
            "0" has no unit; write 0Mi or 0Gi
            "10GB" has an unknown unit; write 10Gi or 10G
            "10gi" has an unknown unit; write 10Gi or 10G
            "10K" has an unknown unit; write 10Ki or 10k
            "10Pi" has an unknown unit; the units are Ki Mi Gi Ti (of 1024) and k M G T (of 1000)
            "10B" has an unknown unit; the units are Ki Mi Gi Ti (of 1024) and k M G T (of 1000)
            "10m" has an unknown unit; write 10Mi or 10M
        "#]],
    );
}

#[test]
fn what_is_no_plain_decimal_is_refused_and_told_what_would_be() {
    let long = "1".repeat(50);
    let texts = [
        "",
        "inf",
        "NaN",
        "two",
        "-1",
        "+1",
        " 2",
        "2 m",
        "two cpus",
        "1_000m",
        "0,5",
        "1e3",
        "2E-1",
        "1e",
        ".5",
        "2.",
        "1.2.3",
        "2Gi",
        "0x10",
        "\u{663}",
        "9007199254740.992",
        "0.0000000000000000000000000000001",
        &long,
    ];
    check(
        parse_cpu_milli,
        &texts,
        &expect![[r#"
        "" is empty; write a plain decimal such as 2 or 0.5
        "inf" is not a number; write a plain decimal such as 2 or 0.5
        "NaN" is not a number; write a plain decimal such as 2 or 0.5
        "two" is not a number; write a plain decimal such as 2 or 0.5
        "-1" has a sign; write a plain decimal such as 2 or 0.5
        "+1" has a sign; write a plain decimal such as 2 or 0.5
        " 2" has a space; write 2
        "2 m" has a space; write 2m
        "two cpus" has a space; write a plain decimal such as 2 or 0.5
        "1_000m" has an underscore; write 1000m
        "0,5" has a comma; write a point before a fraction and nothing between thousands
        "1e3" has an exponent; write all of its digits
        "2E-1" has an exponent; write all of its digits
        "1e" has an unknown unit; write 1, or 1m for thousandths
        ".5" has a point without a digit on each side; write 0.5
        "2." has a point without a digit on each side; write 2.0
        "1.2.3" has a point without a digit on each side; write one point, as in 0.5
        "2Gi" has an unknown unit; write 2, or 2m for thousandths
        "0x10" has an unknown unit; write 0, or 0m for thousandths
        "٣" is not a number; write a plain decimal such as 2 or 0.5
        "9007199254740.992" is beyond 53 bits; the most is 9007199254740991m
        "0.0000000000000000000000000000001" has more than 30 digits; write fewer
        "1111111111111111111111111111111111111111..." has more than 30 digits; write fewer
    "#]],
    );
}

#[test]
fn whole_numbers_have_digits_only() {
    let whole = |text: &str, _| parse_whole(text);
    let texts = ["2000", "0", "2.0", "2Mi", "1e3", "-1", "9007199254740991", "9007199254740992"];
    check(
        whole,
        &texts,
        &expect![[r#"
        2000 = 2000 asked, 2000 had
        0 = 0 asked, 0 had
        "2.0" is not a whole number; write digits only
        "2Mi" has an unknown unit; this field counts whole units; write 2
        "1e3" has an exponent; write all of its digits
        "-1" has a sign; write a plain decimal such as 2 or 0.5
        9007199254740991 = 9007199254740991 asked, 9007199254740991 had
        "9007199254740992" is beyond 53 bits; the most is 9007199254740991
    "#]],
    );
}

#[test]
fn amounts_are_shown_as_people_write_them() {
    let cpus = [0, 1, 10, 500, 1000, 1250, 24_000].map(format_cpu);
    assert_eq!(cpus, ["0", "0.001", "0.01", "0.5", "1", "1.25", "24"]);
    let memory = [0, 1, 1229, 1024, 20 * 1024, 40 << 20].map(format_memory);
    assert_eq!(memory, ["0Mi", "1Mi", "1229Mi", "1Gi", "20Gi", "40Ti"]);
}

#[test]
fn an_error_names_the_field_of_a_request() {
    let error = parse_memory_mib("10", Rounding::Up).unwrap_err().in_field("memory");
    assert_eq!(error.to_string(), r#"memory: "10" has no unit; write 10Mi or 10Gi"#);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_read_back(amount in 0..=INTEGER_MAX) {
        for rounding in [Rounding::Up, Rounding::Down] {
            prop_assert_eq!(parse_cpu_milli(&format_cpu(amount), rounding), Ok(amount));
            prop_assert_eq!(parse_memory_mib(&format_memory(amount), rounding), Ok(amount));
            prop_assert_eq!(parse_whole(&amount.to_string()), Ok(amount));
        }
    }

    #[test]
    fn up_and_down_are_the_whole_units_around_the_amount(whole in 0..1_000_000_u64, fraction in "[0-9]{1,20}") {
        let text = format!("{whole}.{fraction}m");
        let exact = fraction.bytes().all(|digit| digit == b'0');
        prop_assert_eq!(parse_cpu_milli(&text, Rounding::Down), Ok(whole));
        prop_assert_eq!(parse_cpu_milli(&text, Rounding::Up), Ok(whole + u64::from(!exact)));
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,50}") {
        let _ = parse_cpu_milli(&text, Rounding::Up);
        let _ = parse_memory_mib(&text, Rounding::Down);
        let _ = parse_whole(&text);
    }
}
