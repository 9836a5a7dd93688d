//! How many files this process may have open: a server has one for each connection, and each agent has two of those; an
//! agent has two for each container.
//!
//! What a process is given is often as few as 1,024, for the sake of programs that cannot count further, though it may
//! raise that by itself, as servers and agents do. What they start may be such a program: it gets what they were given.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tokio::process::Child;

/// What this process was given, once it has raised it.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit as far as this process may; how many that is, and nothing if there is no limit.
pub fn raise() -> Option<u64> {
    let given = getrlimit(Resource::Nofile);
    let most = Rlimit { current: given.maximum, ..given };
    if setrlimit(Resource::Nofile, most).is_err() {
        return given.current;
    }
    GIVEN.get_or_init(|| given).maximum
}

/// What this process was given before it raised it; nothing if it has not, or there was no limit.
pub fn given() -> Option<u64> {
    GIVEN.get().and_then(|given| given.current)
}

/// Goes down to so many, from now on and for all that this process starts.
pub fn lower(to: u64) {
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(to), ..getrlimit(Resource::Nofile) });
}

/// Gives a process that this one has just started what this one was given, a moment after its first step: it matters to
/// what counts its files, and to what that starts. One that has ended already needs none.
pub fn give_back(child: &Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let (Some(given), Some(pid)) = (GIVEN.get(), pid) {
        let _ = prlimit(Some(pid), Resource::Nofile, *given);
    }
}
