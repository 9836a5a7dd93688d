//! Documents as people write them, and what they are told about the bad ones.

mod plans;
mod requests;
mod workers;

use std::fmt::Display;

/// Each document on a line, and below it what was made of it.
fn table<T: Display>(cases: &[&str], read: impl Fn(&str) -> T) -> String {
    cases.iter().fold(String::new(), |table, case| table + &format!("{case}\n    {}\n", read(case)))
}
