//! Command lines that cannot be read: what is wrong, and one that can.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::connect::ConnectArgs;
use super::talk::{Failure, USAGE, Voice};
use crate::api::field::BadField;

/// A command line of each command that works when it is pasted.
const EXAMPLES: [(&str, &str); 14] = [
    ("run", "stowplan run -- echo hello"),
    ("submit", "stowplan submit --cpu 1 -- true"),
    ("status", "stowplan status"),
    ("logs", "stowplan status"),
    ("stop", "stowplan status"),
    ("explain", "stowplan status"),
    ("worker", "stowplan worker list"),
    ("pool", "stowplan pool list"),
    ("plan", "stowplan plan --help"),
    ("doctor", "stowplan doctor"),
    ("audit", "stowplan audit"),
    ("config", "stowplan config show"),
    ("serve", "stowplan serve --help"),
    ("agent", "stowplan agent --help"),
];

/// Refuses arguments that are no text, naming the first of them.
pub fn check_text(args: &[OsString]) -> Result<(), ExitCode> {
    let Some(position) = args.iter().position(|arg| arg.to_str().is_none()) else { return Ok(()) };
    let after = args[..position].last().filter(|_| position > 1);
    let after = after.map(|arg| format!(", after {},", arg.display())).unwrap_or_default();
    let error = format!("argument {position}{after} is not UTF-8: {:?}", args[position].to_string_lossy());
    Err(complain(&Failure::usage(error).next(example(args))))
}

/// Says what is wrong with a command line, or shows the help that was asked for.
pub fn refuse(error: &clap::Error, args: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Who closed the pipe has seen enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let command = args.get(1).map(|arg| format!(" after {}", arg.display())).unwrap_or_default();
            complain(&Failure::usage(format!("no command was given{command}")).next(help(args)))
        }
        ErrorKind::InvalidSubcommand => {
            let suggested = word(error, ContextKind::SuggestedSubcommand);
            let known = EXAMPLES.iter().map(|(command, _)| *command);
            let found = word(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = suggested.or_else(|| crate::api::nearest::nearest(&found, known).map(str::to_owned));
            let near = near.map(|near| format!("{}{near} --help", within(args)));
            complain(&Failure::usage(format!("unknown command {found}")).next(near.unwrap_or_else(|| help(args))))
        }
        ErrorKind::UnknownArgument => complain(&unknown_argument(error).next(example(args))),
        _ => complain(&Failure::usage(first_words(error)).next(example(args))),
    }
}

/// Says why a server or an agent did not start, or stopped.
pub fn give_up(command: &str, error: &anyhow::Error) -> ExitCode {
    let code = if error.is::<BadField>() { USAGE } else { 1 };
    let text = format!("{error:#}");
    // Some say themselves what comes next.
    let failure = match text.split_once("\nnext: ") {
        Some((error, next)) => Failure::new(code, error).next(next),
        None => Failure::new(code, text).next(example_of(command)),
    };
    ExitCode::from(Voice::of(&ConnectArgs::default()).fail(&failure, ""))
}

fn unknown_argument(error: &clap::Error) -> Failure {
    let found = word(error, ContextKind::InvalidArg).unwrap_or_default();
    if !found.starts_with('-') {
        return Failure::usage(format!("unexpected argument {found}; a command to run goes after --"));
    }
    let near = word(error, ContextKind::SuggestedArg).map(|near| format!("; did you mean {near}?"));
    Failure::usage(format!("unknown option {found}{}", near.unwrap_or_default()))
}

fn complain(failure: &Failure) -> ExitCode {
    ExitCode::from(Voice::of(&ConnectArgs::default()).fail(failure, ""))
}

fn word(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(word) => Some(word.clone()),
        ContextValue::Strings(words) => words.first().cloned(),
        _ => None,
    }
}

/// What clap says, without its hints: they are ours to give.
fn first_words(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

fn command(args: &[OsString]) -> Option<&str> {
    args.get(1)?.to_str()
}

/// A command line of the same command that works.
fn example(args: &[OsString]) -> &'static str {
    command(args).map_or("stowplan --help", example_of)
}

/// A command line of this command that works.
pub(crate) fn example_of(command: &str) -> &'static str {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or("stowplan --help", |(_, example)| example)
}

fn help(args: &[OsString]) -> String {
    format!("{}--help", within(args))
}

/// The words before a missing or unknown command.
fn within(args: &[OsString]) -> &'static str {
    match command(args) {
        Some("worker") => "stowplan worker ",
        Some("pool") => "stowplan pool ",
        Some("config") => "stowplan config ",
        _ => "stowplan ",
    }
}
