//! A Redis that is away for much longer than the keepalive, under containers that run: those that may be silent go on,
//! the others are ended by their workers, and the fleet is whole again at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Options as Redis, Reply, Server};
use app::agent::procfs::ProcessIdentity;
use serde_json::{Value, json};

use crate::fleet::books::{NOTHING, booked, in_state, metric};
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options, torture};

const KEEPALIVE: Duration = Duration::from_secs(5);
/// How late a machine may be that has much else to do.
const SLACK: Duration = Duration::from_secs(4);
const AGENTS: usize = 4;
/// Each round adds so many containers, and so long that Redis is away.
const CONTAINERS: u64 = 100;
const AWAY: Duration = Duration::from_secs(25);
const PATIENCE: Duration = Duration::from_mins(1);
/// A frozen server need not be away for as long to be away for longer than the keepalive.
const FROZEN: (u64, Duration) = (20, Duration::from_secs(12));

/// How a server goes away and comes back.
#[derive(Debug, Clone, Copy)]
enum How {
    Killed,
    /// It keeps its connections, and answers nothing.
    Frozen,
}

impl How {
    fn go(self, redis: &Server) {
        match self {
            Self::Killed => redis.kill9(),
            Self::Frozen => redis.freeze(),
        }
    }

    fn come(self, redis: &Server) {
        match self {
            Self::Killed => redis.restart(),
            Self::Frozen => redis.thaw(),
        }
    }
}

/// Containers that bear witness, and what becomes of them when their worker hears of no server.
struct Running {
    ids: Vec<String>,
    processes: Vec<ProcessIdentity>,
}

impl Running {
    fn start(fleet: &Fleet, witness: &Witness, if_silent: &str, count: u64) -> Self {
        let ids: Vec<_> = (0..count).map(|number| format!("{if_silent}-{number:04}")).collect();
        let request = |id: &String| {
            let mut request = witness.request(id);
            request["if_silent"] = json!(if_silent);
            request
        };
        let list: Value = ids.iter().map(request).collect();
        assert_eq!(fleet.post("/v1/containers", &list).0, 200);
        Self { ids, processes: Vec::new() }
    }

    fn wait(&mut self, fleet: &Fleet, witness: &Witness) {
        self.processes = self.ids.iter().map(|id| witness.wait(fleet, id, 1)).collect();
    }

    fn alive(&self) -> usize {
        self.processes.iter().filter(|process| process.is_alive()).count()
    }
}

fn away(how: How, containers: u64, time: Duration) {
    let redis = Redis::new().appendonly(Appendonly::Always).start();
    let options = Options {
        keepalive: "5s",
        grace: "2s",
        store: Some(redis.url()),
        cpu: "1000",
        memory: "1000Gi",
        ..Options::default()
    };
    let fleet = Fleet::start_with(AGENTS, options);
    let witness = Witness::of(&fleet);
    let [mut kept, mut stopped] =
        ["keep", "stop"].map(|if_silent| Running::start(&fleet, &witness, if_silent, containers / 2));
    kept.wait(&fleet, &witness);
    stopped.wait(&fleet, &witness);

    let (gone, heard) = (Instant::now(), beats(&redis));
    how.go(&redis);
    fleet.eventually("their workers end those that may not be silent", KEEPALIVE + SLACK, || stopped.alive() == 0);
    let ended = gone.elapsed();
    std::thread::sleep(time.saturating_sub(gone.elapsed()));
    assert_eq!((kept.alive(), stopped.alive()), (kept.ids.len(), 0), "nothing is started while nobody can say so");
    assert!(fleet.get("/readyz").is_none(), "nobody is ready");
    how.come(&redis);
    let back = Instant::now();
    fleet.eventually("the fleet is whole within one keepalive", KEEPALIVE + SLACK, || is_whole(&fleet, &redis, &heard));
    println!(
        "{how:?} for {time:?} under {containers} containers: {} ended by their workers after {ended:?}, {} went on, and \
         the fleet was whole {:?} after its return",
        stopped.ids.len(),
        kept.alive(),
        back.elapsed()
    );

    fleet.eventually("all run", PATIENCE, || in_state(&fleet, "running").len() == kept.ids.len() + stopped.ids.len());
    for id in &stopped.ids {
        witness.wait(&fleet, id, 2);
        let container = fleet.container(id);
        assert_eq!(
            (&container["failures"], &container["last_end"]["kind"]),
            (&json!(0), &json!("deadline")),
            "{container}"
        );
    }
    assert_eq!(kept.alive(), kept.ids.len(), "those that may be silent go on");
    for id in &kept.ids {
        assert_eq!(fleet.state(id), ("running".to_owned(), 1));
        assert_eq!(witness.starts(id).len(), 1, "{id}");
    }
    for counter in ["stowplan_lost_requests_total", "stowplan_lost_placements_total"] {
        assert_eq!(metric(&fleet, counter), 0, "{counter}");
    }
    let ids: Vec<&str> = kept.ids.iter().chain(&stopped.ids).map(String::as_str).collect();
    assert_eq!(booked(&fleet)[2], ids.len() as u64);
    for id in &ids {
        assert_eq!(fleet.post(&format!("/v1/containers/{id}/stop"), &json!({})).0, 200);
    }
    fleet.eventually("all are stopped", PATIENCE, || in_state(&fleet, "stopped").len() == ids.len());
    assert!(witness.is_over());
    assert_eq!(booked(&fleet), NOTHING);
    witness.attest(&ids);
}

/// Of each worker the run, and the last of its calls, that the store has accepted.
fn beats(redis: &Server) -> BTreeMap<String, (u64, u64)> {
    let beats = redis.command(&["HGETALL", "stowplan:{main}:beats"]);
    let number = |word: Option<&str>| word.unwrap().parse().unwrap();
    let beat = |pair: &[Reply]| {
        let text = pair[1].text();
        let mut words = text.split(' ');
        (pair[0].text(), (number(words.next()), number(words.next())))
    };
    beats.list().chunks_exact(2).map(beat).collect()
}

/// Whether the server is ready, and all workers are there and have been heard again since.
fn is_whole(fleet: &Fleet, redis: &Server, heard: &BTreeMap<String, (u64, u64)>) -> bool {
    let ready = fleet.get("/readyz").is_some();
    let workers = fleet.get("/v1/workers").and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let available = |worker: &&Value| worker["status"] == "available";
    let count = workers.map(|page| page["workers"].as_array().map_or(0, |all| all.iter().filter(available).count()));
    let now = beats(redis);
    ready && count == Some(AGENTS) && heard.len() == AGENTS && heard.iter().all(|(id, beat)| now[id] > *beat)
}

#[test]
fn a_redis_that_is_killed_and_comes_back_late_finds_all_as_it_should_be() {
    let rounds = torture::rounds(1);
    away(How::Killed, CONTAINERS * rounds, AWAY * u32::try_from(rounds).unwrap());
}

#[test]
fn a_redis_that_stands_still_for_long_finds_all_as_it_should_be() {
    away(How::Frozen, FROZEN.0, FROZEN.1);
}
