//! What fails when a ratio is too low, and what does not.

use std::cell::RefCell;
use std::fs;

use crate::bench::floors::{Floor, missed};

/// Checks one floor of 1.0 against these tries; how many were made, and whether it was missed.
async fn check(tries: &[f64]) -> (usize, bool) {
    let left = RefCell::new(tries.to_vec());
    let measure = async |_| Ok(left.borrow_mut().remove(0));
    let missed = missed(&[("it", Floor::Batches, 1.0)], measure).await.unwrap();
    (tries.len() - left.borrow().len(), !missed.is_empty())
}

#[tokio::test]
async fn a_floor_is_missed_when_no_try_comes_near_it() {
    assert_eq!(check(&[1.2]).await, (1, false));
    assert_eq!(check(&[0.71]).await, (1, false));
    assert_eq!(check(&[0.1, 0.69, 0.7]).await, (3, false));
    assert_eq!(check(&[0.69, 0.69, 0.69]).await, (3, true));
    assert_eq!(check(&[f64::NAN, f64::NAN, f64::NAN]).await, (3, true));
}

/// The whole way, from a file that asks for too much to the program's failure.
#[test]
fn a_floor_that_is_not_reached_fails_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("floors.json");
    let check = |floors: &str| {
        fs::write(&file, floors).unwrap();
        let out = folder.path().to_str().unwrap();
        crate::bench::run(["bench", "floors", "--quick", "--file", file.to_str().unwrap(), "--out", out])
    };
    check("{\"plan-10k-by-100k-workers\": 0.000001}").unwrap();
    let error = check("{\"plan-10k-by-100k-workers\": 1000000}").unwrap_err().to_string();
    assert!(error.contains("plan-10k-by-100k-workers") && error.contains("next:"), "{error}");
    let error = check("{\"nonsense\": 1}").unwrap_err().to_string();
    assert!(error.contains("nonsense is no ratio"), "{error}");
}
