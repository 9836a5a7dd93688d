//! The port that the server listens on.

use std::net::TcpListener;

use anyhow::{Context, Result, bail};

const TRIES: u16 = 100;

/// The wanted port, or the first free one from `first` on. The ports asked for by nobody lie below the range that the
/// system hands out for outgoing connections: there, a client that knocks at a closed port may end up with itself.
pub(crate) fn choose(wanted: Option<u16>, first: u16) -> Result<u16> {
    match wanted {
        Some(port) if is_free(port) => Ok(port),
        Some(port) => bail!("port {port} is taken\nnext: cargo xtask run --port {}", next_free(port)?),
        None => next_free(first),
    }
}

fn next_free(first: u16) -> Result<u16> {
    let last = first.saturating_add(TRIES);
    let free = (first..=last).find(|port| is_free(*port));
    free.with_context(|| format!("no port from {first} to {last} is free\nnext: cargo xtask run --port PORT"))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_or_refused() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(choose(None, port).unwrap(), port);
        let error = choose(Some(port), 7070).unwrap_err();
        assert!(error.to_string().contains("is taken"), "{error}");
    }
}
