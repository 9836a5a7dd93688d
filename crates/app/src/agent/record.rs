//! What is written down about one container, in a folder of its own: the truth after either of its two writers died.
//!
//! The agent writes `order.json` and the shim takes it by renaming it, so that either it was taken or it was revoked,
//! never both. The agent writes `stop.json`; the shim writes `started.json` and `end.json`. Two named pipes only ring:
//! `bell` to the shim, `notes` to the agent. The shim holds `notes` open for as long as it lives, so that its death is
//! seen without any pid.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use serde::{Deserialize, Serialize};

use super::executor::StopRequest;
use super::files::{self, Outlives};
use super::procfs::ProcessIdentity;
use crate::api::calls::{IfSilent, Owns, PlacementName, Report};

/// All that a shim needs to run one container. In a file, so that no argument or variable of the shim tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which placement.
    pub placement: PlacementName,
    /// Whose: named in messages.
    pub worker: String,
    /// The key of the agent's folder: only its leases count.
    pub key: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The working folder; an empty one of its own if absent.
    pub cwd: Option<String>,
    /// What a worker's hook reads on its standard input: it then stands in the place of the request's command.
    pub hook_input: Option<String>,
    /// How long it may run.
    pub timeout_ms: Option<u64>,
    /// From TERM to KILL.
    pub kill_after_ms: u64,
    /// What happens when the lease runs out.
    pub if_silent: IfSilent,
    /// The deadline when it was ordered, on the boot clock: what has not begun by then never does. The lease may have been
    /// extended since, by an agent that was lost and came back.
    pub start_by_ms: u64,
    /// What it owns: a store that lost writes asks.
    pub owns: Owns,
}

/// The variables that every container has, and nothing but a container's processes has with the same values.
pub fn marks(placement: &PlacementName, worker: &str) -> [(&'static str, String); 3] {
    [
        ("STOWPLAN_CONTAINER", placement.container.clone()),
        ("STOWPLAN_ATTEMPT", placement.attempt.to_string()),
        ("STOWPLAN_WORKER", worker.to_owned()),
    ]
}

/// Until when an agent's containers may live: one file an agent, replaced at each accepted call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// On the boot clock.
    pub deadline_ms: u64,
    /// How long before the deadline the last accepted call was sent.
    pub keepalive_ms: u64,
    /// The agent's: a folder made anew in the same place extends no life of the old one's containers.
    pub key: String,
    /// Which boot the clock counts from.
    pub boot: String,
}

/// Where an order is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is matched at once, and never kept")]
pub enum Claim {
    /// Not yet taken by a shim; revoked now, so that it never will be.
    Revoked(PlacementName),
    /// Taken by a shim.
    Taken(Assignment),
    /// Never completely written, so that no shim was started for it.
    Torn,
}

/// The folder of one container.
#[derive(Debug, Clone)]
pub struct Record {
    dir: PathBuf,
}

impl Record {
    /// The record in `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Makes the folder, the pipes, and the order: from now on the container counts as held.
    ///
    /// Nothing is synced: after a power failure neither the shim nor the need for the record is left.
    pub fn create(&self, assignment: &Assignment) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.dir)?;
        for pipe in ["bell", "notes"] {
            mknodat(CWD, self.path(pipe), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path("order.json"))?;
        file.write_all(&serde_json::to_vec(assignment)?)
    }

    /// The shim's first act: makes the order its own. `None` if it was revoked.
    pub fn take(&self) -> io::Result<Option<Assignment>> {
        match fs::rename(self.path("order.json"), self.path("taken.json")) {
            Ok(()) => files::read_json(&self.path("taken.json")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A new agent's first act: revokes the order unless a shim has taken it.
    pub fn revoke(&self) -> Claim {
        let _ = fs::rename(self.path("order.json"), self.path("revoked.json"));
        let read = |name| files::read_json::<Assignment>(&self.path(name)).ok().flatten();
        match (read("taken.json"), read("revoked.json")) {
            (Some(assignment), _) => Claim::Taken(assignment),
            (None, Some(assignment)) => Claim::Revoked(assignment.placement),
            (None, None) => Claim::Torn,
        }
    }

    /// Writes down the command's process. It needs to outlive no power failure: the process does not.
    pub fn write_started(&self, process: &ProcessIdentity) -> io::Result<()> {
        files::replace_json(&self.path("started.json"), process, Outlives::Processes)
    }

    /// The command's process, if it was started.
    pub fn started(&self) -> Option<ProcessIdentity> {
        files::read_json(&self.path("started.json")).ok().flatten()
    }

    /// Writes down the end.
    pub fn write_end(&self, end: &Report) -> io::Result<()> {
        files::replace_json(&self.path("end.json"), end, Outlives::PowerFailure)
    }

    /// The end, if it was written.
    pub fn end(&self) -> Option<Report> {
        files::read_json(&self.path("end.json")).ok().flatten()
    }

    /// Asks the shim to end the container; heard even by a shim that is just being started.
    pub fn ask_to_stop(&self, request: &StopRequest) -> io::Result<()> {
        files::replace_json(&self.path("stop.json"), request, Outlives::Processes)?;
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        // Not to be opened: the shim is gone, or not even started, and looks for the request before the command.
        if let Ok(mut bell) = OpenOptions::new().write(true).custom_flags(nonblocking).open(self.path("bell")) {
            let _ = bell.write_all(b"!");
        }
        Ok(())
    }

    /// What the agent asked for, if it asked.
    pub fn stop_request(&self) -> Option<StopRequest> {
        files::read_json(&self.path("stop.json")).ok().flatten()
    }

    /// The shim's end of `bell`, its standard input. Also open for writing, so that it never reads an end of file.
    pub fn open_bell(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path("bell"))
    }

    /// The shim's end of `notes`, its standard output. Also open for reading, so that writing needs no agent.
    pub fn open_notes(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path("notes"))
    }

    /// Where the agent listens.
    pub fn notes_path(&self) -> PathBuf {
        self.path("notes")
    }

    /// The empty folder in which the command runs if it names none.
    pub fn work_dir(&self) -> PathBuf {
        self.path("work")
    }

    /// The agent's lease, if it is of this agent and this boot.
    pub fn lease(&self, key: &str, boot: &str) -> Option<Lease> {
        read_lease(self.dir.parent()?.parent()?, key, boot)
    }

    /// Removes the folder and all that is in it.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.dir)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Where the lease of the agent with the data folder `data` is; the records are in a folder beside it.
pub fn lease_path(data: &Path) -> PathBuf {
    data.join("deadline.json")
}

/// The lease of the agent with the data folder `data`, if it is of this key and this boot.
pub fn read_lease(data: &Path, key: &str, boot: &str) -> Option<Lease> {
    let lease = files::read_json::<Lease>(&lease_path(data)).ok().flatten()?;
    (lease.key == key && lease.boot == boot).then_some(lease)
}

/// Where the record of `placement` is in the agent's data folder.
pub fn record_path(data: &Path, placement: &PlacementName) -> PathBuf {
    let PlacementName { container, attempt, history } = placement;
    records_path(data).join(format!("{container}.{attempt}.{history}"))
}

/// Whose record the folder at `path` is, going by its name; `None` if it is none.
pub fn recorded_placement(path: &Path) -> Option<PlacementName> {
    let mut parts = path.file_name()?.to_str()?.rsplitn(3, '.');
    let (history, attempt) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(PlacementName { container: parts.next()?.to_owned(), attempt, history })
}

/// Where the records are.
pub fn records_path(data: &Path) -> PathBuf {
    data.join("containers")
}

/// What tests run.
#[cfg(test)]
pub(super) fn assignment() -> Assignment {
    Assignment {
        placement: PlacementName { container: "c1".to_owned(), attempt: 1, history: 7 },
        worker: "w1".to_owned(),
        key: "k".to_owned(),
        command: vec!["true".to_owned()],
        env: BTreeMap::new(),
        cwd: None,
        hook_input: None,
        timeout_ms: None,
        kill_after_ms: 10_000,
        if_silent: IfSilent::Stop,
        start_by_ms: u64::MAX,
        owns: Owns::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_taken_or_revoked_and_never_both() {
        let data = tempfile::tempdir().unwrap();
        let taken = Record::at(data.path().join("a"));
        taken.create(&assignment()).unwrap();
        assert_eq!(taken.take().unwrap(), Some(assignment()));
        assert_eq!(taken.revoke(), Claim::Taken(assignment()));

        let revoked = Record::at(data.path().join("b"));
        revoked.create(&assignment()).unwrap();
        assert_eq!(revoked.revoke(), Claim::Revoked(assignment().placement));
        assert_eq!(revoked.take().unwrap(), None);
        assert_eq!(revoked.revoke(), Claim::Revoked(assignment().placement), "a second new agent says the same");
    }

    #[test]
    fn a_record_is_known_by_the_name_of_its_folder() {
        let placement = PlacementName { container: "a.b.7".to_owned(), attempt: 1, history: 9 };
        assert_eq!(recorded_placement(&record_path(Path::new("/data"), &placement)), Some(placement));
        assert_eq!(recorded_placement(Path::new("/data/containers/lost+found")), None);
    }

    #[test]
    fn an_order_cut_short_was_never_given_to_a_shim() {
        let data = tempfile::tempdir().unwrap();
        let record = Record::at(data.path().join("a"));
        record.create(&assignment()).unwrap();
        fs::write(data.path().join("a/order.json"), "{\"placement\":").unwrap();
        assert_eq!(record.revoke(), Claim::Torn);
    }

    #[test]
    fn a_lease_of_another_folder_or_boot_extends_nothing() {
        let data = tempfile::tempdir().unwrap();
        let record = Record::at(record_path(data.path(), &assignment().placement));
        assert_eq!(record.lease("k", "b"), None);
        let lease = Lease { deadline_ms: 5, keepalive_ms: 2, key: "k".to_owned(), boot: "b".to_owned() };
        files::replace_json(&lease_path(data.path()), &lease, Outlives::Processes).unwrap();
        assert_eq!(record.lease("k", "b"), Some(lease));
        assert_eq!(record.lease("other", "b"), None);
        assert_eq!(record.lease("k", "other"), None);
    }
}
