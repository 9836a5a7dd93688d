//! Ports every write of which is made again after its answer was lost, and whose callers hear what they mean by that.
//!
//! A repeat is answered the same, or the `Already` twin of what was answered first: a caller who knows what it asked knows
//! which. So every clause of the kit holds of a store whose answers are lost once, if its callers hear the first answer
//! wherever the second is a twin of it, which `answers` decides. That a repeat also changes nothing is looked up: each
//! write is repeated once more, and all that can be read of the cell must be as it was before that.

mod answers;
mod bites;
mod everything;
mod ports;

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::CellName;

use crate::around::Answering;
use crate::{PortResult, Ports};
use answers::{Answer, Asked};
use bites::Bites;

/// How a write is made twice.
pub trait Repeats: Send + Sync + 'static {
    /// Makes a call, loses its answer, and makes it again: what was lost, and what was answered then.
    fn repeat<T: Send + 'static>(
        &self,
        cell: &CellName,
        write: impl Fn(Ports) -> Answering<'static, T> + Send + Sync,
    ) -> impl Future<Output = (PortResult<T>, PortResult<T>)> + Send;
}

/// A store that loses nothing: one call after the other.
impl Repeats for Ports {
    async fn repeat<T: Send + 'static>(
        &self,
        _: &CellName,
        write: impl Fn(Ports) -> Answering<'static, T> + Send + Sync,
    ) -> (PortResult<T>, PortResult<T>) {
        (write(self.clone()).await, write(self.clone()).await)
    }
}

/// Which answer a caller is given of a write that was made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    /// The first, if the second is a twin of it; else the second.
    WhatIsMeant,
    /// The second as it is: for those who compare it with that of another store.
    TheRepeat,
}

/// Makes each write twice and once more, and checks what the repeats answer and change.
pub struct Repeating<R> {
    writes: R,
    /// Here all is read that callers ask for.
    reads: Ports,
    /// Nothing is lost here: the last repeat is made here, and what it may have changed is read here.
    undisturbed: Ports,
    hears: Hears,
    traffic: Traffic,
    bites: Mutex<Bites>,
}

impl<R: Repeats> Repeating<R> {
    /// Ports whose writes are made by `writes`; all three are of the same store.
    pub fn over(writes: R, reads: Ports, undisturbed: Ports, hears: Hears) -> Ports {
        let limits = undisturbed.limits;
        let traffic = Traffic::default();
        let repeating = Arc::new(Self { writes, reads, undisturbed, hears, traffic, bites: Mutex::default() });
        Ports {
            backlog: repeating.clone(),
            workers: repeating.clone(),
            placements: repeating.clone(),
            containers: repeating.clone(),
            leadership: repeating,
            limits,
        }
    }

    /// Makes a write again and again, and answers as its caller hears it.
    async fn said<T: Answer>(
        &self,
        cell: &CellName,
        asked: Asked,
        write: impl Fn(Ports) -> Answering<'static, T> + Send + Sync,
    ) -> PortResult<Said<T>> {
        let under_way = self.traffic.begin();
        let (first, again) = self.writes.repeat(cell, &write).await;
        let (first, again) = match (first, again) {
            (Ok(first), Ok(again)) => (first, again),
            (first, again) => {
                let is_same = shown(&first) == shown(&again);
                assert!(is_same || !under_way.is_alone(), "{first:?} was lost, and the repeat answered {again:?}");
                return again.map(|again| Said { meant: again.clone(), again });
            }
        };
        // Who asks for two things of one name may undo the one with the other, each time anew.
        let is_plain = under_way.is_alone() && !asked.names_one_twice;
        assert!(
            !is_plain || first.is_repeated_as(&again),
            "{first:?} was lost, and the repeat answered {again:?}, which is no twin of it"
        );
        let goes_on = first.goes_on() || again.goes_on();
        let last = if asked.names_one_twice || goes_on {
            again.clone()
        } else {
            self.repeat_once_more(cell, asked, &write, &again, &under_way).await?
        };
        let meant = match self.hears {
            // Before the last repeat, too, others may have come in between.
            Hears::WhatIsMeant => first.meant_by(&again).meant_by(&last).reaching(&last),
            Hears::TheRepeat => again.clone(),
        };
        Ok(Said { meant, again })
    }

    /// Repeats a write that was repeated already, which answers the same and changes nothing; but a planner's moves the
    /// stamp, and with it the revision. With others at the same time nobody can tell.
    async fn repeat_once_more<T: Answer>(
        &self,
        cell: &CellName,
        asked: Asked,
        write: impl Fn(Ports) -> Answering<'static, T>,
        again: &T,
        under_way: &UnderWay<'_>,
    ) -> PortResult<T> {
        if !under_way.is_alone() {
            return Ok(again.clone());
        }
        let before = everything::of(&self.undisturbed, cell, asked.is_fenced).await;
        let last = write(self.undisturbed.clone()).await;
        let after = everything::of(&self.undisturbed, cell, asked.is_fenced).await;
        if under_way.is_alone() {
            let timeless = last.as_ref().ok().map(Answer::timeless);
            assert_eq!(timeless.as_ref(), Some(&again.timeless()), "a further repeat answered something else");
            assert_eq!(after, before, "a further repeat, which was answered {last:?}, changed something");
        }
        last
    }

    /// What was done beyond what callers were told, if they are told what they mean.
    fn bites(&self) -> Option<MutexGuard<'_, Bites>> {
        let means = self.hears == Hears::WhatIsMeant;
        means.then(|| self.bites.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The answers to a write.
struct Said<T> {
    /// What its caller hears.
    meant: T,
    /// What its repeat was answered.
    again: T,
}

/// An answer, or the words of an error without its sources, which may name a connection.
fn shown<T: Debug>(answer: &PortResult<T>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.to_string(),
    }
}

/// Which writes are under way.
#[derive(Debug, Default)]
struct Traffic {
    under_way: AtomicU64,
    begun: AtomicU64,
}

impl Traffic {
    fn begin(&self) -> UnderWay<'_> {
        let others = self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay { traffic: self, others, number: self.begun.fetch_add(1, Ordering::SeqCst) + 1 }
    }
}

/// A write under way.
#[derive(Debug)]
struct UnderWay<'a> {
    traffic: &'a Traffic,
    others: u64,
    number: u64,
}

impl UnderWay<'_> {
    /// Whether no other write was under way since it began.
    fn is_alone(&self) -> bool {
        self.others == 0 && self.traffic.begun.load(Ordering::SeqCst) == self.number
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.traffic.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}
