//! The stages of a turn, each by itself: on Redis with each durability and on the embedded store, in turns, for fleets and
//! batches of several sizes. After each turn of ours the same writes are told to the same server without scripts.

use std::sync::Arc;

use adapters_redis::testing::{Appendonly, Server};
use anyhow::Context as _;
use app::embedded::EmbeddedStore;
use domain::fleet::{Policy, Strategy};
use domain::request::Submission;
use ports::Ports;
use ports::rows::RowPorts;
use tempfile::TempDir;

use super::cell::{Cell, room_for, submission};
use super::limit::{Line, RECORDED, Recorder, Writes, check_told};
use super::live::unlimited;
use super::result::{Output, Plot, Series, Value};
use super::samples::{Samples, float};
use super::server;
use super::turn::{Times, Turns};

const FLEETS: [usize; 3] = [20, 1_000, 10_000];
/// How many a batch holds, and how they are placed: one is placed on one worker, whatever the strategy.
const BATCHES: [(usize, Strategy); 5] = [
    (1, Strategy::BestFit),
    (100, Strategy::BestFit),
    (100, Strategy::Spread),
    (1_000, Strategy::BestFit),
    (1_000, Strategy::Spread),
];
const RUNS: u32 = 15;
/// What the fewest workers hold, and the greatest batch, which any fleet must hold.
const CONTAINERS_PER_WORKER: usize = 10;
const BATCH_MAX: usize = 1_000;

const OFF: &str = "redis, AOF off";
const EMBEDDED: &str = "embedded, durable";

const TIMES: &[(&str, &str)] = &[
    ("store", ""),
    ("fleet", "workers"),
    ("batch", ""),
    ("placed on", "workers"),
    ("submit p50", "ms"),
    ("submit p99", "ms"),
    ("next+look p50", "ms"),
    ("next+look p99", "ms"),
    ("plan p50", "ms"),
    ("plan p99", "ms"),
    ("commit p50", "ms"),
    ("commit p99", "ms"),
    ("take+report p50", "ms"),
    ("take+report p99", "ms"),
    ("next+look+commit p50", "ms"),
];

const RATES: &[(&str, &str)] = &[
    ("store", ""),
    ("fleet", "workers"),
    ("batch", ""),
    ("placed on", "workers"),
    ("submit", "/s"),
    ("its limit", "/s"),
    ("share", "%"),
    ("next+look+commit", "/s"),
    ("commit alone", "/s"),
    ("its limit", "/s"),
    ("share", "%"),
    ("take+report", "/s"),
    ("its limit", "/s"),
    ("share", "%"),
];

/// A store under measurement.
struct Store {
    name: &'static str,
    turns: Turns,
    /// Over which the limit is measured.
    line: Option<Line>,
    keeps: Keeps,
}

/// What must outlive the ports.
enum Keeps {
    Server(Server),
    Folder(#[expect(dead_code, reason = "held for as long as it is to exist")] TempDir),
}

/// What one case took on one store, a sample a run.
#[derive(Default)]
struct Case {
    ours: Vec<Times>,
    limits: Vec<Times>,
    workers_used: usize,
}

/// Writes of a turn, by stage.
struct Recorded {
    submit: Writes,
    commit: Writes,
    end: Writes,
}

pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let runs = output.runs(RUNS);
    let mut times = output.table("stages", "Stages of a turn", about(runs), runs, TIMES);
    let mut rates = output.table("stages-limit", "Stages against the limit", about(runs), runs, RATES);
    let mut growth = Growth::default();
    for workers in if output.is_quick() { &FLEETS[..1] } else { &FLEETS[..] } {
        let mut bench = Bench::start(*workers).await?;
        for (batch, strategy) in if output.is_quick() { &BATCHES[..2] } else { &BATCHES[..] } {
            let policy = Policy { strategy: *strategy, ..unlimited() };
            let cases = bench.measure(*batch, &policy, runs).await?;
            for (store, case) in bench.stores.iter().zip(&cases) {
                let head = [store.name.into(), (*workers).into(), (*batch).into(), case.workers_used.into()];
                times.rows.push(head.iter().cloned().chain(case.times()).collect());
                rates.rows.push(head.iter().cloned().chain(case.rates(*batch)).collect());
                growth.take(store.name, *workers, *batch, *strategy, case);
            }
            output.keep(&times)?;
            output.keep(&rates)?;
        }
    }
    times.plots = growth.plots();
    rates.notes = growth.targets();
    rates.notes.extend(READING.map(String::from));
    output.put(&times)?;
    output.put(&rates)
}

/// What part of the speed of plain writes placing reaches, and taking and reporting, on Redis: the limit's time by ours.
pub(crate) async fn shares_of_limit(batch: usize, runs: u32) -> anyhow::Result<(f64, f64)> {
    let mut bench = Bench::start(batch / CONTAINERS_PER_WORKER).await?;
    bench.stores.retain(|store| store.name == OFF);
    let cases = bench.measure(batch, &unlimited(), runs).await?;
    let case = cases.first().context("no store is named as that which is measured")?;
    Ok((case.share(placing, |t| t.commit) / 100.0, case.share(|t| t.end, |t| t.end) / 100.0))
}

fn about(runs: u32) -> String {
    format!(
        "Direct on the ports, with the planner's own calls and plan, one turn after the other: {runs} turns a row after \
         one that is not counted, the stores in turns. All is placed, taken and ended within its turn; a worker holds 10 \
         containers, of a fleet of 20 it holds 50."
    )
}

/// How the columns are to be read.
const READING: [&str; 4] = [
    "A limit: the same commands with the same keys and bytes that a step's scripts write, taken from an append-only file, \
     sent to another cell of the same server in one pipeline without scripts, after each turn of ours. It neither reads nor \
     decides. A share is the median of the ratios of turns.",
    "A share is to be believed on an idle machine alone: where others want the cores, a long step is set aside more often \
     than a short one.",
    "The share of next+look+commit is the limit's time for the writes of the commit by ours for all three.",
    "Takes and reports: of ours two calls a worker, 32 workers at once; of the limit all in one pipeline.",
];

/// All stores with a fleet of one size, and what records.
struct Bench {
    stores: Vec<Store>,
    tape: Recorder,
    recorded: Turns,
    /// How many turns there have been: no request's id comes twice.
    turns: usize,
}

impl Bench {
    async fn start(workers: usize) -> anyhow::Result<Self> {
        let mut tape = Recorder::start()?;
        let recorded = turns(server::open(&tape.url())?, workers).await?;
        let fleet = tape.take()?;
        let mut stores = Vec::new();
        let durabilities =
            [(OFF, Appendonly::Off), ("redis, everysec", Appendonly::Everysec), ("redis, always", Appendonly::Always)];
        for (name, appendonly) in durabilities {
            let server = server::start(appendonly);
            let mut line = Line::to(&server)?;
            line.tell(&fleet)?;
            let turns = turns(server::open(&server.url())?, workers).await?;
            stores.push(Store { name, turns, line: Some(line), keeps: Keeps::Server(server) });
        }
        let folder = tempfile::tempdir()?;
        let ports = RowPorts::over(Arc::new(EmbeddedStore::open(folder.path())?));
        let turns = turns(ports, workers).await?;
        stores.push(Store { name: EMBEDDED, turns, line: None, keeps: Keeps::Folder(folder) });
        Ok(Self { stores, tape, recorded, turns: 0 })
    }

    async fn measure(&mut self, batch: usize, policy: &Policy, runs: u32) -> anyhow::Result<Vec<Case>> {
        let mut cases: Vec<Case> = self.stores.iter().map(|_| Case::default()).collect();
        for run in 0..=runs {
            self.turns += 1;
            let ids = (0..batch).map(|number| submission(&format!("r{}-{number}", self.turns)));
            let requests: Vec<Submission> = ids.collect::<anyhow::Result<_>>()?;
            let recorded = self.record(&requests, policy).await?;
            for (store, case) in self.stores.iter_mut().zip(&mut cases) {
                let (ours, used) = turn(&mut store.turns, requests.clone(), policy).await?;
                let limit = store.line.as_mut().map(|line| tell(line, &recorded)).transpose()?;
                case.workers_used = used;
                // The first turn loads scripts.
                if run > 0 {
                    case.ours.push(ours);
                    case.limits.extend(limit);
                }
            }
        }
        for store in &self.stores {
            if let Keeps::Server(server) = &store.keeps {
                check_told(server)?;
            }
        }
        Ok(cases)
    }

    async fn record(&mut self, requests: &[Submission], policy: &Policy) -> anyhow::Result<Recorded> {
        self.recorded.submit(requests.to_vec()).await?;
        let submit = self.tape.take()?;
        let placed = self.recorded.place(requests.len(), policy).await?;
        let commit = self.tape.take()?;
        self.recorded.end(&placed.workers, requests.len()).await?;
        Ok(Recorded { submit, commit, end: self.tape.take()? })
    }
}

async fn turns(ports: Ports, workers: usize) -> anyhow::Result<Turns> {
    let containers = CONTAINERS_PER_WORKER.max(BATCH_MAX.div_ceil(workers));
    Turns::of(Cell::with_workers(ports, RECORDED, workers, room_for(containers as u64)).await?).await
}

async fn turn(turns: &mut Turns, requests: Vec<Submission>, policy: &Policy) -> anyhow::Result<(Times, usize)> {
    let batch = requests.len();
    let submit = turns.submit(requests).await?;
    let placed = turns.place(batch, policy).await?;
    let end = turns.end(&placed.workers, batch).await?;
    Ok((Times { submit, end, ..placed.times }, placed.workers.len()))
}

fn tell(line: &mut Line, recorded: &Recorded) -> anyhow::Result<Times> {
    let mut tell = |writes| anyhow::Ok(line.tell(writes)?.as_secs_f64() * 1_000.0);
    let (submit, commit, end) = (tell(&recorded.submit)?, tell(&recorded.commit)?, tell(&recorded.end)?);
    Ok(Times { submit, commit, end, ..Times::default() })
}

/// What the planner waits for.
fn placing(times: &Times) -> f64 {
    times.read + times.commit
}

fn samples(times: &[Times], of: impl Fn(&Times) -> f64) -> Samples {
    let mut samples = Samples::default();
    for times in times {
        samples.push(of(times));
    }
    samples
}

impl Case {
    fn times(&self) -> Vec<Value> {
        let stages: [fn(&Times) -> f64; 5] = [|t| t.submit, |t| t.read, |t| t.plan, |t| t.commit, |t| t.end];
        let stages = stages.into_iter().map(|of| samples(&self.ours, of));
        let mut row: Vec<Value> =
            stages.flat_map(|stage| [stage.median().into(), stage.percentile(99).into()]).collect();
        row.push(samples(&self.ours, placing).median().into());
        row
    }

    fn rates(&self, batch: usize) -> Vec<Value> {
        let rate = |times: &[Times], of: fn(&Times) -> f64| Value::from(per_second(batch, times, of));
        vec![
            rate(&self.ours, |t| t.submit),
            rate(&self.limits, |t| t.submit),
            self.share(|t| t.submit, |t| t.submit).into(),
            rate(&self.ours, placing),
            rate(&self.ours, |t| t.commit),
            rate(&self.limits, |t| t.commit),
            self.share(placing, |t| t.commit).into(),
            rate(&self.ours, |t| t.end),
            rate(&self.limits, |t| t.end),
            self.share(|t| t.end, |t| t.end).into(),
        ]
    }

    /// The limit's time by ours, in percent.
    fn share(&self, ours: fn(&Times) -> f64, limit: fn(&Times) -> f64) -> f64 {
        let mut shares = Samples::default();
        for (our, its) in self.ours.iter().zip(&self.limits) {
            shares.push(100.0 * limit(its) / ours(our));
        }
        shares.median()
    }
}

fn per_second(batch: usize, times: &[Times], of: impl Fn(&Times) -> f64) -> f64 {
    float(batch) * 1_000.0 / samples(times, of).median()
}

/// What is to be seen of all cases together.
#[derive(Default)]
struct Growth {
    seen: Vec<Seen>,
}

/// A case, and how many placements a second it made.
struct Seen {
    store: &'static str,
    workers: usize,
    batch: usize,
    strategy: Strategy,
    workers_used: usize,
    placing: f64,
    commits: f64,
    plan_ms: f64,
    share: f64,
}

impl Growth {
    fn take(&mut self, store: &'static str, workers: usize, batch: usize, strategy: Strategy, case: &Case) {
        self.seen.push(Seen {
            store,
            workers,
            batch,
            strategy,
            workers_used: case.workers_used,
            placing: per_second(batch, &case.ours, placing),
            commits: per_second(batch, &case.ours, |t| t.commit),
            plan_ms: samples(&case.ours, |t| t.plan).median(),
            share: case.share(placing, |t| t.commit),
        });
    }

    fn plots(&self) -> Vec<Plot> {
        let spread = |seen: &&Seen| seen.batch == 100 && seen.strategy == Strategy::Spread;
        let packed = |seen: &&Seen| seen.workers == 1_000 && seen.strategy == Strategy::BestFit;
        let plots = [
            self.plot("next+look+commit, batches of 100 spread", "workers", "placements/s", spread, |seen| {
                (float(seen.workers), seen.placing)
            }),
            self.plot("plan, batches of 100 spread", "workers", "ms", spread, |seen| {
                (float(seen.workers), seen.plan_ms)
            }),
            self.plot("next+look+commit, 1,000 workers, packed", "requests a batch", "placements/s", packed, |seen| {
                (float(seen.batch), seen.placing)
            }),
        ];
        plots.into_iter().filter(|plot| plot.series.iter().any(|series| series.points.len() > 1)).collect()
    }

    fn plot(
        &self,
        title: &str,
        x: &str,
        y: &str,
        is_meant: impl Fn(&&Seen) -> bool,
        point: impl Fn(&Seen) -> (f64, f64),
    ) -> Plot {
        let mut series: Vec<Series> = Vec::new();
        for seen in self.seen.iter().filter(is_meant) {
            match series.iter_mut().find(|series| series.name == seen.store) {
                Some(series) => series.points.push(point(seen)),
                None => series.push(Series { name: seen.store.to_owned(), points: vec![point(seen)] }),
            }
        }
        Plot { title: title.to_owned(), x: x.to_owned(), y: y.to_owned(), series }
    }

    /// Which targets were met; nothing of what was not measured.
    fn targets(&self) -> Vec<String> {
        let find = |store: &str, workers: usize, batch: usize, strategy: Strategy| {
            let is_it = |seen: &&Seen| (seen.store, seen.workers, seen.batch) == (store, workers, batch);
            self.seen.iter().filter(is_it).find(|seen| seen.strategy == strategy)
        };
        let met = |is_met: bool| if is_met { "met" } else { "missed" };
        let mut notes = Vec::new();
        for (workers, strategy, goal) in [
            (1_000, Strategy::Spread, 90_000.0),
            (10_000, Strategy::Spread, 70_000.0),
            (1_000, Strategy::BestFit, 130_000.0),
        ] {
            if let Some(seen) = find(OFF, workers, BATCH_MAX, strategy) {
                notes.push(format!(
                    "Target, {}: {goal:.0} placements/s of next+look+commit, AOF off, 1,000 a batch on {} of {workers} \
                     workers, and half of the limit: {:.0}/s, {:.0}%.",
                    met(seen.placing >= goal && seen.share >= 50.0),
                    seen.workers_used,
                    seen.placing,
                    seen.share
                ));
            }
        }
        if let Some(seen) = find(EMBEDDED, FLEETS[0], 100, Strategy::Spread) {
            let (rate, used) = (seen.commits, seen.workers_used);
            notes.push(format!(
                "Target, {}: 15,000 durable placements/s, embedded, commits of 100 on {used} workers: {rate:.0}/s.",
                met(rate >= 15_000.0)
            ));
        }
        notes
    }
}
