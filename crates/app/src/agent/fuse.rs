//! What ends a container from outside, and when: a pure state machine.

use super::executor::{Cause, StopRequest};
use super::record::{Assignment, Lease};
use crate::api::calls::{Event, IfSilent, StartOrder};

/// From TERM to KILL, if the request does not say.
pub(super) const KILL_AFTER_MS: u64 = 10_000;

/// What to do to the container's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    Term,
    Kill,
}

#[derive(Debug)]
struct Ending {
    event: Event,
    kill_at_ms: u64,
    killed: bool,
}

/// What a request says of a container's time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    timeout_ms: Option<u64>,
    kill_after_ms: u64,
    if_silent: IfSilent,
}

impl From<&Assignment> for Limits {
    fn from(assignment: &Assignment) -> Self {
        let Assignment { timeout_ms, kill_after_ms, if_silent, .. } = *assignment;
        Self { timeout_ms, kill_after_ms, if_silent }
    }
}

impl From<&StartOrder> for Limits {
    fn from(order: &StartOrder) -> Self {
        let kill_after_ms = order.kill_after_ms.unwrap_or(KILL_AFTER_MS);
        Self { timeout_ms: order.timeout_ms, kill_after_ms, if_silent: order.if_silent }
    }
}

/// The container's time limits and the request to stop it. The first that comes is the end's cause.
#[derive(Debug)]
pub(super) struct Fuse {
    timeout: Option<(u64, u64)>,
    kill_after_ms: u64,
    /// As last read; `None` once it no longer matters.
    lease: Option<Lease>,
    ending: Option<Ending>,
}

/// When a container under `lease` gets its TERM, if it has to be dead by the deadline.
fn term_at_ms(lease: &Lease, kill_after_ms: u64) -> u64 {
    lease.deadline_ms.saturating_sub(kill_after_ms.min(lease.keepalive_ms / 3))
}

impl Fuse {
    /// Lit when the process starts.
    pub(super) fn new(limits: impl Into<Limits>, lease: Lease, now_ms: u64) -> Self {
        let Limits { timeout_ms, kill_after_ms, if_silent } = limits.into();
        Self {
            timeout: timeout_ms.map(|after_ms| (now_ms.saturating_add(after_ms), after_ms)),
            kill_after_ms,
            lease: (if_silent == IfSilent::Stop).then_some(lease),
            ending: None,
        }
    }

    /// When [`Fuse::burn`] is due.
    pub(super) fn due_at_ms(&self) -> Option<u64> {
        let timeout = self.timeout.filter(|_| self.ending.is_none()).map(|(at_ms, _)| at_ms);
        let lease = self.lease.as_ref().map(|lease| term_at_ms(lease, self.kill_after_ms));
        let kill = self.ending.as_ref().filter(|ending| !ending.killed).map(|ending| ending.kill_at_ms);
        [timeout, lease, kill].into_iter().flatten().min()
    }

    /// Does what is due: at most one blow, until none is left. `read_lease` is asked when the lease seems to run out.
    pub(super) fn burn(&mut self, now_ms: u64, read_lease: impl FnOnce() -> Option<Lease>) -> Option<Blow> {
        if let Some((at_ms, after_ms)) = self.timeout
            && now_ms >= at_ms
            && self.ending.is_none()
        {
            return self.begin(Event::Timeout { after_ms }, now_ms.saturating_add(self.kill_after_ms));
        }
        if let Some(last) = self.lease.take_if(|lease| now_ms >= term_at_ms(lease, self.kill_after_ms)) {
            let lease = read_lease().unwrap_or(last);
            if now_ms < term_at_ms(&lease, self.kill_after_ms) {
                self.lease = Some(lease); // it moved: sleep on; otherwise it has run out, and that is final
            } else {
                let silent_ms = (now_ms + lease.keepalive_ms).saturating_sub(lease.deadline_ms);
                let blow = self.begin(Event::Deadline { silent_ms }, lease.deadline_ms);
                if blow.is_some() {
                    return blow;
                }
            }
        }
        let ending = self.ending.as_mut().filter(|ending| now_ms >= ending.kill_at_ms && !ending.killed)?;
        ending.killed = true;
        Some(Blow::Kill)
    }

    /// The agent asks for the end. A stop turns a drain into a stop; a later request may hurry the KILL.
    pub(super) fn ask(&mut self, now_ms: u64, request: &StopRequest) -> Option<Blow> {
        let event = event_of(request.cause);
        let kill_after_ms = match request.cause {
            Cause::Kill => 0,
            Cause::Drain | Cause::Stop => {
                request.kill_after_ms.map_or(self.kill_after_ms, |ms| ms.min(self.kill_after_ms))
            }
        };
        if let Some(ending) = &mut self.ending
            && ending.event == Event::DrainOrder
        {
            ending.event = event.clone();
        }
        self.begin(event, now_ms.saturating_add(kill_after_ms))
    }

    /// How it ended, if not by itself.
    pub(super) fn cause(&self) -> Option<Event> {
        self.ending.as_ref().map(|ending| ending.event.clone())
    }

    /// Begins to end the container; if that has begun, it may only be hurried.
    fn begin(&mut self, event: Event, kill_at_ms: u64) -> Option<Blow> {
        if let Some(ending) = &mut self.ending {
            ending.kill_at_ms = ending.kill_at_ms.min(kill_at_ms);
            return None;
        }
        self.ending = Some(Ending { event, kill_at_ms, killed: false });
        Some(Blow::Term)
    }
}

/// The end of a container that was asked to end; one killed is reported by nobody, and if by mistake, as harmlessly.
pub(super) fn event_of(cause: Cause) -> Event {
    match cause {
        Cause::Stop => Event::StopOrder,
        Cause::Drain | Cause::Kill => Event::DrainOrder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::record::assignment;

    fn lease(deadline_ms: u64) -> Lease {
        Lease { deadline_ms, keepalive_ms: 120_000, key: "k".to_owned(), boot: "b".to_owned() }
    }

    fn request(cause: Cause, kill_after_ms: Option<u64>) -> StopRequest {
        StopRequest { cause, kill_after_ms }
    }

    #[test]
    fn at_a_deadline_that_did_not_move_term_comes_before_and_kill_at_it() {
        let mut fuse = Fuse::new(&assignment(), lease(120_000), 0);
        assert_eq!(fuse.due_at_ms(), Some(110_000));
        assert_eq!(fuse.burn(109_999, || panic!("not read before it is due")), None);
        assert_eq!(fuse.burn(110_000, || Some(lease(120_000))), Some(Blow::Term));
        assert_eq!(fuse.due_at_ms(), Some(120_000));
        assert_eq!(fuse.burn(120_000, || panic!("final")), Some(Blow::Kill));
        assert_eq!(fuse.due_at_ms(), None);
        assert_eq!(fuse.cause(), Some(Event::Deadline { silent_ms: 110_000 }));
    }

    #[test]
    fn term_comes_no_earlier_than_a_third_of_the_keepalive_before_the_deadline() {
        let patient = Assignment { kill_after_ms: 600_000, ..assignment() };
        assert_eq!(Fuse::new(&patient, lease(120_000), 0).due_at_ms(), Some(80_000));
    }

    #[test]
    fn a_deadline_that_moved_is_slept_on() {
        let mut fuse = Fuse::new(&assignment(), lease(120_000), 0);
        assert_eq!(fuse.burn(110_000, || Some(lease(200_000))), None);
        assert_eq!(fuse.due_at_ms(), Some(190_000));
    }

    #[test]
    fn a_lease_that_is_gone_is_the_last_one_read() {
        let mut fuse = Fuse::new(&assignment(), lease(120_000), 0);
        assert_eq!(fuse.burn(110_000, || None), Some(Blow::Term));
    }

    #[test]
    fn keep_knows_no_deadline() {
        let keep = Assignment { if_silent: IfSilent::Keep, ..assignment() };
        assert_eq!(Fuse::new(&keep, lease(120_000), 0).due_at_ms(), None);
    }

    #[test]
    fn a_timeout_counts_from_the_start() {
        let limited = Assignment { timeout_ms: Some(5_000), ..assignment() };
        let mut fuse = Fuse::new(&limited, lease(120_000), 1_000);
        assert_eq!(fuse.burn(6_000, || None), Some(Blow::Term));
        assert_eq!(fuse.burn(16_000, || None), Some(Blow::Kill));
        assert_eq!(fuse.cause(), Some(Event::Timeout { after_ms: 5_000 }));
    }

    #[test]
    fn a_slow_stop_is_cut_short_by_the_deadline_and_stays_a_stop() {
        let patient = Assignment { kill_after_ms: 600_000, ..assignment() };
        let mut fuse = Fuse::new(&patient, lease(120_000), 0);
        assert_eq!(fuse.ask(10_000, &request(Cause::Stop, None)), Some(Blow::Term));
        assert_eq!(fuse.burn(80_000, || None), None);
        assert_eq!(fuse.due_at_ms(), Some(120_000));
        assert_eq!(fuse.burn(120_000, || None), Some(Blow::Kill));
        assert_eq!(fuse.cause(), Some(Event::StopOrder));
    }

    #[test]
    fn a_stop_turns_a_drain_into_a_stop_and_never_back() {
        let mut fuse = Fuse::new(&assignment(), lease(120_000), 0);
        assert_eq!(fuse.ask(0, &request(Cause::Drain, None)), Some(Blow::Term));
        assert_eq!(fuse.ask(1, &request(Cause::Stop, None)), None);
        assert_eq!(fuse.ask(2, &request(Cause::Drain, Some(5_000))), None);
        assert_eq!(fuse.due_at_ms(), Some(5_002), "hurried");
        assert_eq!(fuse.cause(), Some(Event::StopOrder));
    }

    #[test]
    fn what_may_not_run_is_killed_at_once() {
        let mut fuse = Fuse::new(&assignment(), lease(120_000), 0);
        assert_eq!(fuse.ask(7, &request(Cause::Kill, None)), Some(Blow::Term));
        assert_eq!(fuse.burn(7, || None), Some(Blow::Kill));
    }

    #[test]
    fn after_a_suspend_past_the_deadline_both_blows_fall_at_once() {
        let mut fuse = Fuse::new(&assignment(), lease(120_000), 0);
        assert_eq!(fuse.burn(500_000, || Some(lease(120_000))), Some(Blow::Term));
        assert_eq!(fuse.burn(500_000, || None), Some(Blow::Kill));
    }
}
