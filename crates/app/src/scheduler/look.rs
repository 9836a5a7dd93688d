//! The planner's look at the fleet.

use std::sync::{PoisonError, RwLock};

use domain::model::Mandate;
use domain::model::workers::Look;
use ports::{PortError, PortResult, Ports};

use super::view::View;

/// How many rows one page of a look holds.
const LOOK_PAGE: usize = 1_000;

/// Reads what changed in the fleet into the view.
///
/// `Rewound` if a new history has begun since the mandate: what the view saw of the old one is kept as it is, for it says
/// whether all of that survived.
pub(super) async fn look(ports: &Ports, mandate: &Mandate, view: &RwLock<View>) -> PortResult<()> {
    loop {
        let since = view.read().unwrap_or_else(PoisonError::into_inner).upto();
        let look = ports.workers.look(&mandate.cell, since, LOOK_PAGE).await?;
        if matches!(&look, Look::Page(page) if page.upto.history != mandate.mark.history) {
            return Err(PortError::Rewound);
        }
        let mut view = view.write().unwrap_or_else(PoisonError::into_inner);
        match look {
            Look::Whole => view.read_anew(),
            // Another look began anew meanwhile: what changed since is not all that there is.
            Look::Page(page) if since > view.upto() => view.note_reached(page.upto.revision),
            Look::Page(page) => {
                let more = page.more;
                view.apply(page);
                if !more {
                    return Ok(());
                }
            }
        }
    }
}
