//! The limit of a Redis step: what it writes, the same commands, keys and bytes, sent as plain pipelined commands.
//!
//! A script's writes are taken from the append-only file of a server that runs the same steps, and told to another cell.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Options, Server};
use anyhow::{Context as _, bail, ensure};

/// The cell whose steps are recorded, and the one to which they are told again: names of one length.
pub(crate) const RECORDED: &str = "bench";
const TOLD: &str = "limit";

/// A server that writes down all that it runs.
pub(crate) struct Recorder {
    server: Server,
    file: File,
}

/// Commands as they are sent.
#[derive(Default)]
pub(crate) struct Writes {
    bytes: Vec<u8>,
    commands: usize,
}

impl Recorder {
    pub(crate) fn start() -> anyhow::Result<Self> {
        // What is answered is in the file, though not on the disk: no sync is in its way.
        let server = Options::new().appendonly(Appendonly::Everysec).line("appendfsync no").start();
        let file = File::open(append_only_file(&server)?)?;
        Ok(Self { server, file })
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// What was written since the last time, for the other cell.
    pub(crate) fn take(&mut self) -> anyhow::Result<Writes> {
        let mut recorded = Vec::new();
        self.file.read_to_end(&mut recorded)?;
        let mut writes = Writes::default();
        let mut rest = recorded.as_slice();
        while !rest.is_empty() {
            let (command, name) = split_command(rest)?;
            // What frames the commands of a script, and names the database, is no write.
            if !["MULTI", "EXEC", "SELECT"].iter().any(|frame| name.eq_ignore_ascii_case(frame.as_bytes())) {
                writes.bytes.extend_from_slice(command);
                writes.commands += 1;
            }
            rest = &rest[command.len()..];
        }
        tell_to_other_cell(&mut writes.bytes);
        Ok(writes)
    }
}

fn append_only_file(server: &Server) -> anyhow::Result<PathBuf> {
    let folder = server.folder().join("appendonlydir");
    let mut files = std::fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let file = files.find(|path| path.to_string_lossy().ends_with(".incr.aof"));
    file.with_context(|| format!("no append-only file in {}; a redis-server of version 7 writes one", folder.display()))
}

/// The first command, whole, and its name.
fn split_command(bytes: &[u8]) -> anyhow::Result<(&[u8], &[u8])> {
    let (mut at, words) = number_after(bytes, 0, b'*')?;
    let mut name: &[u8] = &[];
    for word in 0..words {
        let (start, length) = number_after(bytes, at, b'$')?;
        let text = bytes.get(start..start + length).context("the append-only file ends within a command")?;
        name = if word == 0 { text } else { name };
        at = start + length + 2;
    }
    Ok((bytes.get(..at).context("the append-only file ends within a command")?, name))
}

/// Where the line at `at` ends that begins with `kind`, and the number on it.
fn number_after(bytes: &[u8], at: usize, kind: u8) -> anyhow::Result<(usize, usize)> {
    let line = bytes.get(at..).and_then(|rest| rest.split(|byte| *byte == b'\r').next());
    let line =
        line.and_then(|line| line.strip_prefix(&[kind])).context("the append-only file holds no command here")?;
    Ok((at + line.len() + 3, std::str::from_utf8(line)?.parse()?))
}

fn tell_to_other_cell(bytes: &mut [u8]) {
    let (from, to) = (format!("{{{RECORDED}}}"), format!("{{{TOLD}}}"));
    let places: Vec<_> = bytes.windows(from.len()).enumerate().filter(|(_, word)| *word == from.as_bytes()).collect();
    let places: Vec<usize> = places.into_iter().map(|(place, _)| place).collect();
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
}

/// Fails unless the cell that was told holds as much as the one that ran the steps itself.
pub(crate) fn check_told(server: &Server) -> anyhow::Result<()> {
    let hashes = ["containers", "bodies", "workers", "beats", "lots", "usage"].map(|table| ("HLEN", table));
    let sets = ["ready", "owned", "phases", "workspaces", "ended", "changes", "fleet"].map(|table| ("ZCARD", table));
    for (count, table) in hashes.into_iter().chain(sets) {
        let of = |cell: &str| server.command(&[count, &format!("stowplan:{{{cell}}}:{table}")]).integer();
        let (ours, told) = (of(RECORDED), of(TOLD));
        ensure!(ours == told, "{table} holds {ours} entries, and {told} where the same was told: the limit is none");
    }
    Ok(())
}

/// A connection over which writes are told.
pub(crate) struct Line(BufReader<TcpStream>);

impl Line {
    pub(crate) fn to(server: &Server) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", server.port()))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends all, and waits for all answers; how long that took.
    pub(crate) fn tell(&mut self, writes: &Writes) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.0.get_mut().write_all(&writes.bytes)?;
        let mut answer = String::new();
        for _ in 0..writes.commands {
            answer.clear();
            ensure!(self.0.read_line(&mut answer)? > 0, "the server hung up");
            if answer.starts_with('-') {
                bail!("a recorded write was refused: {answer}");
            }
        }
        Ok(began.elapsed())
    }
}
