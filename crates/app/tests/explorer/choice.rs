//! What can happen next, and how often each fault may.

use app::agent::core::Call;
use domain::id::Mark;
use domain::model::Rows;

use crate::machine::Phase;
use crate::planner::PlannerCall;
use crate::world::{Due, World, read};

/// What goes wrong, or comes from outside. A scenario says how often each may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// An agent's call is lost.
    LostCall,
    /// The answer to an agent's call is lost.
    LostAnswer,
    /// An agent's call is late.
    LateCall,
    /// The answer to an agent's call is late.
    LateAnswer,
    /// An agent's call arrives once more, later.
    Repeated,
    /// A planner's call is lost.
    LostPlan,
    /// A planner's call is late.
    LatePlan,
    /// A planner's call arrives once more, later.
    RepeatedPlan,
    /// A planner prefers the last worker to the first.
    Elsewhere,
    /// What somebody asks for is late.
    LateWord,
    /// A process starts late, or dies late of what it was told.
    Slow,
    /// An agent dies, and may start again. Its processes live on.
    Crash,
    /// A machine is gone for good, with all that ran on it.
    Destroy,
    /// A machine reaches no server for a while.
    Cut,
    /// The store is closed and opened.
    Reopen,
    /// Somebody makes a copy of the store.
    Copy,
    /// The copy is put back: all that was written since is lost.
    Restore,
    /// The copy is put back right before a call arrives whose caller has seen more, and nobody else tells the store.
    Swap,
    /// A planner leaves the beats unread for a tick.
    Unread,
    /// Another planner takes over.
    Takeover,
    /// Somebody stops a container.
    Stop,
    /// Somebody drains a worker.
    Drain,
    /// Somebody calls a worker lost whose processes are truly gone.
    Remove,
    /// Somebody calls a worker lost that lives.
    Mistake,
    /// A process ends by itself.
    Exit,
    /// A machine that was not there yet starts its agent.
    Join,
}

const FAULTS: usize = Fault::Join as usize + 1;

/// How often each fault may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Budget([u8; FAULTS]);

impl Budget {
    pub(crate) fn new(faults: &[(Fault, u8)]) -> Self {
        let mut budget = Self::default();
        for (fault, times) in faults {
            budget.0[*fault as usize] += *times;
        }
        budget
    }

    pub(crate) fn allows(&self, fault: Fault) -> bool {
        self.0[fault as usize] > 0
    }

    pub(crate) fn spend(&mut self, fault: Fault) {
        self.0[fault as usize] -= 1;
    }
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// What is due first happens.
    Go,
    /// It meets this instead.
    Meets(Fault),
    /// Time passes.
    Tick,
    /// Something late arrives.
    Arrive(usize),
    /// A machine's agent starts again.
    Restart(usize),
    /// A machine is connected again.
    Heal(usize),
    /// This befalls a machine, a container, or the store.
    Befalls(Fault, usize),
}

impl Choice {
    pub(crate) fn fault(self) -> Option<Fault> {
        match self {
            Self::Meets(fault) | Self::Befalls(fault, _) => Some(fault),
            _ => None,
        }
    }
}

impl World {
    /// What can happen next; nothing if time is over, or nothing but time is left.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let mut choices = match self.due.front() {
            Some(due) => {
                let faults = self.faults_of(due).iter().map(|fault| Choice::Meets(*fault));
                let swap = self.shows_more_than_the_copy(due).then_some(Choice::Meets(Fault::Swap));
                [Choice::Go].into_iter().chain(faults).chain(swap).collect()
            }
            None if self.now >= self.horizon => Vec::new(),
            None => self.free_choices(),
        };
        choices.retain(|choice| choice.fault().is_none_or(|fault| self.budget.allows(fault)));
        if choices == [Choice::Tick] && self.budget == Budget::default() {
            choices.clear();
        }
        choices
    }

    /// What can go wrong with one thing.
    fn faults_of(&self, due: &Due) -> &'static [Fault] {
        use Fault::{
            Crash, Elsewhere, LateAnswer, LateCall, LatePlan, LateWord, LostAnswer, LostCall, LostPlan, Repeated,
            RepeatedPlan, Slow, Unread,
        };
        match due {
            Due::Act { machine, .. }
            | Due::Call { machine, .. }
            | Due::Exec { machine, .. }
            | Due::Die { machine, .. }
                if *machine >= self.struck =>
            {
                &[]
            }
            Due::Call { machine, .. } if self.machines[*machine].is_cut => &[Crash],
            Due::Call { .. } => &[LostCall, LostAnswer, LateCall, LateAnswer, Repeated, Crash],
            Due::Act { .. } => &[Crash],
            Due::Exec { .. } | Due::Die { .. } => &[Slow],
            Due::Plan { call, .. } => match **call {
                PlannerCall::Commit(_) => &[LostPlan, LatePlan, RepeatedPlan, Elsewhere],
                PlannerCall::Lose(_) => &[LostPlan, LatePlan, RepeatedPlan],
            },
            Due::User(_) => &[LateWord],
            Due::Poll(_) => &[Unread],
            Due::Answer { .. } => &[],
        }
    }

    fn free_choices(&self) -> Vec<Choice> {
        use Choice::Befalls;
        let mut choices = vec![Choice::Tick];
        choices.extend((0..self.held.len()).map(Choice::Arrive));
        let joining = self.machines.iter().position(|machine| machine.run == 0);
        choices.extend(joining.map(|at| Befalls(Fault::Join, at)));
        for (at, machine) in self.machines.iter().enumerate().take(self.struck).filter(|(_, machine)| machine.run > 0) {
            if machine.core.is_some() {
                choices.push(Befalls(Fault::Crash, at));
                choices.push(if machine.is_cut { Choice::Heal(at) } else { Befalls(Fault::Cut, at) });
            } else if !machine.is_gone {
                choices.push(Choice::Restart(at));
            }
            choices.push(Befalls(Fault::Destroy, at));
            if machine.first_live().is_some() {
                choices.push(Befalls(Fault::Exit, at));
            }
            if self.called_lost(&machine.worker()).is_some() {
                let fault = if self.is_truly_gone(machine.worker) { Fault::Remove } else { Fault::Mistake };
                choices.push(Befalls(fault, at));
            }
        }
        let agents = self.machines.iter().enumerate().filter(|(_, machine)| machine.core.is_some());
        choices.extend(agents.map(|(at, _)| Befalls(Fault::Drain, at)));
        choices.extend([Fault::Reopen, Fault::Takeover, Fault::Copy].map(|fault| Befalls(fault, 0)));
        choices.extend(self.copy.is_some().then_some(Befalls(Fault::Restore, 0)));
        choices.extend((0..self.containers.len()).map(|at| Befalls(Fault::Stop, at)));
        choices
    }

    /// Whether a call comes from somebody who saw more of this history than is left once the copy is put back.
    fn shows_more_than_the_copy(&self, due: &Due) -> bool {
        let Due::Call { machine, call, .. } = due else { return false };
        let caller = match &**call {
            Call::Heartbeat(call) => call.caller,
            Call::Take(call) => call.caller,
            Call::Report(call) => call.caller,
            Call::Register(_) | Call::Drain | Call::Remove | Call::Open => return false,
        };
        let copy = self.copy.as_ref().map(|copy| read(copy.cell()).mark());
        let is_beyond = |copy: Mark| copy.history.get() == caller.history && copy.revision.0 < caller.revision;
        !self.machines[*machine].is_cut && copy.is_some_and(is_beyond)
    }

    /// Whether an operator who looks finds neither an agent nor a process of this worker.
    fn is_truly_gone(&self, worker: &str) -> bool {
        let mut machines = self.machines.iter().filter(|machine| machine.worker == worker && machine.run > 0);
        machines.all(|machine| {
            let mut processes = machine.disk.processes.values();
            machine.core.is_none() && processes.all(|process| matches!(process.phase, Phase::Over(_)))
        })
    }
}
