//! What the tests of pools share: a server with a pool, what it says of it, and how each ends.

use std::time::Duration;

use adapters_redis::testing::Options as Redis;
use serde_json::{Value, json};

use crate::fleet::books::{NOTHING, booked, metric};
use crate::fleet::{Fleet, Options, command_line, pids};

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// A pool that could ask for more would do so several times in this.
pub(crate) const STILL: Duration = Duration::from_secs(3);
/// Agents of the server's machine, which boot for a while.
pub(crate) const SLOW_AGENTS: &str = "provider = \"process\"\nagent_args = [\"--boot-delay\", \"2s\"]\n";

/// Runs a test on the embedded store and on a Redis server, at the same time.
pub(crate) fn on_both_stores(test: impl Fn(Option<String>) + Sync) {
    let redis = Redis::new().start();
    std::thread::scope(|scope| {
        scope.spawn(|| test(None));
        test(Some(redis.url()));
    });
}

/// A pool of workers that simulate what they run.
pub(crate) struct Pool<'a> {
    pub(crate) cpu: u64,
    pub(crate) max: u64,
    pub(crate) cooldown: &'a str,
    /// Who makes its workers.
    pub(crate) provider: &'a str,
    /// Further lines of it, and tables after it.
    pub(crate) more: &'a str,
}

impl Default for Pool<'_> {
    fn default() -> Self {
        Self { cpu: 10, max: 50, cooldown: "200ms", provider: SLOW_AGENTS, more: "" }
    }
}

impl Pool<'_> {
    /// A server that has this pool and nothing else.
    pub(crate) fn options(&self, store: Option<String>) -> Options {
        let Self { cpu, max, cooldown, provider, more } = self;
        let config = format!(
            "[pools.burst]\nworker = {{ cpu = {cpu}, memory = \"100Gi\", runtime = \"simulate\" }}\nmax = {max}\n\
             cooldown = {cooldown:?}\n{provider}{more}"
        );
        Options { store, config: Some(config), ..Options::default() }
    }

    pub(crate) fn serve(&self, store: Option<String>) -> Fleet {
        Fleet::start_with(0, self.options(store))
    }
}

/// So many requests of so many cpus, each of which takes so many seconds.
pub(crate) fn requests(name: &str, count: usize, cpu: u64, seconds: &str) -> (Vec<String>, Value) {
    let ids: Vec<_> = (0..count).map(|number| format!("{name}-{number:04}")).collect();
    let request = |id: &String| json!({"id": id, "cpu": cpu, "memory": "64Mi", "runtime": "simulate", "command": ["sleep", seconds]});
    let list = ids.iter().map(request).collect();
    (ids, list)
}

/// Hands such requests in; answers their names.
pub(crate) fn submit(fleet: &Fleet, name: &str, count: usize, cpu: u64, seconds: &str) -> Vec<String> {
    let (ids, list) = requests(name, count, cpu, seconds);
    let (status, answer) = fleet.post("/v1/containers", &list);
    assert_eq!(status, 200, "{answer}");
    ids
}

/// How many workers this server's pools have asked for, whatever the reason.
pub(crate) fn asked(fleet: &Fleet) -> u64 {
    let metrics = fleet.get("/metrics").unwrap();
    let lines = metrics.lines().filter(|line| line.starts_with("stowplan_worker_additions_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The pool, as `GET /v1/pools` has it.
pub(crate) fn pool(fleet: &Fleet) -> Value {
    fleet.json("/v1/pools")["pools"][0].clone()
}

pub(crate) fn number(document: &Value, name: &str) -> u64 {
    document[name].as_u64().unwrap_or_else(|| panic!("{name} is no number in {document}"))
}

/// The names of all workers.
pub(crate) fn workers(fleet: &Fleet) -> Vec<String> {
    let workers = fleet.json("/v1/workers?limit=1000")["workers"].clone();
    workers.as_array().unwrap().iter().map(|worker| worker["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the pool may ask for workers: a planner begins with a pause.
pub(crate) fn wait_until_it_may_ask(fleet: &Fleet) {
    fleet.eventually("the pool may ask", PATIENCE, || {
        fleet.get("/v1/pools").is_some() && pool(fleet)["rests_ms"].is_null()
    });
}

pub(crate) fn plans(fleet: &Fleet) -> bool {
    fleet.get("/metrics").is_some() && metric(fleet, "stowplan_planner") == 1
}

/// The agents that the server has started.
pub(crate) fn agents(fleet: &Fleet) -> Vec<u32> {
    let folder = fleet.path("server").join("pools").to_str().unwrap().to_owned();
    let is_ours = |pid: &u32| command_line(*pid).contains(&folder);
    pids().filter(is_ours).collect()
}

/// Waits until the pool has let all of its workers go; then the books are in order, and no agent is left.
pub(crate) fn ends_empty(fleet: &Fleet) {
    ends_empty_within(fleet, PATIENCE);
}

pub(crate) fn ends_empty_within(fleet: &Fleet, within: Duration) {
    fleet.eventually("all workers go", within, || {
        workers(fleet).is_empty() && agents(fleet).is_empty() && number(&pool(fleet), "leaving") == 0
    });
    assert_eq!(booked(fleet), NOTHING);
}
