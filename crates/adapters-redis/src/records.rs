//! Rows as the scripts keep them: arrays in `MessagePack`, of what a step reads and changes, and in them, as text, what no
//! step looks into.
//!
//! The order of the fields is that of the tables `C`, `W`, `L` and `U` in `lua/step.lua`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use domain::container::{ContainerRow, EndRecord, Phase, Placement, State, StopCause, Waiting};
use domain::id::{Attempt, ContainerId, History, Incarnation, Revision, WorkerId, WorkerKey, Workspace};
use domain::model::UsageRow;
use domain::quota::Usage;
use domain::request::{Body, Digest, IfSilent, OrderKey, Shape};
use domain::resources::{Booking, Used};
use domain::time::Timestamp;
use domain::wait::{LotKey, LotRow, Why};
use domain::worker::{Closed, Life, WorkerRow, WorkerSpec};
use ports::wire::Row;
use ports::{PortError, PortResult, Source};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

mod asked;

use asked::{AskRecord, LastAsk};
pub(crate) use asked::{Asks, ask_rest};

/// The only version of records that is written and read.
const VERSION: u8 = 1;

/// Bytes within a reply, which the reply says are text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Bytes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Bytes(text.as_bytes()))
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Bytes(bytes))
            }
        }

        from.deserialize_bytes(Any)
    }
}

/// What is `false` where there is none.
#[derive(Debug)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct FalseOr<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FalseOr<T> {
            type Value = Maybe<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, or false")
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
                if value { Err(E::custom("true is neither a value nor none")) } else { Ok(Maybe(None)) }
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                T::deserialize(serde::de::value::BorrowedStrDeserializer::new(text)).map(|value| Maybe(Some(value)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<Self::Value, A::Error> {
                T::deserialize(SeqAccessDeserializer::new(from)).map(|value| Maybe(Some(value)))
            }
        }

        from.deserialize_any(FalseOr(PhantomData))
    }
}

/// What is absent as -1.
fn present<T>(number: i64, make: impl FnOnce(u64) -> T) -> Option<T> {
    u64::try_from(number).ok().map(make)
}

#[derive(Deserialize)]
struct ContainerRecord<'a> {
    version: u8,
    /// Counted from 1, in the order of [`Phase::ALL`].
    state: usize,
    lot: &'a str,
    #[serde(borrow)]
    place: Maybe<PlaceRecord<'a>>,
    cause: &'a str,
    attempt: u64,
    placed_in: i64,
    failures: u32,
    placed_at: i64,
    taken_at: i64,
    running_at: i64,
    changed: u64,
    #[serde(borrow)]
    over: Maybe<OverRecord<'a>>,
    workspace: &'a str,
    cpu: u64,
    memory: u64,
    _gpus: u32,
    _milli: u32,
    keeps: bool,
    ahead: i64,
    revision: u64,
    position: u32,
    submitted: u64,
    digest: &'a str,
    ask: &'a str,
}

#[derive(Deserialize)]
struct PlaceRecord<'a> {
    worker: &'a str,
    incarnation: u64,
    order: u64,
    cpu: u64,
    memory: u64,
    milli: u32,
    devices: Vec<u32>,
}

#[derive(Deserialize)]
struct OverRecord<'a> {
    what: &'a str,
    _forever: &'a str,
    _is_failure: bool,
    attempt: u64,
    #[serde(borrow)]
    worker: Maybe<&'a str>,
    at: u64,
}

/// A word that is none of those that a field may hold.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no {1}")]
struct NoWord(String, &'static str);

fn checked_version(version: u8) -> Result<(), Source> {
    if version == VERSION {
        Ok(())
    } else {
        Err(format!("it is of version {version}, and only {VERSION} is known").into())
    }
}

/// What was read last, for the many that are written alike: they share one value.
pub(crate) struct Alike<T>(Option<(String, Arc<T>)>);

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Row> Alike<T> {
    fn read(&mut self, what: &str, text: &str) -> Result<Arc<T>, Source> {
        match &self.0 {
            Some((last, value)) if last == text => Ok(Arc::clone(value)),
            _ => {
                let value = Arc::new(T::decode(what, text.as_bytes())?);
                self.0 = Some((text.to_owned(), Arc::clone(&value)));
                Ok(value)
            }
        }
    }
}

/// How many characters a digest takes, of seven bits each: rows are text to those who pass them on.
const DIGEST_CHARS: usize = 19;

/// A digest as it is kept.
pub(crate) fn digest_text(digest: Digest) -> String {
    let bits = |at: usize| (digest.0 >> (7 * at)).to_le_bytes()[0] & 0x7f;
    (0..DIGEST_CHARS).map(|at| char::from(bits(at))).collect()
}

fn digest(text: &str) -> Result<Digest, Source> {
    if text.len() != DIGEST_CHARS || !text.is_ascii() {
        return Err(format!("{text:?} is no digest").into());
    }
    Ok(Digest(text.bytes().rev().fold(0, |digest, bits| digest << 7 | u128::from(bits))))
}

/// A container from its record.
pub(crate) fn container(id: &str, bytes: &[u8]) -> PortResult<ContainerRow> {
    container_among(&mut Asks::default(), id, bytes)
}

/// A container from its record, after others.
pub(crate) fn container_among(asks: &mut Asks, id: &str, bytes: &[u8]) -> PortResult<ContainerRow> {
    read_container(asks, id, bytes).map_err(|source| PortError::corrupt(format!("container {id}"), source))
}

fn read_container(asks: &mut Asks, id: &str, bytes: &[u8]) -> Result<ContainerRow, Source> {
    let record: ContainerRecord = rmp_serde::from_slice(bytes)?;
    checked_version(record.version)?;
    let rank = i64::try_from(record.submitted)?.saturating_sub(record.ahead);
    let key = OrderKey { rank, revision: Revision(record.revision), position: record.position };
    let ContainerRecord { workspace, cpu, memory, ask: rest, .. } = record;
    let last = asks.read(&AskRecord { workspace, cpu, memory, rest })?;
    let place = record.place.0.map(placement).transpose()?;
    Ok(ContainerRow {
        id: ContainerId::new(id)?,
        digest: digest(record.digest)?,
        ask: Arc::clone(&last.ask),
        if_silent: if record.keeps { IfSilent::Keep } else { IfSilent::Stop },
        key,
        submitted: Timestamp(record.submitted),
        state: state(record.state, record.lot, last, place.as_ref(), record.cause)?,
        attempt: Attempt(record.attempt),
        placed_in: present(record.placed_in, History::from_random),
        failures: record.failures,
        placed_at: present(record.placed_at, Timestamp),
        taken_at: present(record.taken_at, Timestamp),
        running_at: present(record.running_at, Timestamp),
        last_end: record.over.0.as_ref().map(end_record).transpose()?,
        changed: Revision(record.changed),
    })
}

fn placement(record: PlaceRecord) -> Result<Placement, Source> {
    Ok(Placement {
        worker: WorkerId::new(record.worker)?,
        incarnation: Incarnation(record.incarnation),
        booking: Booking {
            cpu_milli: record.cpu,
            memory_mib: record.memory,
            gpu_devices: record.devices,
            gpu_milli: record.milli,
        },
        order: Revision(record.order),
    })
}

fn end_record(record: &OverRecord) -> Result<EndRecord, Source> {
    Ok(EndRecord {
        end: Row::decode("an end", record.what.as_bytes())?,
        attempt: Attempt(record.attempt),
        worker: record.worker.0.map(WorkerId::new).transpose()?,
        at: Timestamp(record.at),
    })
}

fn state(number: usize, lot: &str, ask: &mut LastAsk, place: Option<&Placement>, cause: &str) -> Result<State, Source> {
    let placed = || place.cloned().ok_or("it owns no room");
    let phase = number.checked_sub(1).and_then(|index| Phase::ALL.get(index)).copied();
    Ok(match phase.ok_or_else(|| NoWord(number.to_string(), "phase"))? {
        Phase::Pending if lot.is_empty() => State::Pending(Waiting::Ready),
        Phase::Pending if lot == OWN_LOT => State::Pending(Waiting::Parked(LotKey::Shape(ask.shape()))),
        Phase::Pending => State::Pending(Waiting::Parked(lot_key(lot)?)),
        Phase::Placed => State::Placed(placed()?),
        Phase::Starting => State::Starting(placed()?),
        Phase::Running => State::Running(placed()?),
        Phase::Stopping if cause == "drain" => State::Stopping(placed()?, StopCause::Drain),
        Phase::Stopping => State::Stopping(placed()?, StopCause::Stop),
        Phase::Succeeded => State::Succeeded,
        Phase::Failed => State::Failed,
        Phase::Stopped => State::Stopped,
    })
}

/// A phase by its word.
pub(crate) fn phase(word: &str) -> Result<Phase, Source> {
    let found = Phase::ALL.into_iter().find(|phase| phase.as_str() == word);
    found.ok_or_else(|| NoWord(word.to_owned(), "phase").into())
}

/// How a row names the lot of its own shape, where it asks for nothing but cpu and memory.
const OWN_LOT: &str = "=";

/// How many bytes stand before the place in line of who is parked: they stand for the lot.
pub(crate) const LOT_BYTES: usize = 10;

/// How a lot is named.
pub(crate) fn lot_name(key: &LotKey) -> String {
    match key {
        LotKey::Shape(shape) => format!("shape:{shape}"),
        LotKey::Quota(workspace) => format!("quota:{workspace}"),
        LotKey::Corrupt => "corrupt".to_owned(),
        LotKey::Keep => "keep".to_owned(),
        LotKey::Stop => "stop".to_owned(),
    }
}

/// A lot by its name.
pub(crate) fn lot_key(name: &str) -> Result<LotKey, Source> {
    Ok(match (name, name.split_once(':')) {
        ("corrupt", _) => LotKey::Corrupt,
        ("keep", _) => LotKey::Keep,
        ("stop", _) => LotKey::Stop,
        (_, Some(("shape", shape))) => LotKey::Shape(Shape::from_text(shape)),
        (_, Some(("quota", workspace))) => LotKey::Quota(Workspace::new(workspace)?),
        _ => return Err(NoWord(name.to_owned(), "lot").into()),
    })
}

#[derive(Deserialize)]
struct WorkerRecord<'a> {
    version: u8,
    life: &'a str,
    boot: Maybe<(u64, u32)>,
    closed: &'a str,
    within: Maybe<(u64, u32)>,
    due: bool,
    #[serde(borrow)]
    key: Maybe<&'a str>,
    incarnation: u64,
    registered: i64,
    complete: bool,
    ready: bool,
    cpu: u64,
    memory: u64,
    containers: u32,
    milli: Vec<u32>,
    _total_cpu: u64,
    _total_memory: u64,
    _total_gpus: u32,
    changed: u64,
    spec: &'a str,
}

/// A worker from its record, after others.
pub(crate) fn worker(specs: &mut Alike<WorkerSpec>, id: &str, bytes: &[u8]) -> PortResult<WorkerRow> {
    read_worker(specs, id, bytes).map_err(|source| PortError::corrupt(format!("worker {id}"), source))
}

fn read_worker(specs: &mut Alike<WorkerSpec>, id: &str, bytes: &[u8]) -> Result<WorkerRow, Source> {
    let record: WorkerRecord = rmp_serde::from_slice(bytes)?;
    checked_version(record.version)?;
    let period = |period: Maybe<(u64, u32)>| period.0.map(|(seconds, nanos)| Duration::new(seconds, nanos));
    let life = match (record.life, period(record.boot)) {
        ("pending", Some(boot_within)) => Life::Pending { boot_within },
        ("up", _) => Life::Up,
        ("lost", _) => Life::Lost,
        (word, _) => return Err(NoWord(word.to_owned(), "life of a worker").into()),
    };
    let closed = match (record.closed, period(record.within)) {
        ("no", _) => Closed::No,
        ("cordoned", _) => Closed::Cordoned,
        ("draining", Some(within)) => Closed::Draining { within, due: record.due },
        (word, _) => return Err(NoWord(word.to_owned(), "way of being closed").into()),
    };
    Ok(WorkerRow {
        id: WorkerId::new(id)?,
        spec: specs.read("what a worker is", record.spec)?,
        life,
        closed,
        key: record.key.0.map(WorkerKey::new).transpose()?,
        incarnation: Incarnation(record.incarnation),
        registered_in: present(record.registered, History::from_random),
        complete: record.complete,
        ready: record.ready,
        used: Used {
            cpu_milli: record.cpu,
            memory_mib: record.memory,
            gpu_milli: record.milli,
            containers: record.containers,
        },
        changed: Revision(record.changed),
    })
}

/// How a period is written.
pub(crate) fn period(period: Duration) -> (u64, u32) {
    (period.as_secs(), period.subsec_nanos())
}

#[derive(Deserialize)]
struct LotRecord<'a> {
    version: u8,
    count: u64,
    rank: i64,
    revision: u64,
    position: u32,
    #[serde(borrow)]
    ask: Maybe<AskRecord<'a>>,
    why: &'a str,
    changed: u64,
}

/// A lot from its record.
pub(crate) fn lot(name: &str, bytes: &[u8]) -> PortResult<LotRow> {
    read_lot(name, bytes).map_err(|source| PortError::corrupt(format!("lot {name}"), source))
}

fn read_lot(name: &str, bytes: &[u8]) -> Result<LotRow, Source> {
    let record: LotRecord = rmp_serde::from_slice(bytes)?;
    checked_version(record.version)?;
    let ask = record.ask.0.map(|ask| ask.read()).transpose()?;
    Ok(LotRow {
        key: lot_key(name)?,
        ask: ask.map(Arc::new),
        count: record.count,
        first: OrderKey { rank: record.rank, revision: Revision(record.revision), position: record.position },
        why: Why::decode("a reason to wait", record.why.as_bytes())?,
        changed: Revision(record.changed),
    })
}

/// What a workspace uses, from its record.
pub(crate) fn usage(workspace: &str, bytes: &[u8]) -> PortResult<UsageRow> {
    read_usage(workspace, bytes).map_err(|source| PortError::corrupt(format!("the usage of {workspace}"), source))
}

fn read_usage(workspace: &str, bytes: &[u8]) -> Result<UsageRow, Source> {
    let (version, cpu_milli, memory_mib, gpu_milli, containers, changed) = rmp_serde::from_slice(bytes)?;
    checked_version(version)?;
    let usage = Usage { cpu_milli, memory_mib, gpu_milli, containers };
    Ok(UsageRow { workspace: Workspace::new(workspace)?, usage, changed: Revision(changed) })
}

/// What no script looks into, as text.
pub(crate) fn text<T: Row>(part: &T) -> PortResult<String> {
    String::from_utf8(part.encode()?).map_err(|error| PortError::corrupt("an encoding", error))
}

/// A body as it is kept: its size, by which a take knows when it has handed out enough, and its text.
pub(crate) fn body_text(body: &Body) -> PortResult<String> {
    Ok(format!("{} {}", body.bytes(), text(body)?))
}

/// A body from how it is kept.
pub(crate) fn body(id: &str, kept: &[u8]) -> PortResult<Body> {
    let what = || format!("the body of container {id}");
    match kept.iter().position(|byte| *byte == b' ') {
        Some(space) => Body::decode(what(), &kept[space + 1..]),
        None => Err(PortError::corrupt(what(), "it has no size")),
    }
}

#[cfg(test)]
mod tests;
