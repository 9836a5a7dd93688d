//! One cell with all that stands around it, and what happens in it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use app::agent::core::{Action, Answer, Call, Event, Ticket};
use app::api::calls::{Event as Occurrence, PlacementName, TakeAnswer, Verdict};
use domain::id::{Boot, CellName, ContainerId, PlannerId, Stamp, Term, WorkerId};
use domain::model::history;
use domain::model::leadership::{self, AcquireOutcome};
use domain::model::workers::RemoveHow;
use domain::model::{Mandate, MemoryRows, Rows};

use crate::checks::Witness;
use crate::choice::{Budget, Choice, Fault};
use crate::machine::{Machine, Phase};
use crate::planner::{Planner, PlannerCall, all_workers, place};
use crate::rules::{Rule, Without};

/// How much of the agents' time one tick is: more than any call takes.
pub(crate) const TICK_MS: u64 = 10_000;
/// In ticks.
pub(crate) const KEEPALIVE: u64 = 2;
/// Less than a tick: clocks here agree.
pub(crate) const GRACE: u64 = 0;
/// How long a tick's silence takes to be given up, and some more.
const LONG: u64 = 2 * (KEEPALIVE + GRACE + 1);

/// Everything there is.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// What is broken here.
    pub(crate) without: Without,
    pub(crate) now: u64,
    pub(crate) horizon: u64,
    /// Faults strike the first so many machines.
    pub(crate) struck: usize,
    pub(crate) boots: u64,
    pub(crate) store: Rc<MemoryRows>,
    /// What the store was when somebody copied it.
    pub(crate) copy: Option<Rc<MemoryRows>>,
    pub(crate) containers: Vec<ContainerId>,
    pub(crate) machines: Vec<Rc<Machine>>,
    pub(crate) planners: Vec<Planner>,
    /// What happens at once, in order.
    pub(crate) due: VecDeque<Due>,
    /// What is late.
    pub(crate) held: Vec<Due>,
    /// Takes that wait at the server for their first order.
    pub(crate) parked: Vec<Due>,
    pub(crate) budget: Budget,
    pub(crate) witness: Witness,
    pub(crate) violation: Option<String>,
    /// What happened, in words, if somebody wants to know.
    pub(crate) story: Option<Vec<String>>,
}

/// Something about to happen.
#[derive(Debug, Clone)]
pub(crate) enum Due {
    /// An agent acts.
    Act { machine: usize, action: Action },
    /// An agent calls.
    Call { machine: usize, run: u32, ticket: Ticket, call: Rc<Call> },
    /// An agent is answered.
    Answer { machine: usize, run: u32, ticket: Ticket, answer: Rc<Answer> },
    /// A shim starts its process.
    Exec { machine: usize, placement: PlacementName },
    /// A process dies of what it was told.
    Die { machine: usize, placement: PlacementName, event: Occurrence },
    /// A planner looks who is silent.
    Poll(usize),
    /// A planner calls.
    Plan { planner: usize, call: Rc<PlannerCall> },
    /// Somebody calls.
    User(UserCall),
}

/// What users and operators say.
#[derive(Debug, Clone)]
pub(crate) enum UserCall {
    Stop(ContainerId),
    Drain(WorkerId),
    Remove(WorkerId, RemoveHow),
}

impl World {
    pub(crate) fn breaks(&self, rule: Rule) -> bool {
        self.without.breaks(rule)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now * TICK_MS
    }

    pub(crate) fn tell(&mut self, words: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(words());
        }
    }

    /// Lets one thing happen, and all that follows from it without a choice.
    pub(crate) fn take(&mut self, choice: Choice) {
        self.choose(choice);
        self.settle();
    }

    /// Does what is due until something can go wrong, or nothing is due.
    pub(crate) fn settle(&mut self) {
        while self.violation.is_none() {
            if !self.due.is_empty() {
                if self.choices().len() > 1 {
                    return;
                }
                self.choose(Choice::Go);
            } else if !self.wake_takes() && !self.plan() {
                return;
            }
        }
    }

    fn choose(&mut self, choice: Choice) {
        if let Some(fault) = choice.fault() {
            self.budget.spend(fault);
        }
        match choice {
            Choice::Go => self.meet(None),
            Choice::Meets(fault) => self.meet(Some(fault)),
            Choice::Arrive(at) => {
                let due = self.held.remove(at);
                self.tell(|| format!("what was late comes now: {due}"));
                self.go(due, true);
            }
            Choice::Tick => self.tick(),
            Choice::Restart(at) => self.start_agent(at),
            Choice::Heal(at) => self.cut(at, false),
            Choice::Befalls(fault, at) => self.befall(fault, at),
        }
        self.check_processes();
    }

    /// What is due happens, or meets a fault.
    fn meet(&mut self, fault: Option<Fault>) {
        use Fault::{
            Crash, Elsewhere, LateAnswer, LateCall, LatePlan, LateWord, LostAnswer, LostCall, LostPlan, Repeated,
            RepeatedPlan, Slow, Swap, Unread,
        };
        let due = self.due.pop_front().expect("something is due");
        match fault {
            Some(Unread) => self.tell(|| "the beats are left unread".to_owned()),
            Some(Swap) => {
                self.put_back();
                self.tell(|| format!("the store does not know; {due}"));
                self.go(due, true);
            }
            Some(LostCall | LostPlan) => self.tell(|| format!("{due}; the call is lost")),
            Some(LostAnswer) => {
                self.tell(|| format!("{due}; the answer is lost"));
                self.go(due, false);
            }
            Some(LateCall | LatePlan | LateWord | Slow) => {
                self.tell(|| format!("{due}; that will be late"));
                self.held.push(due);
            }
            Some(LateAnswer) => {
                self.tell(|| format!("{due}; the answer will be late"));
                self.hold_answer(due);
            }
            Some(Repeated | RepeatedPlan) => {
                self.tell(|| format!("{due}; the call will come once more"));
                self.held.push(due.clone());
                self.go(due, true);
            }
            Some(Elsewhere) => {
                let Due::Plan { planner, .. } = due else { return };
                let fleet = all_workers(&self.store).into_iter().rev().collect();
                let call = Rc::new(PlannerCall::Commit(place(fleet, &self.store)));
                self.due.push_front(Due::Plan { planner, call });
            }
            Some(Crash) => {
                let (Due::Act { machine, .. } | Due::Call { machine, .. }) = &due else { return };
                self.tell(|| format!("about to happen: {due}"));
                self.crash(*machine);
            }
            _ => {
                if !due.is_dull() {
                    self.tell(|| due.to_string());
                }
                self.go(due, true);
            }
        }
    }

    /// What comes from outside, at a time when nothing is due.
    fn befall(&mut self, fault: Fault, at: usize) {
        match fault {
            Fault::Crash => self.crash(at),
            Fault::Join => self.start_agent(at),
            Fault::Cut => self.cut(at, true),
            Fault::Destroy => {
                self.crash(at);
                let machine = Rc::make_mut(&mut self.machines[at]);
                machine.is_gone = true;
                machine.disk.processes.clear();
                self.tell(|| format!("machine {at} is destroyed, with all that ran on it"));
            }
            Fault::Exit => {
                let placement = self.machines[at].first_live().expect("something lives");
                self.end(at, &placement, Occurrence::Exited { code: 0 });
            }
            Fault::Reopen => {
                self.tell(|| "the store is closed and opened: it forgets the numbers".to_owned());
                self.open(&Rc::clone(&self.store));
            }
            Fault::Copy => {
                self.tell(|| "the store is copied".to_owned());
                self.copy = Some(Rc::clone(&self.store));
            }
            Fault::Restore => self.restore(),
            Fault::Takeover => self.take_over(),
            Fault::Stop => self.due.push_back(Due::User(UserCall::Stop(self.containers[at].clone()))),
            Fault::Drain => self.due.push_back(Due::User(UserCall::Drain(self.machines[at].worker()))),
            Fault::Remove | Fault::Mistake => {
                let worker = self.machines[at].worker();
                let how = self.called_lost(&worker).expect("the server would hear of it");
                self.due.push_back(Due::User(UserCall::Remove(worker, how)));
            }
            fault => unreachable!("{fault:?} befalls what is due"),
        }
    }

    /// Opens these rows: another boot, and all connections are new.
    fn open(&mut self, rows: &Rc<MemoryRows>) {
        self.boots += 1;
        self.store = Rc::new(MemoryRows::clone(rows).reopened(Boot::from_random(self.boots)));
        for due in std::mem::take(&mut self.parked) {
            if let Due::Call { machine, run, ticket, .. } = due {
                self.answer(machine, run, ticket, &Answer::Unreachable("closed".to_owned()));
            }
        }
    }

    /// The copy is put back, and the store knows it.
    fn restore(&mut self) {
        self.put_back();
        if !self.breaks(Rule::ANewHistoryBegins) {
            self.step(history::rewind);
        }
        if self.breaks(Rule::TheCellSettles) {
            self.unsettle();
        }
    }

    fn put_back(&mut self) {
        self.tell(|| "the copy is put back: what was written since is lost".to_owned());
        let copy = self.copy.take().expect("there is a copy");
        self.open(&copy);
        self.forget_lost();
    }

    fn go(&mut self, due: Due, is_answered: bool) {
        match due {
            Due::Act { machine, action } => self.act(machine, action),
            Due::Call { machine, run, ticket, call } => {
                let is_waited_for =
                    self.machines[machine].run == run && self.machines[machine].flights.contains_key(&ticket);
                let answer = self.serve(machine, &call, is_waited_for);
                match answer {
                    None => self.parked.push(Due::Call { machine, run, ticket, call }),
                    Some(answer) if is_answered => self.answer(machine, run, ticket, &answer),
                    Some(_) => {}
                }
            }
            Due::Answer { machine, run, ticket, answer } => self.answer(machine, run, ticket, &answer),
            Due::Exec { machine, placement } => self.exec(machine, &placement),
            Due::Die { machine, placement, event } => {
                let process = self.machines[machine].disk.processes.get(&placement);
                if process.is_some_and(|process| !matches!(process.phase, Phase::Over(_))) {
                    self.end(machine, &placement, event);
                }
            }
            Due::Poll(at) => {
                let losses = self.planners[at].poll(self.now, &self.store);
                if self.planners[at].mandate.is_some() && !losses.is_empty() {
                    self.due.push_back(Due::Plan { planner: at, call: Rc::new(PlannerCall::Lose(losses)) });
                }
            }
            Due::Plan { planner, call } => self.serve_planner(planner, &call, is_answered),
            Due::User(call) => self.serve_user(&call),
        }
    }

    /// The server does it, and its answer is late: the agent waits for it as long as it takes.
    fn hold_answer(&mut self, due: Due) {
        let Due::Call { machine, run, ticket, call } = due else { return };
        if let Some(answer) = self.serve(machine, &call, true) {
            if let Some(flight) = Rc::make_mut(&mut self.machines[machine]).flights.get_mut(&ticket) {
                flight.until_ms = u64::MAX;
            }
            self.held.push(Due::Answer { machine, run, ticket, answer: Rc::new(answer) });
        } else {
            self.parked.push(Due::Call { machine, run, ticket, call });
        }
    }

    /// Time passes: what may not live any longer dies, calls are given up, and everybody looks at the clock.
    fn tick(&mut self) {
        self.now += 1;
        let now = self.now;
        self.tell(|| format!("time is {now}"));
        for at in 0..self.machines.len() {
            self.kill_overdue(at);
        }
        for due in std::mem::take(&mut self.parked) {
            let Due::Call { machine, run, ticket, call } = due else { continue };
            let Call::Take(call) = &*call else { continue };
            let (upto, revision) = (call.after.clone(), call.caller.revision);
            let nothing = TakeAnswer { verdict: Verdict::Ok, orders: Vec::new(), upto, revision };
            self.answer(machine, run, ticket, &Answer::Take(nothing));
        }
        // Those that faults strike come last: everybody else is ahead of them.
        for at in (0..self.machines.len()).rev() {
            for ticket in self.machines[at].overdue(self.now_ms()) {
                Rc::make_mut(&mut self.machines[at]).flights.remove(&ticket);
                self.handle(at, Event::Answered(ticket, Answer::Unreachable(String::new())));
            }
            self.handle(at, Event::Tick);
        }
        self.due.extend((0..self.planners.len()).filter(|at| self.planners[*at].mandate.is_some()).map(Due::Poll));
    }

    /// Another planner saw the same stamp for long enough.
    pub(crate) fn take_over(&mut self) {
        let planner = PlannerId::new(&format!("p{}", self.planners.len() + 1)).unwrap();
        let cell = read(self.store.cell());
        let expected = cell.planner.as_ref().map(|planner| (cell.term, planner.stamp));
        if let Some(mandate) = self.acquire(&planner, expected) {
            self.tell(|| format!("planner {planner} takes over in term {}", mandate.term));
            self.planners.push(Planner::new(mandate));
        }
    }

    pub(crate) fn acquire(&mut self, planner: &PlannerId, expected: Option<(Term, Stamp)>) -> Option<Mandate> {
        let main = CellName::new("main").unwrap();
        match self.step(|rows| leadership::acquire(rows, &main, planner, expected)) {
            AcquireOutcome::Acquired(mandate) => {
                self.witness.mandate = Some((mandate.planner.clone(), mandate.term, mandate.mark.history));
                Some(mandate)
            }
            AcquireOutcome::Held { .. } => None,
        }
    }

    /// A planner places what it can; whether one had something to say.
    fn plan(&mut self) -> bool {
        for at in 0..self.planners.len() {
            if self.planners[at].mandate.is_some()
                && let Some(commit) = self.planners[at].plan(&self.store)
            {
                self.due.push_back(Due::Plan { planner: at, call: Rc::new(PlannerCall::Commit(commit)) });
                return true;
            }
        }
        false
    }

    /// Takes that wait go on once there is something to hand out; whether one does.
    fn wake_takes(&mut self) -> bool {
        let woken = self.parked.iter().position(|due| match due {
            Due::Call { machine, call, .. } => self.has_orders(*machine, call),
            _ => false,
        });
        self.due.extend(woken.map(|at| self.parked.remove(at)));
        woken.is_some()
    }

    /// Ends a way: what is due is done, come what may, and then the world rests.
    pub(crate) fn finish(&mut self) {
        self.budget = Budget::default();
        self.settle();
        if self.violation.is_none() {
            self.rest();
        }
    }

    /// Faults stop, and everything is done that can be; every container must come to an end, or wait for a reason.
    fn rest(&mut self) {
        self.tell(|| "faults stop".to_owned());
        for due in std::mem::take(&mut self.held) {
            if matches!(due, Due::Exec { .. } | Due::Die { .. }) {
                self.due.push_back(due);
            }
        }
        for at in 0..self.machines.len() {
            for flight in Rc::make_mut(&mut self.machines[at]).flights.values_mut() {
                flight.until_ms = 0;
            }
            if self.machines[at].is_cut {
                self.cut(at, false);
            }
            if self.machines[at].core.is_none() && self.machines[at].run > 0 && !self.machines[at].is_gone {
                self.start_agent(at);
            }
        }
        self.settle();
        if self.witness.mandate != self.present_mandate() {
            self.take_over();
        }
        for turn in 0..3 * LONG {
            self.choose(Choice::Tick);
            self.settle();
            if turn >= LONG {
                self.exit_all();
            }
            if self.violation.is_some() || turn >= LONG && self.all_ended() {
                return;
            }
        }
        self.check_all_ended();
    }

    fn exit_all(&mut self) {
        for at in 0..self.machines.len() {
            while let Some(placement) = self.machines[at].first_live() {
                self.end(at, &placement, Occurrence::Exited { code: 0 });
                self.settle();
            }
        }
    }
}

pub(crate) fn read<T>(answer: Result<T, Infallible>) -> T {
    let Ok(answer) = answer;
    answer
}
