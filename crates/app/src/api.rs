//! The JSON shapes of the HTTP surface, in one place: the server answers with them, the CLI, the agent and `plan`
//! read and write them.

pub mod calls;
pub mod quantity;
pub mod worker;
