//! The JSON shapes of the HTTP surface, in one place: the server answers with them, the CLI, the agent and `plan`
//! read and write them.

pub mod about;
pub mod address;
pub mod audit;
pub mod calls;
pub mod container;
pub mod doctor;
pub mod end;
pub mod explain;
pub mod export;
pub mod field;
pub mod json;
pub mod moment;
pub mod nearest;
pub mod period;
pub mod plan;
pub mod policy;
pub mod pools;
pub mod problem;
pub mod quantity;
pub mod quota;
pub mod reason;
pub mod request;
pub mod token;
pub mod worker;

/// Whether a field may be left out of an answer.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
