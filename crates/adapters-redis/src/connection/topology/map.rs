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

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn range(first: i64, last: i64, nodes: &[(Value, i64)]) -> Value {
        let nodes = nodes.iter().map(|(host, port)| Value::Array(vec![host.clone(), Value::Int(*port), bulk("id")]));
        Value::Array([Value::Int(first), Value::Int(last)].into_iter().chain(nodes).collect())
    }

    #[test]
    fn a_map_says_who_holds_a_slot_and_who_else_is_there() {
        let by = Address::new("asked", 7000);
        let reply = Value::Array(vec![
            range(0, 10, &[(bulk("10.0.0.1"), 7001), (bulk("::1"), 7002)]),
            range(12, 16_383, &[(bulk(""), 7003)]),
            range(11, 11, &[(Value::Nil, 7004), (bulk("?"), 7005)]),
        ]);
        let map = Map::read(&reply, &by).unwrap();
        for (slot, holder) in [
            (0, "10.0.0.1:7001"),
            (10, "10.0.0.1:7001"),
            (11, "asked:7004"),
            (12, "asked:7003"),
            (16_383, "asked:7003"),
        ] {
            assert_eq!(map.holder(slot).unwrap().to_string(), holder, "{slot}");
        }
        let nodes: Vec<_> = map.nodes().iter().map(Address::to_string).collect();
        assert_eq!(nodes, ["10.0.0.1:7001", "[::1]:7002", "asked:7003", "asked:7004", "asked:7005"]);
    }

    #[test]
    fn a_slot_between_two_ranges_has_no_holder() {
        let by = Address::new("asked", 7000);
        let reply = Value::Array(vec![range(0, 10, &[(bulk("a"), 1)]), range(20, 30, &[(bulk("b"), 2)])]);
        assert_eq!(Map::read(&reply, &by).unwrap().holder(15), None);
    }

    #[test]
    fn what_is_no_map_is_not_read_as_one() {
        let by = Address::new("asked", 7000);
        let no_port = Value::Array(vec![Value::Int(0), Value::Int(1), Value::Array(vec![bulk("a"), bulk("b")])]);
        for reply in [Value::Nil, bulk("slots"), Value::Array(vec![Value::Int(1)]), Value::Array(vec![no_port])] {
            assert_eq!(Map::read(&reply, &by), None, "{reply:?}");
        }
    }
}
