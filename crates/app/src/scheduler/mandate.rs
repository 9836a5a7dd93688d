//! The right to plan: waited for, taken, and left.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use domain::id::{Stamp, Term};
use domain::model::Mandate;
use domain::model::leadership::AcquireOutcome;
use ports::Ports;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::report::Observer;
use super::view::View;

/// How often a contender looks whether the planner's stamp has moved.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits until this process plans the cell.
///
/// Takes over from a planner whose stamp stood still for `lasts` on our own clock; at once, if no other process can have
/// the store open.
pub(super) async fn acquire(
    ports: &Ports,
    settings: &Settings,
    view: &RwLock<View>,
    observer: &dyn Observer,
) -> Mandate {
    let view = || view.write().unwrap_or_else(PoisonError::into_inner);
    let mut expected = None;
    let mut seen: Option<((Term, Stamp), Instant)> = None;
    loop {
        match ports.leadership.acquire(&settings.cell, &settings.planner, expected).await {
            Ok(AcquireOutcome::Acquired(mandate)) => return mandate,
            Ok(AcquireOutcome::Held { term, stamp, planner }) => {
                view().note_held_by(planner);
                let held = (term, stamp);
                if ports.limits.exclusive {
                    expected = Some(held);
                    continue;
                }
                let since = seen.filter(|(last, _)| *last == held).map_or_else(Instant::now, |(_, since)| since);
                seen = Some((held, since));
                expected = (since.elapsed() >= settings.lasts).then_some(held);
            }
            Err(error) => {
                observer.store_failed(&error);
                view().note_trouble(error.in_full());
                expected = None;
            }
        }
        if expected.is_none() {
            sleep(LOOK_EVERY.min(settings.lasts / 4)).await;
        }
    }
}

/// Leaves the cell to the next planner at once; if that fails, it takes over after `lasts`.
pub(super) async fn resign(ports: &Ports, mandate: &Mandate) {
    let _ = ports.leadership.resign(mandate).await;
}
