//! The one secret that server, agents and commands share.

use std::fmt;
use std::path::Path;

use subtle::ConstantTimeEq as _;

use crate::api::field::BadField;

/// The variable that holds the token.
pub const TOKEN_VARIABLE: &str = "STOWPLAN_TOKEN";

/// A secret that is never shown, and compared in constant time.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads the token from a file, else from [`TOKEN_VARIABLE`]; none if neither is there.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, BadField> {
        let text = match file {
            Some(file) => Some(std::fs::read_to_string(file).map_err(|error| {
                BadField::of("token_file", &file.display().to_string(), &format!("cannot be read: {error}"))
            })?),
            None => std::env::var(TOKEN_VARIABLE).ok(),
        };
        let Some(text) = text else { return Ok(None) };
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let origin = file.map_or(TOKEN_VARIABLE.to_owned(), |file| file.display().to_string());
            return Err(BadField::new(origin, "holds no token; it is one word of visible ASCII characters"));
        }
        Ok(Some(Self(token.to_owned())))
    }

    /// Whether this is what was shown, found out in a time that tells nothing of where they differ.
    pub fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    /// The secret itself, to be shown to a server.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}
