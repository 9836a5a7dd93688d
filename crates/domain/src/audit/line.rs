//! The line, the lots and the counts, made anew from the containers.

use std::collections::BTreeMap;

use super::{Corruption, Finding};
use crate::container::{ContainerRow, Phase, State, Waiting};
use crate::id::ContainerId;
use crate::model::CellRow;
use crate::request::OrderKey;
use crate::wait::{LotKey, LotRow};

/// Who waits where.
#[derive(Debug, Default)]
pub(super) struct Line {
    places: BTreeMap<OrderKey, ContainerId>,
    phases: BTreeMap<Phase, u64>,
    ready: u64,
    parked: BTreeMap<LotKey, Parked>,
    lots: BTreeMap<LotKey, (u64, OrderKey)>,
}

#[derive(Debug)]
struct Parked {
    count: u64,
    first: OrderKey,
}

impl Line {
    pub(super) fn container(&mut self, row: &ContainerRow, found: &mut Vec<Finding>) {
        *self.phases.entry(row.state.phase()).or_default() += 1;
        let State::Pending(waiting) = &row.state else { return };
        if let Some(first) = self.places.insert(row.key, row.id.clone()) {
            found.push(Corruption::SamePlace { first, second: row.id.clone() }.into());
        }
        match waiting {
            Waiting::Ready => self.ready += 1,
            Waiting::Parked(lot) => {
                if !belongs(row, lot) {
                    found.push(Corruption::WrongLot { container: row.id.clone(), lot: lot.clone() }.into());
                }
                let parked = self.parked.entry(lot.clone()).or_insert(Parked { count: 0, first: row.key });
                parked.count += 1;
                parked.first = parked.first.min(row.key);
            }
        }
    }

    pub(super) fn lot(&mut self, row: &LotRow) {
        self.lots.insert(row.key.clone(), (row.count, row.first));
    }

    /// `excused`: there are rows that cannot be decoded, which may be what is counted and not found.
    pub(super) fn check(&self, cell: &CellRow, excused: bool, found: &mut Vec<Finding>) {
        let differs = |counted: u64, found: u64| if excused { counted < found } else { counted != found };
        for phase in Phase::ALL {
            let (counted, there) = (cell.count(phase), self.phases.get(&phase).copied().unwrap_or(0));
            if differs(counted, there) {
                found.push(Corruption::PhaseCount { phase, counted, found: there }.into());
            }
        }
        if differs(cell.ready, self.ready) {
            found.push(Corruption::ReadyCount { counted: cell.ready, found: self.ready }.into());
        }
        let keys: std::collections::BTreeSet<_> = self.lots.keys().chain(self.parked.keys()).collect();
        for lot in keys {
            let (counted, says) = self.lots.get(lot).copied().unwrap_or((0, OrderKey::default()));
            let parked = self.parked.get(lot);
            let count = parked.map_or(0, |parked| parked.count);
            if differs(counted, count) {
                found.push(Corruption::LotCount { lot: lot.clone(), counted, parked: count }.into());
            } else if let Some(first) =
                parked.map(|parked| parked.first).filter(|first| differs_first(excused, says, *first))
            {
                found.push(Corruption::LotFirst { lot: lot.clone(), says, first }.into());
            }
        }
    }
}

fn differs_first(excused: bool, says: OrderKey, first: OrderKey) -> bool {
    if excused { says > first } else { says != first }
}

fn belongs(row: &ContainerRow, lot: &LotKey) -> bool {
    match lot {
        LotKey::Shape(shape) => *shape == row.ask.shape(),
        LotKey::Quota(workspace) => *workspace == row.ask.workspace,
        LotKey::Corrupt => false,
        // While a cell settles, all may wait in it.
        LotKey::Keep | LotKey::Stop => true,
    }
}
