//! Each rule of the protocol, broken alone: the explorer must find what that breaks.

use crate::choice::Choice;
use crate::choice::Fault::{
    self, Copy, Crash, Cut, Drain, Elsewhere, Exit, Join, LateAnswer, LateCall, LatePlan, LateWord, LostCall, LostPlan,
    Mistake, Remove, Reopen, Repeated, Restore, Slow, Stop, Swap, Takeover,
};
use crate::scenario::{KEEP, Scenario};

/// A rule that a world can be without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    LoseNamesTheNumber,
    LoseNamesTheBoot,
    EveryCallMovesTheNumber,
    TheGreatestNumberIsKept,
    ALostWorkersCallsAreRefused,
    RefusalsMoveNoDeadline,
    IncarnationsAreCompared,
    IncarnationIsRaised,
    AnswersBeforeRegisterAreDropped,
    DeadlineIsCheckedBeforeExec,
    WhatWasHandedOutIsRemembered,
    EndsTravelInRegister,
    EndsAreAcceptedWhilePending,
    OnlyTheSameKeySpeaksForAWorker,
    RemovalNamesTheIncarnation,
    AStopKeepsTheRoom,
    ADrainedOneThatEndedKeepsItsEnd,
    AStopPrevailsOverADrain,
    OrdersNotStartedAreReported,
    AMandateIsFenced,
    AMandateIsFencedByMoreThanItsTerm,
    ANewHistoryBegins,
    TheCellSettles,
    AStopWaitsForTheSettling,
    AKillMakesIncomplete,
    ASecondAttemptWaits,
    IdentityIncludesTheHistory,
    AMarkBeyondIsNoticed,
    RemovalNamesTheNumber,
    RemovalWaitsForSilence,
    RemovalWaitsForSilenceOfTheRun,
}

/// What a world is without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Without {
    rules: [Option<Rule>; 2],
    /// The only promise that is looked at, if not all are.
    pub(crate) promise: Option<&'static str>,
}

impl Without {
    pub(crate) const NOTHING: Self = Self { rules: [None, None], promise: None };

    /// One rule.
    fn one(rule: Rule) -> Self {
        Self { rules: [Some(rule), None], promise: Some(rule.promise()) }
    }

    /// Two rules, each of which covers the other as far as this promise goes.
    fn both(rule: Rule, other: Rule, promise: &'static str) -> Self {
        Self { rules: [Some(rule), Some(other)], promise: Some(promise) }
    }

    pub(crate) fn breaks(&self, rule: Rule) -> bool {
        self.rules.contains(&Some(rule))
    }
}

impl Rule {
    /// The promise that breaks without it.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Self::WhatWasHandedOutIsRemembered
            | Self::EndsTravelInRegister
            | Self::EndsAreAcceptedWhilePending
            | Self::ADrainedOneThatEndedKeepsItsEnd
            | Self::AStopPrevailsOverADrain
            | Self::AStopWaitsForTheSettling => "S2",
            Self::AStopKeepsTheRoom | Self::AKillMakesIncomplete => "S3",
            Self::AMandateIsFenced | Self::AMandateIsFencedByMoreThanItsTerm => "S5",
            Self::OrdersNotStartedAreReported | Self::IdentityIncludesTheHistory => "L1",
            _ => "S1",
        }
    }
}

/// Finds what `rule` breaks, in a scenario where it is found soon, and prints the way there.
fn breaks(rule: Rule, scenario: &Scenario) {
    without_breaks(Without::one(rule), scenario);
}

/// The same, and that nothing breaks there with all rules.
fn breaks_alone(rule: Rule, scenario: &Scenario) {
    breaks(rule, scenario);
    scenario.search_all(&format!("with {rule:?}"));
}

fn without_breaks(without: Without, scenario: &Scenario) {
    let found = scenario.search(without);
    let trace = found.violation.unwrap_or_else(|| panic!("{without:?}: nothing breaks in {} states", found.states));
    println!("{without:?}, after {} states:\n{trace}", found.states);
}

/// A second machine, which faults spare.
const TWO: Scenario = Scenario { machines: &[("w1", "k1", true), ("w2", "k2", true)], ..Scenario::ONE };

const fn one(budget: &'static [(Fault, u8)]) -> Scenario {
    Scenario { budget, ..Scenario::ONE }
}

const fn two(budget: &'static [(Fault, u8)]) -> Scenario {
    Scenario { budget, ..TWO }
}

#[test]
fn lose_names_the_number() {
    breaks(Rule::LoseNamesTheNumber, &two(&[(Cut, 1), (LatePlan, 1)]));
}

#[test]
fn lose_names_the_boot() {
    let budget = &[(LostCall, 1), (Cut, 1), (LatePlan, 1), (Reopen, 1)];
    breaks(Rule::LoseNamesTheBoot, &Scenario { horizon: 6, ..two(budget) });
}

#[test]
fn every_call_moves_the_number() {
    breaks(Rule::EveryCallMovesTheNumber, &Scenario { horizon: 5, ..two(&[(LostCall, 4)]) });
}

#[test]
fn the_greatest_number_is_kept() {
    let budget = &[(Cut, 1), (LatePlan, 1), (Repeated, 1)];
    breaks(Rule::TheGreatestNumberIsKept, &Scenario { horizon: 6, ..two(budget) });
}

#[test]
fn a_lost_workers_calls_are_refused() {
    breaks(Rule::ALostWorkersCallsAreRefused, &two(&[(Cut, 1), (LateAnswer, 1)]));
}

#[test]
fn refusals_move_no_deadline() {
    breaks(Rule::RefusalsMoveNoDeadline, &two(&[(Cut, 1), (Slow, 1), (LostCall, 1)]));
}

#[test]
fn incarnations_are_compared() {
    let machines = &[("w1", "k1", true), ("w2", "k2", false)];
    breaks(Rule::IncarnationsAreCompared, &Scenario { machines, ..one(&[(LateCall, 1), (Join, 1), (Elsewhere, 1)]) });
}

#[test]
fn an_incarnation_is_raised_before_it_is_told() {
    breaks(Rule::IncarnationIsRaised, &two(&[(Crash, 1)]));
}

#[test]
fn answers_before_a_registration_are_dropped() {
    breaks(Rule::AnswersBeforeRegisterAreDropped, &two(&[(Cut, 1), (LateAnswer, 1)]));
}

#[test]
fn the_deadline_is_checked_right_before_exec() {
    breaks(Rule::DeadlineIsCheckedBeforeExec, &two(&[(Cut, 1), (Slow, 1)]));
}

#[test]
fn what_was_handed_out_is_remembered() {
    breaks(Rule::WhatWasHandedOutIsRemembered, &one(&[(Crash, 1), (LateAnswer, 1), (Exit, 1)]));
}

#[test]
fn ends_travel_in_a_registration() {
    breaks(Rule::EndsTravelInRegister, &one(&[(Crash, 1), (Exit, 1)]));
}

#[test]
fn ends_are_accepted_while_pending() {
    breaks(Rule::EndsAreAcceptedWhilePending, &one(&[(Cut, 1), (Exit, 1)]));
}

#[test]
fn only_the_same_key_speaks_for_a_worker() {
    let machines = &[("w1", "k1", true), ("w1", "k2", false), ("w2", "k3", true)];
    let scenario = Scenario { machines, containers: &[KEEP], struck: 2, ..one(&[(Join, 1), (Cut, 1)]) };
    breaks(Rule::OnlyTheSameKeySpeaksForAWorker, &scenario);
}

#[test]
fn a_removal_names_the_incarnation() {
    breaks_alone(
        Rule::RemovalNamesTheIncarnation,
        &Scenario { horizon: 5, ..two(&[(Crash, 1), (LostPlan, 1), (Remove, 1), (LateWord, 1)]) },
    );
}

#[test]
fn a_stop_keeps_the_room() {
    breaks(Rule::AStopKeepsTheRoom, &one(&[(Stop, 1)]));
}

#[test]
fn a_drained_one_that_ended_keeps_its_end() {
    breaks(Rule::ADrainedOneThatEndedKeepsItsEnd, &one(&[(Drain, 1), (Exit, 1), (Slow, 1)]));
}

#[test]
fn a_stop_prevails_over_a_drain() {
    breaks(Rule::AStopPrevailsOverADrain, &one(&[(Drain, 1), (Stop, 1), (Slow, 1)]));
}

#[test]
fn orders_not_started_are_reported() {
    breaks(Rule::OrdersNotStartedAreReported, &one(&[(Cut, 1), (Slow, 1)]));
}

#[test]
fn a_mandate_is_fenced() {
    breaks(Rule::AMandateIsFenced, &one(&[(Takeover, 1), (LatePlan, 1)]));
}

#[test]
fn a_mandate_is_fenced_by_more_than_its_term() {
    let budget = &[(Copy, 1), (Restore, 1), (Takeover, 2), (LatePlan, 1)];
    breaks(Rule::AMandateIsFencedByMoreThanItsTerm, &one(budget));
}

/// Callers who saw more than is left would tell the store; but a planner that places before any of them calls does not.
#[test]
fn a_new_history_begins_where_writes_were_lost() {
    let budget = &[(LatePlan, 1), (Cut, 1), (Copy, 1), (Restore, 1), (Elsewhere, 1)];
    breaks(Rule::ANewHistoryBegins, &Scenario { horizon: 4, ..two(budget) });
}

#[test]
fn the_cell_settles_before_it_places() {
    let budget = &[(LatePlan, 1), (Cut, 1), (Copy, 1), (Restore, 1), (Elsewhere, 1)];
    breaks(Rule::TheCellSettles, &Scenario { horizon: 4, ..two(budget) });
}

#[test]
fn a_stop_waits_for_the_settling() {
    breaks(
        Rule::AStopWaitsForTheSettling,
        &Scenario { horizon: 6, ..one(&[(LatePlan, 1), (Copy, 1), (Restore, 1), (Stop, 1)]) },
    );
}

/// An agent is killed while the process of what is to be kept lives on, and an operator calls its worker lost: it comes
/// back with what it may not run, and that dies slowly.
const CALLED_LOST: Scenario =
    Scenario { containers: &[KEEP], horizon: 5, ..one(&[(Crash, 1), (Mistake, 1), (Slow, 1)]) };

/// The room of what it may not run is given away while that still dies.
#[test]
fn a_kill_makes_a_registration_incomplete() {
    breaks_alone(Rule::AKillMakesIncomplete, &CALLED_LOST);
}

/// What a worker may not run is another attempt of something that waits or runs elsewhere. To run it twice, the worker
/// itself would have to be handed the next attempt while the one before dies; but the agent lets that wait for the end
/// of the other. So as far as processes go, one rule covers the other: both have to be broken.
#[test]
fn a_kill_runs_nothing_twice_while_a_second_attempt_waits() {
    for rule in [Rule::AKillMakesIncomplete, Rule::ASecondAttemptWaits] {
        let found = CALLED_LOST.search(Without { promise: Some("S1"), ..Without::one(rule) });
        assert!(found.violation.is_none(), "{rule:?} alone breaks S1: {}", found.violation.unwrap());
    }
    without_breaks(Without::both(Rule::AKillMakesIncomplete, Rule::ASecondAttemptWaits, "S1"), &CALLED_LOST);
}

/// An attempt of the new history has the number of one that a worker remembers of the old: its order is taken for one
/// that was obeyed before. A worker tells what it remembers when it registers, and what nobody placed since is counted
/// on from there. So it takes two attempts in the part that is lost, whose worker is away until the first of the new
/// history is placed.
#[test]
fn an_identity_includes_the_history() {
    let before = &[
        Choice::Meets(LatePlan),
        Choice::Befalls(Copy, 0),
        Choice::Arrive(0),
        Choice::Befalls(Cut, 0),
        Choice::Tick,
        Choice::Tick,
        Choice::Heal(0),
        Choice::Tick,
        Choice::Befalls(Cut, 0),
        Choice::Befalls(Restore, 0),
    ];
    breaks_alone(Rule::IdentityIncludesTheHistory, &Scenario { before, horizon: 16, ..two(&[(Drain, 1)]) });
}

#[test]
fn a_mark_beyond_what_is_left_is_noticed() {
    breaks_alone(Rule::AMarkBeyondIsNoticed, &two(&[(LatePlan, 1), (Copy, 1), (Swap, 1), (Elsewhere, 1)]));
}

#[test]
fn a_removal_names_the_number() {
    breaks_alone(
        Rule::RemovalNamesTheNumber,
        &Scenario { horizon: 5, ..two(&[(Cut, 1), (LostPlan, 1), (Mistake, 1), (LateWord, 1)]) },
    );
}

#[test]
fn a_removal_waits_for_silence() {
    breaks_alone(Rule::RemovalWaitsForSilence, &two(&[(Mistake, 1)]));
}

/// A run that registered since the planner looked may have called as often as the one that was silent.
#[test]
fn a_removal_waits_for_the_silence_of_the_run_that_it_names() {
    breaks_alone(
        Rule::RemovalWaitsForSilenceOfTheRun,
        &Scenario { horizon: 5, ..two(&[(Crash, 1), (LostPlan, 1), (Mistake, 1)]) },
    );
}
