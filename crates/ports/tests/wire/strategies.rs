//! Any row that a step could write.
//!
//! Large parts are boxed: one strategy of all their types together is larger than a test thread's stack.

use std::sync::Arc;
use std::time::Duration;

use domain::container::{
    ContainerRow, End, EndRecord, Exit, Output, OutputTail, Phase, Placement, State, StopCause, Waiting,
};
use domain::id::{
    Attempt, ContainerId, GpuType, History, INTEGER_MAX, Incarnation, MachineName, Mark, PlannerId, PoolName, Revision,
    Runtime, Stamp, Term, WorkerId, WorkerKey, Workspace,
};
use domain::model::{CellRow, PlannerRow, Rewind, UsageRow};
use domain::quota::{OverQuota, QuotaResource, Usage};
use domain::request::{Ask, Body, Digest, GpuAsk, GpuWish, IfSilent, Labels, OrderKey};
use domain::resources::{Booking, Capacity, Used};
use domain::time::Timestamp;
use domain::wait::{Largest, LargestOwner, LotKey, LotRow, Rule, Why};
use domain::worker::{Closed, Life, WorkerRow, WorkerSpec};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

macro_rules! names {
    ($($function:ident $name:ident)*) => {$(
        fn $function() -> impl Strategy<Value = $name> {
            "[A-Za-z0-9][A-Za-z0-9._-]{0,12}".prop_map(|text| $name::new(&text).expect("a name"))
        }
    )*};
}

names! {
    container_id ContainerId
    gpu_type GpuType
    machine MachineName
    planner_id PlannerId
    pool PoolName
    runtime Runtime
    worker_id WorkerId
    worker_key WorkerKey
    workspace Workspace
}

/// Any integer that the formats may hold, the ends most of all.
fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(INTEGER_MAX), 0..=INTEGER_MAX, 0..100_u64]
}

fn revision() -> impl Strategy<Value = Revision> {
    integer().prop_map(Revision)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    integer().prop_map(Timestamp)
}

fn history() -> impl Strategy<Value = History> {
    any::<u64>().prop_map(History::from_random)
}

fn duration() -> impl Strategy<Value = Duration> {
    (integer(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

/// Text with quotes, control characters and all planes of Unicode.
fn text() -> impl Strategy<Value = String> {
    any::<String>()
}

fn word() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(word(), word(), 0..3)
}

fn order_key() -> impl Strategy<Value = OrderKey> {
    let most = INTEGER_MAX.cast_signed();
    (-most..=most, revision(), any::<u32>()).prop_map(|(rank, revision, position)| OrderKey {
        rank,
        revision,
        position,
    })
}

fn gpu_ask() -> impl Strategy<Value = GpuAsk> {
    let types = prop_oneof![Just(GpuWish::Any), vec(gpu_type(), 1..4).prop_map(GpuWish::OneOf)];
    (types, 1..1024_u32, 1..=1000_u32).prop_map(|(types, count, milli)| GpuAsk { types, count, milli })
}

fn ask() -> BoxedStrategy<Arc<Ask>> {
    let names = (workspace(), option::of(pool()), option::of(machine()), option::of(runtime()));
    let amounts = (integer(), integer(), option::of(gpu_ask()));
    let rest = (any::<bool>(), -100..=100_i8, option::of(word()), labels());
    (names, amounts, rest)
        .prop_map(
            |(
                (workspace, pool, machine, runtime),
                (cpu_milli, memory_mib, gpu),
                (preemptible, priority, affinity, labels),
            )| {
                Arc::new(Ask {
                    workspace,
                    cpu_milli,
                    memory_mib,
                    gpu,
                    pool,
                    machine,
                    runtime,
                    preemptible,
                    priority,
                    affinity,
                    labels,
                })
            },
        )
        .boxed()
}

fn booking() -> impl Strategy<Value = Booking> {
    let gpu = (vec(any::<u32>(), 0..5), any::<u32>());
    (integer(), integer(), gpu).prop_map(|(cpu_milli, memory_mib, (gpu_devices, gpu_milli))| Booking {
        cpu_milli,
        memory_mib,
        gpu_devices,
        gpu_milli,
    })
}

fn placement() -> BoxedStrategy<Placement> {
    (worker_id(), integer(), booking(), revision())
        .prop_map(|(worker, incarnation, booking, order)| Placement {
            worker,
            incarnation: Incarnation(incarnation),
            booking,
            order,
        })
        .boxed()
}

fn lot_key() -> BoxedStrategy<LotKey> {
    prop_oneof![
        ask().prop_map(|ask| LotKey::Shape(ask.shape())),
        workspace().prop_map(LotKey::Quota),
        Just(LotKey::Corrupt),
        Just(LotKey::Keep),
        Just(LotKey::Stop),
    ]
    .boxed()
}

fn state() -> BoxedStrategy<State> {
    let cause = prop_oneof![Just(StopCause::Drain), Just(StopCause::Stop)];
    prop_oneof![
        Just(State::Pending(Waiting::Ready)),
        lot_key().prop_map(|lot| State::Pending(Waiting::Parked(lot))),
        placement().prop_map(State::Placed),
        placement().prop_map(State::Starting),
        placement().prop_map(State::Running),
        (placement(), cause).prop_map(|(place, cause)| State::Stopping(place, cause)),
        Just(State::Succeeded),
        Just(State::Failed),
        Just(State::Stopped),
    ]
    .boxed()
}

fn end() -> BoxedStrategy<End> {
    prop_oneof![
        any::<i32>().prop_map(|code| End::Exited(Exit::Code(code))),
        any::<i32>().prop_map(|signal| End::Exited(Exit::Signal(signal))),
        Just(End::StopOrder),
        Just(End::DrainOrder),
        duration().prop_map(End::Timeout),
        duration().prop_map(End::Deadline),
        (any::<i32>(), text()).prop_map(|(code, detail)| End::Unstartable { code, detail }),
        text().prop_map(End::StartFailed),
        Just(End::NotStarted),
        Just(End::Gone),
        Just(End::WorkerLost),
        Just(End::WorkerForgot),
        Just(End::NeverStarted),
    ]
    .boxed()
}

fn end_record() -> BoxedStrategy<EndRecord> {
    (end(), integer(), option::of(worker_id()), timestamp())
        .prop_map(|(end, attempt, worker, at)| EndRecord { end, attempt: Attempt(attempt), worker, at })
        .boxed()
}

pub(crate) fn container() -> impl Strategy<Value = ContainerRow> {
    let silent = prop_oneof![Just(IfSilent::Stop), Just(IfSilent::Keep)];
    let given = (container_id(), any::<u128>(), ask(), silent, order_key(), timestamp());
    let times = (option::of(timestamp()), option::of(timestamp()), option::of(timestamp()));
    let life = (state(), integer(), option::of(history()), any::<u32>(), option::of(end_record()), revision());
    (given, times, life).prop_map(|(given, times, life)| {
        let (id, digest, ask, if_silent, key, submitted) = given;
        let (placed_at, taken_at, running_at) = times;
        let (state, attempt, placed_in, failures, last_end, changed) = life;
        ContainerRow {
            id,
            digest: Digest(digest),
            ask,
            if_silent,
            key,
            submitted,
            state,
            attempt: Attempt(attempt),
            placed_in,
            failures,
            placed_at,
            taken_at,
            running_at,
            last_end,
            changed,
        }
    })
}

pub(crate) fn body() -> impl Strategy<Value = Body> {
    let env = btree_map(text(), text(), 0..3);
    (vec(text(), 1..4), env, option::of(text()), option::of(duration()), option::of(duration()))
        .prop_map(|(command, env, cwd, timeout, kill_after)| Body { command, env, cwd, timeout, kill_after })
}

pub(crate) fn output() -> impl Strategy<Value = Output> {
    fn tail() -> impl Strategy<Value = OutputTail> {
        (text(), integer()).prop_map(|(text, dropped_bytes)| OutputTail { text, dropped_bytes })
    }
    (tail(), tail()).prop_map(|(stdout, stderr)| Output { stdout, stderr })
}

fn capacity() -> BoxedStrategy<Capacity> {
    (integer(), integer(), option::of(gpu_type()), any::<u32>())
        .prop_map(|(cpu_milli, memory_mib, gpu_type, gpu_count)| Capacity {
            cpu_milli,
            memory_mib,
            gpu_type,
            gpu_count,
        })
        .boxed()
}

fn spec() -> BoxedStrategy<Arc<WorkerSpec>> {
    let switches = (any::<i32>(), any::<bool>(), any::<bool>());
    let names = (pool(), option::of(machine()), option::of(workspace()), vec(runtime(), 1..3));
    (names, switches, capacity(), labels())
        .prop_map(
            |((pool, machine, workspace, runtimes), (priority, preemptible, requires_pool_selector), total, labels)| {
                Arc::new(WorkerSpec {
                    pool,
                    total,
                    priority,
                    preemptible,
                    requires_pool_selector,
                    machine,
                    workspace,
                    runtimes,
                    labels,
                })
            },
        )
        .boxed()
}

pub(crate) fn worker() -> impl Strategy<Value = WorkerRow> {
    let life =
        prop_oneof![duration().prop_map(|boot_within| Life::Pending { boot_within }), Just(Life::Up), Just(Life::Lost)];
    let draining = (duration(), any::<bool>()).prop_map(|(within, due)| Closed::Draining { within, due });
    let closed = prop_oneof![Just(Closed::No), Just(Closed::Cordoned), draining];
    let used = (integer(), integer(), vec(any::<u32>(), 0..4), any::<u32>()).prop_map(
        |(cpu_milli, memory_mib, gpu_milli, containers)| Used { cpu_milli, memory_mib, gpu_milli, containers },
    );
    let run = (option::of(worker_key()), integer(), option::of(history()), any::<bool>(), any::<bool>());
    ((worker_id(), spec(), life, closed), run, used, revision()).prop_map(
        |((id, spec, life, closed), (key, incarnation, registered_in, complete, ready), used, changed)| WorkerRow {
            id,
            spec,
            life,
            closed,
            key,
            incarnation: Incarnation(incarnation),
            registered_in,
            complete,
            ready,
            used,
            changed,
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    prop::sample::select(Rule::ALL.to_vec())
}

fn largest() -> BoxedStrategy<Largest> {
    let who = prop_oneof![worker_id().prop_map(LargestOwner::Worker), pool().prop_map(LargestOwner::Pool)];
    (who, capacity(), rule()).prop_map(|(who, size, fails)| Largest { who, size, fails }).boxed()
}

fn over_quota() -> impl Strategy<Value = OverQuota> {
    let resource = prop::sample::select(vec![
        QuotaResource::Cpu,
        QuotaResource::Memory,
        QuotaResource::Gpus,
        QuotaResource::Containers,
    ]);
    (resource, integer(), integer(), integer()).prop_map(|(resource, limit, used, needs)| OverQuota {
        resource,
        limit,
        used,
        needs,
    })
}

fn why() -> BoxedStrategy<Why> {
    let rules = btree_map(rule(), integer(), 0..=Rule::ALL.len());
    prop_oneof![
        Just(Why::NoWorkers),
        (rules, option::of(largest())).prop_map(|(rules, never)| Why::NoFit { rules, never }),
        over_quota().prop_map(Why::Quota),
        integer().prop_map(Why::Behind),
        text().prop_map(Why::Corrupt),
        integer().prop_map(|unregistered| Why::Settling { unregistered }),
    ]
    .boxed()
}

pub(crate) fn lot() -> impl Strategy<Value = LotRow> {
    (lot_key(), option::of(ask()), integer(), order_key(), why(), revision())
        .prop_map(|(key, ask, count, first, why, changed)| LotRow { key, ask, count, first, why, changed })
}

pub(crate) fn usage_row() -> impl Strategy<Value = UsageRow> {
    let usage =
        (integer(), integer(), integer(), integer()).prop_map(|(cpu_milli, memory_mib, gpu_milli, containers)| Usage {
            cpu_milli,
            memory_mib,
            gpu_milli,
            containers,
        });
    (workspace(), usage, revision()).prop_map(|(workspace, usage, changed)| UsageRow { workspace, usage, changed })
}

pub(crate) fn cell() -> impl Strategy<Value = CellRow> {
    let planner = (planner_id(), integer()).prop_map(|(planner, stamp)| PlannerRow { planner, stamp: Stamp(stamp) });
    let phases = vec(integer(), Phase::ALL.len());
    let revisions = (revision(), revision(), revision(), revision());
    let rewind = (history(), revision(), revision())
        .prop_map(|(history, revision, reached)| Rewind { survived: Mark { history, revision }, reached });
    let settling = (option::of(rewind), any::<bool>(), integer());
    let counts = (integer(), integer());
    ((history(), timestamp(), option::of(planner), integer()), phases, counts, revisions, settling).prop_map(
        |(
            (history, now, planner, term),
            phases,
            (ready, gone),
            (revision, woken, ordered, gone_floor),
            (rewind, settling, unregistered),
        )| CellRow {
            history,
            revision,
            now,
            planner,
            term: Term(term),
            phases: phases.try_into().expect("one a phase"),
            ready,
            woken,
            ordered,
            gone,
            gone_floor,
            rewind,
            settling,
            unregistered,
        },
    )
}
