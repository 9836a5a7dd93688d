//! How many of those who wait in lots now fit.

use expect_test::expect;

use super::scenario::check_fitting;

#[test]
fn one_lot_counts_for_what_fits_of_it() {
    check_fitting(
        "
        worker a cpu=8 used.cpu=7
        worker b cpu=8 used.cpu=5
        request small cpu=1
        lot like=small count=1000 first=1
        ",
        100,
        expect![[r#"
            4 of default cpu=1000 mem=1024
        "#]],
    );
}

#[test]
fn no_lot_counts_for_more_than_wait_in_it_and_all_for_no_more_than_a_batch() {
    check_fitting(
        "
        worker a cpu=64
        request one cpu=1
        request two cpu=2
        request three cpu=3
        lot like=one count=3 first=1
        lot like=two count=1000 first=2
        lot like=three count=1000 first=3
        ",
        10,
        expect![[r#"
            3 of default cpu=1000 mem=1024
            7 of default cpu=2000 mem=1024
        "#]],
    );
}

#[test]
fn the_first_of_a_lot_leaves_what_is_left_to_the_first_of_the_next() {
    check_fitting(
        "
        worker a cpu=8 used.cpu=4
        request large cpu=4
        request small cpu=1
        lot like=large count=1000 first=1
        lot like=small count=1000 first=2
        ",
        100,
        expect![[r#"
            1 of default cpu=4000 mem=1024
            0 of default cpu=1000 mem=1024
        "#]],
    );
    check_fitting(
        "
        worker a cpu=8 used.cpu=4
        request large cpu=4
        request small cpu=1
        lot like=large count=1000 first=2
        lot like=small count=1000 first=1
        ",
        100,
        expect![[r#"
            4 of default cpu=1000 mem=1024
            0 of default cpu=4000 mem=1024
        "#]],
    );
}

/// The second of the small ones may stand before the large ones, or behind them all.
#[test]
fn where_the_second_of_one_lot_may_stand_on_either_side_of_the_first_of_another_both_count() {
    check_fitting(
        "
        worker a cpu=8 used.cpu=4
        request small cpu=1
        request large cpu=3
        request huge cpu=4
        lot like=small count=1000 first=1
        lot like=large count=1000 first=2
        lot like=huge count=1000 first=3
        ",
        100,
        expect![[r#"
            4 of default cpu=1000 mem=1024
            1 of default cpu=3000 mem=1024
            0 of default cpu=4000 mem=1024
        "#]],
    );
}

#[test]
fn a_quota_bounds_what_fits_as_room_does() {
    check_fitting(
        "
        worker a cpu=64
        quota w cpu=10
        used w cpu=7
        request waits cpu=1 workspace=w
        request other cpu=1 workspace=v
        lot quota=w count=1000 first=waits
        lot like=other count=5 first=9
        ",
        100,
        expect![[r#"
            3 of the quota lot of w
            5 of v cpu=1000 mem=1024
        "#]],
    );
}

#[test]
fn a_quota_lot_whose_first_would_wait_elsewhere_counts_for_it_and_a_shape_does_not() {
    check_fitting(
        "
        worker a cpu=1
        quota w cpu=10
        used w cpu=10
        request shape cpu=1 workspace=w
        request room cpu=2 workspace=v
        lot like=shape count=1000 first=1
        lot quota=v count=1000 first=room
        ",
        100,
        expect![[r#"
            0 of w cpu=1000 mem=1024
            1 of the quota lot of v
        "#]],
    );
}
