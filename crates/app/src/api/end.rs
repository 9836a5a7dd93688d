//! How an attempt was over: in words, and as the exit code that `run` returns.

use domain::container::{ContainerRow, End, EndRecord, Exit, Phase};
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::api::period::spoken;

/// The exit code of what ran longer than its timeout.
const TIMEOUT_CODE: u8 = 124;
/// What a shell adds to the signal that ended a command.
const SIGNAL_BASE: i32 = 128;
/// The signal with which a container is asked to stop.
const SIGTERM: i32 = 15;

/// How one attempt was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndDocument {
    /// In words.
    pub text: String,
    /// In one word: `exited`, `signaled`, `stop_order`, `drain_order`, `timeout`, `deadline`, `unstartable`,
    /// `start_failed`, `not_started`, `gone`, `worker_lost`, `worker_forgot` or `never_started`.
    pub kind: String,
    /// Which attempt.
    pub attempt: u64,
    /// On which worker, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When the store learned of it.
    pub at: Moment,
}

impl From<&EndRecord> for EndDocument {
    fn from(record: &EndRecord) -> Self {
        Self {
            text: in_words(record),
            kind: kind(&record.end).to_owned(),
            attempt: record.attempt.0,
            worker: record.worker.as_ref().map(ToString::to_string),
            at: record.at.into(),
        }
    }
}

/// The exit code of an ended container; none while it lives, and none if no process of its own told one.
pub fn exit_code(row: &ContainerRow) -> Option<u8> {
    let end = &row.last_end.as_ref()?.end;
    match row.state.phase() {
        Phase::Succeeded => Some(0),
        Phase::Failed => code_of(end),
        Phase::Stopped => Some(of_signal(SIGTERM)),
        _ => None,
    }
}

fn code_of(end: &End) -> Option<u8> {
    match end {
        End::Exited(Exit::Code(code)) | End::Unstartable { code, .. } => Some(u8::try_from(*code).unwrap_or(u8::MAX)),
        End::Exited(Exit::Signal(signal)) => Some(of_signal(*signal)),
        End::Timeout(_) => Some(TIMEOUT_CODE),
        _ => None,
    }
}

fn of_signal(signal: i32) -> u8 {
    u8::try_from(SIGNAL_BASE.saturating_add(signal)).unwrap_or(u8::MAX)
}

fn kind(end: &End) -> &'static str {
    match end {
        End::Exited(Exit::Code(_)) => "exited",
        End::Exited(Exit::Signal(_)) => "signaled",
        End::StopOrder => "stop_order",
        End::DrainOrder => "drain_order",
        End::Timeout(_) => "timeout",
        End::Deadline(_) => "deadline",
        End::Unstartable { .. } => "unstartable",
        End::StartFailed(_) => "start_failed",
        End::NotStarted => "not_started",
        End::Gone => "gone",
        End::WorkerLost => "worker_lost",
        End::WorkerForgot => "worker_forgot",
        End::NeverStarted => "never_started",
    }
}

fn in_words(record: &EndRecord) -> String {
    let worker = record.worker.as_ref().map_or_else(|| "its worker".to_owned(), ToString::to_string);
    match &record.end {
        End::Exited(Exit::Code(code)) => format!("exited with code {code}"),
        End::Exited(Exit::Signal(signal)) => match signal_name(*signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
        End::StopOrder => "stopped on request".to_owned(),
        End::DrainOrder => format!("stopped for the drain of {worker}"),
        End::Timeout(after) => format!("ran longer than its timeout of {}", spoken(*after)),
        End::Deadline(silent) => format!("stopped by its worker: no server for {}", spoken(*silent)),
        End::Unstartable { detail, .. } => format!("could not be started on {worker}: {detail}"),
        End::StartFailed(detail) => format!("failed to start on {worker}: {detail}"),
        End::NotStarted => format!("not started: its order reached {worker} too late"),
        End::Gone => format!("gone from {worker}, and nobody saw how it ended"),
        End::WorkerLost => format!("lost: {worker} was given up after its silence"),
        End::WorkerForgot => format!("lost: {worker} came back without it"),
        End::NeverStarted => "stopped on request before it started".to_owned(),
    }
}

/// What Linux calls a signal.
fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let index = usize::try_from(signal).ok()?.checked_sub(1)?;
    NAMES.get(index).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::id::{Attempt, WorkerId};
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn every_end_is_said_in_words_and_most_failures_have_a_code() {
        let seconds = Duration::from_secs;
        let table = [
            (End::Exited(Exit::Code(7)), "exited with code 7", Some(7)),
            (End::Exited(Exit::Code(255)), "exited with code 255", Some(255)),
            (End::Exited(Exit::Code(-1)), "exited with code -1", Some(255)),
            (End::Exited(Exit::Signal(9)), "killed by signal 9 (SIGKILL)", Some(137)),
            (End::Exited(Exit::Signal(15)), "killed by signal 15 (SIGTERM)", Some(143)),
            (End::Exited(Exit::Signal(34)), "killed by signal 34", Some(162)),
            (End::Timeout(seconds(5)), "ran longer than its timeout of 5 s", Some(124)),
            (End::Deadline(seconds(12)), "stopped by its worker: no server for 12 s", None),
            (
                End::Unstartable { code: 127, detail: "nosuch: not found".into() },
                "could not be started on w1: nosuch: not found",
                Some(127),
            ),
            (End::StartFailed("fork failed".into()), "failed to start on w1: fork failed", None),
            (End::WorkerLost, "lost: w1 was given up after its silence", None),
        ];
        for (end, words, code) in table {
            let worker = Some(WorkerId::new("w1").unwrap());
            let record = EndRecord { end, attempt: Attempt(1), worker, at: Timestamp(0) };
            assert_eq!(in_words(&record), words);
            assert_eq!(code_of(&record.end), code, "{words}");
        }
    }
}
