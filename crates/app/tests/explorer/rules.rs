//! Each rule of the protocol, broken alone: the explorer must find what that breaks.

use crate::choice::Fault::{
    self, Copy, Crash, Cut, Drain, Elsewhere, Exit, Join, LateAnswer, LateCall, LatePlan, LateWord, LostCall, Remove,
    Reopen, Repeated, Restore, Slow, Stop, Takeover,
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
            Self::AStopKeepsTheRoom => "S3",
            Self::AMandateIsFenced | Self::AMandateIsFencedByMoreThanItsTerm => "S5",
            Self::OrdersNotStartedAreReported => "L1",
            _ => "S1",
        }
    }
}

/// Finds what `rule` breaks, in a scenario where it is found soon, and prints the way there.
fn breaks(rule: Rule, scenario: &Scenario) {
    let found = scenario.search(Some(rule));
    let trace = found.violation.unwrap_or_else(|| panic!("{rule:?}: nothing breaks in {} states", found.states));
    println!("without {rule:?}, after {} states:\n{trace}", found.states);
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
    breaks(Rule::RemovalNamesTheIncarnation, &two(&[(Crash, 1), (Remove, 1), (LateWord, 1)]));
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
