//! What does not divide.

use expect_test::expect;

use super::scenario::{Scenario, check};

#[test]
fn requests_round_up_and_workers_round_down() {
    let scenario = Scenario::read(
        "
        worker a cpu=1.9999 memory=1.2Gi
        request r1 cpu=0.0005 memory=1.2Gi
        request r2 memory=1G
        request r3 memory=1500k
        ",
    );
    let total = &scenario.fleet.workers()[0].spec.total;
    assert_eq!((total.cpu_milli, total.memory_mib), (1999, 1228));
    let asked: Vec<_> =
        scenario.batch.iter().map(|candidate| (candidate.ask.cpu_milli, candidate.ask.memory_mib)).collect();
    assert_eq!(asked, [(1, 1229), (1000, 954), (1000, 2)]);
}

#[test]
fn ten_times_a_tenth_fill_one_cpu() {
    let tenths: Vec<String> = (1..=11).map(|n| format!("request r{n} cpu=0.1")).collect();
    check(
        &format!("worker a cpu=1\n{}", tenths.join("\n")),
        expect![[r#"
            r1 -> a
            r2 -> a
            r3 -> a
            r4 -> a
            r5 -> a
            r6 -> a
            r7 -> a
            r8 -> a
            r9 -> a
            r10 -> a
            r11 waits: no worker has room: 1 of 1 worker lacks cpu
        "#]],
    );
}

#[test]
fn what_is_asked_may_be_all_there_is() {
    check(
        "
        worker a cpu=1.9999
        request r1 cpu=1.999
        request r2 cpu=0.001
        worker b cpu=2
        request r3 cpu=2
        ",
        expect![[r#"
            r1 -> a
            r2 -> b
            r3 waits: no worker has room: 2 of 2 workers lack cpu
        "#]],
    );
}

#[test]
fn overhead_is_booked_on_top_and_rounded_up() {
    check(
        "
        policy overhead=10
        worker a memory=112Mi
        worker b memory=1000Mi used.memory=998Mi
        request r1 memory=101Mi
        request r2 memory=1Mi
        request r3 memory=1Mi
        request r4 memory=910Mi
        ",
        expect![[r#"
            r1 -> a
            r2 -> b
            r3 waits: no worker has room: 2 of 2 workers lack memory
            r4 waits: can never fit: asks 910Mi of memory with its overhead on top, the largest worker that may serve it, b, has 1000Mi
        "#]],
    );
}
