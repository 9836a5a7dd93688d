//! What a workspace may use together.

use expect_test::expect;

use super::scenario::check;

#[test]
fn the_plan_counts_what_it_placed_itself() {
    check(
        "
        worker a cpu=64
        quota team cpu=24
        request r1 workspace=team cpu=12
        request r2 workspace=team cpu=12
        request r3 workspace=team cpu=16
        request r4 workspace=team cpu=25
        request r5 workspace=other cpu=16
        ",
        expect![[r#"
            r1 -> a
            r2 -> a
            r3 waits in the quota lot of team: quota of workspace team: needs 16 cpu, 0 free (24 of 24 used)
            r4 waits: can never fit the quota of workspace team: needs 25 cpu, the limit is 24
            r5 -> a
        "#]],
    );
}

#[test]
fn one_that_waits_for_its_quota_runs_when_enough_is_free() {
    let with_used = |cpu: u32| {
        format!(
            "
            worker a cpu=64
            quota team cpu=24
            used team cpu={cpu}
            request r3 workspace=team cpu=16 lot=quota
            lot quota=team count=1 first=0
            "
        )
    };
    check(
        &with_used(12),
        expect![[r#"
        r3 waits in the quota lot of team: quota of workspace team: needs 16 cpu, 12 free (12 of 24 used)
    "#]],
    );
    check(
        &with_used(0),
        expect![[r#"
        r3 -> a
    "#]],
    );
}

#[test]
fn a_lowered_limit_leaves_nothing_free() {
    check(
        "
        worker a cpu=64
        quota team cpu=8
        used team cpu=24
        request r1 workspace=team
        ",
        expect![[r#"
            r1 waits in the quota lot of team: quota of workspace team: needs 1 cpu, 0 free (24 of 8 used)
        "#]],
    );
}

#[test]
fn each_limit_and_a_limit_of_zero() {
    check(
        "
        worker a cpu=64 memory=64Gi
        worker b cpu=64 memory=64Gi gpu=T4:8
        quota m memory=2Gi
        quota g gpus=1.5
        quota c containers=1
        quota z cpu=0
        request m1 workspace=m memory=1Gi
        request m2 workspace=m memory=1.5Gi
        request g1 workspace=g gpu=T4:2x500
        request g2 workspace=g gpu=T4
        request c1 workspace=c
        request c2 workspace=c
        request z1 workspace=z
        ",
        expect![[r#"
            m1 -> a
            m2 waits in the quota lot of m: quota of workspace m: needs 1536Mi memory, 1Gi free (1Gi of 2Gi used)
            g1 -> b gpu[0,1]
            g2 waits in the quota lot of g: quota of workspace g: needs 1 gpus, 0.5 free (1 of 1.5 used)
            c1 -> a
            c2 waits in the quota lot of c: quota of workspace c: needs 1 containers, 0 free (1 of 1 used)
            z1 waits: can never fit the quota of workspace z: needs 1 cpu, the limit is 0
        "#]],
    );
}

#[test]
fn a_quota_does_not_count_the_overhead() {
    check(
        "
        policy overhead=100
        worker a memory=8Gi
        quota team memory=4Gi
        request r1 workspace=team memory=4Gi
        ",
        expect![[r#"
            r1 -> a
        "#]],
    );
}

#[test]
fn one_limit_that_can_never_fit_is_said_before_one_that_is_full() {
    check(
        "
        worker a cpu=64
        quota team cpu=24 memory=8Gi
        used team cpu=24
        request r1 workspace=team memory=9Gi
        ",
        expect![[r#"
            r1 waits: can never fit the quota of workspace team: needs 9Gi memory, the limit is 8Gi
        "#]],
    );
}

#[test]
fn nobody_passes_one_of_its_workspace_that_waits_for_the_quota() {
    check(
        "
        worker a cpu=64
        quota team cpu=24
        used team cpu=12
        request large workspace=team cpu=16
        request small workspace=team cpu=1
        request never workspace=team cpu=25
        request other workspace=other cpu=1
        ",
        expect![[r#"
            large waits in the quota lot of team: quota of workspace team: needs 16 cpu, 12 free (12 of 24 used)
            small waits in the quota lot of team: 1 request is ahead
            never waits: can never fit the quota of workspace team: needs 25 cpu, the limit is 24
            other -> a
        "#]],
    );
}

#[test]
fn a_ready_one_joins_the_quota_lot_whose_first_is_ahead() {
    check(
        "
        worker a cpu=64
        quota team cpu=24
        request p1 workspace=team cpu=16 key=2 lot=quota
        request r1 workspace=team cpu=1 key=1
        request r2 workspace=team cpu=2 key=9
        lot quota=team count=3 first=2
        ",
        expect![[r#"
            p1 -> a
            r1 -> a
            r2 waits in the quota lot of team: 2 requests are ahead
        "#]],
    );
}

#[test]
fn a_quota_is_asked_before_room() {
    check(
        "
        worker a cpu=1
        quota team cpu=24
        used team cpu=20
        request r1 workspace=team cpu=8
        ",
        expect![[r#"
            r1 waits in the quota lot of team: quota of workspace team: needs 8 cpu, 4 free (20 of 24 used)
        "#]],
    );
}
