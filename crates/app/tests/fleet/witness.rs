//! Containers that bear witness: what their commands write themselves, and what `/proc` shows of them meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use app::agent::procfs::ProcessIdentity;
use serde_json::{Value, json};

use crate::fleet::{Fleet, command_line, pids};

/// Runs in the folder `$0` until it gets TERM. All that it starts holds the lock of its container with it, so that a
/// second process of the container finds it held.
const SCRIPT: &str = r#"
exec 9>>"$0/$STOWPLAN_CONTAINER.lock"
say() { echo "$1 $STOWPLAN_ATTEMPT $STOWPLAN_WORKER $$" >> "$0/$STOWPLAN_CONTAINER"; }
if flock -n 9; then say start; else say second; fi
trap 'say end; exit' TERM
sleep 600 & wait
"#;
/// How often `/proc` is read.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A command writes its first line in much less.
const PATIENCE: Duration = Duration::from_secs(30);

/// Containers of one fleet that write down their starts and ends, under the eyes of a thread.
pub(crate) struct Witness {
    folder: PathBuf,
    seen: Arc<Mutex<Seen>>,
    enough: Arc<AtomicBool>,
    eyes: Option<JoinHandle<()>>,
}

/// One line that a command wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `start`, or `second` if another process of the container was alive; `end` after a TERM.
    pub(crate) word: String,
    pub(crate) attempt: u64,
    pub(crate) worker: String,
    pub(crate) pid: u32,
}

/// What `/proc` showed.
#[derive(Debug, Default)]
struct Seen {
    /// Those that were seen to run.
    containers: BTreeSet<String>,
    /// Two processes of one container that were alive at once.
    pairs: Vec<(String, ProcessIdentity, ProcessIdentity)>,
}

impl Witness {
    pub(crate) fn of(fleet: &Fleet) -> Self {
        let (folder, seen, enough) = (fleet.path("witness"), Arc::default(), Arc::default());
        fs::create_dir(&folder).unwrap();
        let eyes = spawn({
            let (folder, seen, enough) = (folder.clone(), Arc::clone(&seen), Arc::clone(&enough));
            move || look(&folder, &seen, &enough)
        });
        Self { folder, seen, enough, eyes: Some(eyes) }
    }

    /// A request for a container that bears witness.
    pub(crate) fn request(&self, id: &str) -> Value {
        self.running(id, SCRIPT)
    }

    /// A request for a container that runs another script with the folder as its `$0`. Cut off, it has nearly all of
    /// the keepalive before its TERM.
    pub(crate) fn running(&self, id: &str, script: &str) -> Value {
        request_in(&self.folder, id, script)
    }

    /// Where the commands write.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the processes of a container have written.
    pub(crate) fn lines(&self, id: &str) -> Vec<Line> {
        fs::read_to_string(self.folder.join(id)).unwrap_or_default().lines().map(Line::parse).collect()
    }

    /// Whether a process that has written a line for a container is alive.
    pub(crate) fn is_alive(&self, id: &str) -> bool {
        let folder = self.folder.to_str().unwrap();
        self.lines(id).iter().any(|line| command_line(line.pid).ends_with(folder))
    }

    /// The attempts of a container that were started, and where; each alone.
    pub(crate) fn starts(&self, id: &str) -> Vec<(u64, String)> {
        let lines = self.lines(id);
        assert!(lines.iter().all(|line| line.word != "second"), "two processes of {id} at once: {lines:?}");
        let starts = lines.into_iter().filter(|line| line.word == "start");
        starts.map(|line| (line.attempt, line.worker)).collect()
    }

    /// Waits until a container runs in an attempt, by what the server says and by its own word; answers its process.
    pub(crate) fn wait(&self, fleet: &Fleet, id: &str, attempt: u64) -> ProcessIdentity {
        fleet.wait_for_state(id, "running", attempt);
        let is_start = |line: &Line| line.attempt == attempt && line.word != "end";
        fleet.eventually(&format!("{id} says so"), PATIENCE, || self.lines(id).iter().any(is_start));
        let pid = self.lines(id).into_iter().find(is_start).unwrap().pid;
        ProcessIdentity::of(pid.cast_signed()).unwrap_or_else(|| panic!("{id} is gone"))
    }

    /// No container had two processes at once, no attempt was started twice, and these run.
    pub(crate) fn attest(self, ids: &[&str]) {
        let seen = self.conclude(ids);
        for id in ids {
            assert!(seen.contains(*id), "{id} was not seen: {seen:?}");
        }
    }

    /// The same of containers of which some are over before `/proc` is read again.
    pub(crate) fn attest_short(self, ids: &[&str]) {
        let seen = self.conclude(ids);
        assert!(ids.iter().any(|id| seen.contains(*id)), "none was seen");
    }

    /// Ends the watch; answers whom it has seen.
    fn conclude(mut self, ids: &[&str]) -> BTreeSet<String> {
        self.enough.store(true, Ordering::Relaxed);
        self.eyes.take().unwrap().join().unwrap();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        assert!(seen.pairs.is_empty(), "two at once: {:?}", seen.pairs);
        for id in ids {
            let starts = self.starts(id);
            assert!(starts.is_sorted_by(|a, b| a.0 < b.0), "{id} was started twice in one attempt: {starts:?}");
        }
        seen.containers
    }

    /// Whether no process of any container is left.
    pub(crate) fn is_over(&self) -> bool {
        processes(&self.folder).is_empty()
    }

    /// Whether `/proc` showed two processes of the container at once, and the second itself found the first alive.
    pub(crate) fn saw_two(&self, id: &str) -> bool {
        let wrote = self.lines(id).iter().any(|line| line.word == "second");
        wrote && self.seen.lock().unwrap().pairs.iter().any(|(container, ..)| container == id)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}

/// A request for a container that runs a script with this folder as its `$0`.
pub(crate) fn request_in(folder: &Path, id: &str, script: &str) -> Value {
    let command = json!(["sh", "-c", script, folder]);
    json!({"id": id, "memory": "64Mi", "kill_after": "100ms", "command": command})
}

impl Line {
    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let [word, attempt, worker, pid] = words[..] else { panic!("{line:?} is no line of a witness") };
        let (attempt, pid) = (attempt.parse().unwrap(), pid.parse().unwrap());
        Self { word: word.to_owned(), attempt, worker: worker.to_owned(), pid }
    }
}

/// Reads `/proc` until it is enough, and once more.
fn look(folder: &Path, seen: &Mutex<Seen>, enough: &AtomicBool) {
    loop {
        let last = enough.load(Ordering::Relaxed);
        let processes = processes(folder);
        let mut seen = seen.lock().unwrap();
        for (container, processes) in processes {
            seen.pairs.extend(pair(processes).map(|(one, other)| (container.clone(), one, other)));
            seen.containers.insert(container);
        }
        drop(seen);
        if last {
            return;
        }
        sleep(LOOK_EVERY);
    }
}

/// Two starts of one container that are alive at once: each shim makes a session of its own.
fn pair(processes: Vec<ProcessIdentity>) -> Option<(ProcessIdentity, ProcessIdentity)> {
    let sessions: BTreeMap<_, _> = processes.into_iter().map(|process| (process.session, process)).collect();
    let mut sessions = sessions.into_values();
    let (one, other) = (sessions.next()?, sessions.next()?);
    // The first may have died before the second was born: not if it is alive after the second was.
    (other.is_alive() && one.is_alive()).then_some((one, other))
}

/// The processes whose command line names the folder, by the container that their environment names.
fn processes(folder: &Path) -> BTreeMap<String, Vec<ProcessIdentity>> {
    let folder = folder.to_str().unwrap();
    let mut found: BTreeMap<String, Vec<ProcessIdentity>> = BTreeMap::new();
    for pid in pids().filter(|pid| command_line(*pid).ends_with(folder)) {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environ = String::from_utf8_lossy(&environ);
        let container = environ.split('\0').find_map(|variable| variable.strip_prefix("STOWPLAN_CONTAINER="));
        let process = ProcessIdentity::of(pid.cast_signed());
        if let (Some(container), Some(process)) = (container, process) {
            found.entry(container.to_owned()).or_default().push(process);
        }
    }
    found
}
