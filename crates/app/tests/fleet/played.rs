//! Workers played over HTTP.

use serde_json::{Value, json};

use super::Fleet;

/// A worker that does and says what a test wants.
pub(crate) struct Played<'a> {
    fleet: &'a Fleet,
    id: String,
    incarnation: u64,
    pub(crate) number: u64,
    pub(crate) history: u64,
}

impl<'a> Played<'a> {
    /// A worker of so many cpus.
    pub(crate) fn register(fleet: &'a Fleet, id: &str, key: &str, incarnation: u64, cpu: u64) -> Result<Self, Value> {
        Self::register_as(fleet, &json!({"id": id, "cpu": cpu, "memory": "8Gi"}), key, incarnation)
    }

    /// A worker as the document says, which holds nothing.
    pub(crate) fn register_as(fleet: &'a Fleet, worker: &Value, key: &str, incarnation: u64) -> Result<Self, Value> {
        let call = json!({"worker": worker, "key": key, "incarnation": incarnation, "ready": true});
        match fleet.post("/v1/workers", &call) {
            (200, answer) if answer["raise_above"].is_null() => {
                let id = worker["id"].as_str().unwrap().to_owned();
                Ok(Self { fleet, id, incarnation, number: 0, history: answer["history"].as_u64().unwrap() })
            }
            (_, problem) => Err(problem),
        }
    }

    pub(crate) fn call(&mut self, what: &str, more: Value) -> Value {
        self.number += 1;
        let mut body = more;
        body["caller"] = json!({"incarnation": self.incarnation, "number": self.number, "history": self.history});
        let (status, answer) = self.fleet.post(&format!("/v1/workers/{}/{what}", self.id), &body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub(crate) fn take(&mut self) -> Value {
        self.call("take", json!({"after": null, "limit": 100, "wait_ms": 2000}))
    }

    /// Takes one order, for this container, and says that it runs; answers the placement.
    pub(crate) fn run_one(&mut self, container: &str) -> Value {
        let orders = self.take()["orders"].clone();
        let mut starts = orders.as_array().unwrap().iter().map(|order| &order["placement"]);
        let placement = starts.find(|placement| placement["container"] == container);
        let placement = placement.unwrap_or_else(|| panic!("{container} is not among {orders}"));
        assert_eq!(self.report(placement, &json!({"kind": "running"})), "accepted");
        placement.clone()
    }

    /// Reports one event of a placement; answers what became of it.
    pub(crate) fn report(&mut self, placement: &Value, event: &Value) -> Value {
        let answer = self.call("report", json!({"reports": [{"placement": placement, "event": event}]}));
        answer["outcomes"][0].clone()
    }
}
