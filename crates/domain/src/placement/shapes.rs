//! What a plan works out once for all requests of a shape.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::eligibility::Need;
use super::index::Index;
use super::preference::Rank;
use crate::fleet::Policy;
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
        let (a, b) = (self.ask(), other.ask());
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
    /// The kinds of workers that may serve it, the most liked first.
    pub(super) choices: Vec<(Rank, usize)>,
    /// Whether the fleet is known to have no room for it.
    pub(super) has_no_room: bool,
    lot: OnceCell<LotKey>,
}

impl Shape {
    fn of(alike: Alike, index: &Index, policy: &Policy) -> Self {
        let choices = index.choices(&Need::of(alike.ask(), policy));
        let lot = index.refusals.lot_without_room(&alike, policy);
        Self { alike, choices, has_no_room: lot.is_some(), lot: lot.map_or_else(OnceCell::new, OnceCell::from) }
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
    numbers: BTreeMap<Alike, usize>,
    all: Vec<Rc<Shape>>,
}

impl Shapes {
    /// The shape of an ask, and its number.
    pub(super) fn of(&mut self, ask: &Arc<Ask>, index: &Index, policy: &Policy) -> (usize, Rc<Shape>) {
        let alike = Alike(Arc::clone(ask));
        if let Some(&number) = self.0.numbers.get(&alike) {
            return (number, Rc::clone(&self.0.all[number]));
        }
        let met = Rc::make_mut(&mut self.0);
        let number = met.all.len();
        met.all.push(Rc::new(Shape::of(alike.clone(), index, policy)));
        met.numbers.insert(alike, number);
        (number, Rc::clone(&met.all[number]))
    }
}
