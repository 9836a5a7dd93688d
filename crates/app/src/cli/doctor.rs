//! `stowplan doctor`: how a server does, indicator by indicator, and what to do.

mod ask;
mod judge;
mod metrics;
mod readings;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::connect::{Client, ConnectArgs};
use super::status::Format;
use super::talk::{Ended, Failure, Voice, print, print_json, printable};
use crate::api::doctor::{DOCTOR_VERSION, DoctorDocument, Finding, State};
use crate::api::field::BadField;
use crate::api::period::{millis, parse_period};
use crate::config::{ThresholdFlags, settle_thresholds};
use judge::{judge, worst};

/// Something is a warning.
const WARNING: u8 = 1;
/// Something is bad.
const BAD: u8 = 5;
/// The longest that the two readings may be apart.
const OVER_MAX: Duration = Duration::from_hours(1);

/// Say how a server does, indicator by indicator, and what to do
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// How far the two readings are apart, between which rates are counted
    #[arg(long, value_name = "TIME", default_value = "2s")]
    over: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The file whose [doctor] holds thresholds [default: stowplan.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    thresholds: ThresholdFlags,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl DoctorArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// Reads a server twice, and judges what it read.
pub(crate) async fn run(args: &DoctorArgs) -> Ended {
    let thresholds = settle_thresholds(args.config.clone(), &args.thresholds);
    let thresholds = thresholds.map_err(|bad| Failure::usage(bad).next("stowplan doctor --help"))?;
    let over = read_over(&args.over)?;
    let client = Client::new(&args.connect)?;
    let readings = ask::readings(&client, over).await?;
    let voice = Voice::of(&args.connect);
    let mut findings = judge(&readings, &thresholds);
    for next in findings.iter_mut().filter_map(|finding| finding.next.as_mut()) {
        *next = voice.led(next);
    }
    let document = DoctorDocument {
        version: DOCTOR_VERSION,
        server: client.url().to_owned(),
        state: worst(&findings),
        over_ms: millis(readings.over),
        findings,
    };
    match args.format {
        Format::Json => print_json(&document)?,
        Format::Text => print(&text(&document))?,
    }
    Ok(match document.state {
        State::Healthy | State::Note => 0,
        State::Warning => WARNING,
        State::Bad => BAD,
    })
}

fn read_over(text: &str) -> Result<Duration, Failure> {
    let over = parse_period(text).map_err(|bad| BadField::period("--over", &bad));
    let over = over.and_then(|over| match over {
        over if over > OVER_MAX => Err(BadField::of("--over", text, "is too long; the most is 1h")),
        over => Ok(over),
    });
    over.map_err(|bad| Failure::usage(bad).next("stowplan doctor --over 2s"))
}

fn text(document: &DoctorDocument) -> String {
    let lines = document.findings.iter().fold(String::new(), |lines, finding| lines + &lines_of(finding));
    format!("{lines}{}: {}\n", document.server, document.state.as_str())
}

fn lines_of(finding: &Finding) -> String {
    let (state, indicator) = (finding.state.as_str(), &finding.indicator);
    let threshold = finding.threshold.as_ref().filter(|_| finding.state > State::Healthy);
    let threshold = threshold.map(|threshold| format!(" ({threshold})")).unwrap_or_default();
    let mut lines = format!("{state:<8} {indicator:<17} {}{threshold}\n", printable(&finding.figure));
    for (word, line) in [("fix", &finding.fix), ("next", &finding.next)] {
        if let Some(line) = line {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{:<9}{word}: {}", "", printable(line));
        }
    }
    lines
}
