//! What waits for room: requests one by one, and lots by their count.

use std::collections::BTreeMap;

use crate::fleet::{Fleet, Policy};
use crate::id::{ContainerId, Workspace};
use crate::placement::Candidate;
use crate::placement::eligibility::Need;
use crate::quota::Usage;
use crate::request::{Ask, OrderKey, Shape};
use crate::wait::{LotKey, LotRow};

/// The most lots that are laid in one go.
pub const DEMAND_LOTS_MAX: usize = 10_000;

/// Requests alike that want room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand<'a> {
    /// What each of them asks.
    pub ask: &'a Ask,
    /// Where the first of them stands in line.
    pub key: OrderKey,
    /// How many they are.
    pub count: u64,
    /// The first of them by name, as far as they are to be named.
    pub ids: &'a [ContainerId],
}

impl<'a> Demand<'a> {
    /// One request.
    pub fn of_one(candidate: &'a Candidate) -> Self {
        let ids = std::slice::from_ref(&candidate.id);
        Self { ask: &candidate.ask, key: candidate.key, count: 1, ids }
    }

    /// All that wait in a lot, if they wait for room: no worker helps those that wait for anything else.
    pub fn of_lot(lot: &'a LotRow) -> Option<Self> {
        match (&lot.key, &lot.ask) {
            (LotKey::Shape(_), Some(ask)) => Some(Self { ask, key: lot.first, count: lot.count, ids: &[] }),
            _ => None,
        }
    }
}

/// All that wants room: those in hand, and the [`DEMAND_LOTS_MAX`] lots whose first stand first in line.
///
/// Who was read from a lot that wants room is counted there already. Who was read from one that waits for anything else
/// but a quota is asked first whether that is over.
pub fn open_demand<'a>(
    lots: &'a BTreeMap<LotKey, LotRow>,
    in_hand: impl IntoIterator<Item = &'a Candidate>,
) -> Vec<Demand<'a>> {
    let mut open: Vec<Demand<'a>> = lots.values().filter_map(Demand::of_lot).collect();
    if open.len() > DEMAND_LOTS_MAX {
        open.select_nth_unstable_by_key(DEMAND_LOTS_MAX, |demand| demand.key);
        open.truncate(DEMAND_LOTS_MAX);
    }
    let is_uncounted = |candidate: &&Candidate| match &candidate.lot {
        None | Some(LotKey::Quota(_)) => true,
        Some(lot @ LotKey::Shape(_)) => !lots.contains_key(lot),
        Some(LotKey::Corrupt | LotKey::Keep | LotKey::Stop) => false,
    };
    open.extend(in_hand.into_iter().filter(is_uncounted).map(Demand::of_one));
    open
}

/// What the workspaces may still use of `demand`, in line, nobody passing one that must wait: workers for the rest would
/// stand idle. And how many the rest are.
pub(super) fn within_quota<'a>(fleet: &Fleet, demand: &[Demand<'a>], policy: &Policy) -> (Vec<Demand<'a>>, u64) {
    let mut line: Vec<Demand<'a>> = demand.iter().copied().filter(|demand| demand.count > 0).collect();
    line.sort_by_key(|demand| demand.key);
    let Some(quotas) = &policy.quotas else {
        return (line, 0);
    };
    // What each workspace will use; none once somebody of it must wait.
    let mut usage: BTreeMap<&Workspace, Option<Usage>> = BTreeMap::new();
    let mut over: u64 = 0;
    for demand in &mut line {
        let (workspace, asked) = (&demand.ask.workspace, demand.count);
        let limits = quotas.limits(workspace);
        let seen = || Some(fleet.usage.get(workspace).copied().unwrap_or_default());
        let used = usage.entry(workspace).or_insert_with(seen);
        demand.count = used.map_or(0, |used| used.room_for(demand.ask, limits)).min(asked);
        over = over.saturating_add(asked - demand.count);
        // One that not even an unused quota would let in waits for another limit, and holds up nobody.
        if demand.count == asked || Usage::default().room_for(demand.ask, limits) > 0 {
            let booked = Usage::of(demand.ask).times(demand.count);
            *used = used.filter(|_| demand.count == asked).map(|used| used.plus(&booked));
        }
    }
    line.retain(|demand| demand.count > 0);
    (line, over)
}

/// All demand of one shape.
pub(super) struct Alike<'a> {
    pub(super) need: Need<'a>,
    /// Where the first of them stands in line.
    pub(super) key: OrderKey,
    pub(super) count: u64,
    /// In line.
    parts: Vec<Demand<'a>>,
}

impl<'a> Alike<'a> {
    /// `line` by shape, the first in line first.
    pub(super) fn all(line: &[Demand<'a>], policy: &'a Policy) -> Vec<Self> {
        let mut places: BTreeMap<Shape, usize> = BTreeMap::new();
        let mut all: Vec<Self> = Vec::new();
        for &demand in line {
            let place = *places.entry(demand.ask.shape()).or_insert(all.len());
            if place == all.len() {
                all.push(Self { need: Need::of(demand.ask, policy), key: demand.key, count: 0, parts: Vec::new() });
            }
            all[place].count = all[place].count.saturating_add(demand.count);
            all[place].parts.push(demand);
        }
        all
    }

    /// Each of them in line, by name if it has one.
    pub(super) fn names(&self) -> impl Iterator<Item = (OrderKey, Option<&'a ContainerId>)> {
        self.parts.iter().flat_map(|part| {
            let named = part.ids.iter().map(Some).chain(std::iter::repeat(None));
            (0..part.count).zip(named).map(|(_, id)| (part.key, id))
        })
    }

    /// Whether any of them has a name.
    pub(super) fn is_named(&self) -> bool {
        self.parts.iter().any(|part| !part.ids.is_empty())
    }
}
