//! Ports that nobody listens on.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// Below the ports that the kernel gives to outgoing connections (from 32768 on), so that none of those takes the port
/// of a server that is down, and no client that dials it again and again meets itself there. The bus of a cluster's node
/// is 10,000 higher and stays below too.
const FIRST: u32 = 10_000;
const COUNT: u32 = 12_000;

/// How far the bus of a cluster's node is from its port.
const BUS: u16 = 10_000;

/// How many ports have been tried in this process.
static TRIED: AtomicU32 = AtomicU32::new(0);

/// A port of the loopback that is free now, and so is that of its bus; never the same twice in a process. Another
/// process may take it before it is used: whoever starts a server there looks whether it is his that answers.
///
/// A port that the kernel chooses, let go again, is no such port: it is one of those that it gives to the next connection.
pub fn free_port() -> u16 {
    let start = start();
    for _ in 0..COUNT {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + start.wrapping_add(tried) % COUNT).expect("it is below 22,000");
        if is_free(port) && is_free(port + BUS) {
            return port;
        }
    }
    panic!("no port from {FIRST} to {} is free\nnext: ss -ltnp", FIRST + COUNT - 1);
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Where this process begins to look: elsewhere than its neighbours that run at the same time.
fn start() -> u32 {
    static START: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *START.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        std::process::id().wrapping_mul(97).wrapping_add(since_epoch.subsec_micros())
    })
}
