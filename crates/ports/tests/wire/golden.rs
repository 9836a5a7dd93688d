//! One fixed example of every row, with the bytes that it was once written as.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::container::{ContainerRow, End, EndRecord, Exit, Output, OutputTail, Placement, State, StopCause, Waiting};
use domain::id::{
    Attempt, ContainerId, GpuType, History, Incarnation, MachineName, Mark, PlannerId, PoolName, Revision, Runtime,
    Stamp, Term, WorkerId, WorkerKey, Workspace,
};
use domain::model::{CellRow, PlannerRow, Rewind, UsageRow};
use domain::quota::Usage;
use domain::request::{Ask, Body, Digest, GpuAsk, GpuWish, IfSilent, OrderKey};
use domain::resources::{Booking, Capacity, Used};
use domain::time::Timestamp;
use domain::wait::{Largest, LargestOwner, LotKey, LotRow, Rule, Why};
use domain::worker::{Closed, Life, WorkerRow, WorkerSpec};

pub(crate) const CELL: &str = include_str!("golden/cell.row");
pub(crate) const RUNNING: &str = include_str!("golden/running.row");
pub(crate) const PARKED: &str = include_str!("golden/parked.row");
pub(crate) const WORKER: &str = include_str!("golden/worker.row");
pub(crate) const LOT: &str = include_str!("golden/lot.row");
pub(crate) const USAGE: &str = include_str!("golden/usage.row");
pub(crate) const BODY: &str = include_str!("golden/body.row");
pub(crate) const OUTPUT: &str = include_str!("golden/output.row");

macro_rules! name {
    ($kind:ident $text:literal) => {
        $kind::new($text).expect("a name")
    };
}

pub(crate) fn cell() -> CellRow {
    CellRow {
        history: History::from_random(0x1234_5678_9abc),
        revision: Revision(77),
        now: Timestamp(1_700_000_000_000),
        planner: Some(PlannerRow { planner: name!(PlannerId "planner-1"), stamp: Stamp(5) }),
        term: Term(3),
        phases: [4, 1, 2, 3, 0, 9, 1, 1],
        ready: 2,
        woken: Revision(70),
        ordered: Revision(76),
        gone: 6,
        gone_floor: Revision(12),
        rewind: Some(Rewind {
            survived: Mark { history: History::from_random(0x5678_9abc), revision: Revision(60) },
            reached: Revision(64),
        }),
        settling: true,
        unregistered: 2,
    }
}

fn ask() -> Arc<Ask> {
    let types = vec![name!(GpuType "A100"), name!(GpuType "h100")];
    Arc::new(Ask {
        workspace: name!(Workspace "team-a"),
        cpu_milli: 1500,
        memory_mib: 2048,
        gpu: Some(GpuAsk { types: GpuWish::OneOf(types), count: 2, milli: 500 }),
        pool: Some(name!(PoolName "pool-a")),
        machine: Some(name!(MachineName "m1")),
        runtime: Some(name!(Runtime "process")),
        preemptible: true,
        priority: -7,
        affinity: Some("model \"x\"".into()),
        labels: BTreeMap::from([("zone".into(), "eu\n1".into())]),
    })
}

fn key() -> OrderKey {
    OrderKey { rank: -420_000, revision: Revision(9), position: 41 }
}

/// A container in the middle of its life, with all that it can have.
pub(crate) fn running() -> ContainerRow {
    let booking = Booking { cpu_milli: 1500, memory_mib: 2150, gpu_devices: vec![0, 3], gpu_milli: 500 };
    let place = Placement { worker: name!(WorkerId "w1"), incarnation: Incarnation(4), booking, order: Revision(60) };
    ContainerRow {
        id: name!(ContainerId "train-1"),
        digest: Digest(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        ask: ask(),
        if_silent: IfSilent::Keep,
        key: key(),
        submitted: Timestamp(1_700_000_000_001),
        state: State::Stopping(place, StopCause::Drain),
        attempt: Attempt(2),
        placed_in: Some(History::from_random(0x1234_5678_9abc)),
        failures: 1,
        placed_at: Some(Timestamp(1_700_000_000_002)),
        taken_at: Some(Timestamp(1_700_000_000_003)),
        running_at: Some(Timestamp(1_700_000_000_004)),
        last_end: Some(EndRecord {
            end: End::Unstartable { code: 127, detail: "no such program".into() },
            attempt: Attempt(1),
            worker: Some(name!(WorkerId "w2")),
            at: Timestamp(1_700_000_000_000),
        }),
        changed: Revision(61),
    }
}

/// A container that waits, with as little as it can have.
pub(crate) fn parked() -> ContainerRow {
    let full = ask();
    let ask = Ask::plain(full.workspace.clone(), full.cpu_milli, full.memory_mib);
    ContainerRow {
        ask: Arc::new(ask),
        if_silent: IfSilent::Stop,
        state: State::Pending(Waiting::Parked(LotKey::Quota(name!(Workspace "team-a")))),
        attempt: Attempt(0),
        placed_in: None,
        failures: 0,
        placed_at: None,
        taken_at: None,
        running_at: None,
        last_end: Some(EndRecord {
            end: End::Exited(Exit::Code(0)),
            attempt: Attempt(0),
            worker: None,
            at: Timestamp(5),
        }),
        ..running()
    }
}

pub(crate) fn worker() -> WorkerRow {
    let total =
        Capacity { cpu_milli: 64_000, memory_mib: 262_144, gpu_type: Some(name!(GpuType "A100")), gpu_count: 8 };
    WorkerRow {
        id: name!(WorkerId "w1"),
        spec: Arc::new(WorkerSpec {
            pool: name!(PoolName "pool-a"),
            total,
            priority: -3,
            preemptible: true,
            requires_pool_selector: true,
            machine: Some(name!(MachineName "m1")),
            workspace: Some(name!(Workspace "team-a")),
            runtimes: vec![name!(Runtime "process"), name!(Runtime "docker")],
            labels: BTreeMap::from([("zone".into(), "eu".into())]),
        }),
        life: Life::Pending { boot_within: Duration::from_mins(5) },
        closed: Closed::Draining { within: Duration::from_millis(1_500), due: true },
        key: Some(name!(WorkerKey "k1")),
        incarnation: Incarnation(4),
        registered_in: Some(History::from_random(0x1234_5678_9abc)),
        complete: true,
        ready: false,
        used: Used { cpu_milli: 1500, memory_mib: 2150, gpu_milli: vec![500, 0, 0, 500], containers: 1 },
        changed: Revision(61),
    }
}

pub(crate) fn lot() -> LotRow {
    let size = Capacity { cpu_milli: 1000, memory_mib: 1024, gpu_type: None, gpu_count: 0 };
    let never = Some(Largest { who: LargestOwner::Pool(name!(PoolName "pool-a")), size, fails: Rule::GpuType });
    LotRow {
        key: LotKey::Shape(ask().shape()),
        ask: Some(ask()),
        count: 3,
        first: key(),
        why: Why::NoFit { rules: BTreeMap::from([(Rule::Status, 1), (Rule::GpuRoom, 2)]), never },
        changed: Revision(8),
    }
}

pub(crate) fn usage() -> UsageRow {
    let usage = Usage { cpu_milli: 3000, memory_mib: 4300, gpu_milli: 2000, containers: 2 };
    UsageRow { workspace: name!(Workspace "team-a"), usage, changed: Revision(61) }
}

pub(crate) fn body() -> Body {
    Body {
        command: vec!["python".into(), "train.py".into(), "--läng\u{7}".into()],
        env: BTreeMap::from([("HF".into(), "1".into())]),
        cwd: Some("/srv".into()),
        timeout: Some(Duration::new(90, 5)),
        kill_after: Some(Duration::from_secs(10)),
    }
}

pub(crate) fn output() -> Output {
    Output { stdout: OutputTail { text: "done\n".into(), dropped_bytes: 1024 }, stderr: OutputTail::default() }
}
