//! A proxy before a server, in the test's own process.

mod link;
mod losses;
mod request;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use link::Link;
use losses::Losses;

use super::server::Server;

/// A proxy on a port of the loopback before a [`Server`], by which a test sees how its clients talk to it and disturbs
/// them. Everything may be switched while it runs. It reads what passes, so it speaks no TLS.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    password: Option<String>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What all connections of a proxy know.
#[derive(Debug, Default)]
struct Shared {
    /// The server's port.
    server: AtomicU16,
    delay_us: AtomicU64,
    refuses: AtomicBool,
    ends: AtomicBool,
    losses: Mutex<Losses>,
    counts: Mutex<Counts>,
    links: Mutex<Vec<Arc<Link>>>,
}

/// What has passed since the counts began.
#[derive(Debug, Default)]
struct Counts {
    /// By command, in capitals.
    calls: BTreeMap<String, u64>,
    /// By the name of the connection.
    round_trips: BTreeMap<String, u64>,
}

impl Proxy {
    /// A proxy that lets everything pass.
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Shared { server: AtomicU16::new(server.port()), ..Shared::default() });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { port, password: server.password().map(str::to_owned), shared, acceptor: Some(acceptor) }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    /// Its port of the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads new connections to another server, which has the same password, as an address does that moves; those that
    /// are open stay where they are.
    pub fn lead_to(&self, server: &Server) {
        self.shared.server.store(server.port(), Ordering::Relaxed);
    }

    /// Holds what passes for so long, in each direction: an answer comes twice as late.
    pub fn delay(&self, each_way: Duration) {
        let delay = u64::try_from(each_way.as_micros()).expect("a delay of less than 500,000 years");
        self.shared.delay_us.store(delay, Ordering::Relaxed);
    }

    /// Closes all connections. What was sent before may have reached the server or not.
    pub fn cut(&self) {
        self.cut_if(|_| true);
    }

    /// Closes the connections whose client has given them this name.
    pub fn cut_named(&self, name: &str) {
        self.cut_if(|link| link.name() == name);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuses.store(refuse, Ordering::Relaxed);
    }

    /// Loses the answer of the next script (`EVALSHA` or `EVAL`): the server has run it, the client's connection is
    /// closed instead, and all later answers of that connection are lost with it. An answer `NOSCRIPT` passes, since
    /// nothing ran.
    pub fn lose_next_reply(&self) {
        self.lose_replies(1);
    }

    /// The same with so many, one after the other.
    pub fn lose_replies(&self, count: u64) {
        *lock(&self.shared.losses) = Losses::next(count);
    }

    /// Loses the answer of each script when it is sent for the first time from now on; one that is sent again, byte for
    /// byte, is answered.
    pub fn lose_each_reply_once(&self) {
        *lock(&self.shared.losses) = Losses::each_once();
    }

    /// From now on a script whose answer [was lost](Self::lose_each_reply_once) is answered so, and another is refused;
    /// none is run. Of connections that begin now: a client that says the same over one of them learns what was lost.
    pub fn tell_what_was_lost(&self) {
        lock(&self.shared.losses).tell();
    }

    /// Loses nothing any more.
    pub fn lose_nothing(&self) {
        *lock(&self.shared.losses) = Losses::default();
    }

    /// How many answers have been lost since the last of the `lose_` methods.
    pub fn lost(&self) -> u64 {
        lock(&self.shared.losses).lost()
    }

    /// How often a command, in capitals, was sent.
    pub fn calls(&self, command: &str) -> u64 {
        lock(&self.shared.counts).calls.get(command).copied().unwrap_or_default()
    }

    /// How often each command was sent.
    pub fn all_calls(&self) -> BTreeMap<String, u64> {
        lock(&self.shared.counts).calls.clone()
    }

    /// How often a client went on with a request after it had been given an answer, or began with one, summed over all
    /// connections. Requests that are sent together are one round trip, surely so when answers are [delayed](Self::delay)
    /// for longer than sending them takes.
    pub fn round_trips(&self) -> u64 {
        lock(&self.shared.counts).round_trips.values().sum()
    }

    /// The same of the connections whose client has given them this name.
    pub fn round_trips_of(&self, name: &str) -> u64 {
        lock(&self.shared.counts).round_trips.get(name).copied().unwrap_or_default()
    }

    /// Counts from nought again.
    pub fn forget_counts(&self) {
        *lock(&self.shared.counts) = Counts::default();
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        lock(&self.shared.links).len()
    }

    fn cut_if(&self, is_meant: impl Fn(&Link) -> bool) {
        for link in lock(&self.shared.links).iter().filter(|link| is_meant(link)) {
            link.close();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // Wakes the acceptor; an error says that it has ended already.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            if self.ends.load(Ordering::Relaxed) {
                return;
            }
            if self.refuses.load(Ordering::Relaxed) {
                continue;
            }
            // A server that is down closes the client's connection, as it would without a proxy.
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server.load(Ordering::Relaxed))) {
                let link = Arc::new(Link::between(client, server));
                lock(&self.links).push(Arc::clone(&link));
                Link::run(&link, self);
            }
        }
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us.load(Ordering::Relaxed))
    }

    fn forget(&self, link: &Arc<Link>) {
        lock(&self.links).retain(|other| !Arc::ptr_eq(other, link));
    }
}

/// A thread that failed while it held this has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
