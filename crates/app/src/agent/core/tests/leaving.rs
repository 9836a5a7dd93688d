//! Leaving: asked to, removed, or cut off while leaving.

use super::*;

#[test]
fn a_leaving_agent_drains_waits_until_all_is_acknowledged_and_is_removed() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.run(&a);
    play.event(Event::Leave);
    let (ticket, call) = play.call(Lane::Leave);
    assert_eq!(call, Call::Drain);
    play.event(Event::Answered(ticket, Answer::Done));
    assert!(!play.is_calling(Lane::Leave), "it holds something");

    play.answer_take(vec![stop(&a, StopCause::Drain)]);
    play.ended(&a, Occurrence::DrainOrder);
    assert!(!play.is_calling(Lane::Leave), "its end is not acknowledged");
    play.answer_report(&[ReportOutcome::Accepted]);
    play.answer(Lane::Leave, Answer::Conflict("it owns 1 container".to_owned()));
    assert!(!play.did(|action| matches!(action, Action::Say(_))));
    play.pass(100);
    let (ticket, call) = play.call(Lane::Leave);
    assert_eq!(call, Call::Remove);
    play.event(Event::Answered(ticket, Answer::Done));
    assert_eq!(play.done, [Action::Exit(Farewell::Left)]);
}

#[test]
fn a_leaving_agent_without_a_server_ends_what_it_runs_and_exits() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.run(&a);
    play.answer(Lane::Take, Answer::Unreachable("refused".to_owned()));
    play.event(Event::Leave);
    for _ in 0..20 {
        play.pass(100);
        for lane in [Lane::Take, Lane::Leave] {
            if play.is_calling(lane) {
                play.answer(lane, Answer::Unreachable("refused".to_owned()));
            }
        }
        if play.did(|action| matches!(action, Action::Stop(..))) {
            break;
        }
    }
    let request = StopRequest { cause: Cause::Drain, kill_after_ms: Some(5_000) };
    assert!(play.did(|action| *action == Action::Stop(a.clone(), request)), "{:?}", play.done);
    assert_eq!(play.farewell(), None);
    play.ended(&a, Occurrence::DrainOrder);
    assert_eq!(play.farewell(), Some(&Farewell::CutOff));
}

#[test]
fn leaving_without_a_server_hurries_a_stop_and_leaves_it_a_stop() {
    let mut play = Play::registered();
    let a = placement("a", 1);
    play.run(&a);
    play.answer_take(vec![stop(&a, StopCause::Stop)]);
    play.event(Event::Leave);
    play.pass(30_000);
    let request = StopRequest { cause: Cause::Stop, kill_after_ms: Some(5_000) };
    assert!(play.did(|action| *action == Action::Stop(a.clone(), request)), "{:?}", play.done);
}

#[test]
fn leaving_without_a_server_is_not_undone_by_a_late_answer() {
    let a = placement("a", 1);
    let mut play = Play::new(Past { held: vec![hold(&a)], ..Past::default() });
    play.event(Event::Leave);
    play.pass(30_000);
    assert!(play.did_stop(&a, Cause::Drain));
    play.answer(Lane::Register, Answer::Unreachable("timed out".to_owned()));
    play.pass(1_000);
    assert!(!play.is_calling(Lane::Register), "it calls no more");
    play.ended(&a, Occurrence::DrainOrder);
    assert_eq!(play.farewell(), Some(&Farewell::CutOff));
}

#[test]
fn a_leaving_agent_that_the_server_does_not_let_go_goes_in_the_end() {
    let mut play = Play::registered();
    play.event(Event::Leave);
    play.answer(Lane::Leave, Answer::Done);
    for _ in 0..29 {
        play.answer(Lane::Leave, Answer::Conflict("not empty".to_owned()));
        play.pass(1_000);
        assert_eq!(play.farewell(), None);
    }
    play.pass(1_000);
    assert_eq!(play.farewell(), Some(&Farewell::CutOff));
}

#[test]
fn an_agent_that_is_not_leaving_never_gives_up() {
    let mut play = Play::registered();
    for _ in 0..100 {
        for lane in [Lane::Take, Lane::Beat] {
            if play.is_calling(lane) {
                play.answer(lane, Answer::Unreachable("refused".to_owned()));
                assert_eq!(play.farewell(), None);
            }
        }
        play.pass(10_000);
    }
}

#[test]
fn a_removed_agent_kills_all_it_holds_and_exits_when_it_is_gone() {
    let mut play = Play::registered();
    let [a, b] = ["a", "b"].map(|name| placement(name, 1));
    play.run(&a);
    play.answer_take(vec![start(&b)]);
    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Removed));
    assert!(play.did_stop(&a, Cause::Kill) && play.did_stop(&b, Cause::Kill));
    play.ended(&a, Occurrence::DrainOrder);
    assert_eq!(play.farewell(), None);
    play.ended(&b, Occurrence::DrainOrder);
    assert_eq!(play.farewell(), Some(&Farewell::Removed));
}

#[test]
fn a_leaving_agent_that_finds_itself_removed_has_left() {
    let mut play = Play::registered();
    play.event(Event::Leave);
    play.pass(KEEPALIVE_MS / 5);
    play.answer(Lane::Beat, Answer::Heartbeat(Verdict::Removed));
    assert_eq!(play.farewell(), Some(&Farewell::Left));
}
