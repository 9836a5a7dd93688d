//! A network that can be cut: a proxy on loopback that holds what is sent while it is, and delivers it late.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::spawn;

/// What does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Nothing,
    /// Calls arrive, their answers do not.
    Answers,
    Everything,
}

/// The way of one agent to its server.
pub(crate) struct Wire {
    /// The server's address on this way.
    pub(crate) url: String,
    gate: Arc<Gate>,
}

struct Gate {
    cut: Mutex<Cut>,
    mended: Condvar,
    held: AtomicUsize,
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Call,
    Answer,
}

impl Wire {
    /// A way to the server at `url`, whole.
    pub(crate) fn to(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Arc::new(Gate { cut: Mutex::new(Cut::Nothing), mended: Condvar::new(), held: AtomicUsize::new(0) });
        let gates = Arc::clone(&gate);
        spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                // A server that is away refuses its callers, as it would without us.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (call, answer) = ((caller.try_clone(), server.try_clone()), (server, caller));
                let (Ok(from), Ok(to)) = call else { continue };
                let gate = Arc::clone(&gates);
                spawn(move || gate.pass(Way::Call, from, to));
                let gate = Arc::clone(&gates);
                spawn(move || gate.pass(Way::Answer, answer.0, answer.1));
            }
        });
        Self { url, gate }
    }

    /// Cuts the wire, or mends it.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.gate.cut.lock().unwrap() = cut;
        self.gate.mended.notify_all();
    }

    /// How often something was held.
    pub(crate) fn held(&self) -> usize {
        self.gate.held.load(Ordering::Relaxed)
    }
}

impl Gate {
    fn pass(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            self.wait(way);
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        self.wait(way);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn wait(&self, way: Way) {
        let is_cut = |cut: Cut| cut == Cut::Everything || cut == Cut::Answers && way == Way::Answer;
        let cut = self.cut.lock().unwrap();
        if is_cut(*cut) {
            self.held.fetch_add(1, Ordering::Relaxed);
        }
        drop(self.mended.wait_while(cut, |cut| is_cut(*cut)).unwrap());
    }
}
