//! The process that stands over one container: it starts the command, keeps its last output, ends it when its time
//! is over or it is told to, and writes down how it ended. It outlives its agent, and knows nothing that is secret.
//!
//! It is synchronous, in a session of its own, and waits in one `poll` for all that can happen. As the subreaper of
//! everything below it, it leaves no process of the container behind.

mod output;
mod program;
mod tail;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group, pidfd_open,
    set_child_subreaper, setsid, waitid,
};
use rustix::stdio::{stdin, stdout};

use self::output::Output;
use super::clock::{self, Alarm};
use super::fuse::{self, Blow, Fuse};
use super::open_files;
use super::procfs::{self, ProcessIdentity};
use super::record::{Assignment, Record};
use crate::api::calls::{Event, OutputDocument, Report};

/// How often orphans that ended are waited for while the command runs.
const REAP_EVERY_MS: u64 = 30_000;
/// How long the end waits for what the command left behind to die of its KILL. Only the kernel can take longer.
const SWEEP_MAX: Duration = Duration::from_secs(1);

/// `stowplan shim`: what an agent starts for each container.
#[derive(Debug, clap::Args)]
pub struct ShimArgs {
    /// The container's folder.
    #[arg(long)]
    pub dir: PathBuf,
    /// How many files it may have open, and so may the container; by default as many as the agent.
    #[arg(long)]
    pub files: Option<u64>,
}

/// Runs one container. To be called before any thread or runtime is started.
pub fn run(args: &ShimArgs) -> ExitCode {
    if let Some(files) = args.files {
        open_files::lower(files);
    }
    match stand_over(&Record::at(&args.dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::say(&format!("error: failed to run the container in {}: {error}", args.dir.display()));
            ExitCode::FAILURE
        }
    }
}

fn stand_over(record: &Record) -> io::Result<()> {
    let _ = setsid(); // refused only to a process that already leads a group, as when started by hand
    set_child_subreaper(Some(getpid()))?;
    let Some(assignment) = record.take()? else { return Ok(()) };
    let (event, output) = match Watch::start(record, &assignment) {
        Ok(watch) => watch.until_the_end(),
        Err(event) => (event, None),
    };
    write_end(record, &Report { placement: assignment.placement, event, output })?;
    note();
    while !sweep() {} // what the kernel has not let go of yet
    let _ = fs::remove_dir_all(record.work_dir());
    Ok(())
}

/// Tells the agent to look. There may be none: the next one looks by itself.
fn note() {
    let _ = rustix::io::write(stdout(), b"!");
}

/// Without its end a container would count as running, so this goes on while the disk is full, but not for a folder
/// that is gone.
fn write_end(record: &Record, end: &Report) -> io::Result<()> {
    loop {
        match record.write_end(end) {
            Err(error) if error.kind() != ErrorKind::NotFound => thread::sleep(Duration::from_secs(1)),
            written => return written,
        }
    }
}

/// A container that runs.
struct Watch<'a> {
    record: &'a Record,
    key: &'a str,
    boot: String,
    fuse: Fuse,
    leader: Pid,
    /// Readable once the leader has ended.
    leader_end: OwnedFd,
    alarm: Alarm,
    stdout: Output,
    stderr: Output,
    reaped_at_ms: u64,
}

impl<'a> Watch<'a> {
    /// Starts the command, unless it was stopped before, or its time is over before it began.
    fn start(record: &'a Record, assignment: &'a Assignment) -> Result<Self, Event> {
        let failed = |error: io::Error| Event::StartFailed { detail: format!("failed to watch over it: {error}") };
        let mut command = program::command(record, assignment)?;
        let boot = clock::boot_id().map_err(failed)?;
        let alarm = Alarm::new().map_err(failed)?;
        if let Some(request) = record.stop_request() {
            return Err(fuse::event_of(request.cause));
        }
        let lease = record.lease(&assignment.key, &boot).ok_or(Event::NotStarted)?;
        let now_ms = clock::boot_ms();
        if now_ms >= lease.deadline_ms.min(assignment.start_by_ms) {
            return Err(Event::NotStarted);
        }
        let mut child = command.spawn().map_err(|error| program::start_error(&error, assignment))?;
        // The leader is never waited for before its group is killed: as a zombie it keeps both numbers taken.
        let leader = Pid::from_child(&child);
        let leader_end = pidfd_open(leader, PidfdFlags::empty()).map_err(|error| {
            sweep();
            failed(error.into())
        })?;
        if let Some(process) = ProcessIdentity::of(leader.as_raw_pid()) {
            let _ = record.write_started(&process); // to find the leader by after this shim's own death
        }
        note();
        Ok(Self {
            record,
            key: &assignment.key,
            boot,
            fuse: Fuse::new(assignment, lease, now_ms),
            leader,
            leader_end,
            alarm,
            stdout: Output::new(child.stdout.take().map(OwnedFd::from)),
            stderr: Output::new(child.stderr.take().map(OwnedFd::from)),
            reaped_at_ms: now_ms,
        })
    }

    fn until_the_end(mut self) -> (Event, Option<OutputDocument>) {
        // A failure to wait is no reason to leave the command alone: it is killed below.
        while matches!(self.wait(), Ok(false)) {}
        self.finish()
    }

    /// Waits for one thing to happen and deals with it; whether it is the leader's end.
    fn wait(&mut self) -> io::Result<bool> {
        let next_reap_ms = self.reaped_at_ms + REAP_EVERY_MS;
        self.alarm.set(self.fuse.due_at_ms().map_or(next_reap_ms, |due_ms| due_ms.min(next_reap_ms)))?;
        let always = [self.leader_end.as_fd(), stdin(), self.alarm.as_fd()];
        let mut fds = always.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).to_vec();
        fds.extend([&self.stdout, &self.stderr].iter().filter_map(|output| output.poll_fd()));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => return Ok(false),
            polled => polled?,
        };
        if !fds[0].revents().is_empty() {
            return Ok(true); // before anything else: a command that ended by itself keeps its own end
        }
        let rung = !fds[1].revents().is_empty();
        self.stdout.read_what_is_there(1);
        self.stderr.read_what_is_there(1);
        let now_ms = clock::boot_ms();
        if rung {
            self.hear(now_ms)?;
        }
        while let Some(blow) = self.fuse.burn(now_ms, || self.record.lease(self.key, &self.boot)) {
            self.strike(blow);
        }
        if now_ms >= next_reap_ms {
            procfs::reap_children(self.leader);
            self.reaped_at_ms = now_ms;
        }
        Ok(false)
    }

    fn hear(&mut self, now_ms: u64) -> io::Result<()> {
        rustix::io::read(stdin(), &mut [0; 64])?;
        if let Some(request) = self.record.stop_request()
            && let Some(blow) = self.fuse.ask(now_ms, &request)
        {
            self.strike(blow);
        }
        Ok(())
    }

    fn strike(&self, blow: Blow) {
        let signal = if blow == Blow::Term { Signal::TERM } else { Signal::KILL };
        let _ = kill_process_group(self.leader, signal);
        if blow == Blow::Kill {
            let _ = kill_process(self.leader, signal); // it may have moved to another group
        }
    }

    /// The command is over: so is all that it left behind.
    fn finish(mut self) -> (Event, Option<OutputDocument>) {
        self.strike(Blow::Kill);
        let status = waitid(WaitId::Pid(self.leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).ok().flatten();
        sweep();
        self.stdout.read_what_is_there(output::READS_MAX);
        self.stderr.read_what_is_there(output::READS_MAX);
        let own = status.and_then(|status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Event::Exited { code }),
            (None, signal) => signal.map(|signal| Event::Signaled { signal }),
        });
        let event = self.fuse.cause().or(own).unwrap_or(Event::Gone);
        let output = OutputDocument { stdout: self.stdout.into_document(), stderr: self.stderr.into_document() };
        (event, Some(output))
    }
}

/// Kills and waits for all below this process, the orphans that it inherits included. Whether none is left.
fn sweep() -> bool {
    let began = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Err(_) => return true,
            Ok(Some(_)) => {}
            Ok(None) if began.elapsed() > SWEEP_MAX => return false,
            Ok(None) => {
                procfs::kill_children();
                thread::sleep(pause);
                pause = (2 * pause).min(Duration::from_millis(20));
            }
        }
    }
}
