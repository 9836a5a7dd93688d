//! A quantity as it was written: the text of a JSON number or string, read by `domain::quantity` only.

use domain::quantity::{BadQuantity, Rounding, parse_cpu_milli, parse_memory_mib, parse_whole};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use super::field::BadField;

/// The text of a number or a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    is_number: bool,
}

impl Quantity {
    /// A whole number.
    pub fn integer(value: u64) -> Self {
        Self { text: value.to_string(), is_number: true }
    }

    /// A whole number that may be negative.
    pub fn signed(value: i64) -> Self {
        Self { text: value.to_string(), is_number: true }
    }

    /// A text such as `"500m"`.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_number: false }
    }

    /// What was written, without quotes.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole number that it is.
    pub fn whole(&self, path: &str) -> Result<u64, BadField> {
        parse_whole(&self.text).map_err(|bad| BadField::quantity(path, &bad))
    }

    /// The whole number of at most 32 bits that it is.
    pub fn whole_u32(&self, path: &str) -> Result<u32, BadField> {
        let value = self.whole(path)?;
        u32::try_from(value).map_err(|_| BadField::of(path, &self.text, &format!("is too large; at most {}", u32::MAX)))
    }
}

/// One amount in its two forms: a word with a unit, or an exact integer under another name. Giving both is an error.
pub(crate) struct Amount<'a> {
    pub(crate) path: &'static str,
    pub(crate) written: Option<&'a Quantity>,
    pub(crate) exact_path: &'static str,
    pub(crate) exact: Option<&'a Quantity>,
    pub(crate) parse: fn(&str, Rounding) -> Result<u64, BadQuantity>,
}

impl<'a> Amount<'a> {
    /// Thousandths of a cpu.
    pub(crate) fn cpu(written: Option<&'a Quantity>, exact: Option<&'a Quantity>) -> Self {
        Self { path: "cpu", written, exact_path: "cpu_milli", exact, parse: parse_cpu_milli }
    }

    /// Mebibytes of memory.
    pub(crate) fn memory(written: Option<&'a Quantity>, exact: Option<&'a Quantity>) -> Self {
        Self { path: "memory", written, exact_path: "memory_mib", exact, parse: parse_memory_mib }
    }

    /// The amount in whole units, if it was given.
    pub(crate) fn read(&self, rounding: Rounding) -> Result<Option<u64>, BadField> {
        match (self.written, self.exact) {
            (Some(written), Some(_)) => {
                let problem = format!("is given together with {}; give one of them", self.exact_path);
                Err(BadField::of(self.path, written.as_str(), &problem))
            }
            (Some(written), None) => {
                let read = (self.parse)(written.as_str(), rounding);
                read.map(Some).map_err(|bad| BadField::quantity(self.path, &bad))
            }
            (None, Some(exact)) => exact.whole(self.exact_path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// What a request asks: rounded up, never 0, `default` if nothing was given.
    pub(crate) fn asked(&self, default: u64) -> Result<u64, BadField> {
        match self.read(Rounding::Up)? {
            Some(0) => {
                let (path, text) = self.given();
                Err(BadField::of(path, text, "is nothing; ask for more than 0"))
            }
            given => Ok(given.unwrap_or(default)),
        }
    }

    fn given(&self) -> (&'static str, &str) {
        match self.written {
            Some(written) => (self.path, written.as_str()),
            None => (self.exact_path, self.exact.map_or("", Quantity::as_str)),
        }
    }

    /// What a worker has: rounded down; it must be given.
    pub(crate) fn had(&self) -> Result<u64, BadField> {
        let missing = || BadField::missing(self.path, &format!("give {} or {}", self.path, self.exact_path));
        self.read(Rounding::Down)?.ok_or_else(missing)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => Ok(Self::text(serde_json::from_str::<String>(text).map_err(D::Error::custom)?)),
            Some(b'-' | b'0'..=b'9') => Ok(Self { text: text.to_owned(), is_number: true }),
            _ => Err(D::Error::custom(format!("{text} is no quantity; write a number, or a text such as \"500m\""))),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_number {
            if let Ok(value) = self.text.parse::<u64>() {
                return serializer.serialize_u64(value);
            }
            if let Ok(value) = self.text.parse::<i64>() {
                return serializer.serialize_i64(value);
            }
        }
        serializer.serialize_str(&self.text)
    }
}
