//! The independent checker: what is booked must follow from what is owned, and a plan must fit.
//!
//! It shares no code with [`crate::ledger`], [`crate::model`] or [`crate::placement`]: every sum is made anew from plain
//! rows. [`Audit`] takes rows one by one, a page at a time if need be; [`of_rows`] reads a whole cell, its indexes too;
//! [`plan`] checks verdicts before they are committed. A [`Finding`] is a sentence, and [`Facts`] for who reads none.

mod books;
mod entry;
mod facts;
mod finding;
mod line;
mod plans;
mod store;

pub use books::{Audit, Owner, Room};
pub use facts::Facts;
pub use finding::{Amount, Corruption, Finding, Notice};
pub use plans::{PlanFault, plan};
pub use store::{Whole, of_rows, whole};
