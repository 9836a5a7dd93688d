//! Spans of time as people write and read them: `50ms`, `2m`, `1h 30m`.

use std::time::Duration;

use jiff::SignedDuration;

/// The longest span that any format accepts: what every reader of our formats can hold in milliseconds.
const PERIOD_MAX: Duration = Duration::from_millis(domain::id::INTEGER_MAX);

/// A text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {fault}; write a number and a unit, such as 50ms, 5s, 2m or 1h")]
pub struct BadPeriod {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// Reads a span of time. A number without a unit is refused, for nobody can know what it means.
pub fn parse_period(text: &str) -> Result<Duration, BadPeriod> {
    let bad = |fault| BadPeriod { text: text.to_owned(), fault };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad(if text.is_empty() { "is empty" } else { "has no unit" }));
    }
    let signed: SignedDuration = text.parse().map_err(|_| bad("is no span of time"))?;
    let period = Duration::try_from(signed).map_err(|_| bad("is negative"))?;
    if period > PERIOD_MAX { Err(bad("is too long")) } else { Ok(period) }
}

/// The shortest text that [`parse_period`] reads back, to the millisecond.
pub fn format_period(period: Duration) -> String {
    let whole = Duration::from_millis(millis(period));
    SignedDuration::try_from(whole).map_or_else(|_| format!("{}ms", millis(period)), |signed| format!("{signed:#}"))
}

/// Whole milliseconds, the next if it lies between two.
pub fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// As a sentence says it: `12 s`, `0.3 s`, `2 min 5 s`.
pub fn spoken(period: Duration) -> String {
    let seconds = period.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) if seconds < 10 && period.subsec_millis() >= 100 => {
            format!("{seconds}.{} s", period.subsec_millis() / 100)
        }
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        let table = [
            ("50ms", Ok(50)),
            ("2m", Ok(120_000)),
            ("1h 30m", Ok(5_400_000)),
            ("1h30m", Ok(5_400_000)),
            ("1.5s", Ok(1_500)),
            ("0s", Ok(0)),
            ("50", Err("has no unit")),
            ("", Err("is empty")),
            ("-5s", Err("is negative")),
            ("soon", Err("is no span of time")),
        ];
        for (text, expected) in table {
            assert_eq!(parse_period(text).map(millis).map_err(|bad| bad.fault), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (millis, text) in [(0, "0s"), (50, "50ms"), (120_000, "2m"), (90_000, "1m 30s"), (1_500, "1s 500ms")] {
            let period = Duration::from_millis(millis);
            assert_eq!(format_period(period), text);
            assert_eq!(parse_period(text), Ok(period));
        }
    }

    #[test]
    fn sentences_say_spans_shortly() {
        let table = [(300, "0.3 s"), (1_000, "1 s"), (2_500, "2.5 s"), (12_700, "12 s"), (125_000, "2 min 5 s")];
        for (millis, text) in table {
            assert_eq!(spoken(Duration::from_millis(millis)), text);
        }
    }
}
