//! Containers, read and ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::container::{Output, Phase};
use domain::id::{CellName, ContainerId, Revision, WorkerId};
use domain::model::containers::{ContainerPage, ExportPage, Forgotten, Found, Keep, StopOutcome};
use domain::model::{CALL_ITEMS_MAX, Filter, UsageRow};
use domain::time::Timestamp;
use ports::wire::Row;
use ports::{ContainerRepository, PortError, PortResult, Source};
use serde::{Deserialize, Serialize};

use crate::RedisPorts;
use crate::connection::Role;
use crate::records::{self, Alike, Bytes, Maybe};
use crate::store::mark;

#[derive(Serialize)]
struct Ids<'a> {
    now: u64,
    ids: Vec<&'a str>,
}

fn ids(now: Timestamp, ids: &[ContainerId]) -> Ids<'_> {
    Ids { now: now.0, ids: ids.iter().take(CALL_ITEMS_MAX).map(ContainerId::as_str).collect() }
}

#[derive(Serialize)]
struct List<'a> {
    kind: &'static str,
    name: &'a str,
    after: Option<&'a str>,
    limit: usize,
}

/// How a filter is asked for: phases that own room share one list, and are picked from it.
fn asked(filter: &Filter) -> (&'static str, &str) {
    match filter {
        Filter::All => ("all", ""),
        Filter::Phase(Phase::Pending) => ("phase", "p"),
        Filter::Phase(Phase::Succeeded) => ("phase", "s"),
        Filter::Phase(Phase::Failed) => ("phase", "f"),
        Filter::Phase(Phase::Stopped) => ("phase", "x"),
        Filter::Phase(phase) => ("live", phase.as_str()),
        Filter::Workspace(workspace) => ("workspace", workspace.as_str()),
        Filter::Worker(worker) => ("worker", worker.as_str()),
    }
}

type Rows<'a> = Vec<(&'a str, Bytes<'a>)>;

fn name<T, E: Into<Source>>(made: Result<T, E>) -> PortResult<T> {
    made.map_err(|bad| PortError::corrupt("a name", bad))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StopWord<'a> {
    Stopped,
    Stopping,
    NoSuchContainer,
    #[serde(borrow)]
    Ended(&'a str),
}

#[derive(Serialize)]
struct Forget {
    now: u64,
    /// In milliseconds.
    within: f64,
    ended_max: u64,
    limit: usize,
}

#[derive(Serialize)]
struct Export {
    since: u64,
    limit: usize,
}

#[derive(Deserialize)]
struct Exported<'a> {
    #[serde(borrow)]
    containers: Rows<'a>,
    #[serde(borrow)]
    workers: Rows<'a>,
    #[serde(borrow)]
    gone: Vec<&'a str>,
    /// Workspaces and their rows, in turn.
    #[serde(borrow)]
    usage: Vec<Bytes<'a>>,
    upto: (u64, u64),
    more: bool,
}

/// What workspaces use, oldest change first.
fn usage_rows(fields: &[Bytes]) -> Vec<UsageRow> {
    let rows = fields.chunks_exact(2).filter_map(|pair| {
        let workspace = std::str::from_utf8(pair[0].0).ok()?;
        records::usage(workspace, pair[1].0).ok()
    });
    let sorted: BTreeMap<_, _> = rows.map(|row| ((row.changed, row.workspace.clone()), row)).collect();
    sorted.into_values().collect()
}

impl RedisPorts {
    /// The rows of containers as bytes, in order; none where there is no row.
    pub(crate) async fn rows(&self, role: Role, cell: &CellName, wanted: &[ContainerId]) -> PortResult<Vec<Vec<u8>>> {
        let answer = self.store.run(role, cell, &self.store.scripts.get, &ids(Timestamp(0), wanted)).await?;
        Ok(answer.read::<Vec<(Bytes, Bytes, Bytes)>>()?.into_iter().map(|(row, _, _)| row.0.to_vec()).collect())
    }
}

#[async_trait]
impl ContainerRepository for RedisPorts {
    async fn get(&self, cell: &CellName, wanted: Vec<ContainerId>) -> PortResult<Vec<Option<Found>>> {
        let asked = ids(Timestamp(0), &wanted);
        let answer = self.store.run(Role::Callers, cell, &self.store.scripts.get, &asked).await?;
        let read: Vec<(Bytes, Bytes, Bytes)> = answer.read()?;
        let one = |(id, (row, body, output)): (&ContainerId, (Bytes, Bytes, Bytes))| {
            if row.0.is_empty() {
                return Ok(None);
            }
            let body = (!body.0.is_empty()).then(|| records::body(id.as_str(), body.0)).transpose()?;
            let output = (!output.0.is_empty()).then(|| Output::decode(format!("the output of {id}"), output.0));
            Ok(Some(Found {
                row: records::container(id.as_str(), row.0)?,
                body: body.map(Arc::new),
                output: output.transpose()?,
            }))
        };
        wanted.iter().zip(read).map(one).collect()
    }

    async fn list(
        &self,
        cell: &CellName,
        filter: Filter,
        after: Option<ContainerId>,
        limit: usize,
    ) -> PortResult<ContainerPage> {
        let limit = limit.clamp(1, CALL_ITEMS_MAX);
        let (kind, of) = asked(&filter);
        let mut page = ContainerPage { rows: Vec::new(), after };
        let mut seen = 0;
        loop {
            let asked =
                List { kind, name: of, after: page.after.as_ref().map(ContainerId::as_str), limit: limit - seen };
            let answer = self.store.run(Role::Callers, cell, &self.store.scripts.list, &asked).await?;
            let (rows, after): (Rows, Maybe<&str>) = answer.read()?;
            seen += rows.len();
            // A row that cannot be decoded is left out.
            page.rows.extend(rows.iter().filter_map(|(id, row)| records::container(id, row.0).ok()));
            page.after = after.0.map(|id| name(ContainerId::new(id))).transpose()?;
            if page.after.is_none() || seen >= limit {
                return Ok(page);
            }
        }
    }

    async fn stop(&self, cell: &CellName, now: Timestamp, wanted: Vec<ContainerId>) -> PortResult<Vec<StopOutcome>> {
        let answer = self.store.run(Role::Callers, cell, &self.store.scripts.stop, &ids(now, &wanted)).await?;
        let outcome = |word| {
            Ok(match word {
                StopWord::Stopped => StopOutcome::Stopped,
                StopWord::Stopping => StopOutcome::Stopping,
                StopWord::NoSuchContainer => StopOutcome::NoSuchContainer,
                StopWord::Ended(phase) => StopOutcome::Ended(name(records::phase(phase))?),
            })
        };
        answer.read::<Vec<StopWord>>()?.into_iter().map(outcome).collect()
    }

    async fn forget(&self, cell: &CellName, now: Timestamp, keep: Keep, limit: usize) -> PortResult<Forgotten> {
        let forget = Forget {
            now: now.0,
            within: keep.within.as_secs_f64() * 1000.0,
            ended_max: keep.ended_max.min(domain::id::INTEGER_MAX),
            limit: limit.clamp(1, CALL_ITEMS_MAX),
        };
        let answer = self.store.run(Role::Planner, cell, &self.store.scripts.forget, &forget).await?;
        let (containers, more) = answer.read()?;
        Ok(Forgotten { containers, more })
    }

    async fn export(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<ExportPage> {
        let export = Export { since: since.map_or(0, |since| since.0), limit: limit.clamp(1, CALL_ITEMS_MAX) };
        let answer = self.store.run(Role::Callers, cell, &self.store.scripts.export, &export).await?;
        let read: Exported = answer.read()?;
        let mut specs = Alike::default();
        let mut page = ExportPage {
            workers: read.workers.iter().filter_map(|(id, row)| records::worker(&mut specs, id, row.0).ok()).collect(),
            containers: Vec::new(),
            gone: read.gone.into_iter().map(|id| name(WorkerId::new(id))).collect::<PortResult<_>>()?,
            ended: Vec::new(),
            undecodable: Vec::new(),
            usage: usage_rows(&read.usage),
            upto: mark(read.upto),
            more: read.more,
        };
        for (id, row) in &read.containers {
            match records::container(id, row.0) {
                Ok(row) if row.state.phase().is_ended() => page.ended.push(row.id),
                Ok(row) => page.containers.push(row),
                Err(_) => page.undecodable.push(name(ContainerId::new(id))?),
            }
        }
        if since.is_none() {
            page.ended.clear();
            page.gone.clear();
        }
        Ok(page)
    }
}
