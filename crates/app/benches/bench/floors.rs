//! Ratios that hold on any machine, against those that were recorded.
//!
//! A floor is missed when its ratio is far below the recorded one in each of several tries: what else a machine does may
//! spoil one, and hardly all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use domain::fleet::{Fleet, Policy};
use domain::id::{Attempt, Incarnation};
use domain::placement::{Candidate, Verdict, plan};
use domain::request::{IfSilent, OrderKey};
use domain::resources::Used;
use domain::worker::{Status, Worker};

use super::cell::{room_for, submission, worker_id, worker_spec};
use super::samples::Samples;
use super::scale::Size;
use super::{before_after, latency, life, scale, stages};

/// Where the floors are kept.
const FILE: &str = "docs/benchmarks/floors.json";
/// How often a ratio is measured: to record the median of all; to check, until one is not too low.
const TRIES: usize = 3;
/// How often whole lives are measured for one ratio: of one pair it is hardly known to a third.
const LIVES: usize = 5;
/// What part of a recorded ratio is still enough.
const ENOUGH: f64 = 0.7;

/// What is asked of floors.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Records what is measured, in the place of what was
    #[arg(long)]
    record: bool,
    /// Where the floors are kept; by default docs/benchmarks/floors.json. Only those in it are measured
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A ratio that the machine's speed does not change much. The higher the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floor {
    /// The time of one at a time by that of batches: 100 requests at once on 20 workers.
    Batches,
    /// The time of the writes of a commit, as plain commands, by that of next, look and commit.
    Placing,
    /// The time of the writes of takes and reports, as plain commands, by that of the calls.
    Ending,
    /// The time of a request's plan on 10,000 workers by that on 100,000.
    PlanGrowth,
    /// Containers that live their whole life by requests that are only taken in, in the same time.
    WholeLife,
    /// The time of a lone request on the ports by that over HTTP.
    HttpShare,
    /// The time of a batch in an empty cell by that in one where many wait.
    Backlog,
}

impl Floor {
    const ALL: [(&str, Self); 7] = [
        ("batches-by-one-at-a-time", Self::Batches),
        ("place-by-plain-writes", Self::Placing),
        ("take-and-report-by-plain-writes", Self::Ending),
        ("plan-10k-by-100k-workers", Self::PlanGrowth),
        ("whole-life-by-submit", Self::WholeLife),
        ("lone-request-ports-by-http", Self::HttpShare),
        ("batch-empty-by-full-backlog", Self::Backlog),
    ];

    async fn measure(self, is_quick: bool) -> anyhow::Result<f64> {
        match self {
            Self::Batches => before_after::times_faster_alone(3).await,
            Self::Placing => Ok(stages::shares_of_limit(1_000, 10).await?.0),
            Self::Ending => Ok(stages::shares_of_limit(1_000, 10).await?.1),
            Self::PlanGrowth if is_quick => plan_growth(200, 2_000),
            Self::PlanGrowth => plan_growth(10_000, 100_000),
            Self::WholeLife if is_quick => whole_life(2_000, 1).await,
            Self::WholeLife => whole_life(10_000, LIVES).await,
            Self::HttpShare => {
                let (http_ms, ports_ms) = latency::lone(Duration::from_secs(2)).await?;
                Ok(ports_ms / http_ms)
            }
            Self::Backlog => scale::empty_against_full(Size { workers: 200, waiting: 20_000 }, 10).await,
        }
    }
}

/// Checks all floors, or records them. Fails if one is missed.
pub(crate) async fn run(options: &Options, is_quick: bool) -> anyhow::Result<()> {
    let path = options.file.clone().unwrap_or_else(default_file);
    if options.record {
        return record(&path, is_quick).await;
    }
    let missed = missed(&read(&path)?, async |floor| floor.measure(is_quick).await).await?;
    if !missed.is_empty() {
        bail!(
            "below the floor in {TRIES} of {TRIES} tries: {}\nnext: cargo xtask bench --floors --record, if that is as it should be",
            missed.join(", ")
        );
    }
    Ok(())
}

async fn record(path: &Path, is_quick: bool) -> anyhow::Result<()> {
    let mut floors = BTreeMap::new();
    for (name, floor) in Floor::ALL {
        let mut tries = Samples::default();
        for _ in 0..TRIES {
            tries.push(floor.measure(is_quick).await?);
        }
        println!("{name}: {:.3}", tries.median());
        floors.insert(name, (tries.median() * 1_000.0).round() / 1_000.0);
    }
    let text = serde_json::to_string_pretty(&floors)? + "\n";
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<(&'static str, Floor, f64)>> {
    let shown = path.display();
    let text =
        fs::read(path).with_context(|| format!("failed to read {shown}; cargo xtask bench --floors --record"))?;
    let recorded: BTreeMap<String, f64> =
        serde_json::from_slice(&text).with_context(|| format!("{shown} is no floors"))?;
    let known = |(name, ratio): (String, f64)| {
        let known = Floor::ALL.into_iter().find(|(known, _)| *known == name);
        let (name, floor) =
            known.with_context(|| format!("{shown}: {name} is no ratio that is measured; remove it"))?;
        Ok((name, floor, ratio))
    };
    recorded.into_iter().map(known).collect()
}

/// Which floors were missed in each of [`TRIES`] tries, with what was measured.
pub(crate) async fn missed(
    floors: &[(&'static str, Floor, f64)],
    measure: impl AsyncFn(Floor) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<String>> {
    let mut missed = Vec::new();
    for (name, floor, recorded) in floors {
        let least = recorded * ENOUGH;
        let mut tries = Vec::new();
        while tries.len() < TRIES && !tries.iter().any(|ratio| *ratio >= least) {
            tries.push(measure(*floor).await?);
        }
        let shown: Vec<_> = tries.iter().map(|ratio| format!("{ratio:.3}")).collect();
        let shown = format!("{name} {} (recorded {recorded:.3}, least {least:.3})", shown.join(", "));
        println!("{shown}");
        // A ratio that is no number is below any floor.
        if !tries.iter().any(|ratio| *ratio >= least) {
            missed.push(shown);
        }
    }
    Ok(missed)
}

fn default_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FILE)
}

/// How many containers live their whole life by how many are only taken in, measured side by side so often.
async fn whole_life(count: usize, times: usize) -> anyhow::Result<f64> {
    let mut ratios = Samples::default();
    for _ in 0..times {
        let (submitted, lived) = life::bare_and_whole(count).await?;
        ratios.push(lived / submitted);
    }
    Ok(ratios.median())
}

/// How much faster a request is planned on the smaller fleet than on the larger.
fn plan_growth(small: usize, large: usize) -> anyhow::Result<f64> {
    const BATCH: usize = 1_000;
    const ROUNDS: u32 = 7;
    let batch: Vec<Candidate> = (0..BATCH).map(candidate).collect::<anyhow::Result<_>>()?;
    let (small, large) = (fleet(small)?, fleet(large)?);
    let mut ratios = Samples::default();
    for _ in 0..ROUNDS {
        ratios.push(planned_in(&small, &batch)?.as_secs_f64() / planned_in(&large, &batch)?.as_secs_f64());
    }
    Ok(ratios.median())
}

fn planned_in(fleet: &Fleet, batch: &[Candidate]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let verdicts = plan(fleet, batch, &Policy::default());
    let took = began.elapsed();
    if verdicts.iter().any(|verdict| !matches!(verdict, Verdict::Place { .. })) {
        bail!("a request has no place on an empty fleet of {}", fleet.workers().len());
    }
    Ok(took)
}

fn fleet(count: usize) -> anyhow::Result<Fleet> {
    let spec = Arc::new(worker_spec(room_for(5))?);
    let worker = |index| {
        let (id, spec, used) = (worker_id(index)?, Arc::clone(&spec), Used::default());
        Ok(Worker { id, spec, status: Status::Available, incarnation: Incarnation(1), used })
    };
    let workers: Vec<Worker> = (0..count).map(worker).collect::<anyhow::Result<_>>()?;
    Ok(Fleet::of(workers))
}

fn candidate(index: usize) -> anyhow::Result<Candidate> {
    let request = submission(&format!("r{index}"))?;
    let key = OrderKey { position: u32::try_from(index)?, ..OrderKey::default() };
    Ok(Candidate { id: request.id, key, attempt: Attempt(0), ask: request.ask, if_silent: IfSilent::Stop, lot: None })
}
