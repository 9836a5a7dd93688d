//! One request, as of now: every worker once, and a sentence.

use expect_test::expect;

use super::scenario::check_explain;

#[test]
fn every_worker_is_counted_once() {
    check_explain(
        "
        worker a machine=other
        worker b gpu=T4
        worker c status=cordoned
        worker d used.cpu=4
        worker e used.memory=16Gi
        worker f
        worker g
        request r1
        ",
        expect![[r#"
            fits [a f g]
            fails [gpu_type 1, status 1, cpu 1, memory 1]
            r1 -> a
            fits on 3 workers, on a first
        "#]],
    );
}

#[test]
fn one_worker_that_fits_is_named() {
    check_explain(
        "worker a\nworker b used.cpu=4\nrequest r1",
        expect![[r#"
            fits [a]
            fails [cpu 1]
            r1 -> a
            fits on a
        "#]],
    );
}

#[test]
fn it_fits_but_others_are_ahead() {
    check_explain(
        "
        worker a
        request r1 key=9 lot=shape
        lot like=r1 count=4 first=5
        ",
        expect![[r#"
            fits [a]
            fails []
            r1 waits: 3 requests are ahead
            fits, but 3 requests are ahead
        "#]],
    );
}

#[test]
fn the_first_of_its_lot_waits_for_nobody() {
    check_explain(
        "
        worker a
        request r1 key=4 lot=shape
        lot like=r1 count=4 first=r1
        ",
        expect![[r#"
            fits [a]
            fails []
            r1 -> a
            fits on a
        "#]],
    );
    check_explain(
        "
        worker a
        request r1 key=9 lot=shape
        lot like=r1 count=1 first=5
        ",
        expect![[r#"
            fits [a]
            fails []
            r1 -> a
            fits on a
        "#]],
    );
}

#[test]
fn where_there_is_no_room_that_is_said_and_not_who_is_ahead() {
    check_explain(
        "
        worker a used.cpu=4
        worker b status=lost
        request r1 key=9
        lot like=r1 count=1 first=5
        ",
        expect![[r#"
            fits []
            fails [status 1, cpu 1]
            r1 waits: no worker has room: 1 of 2 workers is not available, 1 lacks cpu
            no worker has room: 1 of 2 workers is not available, 1 lacks cpu
        "#]],
    );
}

#[test]
fn it_fits_but_for_the_quota() {
    check_explain(
        "
        worker a
        quota team cpu=24
        used team cpu=24
        request r1 workspace=team
        ",
        expect![[r#"
            fits [a]
            fails []
            r1 waits in the quota lot of team: quota of workspace team: needs 1 cpu, 0 free (24 of 24 used)
            quota of workspace team: needs 1 cpu, 0 free (24 of 24 used)
        "#]],
    );
}

#[test]
fn its_quota_has_room_but_others_are_ahead() {
    check_explain(
        "
        worker a
        quota team cpu=24
        request r1 workspace=team key=9 lot=quota
        lot quota=team count=3 first=5
        ",
        expect![[r#"
            fits [a]
            fails []
            r1 waits in the quota lot of team: 2 requests are ahead
            fits the quota of workspace team, but 2 requests are ahead
        "#]],
    );
}

#[test]
fn what_can_never_fit_is_said_though_others_are_ahead() {
    check_explain(
        "
        worker a
        request r1 cpu=64 key=9 lot=shape
        lot like=r1 count=3 first=5
        ",
        expect![[r#"
            fits []
            fails [cpu 1]
            r1 waits: can never fit: asks 64 cpu, the largest worker that may serve it, a, has 4
            can never fit: asks 64 cpu, the largest worker that may serve it, a, has 4
        "#]],
    );
}

#[test]
fn twenty_workers_in_one_sentence() {
    let workers: Vec<String> = (1..=20).map(|n| format!("worker w{n:02} cpu=10 used.cpu=9")).collect();
    let workers = workers.join("\n");
    check_explain(
        &format!("{workers}\nrequest r1 cpu=2"),
        expect![[r#"
            fits []
            fails [cpu 20]
            r1 waits: no worker has room: 20 of 20 workers lack cpu
            no worker has room: 20 of 20 workers lack cpu
        "#]],
    );
    check_explain(
        &format!("{workers}\nrequest r1 cpu=64"),
        expect![[r#"
            fits []
            fails [cpu 20]
            r1 waits: can never fit: asks 64 cpu, the largest worker that may serve it, w01, has 10
            can never fit: asks 64 cpu, the largest worker that may serve it, w01, has 10
        "#]],
    );
}

#[test]
fn who_could_hold_it_once_it_has_booted_is_named() {
    check_explain(
        "worker a used.cpu=4\nworker b status=pending\nworker c status=pending cpu=1\nrequest r1 cpu=2",
        expect![[r#"
            fits []
            fails [status 2, cpu 1]
            boots [b]
            r1 waits: no worker has room: 2 of 3 workers are not available, 1 lacks cpu
            waits for a worker that is booting: b
        "#]],
    );
    check_explain(
        "worker a status=pending\nworker b status=pending\nrequest r1 cpu=2",
        expect![[r#"
            fits []
            fails [status 2]
            boots [a b]
            r1 waits: no worker takes it: 2 of 2 workers are not available
            waits for one of 2 workers that are booting, such as a
        "#]],
    );
    check_explain(
        "worker a\nworker b status=pending\nrequest r1 cpu=2",
        expect![[r#"
        fits [a]
        fails [status 1]
        boots [b]
        r1 -> a
        fits on a
    "#]],
    );
}
