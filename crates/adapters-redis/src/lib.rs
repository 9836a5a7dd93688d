//! The place of the Redis store, which is not written yet.
//!
//! It will implement the five ports of `ports` by hand, its steps in Lua, and pass the conformance kit. Until then the
//! stores are the embedded one and the one in memory, both in `app` and `ports::rows`.
