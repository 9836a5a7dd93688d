//! A redis-server that is killed and started again, over and over, under a load: it has written all that it answered.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Options as Redis};

use crate::fleet::books::{NOTHING, booked, history, metric, placed, wait_until_succeeded};
use crate::fleet::stream::Stream;
use crate::fleet::torture::{self, Dice};
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options};

const AGENTS: usize = 4;
/// How many requests wait or run, at least and at most.
const OUTSTANDING: Range<usize> = 20..30;
/// How many commands end between two restarts, at least.
const BETWEEN: usize = 10;
const KEEPALIVE_AND_GRACE: Duration = Duration::from_secs(8 + 4);
/// How long redis-server is away: a batch that was read when it was killed is planned by then.
const AWAY_MS: Range<u64> = 200..700;
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_redis_server_killed_again_and_again_loses_nothing_and_work_goes_on_by_itself() {
    let redis = Redis::new().appendonly(Appendonly::Always).start();
    let options = Options { keepalive: "8s", grace: "4s", store: Some(redis.url()), ..Options::default() };
    let fleet = Fleet::start_with(AGENTS, options);
    let witness = Witness::of(&fleet);
    let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
    let rounds = torture::rounds(5);
    let (mut at_once, mut outstanding) = (0, 0);
    for round in 0..rounds {
        let ended = stream.ended();
        fleet.eventually("work is under way", PATIENCE, || stream.ended() >= ended + BETWEEN);
        let before = history(&fleet);
        let mut dice = Dice::new(&("redis-restarts", round));
        let mut pause = |ms: &Range<u64>| sleep(Duration::from_millis(ms.start + dice.below(ms.end - ms.start)));
        pause(&(0..300));
        let waiting = stream.outstanding();
        redis.kill9();
        pause(&AWAY_MS);
        let in_hand = is_a_batch_in_hand(&fleet);
        redis.restart();
        let back = Instant::now();
        let done = placed(&fleet);
        fleet.eventually("work goes on by itself", PATIENCE, || placed(&fleet) > done);
        let took = back.elapsed();
        println!("round {round}: {waiting} outstanding, placing again after {took:?}; a batch in hand: {in_hand}");
        assert!(waiting > 0, "nothing was outstanding");
        assert_ne!(history(&fleet), before, "the restart is noticed");
        // A planner that knows what became of all that it wrote is its own witness, and waits for nobody. With a batch in
        // hand it does not know, unless it had not sent it.
        let is_at_once = took < KEEPALIVE_AND_GRACE;
        assert!(is_at_once || in_hand, "{took:?}");
        (at_once, outstanding) = (at_once + u64::from(is_at_once), outstanding + waiting);
    }
    assert!(at_once > 0, "a batch was in hand at every kill");
    let ids = stream.end();
    println!("{rounds} restarts with {outstanding} requests outstanding; after {at_once} placing went on at once");
    ended_once(&fleet, &witness, &ids);
    for counter in ["stowplan_lost_requests_total", "stowplan_lost_placements_total"] {
        assert_eq!(metric(&fleet, counter), 0, "{counter}");
    }
    witness.attest_short(&ids.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Waits until all have succeeded: each command was started once, and the books are clean.
pub(crate) fn ended_once(fleet: &Fleet, witness: &Witness, ids: &[String]) {
    wait_until_succeeded(fleet, ids);
    let mut attempts: BTreeMap<u64, usize> = BTreeMap::new();
    for id in ids {
        let starts = witness.starts(id);
        assert_eq!(starts.len(), 1, "{id} was started twice: {starts:?}");
        *attempts.entry(starts[0].0).or_default() += 1;
    }
    println!("{} requests accepted, started and ended once each, by attempt: {attempts:?}", ids.len());
    assert_eq!(booked(fleet), NOTHING);
}

/// Whether the planner has planned a batch that it has no answer for. All that wait have room, so that every batch is
/// committed.
fn is_a_batch_in_hand(fleet: &Fleet) -> bool {
    let log = fleet.log("serve");
    let last = |words: &str| log.rfind(words);
    last("processing batch of container requests") > last("batch updated worker capacity")
}
