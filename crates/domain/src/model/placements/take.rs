//! The claim: a worker takes its orders.

use crate::container::{ContainerRow, State};
use crate::id::{CallNumber, Mark};
use crate::model::step::{Step, mark_after};
use crate::model::workers::admit;
use crate::model::{CALL_ITEMS_MAX, Change, Order, OrderMark, Rows, StartOrder, Stepped};
use crate::time::Timestamp;
use crate::worker::{CallAnswer, Caller, WorkerRow};

/// Once the bodies that it hands out come to this many bytes, a take ends, even short of its limit.
pub const TAKE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a worker is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeAnswer {
    /// How the call was taken.
    pub call: CallAnswer,
    /// What to do, oldest order first.
    pub orders: Vec<Order>,
    /// The last order handed out; `after` of the next call.
    pub upto: Option<OrderMark>,
    /// How far the cell is with it, if the call was accepted.
    pub mark: Mark,
}

/// Hands a worker its orders after a mark, and moves what is handed over from `placed` to `starting`.
///
/// A repeat with the same mark hands out the same. No mark hands out all that is held, and every stop order.
pub fn take<R: Rows>(
    rows: &R,
    now: Timestamp,
    caller: &Caller,
    after: Option<&OrderMark>,
    limit: usize,
) -> Stepped<TakeAnswer, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let (upto, mark) = (after.cloned(), step.mark_before());
    let worker = match admit_numbered(&mut step, caller)? {
        Ok(worker) => worker,
        Err(call) => return step.finish(TakeAnswer { call, orders: Vec::new(), upto, mark }),
    };
    let mut answer = TakeAnswer { call: CallAnswer::Ok, orders: Vec::new(), upto, mark };
    if worker.complete {
        let mut bytes = 0;
        for mark in rows.owned(&worker.id, after, limit.min(CALL_ITEMS_MAX))? {
            if bytes >= TAKE_BYTES_MAX {
                break;
            }
            if let Some(row) = step.legible(&mark.container)? {
                let order = hand_over(&mut step, row)?;
                bytes += order.as_ref().map_or(0, bytes_of);
                answer.orders.extend(order);
            }
            answer.upto = Some(mark);
        }
    }
    let (answer, changes) = step.finish(answer)?;
    Ok((TakeAnswer { mark: mark_after(mark, &changes), ..answer }, changes))
}

/// Admits a call and keeps its number, so that what moves the worker's deadline is seen by the planner.
pub(super) fn admit_numbered<R: Rows>(
    step: &mut Step<R>,
    caller: &Caller,
) -> Result<Result<WorkerRow, CallAnswer>, R::Error> {
    step.notice(caller.mark)?;
    let row = step.worker(&caller.worker)?;
    let call = admit(row.as_ref(), caller, step.cell.history);
    let (CallAnswer::Ok, Some(row)) = (call, row) else {
        return Ok(Err(call));
    };
    let seen: CallNumber = step.rows().number(&row.id)?;
    if caller.number > seen {
        step.write(Change::Number(row.id.clone(), Some(caller.number)));
    }
    Ok(Ok(row))
}

fn bytes_of(order: &Order) -> usize {
    match order {
        Order::Start(start) => start.body.bytes(),
        Order::Stop { .. } => 0,
    }
}

fn hand_over<R: Rows>(step: &mut Step<R>, row: ContainerRow) -> Result<Option<Order>, R::Error> {
    let Some(placement) = row.placement_id() else {
        return Ok(None);
    };
    match &row.state {
        State::Stopping(_, cause) => Ok(Some(Order::Stop { placement, cause: *cause })),
        State::Placed(place) | State::Starting(place) | State::Running(place) => {
            let order = StartOrder {
                placement,
                booking: place.booking.clone(),
                runtime: row.ask.runtime.clone(),
                if_silent: row.if_silent,
                submitted: row.submitted,
                body: step.rows().body(&row.id)?.unwrap_or_default(),
            };
            if let State::Placed(place) = &row.state {
                let (state, taken_at) = (State::Starting(place.clone()), Some(step.now()));
                step.put_container(ContainerRow { state, taken_at, ..row })?;
            }
            Ok(Some(Order::Start(Box::new(order))))
        }
        _ => Ok(None),
    }
}
