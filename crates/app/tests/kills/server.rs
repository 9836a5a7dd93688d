//! A server is killed again and again in the middle of what it does, under a load, and started again on its store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use app::embedded::EmbeddedStore;
use app::failpoints::Point;
use domain::container::Phase;

use crate::fleet::torture::{self, Dice};
use crate::fleet::{Fleet, Options};
use crate::load::Load;
use crate::store::{Phases, audited, audited_on};
use crate::stores::Store;

/// How many servers die on one store. Of five, four take a batch with them that was read and not committed.
const KILLS_MAX: u64 = 250;
/// On Redis it takes 10 s until the next server plans.
const KILLS_ON_REDIS: u64 = 8;
const UNCOMMITTED: [Point; 2] = [Point::Looked, Point::Planned];
const OTHERS: [Point; 4] = [Point::Committed, Point::Submitted, Point::Taken, Point::Reported];
/// Where the embedded store passes.
const OWN: [Point; 2] = [Point::Writing, Point::Durable];
/// The last passing at which a server dies.
const PASSINGS_MAX: u64 = 3;
/// A server under load passes each point in much less.
const PATIENCE: Duration = Duration::from_mins(1);

on_each_store! {
    a_server_killed_anywhere_loses_nothing_and_hands_nothing_out_twice,
}

fn a_server_killed_anywhere_loses_nothing_and_hands_nothing_out_twice(store: &Store) {
    let kills = torture::rounds(match store {
        Store::Embedded => KILLS_MAX,
        Store::Redis(_) => KILLS_ON_REDIS,
    });
    for first in (0..kills).step_by(usize::try_from(KILLS_MAX).unwrap()) {
        let anew = match store {
            Store::Embedded => Store::Embedded,
            Store::Redis(_) => Store::redis(),
        };
        kill_servers(&anew, first..kills.min(first + KILLS_MAX));
    }
}

/// Kills one server after the other on one store.
fn kill_servers(store: &Store, kills: Range<u64>) {
    // Nobody is given up while the server is away.
    let mut fleet = Fleet::start_with(0, Options { keepalive: "10m", ..store.options() });
    let load = Load::start(&fleet.url);
    fleet.kill_serve();
    let mut tally: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for kill in kills {
        let (point, passing) = choose(store, kill);
        let requests = serve_until_killed(&fleet, point, passing);
        let pending = left_by(&fleet, store).of(Phase::Pending);
        assert!(!UNCOMMITTED.contains(&point) || pending >= requests, "{requests} in hand, {pending} pending");
        let (times, taken) = tally.entry(point.as_str()).or_default();
        (*times, *taken) = (*times + 1, *taken + requests);
    }
    for (point, (times, requests)) in tally {
        println!("{times} kills at `{point}` with {requests} requests outstanding");
    }
    fleet.start_serve();
    let record = load.finish();
    let accepted = record.accepted.len();
    println!("{accepted} requests accepted, handed out and ended once each");
    // No worker was lost: whoever has a second attempt was placed twice.
    assert_eq!((record.handed.len(), record.ended.len()), (accepted, accepted));
    fleet.kill_serve();
    assert_eq!(left_by(&fleet, store).of(Phase::Succeeded), accepted);
}

/// Where the server dies, and at which passing.
fn choose(store: &Store, kill: u64) -> (Point, u64) {
    let passing = 1 + Dice::new(&kill).below(PASSINGS_MAX);
    let nth = |points: &[Point], n: u64| points[usize::try_from(n).unwrap() % points.len()];
    let others = match store {
        Store::Embedded => [&OTHERS[..], &OWN].concat(),
        Store::Redis(_) => OTHERS.to_vec(),
    };
    let point = if kill % 5 == 4 { nth(&others, kill / 5) } else { nth(&UNCOMMITTED, kill) };
    (point, passing)
}

/// Runs a server until it dies at the point; answers how many requests it took with it.
fn serve_until_killed(fleet: &Fleet, point: Point, passing: u64) -> usize {
    let said = fleet.path("said");
    let mut command = fleet.serve_command();
    command.env("STOWPLAN_FAILPOINTS", format!("{}=kill@{passing}", point.as_str()));
    let mut server = command.stderr(File::create(&said).unwrap()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match server.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let said = fs::read_to_string(&said).unwrap();
    let Some(status) = status else {
        server.kill().unwrap();
        panic!("alive after {PATIENCE:?}, before passing {passing} of {point:?}: {said}");
    };
    assert_eq!(status.signal(), Some(9), "{said}");
    let words = format!("failpoint {}: killed with ", point.as_str());
    let requests = said.lines().find_map(|line| line.strip_prefix(&words)?.strip_suffix(" requests")?.parse().ok());
    requests.unwrap_or_else(|| panic!("it does not say how many: {said}"))
}

/// What a dead server left, audited.
fn left_by(fleet: &Fleet, store: &Store) -> Phases {
    match store {
        Store::Embedded => audited(&EmbeddedStore::open(&fleet.path("server")).unwrap()),
        Store::Redis(redis) => audited_on(redis),
    }
}
