//! Starting, stopping, reporting.

use super::*;

#[test]
fn an_order_in_time_is_started_and_reported() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.answer_take(vec![start(&a)]);
    assert!(play.did_start(&a));
    let lease = play.done.iter().position(|action| matches!(action, Action::ExtendLease { .. }));
    let started = play.done.iter().position(|action| matches!(action, Action::Start(_)));
    assert!(lease.is_none() || lease < started, "the deadline is there before the process");
    assert!(play.is_calling(Lane::Take), "and the next are asked for at once");
    play.started(&a);
    assert_eq!(play.report_call(), [report(&a, Occurrence::Running)]);
}

#[test]
fn a_take_answered_after_its_deadline_starts_nothing_and_says_so() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.now_ms += KEEPALIVE_MS;
    play.answer_take(vec![start(&a)]);
    assert!(!play.did_start(&a));
    assert_eq!(play.report_call(), [report(&a, Occurrence::NotStarted)]);
}

#[test]
fn an_order_repeated_is_started_once() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.answer_take(vec![start(&a)]);
    play.answer_take(vec![start(&a)]);
    assert!(!play.did_start(&a));
    play.ended(&a, Occurrence::Exited { code: 0 });
    play.answer_take(vec![start(&a)]);
    assert!(!play.did_start(&a), "over, and not yet acknowledged");
    play.answer_report(&[ReportOutcome::Accepted]);
    play.pass(1_000);
    play.answer_take(vec![start(&a)]);
    assert!(!play.did_start(&a), "over and acknowledged: a late answer starts no finished container again");
}

#[test]
fn what_was_handed_out_is_remembered_for_an_hour_after_its_end() {
    let a = placement("a", 1);
    let past = Past { settled: vec![(500, report(&a, Occurrence::Exited { code: 0 }))], ..Past::default() };
    let mut play = Play::new(past);
    play.answer_register(&[]);
    play.answer_register(&[]);
    play.answer_take(vec![start(&a)]);
    assert!(!play.did_start(&a), "remembered from an earlier agent");
    play.now_ms = 500 + 60 * 60 * 1000 - 1;
    play.event(Event::Tick);
    assert!(!play.did(|action| matches!(action, Action::Forget(_))));
    play.pass(1);
    assert!(play.did(|action| *action == Action::Forget(a.clone())));
}

#[test]
fn a_second_attempt_waits_for_the_end_of_the_first() {
    let [first, second] = [1, 2].map(|attempt| placement("a", attempt));
    let mut play = Play::registered();
    play.answer_take(vec![start(&first)]);
    play.started(&first);
    play.answer_report(&[ReportOutcome::Kill]);
    assert!(play.did_stop(&first, Cause::Kill), "a refused running report is a kill");
    play.answer_take(vec![start(&second)]);
    assert!(!play.did_start(&second));
    play.ended(&first, Occurrence::DrainOrder);
    assert!(play.did_start(&second));
    assert!(!play.is_calling(Lane::Report), "nobody wants to hear how the first ended");
}

#[test]
fn an_order_not_begun_is_reported_not_started_by_the_next_registration() {
    let [first, second] = [1, 2].map(|attempt| placement("a", attempt));
    let mut play = Play::registered();
    play.run(&first);
    play.answer_take(vec![start(&second)]);
    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Register));
    let call = play.register_call();
    assert_eq!((call.holds, call.ends), (vec![hold(&first)], vec![report(&second, Occurrence::NotStarted)]));
    play.ended(&first, Occurrence::Gone);
    assert!(!play.did_start(&second));
}

#[test]
fn a_stop_order_ends_what_runs_and_is_passed_on_once() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.run(&a);
    play.answer_take(vec![stop(&a, StopCause::Drain)]);
    assert!(play.did_stop(&a, Cause::Drain));
    play.answer_take(vec![stop(&a, StopCause::Drain)]);
    assert!(!play.did_stop(&a, Cause::Drain));
    play.answer_take(vec![stop(&a, StopCause::Stop)]);
    assert!(play.did_stop(&a, Cause::Stop), "a stop turns a drain into a stop");
    play.answer_take(vec![stop(&a, StopCause::Drain)]);
    assert!(!play.did_stop(&a, Cause::Drain), "and never back");
    play.ended(&a, Occurrence::StopOrder);
    assert_eq!(play.report_call(), [report(&a, Occurrence::StopOrder)]);
}

#[test]
fn a_stop_or_drain_order_for_what_never_started_is_reported_all_the_same() {
    let mut play = Play::registered();
    let [a, b] = ["a", "b"].map(|name| placement(name, 1));
    play.answer_take(vec![stop(&a, StopCause::Stop), stop(&b, StopCause::Drain)]);
    assert_eq!(play.report_call(), [report(&a, Occurrence::StopOrder), report(&b, Occurrence::DrainOrder)]);
    play.answer_report(&[ReportOutcome::Accepted, ReportOutcome::Dropped]);
    play.pass(20);
    play.answer_take(vec![start(&a)]);
    assert!(!play.did_start(&a), "stopped is stopped");
}

#[test]
fn a_command_that_ended_by_itself_keeps_its_own_end() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.run(&a);
    play.ended(&a, Occurrence::Exited { code: 0 });
    play.answer_take(vec![stop(&a, StopCause::Drain)]);
    assert_eq!(play.report_call(), [report(&a, Occurrence::Exited { code: 0 })]);
    play.answer_report(&[ReportOutcome::Accepted]);
    play.pass(20);
    play.answer_take(vec![stop(&a, StopCause::Stop)]);
    assert_eq!(play.report_call(), [report(&a, Occurrence::Exited { code: 0 })], "who asks again has not heard it");
}

#[test]
fn reports_may_skip_running() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.answer_take(vec![start(&a)]);
    play.ended(&a, Occurrence::Exited { code: 0 });
    assert_eq!(play.report_call(), [report(&a, Occurrence::Exited { code: 0 })]);
}

#[test]
fn what_happens_while_a_report_is_under_way_goes_together_in_the_next() {
    let mut play = Play::registered();
    let names = ["a", "b", "c"].map(|name| placement(name, 1));
    play.answer_take(names.iter().map(start).collect());
    for name in &names {
        play.started(name);
    }
    assert_eq!(play.report_call().len(), 1);
    play.ended(&names[0], Occurrence::Exited { code: 0 });
    play.answer_report(&[ReportOutcome::Accepted]);
    let expected = [
        report(&names[0], Occurrence::Exited { code: 0 }),
        report(&names[1], Occurrence::Running),
        report(&names[2], Occurrence::Running),
    ];
    assert_eq!(play.report_call(), expected);
}

#[test]
fn a_report_that_failed_is_repeated_whole() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.answer_take(vec![start(&a)]);
    play.ended(&a, Occurrence::Exited { code: 0 });
    play.answer(Lane::Report, Answer::Unreachable("reset".to_owned()));
    play.pass(100);
    assert_eq!(play.report_call(), [report(&a, Occurrence::Exited { code: 0 })]);
}

#[test]
fn a_refused_end_is_dropped_and_its_record_kept() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.run(&a);
    play.ended(&a, Occurrence::Exited { code: 1 });
    play.answer_report(&[ReportOutcome::Dropped]);
    assert!(play.did(|action| *action == Action::Settle(report(&a, Occurrence::Exited { code: 1 }))));
    assert!(!play.is_calling(Lane::Report));
    play.pass(20);
    play.answer_take(vec![start(&a)]);
    assert!(!play.did_start(&a));
}

#[test]
fn an_end_not_acknowledged_travels_in_the_registration_with_its_output() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.run(&a);
    let output = Some(crate::api::calls::OutputDocument::default());
    let end = Report { placement: a.clone(), event: Occurrence::Exited { code: 0 }, output };
    play.event(Event::Happened(Happening::Ended(end.clone())));
    play.answer(
        Lane::Report,
        Answer::Report(ReportAnswer { verdict: Verdict::Register, outcomes: vec![], revision: 0 }),
    );
    assert_eq!(play.register_call().ends, [end]);
    play.answer_register(&[]);
    assert!(!play.is_calling(Lane::Report), "an accepted registration acknowledges it");
}

#[test]
fn what_an_earlier_agent_left_running_is_reported_running() {
    let a = placement("a", 1);
    let mut play = Play::new(Past { held: vec![hold(&a)], ..Past::default() });
    play.started(&a);
    play.answer_register(&[]);
    assert_eq!(play.report_call(), [report(&a, Occurrence::Running)]);
}

#[test]
fn a_report_is_bounded_in_bytes_and_never_empty() {
    let mut play = Play::registered();
    let names: Vec<_> = (0..40).map(|n| placement(&format!("c{n:02}"), 1)).collect();
    for orders in names.chunks(32) {
        play.answer_take(orders.iter().map(start).collect());
    }
    for name in &names {
        let tail = crate::api::calls::TailDocument { text: "x".repeat(16 * 1024), dropped_bytes: 0 };
        let output = Some(crate::api::calls::OutputDocument { stdout: tail.clone(), stderr: tail });
        let event = Occurrence::Exited { code: 0 };
        play.event(Event::Happened(Happening::Ended(Report { placement: name.clone(), event, output })));
    }
    let mut told = 0;
    while play.is_calling(Lane::Report) {
        let count = play.report_call().len();
        assert!((1..=16).contains(&count), "{count}");
        told += count;
        play.answer_report(&vec![ReportOutcome::Accepted; count]);
    }
    assert_eq!(told, 40);
}
