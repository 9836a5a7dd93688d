//! From the words of a request to a command that can be started, or to a message that says why not.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, AtFlags, CWD, MemfdFlags, accessat, memfd_create};
use rustix::io::Errno;

use crate::agent::record::{Assignment, Record};
use crate::api::calls::Event;

/// The command, ready to be started in a process group of its own.
pub(super) fn command(record: &Record, assignment: &Assignment) -> Result<Command, Event> {
    prepared(record, assignment).map_err(|event| blamed(event, assignment))
}

/// A hook is the worker's: another worker may have one that can be started.
fn blamed(event: Event, assignment: &Assignment) -> Event {
    match event {
        Event::Unstartable { detail, .. } if assignment.hook_input.is_some() => {
            Event::StartFailed { detail: format!("the hook {detail}") }
        }
        event => event,
    }
}

fn prepared(record: &Record, assignment: &Assignment) -> Result<Command, Event> {
    let folder = match &assignment.cwd {
        Some(cwd) => given_folder(cwd, &assignment.worker)?,
        None => own_folder(record)?,
    };
    let word = assignment.command.first().map_or("", String::as_str);
    let mut command = Command::new(program(word, &folder, assignment)?);
    command.arg0(word).args(assignment.command.iter().skip(1)).current_dir(folder);
    command.env_clear().envs(&assignment.env);
    let failed = |error| Event::StartFailed { detail: format!("failed to hand it its input: {error}") };
    command.stdin(input(assignment).map_err(failed)?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Ok(command)
}

/// A file in memory: whoever does not read it holds nobody up.
fn input(assignment: &Assignment) -> io::Result<Stdio> {
    let Some(text) = &assignment.hook_input else { return Ok(Stdio::null()) };
    let mut file = File::from(memfd_create("hook-input", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

/// Why a command that was found could not be started.
pub(super) fn start_error(error: &io::Error, assignment: &Assignment) -> Event {
    let Assignment { command, worker, .. } = assignment;
    let word = command.first().map_or("", String::as_str);
    let problem = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR) => "names an interpreter that does not exist",
        Some(Errno::ACCESS | Errno::PERM) => "is not executable",
        Some(Errno::NOEXEC) => "is no program that this machine can run",
        Some(Errno::TOOBIG) => "is given more arguments and environment than the machine allows",
        _ => return Event::StartFailed { detail: format!("failed to start {word} on worker {worker}: {error}") },
    };
    blamed(unstartable(126, format!("{word} {problem} (worker {worker})")), assignment)
}

fn unstartable(code: i32, detail: String) -> Event {
    Event::Unstartable { code, detail }
}

fn given_folder(cwd: &str, worker: &str) -> Result<PathBuf, Event> {
    let folder = Path::new("/").join(cwd);
    match fs::metadata(&folder) {
        Ok(found) if !found.is_dir() => Err(unstartable(126, format!("{cwd} is not a folder (worker {worker})"))),
        Ok(_) if may_execute(&folder) => Ok(folder),
        Ok(_) => Err(unstartable(126, format!("the folder {cwd} may not be entered (worker {worker})"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(unstartable(127, format!("the folder {cwd} does not exist (worker {worker})")))
        }
        Err(error) => Err(unstartable(126, format!("the folder {cwd} cannot be used (worker {worker}): {error}"))),
    }
}

fn own_folder(record: &Record) -> Result<PathBuf, Event> {
    let folder = record.work_dir();
    let made = DirBuilder::new().mode(0o700).create(&folder);
    made.map(|()| folder).map_err(|error| Event::StartFailed { detail: format!("failed to make its folder: {error}") })
}

/// Finds the program as a shell in the container would: through the container's own PATH, or in its folder.
fn program(word: &str, folder: &Path, assignment: &Assignment) -> Result<PathBuf, Event> {
    let worker = &assignment.worker;
    let path = assignment.env.get("PATH").map_or("", String::as_str);
    let candidates: Vec<_> = if word.contains('/') {
        vec![folder.join(word)]
    } else {
        path.split(':').map(|place| folder.join(place).join(word)).collect()
    };
    let is_program = |candidate: &&PathBuf| candidate.is_file() && may_execute(candidate);
    if let Some(found) = candidates.iter().find(is_program) {
        return Ok(found.clone());
    }
    match candidates.iter().find(|candidate| candidate.exists()) {
        Some(found) if found.is_dir() => Err(unstartable(126, format!("{word} is a folder (worker {worker})"))),
        Some(_) => Err(unstartable(126, format!("{word} is not executable (worker {worker})"))),
        None if word.contains('/') => Err(unstartable(127, format!("{word} does not exist (worker {worker})"))),
        None => Err(unstartable(127, format!("the command {word} was not found (worker {worker}, PATH={path})"))),
    }
}

fn may_execute(path: &Path) -> bool {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).is_ok()
}
