//! A slot on its way from one primary to another.

use super::Cluster;
use crate::testing::resp::Reply;

/// How many keys are moved at a time.
const KEYS_AT_A_TIME: usize = 100;

/// A slot that moves. While it does, its old primary answers for the keys that are still there, and sends clients that
/// ask for others on (`ASK`); the new one answers for what it has got, but only to clients who were sent (`ASKING`).
/// Dropped unfinished, the slot stays between the two.
#[derive(Debug)]
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl<'a> Migration<'a> {
    pub(super) fn begin(cluster: &'a Cluster, slot: u16, to: usize) -> Self {
        let from = cluster.node_of(slot);
        assert_ne!(from, to, "slot {slot} is there already");
        let migration = Self { cluster, slot: slot.to_string(), from, to };
        migration.set_slot(to, "IMPORTING", from);
        migration.set_slot(from, "MIGRATING", to);
        migration
    }

    /// Moves at most so many of the keys that are still at the old primary, and says how many it moved.
    pub fn move_keys(&self, count: usize) -> usize {
        let (from, to) = (&self.cluster.nodes[self.from], &self.cluster.nodes[self.to]);
        let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &self.slot, &count.to_string()]);
        let keys: Vec<&[u8]> = keys.list().iter().map(Reply::bytes).collect();
        if !keys.is_empty() {
            let port = to.port().to_string();
            let mut words: Vec<&[u8]> = vec![b"MIGRATE", b"127.0.0.1", port.as_bytes(), b"", b"0", b"5000", b"KEYS"];
            words.extend(&keys);
            let answer =
                from.connect().and_then(|mut connection| connection.call(&words)).expect("MIGRATE is answered");
            // A client may have removed them meanwhile.
            assert!(["OK", "NOKEY"].contains(&answer.text().as_str()), "MIGRATE: {answer:?}");
        }
        keys.len()
    }

    /// Moves what is left, and tells all primaries who has the slot now: the new one first, so that it is served
    /// throughout. Returns when all nodes know.
    pub fn finish(self) {
        while self.move_keys(KEYS_AT_A_TIME) > 0 {}
        let mut told = vec![self.to, self.from];
        told.extend((0..super::PRIMARIES).filter(|node| *node != self.to && *node != self.from));
        for node in told {
            self.set_slot(node, "NODE", self.to);
        }
        self.cluster.wait_for_owner(self.slot.parse().expect("it was a number"), self.to);
    }

    fn set_slot(&self, node: usize, state: &str, other: usize) {
        let other = self.cluster.id(other);
        self.cluster.nodes[node].command(&["CLUSTER", "SETSLOT", &self.slot, state, &other]).ok();
    }
}
