//! The server and the agents of one run: starting, watching and stopping them.

use std::collections::BTreeSet;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::folder::Folder;
use super::interrupt::Interrupts;
use super::process::{self, Process};
use super::restarts::Restarts;
use super::{http, redis, shown};
use crate::say::say;

/// How often the processes are looked at.
const TICK: Duration = Duration::from_millis(100);
const HEALTHY_WITHIN: Duration = Duration::from_mins(1);
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Agents drain within 5 s by themselves; the rest is for ending what they ran.
const AGENTS_END_WITHIN: Duration = Duration::from_secs(18);
/// One that dies sooner would die again.
const REDIS_LIVES_FOR: Duration = Duration::from_secs(2);
const SERVER_ENDS_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct Fleet {
    folder: Folder,
    port: u16,
    store: FleetStore,
    redis: Option<Process>,
    server: Option<Process>,
    restarts: Restarts,
    restart_at: Option<Instant>,
    agents: Vec<Process>,
    /// How many agents were started, and how many workers were there when we stopped waiting for them.
    asked: u16,
    ready: usize,
}

/// Where the server keeps its rows.
#[derive(Clone, Copy)]
pub(super) enum FleetStore {
    /// Where it does by itself.
    Unsaid,
    Named(&'static str),
    /// In a redis-server of ours, on this port.
    Redis(u16),
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Done,
    TimedOut,
    Interrupted,
}

impl Fleet {
    pub(super) fn new(folder: Folder, port: u16, store: FleetStore) -> Self {
        let (redis, server, restarts, restart_at) = (None, None, Restarts::default(), None);
        Self { folder, port, store, redis, server, restarts, restart_at, agents: Vec::new(), asked: 0, ready: 0 }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the server, then the agents, and waits until their workers take work. Workers that do not come are no
    /// failure: the greeting says how many there are.
    pub(crate) fn start(&mut self, agents: u16, interrupts: &Interrupts) -> Result<Wait> {
        if let FleetStore::Redis(port) = self.store {
            say(&format!("starting redis-server on port {port}"));
            self.redis = Some(redis::start(&self.folder, port)?);
            match self.wait_for(interrupts, Some(HEALTHY_WITHIN), |_| redis::is_ready(port))? {
                Wait::Done => {}
                Wait::Interrupted => return Ok(Wait::Interrupted),
                Wait::TimedOut => bail!("redis-server did not answer in time\n{}", tail_of(self.redis.as_ref())),
            }
        }
        say(&format!("starting the server on {}", self.address()));
        self.asked = agents;
        self.start_server()?;
        match self.wait_for(interrupts, Some(HEALTHY_WITHIN), |fleet| http::is_healthy(fleet.port))? {
            Wait::Done => self.folder.write_address(&self.address())?,
            Wait::Interrupted => return Ok(Wait::Interrupted),
            Wait::TimedOut => bail!("the server did not answer /healthz in time\n{}", tail_of(self.server.as_ref())),
        }
        say(&format!("starting {agents} agents"));
        for number in 1..=agents {
            let name = worker(number);
            let agent = Process::start(&self.folder, &name, &self.agent_arguments(&name, true))?;
            self.agents.push(agent);
        }
        let wait = self.wait_for(interrupts, Some(READY_WITHIN), Self::has_all_workers)?;
        self.ready = self.workers().len();
        Ok(wait)
    }

    /// Watches the processes until `done`, an interrupt, or the time is over. Fails when the server is given up.
    pub(crate) fn wait_for(
        &mut self,
        interrupts: &Interrupts,
        at_most: Option<Duration>,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<Wait> {
        let begun = Instant::now();
        loop {
            self.tick()?;
            if done(self) {
                return Ok(Wait::Done);
            }
            if interrupts.within(TICK) {
                return Ok(Wait::Interrupted);
            }
            if at_most.is_some_and(|at_most| begun.elapsed() >= at_most) {
                return Ok(Wait::TimedOut);
            }
        }
    }

    pub(crate) fn all_ready(&self) -> bool {
        self.ready == usize::from(self.asked)
    }

    /// Where it is, who is there, and what to type next.
    pub(crate) fn greeting(&self) -> String {
        let Self { folder, ready, asked, .. } = self;
        let (address, data, program) = (self.address(), folder.shown(), shown(&folder.program()));
        let mut lines = vec![format!("stowplan listens on {address}; {ready} of {asked} workers are ready")];
        if !self.all_ready() {
            lines.push(format!("why the others are not: {data}/logs/worker-*.log"));
        }
        lines.push(format!("logs: {data}/logs   pids: {data}/pids   end: Ctrl-C"));
        lines.push("next, in another terminal:".to_owned());
        if !std::env::current_dir().is_ok_and(|here| folder.is_found_from(&here)) {
            lines.push(format!("  export STOWPLAN_SERVER={address}"));
        }
        let tries = ["run -- echo hello", "submit -- sleep 60", "status", "worker list"];
        lines.extend(tries.iter().map(|arguments| format!("  {program} {arguments}")));
        lines.join("\n")
    }

    /// Ends the agents, which drain, and then the server, which they report to. Waits are bounded; a second interrupt
    /// ends them.
    pub(crate) fn stop(&mut self, interrupts: &Interrupts) {
        let mut agents = std::mem::take(&mut self.agents);
        if !agents.is_empty() {
            say(&format!("stopping {} agents; each drains for at most 5 s (again Ctrl-C: kill them)", agents.len()));
        }
        self.end(&mut agents, AGENTS_END_WITHIN, interrupts);
        let mut server: Vec<Process> = self.server.take().into_iter().collect();
        if !server.is_empty() {
            say("stopping the server");
        }
        self.end(&mut server, SERVER_ENDS_WITHIN, interrupts);
        let mut redis = self.redis.take().into_iter().collect();
        self.end(&mut redis, SERVER_ENDS_WITHIN, interrupts);
        match self.folder.forget_address() {
            Ok(()) => say("stopped"),
            Err(error) => say(&format!("stopped, but {error:#}")),
        }
    }

    fn end(&self, processes: &mut Vec<Process>, at_most: Duration, interrupts: &Interrupts) {
        let begun = Instant::now();
        processes.iter_mut().for_each(Process::ask_to_end);
        while !processes.is_empty() && begun.elapsed() < at_most && !interrupts.within(TICK) {
            processes.retain_mut(|process| process.ended().is_none() || self.forget(process));
        }
        for process in processes {
            say(&format!("killing {}, which has not ended", process.name));
            process.kill();
            self.forget(process);
        }
    }

    /// Always false: there is nothing of it to retain.
    fn forget(&self, process: &Process) -> bool {
        if let Err(error) = self.folder.forget_pid(&process.name) {
            say(&format!("{error:#}"));
        }
        false
    }

    fn tick(&mut self) -> Result<()> {
        self.watch_redis()?;
        self.watch_server()?;
        let mut agents = std::mem::take(&mut self.agents);
        agents.retain_mut(|agent| match agent.ended() {
            None => true,
            Some(status) => {
                let is_kept = self.forget(agent);
                self.say_agent_ended(agent, status);
                is_kept
            }
        });
        self.agents = agents;
        Ok(())
    }

    /// Starts a dead redis-server again, where it finds what it kept.
    fn watch_redis(&mut self) -> Result<()> {
        let (FleetStore::Redis(port), Some(redis)) = (self.store, &mut self.redis) else {
            return Ok(());
        };
        if let Some(status) = redis.ended() {
            if redis.age() < REDIS_LIVES_FOR {
                bail!("redis-server died ({status})\n{}", tail_of(self.redis.as_ref()));
            }
            say(&format!("redis-server died ({status}); starting it again"));
            self.redis = Some(redis::start(&self.folder, port)?);
        }
        Ok(())
    }

    /// Starts a dead server again on the same port; agents come back by themselves.
    fn watch_server(&mut self) -> Result<()> {
        if self.restart_at.is_some_and(|at| at <= Instant::now()) {
            return self.start_server();
        }
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let Some(status) = server.ended() else {
            return Ok(());
        };
        let lived = server.age();
        let Some(pause) = self.restarts.after(lived) else {
            let tail = tail_of(self.server.as_ref());
            self.server = None;
            bail!("the server keeps dying ({status})\n{tail}");
        };
        say(&format!("the server died ({status}) after {:.1} s; starting it again", lived.as_secs_f64()));
        self.server = None;
        self.restart_at = Some(Instant::now() + pause);
        Ok(())
    }

    fn start_server(&mut self) -> Result<()> {
        self.restart_at = None;
        self.server = Some(Process::start(&self.folder, "server", &self.server_arguments())?);
        Ok(())
    }

    /// Whoever kills an agent may want to see what the server makes of it, so it stays away.
    fn say_agent_ended(&self, agent: &Process, status: ExitStatus) {
        let program = shown(&self.folder.program());
        let command = self.agent_arguments(&agent.name, false).join(" ");
        say(&format!("{} ended ({status}) and stays away; next: {program} {command}", agent.name));
    }

    fn has_all_workers(&self) -> bool {
        self.workers().len() >= self.agents.len()
    }

    /// Our own workers that take work; an older run may have left others in the store.
    fn workers(&self) -> BTreeSet<String> {
        let mut available = http::available_workers(self.port).unwrap_or_default();
        available.retain(|id| self.agents.iter().any(|agent| agent.name == *id));
        available
    }

    fn server_arguments(&self) -> Vec<String> {
        let listen = format!("127.0.0.1:{}", self.port);
        let data = self.folder.data("server").display().to_string();
        let mut arguments = vec!["serve", "--listen", &listen, "--data", &data, "--keepalive", "5s", "--grace", "2s"];
        let redis;
        match self.store {
            FleetStore::Unsaid => {}
            FleetStore::Named(store) => arguments.extend(["--store", store]),
            FleetStore::Redis(port) => {
                redis = redis::address(port);
                arguments.extend(["--store", &redis]);
            }
        }
        arguments.push("--drain-on-stdin-eof");
        arguments.into_iter().map(String::from).collect()
    }

    /// `held` says that we hold its stdin; an agent started by hand has a terminal there.
    fn agent_arguments(&self, name: &str, held: bool) -> Vec<String> {
        let server = self.address();
        let data = self.folder.data(name).display().to_string();
        let mut arguments = vec!["agent", "--id", name, "--server", &server, "--data", &data];
        arguments.extend(["--cpu", "10", "--memory", "20Gi"]);
        if held {
            arguments.push("--drain-on-stdin-eof");
        }
        arguments.into_iter().map(String::from).collect()
    }
}

/// The end of a process's log, and where the rest is.
fn tail_of(process: Option<&Process>) -> String {
    let Some(process) = process else {
        return String::new();
    };
    format!("{}\nnext: less {}", process::tail(&process.log), shown(&process.log))
}

fn worker(number: u16) -> String {
    format!("worker-{number:02}")
}
