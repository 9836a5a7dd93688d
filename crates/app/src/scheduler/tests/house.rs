//! Housekeeping: who is given up, how far, and when nobody is.

use domain::id::{Boot, CallNumber, History};
use domain::model::containers::Forgotten;
use domain::model::placements::{Loss, LossOutcome};
use domain::model::workers::{Beats, StatusChange};
use ports::MockContainerRepository;
use tokio::time::{Instant, advance};

use super::super::Silence;
use super::super::housekeeping::House;
use super::*;

fn house(bench: &Bench) -> House<'_> {
    House::new(&bench.ports, &bench.settings, &bench.mandate, &bench.view, &*bench.notes)
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_given_up_to_the_last_of_what_it_owned() {
    let mut bench = Bench::with_workers(1, 1_000).await;
    let mut answers = vec![Ok(vec![LossOutcome::Done(1)]), Err(PortError::unavailable("away"))];
    answers.extend([Ok(vec![LossOutcome::More(1_000)]), Ok(vec![LossOutcome::More(1_000)])]);
    let mut fake = MockPlacementRepository::new();
    fake.expect_lose().times(4).returning(move |_, _, losses, _| {
        assert!(matches!(&losses[..], [Loss::Silent { .. }]));
        answers.pop().unwrap()
    });
    bench.ports.placements = Arc::new(fake);
    let mut house = house(&bench);
    let mut failed = 0;
    for _ in 0..5 {
        failed += usize::from(house.tick().await.is_err());
        advance(Duration::from_secs(3)).await;
    }
    assert_eq!(failed, 1, "the third call was not answered");
}

#[tokio::test(start_paused = true)]
async fn losses_that_come_together_are_written_down_a_few_at_a_time() {
    let mut bench = Bench::with_workers(35, 1_000).await;
    let drain = |number| {
        let worker = WorkerId::new(&format!("w{number:02}")).unwrap();
        (worker, StatusChange::Draining { within: Duration::ZERO })
    };
    bench.ports.workers.set_status(&bench.settings.cell, clock(), (0..35).map(drain).collect()).await.unwrap();
    let sizes: Arc<Mutex<Vec<usize>>> = Arc::default();
    let (inner, seen) = (Arc::clone(&bench.ports.placements), Arc::clone(&sizes));
    let mut fake = MockPlacementRepository::new();
    fake.expect_lose().returning(move |mandate, now, losses, limit| {
        seen.lock().unwrap().push(losses.len());
        now_or_never(inner.lose(mandate, now, losses, limit))
    });
    bench.ports.placements = Arc::new(fake);
    house(&bench).tick().await.unwrap();
    assert_eq!(*sizes.lock().unwrap(), [10, 10, 10, 5]);
}

#[test]
fn workers_cut_off_together_are_not_given_up_one_after_the_other() {
    let (keepalive, grace) = (Duration::from_mins(2), Duration::from_secs(15));
    let began = Instant::now();
    let mut silence = Silence::default();
    let mut braked = false;
    for second in (0..300).step_by(2) {
        let numbers = (0..100).map(|worker: u64| {
            // Each beats every 24 s in its own time; 40 of them were heard of last within the first minute.
            let last = if worker < 40 { second.min(60) } else { second };
            let number = CallNumber((last + worker % 24) / 24);
            (WorkerId::new(&format!("w{worker:03}")).unwrap(), Incarnation(1), number)
        });
        let (boot, history) = (Boot::from_random(1), History::from_random(1));
        silence.hear(&Beats { boot, history, numbers: numbers.collect() }, began + Duration::from_secs(second));
        match silence.given_up(keepalive, grace) {
            Ok(given_up) => assert!(given_up.is_empty(), "{} given up after {second} s", given_up.len()),
            Err(brake) => {
                assert_eq!(brake.workers, 100);
                braked = true;
            }
        }
    }
    assert!(braked);
}

#[test]
fn silence_is_told_of_the_run_that_was_silent() {
    let (mut view, mut silence) = (View::default(), Silence::default());
    let (worker, began) = (WorkerId::new("w1").unwrap(), Instant::now());
    let numbers = vec![(worker.clone(), Incarnation(1), CallNumber(4))];
    let beats = Beats { boot: Boot::from_random(1), history: History::from_random(1), numbers };
    silence.hear(&beats, began);
    silence.hear(&beats, began + Duration::from_secs(3));
    view.note_silence(silence.durations());
    assert_eq!(view.silence_of(&worker, Incarnation(1)).unwrap().lasted, Duration::from_secs(3));
    assert!(view.silence_of(&worker, Incarnation(2)).is_none(), "its calls may have the same numbers");
}

#[tokio::test(start_paused = true)]
async fn what_ended_long_ago_is_forgotten_to_the_last() {
    let mut bench = Bench::new().await;
    let mut more = vec![false, true, true];
    let mut fake = MockContainerRepository::new();
    fake.expect_forget()
        .times(3)
        .returning(move |_, _, _, _| Ok(Forgotten { containers: 1_000, more: more.pop().unwrap() }));
    bench.ports.containers = Arc::new(fake);
    let mut house = house(&bench);
    for _ in 0..12 {
        house.tick().await.unwrap();
    }
}
