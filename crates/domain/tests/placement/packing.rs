//! How good the answer is: against every packing there is, and against itself asked in another way.

use std::fmt::Write as _;

use domain::placement::{Verdict, plan};
use domain::provisioning::{Demand, Growth, NewWorkers, new_workers, open_demand};
use domain::request::OrderKey;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::scenario::Scenario;

/// So much cpu, memory and whole GPUs.
type Size = [u64; 3];

/// Numbers without end, the same each time.
struct Numbers(u64);

impl Numbers {
    fn within(&mut self, least: u64, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (self.0 >> 33) % (most - least + 1)
    }
}

/// The fewest bins for `items`: each onto every bin that has room, or a new one.
fn fewest(items: &[Size], worker: Size, bins: &mut Vec<Size>, best: &mut usize) {
    if bins.len() >= *best {
        return;
    }
    let Some((item, rest)) = items.split_first() else {
        *best = bins.len();
        return;
    };
    for index in 0..bins.len() {
        let before = bins[index];
        if (0..3).all(|resource| before[resource] >= item[resource]) {
            bins[index] = [0, 1, 2].map(|resource| before[resource] - item[resource]);
            fewest(rest, worker, bins, best);
            bins[index] = before;
        }
    }
    bins.push([0, 1, 2].map(|resource| worker[resource] - item[resource]));
    fewest(rest, worker, bins, best);
    bins.pop();
}

fn asked_for(items: &[Size], worker: Size) -> u64 {
    let mut text = String::from("policy cpu_on_gpu_workers=allowed\n");
    let [cpu, memory, gpus] = worker;
    let _ = writeln!(text, "pool p max=100 cpu={cpu} memory={memory}Gi gpu=T4:{gpus}");
    for (index, [cpu, memory, gpus]) in items.iter().enumerate() {
        let gpu = if *gpus > 0 { format!(" gpu=T4:{gpus}") } else { String::new() };
        let _ = writeln!(text, "request r{index} cpu={cpu} memory={memory}Gi{gpu}");
    }
    let growth = Scenario::read(&text).open_growth();
    assert!(growth.unserved.is_empty(), "{growth:?}");
    growth.new_workers.iter().map(NewWorkers::count).sum()
}

#[test]
fn of_up_to_eight_requests_few_get_more_workers_than_they_need_and_never_two_more() {
    const CASES: u64 = 5_000;
    let mut numbers = Numbers(1);
    let (mut missed, mut worst) = (0, 0);
    for _ in 0..CASES {
        let worker = [numbers.within(4, 16), numbers.within(4, 16), numbers.within(1, 8)];
        // Half of them are at most half a worker.
        let mut item = || {
            let parts = numbers.within(1, 2);
            let [cpu, memory, gpus] = worker.map(|whole| whole.div_ceil(parts));
            [numbers.within(1, cpu), numbers.within(1, memory), numbers.within(0, gpus)]
        };
        let items: Vec<Size> = (0..8).map(|_| item()).collect();
        let items = &items[..usize::try_from(numbers.within(1, 8)).unwrap()];
        let mut optimum = items.len() + 1;
        fewest(items, worker, &mut Vec::new(), &mut optimum);
        let more = asked_for(items, worker) - optimum as u64;
        missed += u64::from(more > 0);
        worst = worst.max(more);
    }
    println!("{missed} of {CASES} get more workers than they need, at most {worst} more");
    assert!(missed * 100 <= CASES, "{missed}");
    assert!(worst <= 1, "{worst}");
}

fn served(scenario: &Scenario) -> usize {
    let verdicts = plan(&scenario.fleet, &scenario.batch, &scenario.policy);
    verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Place { .. })).count()
}

fn unserved(growth: &Growth) -> u64 {
    growth.unserved.values().sum()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_lot_finds_as_much_room_as_its_requests_one_by_one(
        (count, tenths, overhead) in (1..5_u32, 1..=10_u32, 0..30_u32),
        used in prop::collection::vec(prop::collection::vec(0..=10_u32, 4), 1..4),
        requests in 1..60_u64,
    ) {
        let mut text = format!("policy overhead={overhead}\n");
        for (index, used) in used.iter().enumerate() {
            let used: Vec<String> = used.iter().map(|tenths| (tenths * 100).to_string()).collect();
            let _ = writeln!(text, "worker w{index} cpu=10 memory=10Gi gpu=T4:4 used.gpu={}", used.join(","));
        }
        let line = |index| format!("request r{index} cpu=0.3 memory=300Mi gpu=T4:{count}x{tenths}00 lot=shape\n");
        let one_by_one: String = (0..requests).map(line).collect();
        let one_by_one = Scenario::read(&format!("{text}{one_by_one}"));
        let lot = Scenario::read(&format!("{text}{}lot like=r0 count={requests} first=r0", line(0)));
        prop_assert_eq!(unserved(&lot.open_growth()), requests - served(&one_by_one) as u64);
    }

    #[test]
    fn items_of_one_shape_get_what_their_sum_gets(
        shapes in prop::collection::vec((1..9_u8, 1..9_u8, 0..3_u8, 1..50_u64, 0..50_u64), 1..8),
        workers in 0..3_u8,
        limit in 1..400_u64,
    ) {
        let mut text = format!("quota default cpu={limit}\npool p cpu=10 memory=10Gi max=20\npool q cpu=16 gpu=T4:3 max=9\n");
        for index in 0..workers {
            let _ = writeln!(text, "worker w{index} cpu=10 used.cpu={index}.5 pool=p\nworker q{index} pool=q status=pending");
        }
        for (index, (cpu, memory, gpus, ..)) in shapes.iter().enumerate() {
            let gpu = if *gpus > 0 { format!("gpu=T4:{gpus}") } else { String::new() };
            let _ = writeln!(text, "request r{index} cpu={cpu} memory={memory}Gi {gpu}");
        }
        let scenario = Scenario::read(&text);
        let key = |rank: usize| OrderKey { rank: i64::try_from(rank).unwrap(), ..OrderKey::default() };
        let item = |index: usize, second, count| {
            let ask = &*scenario.batch[index].ask;
            Demand { ask, key: key(2 * index + second), count, ids: &[] }
        };
        let counts = || shapes.iter().enumerate().map(|(index, &(.., a, b))| (index, a, b));
        let sums: Vec<Demand<'_>> = counts().map(|(index, a, b)| item(index, 0, a + b)).collect();
        let parts: Vec<Demand<'_>> = counts().flat_map(|(index, a, b)| [item(index, 1, b), item(index, 0, a)]).collect();
        let asked = |demand: &[_]| new_workers(&scenario.rooms(), &scenario.fleet, demand, &scenario.policy);
        prop_assert_eq!(asked(&parts), asked(&sums));
    }

    #[test]
    fn what_goes_is_not_asked_for_again(
        workers in prop::collection::vec((0..3_u8, 0..4_u8, 0..6_u8), 1..20),
        (min, warm) in (0..8_u8, 0..5_u8),
        requests in prop::collection::vec(1..8_u8, 0..4),
    ) {
        let mut text = format!("pool p min={min} warm={warm} max=1000\npool q cpu=6 max=1000 warm=1\n");
        let mut idle = Vec::new();
        for (index, (pool, status, used)) in workers.into_iter().enumerate() {
            let pool = ["p cpu=4", "q cpu=6", "p cpu=2"][usize::from(pool)];
            let status = ["available", "available", "pending", "cordoned"][usize::from(status)];
            let used = if used > 2 { 0 } else { used };
            let _ = writeln!(text, "worker w{index} pool={pool} status={status} used.cpu={used}");
            idle.push(format!("w{index}"));
        }
        for (index, cpu) in requests.iter().enumerate() {
            let _ = writeln!(text, "request r{index} cpu={cpu}");
        }
        let before = Scenario::read(&format!("{text}idle {}", idle.join(" ")));
        let mut after = before.clone();
        for id in before.surplus() {
            after.fleet.remove(&id);
        }
        prop_assert_eq!(after.open_growth(), before.open_growth());
    }

    #[test]
    fn neither_the_order_of_pools_nor_that_of_demand_changes_anything(
        requests in prop::collection::vec((1..8_u8, 1..8_u8), 1..30),
        used in prop::collection::vec(0..8_u8, 0..6),
    ) {
        let mut text = String::from("pool p cpu=8 max=20\npool q cpu=8 priority=1 max=3\n");
        for (index, used) in used.iter().enumerate() {
            let _ = writeln!(text, "worker w{index} cpu=8 used.cpu={used}");
        }
        for (index, (cpu, memory)) in requests.iter().enumerate() {
            let _ = writeln!(text, "request r{index} cpu={cpu} memory={memory}Gi");
        }
        let scenario = Scenario::read(&text);
        let mut demand = open_demand(&scenario.fleet.lots, &scenario.batch);
        demand.reverse();
        let mut rooms = scenario.rooms();
        rooms.reverse();
        prop_assert_eq!(new_workers(&rooms, &scenario.fleet, &demand, &scenario.policy), scenario.open_growth());
    }
}
