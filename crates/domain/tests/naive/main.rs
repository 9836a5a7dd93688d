//! A second planner, slow and plain, that must agree with the real one request by request.
//!
//! `model.rs` says what placement is in sentences of code that share nothing with `domain::placement` but the
//! vocabulary; `generate.rs` makes fleets small enough that every rule is met often. Deterministic: `PROPTEST_RNG_SEED`
//! and `PROPTEST_CASES` look elsewhere.

mod generate;
mod lasting;
mod ledger;
mod model;

use std::cell::RefCell;
use std::collections::BTreeMap;

use domain::fleet::Fleet;
use domain::placement::{Candidate, Verdict, explain, plan};
use domain::wait::{LotKey, Rule, Why};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use self::generate::Case;

const CASES: u32 = 10_000;

fn runner(cases: u32) -> TestRunner {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.cases == 256 {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(11);
    }
    TestRunner::new(config)
}

#[test]
fn both_planners_agree_on_every_request_and_nothing_is_booked_twice() {
    let seen = RefCell::new(Seen::default());
    let result = runner(CASES).run(&generate::cases(), |case| {
        let Case { fleet, batch, policy, .. } = &case;
        let verdicts = plan(fleet, batch, policy);
        for ((candidate, planned), expected) in batch.iter().zip(&verdicts).zip(model::plan(fleet, batch, policy)) {
            prop_assert_eq!(planned, &expected, "request {}", candidate.id);
        }
        ledger::check(fleet, batch, policy, &verdicts)?;
        seen.borrow_mut().note(&case, &verdicts);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    seen.borrow().check();
}

#[test]
fn the_order_of_workers_and_of_the_batch_changes_nothing() {
    let result = runner(CASES / 4).run(&(generate::cases(), any::<u64>()), |(case, seed)| {
        let Case { fleet, batch, policy, .. } = &case;
        let planned: BTreeMap<_, _> = ids(batch).zip(plan(fleet, batch, policy)).collect();

        let mut workers = fleet.workers().to_vec();
        let mut shuffled_batch = batch.clone();
        generate::shuffle(&mut workers, seed);
        generate::shuffle(&mut shuffled_batch, seed);
        let mut shuffled = Fleet::of(workers);
        (shuffled.usage, shuffled.lots) = (fleet.usage.clone(), fleet.lots.clone());
        shuffled.pools = fleet.pools.iter().rev().cloned().collect();
        let again: BTreeMap<_, _> = ids(&shuffled_batch).zip(plan(&shuffled, &shuffled_batch, policy)).collect();
        prop_assert_eq!(planned, again);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_explanation_counts_every_worker_once_and_says_what_a_plan_would() {
    let result = runner(CASES / 4).run(&generate::cases(), |case| {
        let Case { fleet, batch, policy, .. } = &case;
        for candidate in batch {
            let explanation = explain(fleet, candidate, policy);
            let failing: u64 = explanation.rules.values().sum();
            prop_assert_eq!(failing + explanation.fits.len() as u64, fleet.workers().len() as u64);
            prop_assert_eq!(&explanation.fits, &model::fitting(fleet, candidate, policy));
            prop_assert!(!explanation.sentence(&candidate.ask).is_empty());
            if candidate.lot.is_none() {
                let alone = plan(fleet, std::slice::from_ref(candidate), policy);
                prop_assert_eq!(&alone, std::slice::from_ref(&explanation.verdict));
            }
            if let Verdict::Wait { why: Why::NoFit { rules, .. }, .. } = &explanation.verdict {
                prop_assert_eq!(rules, &explanation.rules);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn ids(batch: &[Candidate]) -> impl Iterator<Item = String> + '_ {
    batch.iter().map(|candidate| candidate.id.to_string())
}

/// What the generated cases met: agreement over cases that meet nothing would prove nothing.
#[derive(Default)]
struct Seen(BTreeMap<&'static str, u32>);

impl Seen {
    fn note(&mut self, case: &Case, verdicts: &[Verdict]) {
        for (candidate, verdict) in case.batch.iter().zip(verdicts) {
            let mut see = |what| *self.0.entry(what).or_default() += 1;
            match verdict {
                Verdict::Place { booking, .. } => {
                    see("placed");
                    if candidate.ask.affinity.is_some() {
                        see("placed by affinity");
                    }
                    if booking.gpu_devices.len() > 1 {
                        see("placed on several devices");
                    }
                }
                Verdict::Wait { lot, why } => {
                    see(why.word());
                    if matches!((lot, why), (LotKey::Quota(_), Why::Behind(_))) {
                        see("behind for a quota");
                    }
                    if let Why::NoFit { rules, never } = why {
                        for rule in rules.keys() {
                            see(rule.as_str());
                        }
                        if never.is_some() {
                            see("never");
                        }
                    }
                }
            }
        }
    }

    fn check(&self) {
        let outcomes = ["placed", "placed by affinity", "placed on several devices", "behind", "behind for a quota"];
        let reasons = ["no_workers", "no_room", "can_never_fit", "quota", "never"];
        let rules = Rule::ALL.iter().map(|rule| rule.as_str());
        for what in outcomes.into_iter().chain(reasons).chain(rules) {
            let times = self.0.get(what).copied().unwrap_or(0);
            assert!(times >= 20, "{what} was met {times} times: {:?}", self.0);
        }
    }
}
