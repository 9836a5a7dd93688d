//! Where requests of the same affinity gather: rendezvous hashing (Thaler and Ravishankar).
//!
//! Each key orders all workers in a way of its own, and its requests take the first that has room. They need no
//! memory of each other to meet; when that worker is full they go on to the same next one, and when a worker comes or
//! goes, only the keys move that had it first.

use crate::id::WorkerId;
use crate::request::Digest;

/// The order of workers for one key.
pub(crate) struct Affinity(Digest);

impl Affinity {
    pub(crate) fn of(key: &str) -> Self {
        // A worker's id has no NUL, so no two pairs are written alike.
        Self(Digest::of(key).followed_by("\0"))
    }

    /// Where `worker` stands: the highest is first.
    pub(crate) fn weight(&self, worker: &WorkerId) -> u128 {
        mixed(self.0.followed_by(worker.as_str()).0)
    }
}

/// Spreads each bit over all others: of texts that differ only at the end, FNV-1a leaves the differences in a few
/// bits, and `worker-8` would come before `worker-7` for most keys.
fn mixed(digest: u128) -> u128 {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let once = (digest ^ (digest >> 64)).wrapping_mul(ODD);
    let twice = (once ^ (once >> 64)).wrapping_mul(ODD);
    twice ^ (twice >> 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_worker_is_first_for_its_share_of_keys() {
        let workers: Vec<_> = (1..=10).map(|n| WorkerId::new(&format!("worker-{n:02}")).unwrap()).collect();
        let mut first = BTreeMap::new();
        for key in 0..10_000 {
            let affinity = Affinity::of(&format!("model-{key}"));
            let chosen = workers.iter().max_by_key(|worker| affinity.weight(worker)).unwrap();
            *first.entry(chosen).or_insert(0) += 1;
        }
        assert_eq!(first.len(), workers.len());
        assert!(first.values().all(|count| (880..=1120).contains(count)), "{first:?}");
    }

    #[test]
    fn a_weight_is_the_same_for_ever() {
        // Two versions may plan for one fleet in turn; if they disagreed, every key would move.
        let worker = WorkerId::new("worker-01").unwrap();
        assert_eq!(Affinity::of("model").weight(&worker), 115_426_093_472_511_028_862_887_078_019_968_119_566);
    }
}
