//! How pools grow for all that waits, what they keep, and what they let go.

use std::sync::Arc;

use domain::fleet::PoolTemplate;
use domain::id::{GpuType, Revision};
use domain::provisioning::{DEMAND_LOTS_MAX, PoolRoom, corrected, may_grow, new_workers, open_demand};
use domain::request::{Ask, OrderKey};
use domain::resources::Capacity;
use domain::wait::{LotKey, LotRow, Why};
use domain::worker::{DEFAULT_RUNTIME, WorkerSpec};
use expect_test::expect;

use super::scenario::{Scenario, check_pools};

#[test]
fn a_lot_is_one_item_and_its_workers_are_exact() {
    check_pools(
        "
        pool p cpu=7 memory=64Gi max=1000000
        request r cpu=2 lot=shape
        lot like=r count=1000000 first=r
        ",
        expect![[r#"
            p: 0 for min, 333334 for demand, 0 for warm;
        "#]],
    );
}

#[test]
fn who_was_read_from_a_lot_is_counted_once_and_others_are_added() {
    check_pools(
        "
        pool p cpu=4
        request read cpu=2 lot=shape
        request ready cpu=2
        lot like=read count=3 first=read
        ",
        expect![[r#"
            p: 0 for min, 2 for demand, 0 for warm; ready
        "#]],
    );
}

#[test]
fn only_lots_that_wait_for_room_are_demand() {
    check_pools(
        "
        pool p
        request read workspace=team cpu=4 lot=quota
        lot quota=team count=3 first=read
        lot count=5
        ",
        expect![[r#"
            p: 0 for min, 1 for demand, 0 for warm; read
        "#]],
    );
}

#[test]
fn of_more_lots_than_are_laid_those_that_stand_first_are() {
    let ask = Scenario::read("request r").batch[0].ask.clone();
    let lot = |rank: usize| {
        let ask = Arc::new(Ask { cpu_milli: 1 + rank as u64, ..(*ask).clone() });
        let key = LotKey::Shape(ask.shape());
        let first = OrderKey { rank: i64::try_from(rank).unwrap(), ..OrderKey::default() };
        let row = LotRow { key, ask: Some(ask), count: 1, first, why: Why::NoWorkers, changed: Revision(1) };
        (row.key.clone(), row)
    };
    let lots = (0..DEMAND_LOTS_MAX + 5).map(lot).collect();
    let open = open_demand(&lots, []);
    assert_eq!(open.len(), DEMAND_LOTS_MAX);
    assert!(open.iter().all(|demand| demand.ask.cpu_milli <= DEMAND_LOTS_MAX as u64));
}

#[test]
fn what_is_there_comes_before_what_is_asked_for_and_that_before_what_is_new() {
    check_pools(
        "
        worker a pool=p used.cpu=1
        worker b pool=p used.cpu=4
        worker c pool=p status=pending
        worker d pool=p status=cordoned
        pool p
        request r1 cpu=3
        request r2 cpu=3
        request r3 cpu=3
        request r4 cpu=1
        ",
        expect![[r#"
            p: 0 for min, 1 for demand, 0 for warm; r3
        "#]],
    );
}

#[test]
fn what_a_request_likes_most_is_filled_first() {
    // Only a may serve r2, and r1 would have taken it had it gone to the first.
    check_pools(
        "
        worker a pool=q
        worker b pool=p priority=1
        pool q
        request r1 cpu=4
        request r2 cpu=3 pool=q
        ",
        expect![[r#""#]],
    );
}

#[test]
fn a_pool_keeps_its_least_and_demand_uses_that() {
    check_pools(
        "
        worker a pool=p status=lost
        worker b pool=p status=cordoned
        worker c pool=p status=pending used.cpu=4
        pool p min=3
        request r1 cpu=4
        request r2 cpu=4
        request r3 cpu=4
        ",
        expect![[r#"
            p: 2 for min, 1 for demand, 0 for warm; r1 r2 r3
        "#]],
    );
}

#[test]
fn so_many_are_empty_once_demand_is_laid() {
    check_pools(
        "
        worker a pool=p
        worker b pool=p status=pending
        worker c pool=p used.cpu=1
        pool p warm=3
        request r1 cpu=4
        ",
        expect![[r#"
            p: 0 for min, 0 for demand, 2 for warm;
        "#]],
    );
}

#[test]
fn those_kept_whoever_asks_are_warm_if_nobody_does() {
    check_pools(
        "pool p min=2 warm=3",
        expect![[r#"
        p: 2 for min, 0 for demand, 1 for warm;
    "#]],
    );
}

#[test]
fn demand_comes_before_what_is_warm_and_the_least_before_both() {
    check_pools(
        "
        worker a pool=p used.cpu=4
        pool p min=2 warm=2 max=4
        request r1 cpu=4
        request r2 cpu=4
        ",
        expect![[r#"
            p: 1 for min, 1 for demand, 1 for warm; r1 r2
        "#]],
    );
}

#[test]
fn what_bounds_growth_is_told() {
    check_pools(
        "
        quota team cpu=8
        worker p1 pool=p used.cpu=4
        pool p max=2
        pool q add=2 requires_pool_selector
        request r1 cpu=4 pool=p
        request r2 cpu=4 pool=p
        request r3 cpu=5
        request r4 cpu=4 pool=q
        request r5 cpu=4 pool=q
        request r6 cpu=4 pool=q
        request r7 cpu=1 workspace=team
        request r8 cpu=8 workspace=team
        request r9 cpu=1 workspace=team
        ",
        expect![[r#"
            p: 0 for min, 1 for demand, 0 for warm; r1
            q: 0 for min, 2 for demand, 0 for warm; r4 r5
            2 unserved: quota
            1 unserved: no template
            2 unserved: p at its max
            1 unserved: no more of q now
        "#]],
    );
}

#[test]
fn of_several_bounds_the_one_that_passes_by_itself_is_told() {
    check_pools(
        "
        pool p max=0 priority=1
        pool q add=0
        request r1
        ",
        expect![[r#"
            1 unserved: no more of q now
        "#]],
    );
}

#[test]
fn a_quota_lets_so_many_of_a_lot_grow_the_fleet_and_nobody_passes() {
    check_pools(
        "
        quota team cpu=24
        used team cpu=4
        worker a pool=p status=pending
        pool p max=100
        request big workspace=team cpu=4 lot=shape
        request small workspace=team cpu=1
        request other cpu=1
        lot like=big count=1000 first=big
        ",
        expect![[r#"
            p: 0 for min, 5 for demand, 0 for warm; other
            996 unserved: quota
        "#]],
    );
}

#[test]
fn one_that_can_never_fit_its_quota_holds_up_nobody() {
    check_pools(
        "
        quota team cpu=3
        pool p
        request never workspace=team cpu=4
        request may workspace=team cpu=3
        ",
        expect![[r#"
            p: 0 for min, 1 for demand, 0 for warm; may
            1 unserved: quota
        "#]],
    );
}

#[test]
fn memory_overhead_and_shares_of_devices_are_counted_for_lots() {
    // 4 devices hold 8 shares of 400 milli, but 3 Gi and a tenth of it fit 7 times into 24 Gi.
    check_pools(
        "
        policy overhead=10
        pool p cpu=64 memory=24Gi gpu=T4:4
        request r cpu=1 memory=3Gi gpu=T4:1x400 lot=shape
        lot like=r count=15 first=r
        ",
        expect![[r#"
            p: 0 for min, 3 for demand, 0 for warm;
        "#]],
    );
}

#[test]
fn idle_workers_go_but_those_that_a_pool_keeps() {
    check_pools(
        "
        worker a pool=p
        worker b pool=p
        worker c pool=p used.cpu=1
        worker d pool=p
        worker e pool=p status=pending
        worker f pool=other
        pool p min=3
        idle a b c d e f
        ",
        expect![[r#"
            d may go
            b may go
        "#]],
    );
    check_pools(
        "
        worker a pool=p
        worker b pool=p
        worker c pool=p used.cpu=1
        worker d pool=p
        worker e pool=p status=pending
        pool p warm=2
        idle a b d
        ",
        expect![[r#"
            d may go
            b may go
        "#]],
    );
}

#[test]
fn idle_workers_stay_while_somebody_could_use_them() {
    check_pools(
        "
        quota team cpu=0
        worker a pool=p label.zone=eu
        worker b pool=p label.zone=us
        worker c pool=p label.zone=eu status=draining
        pool p
        request r1 cpu=1 label.zone=eu
        request r2 cpu=1 label.zone=us workspace=team
        idle a b c
        ",
        expect![[r#"
            1 unserved: quota
            c may go
            b may go
        "#]],
    );
}

#[test]
fn those_of_a_low_priority_go_first() {
    check_pools(
        "
        worker a pool=p priority=1
        worker b pool=p
        worker c pool=p
        worker d pool=p priority=1 status=cordoned
        pool p min=1
        idle a b c d
        ",
        expect![[r#"
            c may go
            b may go
            d may go
        "#]],
    );
    check_pools(
        "
        worker a pool=p priority=1
        worker b pool=p
        worker c pool=p
        pool p min=2
        idle a b c
        ",
        expect![[r#"
            c may go
        "#]],
    );
}

#[test]
fn nothing_need_be_computed_while_no_pool_may_grow() {
    let may_grow = |text: &str| {
        let scenario = Scenario::read(text);
        may_grow(&scenario.rooms(), &scenario.fleet)
    };
    assert!(may_grow("pool p max=1"));
    assert!(!may_grow("pool p max=1\nworker a pool=p status=lost"));
    assert!(!may_grow("pool p max=1 add=0"));
    assert!(may_grow("pool p max=1\nworker a pool=p\npool q max=1"));
}

#[test]
fn a_template_is_corrected_to_what_its_workers_turn_out_to_be() {
    let template = |cpu_milli, memory_mib, gpu: Option<(&str, u32)>| {
        let gpu_type = gpu.map(|(kind, _)| GpuType::new(kind).unwrap());
        let total = Capacity { cpu_milli, memory_mib, gpu_type, gpu_count: gpu.map_or(0, |(_, count)| count) };
        let spec = WorkerSpec::plain("p".parse().unwrap(), DEFAULT_RUNTIME.parse().unwrap(), total);
        PoolTemplate { name: "p".parse().unwrap(), spec: Arc::new(spec), workers_max: 10 }
    };
    let check = |found: &[PoolTemplate], expected: &PoolTemplate| {
        let expected_of = template(10_000, 1024, Some(("T4", 4)));
        assert_eq!(corrected(&expected_of, found.iter().map(|found| &*found.spec)), *expected);
    };
    check(&[], &template(10_000, 1024, Some(("T4", 4))));
    check(&[template(20_000, 2048, Some(("t4", 8)))], &template(10_000, 1024, Some(("T4", 4))));
    check(&[template(9_500, 2048, Some(("t4", 4)))], &template(9_500, 1024, Some(("T4", 4))));
    check(
        &[template(9_500, 2048, Some(("T4", 4))), template(10_000, 1000, Some(("T4", 2)))],
        &template(9_500, 1000, Some(("T4", 2))),
    );
    check(&[template(10_000, 1024, Some(("A100", 4)))], &template(10_000, 1024, None));
    check(&[template(10_000, 1024, None)], &template(10_000, 1024, None));
}

#[test]
fn none_is_asked_for_where_workers_turn_out_too_small() {
    let scenario = Scenario::read("pool p cpu=10\nworker a pool=p cpu=9.5 used.cpu=9.5\nrequest r cpu=10");
    let demand = open_demand(&scenario.fleet.lots, &scenario.batch);
    let found = scenario.fleet.workers().iter().map(|worker| &*worker.spec);
    let template = corrected(&scenario.fleet.pools[0], found);
    let room = PoolRoom::on_demand(&template);
    let asked = |room| new_workers(&[room], &scenario.fleet, &demand, &scenario.policy).new_workers.len();
    assert_eq!(asked(room), 0);
    assert_eq!(asked(scenario.rooms()[0]), 1);
}

#[test]
fn workers_that_may_not_serve_what_waits_are_left_empty_beside_those_to_come() {
    check_pools(
        "
        worker a pool=p
        worker b pool=p status=pending
        worker c pool=p label.zone=b
        pool p label.zone=b
        request r1 cpu=4 label.zone=b
        request r2 cpu=4 label.zone=b
        ",
        expect![[r#"
            p: 0 for min, 1 for demand, 0 for warm; r2; 1 left empty
        "#]],
    );
}
