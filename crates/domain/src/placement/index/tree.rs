//! Workers in the order of what is left of them: a B-tree whose branches know the most that is left below.
//!
//! The first worker from either end that has room is found by passing over whatever cannot have it: the B-tree of Bayer
//! and `McCreight`, its branches summed up as those of a segment tree. Nodes are shared between copies until one of them
//! changes: a copy costs nothing, and a change copies the way from the root (path copying, Driscoll, Sarnak, Sleator and
//! Tarjan).

use std::ops::ControlFlow;
use std::sync::Arc;

use super::most::Most;
use crate::strategy::{Amount, Yardstick};

/// The most entries of a node.
const ENTRIES_MAX: usize = 16;
/// A node with fewer is joined with its neighbour if both fit one.
const ENTRIES_MIN: usize = 5;

/// Where a worker stands: by the measure of what is left of it, those alike beside each other and by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::placement) struct Key {
    /// In millionths, as the yardstick says.
    pub(in crate::placement) measure: u64,
    pub(in crate::placement) left: Amount,
    /// The place in the fleet.
    pub(in crate::placement) worker: usize,
}

impl Key {
    /// Before all workers of this measure.
    pub(in crate::placement) fn first_of(measure: u64) -> Self {
        Self { measure, left: Amount::default(), worker: 0 }
    }

    /// Where a worker stands of which so much is left.
    pub(in crate::placement) fn of(worker: usize, left: Amount, yardstick: &Yardstick) -> Self {
        Self { measure: yardstick.measure(left), left, worker }
    }

    /// Behind all workers of which the same is left.
    pub(in crate::placement) fn behind_alike(self) -> Self {
        Self { worker: usize::MAX, ..self }
    }
}

/// From which place on, and up to which measure. A search that finds one may narrow what is left to search.
pub(in crate::placement) struct Span {
    pub(in crate::placement) from: Key,
    pub(in crate::placement) measure_max: u64,
}

impl Span {
    /// From this place on to the end.
    pub(in crate::placement) fn from(from: Key) -> Self {
        Self { from, measure_max: u64::MAX }
    }
}

/// What is looked for.
pub(in crate::placement) struct Wanted<'a> {
    pub(in crate::placement) most: Most,
    /// Whether one that may have room has it.
    pub(in crate::placement) fits: &'a dyn Fn(&Key) -> bool,
}

/// Workers in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    root: Arc<Node>,
}

/// Some entries in order.
#[derive(Debug, Default)]
struct Node(Vec<Entry>);

impl Clone for Node {
    /// A copy is made to be changed: it has room for all that it may have to hold.
    fn clone(&self) -> Self {
        let mut entries = Vec::with_capacity(ENTRIES_MAX + 1);
        entries.extend_from_slice(&self.0);
        Self(entries)
    }
}

/// A worker, or a node of them.
#[derive(Debug, Clone)]
struct Entry {
    /// Its key, or the greatest below.
    key: Key,
    most: Most,
    below: Option<Arc<Node>>,
}

impl Tree {
    /// A tree of these, which come in order.
    pub(in crate::placement) fn of(rows: Vec<(Key, Most)>) -> Self {
        let mut level: Vec<Entry> = rows.into_iter().map(|(key, most)| Entry { key, most, below: None }).collect();
        while level.len() > ENTRIES_MAX {
            let nodes = level.chunks(ENTRIES_MAX * 3 / 4).map(|node| Entry::above(node.to_vec()));
            level = nodes.collect();
        }
        Self { root: Arc::new(Node(level)) }
    }

    /// Meets those with room in their order, until all of the span are met or `meet` breaks off.
    pub(in crate::placement) fn each(
        &self,
        wanted: &Wanted<'_>,
        span: &mut Span,
        mut meet: impl FnMut(Key, &mut Span) -> ControlFlow<()>,
    ) {
        _ = each(&self.root, wanted, span, &mut meet);
    }

    /// The last with room.
    pub(in crate::placement) fn last(&self, wanted: &Wanted<'_>) -> Option<Key> {
        last(&self.root, wanted)
    }

    pub(in crate::placement) fn insert(&mut self, key: Key, most: Most) {
        let root = Arc::make_mut(&mut self.root);
        if let Some(right) = insert(root, Entry { key, most, below: None }) {
            let left = Entry::above(std::mem::take(&mut root.0));
            root.0.extend([left, right]);
        }
    }

    pub(in crate::placement) fn remove(&mut self, key: &Key) {
        let root = Arc::make_mut(&mut self.root);
        remove(root, key);
        if let [Entry { below: Some(only), .. }] = root.0.as_mut_slice() {
            let only = Arc::unwrap_or_clone(std::mem::take(only));
            *root = only;
        }
    }

    /// Follows the places of workers when one comes or goes.
    pub(in crate::placement) fn renumber(&mut self, number: &impl Fn(usize) -> usize) {
        renumber(Arc::make_mut(&mut self.root), number);
    }
}

impl Entry {
    fn above(entries: Vec<Self>) -> Self {
        let key = entries.last().map_or(Key::first_of(0), |last| last.key);
        Self { key, most: most_of(&entries), below: Some(Arc::new(Node(entries))) }
    }

    /// Knows again what is below.
    fn refresh(&mut self) {
        if let Some(below) = &self.below
            && let Some(last) = below.0.last()
        {
            (self.key, self.most) = (last.key, most_of(&below.0));
        }
    }
}

fn most_of(entries: &[Entry]) -> Most {
    entries.iter().fold(Most::default(), |most, entry| most.max(&entry.most))
}

fn each(
    node: &Node,
    wanted: &Wanted<'_>,
    span: &mut Span,
    meet: &mut impl FnMut(Key, &mut Span) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for entry in &node.0 {
        if entry.most.covers(&wanted.most) && entry.key >= span.from {
            match &entry.below {
                Some(below) => each(below, wanted, span, meet)?,
                None if entry.key.measure > span.measure_max => {}
                None if (wanted.fits)(&entry.key) => meet(entry.key, span)?,
                None => {}
            }
        }
        if entry.key.measure > span.measure_max {
            return ControlFlow::Break(());
        }
    }
    ControlFlow::Continue(())
}

fn last(node: &Node, wanted: &Wanted<'_>) -> Option<Key> {
    node.0.iter().rev().filter(|entry| entry.most.covers(&wanted.most)).find_map(|entry| match &entry.below {
        Some(below) => last(below, wanted),
        None => (wanted.fits)(&entry.key).then_some(entry.key),
    })
}

/// Answers what has no place in the node any more: its right half.
fn insert(Node(entries): &mut Node, new: Entry) -> Option<Entry> {
    let at = entries.partition_point(|entry| entry.key < new.key);
    let is_leaf = entries.first().is_none_or(|entry| entry.below.is_none());
    if is_leaf {
        if entries.capacity() == entries.len() {
            entries.reserve_exact(ENTRIES_MAX + 1 - entries.len());
        }
        entries.insert(at, new);
    } else {
        let at = at.min(entries.len() - 1);
        let entry = &mut entries[at];
        let (key, most) = (entry.key.max(new.key), entry.most.max(&new.most));
        let right = entry.below.as_mut().and_then(|below| insert(Arc::make_mut(below), new));
        (entry.key, entry.most) = (key, most);
        if let Some(right) = right {
            entry.refresh();
            entries.insert(at + 1, right);
        }
    }
    (entries.len() > ENTRIES_MAX).then(|| Entry::above(entries.split_off(entries.len() / 2)))
}

fn remove(Node(entries): &mut Node, key: &Key) {
    let at = entries.partition_point(|entry| entry.key < *key);
    let Some(entry) = entries.get_mut(at) else { return };
    let Some(below) = &mut entry.below else {
        if entry.key == *key {
            entries.remove(at);
        }
        return;
    };
    let below = Arc::make_mut(below);
    remove(below, key);
    match below.0.len() {
        0 => drop(entries.remove(at)),
        1..ENTRIES_MIN => join(entries, at),
        _ => entry.refresh(),
    }
}

/// Joins a node with few entries and a neighbour, if one can hold both.
fn join(entries: &mut Vec<Entry>, at: usize) {
    entries[at].refresh();
    let left = if at + 1 < entries.len() { at } else { at.saturating_sub(1) };
    let Some([Entry { below: Some(a), .. }, Entry { below: Some(b), .. }]) = entries.get(left..left + 2) else {
        return;
    };
    if a.0.len() + b.0.len() > ENTRIES_MAX {
        return;
    }
    let both = a.0.iter().chain(&b.0).cloned().collect();
    entries[left] = Entry::above(both);
    entries.remove(left + 1);
}

fn renumber(Node(entries): &mut Node, number: &impl Fn(usize) -> usize) {
    for entry in entries {
        entry.key.worker = number(entry.key.worker);
        if let Some(below) = &mut entry.below {
            renumber(Arc::make_mut(below), number);
        }
    }
}
