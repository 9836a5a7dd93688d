//! The map of a cluster, as CLUSTER SLOTS answers it.

use std::collections::BTreeMap;

use deadpool_redis::redis::Value;

use crate::address::Address;

/// Which primary holds which slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// By first slot of a range: its last, and who holds it.
    ranges: BTreeMap<u16, (u16, Address)>,
    /// All nodes that hold or copy a slot.
    nodes: Vec<Address>,
}

impl Map {
    /// Reads what the node `by` answered. A node that does not know its own host leaves it out.
    pub(super) fn read(reply: &Value, by: &Address) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let mut map = Self::default();
        for range in ranges {
            let Value::Array(parts) = range else { return None };
            let [first, last, primary, replicas @ ..] = parts.as_slice() else { return None };
            let primary = node(primary, by)?;
            map.ranges.insert(slot(first)?, (slot(last)?, primary.clone()));
            map.nodes.push(primary);
            map.nodes.extend(replicas.iter().filter_map(|replica| node(replica, by)));
        }
        map.nodes.sort();
        map.nodes.dedup();
        Some(map)
    }

    pub(super) fn holder(&self, slot: u16) -> Option<&Address> {
        let (_, (last, holder)) = self.ranges.range(..=slot).next_back()?;
        (slot <= *last).then_some(holder)
    }

    pub(super) fn nodes(&self) -> &[Address] {
        &self.nodes
    }
}

fn slot(value: &Value) -> Option<u16> {
    match value {
        Value::Int(slot) => u16::try_from(*slot).ok(),
        _ => None,
    }
}

fn node(value: &Value, by: &Address) -> Option<Address> {
    let Value::Array(parts) = value else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    let host = if host.is_empty() || host == "?" { &by.host } else { host };
    Some(Address::new(host, u16::try_from(*port).ok()?))
}
