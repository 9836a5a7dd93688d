//! Real processes for tests: a server, its agents, and the commands that a person would type.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod books;
pub(crate) mod played;
pub(crate) mod stream;
pub(crate) mod torture;
pub(crate) mod witness;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use adapters_redis::testing::free_port;
use serde_json::Value;

/// The binary under test.
pub(crate) const STOWPLAN: &str = env!("CARGO_BIN_EXE_stowplan");

/// How long a test waits for what should happen soon, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Where several servers may share a cell, the next takes over 10 s after one that was killed.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A server and agents in a folder of their own. Everything is ended when it goes.
pub(crate) struct Fleet {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) url: String,
    port: u16,
    options: Options,
    serve: Option<Child>,
    agents: BTreeMap<String, Child>,
    /// Every `next:` line that a command printed.
    pub(crate) next_lines: Mutex<Vec<String>>,
}

/// What differs from test to test.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) keepalive: &'static str,
    pub(crate) grace: &'static str,
    /// Where the server keeps its cell; in its own folder if nothing is said.
    pub(crate) store: Option<String>,
    /// Further arguments of the server.
    pub(crate) serve: Vec<String>,
    /// The server's configuration file.
    pub(crate) config: Option<String>,
    /// Further arguments of every agent.
    pub(crate) agent: Vec<String>,
    /// Further environment of every process.
    pub(crate) env: Vec<(String, String)>,
    /// Further environment of every agent.
    pub(crate) agent_env: Vec<(String, String)>,
    pub(crate) cpu: &'static str,
    pub(crate) memory: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keepalive: "3s",
            grace: "1s",
            store: None,
            serve: Vec::new(),
            config: None,
            agent: Vec::new(),
            env: Vec::new(),
            agent_env: Vec::new(),
            cpu: "10",
            memory: "20Gi",
        }
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Fleet {
    /// A server with so many agents, all of them available.
    pub(crate) fn start(agents: usize) -> Self {
        Self::start_with(agents, Options::default())
    }

    /// The same with options.
    pub(crate) fn start_with(agents: usize, options: Options) -> Self {
        let mut fleet = Self::empty(options);
        fleet.start_serve();
        for number in 1..=agents {
            fleet.start_agent(&format!("worker-{number:02}"));
        }
        fleet.wait_for_workers(agents);
        fleet
    }

    /// A server without agents, for a cell that another plans.
    pub(crate) fn standing_by(options: Options) -> Self {
        let mut fleet = Self::empty(options);
        fleet.start_standby();
        fleet
    }

    /// A server that is not started yet.
    pub(crate) fn empty(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if let Some(config) = &options.config {
            fs::write(dir.path().join("stowplan.toml"), config).unwrap();
        }
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        Self { dir, url, port, options, serve: None, agents: BTreeMap::new(), next_lines: Mutex::default() }
    }

    /// Starts the server, anew on its old port and data if it was killed, and waits until it is ready.
    pub(crate) fn start_serve(&mut self) {
        self.serve = Some(self.serve_command().spawn().unwrap());
        self.eventually("the server is ready", READY_WITHIN, || self.get("/readyz").is_some());
    }

    /// The same while another plans its cell: it answers, and is not ready.
    pub(crate) fn start_standby(&mut self) {
        self.serve = Some(self.serve_command().spawn().unwrap());
        self.eventually("the server answers", PATIENCE, || self.get("/healthz").is_some());
    }

    /// The process id of the server.
    pub(crate) fn serve_pid(&self) -> u32 {
        self.serve.as_ref().unwrap().id()
    }

    /// What starts the server.
    pub(crate) fn serve_command(&self) -> Command {
        let mut command = self.command("serve");
        command.args(["serve", "--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--data", self.path("server").to_str().unwrap()]);
        command.args(["--keepalive", self.options.keepalive, "--grace", self.options.grace]);
        command.args(self.options.store.iter().flat_map(|store| ["--store", store]));
        command.args(&self.options.serve);
        command
    }

    /// kill -9 of the server.
    pub(crate) fn kill_serve(&mut self) {
        kill(self.serve.take().unwrap());
    }

    /// Asks the server to end, which leaves the cell to the next at once, and waits until it has.
    pub(crate) fn stop_serve(&mut self) {
        let mut serve = self.serve.take().unwrap();
        signal(serve.id(), "TERM");
        assert!(serve.wait().unwrap().success(), "{}", self.log("serve"));
    }

    /// Starts an agent, anew on its old data if it was killed.
    pub(crate) fn start_agent(&mut self, id: &str) {
        self.start_agent_on(id, &self.url.clone());
    }

    /// The same, of an agent that is told another address of the server.
    pub(crate) fn start_agent_on(&mut self, id: &str, server: &str) {
        let mut command = self.command(id);
        command.args(["agent", "--id", id, "--server", server]);
        command.args(["--data", self.agent_data(id).to_str().unwrap()]);
        command.args(["--cpu", self.options.cpu, "--memory", self.options.memory]);
        command.args(&self.options.agent);
        command.envs(self.options.agent_env.iter().map(|(name, value)| (name, value)));
        self.agents.insert(id.to_owned(), command.spawn().unwrap());
    }

    /// kill -9 of an agent; its shims live on.
    pub(crate) fn kill_agent(&mut self, id: &str) {
        kill(self.agents.remove(id).unwrap());
    }

    /// The process id of an agent.
    pub(crate) fn agent_pid(&self, id: &str) -> u32 {
        self.agents[id].id()
    }

    /// The process ids of the shims that an agent has started.
    pub(crate) fn shims(&self, id: &str) -> Vec<u32> {
        let folder = format!("shim --dir {}/", self.agent_data(id).display());
        pids().filter(|pid| command_line(*pid).contains(&folder)).collect()
    }

    /// The data folder of an agent.
    pub(crate) fn agent_data(&self, id: &str) -> PathBuf {
        self.path("agents").join(id)
    }

    /// A file or folder of this fleet.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a process has logged.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path("logs").join(name)).unwrap_or_default()
    }

    fn command(&self, log: &str) -> Command {
        fs::create_dir_all(self.path("logs")).unwrap();
        let file = || File::options().create(true).append(true).open(self.path("logs").join(log)).unwrap();
        let mut command = Command::new(STOWPLAN);
        command.stdin(Stdio::null()).stdout(file()).stderr(file()).process_group(0).current_dir(self.dir.path());
        command.env("RUST_BACKTRACE", "0");
        for ours in ["STOWPLAN_TORTURE_SEED", "STOWPLAN_TORTURE_ROUNDS"] {
            command.env_remove(ours);
        }
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A command that a person types, with this server as the one it finds.
    pub(crate) fn typed(&self, args: &[&str]) -> Command {
        let mut command = Command::new(STOWPLAN);
        command.args(args).env("STOWPLAN_SERVER", &self.url).current_dir(self.dir.path()).stdin(Stdio::null());
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `stowplan ARGS` to its end.
    pub(crate) fn stowplan(&self, args: &[&str]) -> Said {
        self.said(self.typed(args))
    }

    /// Runs a line as pasted into a shell that finds `stowplan`.
    pub(crate) fn paste(&self, line: &str) -> Said {
        let folder = Path::new(STOWPLAN).parent().unwrap().display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("PATH", path).env("STOWPLAN_SERVER", &self.url);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        self.said(command)
    }

    fn said(&self, mut command: Command) -> Said {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let said =
            Said { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) };
        let lines = said.stdout.lines().chain(said.stderr.lines());
        let next = lines.filter_map(|line| line.trim().strip_prefix("next: ")).map(str::to_owned);
        self.next_lines.lock().unwrap().extend(next);
        assert!(said.code != 101 && said.code != 134, "a panic: {said:?}");
        said
    }

    /// The token that the options name, as it is shown to the server.
    fn shown(&self) -> Vec<String> {
        let tokens = self.options.env.iter().filter(|(name, _)| name == "STOWPLAN_TOKEN");
        tokens.map(|(_, token)| format!("Authorization: Bearer {token}")).collect()
    }

    /// `GET` of a path; none unless the answer is 200.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        http(&self.url, "GET", path, None, &self.shown())
            .ok()
            .filter(|(status, _)| *status == 200)
            .map(|(_, body)| body)
    }

    /// `GET` of a path as JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        let body = self.get(path).unwrap_or_else(|| panic!("no answer to GET {path}: {}", self.log("serve")));
        serde_json::from_str(&body).unwrap()
    }

    /// `POST` of JSON to a path.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = http(&self.url, "POST", path, Some(&body.to_string()), &self.shown()).unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Processes of this fleet that run this command line in a folder of their own.
    pub(crate) fn running(&self, command: &str) -> Vec<u32> {
        let is_ours = |pid: &u32| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(self.dir.path()))
        };
        pids().filter(|pid| command_line(*pid) == command).filter(is_ours).collect()
    }

    /// One container.
    pub(crate) fn container(&self, id: &str) -> Value {
        self.json(&format!("/v1/containers/{id}"))
    }

    /// Its state and attempt.
    pub(crate) fn state(&self, id: &str) -> (String, u64) {
        let container = self.container(id);
        (container["state"].as_str().unwrap().to_owned(), container["attempt"].as_u64().unwrap())
    }

    /// Waits until a container is in a state.
    pub(crate) fn wait_for_state(&self, id: &str, state: &str, attempt: u64) {
        let wanted = (state.to_owned(), attempt);
        let what = format!("{id} is {state} in attempt {attempt}");
        self.eventually(&what, PATIENCE, || self.state(id) == wanted);
    }

    /// Waits until so many workers are available.
    pub(crate) fn wait_for_workers(&self, count: usize) {
        self.eventually(&format!("{count} workers are available"), PATIENCE, || {
            let workers = self.json("/v1/workers");
            let workers = workers["workers"].as_array().unwrap();
            workers.iter().filter(|worker| worker["status"] == "available").count() == count
        });
    }

    /// Waits until something holds, or says what the processes logged.
    pub(crate) fn eventually(&self, what: &str, within: Duration, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + within;
        while !holds() {
            if Instant::now() > deadline {
                let names = fs::read_dir(self.path("logs")).unwrap().flatten();
                let logs: Vec<_> = names
                    .map(|entry| {
                        let name = entry.file_name().to_string_lossy().into_owned();
                        let log = self.log(&name);
                        let tail: Vec<_> = log.lines().rev().take(15).collect();
                        format!("== {name}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
                    })
                    .collect();
                panic!("not within {within:?}: {what}\n{}", logs.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let agents = std::mem::take(&mut self.agents);
        for child in agents.into_values().chain(self.serve.take()) {
            kill(child);
        }
        let marker = self.dir.path().to_string_lossy().into_owned();
        for pid in pids().filter(|pid| command_line(*pid).contains(&marker)) {
            for child in descendants(pid) {
                signal(child, "KILL");
            }
            signal(pid, "KILL");
        }
    }
}

fn kill(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Stops a process where it is; all its threads stand still when this returns.
pub(crate) fn stop_still(pid: u32) {
    signal(pid, "STOP");
    let deadline = Instant::now() + PATIENCE;
    while !is_stopped(pid) {
        assert!(Instant::now() < deadline, "process {pid} does not stand still");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether all threads of a process stand still.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut stats = threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
    stats.all(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T')))
}

/// Every process there is.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The command line of a process, its words parted by spaces; empty if it is gone.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// The children of a process, and theirs.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let children: Vec<u32> = pids().filter(|child| parent(*child) == Some(pid)).collect();
    children.into_iter().flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

/// One HTTP/1.1 exchange over a connection of its own.
pub(crate) fn http(
    url: &str,
    method: &str,
    path: &str,
    body: Option<&str>,
    headers: &[impl std::fmt::Display],
) -> std::io::Result<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let host = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.unwrap_or("");
    let headers = headers.iter().fold(String::new(), |all, header| all + &header.to_string() + "\r\n");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut length = None;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let mut body = Vec::new();
    match length {
        Some(length) => reader.take(length).read_to_end(&mut body)?,
        None => reader.read_to_end(&mut body)?,
    };
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
