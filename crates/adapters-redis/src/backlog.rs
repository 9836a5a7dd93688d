//! Requests that wait.

use std::time::Duration;

use async_trait::async_trait;
use domain::container::Phase;
use domain::id::{CellName, ContainerId, Revision};
use domain::model::CALL_ITEMS_MAX;
use domain::model::backlog::{Depth, InLine, Line, SubmitOutcome};
use domain::request::{IfSilent, OrderKey, PRIORITY_STEP, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use ports::{BacklogRepository, PortError, PortResult, Source};
use serde::{Deserialize, Serialize};

use crate::connection::Role;
use crate::records::{self, Asks, Bytes, LOT_BYTES};
use crate::store::{Store, mark};
use crate::together::{self, Shareable, Together, latest};
use crate::{POLL, RedisPorts};

/// As much as a small request's body has.
const SMALL_BYTES: usize = 4096;

/// A call of submit.
pub(crate) struct Submit {
    now: Timestamp,
    /// How many requests came with it.
    count: usize,
    /// Those of them that are valid, each with its position in the call.
    submissions: Vec<(usize, Submission)>,
}

impl Shareable for Submit {
    type Answer = Vec<SubmitOutcome>;

    fn weight(&self) -> usize {
        self.count + self.submissions.iter().map(|(_, request)| request.body.bytes() / SMALL_BYTES).sum::<usize>()
    }

    fn queue(store: &Store) -> &Together<Self> {
        &store.submits
    }

    async fn ask(store: &Store, cell: &CellName, calls: &[&Self]) -> PortResult<Vec<Self::Answer>> {
        let (mut items, mut before) = (Vec::new(), 0);
        for call in calls {
            let positioned = call.submissions.iter().map(|(position, submission)| item(before + position, submission));
            items.extend(positioned.collect::<PortResult<Vec<_>>>()?);
            before += call.count;
        }
        let now = latest(calls.iter().map(|call| call.now));
        let asked = Submitted { now, needs_memory: true, items };
        let answer = store.run(Role::Callers, cell, &store.scripts.submit, &asked).await?;
        let mut words = answer.read::<Vec<&str>>()?.into_iter();
        let outcomes = calls.iter().map(|call| words.by_ref().take(call.submissions.len()).map(outcome).collect());
        let outcomes: Result<_, _> = outcomes.collect();
        outcomes.map_err(|source| PortError::corrupt("the answer of submit", source))
    }
}

fn outcome(word: &str) -> Result<SubmitOutcome, Source> {
    Ok(match word {
        "accepted" => SubmitOutcome::Accepted,
        "conflict" => SubmitOutcome::Conflict,
        word => SubmitOutcome::Already(records::phase(word)?),
    })
}

#[derive(Serialize)]
struct Submitted<'a> {
    now: u64,
    /// Nothing of it is written while the server's memory is full.
    needs_memory: bool,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    position: usize,
    digest: String,
    workspace: &'a str,
    cpu: u64,
    memory: u64,
    gpus: u32,
    milli: u32,
    keeps: bool,
    /// By how many milliseconds its priority puts it ahead of its time.
    ahead: i64,
    ask: String,
    body: String,
}

fn item(position: usize, submission: &Submission) -> PortResult<Item<'_>> {
    let ask = &*submission.ask;
    let key = OrderKey::new(Timestamp(0), ask.priority, Revision(0), 0);
    let (gpus, milli) = ask.gpu.as_ref().map_or((0, 0), |gpu| (gpu.count, gpu.milli));
    Ok(Item {
        id: submission.id.as_str(),
        position,
        digest: records::digest_text(submission.digest()),
        workspace: ask.workspace.as_str(),
        cpu: ask.cpu_milli,
        memory: ask.memory_mib,
        gpus,
        milli,
        keeps: submission.if_silent == IfSilent::Keep,
        ahead: -key.rank,
        ask: records::ask_rest(ask)?,
        body: records::body_text(&submission.body)?,
    })
}

/// A place in line, as scripts read it.
type Place = (i64, u64, u32);

/// A place as scripts can write it down. What lies beyond all that they can is at the end that it is nearest to.
fn place(key: OrderKey) -> Option<Place> {
    (key.rank >= -RANK_BIAS).then_some((key.rank.min(RANK_MAX), key.revision.0, key.position.min(u32::from(u16::MAX))))
}

/// Ranks go below 0 by at most the worth of a priority; see `place_in_line` in `lua/cell.lua`.
const RANK_BIAS: i64 = 1 << 33;
/// No rank is beyond this, and it can be written down.
const RANK_MAX: i64 = 1 << 54;
const _: () = assert!(PRIORITY_STEP.as_millis() * 100 < RANK_BIAS.unsigned_abs() as u128);

#[derive(Serialize)]
struct Next {
    after: Option<Place>,
    limit: usize,
    lots: Vec<(String, usize, Option<Place>)>,
}

/// Members of a table of who waits, and their rows, in the same order.
type Waiting<'a> = (Vec<Bytes<'a>>, Vec<Bytes<'a>>);

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    ready: Waiting<'a>,
    #[serde(borrow)]
    lots: Vec<Waiting<'a>>,
    mark: (u64, u64),
}

/// Each member from its place on, with its row; `prefix` is what members begin with.
fn pairs<'a>((members, rows): &'a Waiting, prefix: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    members.iter().zip(rows).map(move |(member, row)| (member.0.get(prefix..).unwrap_or_default(), row.0))
}

/// A number of its bytes, the highest first.
fn number(bytes: [u8; 7]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where one waits, as the tables of who waits are sorted: its place, and its id.
fn standing(member: &[u8]) -> Result<(OrderKey, &str), Source> {
    let (rank, rest) = member.split_first_chunk::<7>().ok_or("it has no rank")?;
    let (revision, rest) = rest.split_first_chunk::<7>().ok_or("it has no revision")?;
    let (position, id) = rest.split_first_chunk::<2>().ok_or("it has no position")?;
    let key = OrderKey {
        rank: i64::try_from(number(*rank))? - RANK_BIAS,
        revision: Revision(number(*revision)),
        position: u32::from(u16::from_be_bytes(*position)),
    };
    Ok((key, std::str::from_utf8(id)?))
}

fn waiting(asks: &mut Asks, id: &str, row: &[u8]) -> PortResult<InLine> {
    Ok(records::container_among(asks, id, row)?.into())
}

fn bad_member(source: Source) -> PortError {
    PortError::corrupt("a place in line", source)
}

/// The members of a lot that can be decoded, and where the last that was read stands.
fn members(read: &Waiting) -> PortResult<(Vec<InLine>, Option<OrderKey>)> {
    let (mut members, mut last, mut asks) = (Vec::new(), None, Asks::default());
    for (member, row) in pairs(read, LOT_BYTES) {
        let (key, id) = standing(member).map_err(bad_member)?;
        members.extend(waiting(&mut asks, id, row).ok());
        last = Some(key);
    }
    Ok((members, last))
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Counted<'a> {
    ready: u64,
    phases: [u64; Phase::ALL.len()],
    #[serde(borrow)]
    first: Bytes<'a>,
}

impl RedisPorts {
    /// Reads on in a lot, past those that cannot be decoded: they keep nobody behind them waiting.
    async fn read_on(
        &self,
        cell: &CellName,
        lot: &LotKey,
        wanted: usize,
        mut after: Option<OrderKey>,
        found: &mut Vec<InLine>,
    ) -> PortResult<()> {
        let mut left = CALL_ITEMS_MAX;
        while found.len() < wanted && left > 0 {
            let limit = (wanted - found.len()).min(left);
            let lots = vec![(records::lot_name(lot), limit, after.and_then(place))];
            let next = Next { after: None, limit: 0, lots };
            let answer = self.store.run(Role::Planner, cell, &self.store.scripts.next, &next).await?;
            let read: Read = answer.read()?;
            let Some(page) = read.lots.first() else { return Ok(()) };
            let (more, last) = members(page)?;
            found.extend(more);
            let count = page.0.len();
            if count < limit {
                return Ok(());
            }
            left -= count;
            after = last;
        }
        Ok(())
    }
}

#[async_trait]
impl BacklogRepository for RedisPorts {
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>> {
        let count = submissions.len().min(CALL_ITEMS_MAX);
        let (mut valid, mut outcomes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (position, submission) in submissions.into_iter().take(count).enumerate() {
            match submission.ask.check().and_then(|()| submission.body.check()) {
                Ok(()) => {
                    valid.push((position, submission));
                    outcomes.push(None);
                }
                Err(bad) => outcomes.push(Some(SubmitOutcome::Invalid(bad))),
            }
        }
        let told = together::ask(&self.store, cell, Submit { now, count, submissions: valid }).await?;
        let mut told = told.into_iter();
        let outcomes: Option<_> = outcomes.into_iter().map(|known| known.or_else(|| told.next())).collect();
        outcomes.ok_or_else(|| PortError::corrupt("the answer of submit", "it is short"))
    }

    async fn depth(&self, cell: &CellName) -> PortResult<Depth> {
        let answer = self.store.run(Role::Planner, cell, &self.store.scripts.depth, &Nothing {}).await?;
        let counted: Counted = answer.read()?;
        let first = records::container("first", counted.first.0).ok();
        let pending = counted.phases[Phase::Pending as usize];
        Ok(Depth {
            ready: counted.ready,
            parked: pending.saturating_sub(counted.ready),
            oldest_ready: first.map(|row| row.submitted),
            phases: counted.phases,
        })
    }

    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line> {
        let named = lots.iter().map(|(lot, count)| (records::lot_name(lot), (*count).min(CALL_ITEMS_MAX), None));
        let next = Next { after: after.and_then(place), limit: limit.min(CALL_ITEMS_MAX), lots: named.collect() };
        let answer = self.store.run(Role::Planner, cell, &self.store.scripts.next, &next).await?;
        let read: Read = answer.read()?;
        let mut line = Line { ready: Vec::new(), lots: Vec::new(), corrupt: Vec::new(), mark: mark(read.mark) };
        let mut asks = Asks::default();
        for (member, row) in pairs(&read.ready, 0) {
            let (key, id) = standing(member).map_err(bad_member)?;
            match waiting(&mut asks, id, row) {
                Ok(waiting) => line.ready.push(waiting),
                Err(_) => line.corrupt.push((key, ContainerId::new(id).map_err(|bad| bad_member(bad.into()))?)),
            }
        }
        for ((lot, count), page) in lots.into_iter().zip(&read.lots) {
            let (mut found, last) = members(page)?;
            let (wanted, count) = (count.min(CALL_ITEMS_MAX), page.0.len());
            if found.len() < count && count == wanted {
                self.read_on(cell, &lot, wanted, last, &mut found).await?;
            }
            line.lots.push((lot, found));
        }
        Ok(line)
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision> {
        let read = || self.store.heights(Role::Planner, cell);
        let heights = self.store.signal(cell).wait(at_most, POLL, read, |now| now.woken > seen).await?;
        Ok(heights.revision)
    }
}

#[cfg(test)]
mod tests;
