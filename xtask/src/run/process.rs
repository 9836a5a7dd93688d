//! One process of the fleet.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::folder::Folder;

/// How much of a log is shown when its process is given up.
const TAIL_BYTES: u64 = 4 * 1024;

pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) log: PathBuf,
    child: Child,
    started: Instant,
}

impl Process {
    /// Starts the folder's program.
    pub(crate) fn start(folder: &Folder, name: &str, arguments: &[String]) -> Result<Self> {
        Self::start_program(folder, name, Command::new(folder.program()).args(arguments))
    }

    /// Starts a program in a process group of its own, which a Ctrl-C at the terminal does not reach. Its stdin is a pipe
    /// that only we hold: it reads the end when we close it, and also when we are killed.
    pub(crate) fn start_program(folder: &Folder, name: &str, command: &mut Command) -> Result<Self> {
        let log = folder.log(name)?;
        let out = OpenOptions::new().create(true).append(true).open(&log);
        let out = out.with_context(|| format!("failed to open {}", log.display()))?;
        command.process_group(0).stdin(Stdio::piped()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("failed to start {name}"))?;
        folder.write_pid(name, child.id())?;
        Ok(Self { name: name.to_owned(), log, child, started: Instant::now() })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Closes its stdin, which asks it to end by itself.
    pub(crate) fn ask_to_end(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Kills the process, not its group: what an agent runs has its own keeper.
    pub(crate) fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if text.trim().is_empty() { "(it wrote nothing)".to_owned() } else { text.trim_end().to_owned() }
}
