//! Processes, told apart by more than their pid: a pid is given to a stranger once its process is gone.

use std::fs;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
    waitpid,
};
use serde::{Deserialize, Serialize};

use super::clock;

/// One process, and no later one that happens to be given its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its pid.
    pub pid: i32,
    /// Its session, which it cannot leave if it leads a group: within one tick, a pid may come round.
    pub session: i32,
    /// When it started, in ticks since the boot.
    pub start_ticks: u64,
    /// Which boot.
    pub boot: String,
}

impl ProcessIdentity {
    /// The process that has `pid` now; `None` if there is none.
    pub fn of(pid: i32) -> Option<Self> {
        let Stat { session, start_ticks, .. } = Stat::of(pid)?;
        Some(Self { pid, session, start_ticks, boot: clock::boot_id().ok()? })
    }

    /// Whether this very process still runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        let same_boot = clock::boot_id().is_ok_and(|boot| boot == self.boot);
        let is_same = |stat: &Stat| stat.start_ticks == self.start_ticks && stat.session == self.session;
        same_boot && Stat::of(self.pid).is_some_and(|stat| is_same(&stat) && !stat.is_dead())
    }
}

/// Sends `signal` to this very process, if it still runs.
pub fn signal(process: &ProcessIdentity, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    // The descriptor pins the process: who is the same after it was opened is whom the signal reaches.
    if let Ok(opened) = pidfd_open(pid, PidfdFlags::empty())
        && process.is_alive()
    {
        let _ = pidfd_send_signal(opened, signal);
    }
}

/// Kills what is left of a container whose shim is gone, and says whether anything was.
///
/// Its leader is known by its identity; the others by `marks`, variables of the container's environment that nothing
/// but its own processes can have.
pub fn kill_leftovers(leader: Option<&ProcessIdentity>, marks: &[String]) -> bool {
    let mut found = false;
    if let Some(leader) = leader.filter(|leader| leader.is_alive()) {
        found = true;
        if let Some(group) = Pid::from_raw(leader.pid) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    for pid in pids().filter(|pid| *pid != getpid().as_raw_pid() && bears(*pid, marks)) {
        found = true;
        let Some(pid) = Pid::from_raw(pid) else { continue };
        // The descriptor pins the process: what bears the marks after it was opened is what the signal reaches.
        if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
            && bears(pid.as_raw_pid(), marks)
        {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
    found
}

/// Kills all children of this process, which cannot be taken for strangers before they are waited for.
pub fn kill_children() {
    for pid in children().into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Waits for the children that have ended, but for `but`.
pub fn reap_children(but: Pid) {
    for pid in children().into_iter().filter_map(Pid::from_raw).filter(|pid| *pid != but) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn children() -> Vec<i32> {
    let own = getpid().as_raw_pid();
    match fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        Ok(list) => list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => pids().filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.parent == own)).collect(),
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether the environment with which `pid` was started holds all `marks`; a process that has ended has none.
fn bears(pid: i32, marks: &[String]) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let has = |mark: &String| environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
    !marks.is_empty() && marks.iter().all(has)
}

/// What `/proc/PID/stat` says.
struct Stat {
    state: u8,
    parent: i32,
    session: i32,
    start_ticks: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field, the name in parentheses, may hold anything; the third follows its last parenthesis.
    fn parse(line: &[u8]) -> Option<Self> {
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let fields: Vec<_> = std::str::from_utf8(&line[name_end + 1..]).ok()?.split_whitespace().collect();
        let state = *fields.first()?.as_bytes().first()?;
        Some(Self {
            state,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let line = b"42 (a) Z 9\xff) S 7 42 41 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session, stat.start_ticks), (b'S', 7, 41, 123_456));
    }

    #[test]
    fn a_pid_alone_is_no_identity() {
        let me = ProcessIdentity::of(getpid().as_raw_pid()).unwrap();
        assert!(me.is_alive());
        assert!(!ProcessIdentity { start_ticks: me.start_ticks + 1, ..me.clone() }.is_alive());
        assert!(!ProcessIdentity { session: me.session + 1, ..me.clone() }.is_alive());
        assert!(!ProcessIdentity { boot: "another".to_owned(), ..me }.is_alive());
    }
}
