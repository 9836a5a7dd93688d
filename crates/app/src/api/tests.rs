//! Documents as people write them, and what they are told about the bad ones.

mod plans;
mod requests;
mod workers;

/// Puts `text` on one line a case: the document, and what was made of it.
fn table<T: std::fmt::Display>(cases: &[&str], read: impl Fn(&str) -> T) -> String {
    cases.iter().map(|case| format!("{case}\n    {}\n", read(case))).collect()
}
