//! What a plan works out once for all requests of a shape.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::eligibility::Need;
use super::index::Index;
use super::preference::Profile;
use crate::fleet::Policy;
use crate::id::Workspace;
use crate::request::{Ask, GpuWish};
use crate::wait::LotKey;

/// An ask, compared by what makes its [shape](Ask::shape): cheaper than to write the shape out.
#[derive(Debug, Clone)]
pub(super) struct Alike(Arc<Ask>);

impl Alike {
    pub(super) fn ask(&self) -> &Ask {
        &self.0
    }
}

impl PartialEq for Alike {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Alike {}

impl PartialOrd for Alike {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alike {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.ask(), other.ask())
    }
}

/// Equal are those of the same shape.
fn compare(a: &Ask, b: &Ask) -> Ordering {
    let amounts = |ask: &Ask| {
        let gpu = ask.gpu.as_ref().map(|gpu| (gpu.count, gpu.milli));
        (ask.cpu_milli, ask.memory_mib, gpu, ask.preemptible)
    };
    let rest = || {
        let a = (&a.workspace, &a.pool, &a.machine, &a.runtime, types(a), &a.labels);
        a.cmp(&(&b.workspace, &b.pool, &b.machine, &b.runtime, types(b), &b.labels))
    };
    amounts(a).cmp(&amounts(b)).then_with(rest)
}

fn types(ask: &Ask) -> Option<&[crate::id::GpuType]> {
    match ask.gpu.as_ref().map(|gpu| &gpu.types) {
        Some(GpuWish::OneOf(types)) => Some(types),
        Some(GpuWish::Any) | None => None,
    }
}

/// A shape as a plan meets it.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) alike: Alike,
    /// Its workspace, by the order in which a plan met them.
    pub(super) workspace: usize,
    pub(super) profile: Profile,
    /// Whether the fleet is known to have no room for it.
    pub(super) has_no_room: bool,
    lot: OnceCell<LotKey>,
}

impl Shape {
    fn of(alike: Alike, workspace: usize, index: &Index, policy: &Policy) -> Self {
        let profile = Profile::of(&Need::of(alike.ask(), policy), index);
        let lot = index.refusals.lot_without_room(&alike, policy);
        let (has_no_room, lot) = (lot.is_some(), lot.map_or_else(OnceCell::new, OnceCell::from));
        Self { alike, workspace, profile, has_no_room, lot }
    }

    /// The lot in which requests like this wait for room.
    pub(super) fn lot(&self) -> &LotKey {
        self.lot.get_or_init(|| LotKey::Shape(self.alike.ask().shape()))
    }
}

/// The shapes that a plan has met; copies share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Shapes(Rc<Met>);

#[derive(Debug, Clone, Default)]
struct Met {
    /// The shapes that ask for so much cpu and memory, in order: mostly one, so that few asks have to be looked at.
    numbers: BTreeMap<(u64, u64), Vec<usize>>,
    all: Vec<Rc<Shape>>,
    workspaces: BTreeMap<Workspace, usize>,
}

impl Shapes {
    /// The shape of an ask, and its number.
    pub(super) fn of(&mut self, ask: &Arc<Ask>, index: &Index, policy: &Policy) -> (usize, Rc<Shape>) {
        let number = self.0.number(ask).unwrap_or_else(|at| Rc::make_mut(&mut self.0).meet(ask, at, index, policy));
        (number, Rc::clone(&self.0.all[number]))
    }
}

impl Met {
    /// The number of an ask's shape, or its place among those that ask for as much.
    fn number(&self, ask: &Ask) -> Result<usize, usize> {
        let numbers = self.numbers.get(&(ask.cpu_milli, ask.memory_mib)).ok_or(0_usize)?;
        numbers.binary_search_by(|&number| compare(self.all[number].alike.ask(), ask)).map(|at| numbers[at])
    }

    fn meet(&mut self, ask: &Arc<Ask>, at: usize, index: &Index, policy: &Policy) -> usize {
        let (number, next) = (self.all.len(), self.workspaces.len());
        let workspace = *self.workspaces.entry(ask.workspace.clone()).or_insert(next);
        self.all.push(Rc::new(Shape::of(Alike(Arc::clone(ask)), workspace, index, policy)));
        self.numbers.entry((ask.cpu_milli, ask.memory_mib)).or_default().insert(at, number);
        number
    }
}
