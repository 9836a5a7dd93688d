//! `stowplan plan`: what the scheduler would do with a document. It touches no store and no server.

mod json;
mod text;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use domain::placement::{Verdict, plan};
use domain::provisioning::{Demand, PoolRoom, new_workers};

use super::talk::{USAGE, say};
use crate::api::json::{BadDocument, read};
use crate::api::plan::{PlanAnswer, PlanDocument, PlanInput};

/// The largest document that is read: a million requests and more.
const INPUT_BYTES_MAX: u64 = 256 << 20;

/// What some editors put in front of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const AFTER_HELP: &str = r#"The document is a fleet and the requests that wait, in one JSON object:

  echo '{"workers": [{"id": "w1", "cpu": 4, "memory": "8Gi"}], "requests": [{"id": "a", "cpu": 2}]}' |
    stowplan plan --input -

The exit code is 0 whoever has to wait, 2 if the document or the command line is wrong, 1 if the answer cannot be
written. docs/reference/plan.md has every field."#;

/// What is planned, and how it is answered.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PlanArgs {
    /// The document; - reads standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// How the answer is written; text on a terminal and json elsewhere, if absent
    #[arg(long)]
    format: Option<Format>,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For programs: one object, a row a line.
    Json,
    /// For people: a table.
    Text,
}

/// Plans a document and writes the answer to standard output.
pub fn run(args: &PlanArgs) -> ExitCode {
    let answer = match read_document(&args.input).and_then(|document| answer(&args.input, &document)) {
        Ok(answer) => answer,
        Err(error) => {
            say(&format!("error: {error:#}"));
            if !names_its_field(&error) {
                say("next: stowplan plan --help");
            }
            return ExitCode::from(USAGE);
        }
    };
    match write(&answer, args.format.unwrap_or_else(default_format)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: failed to write the answer: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Plans all requests as one batch, and what the fleet would have to grow by for those that found no room.
fn plan_all(input: &PlanInput) -> PlanAnswer {
    let PlanInput { fleet, batch, policy } = input;
    let verdicts = plan(fleet, batch, policy);
    let mut after = fleet.clone();
    let mut demand: Vec<Demand<'_>> = Vec::new();
    for (candidate, verdict) in batch.iter().zip(&verdicts) {
        match verdict {
            Verdict::Place { worker, booking, .. } => after.book(worker, &candidate.ask, booking),
            Verdict::Wait { .. } if verdict.is_demand() => demand.push(Demand::of_one(candidate)),
            Verdict::Wait { .. } => {}
        }
    }
    let rooms: Vec<PoolRoom<'_>> = fleet.pools.iter().map(PoolRoom::on_demand).collect();
    let growth = new_workers(&rooms, &after, &demand, policy);
    PlanAnswer::of(batch, &verdicts, &growth.new_workers)
}

fn answer(path: &Path, bytes: &[u8]) -> anyhow::Result<PlanAnswer> {
    let read = || -> Result<PlanInput, BadDocument> {
        let document: PlanDocument = read(bytes)?;
        Ok(document.to_input()?)
    };
    let input = read().with_context(|| failed_to_read(path))?;
    Ok(plan_all(&input))
}

fn read_document(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = read_bytes(path, INPUT_BYTES_MAX).with_context(|| failed_to_read(path))?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    ensure!(bytes.iter().any(|byte| !byte.is_ascii_whitespace()), "{}: it is empty", failed_to_read(path));
    Ok(bytes)
}

fn read_bytes(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if is_standard_input(path) {
        let stdin = io::stdin().lock();
        if stdin.is_terminal() {
            say("reading a document from the terminal; end it with Ctrl-D");
        }
        stdin.take(bytes_max + 1).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    }
    ensure!(bytes.len() as u64 <= bytes_max, "it has more than {bytes_max} bytes; plan fewer requests at a time");
    Ok(bytes)
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn failed_to_read(path: &Path) -> String {
    if is_standard_input(path) {
        return "failed to read standard input".to_owned();
    }
    format!("failed to read {}", path.display())
}

fn default_format() -> Format {
    if io::stdout().is_terminal() { Format::Text } else { Format::Json }
}

fn write(answer: &PlanAnswer, format: Format) -> io::Result<()> {
    let text = match format {
        Format::Json => json::rows(answer)?,
        Format::Text => text::tables(answer),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Whether the error says which field is wrong, and so what to do.
fn names_its_field(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(BadDocument::Field(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_document_is_read_without_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"12345").unwrap();
        assert_eq!(read_bytes(file.path(), 5).unwrap(), b"12345");
        let error = read_bytes(file.path(), 4).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 4 bytes; plan fewer requests at a time");
    }
}
