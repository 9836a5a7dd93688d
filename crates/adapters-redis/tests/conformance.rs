//! The clauses that every store keeps, on a real server.

use adapters_redis::RedisConfig;
use domain::id::{CellName, ContainerId};
use ports::Ports;
use ports::conformance::{Corruptible, Harness};

struct Standalone {
    ports: Ports,
}

fn url() -> String {
    std::env::var("MINI_REDIS").unwrap_or("redis://127.0.0.1:7999".to_owned())
}

impl Harness for Standalone {
    async fn open() -> Self {
        let config = RedisConfig::parse(&url()).expect("an address");
        Self { ports: adapters_redis::open(config).expect("a store") }
    }

    fn ports(&self) -> Ports {
        self.ports.clone()
    }
}

impl Corruptible for Standalone {
    async fn spoil(&self, cell: &CellName, container: &ContainerId) {
        let out = std::process::Command::new("redis-cli")
            .args(["-p", "7999", "HSET", &format!("stowplan:{{{cell}}}:containers"), container.as_str(), "garbage"])
            .output()
            .unwrap();
        assert!(out.status.success());
    }
}

ports::conformance!(Standalone);
ports::conformance_corrupt!(Standalone);
