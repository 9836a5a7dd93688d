//! Calls of one kind that come while another is under way: the next call asks for all of them.
//!
//! A hundred callers with one request each then cost the server a few steps, not a hundred. Nobody waits for company: who
//! comes alone is asked at once. Calls that share a step stand in it in the order in which they came, as if they had been
//! made one after the other.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::CellName;
use domain::time::Timestamp;
use ports::{PortError, PortResult};
use tokio::sync::oneshot;

use crate::store::Store;

/// What the calls of one step weigh at most, unless it is one alone: whoever comes next waits for all of them.
const WEIGHT_MAX: usize = 500;

/// What all that wait in a cell weigh at most. While the server is away, callers come and leave, and their calls would
/// stay: whoever comes now is told at once to come again. A fleet of many thousands that is woken at once has its place.
const WAITING_MAX: usize = 200 * WEIGHT_MAX;

/// A call that may share a step with others of its kind.
pub(crate) trait Shareable: Sized + Send + Sync + 'static {
    /// What it is answered.
    type Answer: Send + 'static;

    /// What it costs, in small requests.
    fn weight(&self) -> usize;

    /// Where the calls of this kind wait.
    fn queue(store: &Store) -> &Together<Self>;

    /// Asks for all of these in one step: an answer for each of the first of them, and for one at least.
    fn ask(
        store: &Store,
        cell: &CellName,
        calls: &[&Self],
    ) -> impl Future<Output = PortResult<Vec<Self::Answer>>> + Send;
}

/// The calls of one kind that wait, of each cell that has one under way.
pub(crate) struct Together<C: Shareable>(Mutex<BTreeMap<CellName, Line<C>>>);

struct Line<C: Shareable> {
    waiting: VecDeque<Waiting<C>>,
    /// Of all of them.
    weight: usize,
}

struct Waiting<C: Shareable> {
    call: C,
    weight: usize,
    answer: oneshot::Sender<PortResult<C::Answer>>,
}

impl<C: Shareable> Default for Together<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Shareable> Default for Line<C> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), weight: 0 }
    }
}

impl<C: Shareable> Together<C> {
    /// Stands in line; whether nobody was under way who would ask.
    fn join(&self, cell: &CellName, waiting: Waiting<C>) -> PortResult<bool> {
        let mut lines = self.lines();
        let is_first = !lines.contains_key(cell);
        let line = lines.entry(cell.clone()).or_default();
        if line.weight >= WAITING_MAX {
            return Err(PortError::unavailable("too many calls wait for it"));
        }
        line.weight += waiting.weight;
        line.waiting.push_back(waiting);
        Ok(is_first)
    }

    /// The next who share a step; nobody if nobody waits, and then nobody is under way.
    fn next(&self, cell: &CellName) -> Vec<Waiting<C>> {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(cell) else { return Vec::new() };
        let mut weight = 0;
        let fits = |waiting: &&Waiting<C>| {
            weight += waiting.weight;
            weight <= WEIGHT_MAX
        };
        let count = line.waiting.iter().take_while(fits).count().max(1).min(line.waiting.len());
        if count == 0 {
            lines.remove(cell);
            return Vec::new();
        }
        let next: Vec<_> = line.waiting.drain(..count).collect();
        line.weight -= next.iter().map(|waiting| waiting.weight).sum::<usize>();
        next
    }

    /// Puts those back who were not asked for, before all who came since.
    fn put_back(&self, cell: &CellName, unasked: Vec<Waiting<C>>) {
        let mut lines = self.lines();
        let line = lines.entry(cell.clone()).or_default();
        for waiting in unasked.into_iter().rev() {
            line.weight += waiting.weight;
            line.waiting.push_front(waiting);
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<CellName, Line<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest of some times: when a step happens whose calls came at these.
pub(crate) fn latest(times: impl Iterator<Item = Timestamp>) -> u64 {
    times.map(|time| time.0).max().unwrap_or_default()
}

/// Makes a call, with whoever else makes one at this time. It is made also if the caller does not wait for its answer.
pub(crate) async fn ask<C: Shareable>(store: &Arc<Store>, cell: &CellName, asked: C) -> PortResult<C::Answer> {
    let (answer, answered) = oneshot::channel();
    let weight = asked.weight();
    if C::queue(store).join(cell, Waiting { call: asked, weight, answer })? {
        let (store, cell) = (Arc::clone(store), cell.clone());
        tokio::spawn(Asking::<C> { store, cell, kind: PhantomData, is_over: false }.run());
    }
    answered.await.unwrap_or_else(|_| Err(PortError::unavailable("this process ends")))
}

/// Asks for all who wait, until nobody does.
struct Asking<C: Shareable> {
    store: Arc<Store>,
    cell: CellName,
    kind: PhantomData<fn() -> C>,
    is_over: bool,
}

impl<C: Shareable> Asking<C> {
    async fn run(mut self) {
        // Whoever was woken by the same event calls at the same time: all of them are in line after this.
        tokio::task::yield_now().await;
        loop {
            let waiting = C::queue(&self.store).next(&self.cell);
            if waiting.is_empty() {
                self.is_over = true;
                return;
            }
            self.serve(waiting).await;
        }
    }

    /// Asks for these in one step, and answers them; those who had no place in it wait on.
    async fn serve(&self, mut waiting: Vec<Waiting<C>>) {
        let calls: Vec<_> = waiting.iter().map(|waiting| &waiting.call).collect();
        match self.ask(&calls).await {
            Ok(answers) => {
                let unasked = waiting.split_off(answers.len().min(waiting.len()));
                for (waiting, answer) in waiting.into_iter().zip(answers) {
                    waiting.answer.send(Ok(answer)).ok();
                }
                C::queue(&self.store).put_back(&self.cell, unasked);
            }
            // Either nothing was written, or it is not written twice: what one of them asks about hurts no other.
            Err(PortError::Corrupt { .. }) if waiting.len() > 1 => {
                for Waiting { call, answer, .. } in waiting {
                    let alone = self.ask(&[&call]).await;
                    answer.send(alone.map(|mut answers| answers.swap_remove(0))).ok();
                }
            }
            Err(error) => {
                for waiting in waiting {
                    waiting.answer.send(Err(error.repeated())).ok();
                }
            }
        }
    }

    /// One answer at least.
    async fn ask(&self, calls: &[&C]) -> PortResult<Vec<C::Answer>> {
        let answers = C::ask(&self.store, &self.cell, calls).await?;
        if answers.is_empty() {
            return Err(PortError::corrupt("the answer of a step", "it is empty"));
        }
        Ok(answers)
    }
}

impl<C: Shareable> Drop for Asking<C> {
    /// Nobody waits for one who was stopped.
    fn drop(&mut self) {
        if !self.is_over {
            C::queue(&self.store).lines().remove(&self.cell);
        }
    }
}

#[cfg(test)]
mod tests;
