//! The private redis-server of a run: what it keeps is in the run's folder, and it ends with the run.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::folder::Folder;
use super::process::Process;

/// What the process is called in the folder.
pub(super) const NAME: &str = "redis";
/// The first port that is tried.
pub(super) const FIRST_PORT: u16 = 6470;
const PATIENCE: Duration = Duration::from_secs(1);

/// redis-server does not read its stdin, so a shell does: at its end it tells the server to end.
const UNTIL_STDIN_ENDS: &str = r#"
exec 3<&0
"$@" </dev/null &
server=$!
(cat <&3 >/dev/null; kill "$server" 2>/dev/null) &
wait "$server"
"#;

/// Starts it. Every write is on the disk before it is answered, as in the embedded store.
pub(super) fn start(folder: &Folder, port: u16) -> Result<Process> {
    let data = folder.data(NAME);
    std::fs::create_dir_all(&data).with_context(|| format!("failed to make the folder {}", data.display()))?;
    let mut command = Command::new("sh");
    command.args(["-c", UNTIL_STDIN_ENDS, "sh", "redis-server"]);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&data);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"]);
    Process::start_program(folder, NAME, &mut command)
}

/// Whether it answers, and has read what it kept.
pub(super) fn is_ready(port: u16) -> bool {
    let ask = || -> Result<bool> {
        let mut stream = TcpStream::connect_timeout(&format!("127.0.0.1:{port}").parse()?, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer == *b"+PONG")
    };
    ask().unwrap_or(false)
}

/// Where the server finds it.
pub(super) fn address(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}
