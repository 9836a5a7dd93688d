//! Processes of an earlier run that was killed: they drain by themselves, and until then they hold the rows.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

use super::folder::Folder;
use crate::say::say;

/// Longer than a server and its agents take to drain.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for them to end, and kills those that do not.
pub(crate) fn wait(folder: &Folder) -> Result<()> {
    let begun = Instant::now();
    let mut left = alive(folder)?;
    if !left.is_empty() {
        say(&format!("waiting for {} of the last run to end: {}", left.len(), names(&left)));
    }
    while !left.is_empty() && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(100));
        left = alive(folder)?;
    }
    for (name, pid) in &left {
        say(&format!("killing {name} of the last run, which did not end in {} s", PATIENCE.as_secs()));
        if let Some(pid) = Pid::from_raw(*pid) {
            // An error says that it has ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    folder.pids()?.iter().try_for_each(|(name, _)| folder.forget_pid(name))
}

fn alive(folder: &Folder) -> Result<Vec<(String, i32)>> {
    let mut pids = folder.pids()?;
    pids.retain(|(name, pid)| is_ours(folder, name, *pid));
    Ok(pids)
}

/// Whether that pid is still our process and not a stranger's who got the number since: ours has its own data folder
/// among its arguments.
fn is_ours(folder: &Folder, name: &str, pid: i32) -> bool {
    let data = folder.data(name);
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).any(|argument| argument == data.as_os_str().as_bytes())
}

fn names(processes: &[(String, i32)]) -> String {
    processes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_with_an_old_number_is_no_leftover() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        let ourselves = std::process::id();
        folder.write_pid("worker-01", ourselves).unwrap();
        assert!(alive(&folder).unwrap().is_empty());
        wait(&folder).unwrap();
        assert!(folder.pids().unwrap().is_empty());
    }
}
