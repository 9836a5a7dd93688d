//! Agents and shims as they are: the built binary, real processes, and a played server over HTTP.

mod adoption;
mod deadlines;
mod ends;
mod environment;
mod played;
mod registering;
