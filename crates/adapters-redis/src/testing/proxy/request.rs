//! What a proxy must know of a request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use crate::testing::resp::Reply;

/// A request, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// In capitals.
    pub(super) command: String,
    /// What tells this run of a script from others.
    pub(super) script: Option<u64>,
    /// The name that it gives its connection.
    pub(super) name: Option<String>,
}

impl Request {
    pub(super) fn of(frame: &[u8]) -> io::Result<Self> {
        let request = Reply::of(frame)?.0;
        let Reply::List(words) = &request else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a request that is no list"));
        };
        let command = word(words, 0);
        let script = matches!(command.as_str(), "EVALSHA" | "EVAL").then(|| hash(frame));
        let name = match command.as_str() {
            "CLIENT" if word(words, 1) == "SETNAME" => words.get(2).map(Reply::text),
            "HELLO" => (2..words.len())
                .find(|at| word(words, *at) == "SETNAME")
                .and_then(|at| words.get(at + 1))
                .map(Reply::text),
            _ => None,
        };
        Ok(Self { command, script, name })
    }

    /// Whether an answer follows in its turn. What a subscriber is told comes when it comes.
    pub(super) fn is_answered(&self) -> bool {
        !self.command.ends_with("SUBSCRIBE")
    }
}

fn word(words: &[Reply], at: usize) -> String {
    words.get(at).map(|word| word.text().to_ascii_uppercase()).unwrap_or_default()
}

fn hash(frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::resp::frame;

    fn request(words: &[&str]) -> Request {
        Request::of(&frame(words)).unwrap()
    }

    #[test]
    fn scripts_are_told_apart_by_every_byte() {
        let script = |word: &str| request(&["evalsha", "digest", "1", "key", word]).script.unwrap();
        assert_eq!(script("a"), script("a"));
        assert_ne!(script("a"), script("b"));
        assert_eq!(request(&["GET", "evalsha"]).script, None);
    }

    #[test]
    fn a_name_is_read_where_it_is_given() {
        assert_eq!(request(&["client", "setname", "planner"]).name.unwrap(), "planner");
        assert_eq!(request(&["HELLO", "3", "SETNAME", "planner"]).name.unwrap(), "planner");
        assert_eq!(request(&["CLIENT", "ID"]).name, None);
        assert!(!request(&["PSUBSCRIBE", "x"]).is_answered());
    }
}
