//! The rooms of `app`, which do not see each other, and the stores, which only the wiring knows.

use super::Finding;
use super::mention::{Follow, Mention};
use super::source::Source;

/// A module of `app` and what it may import. Test code is free.
struct Room {
    name: &'static str,
    /// Of our crates.
    crates: &'static [&'static str],
    /// Modules of `app` beside itself.
    modules: &'static [&'static str],
}

/// Edit here, with a reason, when the design changes.
const ROOMS: &[Room] = &[
    // The cycle and the store behind it know each other through the ports alone.
    Room { name: "scheduler", crates: &["domain", "ports"], modules: &[] },
    Room { name: "embedded", crates: &["domain", "ports"], modules: &[] },
    // Decorators of ports, metrics and logs; it is told what the scheduler did.
    Room { name: "observe", crates: &["domain", "ports"], modules: &["scheduler"] },
    // They are opened as the configuration says, and one of them starts agents, ends them, and clears up after them.
    Room { name: "providers", crates: &["domain", "ports"], modules: &["agent", "api", "config"] },
    // It knows what a setting may be, of pools as the scheduler has them, and has the wiring read a store's address.
    Room { name: "config", crates: &["domain"], modules: &["api", "scheduler", "wiring"] },
    // What crosses the wire, and so neither side's inside.
    Room { name: "api", crates: &["domain"], modules: &[] },
    Room { name: "http", crates: &["domain", "ports"], modules: &["api"] },
    // They speak HTTP, never ports. What `stowplan audit` reads is judged in a room of its own.
    Room { name: "agent", crates: &["domain"], modules: &["api"] },
    Room { name: "cli", crates: &["domain"], modules: &["api", "audit", "config"] },
    // Documents in, documents out; no store.
    Room { name: "plan", crates: &["domain"], modules: &["api"] },
    Room { name: "simulate", crates: &["domain"], modules: &["api"] },
    // Reads an export, or a stopped store that the wiring hands it.
    Room { name: "audit", crates: &["domain", "ports"], modules: &["api"] },
];

/// No room: where tests stop the program. Nothing of it is in the one that is shipped.
const POINTS: &str = "failpoints";

const OUR_CRATES: &[&str] = &["adapters_redis", "domain", "ports"];

/// Names of concrete stores and of their clients, and the one place that may say them beside the wiring.
const STORES: &[(&str, &str)] = &[
    ("embedded", "crates/app/src/embedded"),
    ("MemoryStore", "crates/ports/"),
    ("redb", "crates/app/src/embedded"),
    ("adapters_redis", "crates/adapters-redis/"),
    ("deadpool_redis", "crates/adapters-redis/"),
    ("redis", "crates/adapters-redis/"),
];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        for mention in &source.mentions.all {
            if source.path.starts_with("crates/") {
                findings.extend(store(source, mention));
            }
            if source.is_of("app") {
                findings.extend(room(source, mention));
                findings.extend(planning(source, mention));
            }
        }
    }
    findings
}

/// Only the wiring names a store.
fn store(source: &Source, mention: &Mention) -> Option<Finding> {
    let path = without_crate(&mention.path);
    let (name, home) = STORES.iter().find(|(name, _)| match *name {
        "MemoryStore" => path.iter().any(|segment| segment == name),
        _ => path.len() > 1 && path[0] == *name,
    })?;
    let is_wiring = source.path.starts_with("crates/app/src/wiring");
    (!is_wiring && !source.path.starts_with(home)).then(|| {
        source.finding(mention.line, format!("only the wiring names {name}"), "take a port from wiring.rs instead")
    })
}

/// A room imports only what the table allows it.
fn room(source: &Source, mention: &Mention) -> Option<Finding> {
    let room = room_of(source)?;
    let [first, second, ..] = mention.path.as_slice() else {
        return None;
    };
    let (what, allowed) = match first.as_str() {
        "crate" | "app" => {
            (second, [room.name, POINTS].contains(&second.as_str()) || room.modules.contains(&second.as_str()))
        }
        krate => (first, !OUR_CRATES.contains(&krate) || room.crates.contains(&krate)),
    };
    (!allowed).then(|| {
        let list = [room.crates, room.modules].concat().join(", ");
        let what = format!("{} imports {what} ({})", room.name, mention.shown());
        source.finding(mention.line, what, format!("it may import {list}; hand it in by the wiring"))
    })
}

/// `http` explains a plan and never makes one.
fn planning(source: &Source, mention: &Mention) -> Option<Finding> {
    let is_http = room_of(source).is_some_and(|room| room.name == "http");
    let imports = mention.path.first().is_some_and(|first| first == "domain") && mention.last() == "plan";
    let calls = mention.last() == "plan" && mention.follow == Follow::Call;
    (is_http && (imports || calls))
        .then(|| source.finding(mention.line, "http never calls plan", "ask placement::explain of the cached view"))
}

fn room_of(source: &Source) -> Option<&'static Room> {
    let module = source.module();
    let name = module.get(1)?;
    ROOMS.iter().find(|room| room.name == *name)
}

fn without_crate(path: &[String]) -> &[String] {
    match path {
        [first, rest @ ..] if first == "crate" || first == "app" => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[Source::new(path, text.to_owned()).unwrap()]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_room_does_not_see_another() {
        let cycle = "crates/app/src/scheduler/cycle.rs";
        assert!(found(cycle, "use domain::Fleet; use ports::rows; use super::view::View; use tokio::time;").is_empty());
        assert_eq!(found(cycle, "use crate::http::Page;"), ["scheduler imports http (crate::http::Page)"]);
        assert_eq!(found(cycle, "use super::super::{api, wiring::Stores};").len(), 2);
        assert_eq!(found(cycle, "fn f() { assert!(crate::observe::on()) }").len(), 1);
    }

    #[test]
    fn agent_and_cli_never_see_ports() {
        for path in ["crates/app/src/agent/core.rs", "crates/app/src/cli.rs", "crates/app/src/api.rs"] {
            assert_eq!(found(path, "use ports::BacklogRepository;").len(), 1, "{path}");
        }
        assert!(found("crates/app/src/cli/run.rs", "use crate::api::ContainerDocument;").is_empty());
    }

    #[test]
    fn only_the_wiring_names_a_store() {
        let text = "use crate::embedded::Store; use adapters_redis::Store as Redis; fn f() { MemoryStore::new() }";
        assert!(found("crates/app/src/wiring.rs", text).is_empty());
        assert_eq!(found("crates/app/src/main.rs", text).len(), 3);
        assert_eq!(found("crates/app/src/lib.rs", "pub mod embedded; pub use embedded::Store;").len(), 1);
        assert_eq!(found("crates/app/src/embedded/rows.rs", "use redb::Database; use super::Store;").len(), 0);
        assert_eq!(found("crates/ports/src/rows.rs", "use memory::MemoryStore; use redb::Database;").len(), 1);
    }

    #[test]
    fn http_never_plans() {
        let path = "crates/app/src/http/explain.rs";
        assert!(
            found(path, "use domain::placement::explain; fn plan() {} fn f(plan: u32) { explain(plan) }").is_empty()
        );
        assert_eq!(found(path, "use domain::placement::plan;").len(), 1);
        assert_eq!(found(path, "fn f() { view.plan(batch) }").len(), 1);
    }

    #[test]
    fn tests_are_free() {
        let text = "#[cfg(test)] mod tests { use crate::embedded::Store; }";
        assert!(found("crates/app/src/scheduler/cycle.rs", text).is_empty());
        assert!(found("crates/app/src/scheduler/tests.rs", "use crate::embedded::Store;").is_empty());
    }
}
