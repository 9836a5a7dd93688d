//! Registering, numbers, deadlines.

use super::*;

#[test]
fn the_incarnation_is_raised_durably_before_every_register() {
    let mut play = Play::new(Past { incarnation: 4, ..Past::default() });
    for incarnation in [5, 6] {
        let raised = play.done.iter().position(|action| *action == Action::RaiseIncarnation(incarnation));
        let sent = play.done.iter().position(|action| matches!(action, Action::Send { .. }));
        assert!(raised.is_some() && raised < sent, "{:?}", play.done);
        assert_eq!(play.register_call().incarnation, incarnation);
        play.answer(Lane::Register, Answer::Unreachable("reset".to_owned()));
        play.pass(100);
    }
}

#[test]
fn every_call_raises_the_number() {
    let mut play = Play::registered();
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let (ticket, call) = play.call(Lane::Take);
        let Call::Take(call) = call else { panic!("{call:?}") };
        assert_eq!((call.caller.incarnation, call.caller.history), (1, HISTORY));
        numbers.push(call.caller.number);
        play.event(Event::Answered(ticket, Answer::Unreachable("reset".to_owned())));
        play.pass(KEEPALIVE_MS / 5);
        let (ticket, call) = play.call(Lane::Beat);
        let Call::Heartbeat(call) = call else { panic!("{call:?}") };
        numbers.push(call.caller.number);
        play.event(Event::Answered(ticket, Answer::Heartbeat(Verdict::Ok)));
    }
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(numbers.len(), sorted.len(), "{numbers:?}");
}

#[test]
fn an_accepted_call_moves_the_deadline_to_its_sending_and_a_keepalive() {
    let mut play = Play::new(Past::default());
    play.pass(50);
    play.answer_register(&[]);
    assert_eq!(play.core.deadline_ms(), 1_000 + KEEPALIVE_MS, "the sending counts, not the answer");
    let lease = Action::ExtendLease { deadline_ms: 1_000 + KEEPALIVE_MS, keepalive_ms: KEEPALIVE_MS };
    assert!(play.did(|action| *action == lease));

    let taken_at = play.now_ms;
    play.pass(5_000);
    play.answer_take(Vec::new());
    assert_eq!(play.core.deadline_ms(), taken_at + KEEPALIVE_MS);

    play.pass(KEEPALIVE_MS / 5);
    let beaten_at = play.now_ms;
    play.pass(10);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Ok));
    assert_eq!(play.core.deadline_ms(), beaten_at + KEEPALIVE_MS);
    play.pass(10);
    play.answer_take(Vec::new());
    assert_eq!(play.core.deadline_ms(), beaten_at + KEEPALIVE_MS, "an answer to an older call moves it not back");
}

#[test]
fn an_accepted_report_moves_the_deadline() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.answer_take(vec![start(&a)]);
    play.pass(7);
    play.started(&a);
    let sent_at = play.now_ms;
    play.pass(3);
    play.answer_report(&[ReportOutcome::Accepted]);
    assert_eq!(play.core.deadline_ms(), sent_at + KEEPALIVE_MS);
}

#[test]
fn refusals_and_register_move_no_deadline() {
    for (verdict, exits) in [(Verdict::Register, false), (Verdict::Refused, true), (Verdict::Removed, true)] {
        let mut play = Play::registered();
        play.pass(KEEPALIVE_MS / 5);
        let before = play.core.deadline_ms();
        play.answer(Lane::Beat, Answer::Heartbeat(verdict));
        assert_eq!(play.core.deadline_ms(), before);
        assert!(!play.did(|action| matches!(action, Action::ExtendLease { .. })));
        assert_eq!(play.farewell().is_some(), exits);
    }
}

#[test]
fn a_failed_call_moves_no_deadline_and_is_repeated_soon() {
    let mut play = Play::registered();
    play.pass(KEEPALIVE_MS / 5);
    let before = play.core.deadline_ms();
    for pause_ms in [100, 200, 400, 800, 1_000, 1_000] {
        play.answer(Lane::Beat, Answer::Unreachable("reset".to_owned()));
        assert_eq!(play.core.deadline_ms(), before);
        play.pass(pause_ms - 1);
        assert!(!play.is_calling(Lane::Beat));
        play.pass(1);
        assert!(play.is_calling(Lane::Beat));
    }
}

#[test]
fn beats_go_every_fifth_of_the_keepalive() {
    let mut play = Play::registered();
    for _ in 0..3 {
        play.pass(KEEPALIVE_MS / 5 - 1);
        assert!(!play.is_calling(Lane::Beat));
        play.pass(1);
        play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Ok));
    }
}

#[test]
fn answers_to_an_older_incarnation_are_ignored() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    let (take, _) = play.call(Lane::Take);
    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Register));
    assert_eq!(play.register_call().incarnation, 2);

    let before = play.core.deadline_ms();
    let late = TakeAnswer { verdict: Verdict::Ok, orders: vec![start(&a)], upto: None, revision: 0 };
    play.event(Event::Answered(take, Answer::Take(late)));
    assert_eq!(play.done, []);
    play.answer_register(&[]);
    assert!(!play.did_start(&a));
    assert!(play.core.deadline_ms() > before, "the registration itself counts");

    assert!(play.is_calling(Lane::Take), "a take of this incarnation is under way");
    let late = TakeAnswer { verdict: Verdict::Ok, orders: vec![start(&a)], upto: None, revision: 0 };
    play.event(Event::Answered(take, Answer::Take(late)));
    assert_eq!(play.done, [], "and its answer is another");
}

#[test]
fn a_registration_starts_the_orders_anew() {
    let mut play = Play::registered();
    play.answer_take(vec![start(&placement("a", 1))]);
    let (_, call) = play.call(Lane::Take);
    assert!(matches!(call, Call::Take(TakeCall { after: Some(_), .. })));
    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Register));
    play.answer_register(&[]);
    let (_, call) = play.call(Lane::Take);
    assert!(matches!(call, Call::Take(TakeCall { after: None, .. })));
}

#[test]
fn a_take_answered_empty_is_followed_by_one_after_the_same_order() {
    let mut play = Play::registered();
    play.answer_take(vec![start(&placement("a", 1))]);
    play.answer_take(Vec::new());
    assert!(!play.is_calling(Lane::Take), "an empty answer at once does not make it hurry");
    play.pass(EMPTY_TAKE_PAUSE_MS);
    let (_, call) = play.call(Lane::Take);
    assert!(matches!(call, Call::Take(TakeCall { after: Some(_), .. })), "{call:?}");
}

#[test]
fn a_take_whose_answer_was_lost_asks_for_the_same_again() {
    let mut play = Play::registered();
    play.answer_take(vec![start(&placement("a", 1))]);
    let (ticket, Call::Take(first)) = play.call(Lane::Take) else { panic!("takes") };
    play.event(Event::Answered(ticket, Answer::Unreachable("reset".to_owned())));
    play.pass(100);
    let (_, Call::Take(second)) = play.call(Lane::Take) else { panic!("takes") };
    assert_eq!(first.after, second.after);
}

#[test]
fn a_registration_carries_all_that_is_held_and_all_that_ended() {
    let [a, b, c] = ["a", "b", "c"].map(|name| placement(name, 1));
    let past = Past {
        held: vec![hold(&a), hold(&b)],
        ends: vec![report(&c, Occurrence::Exited { code: 3 })],
        ..Past::default()
    };
    let mut play = Play::new(past);
    let call = play.register_call();
    assert_eq!(call.holds, [hold(&a), hold(&b)]);
    assert_eq!(call.ends, [report(&c, Occurrence::Exited { code: 3 })]);
    assert!(!call.more);

    play.ended(&b, Occurrence::Gone);
    play.answer_register(&[]);
    assert!(play.did(|action| *action == Action::Settle(report(&c, Occurrence::Exited { code: 3 }))));
    assert_eq!(play.report_call(), [report(&b, Occurrence::Gone)], "what ended meanwhile is reported");
}

#[test]
fn a_long_registration_goes_in_pages() {
    let names: Vec<_> = (0..2_500).map(|n| placement(&format!("c{n:04}"), 1)).collect();
    let ends = names[..600].iter().map(|name| report(name, Occurrence::Gone)).collect();
    let mut play = Play::new(Past { held: names[600..].iter().map(hold).collect(), ends, ..Past::default() });
    let (mut holds, mut told) = (Vec::new(), Vec::new());
    loop {
        let call = play.register_call();
        assert_eq!(call.incarnation, 1);
        holds.extend(call.holds);
        told.extend(call.ends.into_iter().map(|end| end.placement));
        assert_eq!(play.core.deadline_ms(), 0, "not accepted before all is said");
        play.answer_register(&[]);
        if !call.more {
            break;
        }
    }
    assert_eq!((holds, told), (names[600..].iter().map(hold).collect::<Vec<_>>(), names[..600].to_vec()));
    assert!(play.is_calling(Lane::Take));
}

#[test]
fn what_is_answered_kill_makes_the_registration_incomplete_until_it_is_gone() {
    let [a, b] = ["a", "b"].map(|name| placement(name, 1));
    let mut play = Play::new(Past { held: vec![hold(&a), hold(&b)], ..Past::default() });
    play.answer_register(std::slice::from_ref(&a));
    assert!(play.did_stop(&a, Cause::Kill) && !play.did_stop(&b, Cause::Kill));
    play.started(&a);
    play.pass(60_000);
    assert!(!play.is_calling(Lane::Take), "no orders");
    assert!(!play.is_calling(Lane::Register), "it is still alive");
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Ok));

    play.ended(&a, Occurrence::DrainOrder);
    let call = play.register_call();
    assert_eq!(
        (call.incarnation, call.holds, call.ends),
        (2, vec![hold(&b)], vec![]),
        "without it, and without its end"
    );
    play.answer_register_pages();
    assert!(play.is_calling(Lane::Take));
}

#[test]
fn what_is_answered_kill_is_told_to_end_before_the_lease_is_extended() {
    let a = placement("a", 1);
    let mut play = Play::new(Past { held: vec![hold(&a)], ..Past::default() });
    play.answer_register(std::slice::from_ref(&a));
    let position = |wanted: fn(&Action) -> bool| play.done.iter().position(wanted).expect("both are done");
    let stopped = position(|action| matches!(action, Action::Stop(..)));
    let extended = position(|action| matches!(action, Action::ExtendLease { .. }));
    assert!(stopped < extended, "{:?}", play.done);
}

#[test]
fn what_is_to_be_killed_counts_as_held_while_it_lives() {
    let a = placement("a", 1);
    let mut play = Play::new(Past { held: vec![hold(&a)], ..Past::default() });
    play.answer_register(std::slice::from_ref(&a));
    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Register));
    assert_eq!(play.register_call().holds, [hold(&a)]);
}

#[test]
fn a_kill_of_what_is_not_held_does_not_make_it_hurry() {
    let mut play = Play::new(Past::default());
    play.answer_register(&[placement("x", 1)]);
    assert!(!play.is_calling(Lane::Register));
    play.pass(100);
    play.answer_register(&[placement("x", 1)]);
    play.pass(199);
    assert!(!play.is_calling(Lane::Register));
    play.pass(1);
    assert!(play.is_calling(Lane::Register));
}

#[test]
fn a_refused_registration_is_repeated_and_told_once() {
    let mut play = Play::new(Past::default());
    for round in 0..20 {
        play.answer(Lane::Register, Answer::Conflict("another key owns c1\nnext: ...".to_owned()));
        let told = play.did(|action| matches!(action, Action::Say(Notice::Conflict(_))));
        assert_eq!(told, round == 0);
        play.pass(1_000);
    }
    play.answer_register(&[]);
    assert!(play.is_calling(Lane::Take), "the old worker was lost in the end");
}

#[test]
fn a_registration_that_can_never_be_is_no_longer_tried() {
    let mut play = Play::new(Past::default());
    play.answer(Lane::Register, Answer::Rejected("cpu: 1x is no quantity".to_owned()));
    assert_eq!(play.farewell(), Some(&Farewell::Rejected("cpu: 1x is no quantity".to_owned())));
}

#[test]
fn a_token_that_is_not_accepted_is_tried_slowly() {
    let mut play = Play::new(Past::default());
    play.answer(Lane::Register, Answer::Unauthorized("no such token".to_owned()));
    assert!(play.did(|action| matches!(action, Action::Say(Notice::Unauthorized(_)))));
    play.pass(4_999);
    assert!(!play.is_calling(Lane::Register));
    play.pass(1);
    assert!(play.is_calling(Lane::Register));
}

#[test]
fn a_new_history_is_told_the_ends_of_the_last_hour_without_output() {
    let a = placement("a", 1);
    let mut play = Play::registered();
    play.run(&a);
    play.ended(&a, Occurrence::Exited { code: 0 });
    play.answer_report(&[ReportOutcome::Accepted]);

    for (history, retold) in [(HISTORY, vec![]), (8, vec![report(&a, Occurrence::Exited { code: 0 })])] {
        play.pass(KEEPALIVE_MS / 5);
        play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Register));
        let first = play.register_call();
        assert!(first.more && first.ends.is_empty(), "which history it is, the first answer says");
        play.answer_register_in(history, &[]);
        let last = play.register_call();
        assert_eq!((last.more, last.ends, last.incarnation), (false, retold, first.incarnation));
        play.answer_register_in(history, &[]);
        assert!(play.is_calling(Lane::Take));
    }
}

#[test]
fn a_new_history_is_told_each_end_once() {
    let [told, fresh] = ["told", "fresh"].map(|name| placement(name, 1));
    let exited = Occurrence::Exited { code: 0 };
    let mut play = Play::registered();
    play.run(&told);
    play.ended(&told, exited.clone());
    play.answer_report(&[ReportOutcome::Accepted]);
    play.run(&fresh);
    play.ended(&fresh, exited.clone());

    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Register));
    assert_eq!(play.register_call().ends, [report(&fresh, exited.clone())]);
    play.answer_register_in(8, &[]);
    assert_eq!(play.register_call().ends, [report(&told, exited)]);
}

#[test]
fn a_new_history_is_told_again_what_runs() {
    let a = placement("a", 1);
    let mut play = Play::registered();
    play.run(&a);
    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Register));
    play.answer_register_in(8, &[]);
    assert_eq!(play.report_call(), [report(&a, Occurrence::Running)]);
}

#[test]
fn a_replaced_agent_leaves_what_runs_to_the_other() {
    let a = placement("a", 1);
    let mut play = Play::registered();
    play.run(&a);
    play.answer(
        Lane::Take,
        Answer::Take(TakeAnswer { verdict: Verdict::Refused, orders: vec![], upto: None, revision: 0 }),
    );
    assert_eq!(play.done, [Action::Exit(Farewell::Replaced)]);
    play.ended(&a, Occurrence::Gone);
    play.pass(1_000_000);
    assert_eq!(play.done, [], "and does nothing any more");
}

#[test]
fn it_sleeps_until_something_is_due_and_no_longer() {
    let mut play = Play::new(Past { held: vec![hold(&placement("a", 1))], ..Past::default() });
    assert_eq!(play.core.wake_at_ms(), None, "registering");
    play.answer(Lane::Register, Answer::Unreachable("reset".to_owned()));
    assert_eq!(play.core.wake_at_ms(), Some(1_100));
    play.pass(100);
    play.answer_register(&[placement("a", 1)]);
    assert_eq!(play.core.wake_at_ms(), Some(1_100 + KEEPALIVE_MS / 5), "killing");
    play.ended(&placement("a", 1), Occurrence::Gone);
    play.pass(1_000);
    play.answer_register_pages();
    assert_eq!(play.core.wake_at_ms(), Some(play.now_ms + KEEPALIVE_MS / 5), "taking");
}

#[test]
fn a_stranger_under_an_old_name_registers_above_the_old_one() {
    let mut play = Play::new(Past::default());
    let raise =
        RegisterAnswer { history: 0, revision: 0, kill: Vec::new(), keepalive_ms: KEEPALIVE_MS, raise_above: Some(41) };
    play.answer(Lane::Register, Answer::Registered(raise));
    assert!(play.did(|action| *action == Action::RaiseIncarnation(42)), "{:?}", play.done);
    assert_eq!(play.register_call().incarnation, 42);
    assert_eq!(play.core.deadline_ms(), 0, "nothing was accepted");
}

#[test]
fn a_machine_that_boots_registers_as_not_ready_and_once_more_when_it_is() {
    let mut play = Play::booting();
    assert!(!play.register_call().ready);
    play.answer_register(&[]);
    play.pass(KEEPALIVE_MS / 5);
    assert!(play.is_calling(Lane::Beat) && !play.is_calling(Lane::Register), "it proves life while it boots");

    let (late, _) = play.call(Lane::Take);
    play.event(Event::Ready);
    let call = play.register_call();
    assert!(call.ready && call.incarnation == 2, "{call:?}");
    let orders = vec![start(&placement("a", 1))];
    let answer = TakeAnswer { verdict: Verdict::Ok, orders, upto: None, revision: 0 };
    play.event(Event::Answered(late, Answer::Take(answer)));
    assert!(!play.did(|action| matches!(action, Action::Start(_))), "an answer to the run before is dropped");
    play.answer_register(&[]);
    play.pass(KEEPALIVE_MS / 5);
    assert!(!play.is_calling(Lane::Register), "once is enough");
}

#[test]
fn what_becomes_ready_while_it_registers_says_so_afterwards() {
    let mut play = Play::booting();
    play.event(Event::Ready);
    assert!(!play.register_call().ready, "it is under way");
    play.answer_register(&[]);
    assert!(play.is_calling(Lane::Register) && play.register_call().ready);
}
