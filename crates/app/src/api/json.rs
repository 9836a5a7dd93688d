//! JSON read so that what is wrong is named by its path, and nothing is taken for something else: where an object is
//! due, only an object will do, with no name in it twice.

mod strict;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use self::strict::Object;
pub(crate) use self::strict::{object, objects, some_object, some_unique_objects, unique_keys};
use super::field::{BadField, shortened};

/// How serde says that a number is beyond what it holds.
const BEYOND: &str = "number out of range";

/// Bytes that are not the document that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// No JSON at all.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// JSON, with a field that cannot be read.
    #[error(transparent)]
    Field(#[from] BadField),
}

/// Reads a document, which is an object.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadDocument> {
    read_any::<Object<T>>(bytes).map(|object| object.0)
}

fn read_any<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadDocument> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        translate(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| BadDocument::Syntax(error.to_string()))?;
    Ok(value)
}

/// A list of documents, or one alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOrList<T> {
    /// `{...}`
    One(Box<T>),
    /// `[{...}, ...]`
    List(Vec<T>),
}

/// Reads one document, or a list of them.
pub fn read_one_or_list<T: DeserializeOwned>(bytes: &[u8]) -> Result<OneOrList<T>, BadDocument> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => {
            let list: Vec<Object<T>> = read_any(bytes)?;
            Ok(OneOrList::List(list.into_iter().map(|object| object.0).collect()))
        }
        _ => read(bytes).map(OneOrList::One),
    }
}

fn translate(path: &str, error: &serde_json::Error) -> BadDocument {
    let text = error.to_string();
    // That is JSON, and beyond what any field could hold.
    if error.classify() != Category::Data && !text.starts_with(BEYOND) {
        return BadDocument::Syntax(text);
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let path = if path == "." { "" } else { path };
    BadDocument::Field(in_our_words(path, text))
}

/// What serde says, as a person reads it.
pub(crate) fn in_our_words(path: &str, text: &str) -> BadField {
    if let Some(rest) = text.strip_prefix("unknown field ") {
        let words = quoted(rest);
        let (found, fields) = words.split_first().map_or(("", &[][..]), |(found, rest)| (*found, rest));
        let advice = crate::api::nearest::advice(found, fields);
        return BadField { value: Some(found.to_owned()), ..BadField::new(path, format!("unknown field; {advice}")) };
    }
    if let Some(rest) = text.strip_prefix("unknown variant ") {
        let words = quoted(rest);
        if let Some((found, words)) = words.split_first() {
            return BadField::unknown(path, found, words);
        }
    }
    if let Some(rest) = text.strip_prefix("missing field ") {
        let names = quoted(rest);
        return BadField::missing("", "it must be given").inside(names.first().unwrap_or(&"")).inside_of(path);
    }
    if let Some(rest) = text.strip_prefix("duplicate field ") {
        let names = quoted(rest);
        return BadField::new(*names.first().unwrap_or(&""), "is given twice").inside_of(path);
    }
    let unfit = |prefix: &str| text.strip_prefix(prefix)?.rsplit_once(", expected ");
    if let Some((found, expected)) = unfit("invalid type: ") {
        return misplaced(path, found, form(expected));
    }
    if let Some((found, expected)) = unfit("invalid value: ") {
        return misplaced(path, found, range(expected).unwrap_or_else(|| form(expected)));
    }
    if text.starts_with(BEYOND) {
        return BadField::new(path, "is a number beyond all that a field can hold; write a smaller one");
    }
    BadField::new(path, text)
}

fn misplaced(path: &str, found: &str, form: &str) -> BadField {
    let value = found.split_once(' ').map(|(_, value)| value.trim_matches(['"', '`']).to_owned());
    let found = match found {
        "sequence" => "a list".into(),
        "map" => "an object".into(),
        other => other.replace('`', ""),
    };
    BadField { value, ..BadField::new(path, format!("{} does not belong here; write {form}", shortened(&found))) }
}

impl BadField {
    fn inside_of(self, outer: &str) -> Self {
        if outer.is_empty() { self } else { self.inside(outer) }
    }
}

/// The words between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What serde expects, as a person writes it.
fn form(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list, [...]",
        "a map" => "an object, {...}",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        _ if expected.starts_with("struct ") => "an object, {...}",
        other => other,
    }
}

/// Which whole numbers serde expects.
fn range(expected: &str) -> Option<&'static str> {
    match expected {
        "i32" => Some("a whole number from -2147483648 to 2147483647"),
        "u32" => Some("a whole number from 0 to 4294967295"),
        "u64" => Some("a whole number from 0 on"),
        _ => None,
    }
}
