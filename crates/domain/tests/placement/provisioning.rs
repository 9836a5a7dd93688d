//! What the fleet would need to grow by.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use domain::placement::{Verdict, plan};
use domain::provisioning::NewWorkers;
use expect_test::expect;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::scenario::{Scenario, check_growth};

#[test]
fn identical_requests_get_exactly_as_many_as_hold_them() {
    // The seed asked for one worker a request: thirty that fit on three asked for thirty.
    let requests: Vec<String> = (1..=30).map(|n| format!("request r{n} cpu=2 memory=1Gi")).collect();
    check_growth(
        &format!("pool p cpu=20 max=100\n{}", requests.join("\n")),
        expect![[r#"
        3 of p for r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 r13 r14 r15 r16 r17 r18 r19 r20 r21 r22 r23 r24 r25 r26 r27 r28 r29 r30
    "#]],
    );
}

#[test]
fn what_has_room_and_what_never_has_is_no_demand() {
    check_growth(
        "
        worker a
        pool p cpu=8
        quota team cpu=1
        request placed cpu=4
        request demand cpu=4
        request never cpu=9
        request over-quota workspace=team cpu=2
        ",
        expect![[r#"
            placed -> a
            never waits: can never fit: asks 9 cpu, the largest worker that may serve it, one of pool p, has 8
            over-quota waits: can never fit the quota of workspace team: needs 2 cpu, the limit is 1
            1 of p for demand
        "#]],
    );
}

#[test]
fn workers_that_are_asked_for_come_first() {
    check_growth(
        "
        worker a status=pending pool=p
        worker b status=pending pool=p used.cpu=3
        worker c status=cordoned pool=p
        pool p
        request r1 cpu=2
        request r2 cpu=2
        request r3 cpu=1
        request r4 cpu=3
        ",
        expect![[r#"
            1 of p for r1 r2
        "#]],
    );
}

#[test]
fn the_largest_are_laid_first() {
    // In line they would need three: 2+2, 3, 3.
    check_growth(
        "
        pool p cpu=5 memory=64Gi
        request r1 cpu=2
        request r2 cpu=2
        request r3 cpu=3
        request r4 cpu=3
        ",
        expect![[r#"
            2 of p for r1 r2 r3 r4
        "#]],
    );
}

#[test]
fn a_pool_never_grows_beyond_its_most_and_the_next_takes_the_rest() {
    check_growth(
        "
        worker p1 pool=p used.cpu=4
        worker p2 pool=p status=lost
        pool p max=3
        pool q cpu=2 max=1
        request r1 cpu=4
        request r2 cpu=2
        request r3 cpu=2
        ",
        expect![[r#"
            1 of p for r1
            1 of q for r2
        "#]],
    );
}

#[test]
fn of_equal_pools_the_one_whose_workers_hold_most() {
    check_growth(
        "
        pool a cpu=2
        pool b cpu=16
        pool c cpu=16
        request r1 cpu=2
        request r2 cpu=2
        ",
        expect![[r#"
            1 of b for r1 r2
        "#]],
    );
}

#[test]
fn a_wished_gpu_before_failover() {
    check_growth(
        "
        policy failover.A10G=q
        pool p gpu=A10G max=1
        pool q gpu=RTX4090:8 priority=9
        request r1 gpu=A10G
        request r2 gpu=A10G
        request r3 gpu=A10G pool=p
        request r4 gpu=H100
        ",
        expect![[r#"
            r4 waits: can never fit: even one of pool p, which comes closest, has no H100 GPU
            1 of p for r1
            1 of q for r2
        "#]],
    );
}

#[test]
fn shares_of_gpus_share_new_devices() {
    check_growth(
        "
        pool p gpu=T4:2 cpu=64
        request r1 gpu=T4:1x300
        request r2 gpu=T4:2x500
        request r3 gpu=T4:1x300
        request r4 gpu=T4:1x1000
        ",
        expect![[r#"
            2 of p for r1 r2 r3 r4
        "#]],
    );
}

#[test]
fn no_workers_are_asked_for_that_a_quota_would_leave_idle() {
    let requests: Vec<String> = (1..=100).map(|n| format!("request r{n} workspace=team cpu=4")).collect();
    check_growth(
        &format!("quota team cpu=24\nused team cpu=4\npool p max=100\n{}", requests.join("\n")),
        expect![[r#"
            5 of p for r1 r2 r3 r4 r5
        "#]],
    );
}

/// Small requests and one pool, as the lines of a scenario.
fn lines(requests: &[(u8, u8, u8, u8)], pool: (u8, u8, u8)) -> String {
    let (cpu, memory, gpus) = pool;
    let mut text = format!("pool p max=1000 cpu={cpu} memory={memory}Gi\n");
    if gpus > 0 {
        text = format!("pool p max=1000 cpu={cpu} memory={memory}Gi gpu=T4:{gpus}\n");
    }
    for (index, (cpu, memory, count, tenths)) in requests.iter().enumerate() {
        let gpu = if gpus > 0 { format!("gpu=T4:{count}x{tenths}00") } else { String::new() };
        let _ = writeln!(text, "request r{index} cpu={cpu} memory={memory}Gi {gpu}");
    }
    text
}

/// The fleet once it grew by what it asked for, and is available.
fn grown(scenario: &Scenario) -> (u64, Scenario) {
    let verdicts = plan(&scenario.fleet, &scenario.batch, &scenario.policy);
    let new = scenario.growth(&verdicts);
    let count: u64 = new.iter().map(NewWorkers::count).sum();
    let workers: BTreeMap<_, _> = new.iter().map(|new| (new.pool.clone(), new.count())).collect();
    (count, scenario.with_workers(&workers))
}

fn placed(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Place { .. })).count()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::default()
    })]

    #[test]
    fn identical_requests_fit_exactly_on_what_was_asked_for(
        request in (1..5_u8, 1..5_u8, 1..3_u8, 1..=10_u8),
        pool in (4..20_u8, 4..20_u8, 0..4_u8),
        count in 1..40_usize,
    ) {
        // How many an empty worker holds is counted by planning on one.
        let many = Scenario::read(&lines(&vec![request; 200], pool));
        let one_worker = many.with_workers(&[("p".parse().unwrap(), 1)].into());
        let verdicts = plan(&one_worker.fleet, &one_worker.batch, &one_worker.policy);
        let fit = placed(&verdicts);

        let (new, grown) = grown(&Scenario::read(&lines(&vec![request; count], pool)));
        let expected = if fit == 0 { 0 } else { count.div_ceil(fit) };
        prop_assert_eq!(new, expected as u64);
        let verdicts = plan(&grown.fleet, &grown.batch, &grown.policy);
        prop_assert_eq!(placed(&verdicts), if fit == 0 { 0 } else { count });
    }

    #[test]
    fn mixed_requests_need_no_more_than_first_fit_decreasing(
        requests in prop::collection::vec((1..8_u8, 1..8_u8, Just(1), Just(1)), 1..40),
        pool in (8..20_u8, 8..20_u8, Just(0)),
    ) {
        let (new, _) = grown(&Scenario::read(&lines(&requests, pool)));
        let share = |part: u8, whole: u8| u64::from(part) * 1_000_000 / u64::from(whole);
        let mut sizes: Vec<_> = requests.iter().map(|&(cpu, memory, ..)| (cpu, memory)).collect();
        // Of those that are equally large, requests alike follow each other.
        let first = |size| requests.iter().position(|&(cpu, memory, ..)| (cpu, memory) == size);
        sizes.sort_by_key(|&(cpu, memory)| {
            (std::cmp::Reverse(share(cpu, pool.0) + share(memory, pool.1)), first((cpu, memory)))
        });
        let mut bins: Vec<(u8, u8)> = Vec::new();
        for (cpu, memory) in sizes {
            match bins.iter_mut().find(|bin| bin.0 >= cpu && bin.1 >= memory) {
                Some(bin) => *bin = (bin.0 - cpu, bin.1 - memory),
                None => bins.push((pool.0 - cpu, pool.1 - memory)),
            }
        }
        prop_assert!(new <= bins.len() as u64, "{new} > {}", bins.len());
    }
}
