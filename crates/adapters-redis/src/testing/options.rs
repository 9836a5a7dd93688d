//! What differs from server to server.

use std::fmt::Write as _;
use std::path::Path;

use super::server::Server;

/// What no option changes. A copy for a replica begins at once instead of after five seconds in which others might want
/// one too.
const ALWAYS: &str = "daemonize no
save \"\"
auto-aof-rewrite-percentage 0
repl-diskless-sync-delay 0
";

/// When a server writes its commands to the append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appendonly {
    /// Never: a restart loses everything.
    Off,
    /// At once, and to the disk every second.
    Everysec,
    /// At once, and to the disk before it answers.
    Always,
}

/// How a [`Server`] is started. By default it keeps nothing on disk, has no limit of memory and no password.
///
/// It never rewrites its append-only file by itself and writes no snapshots, so that a copy of the file is an older
/// state and nothing else.
#[derive(Debug, Clone)]
pub struct Options {
    appendonly: Appendonly,
    password: Option<String>,
    replica_of: Option<u16>,
    tls: bool,
    lines: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { appendonly: Appendonly::Off, password: None, replica_of: None, tls: false, lines: Vec::new() }
    }
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether and how its writes reach the disk.
    #[must_use]
    pub fn appendonly(mut self, appendonly: Appendonly) -> Self {
        self.appendonly = appendonly;
        self
    }

    /// Refuses writes beyond so many bytes.
    #[must_use]
    pub fn maxmemory(self, bytes: u64) -> Self {
        self.line(format!("maxmemory {bytes}"))
    }

    /// What goes when memory is full: `noeviction`, `allkeys-lru` and so on.
    #[must_use]
    pub fn policy(self, policy: &str) -> Self {
        self.line(format!("maxmemory-policy {policy}"))
    }

    /// A copy of another server, which has the same password. It is ready when it has caught up.
    #[must_use]
    pub fn replica_of(mut self, primary: &Server) -> Self {
        self.replica_of = Some(primary.port());
        self
    }

    /// A node of a cluster that has none beside it yet, and no slots: [`Cluster`](super::Cluster) joins them. The others
    /// take a node for dead that is silent for two seconds.
    #[must_use]
    pub fn cluster(self) -> Self {
        self.line("cluster-enabled yes").line("cluster-node-timeout 2000")
    }

    /// Listens for TLS too, on [`Server::tls_port`], with a certificate of 127.0.0.1 and localhost that those trust who
    /// trust [`Server::ca_file`]. It asks its clients for none.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Wants this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// A line of `redis.conf`; of two with the same setting the later one counts.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Starts a server.
    pub fn start(self) -> Server {
        Server::start_with(self)
    }

    pub(super) fn password_wanted(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub(super) fn is_replica(&self) -> bool {
        self.replica_of.is_some()
    }

    pub(super) fn wants_tls(&self) -> bool {
        self.tls
    }

    /// The text of `redis.conf`.
    pub(super) fn config(&self, port: u16, tls_port: Option<u16>, folder: &Path) -> String {
        let mut config = format!("bind 127.0.0.1\nport {port}\ndir \"{}\"\n{ALWAYS}", folder.display());
        let (on, sync) = match self.appendonly {
            Appendonly::Off => ("no", "everysec"),
            Appendonly::Everysec => ("yes", "everysec"),
            Appendonly::Always => ("yes", "always"),
        };
        let mut line = |text: String| writeln!(config, "{text}").expect("a string takes every line");
        line(format!("appendonly {on}\nappendfsync {sync}"));
        if let Some(primary) = self.replica_of {
            line(format!("replicaof 127.0.0.1 {primary}"));
        }
        if let Some(password) = &self.password {
            line(format!("requirepass {password}\nmasterauth {password}"));
        }
        if let Some(tls_port) = tls_port {
            line(format!("tls-port {tls_port}\ntls-auth-clients no"));
            let file = |name: &str| folder.join(name).display().to_string();
            line(format!("tls-cert-file \"{}\"\ntls-key-file \"{}\"", file("server.pem"), file("server.key")));
            line(format!("tls-ca-cert-file \"{}\"", file("ca.pem")));
        }
        self.lines.iter().cloned().for_each(line);
        config
    }
}
