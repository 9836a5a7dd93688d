//! Who is ahead of whom in a batch, and in the lots that wait already.

use expect_test::expect;

use super::scenario::check;

#[test]
fn requests_are_placed_by_key_and_answered_in_the_order_given() {
    check(
        "
        worker a cpu=1
        request late key=3
        request first key=1
        request last key=9
        ",
        expect![[r#"
            late waits: no worker has room: 1 of 1 worker lacks cpu
            first -> a
            last waits: no worker has room: 1 of 1 worker lacks cpu
        "#]],
    );
}

#[test]
fn those_alike_share_the_reason_of_the_first() {
    check(
        "
        worker a cpu=4 memory=16Gi used.cpu=2
        request r1 cpu=3
        request r2 cpu=2 memory=16Gi
        request r3 cpu=3
        request r4 cpu=3 memory=2Gi
        ",
        expect![[r#"
            r1 waits: no worker has room: 1 of 1 worker lacks cpu
            r2 -> a
            r3 waits: no worker has room: 1 of 1 worker lacks cpu
            r4 waits: no worker has room: 1 of 1 worker lacks cpu
        "#]],
    );
}

#[test]
fn a_smaller_one_may_pass_a_larger_one_of_another_lot() {
    check(
        "
        worker a cpu=4 used.cpu=2
        request large cpu=4
        request small cpu=1
        ",
        expect![[r#"
            large waits: no worker has room: 1 of 1 worker lacks cpu
            small -> a
        "#]],
    );
}

#[test]
fn a_ready_one_joins_the_lot_whose_first_is_ahead() {
    check(
        "
        worker a cpu=8
        request r1 key=10
        request r2 key=11
        lot like=r1 count=3 first=5
        ",
        expect![[r#"
            r1 waits: 3 requests are ahead
            r2 waits: 4 requests are ahead
        "#]],
    );
}

#[test]
fn a_ready_one_does_not_wait_for_a_lot_that_is_behind() {
    check(
        "
        worker a cpu=8
        request r1 key=4
        request r2 key=6
        lot like=r1 count=3 first=5
        ",
        expect![[r#"
            r1 -> a
            r2 waits: 3 requests are ahead
        "#]],
    );
}

#[test]
fn a_lot_that_is_read_whole_holds_nobody_back() {
    check(
        "
        worker a cpu=3
        request p1 key=5 lot=shape
        request p2 key=7 lot=shape
        request r1 key=6
        request r2 key=8
        lot like=p1 count=2 first=5
        ",
        expect![[r#"
            p1 -> a
            p2 -> a
            r1 -> a
            r2 waits: no worker has room: 1 of 1 worker lacks cpu
        "#]],
    );
}

#[test]
fn a_lot_that_is_read_in_part_keeps_those_behind_it_though_all_of_that_part_is_placed() {
    check(
        "
        worker a cpu=8
        request p1 key=5 lot=shape
        request p2 key=6 lot=shape
        request r1 key=9
        request r2 key=10
        lot like=p1 count=4 first=5
        ",
        expect![[r#"
            p1 -> a
            p2 -> a
            r1 waits: 2 requests are ahead
            r2 waits: 3 requests are ahead
        "#]],
    );
}

#[test]
fn one_that_joined_a_lot_is_ahead_of_those_of_the_lot_that_come_later() {
    check(
        "
        worker a cpu=8
        request p1 key=5 lot=shape
        request r1 key=6
        request p2 key=7 lot=shape
        lot like=p1 count=3 first=5
        ",
        expect![[r#"
            p1 -> a
            r1 waits: 1 request is ahead
            p2 waits: 1 request is ahead
        "#]],
    );
}

#[test]
fn where_there_is_no_room_that_is_said_and_not_who_is_ahead() {
    check(
        "
        worker a cpu=1 used.cpu=1
        request p1 key=5 lot=shape
        request r1 key=6
        lot like=p1 count=4 first=5
        ",
        expect![[r#"
            p1 waits: no worker has room: 1 of 1 worker lacks cpu
            r1 waits: no worker has room: 1 of 1 worker lacks cpu
        "#]],
    );
}
