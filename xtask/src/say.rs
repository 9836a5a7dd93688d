//! Talk on stderr, for commands that outlive their terminal.

use std::io::{self, Write};

/// Prints a line on stderr. `eprintln!` panics when the terminal is gone, and whoever is stopping a fleet must not.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints an answer on stdout, under the same rule.
pub(crate) fn answer(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
