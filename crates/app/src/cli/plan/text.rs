//! The answer as people read it.

use super::super::table::table;
use crate::api::plan::{NewWorkersDocument, PlacementDocument, PlanAnswer, UnplacedDocument};

/// How many of the requests that new workers are for are named.
const FOR_NAMED_MAX: usize = 10;

/// What has rows, as tables, and how many there are of each, with a line break at the end.
pub(super) fn tables(answer: &PlanAnswer) -> String {
    let tables = [
        rows(["REQUEST", "WORKER", "GPUS"], &answer.placements, placed),
        rows(["REQUEST", "REASON", "WAITS BECAUSE"], &answer.unplaced, unplaced),
        rows(["POOL", "NEW WORKERS", "FOR"], &answer.new_workers, grown),
    ];
    let parts: Vec<String> = tables.into_iter().flatten().chain([summary(answer)]).collect();
    parts.join("\n") + "\n"
}

fn placed(placement: &PlacementDocument) -> [String; 3] {
    let devices: Vec<String> = placement.gpu_devices.iter().map(u32::to_string).collect();
    let devices = if devices.is_empty() { "-".to_owned() } else { devices.join(",") };
    [placement.id.clone(), placement.worker.clone(), devices]
}

fn unplaced(request: &UnplacedDocument) -> [String; 3] {
    [request.id.clone(), request.reason.clone(), request.text.clone()]
}

fn grown(new: &NewWorkersDocument) -> [String; 3] {
    let (named, more) = new.for_ids.split_at(new.for_ids.len().min(FOR_NAMED_MAX));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    [new.pool.clone(), new.count.to_string(), named.join(" ") + &more]
}

/// A table of `items`, if there are any.
fn rows<T, const N: usize>(header: [&str; N], items: &[T], row: impl Fn(&T) -> [String; N]) -> Option<String> {
    (!items.is_empty()).then(|| table(header, items.iter().map(row)))
}

fn summary(answer: &PlanAnswer) -> String {
    let never = answer.unplaced.iter().filter(|request| request.can_never_fit).count();
    let never = if never == 0 { String::new() } else { format!(" ({never} can never fit)") };
    let new: u64 = answer.new_workers.iter().map(|new| new.count).sum();
    let new = match new {
        0 => String::new(),
        1 => "; 1 new worker would help".to_owned(),
        _ => format!("; {new} new workers would help"),
    };
    let waiting = answer.unplaced.len();
    let wait = if waiting == 1 { "waits" } else { "wait" };
    format!("{} placed, {waiting} {wait}{never}{new}", answer.placements.len())
}
