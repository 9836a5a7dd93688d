//! The one secret that server, agents and clients share.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

/// The variable that holds the token.
pub const TOKEN_VARIABLE: &str = "STOWPLAN_TOKEN";

/// A shared secret. It is never printed.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// A token that cannot be used. The text never holds the token.
#[derive(Debug, thiserror::Error)]
pub enum BadToken {
    /// Nothing was given.
    #[error("the token is empty")]
    Empty,
    /// It cannot travel in a header.
    #[error("the token holds a space, or what is no ASCII character")]
    BadCharacter,
    /// Its file cannot be read.
    #[error("cannot read the token's file {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl Token {
    /// Takes `text` for a token; white space around it is dropped.
    pub fn new(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadToken::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadToken::BadCharacter);
        }
        Ok(Self(text.into()))
    }

    /// Reads the token from its file.
    pub fn read(path: &Path) -> Result<Self, BadToken> {
        let unreadable = |source| BadToken::Unreadable { path: path.display().to_string(), source };
        Self::new(&std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// The token of `file`, else of the environment; none if neither is given.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, BadToken> {
        if let Some(file) = file {
            return Self::read(file).map(Some);
        }
        match std::env::var_os(TOKEN_VARIABLE) {
            Some(text) if !text.is_empty() => Self::new(text.to_str().ok_or(BadToken::BadCharacter)?).map(Some),
            _ => Ok(None),
        }
    }

    /// The secret itself, for what is to show it: the header of a call, the environment of a process.
    pub fn as_secret(&self) -> &str {
        &self.0
    }

    /// Whether `header` carries it. How long the answer takes says nothing about where the two differ.
    pub fn is_carried_by(&self, header: &[u8]) -> bool {
        let given = header.strip_prefix(b"Bearer ").unwrap_or_default();
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_whole_and_never_shown() {
        let token = Token::new(" s3cret\n").unwrap();
        assert!(token.is_carried_by(b"Bearer s3cret"));
        for other in ["Bearer s3cre", "Bearer s3cretx", "Bearer ", "s3cret", "", "bearer s3cret"] {
            assert!(!token.is_carried_by(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert!(Token::new(" ").is_err() && Token::new("a b").is_err() && Token::new("ü").is_err());
    }
}
