//! One process of `redis-server`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Becomes the server `$1`, and leaves a watcher behind it that reads what the test process alone can write or close. A
/// line says that the server has been seen to; the end says that the test process is gone, however it went, and then
/// the watcher kills the server and removes its folder `$2`. Hangups do not reach it: the kernel sends one to a group
/// that nobody waits for any more and of which a process stands still.
const WATCHED: &str = r#"
trap '' HUP INT TERM
exec 3<&0
(read -r line <&3 || { kill -9 $$; sleep 0.2; rm -rf -- "$2"; }) >/dev/null 2>&1 &
exec redis-server "$1" </dev/null 3<&-
"#;

/// How the shell ends that finds no program.
const NOT_FOUND: i32 = 127;

/// A server's process. Dropped, it is killed; and it dies with the process that started it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Held apart from the child, whose `wait` would close it.
    watcher: ChildStdin,
}

impl Process {
    /// Starts a server in a process group of its own, which a Ctrl-C at the terminal does not reach before its watcher.
    pub(super) fn start(config: &Path, folder: &Path, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).expect("the log of redis-server opens");
        let mut command = Command::new("sh");
        command.args(["-c", WATCHED, "sh"]).args([config, folder]).process_group(0).stdin(Stdio::piped());
        command.stdout(log.try_clone().expect("the log of redis-server opens twice")).stderr(log);
        let mut child = command.spawn().expect("sh starts");
        let watcher = child.stdin.take().expect("its stdin is a pipe");
        Self { child, watcher }
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().expect("our own child can be waited for");
        let missing = ended.and_then(|status| status.code()) == Some(NOT_FOUND);
        assert!(!missing, "redis-server is not on this machine\nnext: apt-get install redis-server");
        ended
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(super) fn kill(self) {
        drop(self);
    }

    /// Waits until it has ended by itself.
    pub(super) fn wait(mut self) {
        self.child.wait().expect("our own child can be waited for");
    }

    /// Stops it where it is, and returns when it stands still.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
        while !self.is_frozen() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it stands still.
    pub(super) fn is_frozen(&self) -> bool {
        self.state() == 'T'
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        kill_process(pid, signal).expect("our own child takes a signal");
    }

    /// The letter that follows the name in `/proc/PID/stat`.
    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("our own child has a state");
        stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).expect("a state is a letter")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors say that the server, or its watcher, has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.watcher.write_all(b"\n");
    }
}
