//! Clauses of calls that come at the same time: each has one winner, and the other is told so.

use domain::container::Phase;
use domain::id::Incarnation;
use domain::model::backlog::SubmitOutcome;
use domain::model::containers::StopOutcome;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, Outcome};
use domain::model::workers::{RegisterOutcome, Registration};
use domain::worker::CallAnswer;

use super::case::{Case, answered, ask, cid, held_one, is_stale, kills, planner, request, starts};

/// How often each race is run.
const ROUNDS: u64 = 24;

/// Makes two calls: one first, the other first, or both at once, in turn.
async fn both<A, B>(round: u64, one: impl Future<Output = A> + Send + 'static, other: impl Future<Output = B>) -> (A, B)
where
    A: Send + 'static,
{
    match round % 3 {
        0 => {
            let one = one.await;
            (one, other.await)
        }
        1 => {
            let other = other.await;
            (one.await, other)
        }
        _ => {
            let one = tokio::spawn(one);
            let other = other.await;
            (one.await.expect("a call ends"), other)
        }
    }
}

pub async fn stop_against_submit_has_one_winner(case: &Case) {
    let mut stopped = 0;
    for round in 0..ROUNDS {
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        case.submit(&old, ask(1)).await;
        let (ports, cell, now) = (case.ports.clone(), case.cell.clone(), case.now());
        let submission = request(&new, ask(1));
        let submit = async move { ports.backlog.submit(&cell, now, vec![submission]).await };
        let stop = case.ports.containers.stop(&case.cell, now, vec![cid(&old), cid(&new)]);
        let (submitted, outcomes) = both(round, submit, stop).await;
        let outcomes = answered(outcomes);
        assert_eq!(answered(submitted), [SubmitOutcome::Accepted]);
        let phase = match outcomes[1] {
            StopOutcome::NoSuchContainer => Phase::Pending,
            _ => Phase::Stopped,
        };
        assert_eq!((outcomes[0], case.phase(&new).await), (StopOutcome::Stopped, phase));
        stopped += 1 + u64::from(phase == Phase::Stopped);
    }
    let depth = answered(case.ports.backlog.depth(&case.cell).await);
    assert_eq!((depth.phases[Phase::Stopped as usize], depth.ready), (stopped, 2 * ROUNDS - stopped));
}

pub async fn of_two_runs_at_once_the_later_stays(case: &Case) {
    for round in 0..ROUNDS {
        let (worker, id) = (format!("w{round}"), format!("c{round}"));
        case.join(&worker, 4).await;
        case.running(&id, &worker).await;
        let running = case.placement(&id).await;
        let earlier = case.registration(&worker);
        let later = Registration { holds: vec![held_one(running.clone())], ..case.registration(&worker) };
        let (ports, cell, now) = (case.ports.clone(), case.cell.clone(), case.now());
        let register = async move { ports.workers.register(&cell, now, earlier).await };
        let (earlier, outcome) = both(round, register, case.register(later)).await;
        assert_eq!(case.worker(&worker).await.incarnation, Incarnation(3));
        match answered(earlier) {
            RegisterOutcome::Replaced => assert_eq!((kills(&outcome), case.phase(&id).await), (vec![], Phase::Running)),
            _ => assert_eq!((kills(&outcome), case.phase(&id).await), (vec![running], Phase::Pending)),
        }
    }
}

pub async fn take_against_register_hands_nothing_to_an_older_run(case: &Case) {
    for round in 0..ROUNDS {
        let (worker, id) = (format!("w{round}"), format!("c{round}"));
        case.join(&worker, 4).await;
        case.placed(&id, &worker).await;
        let (ports, cell, now, caller) = (case.ports.clone(), case.cell.clone(), case.now(), case.caller(&worker));
        let take = async move { ports.placements.take(&cell, now, caller, None, 100).await };
        let (taken, _) = both(round, take, case.rejoin(&worker, &[])).await;
        let taken = answered(taken);
        let handed_over = taken.call == CallAnswer::Ok;
        assert_eq!(starts(&taken).len(), usize::from(handed_over), "{:?}", taken.call);
        assert_eq!(case.phase(&id).await, Phase::Pending, "the later run came with empty hands");
    }
}

pub async fn commit_against_takeover_has_one_winner(case: &Case) {
    case.join("w1", 64).await;
    let mut mandate = case.mandate().await;
    for round in 0..ROUNDS {
        let id = format!("c{round}");
        case.submit(&id, ask(1)).await;
        let commit = Commit { decisions: vec![case.placing(&id, "w1").await], ..Commit::default() };
        let next = planner(&format!("p{round}"));
        let held = answered(case.ports.leadership.acquire(&case.cell, &next, None).await);
        let AcquireOutcome::Held { term, stamp, .. } = held else { panic!("{next} was given a cell that is planned") };
        let (ports, before, now, late) = (case.ports.clone(), mandate.clone(), case.now(), commit.clone());
        let late = async move { ports.placements.commit(&before, now, late).await };
        let take_over = case.ports.leadership.acquire(&case.cell, &next, Some((term, stamp)));
        let (committed, acquired) = both(round, late, take_over).await;
        // A commit that was first moved the stamp, which then is not as it was seen.
        match answered(acquired) {
            AcquireOutcome::Acquired(given) => {
                assert!(is_stale(&committed), "{committed:?}");
                assert_eq!(case.phase(&id).await, Phase::Pending);
                mandate = given;
                let answer = answered(case.ports.placements.commit(&mandate, case.now(), commit).await);
                assert_eq!(answer.outcomes, [Outcome::Done]);
            }
            AcquireOutcome::Held { .. } => assert_eq!(answered(committed).outcomes, [Outcome::Done]),
        }
        assert_eq!(case.row(&id).await.id, cid(&id));
    }
    assert_eq!(case.booked("w1").await, (1000 * ROUNDS, 1000 * ROUNDS));
}
