//! Where a batch goes: START HERE.
//!
//! [`plan`] is the one planner: live scheduling, [`explain`] and `stowplan plan` all end in `Draft::place`. A request
//! is asked three things in turn, and waits at the first that holds it:
//!
//! 1. **quota**: may its workspace use that much more? (`Draft::check_quota`)
//! 2. **room**: of the workers that may serve it and have room (`placement/eligibility.rs`), which one is preferred
//!    (`placement/preference.rs`, `strategy.rs`)? It is found without looking at all of them, for the fleet keeps them
//!    sorted (`placement/index.rs`). If there is none, the first rule that each worker fails is the
//!    reason (`placement/reason.rs`, in words `placement/sentence.rs`).
//! 3. **line**: is anybody ahead of it in its own lot? (`placement/line.rs`)
//!
//! Before all this, after lost writes, what may run where nobody knows waits until every worker has said what it holds.
//!
//! What is placed is booked at once, on an overlay over the fleet (`placement/overlay.rs`), so that the next request
//! meets what is left. Everything is a function of its arguments: no clock, no chance, no order of a hash.

mod devices;
pub(crate) mod eligibility;
mod fitting;
pub(crate) mod index;
mod line;
mod overlay;
pub(crate) mod preference;
mod reason;
mod sentence;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::eligibility::Need;
use self::index::Key;
use self::line::Lines;
use self::overlay::Overlay;
use self::reason::Tally;
use self::shapes::Shape;
use crate::fleet::{Fleet, Policy};
use crate::id::{Attempt, ContainerId, Incarnation, WorkerId};
use crate::request::{Ask, IfSilent, OrderKey};
use crate::resources::Booking;
use crate::wait::{LotKey, Rule, RuleCounts, Why};
use crate::worker::{Status, Worker};

pub use self::fitting::fitting;
pub use self::sentence::sentence;

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub id: ContainerId,
    /// Its place in line.
    pub key: OrderKey,
    /// Its newest attempt so far.
    pub attempt: Attempt,
    /// What it asks.
    pub ask: Arc<Ask>,
    /// What happens to it when its worker is cut off.
    pub if_silent: IfSilent,
    /// The lot that it was read from; none if it was ready.
    pub lot: Option<LotKey>,
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes here.
    Place {
        /// The worker.
        worker: WorkerId,
        /// The run of the worker that the plan saw.
        incarnation: Incarnation,
        /// What it will own there.
        booking: Booking,
    },
    /// It waits in this lot, and why. It may already be in it.
    Wait {
        /// The lot.
        lot: LotKey,
        /// Why.
        why: Why,
    },
}

impl Verdict {
    /// Whether more workers would help: no worker has room, and some worker could have.
    pub fn is_demand(&self) -> bool {
        matches!(self, Self::Wait { why: Why::NoWorkers | Why::NoFit { never: None, .. }, .. })
    }
}

/// Where one request stands as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The workers on which it fits, by id.
    pub fits: Vec<WorkerId>,
    /// The workers that boot and could hold it, by id; they are counted below too.
    pub booting: Vec<WorkerId>,
    /// All other workers, each under the first rule that it fails.
    pub rules: RuleCounts,
    /// What a plan of this request alone says. It may fit and wait: for its quota, or for those ahead in its lot.
    pub verdict: Verdict,
}

/// Plans a whole batch against one look at the fleet: one verdict per candidate, in the batch's order.
///
/// Candidates are placed in the order of their keys, whatever the order in which they are given.
pub fn plan(fleet: &Fleet, batch: &[Candidate], policy: &Policy) -> Vec<Verdict> {
    let mut line: Vec<usize> = (0..batch.len()).collect();
    line.sort_by_key(|&position| batch[position].key);
    let mut draft = Draft::new(fleet, batch, policy);
    if line.is_sorted() {
        // As most batches come.
        return batch.iter().map(|candidate| draft.decide(candidate)).collect();
    }
    let mut verdicts: Vec<(usize, Verdict)> =
        line.into_iter().map(|position| (position, draft.decide(&batch[position]))).collect();
    verdicts.sort_by_key(|(position, _)| *position);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Says where `candidate` stands: every worker once, and what [`plan`] would make of it in its place in line.
pub fn explain(fleet: &Fleet, candidate: &Candidate, policy: &Policy) -> Explanation {
    let need = Need::of(&candidate.ask, policy);
    let (mut fits, mut booting) = (Vec::new(), Vec::new());
    let mut tally = Tally::default();
    for worker in fleet.workers() {
        match need.check(worker, &worker.used) {
            Ok(()) => fits.push(worker.id.clone()),
            Err(rule) => *tally.of(rule) += 1,
        }
        let could_hold =
            || need.check_spec(&worker.spec).and_then(|()| need.check_room(&worker.spec.total, &worker.used));
        if worker.status == Status::Pending && could_hold().is_ok() {
            booting.push(worker.id.clone());
        }
    }
    // A plan places what it reads from a lot, for it reads from the front. Here nobody read those ahead: the candidate
    // stands in line like one that is ready, and is counted as one of its lot.
    let in_line = Candidate { lot: None, ..candidate.clone() };
    let verdict = Draft::new(fleet, std::slice::from_ref(candidate), policy).decide(&in_line);
    Explanation { fits, booting, rules: tally.counts(), verdict }
}

/// What `ask` would own on this one worker, or the first rule that it fails: eligibility and room without preference.
pub fn place_on(worker: &Worker, ask: &Ask, policy: &Policy) -> Result<Booking, Rule> {
    let need = Need::of(ask, policy);
    need.check(worker, &worker.used)?;
    need.booking(&worker.spec.total, &worker.used).ok_or(Rule::GpuRoom)
}

/// A plan as it grows.
struct Draft<'a> {
    policy: &'a Policy,
    overlay: Overlay<'a>,
    lines: Lines<'a>,
    /// Shapes of which one request found no room, by number. Room only shrinks within a plan, so those alike need not look
    /// again; they share the first one's reason.
    no_room: BTreeMap<usize, Why>,
}

/// Where a request waits, and why.
struct Wait {
    lot: LotKey,
    why: Why,
}

impl<'a> Draft<'a> {
    fn new(fleet: &'a Fleet, batch: &'a [Candidate], policy: &'a Policy) -> Self {
        Self { policy, overlay: Overlay::over(fleet), lines: Lines::of(&fleet.lots, batch), no_room: BTreeMap::new() }
    }

    fn decide(&mut self, candidate: &Candidate) -> Verdict {
        self.place(candidate).unwrap_or_else(|Wait { lot, why }| {
            self.lines.join(&lot);
            Verdict::Wait { lot, why }
        })
    }

    /// Quota, room, line: the first of them that holds the request is where it waits.
    fn place(&mut self, candidate: &Candidate) -> Result<Verdict, Wait> {
        self.check_unseen(candidate)?;
        let need = Need::of(&candidate.ask, self.policy);
        let (number, shape) = self.overlay.shape(&candidate.ask, self.policy);
        self.check_quota(candidate, &shape)?;
        let worker = self.find_room(&need, number, &shape)?;
        self.check_line(candidate, &shape)?;
        Ok(self.overlay.place(&worker, &need, &shape))
    }

    /// After lost writes, what may run where nobody knows waits until it cannot.
    fn check_unseen(&self, candidate: &Candidate) -> Result<(), Wait> {
        let fleet = self.overlay.fleet();
        let unregistered = fleet.unregistered;
        if fleet.settling || candidate.if_silent == IfSilent::Keep && unregistered > 0 {
            return Err(Wait { lot: LotKey::Keep, why: Why::Settling { unregistered } });
        }
        Ok(())
    }

    /// What can never fit its quota waits with those alike, for only a new limit helps it. All others wait in their
    /// workspace's lot, where nobody is overtaken by one that asks for less.
    fn check_quota(&self, candidate: &Candidate, shape: &Shape) -> Result<(), Wait> {
        let workspace = &candidate.ask.workspace;
        let Some(quotas) = &self.policy.quotas else {
            return Ok(());
        };
        let lot = || LotKey::Quota(workspace.clone());
        match self.overlay.usage(shape).obstacle(&candidate.ask, quotas.limits(workspace)) {
            Some(over) if over.can_never_fit() => Err(Wait { lot: shape.lot().clone(), why: Why::Quota(over) }),
            Some(over) => Err(Wait { lot: lot(), why: Why::Quota(over) }),
            None if self.lines.are_empty() => Ok(()),
            None => self.lines.check(candidate, &lot()),
        }
    }

    /// Where the preferred one of all workers stands that have room.
    fn find_room(&mut self, need: &Need<'_>, number: usize, shape: &Shape) -> Result<Key, Wait> {
        let wait = |why: &Why| Wait { lot: shape.lot().clone(), why: why.clone() };
        if let Some(why) = self.no_room.get(&number) {
            return Err(wait(why));
        }
        let preferred = || preference::preferred(&self.overlay, need, &shape.profile, self.policy.strategy);
        let found = if shape.has_no_room { None } else { preferred() };
        found.ok_or_else(|| {
            let why = reason::no_fit(need, shape, &self.overlay, self.policy);
            wait(self.no_room.entry(number).or_insert(why))
        })
    }

    /// Who is alike and came first goes first.
    fn check_line(&self, candidate: &Candidate, shape: &Shape) -> Result<(), Wait> {
        if self.lines.are_empty() { Ok(()) } else { self.lines.check(candidate, shape.lot()) }
    }
}
