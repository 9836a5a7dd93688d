//! The grammar of quantities: `2`, `"500m"`, `"1.2Gi"`. Every reader of amounts calls these functions, whatever its
//! format; a JSON number is handed in as it was written.
//!
//! The arithmetic is decimal and exact, on the text: no float ever holds an amount, so ten times 0.1 cpu is 1 cpu.

use std::fmt::Write as _;

use crate::id::INTEGER_MAX;
use crate::request::BadRequest;

/// The most digits that an amount may have, zeros before and after not counted: what the arithmetic holds exactly.
const DIGITS_MAX: usize = 30;
/// The most characters of a bad text that its error repeats, and of the advice.
const TEXT_MAX: usize = 40;
const ADVICE_MAX: usize = 80;

/// Which whole unit stands for an amount that lies between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// The next: a request is never given less than it asked.
    Up,
    /// The one before: a worker is never believed to have more than it has.
    Down,
}

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {fault}; {advice}")]
pub struct BadQuantity {
    /// What was written, cut short if it is long.
    pub text: String,
    /// What is wrong with it.
    pub fault: QuantityFault,
    /// What would be right.
    pub advice: String,
}

/// What may be wrong with an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum QuantityFault {
    /// Nothing was written.
    #[error("is empty")]
    Empty,
    /// It does not begin with a digit.
    #[error("is not a number")]
    NotANumber,
    /// A plus or a minus.
    #[error("has a sign")]
    Sign,
    /// A blank, anywhere.
    #[error("has a space")]
    Space,
    /// An underscore between digits.
    #[error("has an underscore")]
    Underscore,
    /// A comma between digits.
    #[error("has a comma")]
    Comma,
    /// A power of ten, as in `1e3`.
    #[error("has an exponent")]
    Exponent,
    /// A point without a digit on each side.
    #[error("has a point without a digit on each side")]
    LoosePoint,
    /// A fraction where only whole numbers count.
    #[error("is not a whole number")]
    Fraction,
    /// An amount of memory without a unit.
    #[error("has no unit")]
    NoUnit,
    /// A unit that does not exist, or not here.
    #[error("has an unknown unit")]
    UnknownUnit,
    /// More digits than are held exactly.
    #[error("has more than {DIGITS_MAX} digits")]
    TooManyDigits,
    /// More than every reader of our formats can hold.
    #[error("is beyond 53 bits")]
    TooLarge,
}

impl BadQuantity {
    fn new(text: &str, fault: QuantityFault, advice: impl Into<String>) -> Self {
        Self { text: shortened(text, TEXT_MAX), fault, advice: shortened(&advice.into(), ADVICE_MAX) }
    }

    /// The error as the one of a request's field.
    pub fn in_field(self, field: &'static str) -> BadRequest {
        BadRequest { field, problem: self.to_string() }
    }
}

/// Thousandths of a cpu: `2`, `0.5`, `2000m`.
pub fn parse_cpu_milli(text: &str, rounding: Rounding) -> Result<u64, BadQuantity> {
    parse_milli(text, rounding)
}

/// Thousandths of a GPU, in limits: `2`, `0.5`, `500m`.
pub fn parse_gpu_milli(text: &str, rounding: Rounding) -> Result<u64, BadQuantity> {
    parse_milli(text, rounding)
}

/// Mebibytes of memory: `512Mi`, `1.2Gi`, `1500k`. A bare number is refused, for nobody can know what it means.
pub fn parse_memory_mib(text: &str, rounding: Rounding) -> Result<u64, BadQuantity> {
    let (number, unit) = split(text)?;
    let decimal = Decimal::parse(text, number)?;
    if unit.is_empty() {
        return Err(BadQuantity::new(text, QuantityFault::NoUnit, format!("write {number}Mi or {number}Gi")));
    }
    let Some((_, ratio)) = MEMORY_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(BadQuantity::new(text, QuantityFault::UnknownUnit, memory_unit_advice(number, unit)));
    };
    decimal.times(*ratio, rounding).ok_or_else(|| too_large(text, "Mi"))
}

/// A whole number, as in `cpu_milli`, `memory_mib` or `count`.
pub fn parse_whole(text: &str) -> Result<u64, BadQuantity> {
    let (number, unit) = split(text)?;
    let decimal = Decimal::parse(text, number)?;
    if !unit.is_empty() {
        let advice = format!("this field counts whole units; write {number}");
        return Err(BadQuantity::new(text, QuantityFault::UnknownUnit, advice));
    }
    if number.contains('.') {
        return Err(BadQuantity::new(text, QuantityFault::Fraction, "write digits only"));
    }
    decimal.times(Ratio { of: 1, by: 1 }, Rounding::Down).ok_or_else(|| too_large(text, ""))
}

/// `2`, `0.5`: the shortest text that [`parse_cpu_milli`] reads back as the same amount.
pub fn format_cpu(milli: u64) -> String {
    let mut text = (milli / 1000).to_string();
    let thousandths = milli % 1000;
    if thousandths > 0 {
        let _ = write!(text, ".{thousandths:03}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

/// `20Gi`, `1229Mi`: the largest unit that needs no point.
pub fn format_memory(mib: u64) -> String {
    const GI: u64 = 1 << 10;
    const TI: u64 = 1 << 20;
    match mib {
        1.. if mib.is_multiple_of(TI) => format!("{}Ti", mib / TI),
        1.. if mib.is_multiple_of(GI) => format!("{}Gi", mib / GI),
        _ => format!("{mib}Mi"),
    }
}

/// How many of our units one of the written units is, as a fraction in lowest terms.
#[derive(Clone, Copy)]
struct Ratio {
    of: u128,
    by: u128,
}

/// In mebibytes: those of 1024 are powers of two; those of 1000 are divided by 2^20, shortened.
const MEMORY_UNITS: [(&str, Ratio); 8] = [
    ("Ki", Ratio { of: 1, by: 1 << 10 }),
    ("Mi", Ratio { of: 1, by: 1 }),
    ("Gi", Ratio { of: 1 << 10, by: 1 }),
    ("Ti", Ratio { of: 1 << 20, by: 1 }),
    ("k", Ratio { of: 125, by: 1 << 17 }),
    ("M", Ratio { of: 15_625, by: 1 << 14 }),
    ("G", Ratio { of: 1_953_125, by: 1 << 11 }),
    ("T", Ratio { of: 244_140_625, by: 1 << 8 }),
];

/// A number without sign or exponent: `digits / 10^scale`.
struct Decimal {
    digits: u128,
    scale: u32,
}

impl Decimal {
    fn parse(text: &str, number: &str) -> Result<Self, BadQuantity> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let loose = |advice: String| BadQuantity::new(text, QuantityFault::LoosePoint, advice);
        if fraction.contains('.') {
            return Err(loose("write one point, as in 0.5".to_owned()));
        }
        if whole.is_empty() || fraction.is_empty() {
            let digit = |part: &str| if part.is_empty() { "0" } else { part }.to_owned();
            return Err(loose(format!("write {}.{}", digit(whole), digit(fraction))));
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let too_many = || BadQuantity::new(text, QuantityFault::TooManyDigits, "write fewer");
        if whole.len() + fraction.len() > DIGITS_MAX {
            return Err(too_many());
        }
        let digits = whole.bytes().chain(fraction.bytes()).fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        Ok(Self { digits, scale: u32::try_from(fraction.len()).map_err(|_| too_many())? })
    }

    /// This many of a unit in our units, if they are at most 53 bits. [`DIGITS_MAX`] digits (100 bits) times the
    /// largest ratio (28 bits) is just held.
    fn times(&self, ratio: Ratio, rounding: Rounding) -> Option<u64> {
        let (dividend, divisor) = (self.digits * ratio.of, 10_u128.pow(self.scale) * ratio.by);
        let whole = match rounding {
            Rounding::Up => dividend.div_ceil(divisor),
            Rounding::Down => dividend / divisor,
        };
        u64::try_from(whole).ok().filter(|whole| *whole <= INTEGER_MAX)
    }
}

fn parse_milli(text: &str, rounding: Rounding) -> Result<u64, BadQuantity> {
    let (number, unit) = split(text)?;
    let decimal = Decimal::parse(text, number)?;
    let ratio = match unit {
        "" => Ratio { of: 1000, by: 1 },
        "m" => Ratio { of: 1, by: 1 },
        _ => {
            let advice = format!("write {number}, or {number}m for thousandths");
            return Err(BadQuantity::new(text, QuantityFault::UnknownUnit, advice));
        }
    };
    decimal.times(ratio, rounding).ok_or_else(|| too_large(text, "m"))
}

/// The number in front and the unit behind it, having refused what looks like a number elsewhere but not here.
fn split(text: &str) -> Result<(&str, &str), BadQuantity> {
    const PLAIN: &str = "write a plain decimal such as 2 or 0.5";
    let bad = |fault, advice: String| Err(BadQuantity::new(text, fault, advice));
    let without = |unwanted: fn(char) -> bool| match text.replace(unwanted, "") {
        rest if rest.starts_with(|c: char| c.is_ascii_digit()) => format!("write {rest}"),
        _ => PLAIN.to_owned(),
    };
    if text.is_empty() {
        return bad(QuantityFault::Empty, PLAIN.to_owned());
    }
    if text.contains(char::is_whitespace) {
        return bad(QuantityFault::Space, without(char::is_whitespace));
    }
    if text.contains('_') {
        return bad(QuantityFault::Underscore, without(|c| c == '_'));
    }
    if text.contains(',') {
        return bad(QuantityFault::Comma, "write a point before a fraction and nothing between thousands".to_owned());
    }
    if text.starts_with(['+', '-']) {
        return bad(QuantityFault::Sign, PLAIN.to_owned());
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return bad(QuantityFault::NotANumber, PLAIN.to_owned());
    }
    let power = unit.strip_prefix(['e', 'E']).map(|power| power.trim_start_matches(['+', '-']));
    if power.is_some_and(|power| power.starts_with(|c: char| c.is_ascii_digit())) {
        return bad(QuantityFault::Exponent, "write all of its digits".to_owned());
    }
    Ok((number, unit))
}

/// Names the units that `unit` was probably meant to be.
fn memory_unit_advice(number: &str, unit: &str) -> String {
    let near = match unit.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'k') => ["Ki", "k"],
        Some(b'm') => ["Mi", "M"],
        Some(b'g') => ["Gi", "G"],
        Some(b't') => ["Ti", "T"],
        _ => return "the units are Ki Mi Gi Ti (of 1024) and k M G T (of 1000)".to_owned(),
    };
    format!("write {number}{} or {number}{}", near[0], near[1])
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn too_large(text: &str, unit: &str) -> BadQuantity {
    BadQuantity::new(text, QuantityFault::TooLarge, format!("the most is {INTEGER_MAX}{unit}"))
}

#[cfg(test)]
mod tests;
