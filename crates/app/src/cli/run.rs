//! `stowplan run`: a command, somewhere in the fleet, as if it ran here.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::connect::{Client, ConnectArgs};
use super::follow::{Until, hand_in, logs, read, until_ended};
use super::logs::print_output;
use super::request::RequestArgs;
use super::talk::{Ended, Failure, USAGE, Voice, say};
use crate::api::container::{ContainerDocument, StopDocument};

/// Trouble that is not the command's.
const OUR_TROUBLE: u8 = 125;
/// How long a container may be undecided before anything is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// The exit code of what ended because of Ctrl-C, and of TERM.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Run a command in the fleet, print what it wrote, exit with its code
#[derive(Debug, Args)]
#[command(after_help = "The exit code is the command's; 128 + signal; 124 after its timeout; 126 or 127 if it is not \
                        executable or not found; 125 for trouble of stowplan's own, which standard error tells.")]
pub struct RunArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl RunArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// The signals that end a command, or what it began.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let heard = |kind| signal(kind).map_err(|error| Failure::new(1, format!("cannot hear signals: {error}")));
        Ok(Self { interrupt: heard(SignalKind::interrupt())?, terminate: heard(SignalKind::terminate())? })
    }

    /// The exit code of the next one.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
        }
    }
}

/// Runs the command. What is not the command's own trouble ends with a code of its own.
pub(crate) async fn run(args: &RunArgs) -> Ended {
    let ended = run_command(args).await;
    ended.map_err(|failure| match failure.code {
        USAGE => failure,
        _ => Failure { code: OUR_TROUBLE, ..failure },
    })
}

async fn run_command(args: &RunArgs) -> Ended {
    let request = args.request.to_document(&args.command)?;
    let client = Client::new(&args.connect)?;
    let mut signals = Signals::new()?;
    let id = hand_in(&client, request, !args.request.names_id()).await?.id;
    let mut told = Told::default();
    let following = async {
        // Who is placed at once has nothing to be told.
        if let Ok(container) = read(&client, &id, Until::Decided, PATIENCE).await {
            told.about(&container);
        }
        until_ended(&client, &id, |container| told.about(container)).await
    };
    tokio::pin!(following);
    let (container, stopped_by) = tokio::select! {
        container = &mut following => (container?, None),
        code = signals.next() => {
            say(&format!("stowplan: stopping {id}; once more leaves it to the fleet"));
            stop(&client, &id).await?;
            tokio::select! {
                container = &mut following => (container?, Some(code)),
                code = signals.next() => {
                    Voice::of(&args.connect).next(&format!("stowplan status {id}"));
                    return Ok(code);
                }
            }
        }
    };
    if let Some(output) = logs(&client, &container.id).await?.output {
        print_output(&output)?;
    }
    conclude(&container, stopped_by)
}

async fn stop(client: &Client, id: &str) -> Result<(), Failure> {
    let path = format!("/v1/containers/{id}/stop");
    let stopped: Result<StopDocument, _> = client.post(&path, &json!({})).await;
    stopped.map(drop).map_err(|error| client.failure(error))
}

fn conclude(container: &ContainerDocument, stopped_by: Option<u8>) -> Ended {
    let end = container.last_end.as_ref();
    let words = end.map_or("nobody knows how it ended", |end| end.text.as_str());
    let said_itself = end.is_some_and(|end| end.kind == "exited");
    match (container.exit_code, stopped_by) {
        (_, Some(code)) if container.state == "stopped" => Ok(code),
        (Some(code), _) => {
            if !said_itself {
                say(&format!("stowplan: {} {}: {words}", container.id, container.state));
            }
            Ok(code)
        }
        (None, _) => {
            let error =
                format!("{} {} after {} lost attempts: {words}", container.id, container.state, container.failures);
            Err(Failure::new(OUR_TROUBLE, error).next(format!("stowplan status {}", container.id)))
        }
    }
}

/// What was said of a container, so that nothing is said twice.
#[derive(Default)]
struct Told {
    reason: Option<String>,
    attempt_over: u64,
}

impl Told {
    fn about(&mut self, container: &ContainerDocument) {
        if container.is_ended() {
            return;
        }
        let id = &container.id;
        if let Some(end) = container.last_end.as_ref().filter(|end| end.attempt > self.attempt_over) {
            self.attempt_over = end.attempt;
            say(&format!("stowplan: {id}, attempt {}: {}; it will run again", end.attempt, end.text));
        }
        let reason = container.reason.as_ref().map(|reason| reason.text.clone());
        match &reason {
            Some(text) if reason != self.reason => say(&format!("stowplan: {id} waits: {text}")),
            None if self.reason.is_some() => {
                let worker = container.worker.as_deref().unwrap_or("a worker");
                say(&format!("stowplan: {id} is {} on {worker}", container.state));
            }
            _ => {}
        }
        self.reason = reason;
    }
}
