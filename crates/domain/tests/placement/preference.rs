//! Which of several workers, each preference before the next.

use expect_test::expect;

use super::scenario::check;

#[test]
fn a_wished_type_before_failover_whatever_the_priority() {
    check(
        "
        policy failover.A10G=p,q
        worker a gpu=L40S pool=q priority=100
        worker b gpu=RTX4090 pool=p priority=50
        worker c gpu=A10G
        request r1 gpu=A10G
        request r2 gpu=A10G
        request r3 gpu=A10G
        request r4 gpu=A10G
        ",
        expect![[r#"
            r1 -> c gpu[0]
            r2 -> b gpu[0]
            r3 -> a gpu[0]
            r4 waits: no worker has room: 3 of 3 workers lack GPU room
        "#]],
    );
}

#[test]
fn failover_chains_follow_one_another_in_the_order_of_the_wishes() {
    check(
        "
        policy failover.A10G=q failover.L4=p
        worker a gpu=X1 pool=p
        worker b gpu=X2 pool=q
        request r1 gpu=A10G|L4
        request r2 gpu=A10G|L4
        ",
        expect![[r#"
            r1 -> b gpu[0]
            r2 -> a gpu[0]
        "#]],
    );
}

#[test]
fn priority_less_the_place_in_the_wish_list() {
    check(
        "
        worker a gpu=T4
        worker b gpu=L4 priority=1
        worker c gpu=A100 priority=3
        request r1 gpu=T4|L4|A100
        request r2 gpu=T4|L4|A100
        request r3 gpu=T4|L4|A100
        ",
        expect![[r#"
            r1 -> c gpu[0]
            r2 -> a gpu[0]
            r3 -> b gpu[0]
        "#]],
    );
}

#[test]
fn priority_before_affinity_and_strategy() {
    check(
        "
        worker a cpu=2
        worker b cpu=8 priority=1
        request r1 affinity=x
        request r2 affinity=y
        request r3 affinity=z
        request r4
        ",
        expect![[r#"
            r1 -> b
            r2 -> b
            r3 -> b
            r4 -> b
        "#]],
    );
}

#[test]
fn affinity_gathers_those_alike_until_there_is_no_room() {
    check(
        "
        worker a cpu=2
        worker b cpu=2
        worker c cpu=2
        request x1 affinity=x
        request y1 affinity=y
        request x2 affinity=x
        request y2 affinity=y
        request x3 affinity=x
        request x4 affinity=x
        ",
        expect![[r#"
            x1 -> c
            y1 -> b
            x2 -> c
            y2 -> b
            x3 -> a
            x4 -> a
        "#]],
    );
}

#[test]
fn affinity_stays_when_other_workers_leave() {
    check(
        "
        worker a status=cordoned
        worker b
        worker c
        request x1 affinity=x
        request y1 affinity=y
        ",
        expect![[r#"
            x1 -> c
            y1 -> b
        "#]],
    );
}

#[test]
fn best_fit_leaves_the_least() {
    check(
        "
        worker a cpu=8
        worker b cpu=4
        worker c cpu=4 used.cpu=2
        request r1 cpu=1
        request r2 cpu=3
        request r3 cpu=1
        request r4 cpu=1
        ",
        expect![[r#"
            r1 -> c
            r2 -> b
            r3 -> b
            r4 -> c
        "#]],
    );
}

#[test]
fn spread_leaves_the_most() {
    check(
        "
        policy strategy=spread
        worker a cpu=8
        worker b cpu=4
        worker c cpu=4 used.cpu=2
        request r1 cpu=3
        request r2 cpu=1
        request r3 cpu=1
        request r4 cpu=1
        ",
        expect![[r#"
            r1 -> a
            r2 -> a
            r3 -> b
            r4 -> a
        "#]],
    );
}

#[test]
fn best_fit_counts_free_gpus_for_requests_without_gpus() {
    check(
        "
        policy cpu_on_gpu_workers=allowed
        worker a cpu=4 gpu=T4:4
        worker b cpu=8
        request r1 cpu=1
        ",
        expect![[r#"
            r1 -> b
        "#]],
    );
}

#[test]
fn best_fit_divides_by_the_largest_total_of_the_fleet() {
    // In MiB and milli alone, the free memory of `a` would outweigh everything.
    check(
        "
        worker a cpu=4 memory=32Gi
        worker b cpu=16 memory=16Gi
        worker z cpu=64 memory=1Ti status=cordoned
        request r1
        ",
        expect![[r#"
            r1 -> a
        "#]],
    );
}

#[test]
fn the_smallest_id_among_equals() {
    check(
        "
        worker c
        worker b
        worker a status=pending
        request r1
        ",
        expect![[r#"
            r1 -> b
        "#]],
    );
}

#[test]
fn shares_go_to_the_fullest_device_and_whole_ones_to_the_first() {
    check(
        "
        worker a cpu=16 gpu=T4:4 used.gpu=0,500,700
        request r1 gpu=T4:1x300
        request r2 gpu=T4:1x300
        request r3 gpu=T4:2x200
        request r4 gpu=T4:1
        request r5 gpu=T4:1
        ",
        expect![[r#"
            r1 -> a gpu[2]
            r2 -> a gpu[1]
            r3 -> a gpu[0,1]
            r4 -> a gpu[3]
            r5 waits: no worker has room: 1 of 1 worker lacks GPU room
        "#]],
    );
}
