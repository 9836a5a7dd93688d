//! Bursts, one after the other, faster than the workers for them boot.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fleet::books::{in_state, wait_until_succeeded};
use crate::fleet::torture;
use crate::ground::{PATIENCE, Pool, asked, ends_empty_within, on_both_stores, pool, submit};

/// A burst a tenth of a second, for six seconds.
const BURSTS: u64 = 60;
const EVERY: Duration = Duration::from_millis(100);
const BURST: usize = 100;
/// How many of the requests fit on one worker.
const FIT: usize = 100;

#[test]
fn workers_asked_for_in_a_storm_are_never_more_than_what_is_open_needs() {
    on_both_stores(|store| {
        let bursts = torture::rounds(BURSTS);
        // Nobody goes before the storm is over.
        let idle = EVERY * u32::try_from(bursts).unwrap() + Duration::from_secs(4);
        let more = format!("idle = \"{}s\"\n", idle.as_secs());
        let fleet = Pool { cpu: FIT as u64, max: 1_000, more: &more, ..Pool::default() }.serve(store);
        let (mut ids, mut ended, mut needed) = (Vec::new(), 0, 0);
        let mut due = Instant::now();
        for burst in 0..bursts {
            // Whatever ends after this leaves the count too large, and never too small.
            if burst % 10 == 0 {
                ended = in_state(&fleet, "succeeded").len();
            }
            ids.extend(submit(&fleet, &format!("burst-{burst:04}"), BURST, 1, "1"));
            needed = needed.max((ids.len() - ended).div_ceil(FIT) as u64);
            let so_far = asked(&fleet);
            assert!(so_far <= needed, "{so_far} workers asked for where {needed} are enough: {}", pool(&fleet));
            due += EVERY;
            sleep(due.saturating_duration_since(Instant::now()));
        }
        wait_until_succeeded(&fleet, &ids);
        let in_all = asked(&fleet);
        println!("{} requests, {in_all} workers asked for where {needed} are enough", ids.len());
        assert!(0 < in_all && in_all <= needed);
        ends_empty_within(&fleet, PATIENCE + idle);
        assert_eq!(asked(&fleet), in_all);
    });
}
