//! What a worker's hook is told: a program of the operator's that runs what is placed here, in its own way.
//!
//! The hook's process is the container, as far as the agent knows: it stands under a shim as a command would.

use serde_json::json;

use crate::api::calls::StartOrder;

/// The only version that there is.
const VERSION: u32 = 1;

/// One call of a hook, for its standard input: to run what was ordered, until it is over.
pub(super) fn call(order: &StartOrder, worker: &str) -> String {
    let call = json!({
        "version": VERSION,
        "call": "start",
        "worker": worker,
        "container": order.placement.container,
        "attempt": order.placement.attempt,
        "command": order.command,
        "env": order.env,
        "cwd": order.cwd,
        "timeout_ms": order.timeout_ms,
        "booking": order.owns,
    });
    call.to_string()
}
