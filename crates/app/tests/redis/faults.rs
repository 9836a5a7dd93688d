//! What befalls the servers of a cell, and the rows in them, and what users and workers see of it.

mod cells;
mod corrupt;
mod full;
mod readiness;
mod slots;

use std::ops::Range;
use std::time::Duration;

use crate::fleet::books::metric;
use crate::fleet::stream::Stream;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options};
use crate::restarts::ended_once;

/// How many requests wait or run, at least and at most.
const OUTSTANDING: Range<usize> = 12..18;
/// How many commands end before the next fault, at least.
const BETWEEN: usize = 10;
/// Work goes on once keepalive and grace have passed, at the latest.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cell whose workers outlive every fault.
fn options(store: String) -> Options {
    Options { keepalive: "12s", grace: "1s", store: Some(store), ..Options::default() }
}

/// The address of a cluster.
fn address(urls: &[String]) -> String {
    let nodes: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    format!("redis://{}", nodes.join(","))
}

fn wait_for_work(fleet: &Fleet, stream: &Stream) {
    let ended = stream.ended();
    fleet.eventually("work goes on", PATIENCE, || stream.ended() >= ended + BETWEEN);
}

/// Ends the stream: all that was accepted succeeds, each was started once, and the books are clean.
fn conclude(fleet: &Fleet, stream: Stream, witness: Witness) {
    let ids = stream.end();
    ended_once(fleet, &witness, &ids);
    for counter in ["stowplan_lost_requests_total", "stowplan_lost_placements_total"] {
        assert_eq!(metric(fleet, counter), 0, "{counter}");
    }
    // The shortest of them may be over before anybody looks: what they wrote themselves says more.
    witness.attest(&[]);
}
