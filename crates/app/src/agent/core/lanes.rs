//! One call of each kind at a time: what is under way, and when the next is due.

use std::collections::BTreeMap;

/// The first pause after a failure; it doubles with each further one.
const RETRY_MS_MIN: u64 = 100;
/// The longest pause after a failure.
const RETRY_MS_MAX: u64 = 1_000;
/// The pause after a failure that only an operator can mend.
pub(super) const RETRY_SLOW_MS: u64 = 5_000;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Registrations.
    Register,
    /// Heartbeats.
    Beat,
    /// Takes.
    Take,
    /// Reports.
    Report,
    /// Drain and removal.
    Leave,
}

/// One call, told from every other of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Its kind.
    pub lane: Lane,
    /// Raised by every call.
    pub number: u64,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    /// The call under way: its number, and when it was sent.
    flight: Option<(u64, u64)>,
    not_before_ms: u64,
    failures: u32,
}

/// All lanes, and the number that every call raises.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    slots: BTreeMap<Lane, Slot>,
    number: u64,
}

impl Lanes {
    /// When the next call of `lane` is due; `None` while one is under way.
    pub(super) fn due_at(&self, lane: Lane) -> Option<u64> {
        self.slots.get(&lane).map_or(Some(0), |slot| slot.flight.is_none().then_some(slot.not_before_ms))
    }

    pub(super) fn is_due(&self, lane: Lane, now_ms: u64) -> bool {
        self.due_at(lane).is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// A call leaves.
    pub(super) fn launch(&mut self, lane: Lane, now_ms: u64) -> Ticket {
        self.number += 1;
        self.slots.entry(lane).or_default().flight = Some((self.number, now_ms));
        Ticket { lane, number: self.number }
    }

    /// An answer arrives: when its call was sent, if that is still waited for.
    pub(super) fn land(&mut self, ticket: Ticket) -> Option<u64> {
        let slot = self.slots.get_mut(&ticket.lane)?;
        let (_, sent_ms) = slot.flight.take_if(|(number, _)| *number == ticket.number)?;
        Some(sent_ms)
    }

    /// The last call succeeded.
    pub(super) fn next(&mut self, lane: Lane, not_before_ms: u64) {
        let slot = self.slots.entry(lane).or_default();
        slot.failures = 0;
        slot.not_before_ms = not_before_ms;
    }

    /// The last call failed.
    pub(super) fn retry(&mut self, lane: Lane, now_ms: u64, at_least_ms: u64) {
        let slot = self.slots.entry(lane).or_default();
        let pause_ms = (RETRY_MS_MIN << slot.failures.min(10)).min(RETRY_MS_MAX);
        slot.failures += 1;
        slot.not_before_ms = now_ms + pause_ms.max(at_least_ms);
    }

    /// Waits for no answer any more, and forgets all pauses but that between registrations.
    pub(super) fn clear(&mut self) {
        self.slots.retain(|lane, slot| {
            slot.flight = None;
            *lane == Lane::Register
        });
    }
}
