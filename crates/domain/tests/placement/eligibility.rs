//! Each rule in turn: who is kept off, and what is said of it.

use expect_test::expect;

use super::scenario::check;

#[test]
fn machine_a_pin_is_the_only_one() {
    check(
        "
        worker a machine=m1
        worker b machine=m2
        worker c
        request r1 machine=m2
        request r2 machine=m3
        ",
        expect![[r#"
            r1 -> b
            r2 waits: can never fit: even a, which comes closest, is not on machine m3
        "#]],
    );
}

#[test]
fn machine_a_pin_overrides_the_pool_rule_and_no_other() {
    check(
        "
        worker a machine=m1 pool=p requires_pool_selector
        worker b machine=m2 pool=p runtime=docker
        worker c machine=m3 gpu=T4
        request r1 machine=m1
        request r2 machine=m1 pool=q
        request r3 machine=m2 runtime=process
        request r4 machine=m3
        ",
        expect![[r#"
            r1 -> a
            r2 -> a
            r3 waits: can never fit: even b, which comes closest, does not run process
            r4 waits: can never fit: even c, which comes closest, keeps its GPUs for requests that ask for them
        "#]],
    );
}

#[test]
fn workspace_a_private_worker_serves_only_its_own() {
    check(
        "
        worker a workspace=team
        request r1 workspace=team
        request r2 workspace=other
        ",
        expect![[r#"
            r1 -> a
            r2 waits: can never fit: even a, which comes closest, serves another workspace
        "#]],
    );
}

#[test]
fn pool_a_named_one_is_the_only_one() {
    check(
        "
        worker a pool=p
        worker b pool=q requires_pool_selector
        request r1 pool=p
        request r2 pool=q
        request r3 pool=none
        request r4
        request r5 cpu=4
        ",
        expect![[r#"
            r1 -> a
            r2 -> b
            r3 waits: can never fit: even a, which comes closest, is not in pool none
            r4 -> a
            r5 waits: no worker has room: 1 of 2 workers serves only requests that name its pool, 1 lacks cpu
        "#]],
    );
}

#[test]
fn pool_that_requires_its_name_serves_those_that_fail_over_to_it() {
    check(
        "
        policy failover.A10G=p,q
        worker a pool=p gpu=RTX4090 requires_pool_selector
        request r1 gpu=A10G
        request r2 gpu=RTX4090
        request r3 gpu=any
        ",
        expect![[r#"
            r1 -> a gpu[0]
            r2 waits: can never fit: even a, which comes closest, serves only requests that name its pool
            r3 waits: can never fit: even a, which comes closest, serves only requests that name its pool
        "#]],
    );
}

#[test]
fn pool_that_is_named_never_fails_over() {
    check(
        "
        policy failover.A10G=p
        worker a pool=p gpu=RTX4090
        request r1 gpu=A10G pool=p
        request r2 gpu=A10G
        ",
        expect![[r#"
            r1 waits: can never fit: even a, which comes closest, has no A10G GPU
            r2 -> a gpu[0]
        "#]],
    );
}

#[test]
fn gpu_type_is_one_of_the_wishes_whatever_its_case() {
    check(
        "
        worker a gpu=a100
        worker b gpu=T4:2
        worker c
        request r1 gpu=A100
        request r2 gpu=L4|t4
        request r3 gpu=any
        request r4 gpu=H100
        request r5
        ",
        expect![[r#"
            r1 -> a gpu[0]
            r2 -> b gpu[0]
            r3 -> b gpu[1]
            r4 waits: can never fit: even a, which comes closest, has no H100 GPU
            r5 -> c
        "#]],
    );
}

#[test]
fn gpu_type_failover_needs_gpus() {
    check(
        "
        policy failover.A10G=p
        worker a pool=p
        request r1 gpu=A10G
        ",
        expect![[r#"
            r1 waits: can never fit: even a, which comes closest, has no A10G GPU
        "#]],
    );
}

#[test]
fn gpu_type_requests_without_gpus_keep_off_unless_the_policy_allows() {
    let scenario = "
        worker a gpu=T4
        request r1
    ";
    check(
        scenario,
        expect![[r#"
        r1 waits: can never fit: even a, which comes closest, keeps its GPUs for requests that ask for them
    "#]],
    );
    check(
        &format!("policy cpu_on_gpu_workers=allowed\n{scenario}"),
        expect![[r#"
        r1 -> a
    "#]],
    );
}

#[test]
fn runtime_is_one_that_the_worker_has() {
    check(
        "
        worker a runtime=process
        worker b runtime=docker,process
        request r1 runtime=docker
        request r2 runtime=firecracker
        request r3
        ",
        expect![[r#"
            r1 -> b
            r2 waits: can never fit: even a, which comes closest, does not run firecracker
            r3 -> b
        "#]],
    );
}

#[test]
fn preemptible_workers_are_for_those_that_say_so() {
    check(
        "
        worker a preemptible
        request r1
        request r2 preemptible
        worker b cpu=2
        request r3 preemptible cpu=4
        ",
        expect![[r#"
            r1 -> b
            r2 -> b
            r3 -> a
        "#]],
    );
}

#[test]
fn labels_must_all_be_there_with_their_values() {
    check(
        "
        worker a label.zone=eu label.disk=ssd
        worker b label.zone=us
        request r1 label.zone=eu label.disk=ssd
        request r2 label.zone=eu label.disk=hdd
        request r3 label.rack=7
        ",
        expect![[r#"
            r1 -> a
            r2 waits: can never fit: even a, which comes closest, lacks labels disk=hdd zone=eu
            r3 waits: can never fit: even a, which comes closest, lacks label rack=7
        "#]],
    );
}

#[test]
fn status_only_available_workers_take_work() {
    check(
        "
        worker a status=cordoned
        worker b status=draining
        worker c status=drained
        worker d status=pending
        worker e status=lost
        request r1
        ",
        expect![[r#"
            r1 waits: no worker takes it: 5 of 5 workers are not available
        "#]],
    );
}

#[test]
fn room_each_resource_in_turn() {
    check(
        "
        worker a cpu=1 memory=64Gi gpu=T4:4
        worker b cpu=8 memory=1Gi gpu=T4:4
        worker c cpu=8 memory=64Gi gpu=T4:2 used.gpu=600,600
        worker d cpu=8 memory=64Gi gpu=T4:2
        request r1 cpu=2 memory=2Gi gpu=T4:2
        request r2 cpu=2 memory=2Gi gpu=T4:2
        request r3 cpu=2 memory=2Gi gpu=T4:2x400
        request r4 cpu=2 memory=2Gi gpu=T4:3x100
        ",
        expect![[r#"
            r1 -> d gpu[0,1]
            r2 waits: no worker has room: 1 of 4 workers lacks cpu, 1 lacks memory, 2 lack GPU room
            r3 -> c gpu[0,1]
            r4 waits: can never fit: asks 3 GPUs, the largest worker that may serve it, c, has 2
        "#]],
    );
}

#[test]
fn an_over_committed_worker_takes_nothing_and_is_counted_once() {
    check(
        "
        policy cpu_on_gpu_workers=allowed
        worker a cpu=4 used.cpu=5
        worker b memory=4Gi used.memory=5Gi
        worker c gpu=T4 used.gpu=0,1000
        request r1 cpu=0.001 memory=1Mi
        ",
        expect![[r#"
            r1 waits: no worker has room: 1 of 3 workers lacks cpu, 1 lacks memory, 1 lacks GPU room
        "#]],
    );
}

#[test]
fn what_can_never_fit_is_told_the_largest() {
    check(
        "
        worker w1 cpu=10 memory=20Gi
        worker w2 cpu=10 memory=40Gi status=lost used.cpu=10
        worker w3 cpu=4 memory=80Gi
        pool big cpu=16 memory=30Gi gpu=A100:4
        pool none cpu=99 max=0
        request cpu cpu=64
        request cpu-of-the-pool gpu=A100 cpu=32
        request memory cpu=8 memory=41Gi
        request devices gpu=A100:8
        request in-time-1 cpu=10 memory=30Gi
        request in-time-2 gpu=A100:4
        ",
        expect![[r#"
            cpu waits: can never fit: asks 64 cpu, the largest worker that may serve it, w1, has 10
            cpu-of-the-pool waits: can never fit: asks 32 cpu, the largest worker that may serve it, one of pool big, has 16
            memory waits: can never fit: asks 41Gi of memory, the largest worker that may serve it, w2, has 40Gi
            devices waits: can never fit: asks 8 GPUs, the largest worker that may serve it, one of pool big, has 4
            in-time-1 waits: no worker has room: 1 of 3 workers is not available, 1 lacks cpu, 1 lacks memory
            in-time-2 waits: no worker takes it: 3 of 3 workers have no A100 GPU
        "#]],
    );
}

#[test]
fn an_empty_fleet_has_no_workers() {
    check(
        "request r1",
        expect![[r#"
        r1 waits: no workers registered
    "#]],
    );
    check(
        "pool p\nrequest r1",
        expect![[r#"
        r1 waits: no workers registered
    "#]],
    );
    check(
        "pool p\nrequest r1 cpu=64",
        expect![[r#"
        r1 waits: can never fit: asks 64 cpu, the largest worker that may serve it, one of pool p, has 4
    "#]],
    );
}
