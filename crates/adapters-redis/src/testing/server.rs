//! A server of one's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::free_port::free_port;
use super::options::Options;
use super::process::Process;
use super::resp::{Connection, Reply};

/// How long a server may take to start and to read its file.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many ports are tried before a start is given up.
const ATTEMPTS: usize = 10;

/// The files that hold what a server has written: those of Redis 7, and that of Redis 6.
const APPEND_ONLY: [&str; 2] = ["appendonlydir", "appendonly.aof"];

/// What a server with TLS shows and who vouches for it: made for these tests, good for a hundred years and for nothing
/// else.
const TLS_FILES: [(&str, &str); 3] = [
    ("ca.pem", include_str!("tls/ca.pem")),
    ("server.pem", include_str!("tls/server.pem")),
    ("server.key", include_str!("tls/server.key")),
];

/// A private `redis-server` in a folder of its own, on a free port of the loopback. It goes with its folder when it is
/// dropped, and when the process that started it ends in any way.
///
/// All methods may be called from any thread.
#[derive(Debug)]
pub struct Server {
    port: u16,
    tls_port: Option<u16>,
    options: Options,
    /// `None` while it is down. Before the folder, so that it is dropped first and writes nothing there any more.
    process: Mutex<Option<Process>>,
    folder: TempDir,
}

/// The server that the tests of this process share: each has a cell of its own there. It keeps nothing on disk, and
/// goes when the process ends.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

impl Server {
    /// A server with the default options, ready.
    pub fn start() -> Self {
        Self::start_with(Options::new())
    }

    /// A server with these options, ready.
    pub fn start_with(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("stowplan-redis-").tempdir().expect("a temporary folder");
        for (name, text) in TLS_FILES {
            fs::write(folder.path().join(name), text).expect("a file in the new folder");
        }
        let mut server = Self { port: 0, tls_port: None, options, process: Mutex::new(None), folder };
        for _ in 0..ATTEMPTS {
            server.port = free_port();
            server.tls_port = server.options.wants_tls().then(free_port);
            server.spawn();
            if server.becomes_ready() {
                return server;
            }
        }
        panic!("redis-server did not start on any of {ATTEMPTS} ports:\n{}", server.log());
    }

    /// Where clients find it, with the password if it wants one.
    pub fn url(&self) -> String {
        self.url_of("redis", self.port)
    }

    /// Where clients find it who speak TLS.
    pub fn tls_url(&self) -> String {
        self.url_of("rediss", self.tls_port())
    }

    fn url_of(&self, scheme: &str, port: u16) -> String {
        let password = self.password().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{password}127.0.0.1:{port}")
    }

    /// Its port of the loopback, the same after every restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port on which it speaks TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("the server was started with Options::tls")
    }

    /// The certificate of who vouches for servers with TLS.
    pub fn ca_file(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// The password that it wants.
    pub(super) fn password(&self) -> Option<&str> {
        self.options.password_wanted()
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id of the server that runs.
    pub fn pid(&self) -> u32 {
        self.running().as_ref().expect("the server runs").pid()
    }

    /// Whether it runs, neither killed nor stopped nor frozen.
    pub(super) fn is_up(&self) -> bool {
        self.running().as_ref().is_some_and(|process| !process.is_frozen())
    }

    /// What it has logged so far, over all restarts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A connection of one's own.
    pub fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.port, self.password())
    }

    /// Sends one command on a connection of its own. A refusal is a [`Reply::Error`]; no answer panics.
    pub fn command(&self, words: &[&str]) -> Reply {
        let answer = self.connect().and_then(|mut connection| connection.call(words));
        answer.unwrap_or_else(|error| panic!("{words:?} got no answer on port {}: {error}", self.port))
    }

    /// kill -9. It has ended when this returns. [`Appendonly::Always`](super::Appendonly::Always) keeps all that it has
    /// answered; with `Everysec` it may lose two seconds of it, on a disk that is slow to sync.
    pub fn kill9(&self) {
        self.take().kill();
    }

    /// Asks it to end, which writes what is not on disk yet, and waits until it has.
    pub fn stop(&self) {
        let process = self.take();
        let answer = self.connect().and_then(|mut connection| connection.call(&["SHUTDOWN"]));
        assert!(answer.is_err(), "redis-server refused to shut down: {answer:?}");
        process.wait();
    }

    /// Starts it anew on its port and folder, after a kill -9 if it runs still, and waits until it is ready.
    pub fn restart(&self) {
        self.restart_without_waiting();
        self.wait_until_ready();
    }

    /// The same, without waiting: for a while it refuses connections, or answers `LOADING`.
    pub fn restart_without_waiting(&self) {
        drop(self.running().take());
        self.spawn();
    }

    /// Waits until it answers, and a replica until it has caught up.
    pub fn wait_until_ready(&self) {
        assert!(self.becomes_ready(), "redis-server ended:\n{}", self.log());
    }

    /// Stops it where it is: it keeps its connections and its port, and answers nothing.
    pub fn freeze(&self) {
        self.running().as_ref().expect("the server runs").freeze();
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.running().as_ref().expect("the server runs").thaw();
    }

    /// Copies the append-only file as it is now into the new folder `to`: all writes that were answered before, save
    /// with [`Appendonly::Everysec`](super::Appendonly::Everysec) those of the last two seconds on a slow disk.
    pub fn copy_aof(&self, to: &Path) {
        fs::create_dir(to).expect("a folder for the copy");
        let copied = copy_append_only(self.folder(), to);
        assert!(copied, "no append-only file to copy: start the server with Options::appendonly");
    }

    /// Starts it anew, after a kill -9 if it runs still, with the append-only file that [`Server::copy_aof`] put into
    /// `copy`: what was written after it is lost.
    pub fn restart_from(&self, copy: &Path) {
        drop(self.running().take());
        for name in APPEND_ONLY {
            remove(&self.folder().join(name));
        }
        assert!(copy_append_only(copy, self.folder()), "no append-only file in {}", copy.display());
        self.restart();
    }

    fn spawn(&self) {
        let file = self.folder().join("redis.conf");
        let config = self.options.config(self.port, self.tls_port, self.folder());
        fs::write(&file, config).expect("redis.conf can be written");
        *self.running() = Some(Process::start(&file, self.folder(), &self.log_file()));
    }

    /// Waits until it answers as it should, or has ended (`false`), as it does when another took its port.
    fn becomes_ready(&self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.running().as_mut().expect("the server was started").ended().is_some() {
                return false;
            }
            if self.is_ready().unwrap_or(false) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("redis-server is not ready after {} s:\n{}", PATIENCE.as_secs(), self.log());
    }

    /// Whether it is this server that answers, and not a stranger on its port, and whether it has read its file.
    fn is_ready(&self) -> io::Result<bool> {
        let mut connection = self.connect()?;
        if connection.call(&["PING"])? != Reply::Text(b"PONG".to_vec()) {
            return Ok(false);
        }
        let about = connection.call(&["INFO"])?.text();
        let says = |line: &str| about.lines().any(|said| said == line);
        let is_ours = says(&format!("process_id:{}", self.pid()));
        Ok(is_ours && (!self.options.is_replica() || says("master_link_status:up")))
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join("redis.log")
    }

    fn take(&self) -> Process {
        self.running().take().expect("the server runs")
    }

    /// A test that failed while it held this has left nothing half done.
    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there was an append-only file to copy.
fn copy_append_only(from: &Path, to: &Path) -> bool {
    let mut copied = false;
    for name in APPEND_ONLY {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_dir() {
            fs::create_dir(&to).expect("a folder for the copy");
            for entry in fs::read_dir(&from).expect("the append-only files") {
                let entry = entry.expect("an append-only file");
                fs::copy(entry.path(), to.join(entry.file_name())).expect("an append-only file can be copied");
            }
            copied = true;
        } else if from.is_file() {
            fs::copy(&from, &to).expect("the append-only file can be copied");
            copied = true;
        }
    }
    copied
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{} cannot be removed: {error}", path.display());
    }
}
