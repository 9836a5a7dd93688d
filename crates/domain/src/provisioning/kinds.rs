//! Workers that no open demand can tell apart, but for what is left of them.

use std::collections::{BTreeMap, BTreeSet};

use super::demand::Alike;
use crate::id::{GpuType, MachineName, PoolName, Runtime, Workspace};
use crate::placement::eligibility::Need;
use crate::resources::Used;
use crate::strategy::Amount;
use crate::worker::WorkerSpec;

/// The most bins of one block: small enough to look through, large enough that few blocks are passed over.
const BLOCK_BINS_MAX: usize = 64;

/// What there is of a machine, in the order in which it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Workers that are there.
    Available,
    /// Workers that are asked for.
    Pending,
    /// Workers to ask for.
    New,
}

/// Workers with the same left of them, one after the other in the order in which they are filled.
#[derive(Debug, Clone)]
pub(super) struct Bin {
    pub(super) stage: Stage,
    /// Where the first of them stands among all of its stage.
    pub(super) place: u64,
    pub(super) times: u64,
    pub(super) used: Used,
    left: Amount,
}

impl Bin {
    pub(super) fn of(spec: &WorkerSpec, used: Used, stage: Stage, place: u64, times: u64) -> Self {
        let left = Amount::left(&spec.total, &used);
        Self { stage, place, times, used, left }
    }
}

/// All workers of one kind.
#[derive(Clone)]
pub(super) struct Kind<'a> {
    /// What one of them is.
    pub(super) spec: &'a WorkerSpec,
    /// In the order in which they are filled.
    blocks: Vec<Block>,
}

/// Some workers, and the most that is left of each resource on any of them.
#[derive(Clone, Default)]
struct Block {
    most: Amount,
    bins: Vec<Bin>,
}

/// Where a bin is: its block, and its place in it.
pub(super) type Place = (usize, usize);

impl<'a> Kind<'a> {
    pub(super) fn new(spec: &'a WorkerSpec) -> Self {
        Self { spec, blocks: Vec::new() }
    }

    pub(super) fn bin(&self, (block, index): Place) -> &Bin {
        &self.blocks[block].bins[index]
    }

    pub(super) fn bins(&self) -> impl Iterator<Item = &Bin> {
        self.blocks.iter().flat_map(|block| &block.bins)
    }

    /// The first that has room, from this place on.
    pub(super) fn first_with_room(&self, need: &Need<'_>, from: Place) -> Option<Place> {
        let amount = need.amount();
        let has_room = |bin: &Bin| bin.left.covers(amount) && need.check_room(&self.spec.total, &bin.used).is_ok();
        let mut blocks = self.blocks.iter().enumerate().skip(from.0).filter(|(_, block)| block.most.covers(amount));
        blocks.find_map(|(at, block)| {
            let skipped = if at == from.0 { from.1 } else { 0 };
            let offset = block.bins.iter().skip(skipped).position(has_room)?;
            Some((at, skipped + offset))
        })
    }

    /// Adds workers behind all others.
    pub(super) fn push(&mut self, bin: Bin) {
        if self.blocks.last().is_none_or(|block| block.bins.len() >= BLOCK_BINS_MAX) {
            self.blocks.push(Block::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            block.most = block.most.max(bin.left);
            block.bins.push(bin);
        }
    }

    /// Lays as many as fit, at most `count`, onto the workers of a bin that has room; answers how many.
    pub(super) fn lay(&mut self, place: Place, need: &Need<'_>, count: u64) -> u64 {
        let (spec, bin) = (self.spec, self.bin(place));
        let (stage, first, times) = (bin.stage, bin.place, bin.times);
        let mut filled = bin.used.clone();
        let each = need.book(&spec.total, &mut filled, count);
        let full = times.min(count.checked_div(each).unwrap_or(0));
        let mut parts = vec![Bin::of(spec, filled, stage, first, full)];
        let mut laid = full * each;
        let mut untouched = times - full;
        if untouched > 0 && laid < count {
            let mut used = bin.used.clone();
            laid += need.book(&spec.total, &mut used, count - laid);
            parts.push(Bin::of(spec, used, stage, first + full, 1));
            untouched -= 1;
        }
        if untouched > 0 {
            parts.push(Bin { place: first + times - untouched, times: untouched, ..bin.clone() });
        }
        self.replace(place, parts);
        laid
    }

    fn replace(&mut self, (at, index): Place, parts: Vec<Bin>) {
        let block = &mut self.blocks[at];
        block.bins.splice(index..=index, parts);
        if block.bins.len() > BLOCK_BINS_MAX {
            let bins = block.bins.split_off(block.bins.len() / 2);
            self.blocks.insert(at + 1, Block::of(bins));
        }
        let bins = std::mem::take(&mut self.blocks[at].bins);
        self.blocks[at] = Block::of(bins);
    }
}

impl Block {
    fn of(bins: Vec<Bin>) -> Self {
        let most = bins.iter().fold(Amount::default(), |most, bin| most.max(bin.left));
        Self { most, bins }
    }
}

/// By which workers are told apart: machines that nobody pins and labels that nobody demands are no difference.
pub(super) struct Differences<'a> {
    machines: BTreeSet<&'a MachineName>,
    labels: BTreeSet<&'a str>,
}

/// A kind of worker.
pub(super) type KindKey<'a> = (Owner<'a>, Size<'a>, Taste<'a>);
type Owner<'a> = (&'a PoolName, Option<&'a Workspace>, Option<&'a MachineName>);
type Size<'a> = (u64, u64, Option<&'a GpuType>, u32);
type Taste<'a> = (i32, bool, bool, &'a [Runtime], Vec<(&'a str, &'a str)>);

impl<'a> Differences<'a> {
    pub(super) fn of(demand: &[Alike<'a>]) -> Self {
        let asks = || demand.iter().map(|alike| alike.need.ask);
        Self {
            machines: asks().filter_map(|ask| ask.machine.as_ref()).collect(),
            labels: asks().flat_map(|ask| ask.labels.keys()).map(|label| &**label).collect(),
        }
    }

    pub(super) fn kind(&self, spec: &'a WorkerSpec) -> KindKey<'a> {
        let machine = spec.machine.as_ref().filter(|machine| self.machines.contains(machine));
        let labels = spec.labels.iter().filter(|(label, _)| self.labels.contains(&***label));
        let labels = labels.map(|(label, value)| (&**label, &**value)).collect();
        let total = &spec.total;
        (
            (&spec.pool, spec.workspace.as_ref(), machine),
            (total.cpu_milli, total.memory_mib, total.gpu_type.as_ref(), total.gpu_count),
            (spec.priority, spec.preemptible, spec.requires_pool_selector, &spec.runtimes, labels),
        )
    }
}

/// The kinds of workers that were met, each with a number.
pub(super) struct Kinds<'a> {
    differences: Differences<'a>,
    numbers: BTreeMap<KindKey<'a>, usize>,
    pub(super) all: Vec<Kind<'a>>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(differences: Differences<'a>) -> Self {
        Self { differences, numbers: BTreeMap::new(), all: Vec::new() }
    }

    /// The number of a worker's kind.
    pub(super) fn number(&mut self, spec: &'a WorkerSpec) -> usize {
        let all = &mut self.all;
        *self.numbers.entry(self.differences.kind(spec)).or_insert_with(|| {
            all.push(Kind::new(spec));
            all.len() - 1
        })
    }
}
