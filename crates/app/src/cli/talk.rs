//! What commands write: data to standard output, talk to standard error. Either may be closed by who has seen enough.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use super::connect::ConnectArgs;

/// The command line cannot be read.
pub(crate) const USAGE: u8 = 2;
/// The server cannot be reached.
pub(crate) const UNREACHABLE: u8 = 3;
/// The server refuses.
pub(crate) const REFUSED: u8 = 4;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What failed, the value, and the way out.
    pub(crate) error: String,
    /// A command that helps.
    pub(crate) next: Option<String>,
}

/// How a command ends: an exit code, or a failure.
pub(crate) type Ended = Result<u8, Failure>;

impl Failure {
    pub(crate) fn new(code: u8, error: impl Display) -> Self {
        Self { code, error: error.to_string(), next: None }
    }

    /// A command line that cannot be read.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self::new(USAGE, error)
    }

    /// The same, and a command that helps.
    pub(crate) fn next(self, command: impl Into<String>) -> Self {
        Self { next: Some(command.into()), ..self }
    }

    /// The same, with this command if none is named yet.
    pub(crate) fn or_next(self, command: &str) -> Self {
        Self { next: self.next.or_else(|| Some(command.to_owned())), ..self }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(1, format!("failed to write the answer: {error}"))
    }
}

/// Says lines on standard error, and commands that work when they are pasted where this one was given.
pub(crate) struct Voice {
    /// The options that lead to the server, as they were given.
    leading: String,
}

impl Voice {
    /// The voice of a command that was given these options.
    pub(crate) fn of(connect: &ConnectArgs) -> Self {
        let option = |name: &str, value: Option<String>| {
            value.map(|value| format!(" --{name} {}", quoted(&value))).unwrap_or_default()
        };
        let token_file = connect.token_file.as_ref().map(|file| file.display().to_string());
        Self { leading: option("server", connect.server.clone()) + &option("token-file", token_file) }
    }

    /// Says what to type next.
    pub(crate) fn next(&self, command: &str) {
        say(&format!("next: {}", self.led(command)));
    }

    /// Says what failed, and answers the exit code; `prefix` tells our words from those of a command that ran.
    pub(crate) fn fail(&self, failure: &Failure, prefix: &str) -> u8 {
        say(&format!("{prefix}error: {}", failure.error));
        if let Some(next) = &failure.next {
            self.next(next);
        }
        failure.code
    }

    /// The command with the options that this one was given, behind its own words.
    pub(crate) fn led(&self, command: &str) -> String {
        let mut words = command.splitn(3, ' ');
        let (Some("stowplan"), Some(verb)) = (words.next(), words.next()) else { return command.to_owned() };
        let rest = words.next().unwrap_or_default();
        let (verb, rest) = match (verb, rest.split_once(' ').unwrap_or((rest, ""))) {
            ("serve" | "config" | "plan", _) => return command.to_owned(),
            ("worker" | "pool", (sub, rest)) => (format!("{verb} {sub}"), rest),
            (verb, _) => (verb.to_owned(), rest),
        };
        let space = if rest.is_empty() { "" } else { " " };
        format!("stowplan {verb}{}{space}{rest}", self.leading)
    }
}

/// Says a line on standard error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Writes to standard output. Who closed it has seen enough: that is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_all(&mut io::stdout().lock(), text)
}

/// Writes what a container wrote to standard error.
pub(crate) fn print_to_stderr(text: &str) -> io::Result<()> {
    write_all(&mut io::stderr().lock(), text)
}

fn write_all(to: &mut impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a document to standard output.
pub(crate) fn print_json(document: &impl Serialize) -> io::Result<()> {
    print(&(serde_json::to_string_pretty(document)? + "\n"))
}

/// The same without what would move a terminal's cursor: names in documents are anybody's.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}

/// A word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_is_spelled_out() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{e9}"), "a\\u{1b}[2J\\nb\u{e9}");
    }

    #[test]
    fn a_next_command_leads_to_the_same_server() {
        let connect = ConnectArgs { server: Some("http://127.0.0.1:1".into()), token_file: Some("a b".into()) };
        let voice = Voice::of(&connect);
        let led = " --server http://127.0.0.1:1 --token-file 'a b'";
        assert_eq!(voice.led("stowplan status"), format!("stowplan status{led}"));
        assert_eq!(voice.led("stowplan worker drain w1"), format!("stowplan worker drain{led} w1"));
        assert_eq!(voice.led("stowplan pool list"), format!("stowplan pool list{led}"));
        assert_eq!(voice.led("stowplan submit -- true"), format!("stowplan submit{led} -- true"));
        assert_eq!(voice.led("stowplan serve"), "stowplan serve");
        let bare = Voice::of(&ConnectArgs::default());
        assert_eq!(bare.led("stowplan explain big"), "stowplan explain big");
    }
}
