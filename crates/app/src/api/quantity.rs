//! A quantity as it was written: the text of a JSON number or string, read by `domain::quantity` only.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

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

    /// A text such as `"500m"`.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_number: false }
    }

    /// What was written, without quotes.
    pub fn as_str(&self) -> &str {
        &self.text
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
        match (self.is_number, self.text.parse::<u64>()) {
            (true, Ok(value)) => serializer.serialize_u64(value),
            _ => serializer.serialize_str(&self.text),
        }
    }
}
