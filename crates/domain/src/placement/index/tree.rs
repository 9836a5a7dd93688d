//! Workers in the order of what is left of them: a B-tree whose branches know the most that is left below.
//!
//! The first worker from either end that has room is found by passing over whatever cannot have it: the B-tree of Bayer
//! and `McCreight`, its branches summed up as those of a segment tree. Nodes are shared between copies until one of them
//! changes: a copy costs nothing, and a change copies the way from the root (path copying, Driscoll, Sarnak, Sleator and
//! Tarjan).

use std::ops::ControlFlow;
use std::sync::Arc;

use super::most::Most;
use crate::strategy::Amount;

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

    /// Right behind this worker.
    pub(in crate::placement) fn next(self) -> Self {
        Self { worker: self.worker + 1, ..self }
    }

    /// Behind all workers of which the same is left.
    pub(in crate::placement) fn behind_alike(self) -> Self {
        Self { worker: usize::MAX, ..self }
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
    root: Arc<Vec<Entry>>,
}

/// A worker, or a node of them.
#[derive(Debug, Clone)]
struct Entry {
    /// Its key, or the greatest below.
    key: Key,
    most: Most,
    below: Option<Arc<Vec<Entry>>>,
}

impl Tree {
    /// A tree of these, which come in order.
    pub(in crate::placement) fn of(rows: Vec<(Key, Most)>) -> Self {
        let mut level: Vec<Entry> = rows.into_iter().map(|(key, most)| Entry { key, most, below: None }).collect();
        while level.len() > ENTRIES_MAX {
            let nodes = level.chunks(ENTRIES_MAX * 3 / 4).map(|node| Entry::above(node.to_vec()));
            level = nodes.collect();
        }
        Self { root: Arc::new(level) }
    }

    /// The first with room from `from` on, if none of a measure above `measure_max` comes before it.
    pub(in crate::placement) fn first(&self, wanted: &Wanted<'_>, from: Key, measure_max: u64) -> Option<Key> {
        match first(&self.root, wanted, from, measure_max) {
            ControlFlow::Break(found) => found,
            ControlFlow::Continue(()) => None,
        }
    }

    /// The last with room.
    pub(in crate::placement) fn last(&self, wanted: &Wanted<'_>) -> Option<Key> {
        last(&self.root, wanted)
    }

    pub(in crate::placement) fn insert(&mut self, key: Key, most: Most) {
        let root = Arc::make_mut(&mut self.root);
        if let Some(right) = insert(root, Entry { key, most, below: None }) {
            let left = Entry::above(std::mem::take(root));
            root.extend([left, right]);
        }
    }

    pub(in crate::placement) fn remove(&mut self, key: &Key) {
        let root = Arc::make_mut(&mut self.root);
        remove(root, key);
        if let [Entry { below: Some(only), .. }] = root.as_mut_slice() {
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
        Self { key, most: most_of(&entries), below: Some(Arc::new(entries)) }
    }

    /// Knows again what is below.
    fn refresh(&mut self) {
        if let Some(below) = &self.below
            && let Some(last) = below.last()
        {
            (self.key, self.most) = (last.key, most_of(below));
        }
    }
}

fn most_of(entries: &[Entry]) -> Most {
    entries.iter().fold(Most::default(), |most, entry| most.max(&entry.most))
}

fn first(entries: &[Entry], wanted: &Wanted<'_>, from: Key, measure_max: u64) -> ControlFlow<Option<Key>> {
    for entry in entries {
        if entry.most.covers(&wanted.most) && entry.key >= from {
            match &entry.below {
                Some(below) => first(below, wanted, from, measure_max)?,
                None if entry.key.measure > measure_max => {}
                None if (wanted.fits)(&entry.key) => return ControlFlow::Break(Some(entry.key)),
                None => {}
            }
        }
        if entry.key.measure > measure_max {
            return ControlFlow::Break(None);
        }
    }
    ControlFlow::Continue(())
}

fn last(entries: &[Entry], wanted: &Wanted<'_>) -> Option<Key> {
    entries.iter().rev().filter(|entry| entry.most.covers(&wanted.most)).find_map(|entry| match &entry.below {
        Some(below) => last(below, wanted),
        None => (wanted.fits)(&entry.key).then_some(entry.key),
    })
}

/// Answers what has no place in the node any more: its right half.
fn insert(entries: &mut Vec<Entry>, new: Entry) -> Option<Entry> {
    let at = entries.partition_point(|entry| entry.key < new.key);
    let is_leaf = entries.first().is_none_or(|entry| entry.below.is_none());
    if is_leaf {
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

fn remove(entries: &mut Vec<Entry>, key: &Key) {
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
    match below.len() {
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
    if a.len() + b.len() > ENTRIES_MAX {
        return;
    }
    let both = a.iter().chain(b.iter()).cloned().collect();
    entries[left] = Entry::above(both);
    entries.remove(left + 1);
}

fn renumber(entries: &mut Vec<Entry>, number: &impl Fn(usize) -> usize) {
    for entry in entries {
        entry.key.worker = number(entry.key.worker);
        if let Some(below) = &mut entry.below {
            renumber(Arc::make_mut(below), number);
        }
    }
}
