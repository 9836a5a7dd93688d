//! What lies on a server is what `docs/reference/redis-layout.md` says: each key a table of that type, and no table that
//! never is.

#![cfg(feature = "testing")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use adapters_redis::RedisConfig;
use adapters_redis::testing::Server;
use ports::Ports;
use ports::conformance::{Harness, replay, run};

/// Nothing else is written there.
static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

struct Alone(Ports);

impl Harness for Alone {
    async fn open() -> Self {
        Self(adapters_redis::open(RedisConfig::parse(&SERVER.url()).expect("an address")).expect("a store"))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }
}

/// The type of each table, as the reference says it.
fn documented() -> BTreeMap<String, String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/redis-layout.md");
    let text = std::fs::read_to_string(page).expect("a page of the reference");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(table, rest)| (table.to_owned(), rest.split(" |").next().unwrap_or_default().to_owned())).collect()
}

/// The type of a key, in the words of the reference.
fn type_of(key: &str) -> String {
    match SERVER.command(&["TYPE", key]).text().as_str() {
        "zset" if is_by_member(key) => "sorted set, by member".to_owned(),
        "zset" => "sorted set, by score".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether all members of a sorted set have the score 0.
fn is_by_member(key: &str) -> bool {
    let members = SERVER.command(&["ZCARD", key]).integer();
    SERVER.command(&["ZCOUNT", key, "0", "0"]).integer() == members
}

#[test]
fn every_key_is_a_table_of_the_reference_and_every_table_is_seen() {
    run::<Alone>(&replay::random_calls_are_answered_as_the_model_answers);
    let mut found = BTreeMap::new();
    for key in SERVER.command(&["KEYS", "*"]).list() {
        let key = key.text();
        let (_, table) = key
            .strip_prefix("stowplan:{")
            .and_then(|rest| rest.split_once("}:"))
            .unwrap_or_else(|| panic!("{key} is no cell's"));
        let first = found.entry(table.to_owned()).or_insert_with(|| type_of(&key)).clone();
        assert_eq!(type_of(&key), first, "{table} is the same in each cell");
    }
    assert_eq!(found, documented());
}
