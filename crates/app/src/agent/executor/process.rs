//! Containers as plain processes of this machine, each under a shim of its own. There is no isolation.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use domain::worker::DEFAULT_RUNTIME;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::Sender;

use super::{Executor, Found, Happening, StopRequest, hook};
use crate::agent::fuse::KILL_AFTER_MS;
use crate::agent::record::{Assignment, Claim, Record, marks, record_path, recorded_placement, records_path};
use crate::agent::{open_files, procfs};
use crate::api::calls::{Event, Hold, PlacementName, Report, StartOrder};
use crate::api::worker::HOOK_RUNTIME;

/// How often what a dead shim left alive is killed again.
const BURY_EVERY: Duration = Duration::from_millis(20);
/// The running program, even if its file was replaced since: an agent's shims are of its own version.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Where programs are looked for if the agent's own environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the executor needs to know of its agent.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The agent's data folder.
    pub data: PathBuf,
    /// The folder's key.
    pub key: String,
    /// The worker's id.
    pub worker: String,
    /// The names of the GPU devices, as CUDA knows them, by index.
    pub gpu_devices: Vec<String>,
    /// The program that runs what is placed here; none if commands are run as they are.
    pub hook: Option<PathBuf>,
}

/// Runs each container as a process under a shim: its command, or the worker's hook in its place.
#[derive(Debug)]
pub struct ProcessExecutor {
    setting: Setting,
    happenings: Sender<Happening>,
}

impl ProcessExecutor {
    /// An executor that tells `happenings` what happens.
    pub fn new(setting: Setting, happenings: Sender<Happening>) -> Self {
        Self { setting, happenings }
    }

    fn record(&self, placement: &PlacementName) -> Record {
        Record::at(record_path(&self.setting.data, placement))
    }

    fn assignment(&self, order: &StartOrder, start_by_ms: u64) -> Assignment {
        let Setting { worker, key, gpu_devices, hook, .. } = &self.setting;
        // A hook is the operator's program: no request has a say in its environment.
        let own_env = if hook.is_some() { &BTreeMap::new() } else { &order.env };
        Assignment {
            placement: order.placement.clone(),
            worker: worker.clone(),
            key: key.clone(),
            command: hook.as_ref().map_or_else(|| order.command.clone(), |hook| vec![hook.display().to_string()]),
            env: environment(order, own_env, worker, gpu_devices, |name| std::env::var(name).ok()),
            cwd: order.cwd.clone().filter(|_| hook.is_none()),
            hook_input: hook.as_ref().map(|_| hook::call(order, worker)),
            timeout_ms: order.timeout_ms,
            kill_after_ms: order.kill_after_ms.unwrap_or(KILL_AFTER_MS),
            if_silent: order.if_silent,
            start_by_ms,
            owns: order.owns.clone(),
        }
    }

    /// Looks at what an earlier agent left in one folder.
    fn find(&self, record: Record) -> anyhow::Result<Option<Found>> {
        if let Some(end) = record.end() {
            return Ok(Some(Found::Ended(end)));
        }
        match record.revoke() {
            Claim::Taken(Assignment { placement, owns, .. }) => {
                let notes = listen_to(&record)?;
                self.follow(Shim { record, placement: placement.clone(), process: None, notes });
                Ok(Some(Found::Held(Hold { placement, owns })))
            }
            Claim::Revoked(placement) => {
                Ok(Some(Found::Ended(Report { placement, event: Event::NotStarted, output: None })))
            }
            Claim::Torn => {
                record.remove()?;
                Ok(None)
            }
        }
    }

    fn spawn(&self, record: Record, placement: PlacementName) -> anyhow::Result<()> {
        let notes = listen_to(&record)?;
        let mut command = Command::new(OWN_PROGRAM);
        command.arg0("stowplan").arg("shim").arg("--dir").arg(record.dir()).env_clear().current_dir("/");
        if let Some(files) = open_files::given() {
            command.arg("--files").arg(files.to_string());
        }
        #[cfg(feature = "failpoints")]
        command.envs(crate::agent::clock::suspension::variable());
        command.stdin(record.open_bell()?).stdout(record.open_notes()?).stderr(Stdio::null());
        let process = Some(command.spawn().context("failed to start a shim")?);
        drop(command); // and with it this side's hold of `notes`, whose end shall mean the shim's
        self.follow(Shim { record, placement, process, notes });
        Ok(())
    }

    fn follow(&self, shim: Shim) {
        let (worker, happenings) = (self.setting.worker.clone(), self.happenings.clone());
        tokio::spawn(async move { shim.follow(&worker, &happenings).await });
    }
}

impl Executor for ProcessExecutor {
    fn runtime(&self) -> &'static str {
        if self.setting.hook.is_some() { HOOK_RUNTIME } else { DEFAULT_RUNTIME }
    }

    fn recover(&mut self, is_settled: &dyn Fn(&PlacementName) -> bool) -> anyhow::Result<Vec<Found>> {
        let folder = records_path(&self.setting.data);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))? {
            let path = entry?.path();
            let Some(placement) = recorded_placement(&path) else { continue };
            if is_settled(&placement) {
                let _ = fs::remove_dir_all(path);
            } else {
                let at = path.display().to_string();
                found.extend(self.find(Record::at(path)).with_context(|| format!("failed to recover {at}"))?);
            }
        }
        Ok(found)
    }

    fn start(&mut self, order: &StartOrder, start_by_ms: u64) -> anyhow::Result<()> {
        let record = self.record(&order.placement);
        let started = record
            .create(&self.assignment(order, start_by_ms))
            .context("failed to write down the order")
            .and_then(|()| self.spawn(record.clone(), order.placement.clone()));
        if started.is_err() {
            let _ = record.remove();
        }
        started
    }

    fn stop(&mut self, placement: &PlacementName, request: &StopRequest) {
        if let Err(error) = self.record(placement).ask_to_stop(request) {
            tracing::error!(container = placement.container, %error, "failed to ask the shim to stop");
        }
    }

    fn discard(&mut self, placement: &PlacementName) {
        let record = self.record(placement);
        // What cannot be removed now is removed by the next agent. A large folder takes its time.
        tokio::task::spawn_blocking(move || record.remove());
    }
}

fn listen_to(record: &Record) -> std::io::Result<Receiver> {
    OpenOptions::new().open_receiver(record.notes_path())
}

/// A shim that lives, or has died.
struct Shim {
    record: Record,
    placement: PlacementName,
    /// If it is this agent's child.
    process: Option<Child>,
    notes: Receiver,
}

impl Shim {
    async fn follow(self, worker: &str, happenings: &Sender<Happening>) {
        // Asked once without waiting: of a writer that was gone before it listened, a pipe says nothing by itself.
        let mut shim_lives = !matches!(rustix::io::read(&self.notes, &mut [0; 64]), Ok(0));
        let mut told = false;
        let end = loop {
            if let Some(end) = self.record.end() {
                break end;
            }
            if !shim_lives {
                self.bury(worker).await;
                break Report { placement: self.placement.clone(), event: Event::Gone, output: None };
            }
            if !told && self.record.started().is_some() {
                told = true;
                let _ = happenings.send(Happening::Started(self.placement.clone())).await;
            }
            shim_lives = self.listen().await;
        };
        let _ = happenings.send(Happening::Ended(end)).await;
        if let Some(mut process) = self.process {
            let _ = process.wait().await;
        }
    }

    /// Waits for a note; whether the shim is alive.
    async fn listen(&self) -> bool {
        let mut notes = [0; 64];
        loop {
            match self.notes.try_read(&mut notes) {
                Ok(count) => return count > 0,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if self.notes.readable().await.is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    /// The shim died without a word: what it watched over must be dead before anyone is told that it is.
    async fn bury(&self, worker: &str) {
        let marks = marks(&self.placement, worker).map(|(name, value)| format!("{name}={value}"));
        let leader = self.record.started();
        while procfs::kill_leftovers(leader.as_ref(), &marks) {
            tokio::time::sleep(BURY_EVERY).await;
        }
    }
}

/// A container's whole environment: a little of the agent's, its own, and what nothing can override.
fn environment(
    order: &StartOrder,
    own: &BTreeMap<String, String>,
    worker: &str,
    gpu_devices: &[String],
    inherited: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let path = inherited("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let home = inherited("HOME").unwrap_or_else(|| "/".to_owned());
    let mut env = BTreeMap::from([("PATH".to_owned(), path), ("HOME".to_owned(), home)]);
    env.extend(inherited("LANG").map(|lang| ("LANG".to_owned(), lang)));
    env.extend(own.clone());
    env.extend(marks(&order.placement, worker).map(|(name, value)| (name.to_owned(), value)));
    let device = |index: &u32| gpu_devices.get(*index as usize).map_or("", String::as_str);
    let devices: Vec<_> = order.owns.gpu_devices.iter().map(device).collect();
    env.insert("CUDA_VISIBLE_DEVICES".to_owned(), devices.join(","));
    env
}

/// What the agent's own GPU devices are called: as its own environment says, else by their numbers.
pub fn gpu_devices(visible: Option<&OsStr>, count: u32) -> anyhow::Result<Vec<String>> {
    let Some(visible) = visible else { return Ok((0..count).map(|index| index.to_string()).collect()) };
    let visible = visible.to_str().context("CUDA_VISIBLE_DEVICES is no text")?;
    let names: Vec<_> = visible.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    anyhow::ensure!(
        names.len() >= count as usize,
        "CUDA_VISIBLE_DEVICES={visible} names {} devices, but --gpu says {count}",
        names.len()
    );
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::calls::{IfSilent, Owns};

    fn order(env: &[(&str, &str)], gpu_devices: &[u32]) -> StartOrder {
        StartOrder {
            placement: PlacementName { container: "c1".to_owned(), attempt: 2, history: 7 },
            command: vec!["true".to_owned()],
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            cwd: None,
            timeout_ms: None,
            kill_after_ms: None,
            if_silent: IfSilent::Stop,
            owns: Owns { gpu_devices: gpu_devices.to_vec(), ..Owns::default() },
            runtime: None,
        }
    }

    fn env(order: &StartOrder, inherited: &[(&str, &str)]) -> Vec<String> {
        let devices = gpu_devices(Some(OsStr::new("2, 3")), 2).unwrap();
        let inherit = |name: &str| inherited.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        environment(order, &order.env, "w1", &devices, inherit)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn a_container_sees_little_of_the_agents_environment() {
        let agents = [("PATH", "/bin"), ("HOME", "/root"), ("LANG", "C"), ("STOWPLAN_TOKEN", "s3cret"), ("X", "y")];
        let seen = env(&order(&[("A", "b"), ("HOME", "/h")], &[]), &agents);
        let expected = [
            "A=b",
            "CUDA_VISIBLE_DEVICES=",
            "HOME=/h",
            "LANG=C",
            "PATH=/bin",
            "STOWPLAN_ATTEMPT=2",
            "STOWPLAN_CONTAINER=c1",
            "STOWPLAN_WORKER=w1",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn devices_are_the_agents_own_at_the_placements_indices_and_no_request_changes_that() {
        let wish = [("CUDA_VISIBLE_DEVICES", "0,1,2,3"), ("STOWPLAN_ATTEMPT", "9")];
        let seen = env(&order(&wish, &[1]), &[]);
        assert!(seen.contains(&"CUDA_VISIBLE_DEVICES=3".to_owned()), "{seen:?}");
        assert!(seen.contains(&"STOWPLAN_ATTEMPT=2".to_owned()), "{seen:?}");
        assert!(env(&order(&[], &[0, 1]), &[]).contains(&"CUDA_VISIBLE_DEVICES=2,3".to_owned()));
    }

    #[test]
    fn an_agent_cannot_offer_more_devices_than_it_sees() {
        assert_eq!(gpu_devices(None, 2).unwrap(), ["0", "1"]);
        assert!(gpu_devices(Some(OsStr::new("2")), 2).is_err());
        assert!(gpu_devices(Some(OsStr::new("")), 1).is_err());
    }
}
