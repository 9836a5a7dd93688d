//! Names and numbers, each a type of its own so that none can stand where another belongs.

use std::fmt;
use std::sync::Arc;

use crate::retry::mixed;

/// The longest name that any identifier may have, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// A name that cannot be used as an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing was given.
    #[error("a name may not be empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error("{0:?} is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit")]
    BadCharacter(char),
}

/// Letters, digits, `.`, `_` and `-`; the first a letter or a digit. Such names are safe in a path and in a URL.
fn check_name(text: &str) -> Result<(), BadName> {
    let first = text.chars().next().ok_or(BadName::Empty)?;
    if text.len() > NAME_BYTES_MAX {
        return Err(BadName::TooLong(text.len()));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(BadName::BadCharacter(first));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars().find(|c| !allowed(*c)).map_or(Ok(()), |c| Err(BadName::BadCharacter(c)))
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts `text` if it is a name (see [`BadName`] for what is not).
            pub fn new(text: &str) -> Result<Self, BadName> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// One backlog, one fleet, one active planner.
    CellName
    /// What a request is called, and the container that it becomes.
    ContainerId
    /// A worker, as an operator knows it.
    WorkerId
    /// A tenant: quotas and private workers belong to it.
    Workspace
    /// A group of workers made from one template.
    PoolName
    /// The physical or virtual machine that a worker runs on; a request may pin one.
    MachineName
    /// What runs a container on a worker: `process`, `docker`, ...
    Runtime
    /// One process that plans; new at every start.
    PlannerId
    /// Made once in a worker's data folder; tells a returning worker from a stranger under its name.
    WorkerKey
}

/// A kind of GPU. `a100` and `A100` are the same kind; what was written is what is shown.
#[derive(Debug, Clone)]
pub struct GpuType(Arc<str>);

impl GpuType {
    /// Accepts `text` if it is a name.
    pub fn new(text: &str) -> Result<Self, BadName> {
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// The kind as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for GpuType {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for GpuType {}

impl PartialOrd for GpuType {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GpuType {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}

impl fmt::Display for GpuType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The largest integer that every reader of our formats can hold exactly (JSON numbers, Lua doubles).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

numbers! {
    /// Raised by every placement of a container; 0 before the first.
    Attempt
    /// Raised by every change of a cell's planner.
    Term
    /// Raised by every fenced write of a planner; a stamp that moves proves that its planner lives.
    Stamp
    /// Moved by every step that writes to a cell.
    Revision
    /// Raised durably by a worker before every registration.
    Incarnation
    /// Raised by every call of one incarnation.
    CallNumber
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Takes the low 53 bits of a random number.
            pub fn from_random(random: u64) -> Self {
                Self(random & INTEGER_MAX)
            }

            /// The word as a number of at most 53 bits.
            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:014x}", self.0)
            }
        }
    )*};
}

words! {
    /// A random word in the cell's row; a store that may have lost writes starts a new one.
    History
    /// A random word that a store makes each time it is opened.
    Boot
}

/// A point in a cell's life: which history, and how far into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The history that the revision belongs to.
    pub history: History,
    /// The revision reached.
    pub revision: Revision,
}

impl History {
    /// The history that follows this one when a store that was opened as `boot` may have lost what came after `survived`.
    #[must_use]
    pub fn after(self, boot: Boot, survived: Revision) -> Self {
        let words = [self.0, boot.0, survived.0].into_iter();
        Self::from_random(words.fold(0, |word, next| mixed(word ^ next, 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_wrong_with_them() {
        assert_eq!(ContainerId::new(""), Err(BadName::Empty));
        assert_eq!(ContainerId::new("-a"), Err(BadName::BadCharacter('-')));
        assert_eq!(ContainerId::new("a/b"), Err(BadName::BadCharacter('/')));
        assert_eq!(ContainerId::new(&"a".repeat(129)), Err(BadName::TooLong(129)));
        assert_eq!(ContainerId::new("a.b_c-9").unwrap().as_str(), "a.b_c-9");
    }

    #[test]
    fn gpu_types_ignore_case() {
        assert_eq!(GpuType::new("a100").unwrap(), GpuType::new("A100").unwrap());
        assert!(GpuType::new("A10").unwrap() < GpuType::new("a100").unwrap());
    }
}
