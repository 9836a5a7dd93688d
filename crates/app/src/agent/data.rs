//! An agent's data folder: who it is, and what it must not forget.
//!
//! `identity.json`, made once; `incarnation`; `deadline.json`, the lease that the shims read; `settled`, a line for
//! each end acknowledged within the last hour; `containers/`, a folder for each container (see [`super::record`]);
//! `lock`, held by the agent that uses the folder; `process.json`, which process that is, or was; `left`, if the worker
//! has left its cell.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use rustix::process::getpid;
use serde::{Deserialize, Serialize};

use super::clock;
use super::files::{self, Outlives};
use super::procfs::ProcessIdentity;
use super::record::{Lease, lease_path, records_path};
use crate::api::calls::{PlacementName, Report};

/// Lines of `settled` that are no longer needed are dropped when there are more of them than this.
const STALE_LINES_MAX: usize = 1_000;

/// Names the agent's process.
const PROCESS: &str = "process.json";
/// Is there once the worker has left.
const LEFT: &str = "left";

/// Who a folder belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    key: String,
    worker: String,
    machine: String,
    /// The folder's own number in its file system, which a copy does not have.
    inode: u64,
}

/// One acknowledged end.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settled {
    /// Milliseconds since 1970; it only says how long to remember.
    at: u64,
    end: Report,
}

/// The folder, locked.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    owner: Owner,
    boot: String,
    settled: BTreeMap<PlacementName, Settled>,
    journal: File,
    journal_lines: usize,
    _lock: File,
}

impl Folder {
    /// Opens the folder of `worker` on `machine`, and makes it if there is none.
    pub fn open(path: &Path, worker: &str, machine: &str) -> anyhow::Result<Self> {
        let failed = || format!("failed to open the data folder {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(records_path(path)).with_context(failed)?;
        let path = path.canonicalize().with_context(failed)?;
        let lock = lock(&path)?;
        let owner = owner(&path, worker, machine)?;
        let settled = read_settled(&path.join("settled"));
        let journal = open_journal(&path.join("settled")).with_context(failed)?;
        let boot = clock::boot_id().context("failed to read the boot id")?;
        let process = ProcessIdentity::of(getpid().as_raw_pid());
        files::replace_json(&path.join(PROCESS), &process, Outlives::Processes).with_context(failed)?;
        let _ = fs::remove_file(path.join(LEFT));
        let mut folder = Self { path, owner, boot, settled, journal, journal_lines: 0, _lock: lock };
        folder.compact()?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Made once.
    pub fn key(&self) -> &str {
        &self.owner.key
    }

    /// The last incarnation. A new folder begins at the wall clock: above those of a folder that was lost before it, whose
    /// late calls must not pass for its own.
    pub fn incarnation(&self) -> anyhow::Result<u64> {
        let path = self.path.join("incarnation");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().with_context(|| format!("{} holds no number: {text:?}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(wall_ms()),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Writes the incarnation down before it is used.
    pub fn raise_incarnation(&self, incarnation: u64) -> anyhow::Result<()> {
        files::replace(&self.path.join("incarnation"), incarnation.to_string().as_bytes(), Outlives::PowerFailure)
            .context("failed to write down the incarnation")
    }

    /// The deadline that an earlier agent left, if it is of this boot.
    pub fn deadline_ms(&self) -> u64 {
        let lease = files::read_json::<Lease>(&lease_path(&self.path)).ok().flatten();
        lease
            .filter(|lease| lease.key == self.owner.key && lease.boot == self.boot)
            .map_or(0, |lease| lease.deadline_ms)
    }

    /// Lets the shims know. No lease outlives the boot that it is about.
    pub fn extend_lease(&self, deadline_ms: u64, keepalive_ms: u64) -> std::io::Result<()> {
        let (key, boot) = (self.owner.key.clone(), self.boot.clone());
        let lease = Lease { deadline_ms, keepalive_ms, key, boot };
        files::replace_json(&lease_path(&self.path), &lease, Outlives::Processes)
    }

    /// Notes that the agent has asked to be drained: the drain belongs to the worker's name, and would outlive the agent.
    pub fn note_leaving(&self) -> std::io::Result<()> {
        files::replace(&self.leaving_path(), b"", Outlives::PowerFailure)
    }

    /// Whether an agent of this folder asked to be drained, and did not come to the end of it.
    pub fn is_leaving(&self) -> bool {
        self.leaving_path().exists()
    }

    /// The drain is over, one way or the other.
    pub fn forget_leaving(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.leaving_path())
    }

    /// The file that says so; it may be removed without this value.
    pub fn leaving_path(&self) -> PathBuf {
        self.path.join("leaving")
    }

    /// Notes that the worker has left its cell.
    pub fn note_left(&self) -> std::io::Result<()> {
        files::replace(&self.path.join(LEFT), b"", Outlives::PowerFailure)
    }

    /// What ended within the last hour and is acknowledged, with how long ago, oldest first.
    pub fn settled(&self) -> Vec<(u64, Report)> {
        let now = wall_ms();
        let mut settled: Vec<_> =
            self.settled.values().map(|settled| (now.saturating_sub(settled.at), settled.end.clone())).collect();
        settled.sort_by_key(|(age_ms, _)| std::cmp::Reverse(*age_ms));
        settled
    }

    /// Whether the end of `placement` is remembered.
    pub fn has_settled(&self, placement: &PlacementName) -> bool {
        self.settled.contains_key(placement)
    }

    /// Remembers an acknowledged end.
    pub fn settle(&mut self, end: Report) -> anyhow::Result<()> {
        let settled = Settled { at: wall_ms(), end };
        let mut line = serde_json::to_vec(&settled)?;
        line.push(b'\n');
        self.journal.write_all(&line).context("failed to remember an end")?;
        self.journal_lines += 1;
        self.settled.insert(settled.end.placement.clone(), settled);
        Ok(())
    }

    /// Forgets one.
    pub fn forget(&mut self, placement: &PlacementName) -> anyhow::Result<()> {
        self.settled.remove(placement);
        if self.journal_lines > 2 * self.settled.len() + STALE_LINES_MAX { self.compact() } else { Ok(()) }
    }

    /// Writes the journal anew, with what is still remembered.
    fn compact(&mut self) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for settled in self.settled.values() {
            serde_json::to_writer(&mut lines, settled)?;
            lines.push(b'\n');
        }
        let path = self.path.join("settled");
        files::replace(&path, &lines, Outlives::Processes).context("failed to write down what ended")?;
        self.journal = open_journal(&path)?;
        self.journal_lines = self.settled.len();
        Ok(())
    }
}

/// The agent that runs on the folder at `path`, if one does. Nothing is opened or locked.
pub fn running(path: &Path) -> Option<ProcessIdentity> {
    let process = files::read_json::<Option<ProcessIdentity>>(&path.join(PROCESS)).ok().flatten().flatten();
    process.filter(ProcessIdentity::is_alive)
}

/// Whether the worker of the folder at `path` has left its cell.
pub fn has_left(path: &Path) -> bool {
    path.join(LEFT).exists()
}

/// Which machine this is, so that a folder copied to another one is noticed.
pub fn machine_id() -> String {
    let read = |path| fs::read_to_string(path).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    read("/etc/machine-id")
        .or_else(|| read("/var/lib/dbus/machine-id"))
        .or_else(|| read("/proc/sys/kernel/hostname").map(|name| format!("hostname {name}")))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "another agent is running on the data folder {}\nnext: give this one a folder of its own with --data",
            path.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).context("failed to lock the data folder"),
    }
}

fn owner(path: &Path, worker: &str, machine: &str) -> anyhow::Result<Owner> {
    let file = path.join("identity.json");
    let inode = fs::metadata(path).context("failed to look at the data folder")?.ino();
    let Some(owner) = files::read_json::<Owner>(&file).with_context(|| format!("failed to read {}", file.display()))?
    else {
        let owner = Owner { key: random_key()?, worker: worker.to_owned(), machine: machine.to_owned(), inode };
        files::replace_json(&file, &owner, Outlives::PowerFailure).context("failed to make the data folder")?;
        return Ok(owner);
    };
    let shown = path.display();
    if owner.worker != worker {
        let whose = &owner.worker;
        bail!("the data folder {shown} belongs to worker {whose}, not to {worker}\nnext: stowplan agent --id {whose}");
    }
    if owner.machine != machine || owner.inode != inode {
        let from = if owner.machine == machine { "another folder" } else { "another machine" };
        bail!(
            "the data folder {shown} was copied from {from}: two agents with one key would take each other's work\n\
             next: rm -r {shown}"
        );
    }
    Ok(owner)
}

fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("failed to make a key: {error}"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// A line that was cut short by the end of its agent says nothing; what it would have said is told again.
fn read_settled(path: &Path) -> BTreeMap<PlacementName, Settled> {
    let Ok(file) = File::open(path) else { return BTreeMap::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let settled = lines.filter_map(|line| serde_json::from_str::<Settled>(&line).ok());
    settled.map(|settled| (settled.end.placement.clone(), settled)).collect()
}

fn open_journal(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::calls::Event;

    fn end(container: &str) -> Report {
        let placement = PlacementName { container: container.to_owned(), attempt: 1, history: 7 };
        Report { placement, event: Event::Exited { code: 0 }, output: None }
    }

    #[test]
    fn a_folder_remembers_who_it_is_and_what_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mut folder = Folder::open(&path, "w1", "m1").unwrap();
        let key = folder.key().to_owned();
        assert_eq!((key.len(), folder.deadline_ms()), (32, 0));
        assert!(folder.incarnation().unwrap() > 1_000_000_000_000, "above those of a folder that was lost");
        folder.raise_incarnation(4).unwrap();
        folder.extend_lease(9_000, 5_000).unwrap();
        folder.settle(end("c1")).unwrap();
        folder.settle(end("c2")).unwrap();
        folder.settle(end("c3")).unwrap();
        folder.forget(&end("c2").placement).unwrap();
        drop(folder);
        let mut journal = open_journal(&path.join("settled")).unwrap();
        journal.write_all(b"{\"at\":5,\"end\":{\"pla").unwrap();

        let folder = Folder::open(&path, "w1", "m1").unwrap();
        assert_eq!((folder.key(), folder.incarnation().unwrap(), folder.deadline_ms()), (key.as_str(), 4, 9_000));
        let remembered: Vec<_> = folder.settled().into_iter().map(|(_, end)| end.placement.container).collect();
        assert!(remembered.contains(&"c1".to_owned()) && remembered.contains(&"c3".to_owned()), "{remembered:?}");
    }

    #[test]
    fn the_journal_of_ends_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), "w1", "m1").unwrap();
        for n in 0..3 * STALE_LINES_MAX {
            folder.settle(end(&format!("c{n}"))).unwrap();
            folder.forget(&end(&format!("c{n}")).placement).unwrap();
        }
        let lines = fs::read_to_string(dir.path().join("settled")).unwrap().lines().count();
        assert!(lines <= STALE_LINES_MAX + 1, "{lines}");
    }

    #[test]
    fn a_folder_has_one_agent_one_worker_and_one_machine() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), "w1", "m1").unwrap();
        let refusal = |worker, machine| Folder::open(dir.path(), worker, machine).unwrap_err().to_string();
        assert!(refusal("w1", "m1").contains("another agent is running"));
        drop(folder);
        assert!(refusal("w2", "m1").contains("belongs to worker w1"));
        assert!(refusal("w1", "m2").contains("copied from another machine"));
        Folder::open(dir.path(), "w1", "m1").unwrap();

        let copy = tempfile::tempdir().unwrap();
        fs::copy(dir.path().join("identity.json"), copy.path().join("identity.json")).unwrap();
        let refusal = Folder::open(copy.path(), "w1", "m1").unwrap_err().to_string();
        assert!(refusal.contains("copied from another folder"), "{refusal}");
    }
}
