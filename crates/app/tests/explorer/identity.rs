//! Stores and agents that know a placement by its container and attempt alone: its name loses its history on the way to
//! a worker, and is given that of the row on the way back.

use app::api::calls::{Order, PlacementName};
use domain::container::PlacementId;
use domain::id::History;
use domain::model::Report;
use domain::model::workers::Registration;

use crate::rules::Rule;
use crate::scenario::FIRST_HISTORY;
use crate::world::World;

impl World {
    /// What a worker is told of a placement's history.
    pub(crate) fn blur(&self, placement: &mut PlacementName) {
        if self.breaks(Rule::IdentityIncludesTheHistory) {
            placement.history = History::from_random(FIRST_HISTORY).get();
        }
    }

    pub(crate) fn blur_order(&self, order: &mut Order) {
        match order {
            Order::Start(order) => self.blur(&mut order.placement),
            Order::Stop { placement, .. } => self.blur(placement),
        }
    }

    pub(crate) fn sharpen_registration(&self, call: &mut Registration) {
        for held in &mut call.holds {
            self.sharpen(&mut held.placement);
        }
        for end in &mut call.ends {
            self.sharpen_report(end);
        }
    }

    pub(crate) fn sharpen_report(&self, report: &mut Report) {
        self.sharpen(&mut report.placement);
    }

    /// The history that makes the store believe a name whose attempt it knows.
    fn sharpen(&self, placement: &mut PlacementId) {
        if !self.breaks(Rule::IdentityIncludesTheHistory) {
            return;
        }
        let row = self.row(placement.container.as_str()).filter(|row| row.attempt == placement.attempt);
        let first = History::from_random(FIRST_HISTORY);
        placement.history = row.and_then(|row| row.placed_in).unwrap_or(first);
    }
}
