//! What a machine does: its agent handles events and acts, its shims start and end processes.

use std::rc::Rc;

use app::agent::core::{Action, Answer, Event, Farewell, Lane, Ticket};
use app::agent::executor::{Cause, Happening};
use app::api::calls::{Event as Occurrence, IfSilent, Order, PlacementName, Report, TakeAnswer};

use crate::machine::{Flight, Phase, Process};
use crate::rules::Rule;
use crate::words::name;
use crate::world::{Due, KEEPALIVE, TICK_MS, World};

impl World {
    pub(crate) fn kill_overdue(&mut self, at: usize) {
        let machine = &self.machines[at];
        if self.now_ms() < machine.disk.deadline_ms {
            return;
        }
        let overdue: Vec<_> =
            machine.live().filter(|(_, process)| !process.keep).map(|(placement, _)| placement.clone()).collect();
        for placement in overdue {
            self.end(at, &placement, Occurrence::Deadline { silent_ms: KEEPALIVE * TICK_MS });
        }
    }

    /// Gives an event to an agent, and makes due what it does about it.
    pub(crate) fn handle(&mut self, at: usize, event: Event) {
        let now_ms = self.now_ms();
        let machine = Rc::make_mut(&mut self.machines[at]);
        let Some(core) = &mut machine.core else { return };
        for action in core.handle(now_ms, event) {
            self.due.push_back(match action {
                Action::Send { ticket, call, timeout_ms } => {
                    let call = Rc::new(call);
                    machine.flights.insert(ticket, Flight { until_ms: now_ms + timeout_ms, call: Rc::clone(&call) });
                    if ticket.lane == Lane::Register {
                        machine.registered = ticket.number;
                    }
                    Due::Call { machine: at, run: machine.run, ticket, call }
                }
                action => Due::Act { machine: at, action },
            });
        }
    }

    pub(crate) fn act(&mut self, at: usize, action: Action) {
        let now_ms = self.now_ms();
        let is_raised_late = self.breaks(Rule::IncarnationIsRaised);
        let machine = Rc::make_mut(&mut self.machines[at]);
        let disk = &mut machine.disk;
        match action {
            Action::RaiseIncarnation(incarnation) if !is_raised_late => {
                disk.incarnation = incarnation;
            }
            Action::ExtendLease { deadline_ms, .. } => disk.deadline_ms = deadline_ms,
            Action::Start(order) => {
                let keep = order.if_silent == IfSilent::Keep;
                disk.processes.insert(
                    order.placement.clone(),
                    Process { keep, start_by_ms: disk.deadline_ms, owns: order.owns, phase: Phase::Intended },
                );
                self.due.push_back(Due::Exec { machine: at, placement: order.placement });
            }
            Action::Stop(placement, request) => {
                let event = match request.cause {
                    Cause::Stop => Occurrence::StopOrder,
                    Cause::Drain | Cause::Kill => Occurrence::DrainOrder,
                };
                // A shim looks for the request right before its process begins.
                if disk.processes.get(&placement).is_some_and(|process| process.phase == Phase::Intended) {
                    return self.end(at, &placement, event);
                }
                self.due.push_back(Due::Die { machine: at, placement, event });
            }
            Action::Settle(end) => {
                disk.processes.remove(&end.placement);
                disk.settled.push((now_ms, end));
            }
            Action::Exit(farewell) => {
                machine.stop();
                machine.is_gone = farewell != Farewell::Removed;
            }
            Action::RaiseIncarnation(_) | Action::Forget(_) | Action::Say(_) | Action::Send { .. } => {}
        }
    }

    /// The shim checks the deadline right before its process begins.
    pub(crate) fn exec(&mut self, at: usize, placement: &PlacementName) {
        let now_ms = self.now_ms();
        let is_unchecked = self.breaks(Rule::DeadlineIsCheckedBeforeExec);
        let machine = Rc::make_mut(&mut self.machines[at]);
        let lease_ms = machine.disk.deadline_ms;
        let Some(process) = machine.disk.processes.get_mut(placement) else { return };
        if process.phase != Phase::Intended {
            return;
        }
        let deadline_ms = lease_ms.min(process.start_by_ms);
        if now_ms >= deadline_ms && !is_unchecked {
            return self.end(at, placement, Occurrence::NotStarted);
        }
        process.phase = Phase::Live;
        self.check_start(placement);
        self.handle(at, Event::Happened(Happening::Started(placement.clone())));
    }

    /// A process is over.
    pub(crate) fn end(&mut self, at: usize, placement: &PlacementName, event: Occurrence) {
        let end = Report { placement: placement.clone(), event, output: None };
        self.tell(|| format!("machine {at}: {} is over: {:?}", name(placement), end.event));
        if let Some(process) = Rc::make_mut(&mut self.machines[at]).disk.processes.get_mut(placement) {
            process.phase = Phase::Over(end.clone());
        }
        self.handle(at, Event::Happened(Happening::Ended(end)));
    }

    /// An answer reaches the agent that waits for it.
    pub(crate) fn answer(&mut self, at: usize, run: u32, ticket: Ticket, answer: &Answer) {
        let machine = &mut self.machines[at];
        if machine.run != run || machine.core.is_none() || (machine.is_cut && !matches!(answer, Answer::Unreachable(_)))
        {
            return;
        }
        let Some(flight) = Rc::make_mut(machine).flights.remove(&ticket) else { return };
        self.check_acknowledged(&flight.call, answer);
        self.handle(at, Event::Answered(ticket, answer.clone()));
        self.believe_dropped(at, ticket, answer);
    }

    /// The broken agents: one believes answers to calls before its registration, one starts again what is over, one
    /// starts a second attempt while the first lives.
    fn believe_dropped(&mut self, at: usize, ticket: Ticket, answer: &Answer) {
        let Answer::Take(TakeAnswer { orders, .. }) = answer else { return };
        let machine = &self.machines[at];
        let is_dropped = ticket.number < machine.registered && self.breaks(Rule::AnswersBeforeRegisterAreDropped);
        for order in orders {
            let Order::Start(order) = order else { continue };
            let is_over = machine.disk.settled.iter().any(|(_, end)| end.placement == order.placement);
            let is_forgotten = is_over && self.breaks(Rule::WhatWasHandedOutIsRemembered);
            let is_hasty = machine.holds_another(&order.placement) && self.breaks(Rule::ASecondAttemptWaits);
            if is_dropped && !is_over || is_forgotten || is_hasty {
                self.due.push_back(Due::Act { machine: at, action: Action::Start(order.clone()) });
            }
        }
    }

    pub(crate) fn start_agent(&mut self, at: usize) {
        Rc::make_mut(&mut self.machines[at]).start();
        self.tell(|| format!("machine {at} starts an agent"));
        self.handle(at, Event::Tick);
    }

    pub(crate) fn crash(&mut self, at: usize) {
        Rc::make_mut(&mut self.machines[at]).stop();
        self.due.retain(|due| !matches!(due, Due::Act { machine, .. } | Due::Call { machine, .. } if *machine == at));
        self.parked.retain(|due| !matches!(due, Due::Call { machine, .. } if *machine == at));
        self.tell(|| format!("machine {at}: its agent is killed"));
    }

    pub(crate) fn cut(&mut self, at: usize, is_cut: bool) {
        Rc::make_mut(&mut self.machines[at]).is_cut = is_cut;
        self.parked.retain(|due| !matches!(due, Due::Call { machine, .. } if is_cut && *machine == at));
        self.tell(|| {
            format!("machine {at} is {} the server", if is_cut { "cut off from" } else { "connected again to" })
        });
    }
}
