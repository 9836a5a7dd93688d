//! What the providers of a configuration would start: whether it can be told so, and whether it is there.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as _, Command, FromArgMatches as _};
use domain::id::WorkerId;
use domain::worker::WorkerSpec;
use rustix::fs::{Access, access};

use super::process::agent_line;
use crate::agent::{AgentArgs, ExecutorKind};
use crate::api::field::{BadField, name};
use crate::config::{PoolConfig, ProviderConfig};

/// Where programs are looked for without a PATH, as by the C library.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Refuses flags that no agent takes, and programs that cannot be started from here now.
pub fn check(pools: &[PoolConfig]) -> Result<(), BadField> {
    check_flags(pools)?;
    missing_programs(pools).next().map_or(Ok(()), Err)
}

/// Refuses flags that no agent takes.
pub fn check_flags(pools: &[PoolConfig]) -> Result<(), BadField> {
    pools.iter().try_for_each(|pool| hook(pool).map(drop).map_err(|bad| of_pool(pool, bad)))
}

/// The fields that name programs which cannot be started from here now.
pub fn missing_programs(pools: &[PoolConfig]) -> impl Iterator<Item = BadField> {
    pools.iter().filter_map(|pool| missing_program(pool).err().map(|bad| of_pool(pool, bad)))
}

fn missing_program(pool: &PoolConfig) -> Result<(), BadField> {
    match &pool.provider {
        ProviderConfig::Command { command } => check_program(command.first().map_or("", String::as_str)),
        ProviderConfig::Process { .. } => hook(pool)?.map_or(Ok(()), |hook| check_file("agent_args", &hook)),
        ProviderConfig::Fixed => Ok(()),
    }
}

fn of_pool(pool: &PoolConfig, bad: BadField) -> BadField {
    bad.inside(pool.settings.template.name.as_str()).inside("pools")
}

/// The program that agents of a pool are told to run, if it is told one; refused are flags that they do not take.
fn hook(pool: &PoolConfig) -> Result<Option<PathBuf>, BadField> {
    match &pool.provider {
        ProviderConfig::Process { agent_args } => hook_of(&pool.settings.template.spec, agent_args),
        _ => Ok(None),
    }
}

fn hook_of(spec: &WorkerSpec, agent_args: &[String]) -> Result<Option<PathBuf>, BadField> {
    let id = name("agent_args", "worker", WorkerId::new)?;
    let line = agent_line(&id, spec, "http://127.0.0.1:7070", Path::new("agent"), agent_args);
    let parsed = AgentArgs::augment_args(Command::new("agent")).try_get_matches_from(line);
    let args = parsed.and_then(|matches| AgentArgs::from_arg_matches(&matches)).map_err(|error| refused(&error))?;
    match (args.executor, &args.hook) {
        (ExecutorKind::Hook, None) => {
            let advice = "an agent of runtime hook needs its program, as in [\"--hook\", \"/usr/local/bin/run\"]";
            Err(BadField::missing("agent_args", advice))
        }
        (ExecutorKind::Hook, Some(hook)) => Ok(Some(hook.clone())),
        (_, Some(_)) => {
            Err(BadField::of("agent_args", "--hook", "is of use with worker.runtime = \"hook\" only; leave it out"))
        }
        (_, None) => Ok(None),
    }
}

fn refused(error: &clap::Error) -> BadField {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    };
    let found = word(ContextKind::InvalidArg);
    match (error.kind(), found) {
        (ErrorKind::UnknownArgument, Some(found)) => {
            let near = word(ContextKind::SuggestedArg).map(|near| format!("did you mean {near}?"));
            let advice = near.unwrap_or_else(|| "stowplan agent --help lists them".to_owned());
            BadField::of("agent_args", &found, &format!("is no flag of an agent; {advice}"))
        }
        (ErrorKind::ArgumentConflict, Some(found)) => {
            let problem = "is given twice, by the pool itself or here; leave it out";
            BadField::of("agent_args", &found, problem)
        }
        (ErrorKind::DisplayHelp, _) => BadField::of("agent_args", "--help", "starts no worker; leave it out"),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            BadField::new("agent_args", format!("{first}; stowplan agent --help says what it takes"))
        }
    }
}

/// Refuses a program that cannot be started from here, looked for as the server looks for it.
fn check_program(program: &str) -> Result<(), BadField> {
    if program.contains('/') {
        return check_file("command", Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(DEFAULT_PATH));
    let places: Vec<PathBuf> = std::env::split_paths(&path).map(|place| place.join(program)).collect();
    if places.iter().any(|place| check_file("command", place).is_ok()) {
        return Ok(());
    }
    Err(BadField::of(
        "command",
        program,
        "is no program in a folder of PATH; install it, or write the whole path to it",
    ))
}

fn check_file(path: &str, program: &Path) -> Result<(), BadField> {
    let bad = |problem: &str| Err(BadField::of(path, &program.display().to_string(), problem));
    match fs::metadata(program) {
        Err(error) => bad(&format!("cannot be started: {error}; write the path to a program of this machine")),
        Ok(found) if !found.is_file() => bad("is no file; write the path to a program of this machine"),
        Ok(_) if access(program, Access::EXEC_OK).is_err() => bad("is not executable; chmod +x makes it so"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{check_flags, missing_programs};
    use crate::config::{PoolConfig, settle_file};

    const POOL: &str = "[pools.burst]\nworker = { cpu = 1, memory = \"1Gi\", labels = { zone = \"b\" } }\nmax = 5\n";

    fn pools(text: &str) -> Vec<PoolConfig> {
        settle_file(text).unwrap().config.pools
    }

    fn refused(text: &str, words: &[&str]) {
        let said = check_flags(&pools(text)).expect_err(text).to_string();
        for word in words {
            assert!(said.contains(word), "{text}: {said:?} does not say {word}");
        }
    }

    /// What of the only pool cannot be started.
    fn missing(text: &str) -> Option<String> {
        missing_programs(&pools(text)).next().map(|bad| bad.to_string())
    }

    fn misses(text: &str, words: &[&str]) {
        let said = missing(text).unwrap_or_else(|| panic!("{text} can be started"));
        for word in words {
            assert!(said.contains(word), "{text}: {said:?} does not say {word}");
        }
    }

    #[test]
    fn flags_that_no_agent_takes_are_refused_by_name() {
        let settled = |args: &str| format!("{POOL}provider = \"process\"\nagent_args = {args}\n");
        for args in ["[]", "[\"--log\", \"json\", \"--label\", \"a=b\"]", "[\"--boot-delay\", \"1s\"]"] {
            check_flags(&pools(&settled(args))).unwrap();
        }
        for (args, words) in [
            ("[\"--bogus\"]", &["pools.burst.agent_args", "--bogus", "stowplan agent --help"][..]),
            ("[\"--boot-dely\", \"1s\"]", &["pools.burst.agent_args", "--boot-dely", "--boot-delay?"]),
            ("[\"word\"]", &["pools.burst.agent_args", "word", "no flag"]),
            ("[\"--log\"]", &["pools.burst.agent_args", "--log"]),
            ("[\"--boot-delay\", \"1\"]", &["pools.burst.agent_args", "--boot-delay", "unit"]),
            ("[\"--cpu\", \"2\"]", &["pools.burst.agent_args", "--cpu", "leave it out"]),
            ("[\"--help\"]", &["pools.burst.agent_args", "--help", "leave it out"]),
            ("[\"--hook\", \"/bin/sh\"]", &["pools.burst.agent_args", "--hook", "runtime"]),
        ] {
            refused(&settled(args), words);
        }
    }

    #[test]
    fn a_hook_is_a_program_of_this_machine() {
        let pool = POOL.replace("cpu = 1", "cpu = 1, runtime = \"hook\"") + "provider = \"process\"\n";
        assert_eq!(missing(&format!("{pool}agent_args = [\"--hook\", \"/bin/sh\"]\n")), None);
        refused(&pool, &["pools.burst.agent_args", "missing", "--hook"]);
        misses(
            &format!("{pool}agent_args = [\"--hook\", \"/no/such/hook\"]\n"),
            &["pools.burst.agent_args", "/no/such/hook", "No such file"],
        );
    }

    #[test]
    fn a_command_is_a_program_of_this_machine() {
        let settled = |program: &str| format!("{POOL}provider = \"command\"\ncommand = [{program:?}, \"--fast\"]\n");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("machines");
        let path = file.to_str().unwrap();
        misses(&settled(path), &["pools.burst.command", path, "No such file", "write the path"]);
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        misses(&settled(path), &["pools.burst.command", path, "not executable", "chmod +x"]);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        for program in [path, "sh", "/bin/sh"] {
            assert_eq!(missing(&settled(program)), None);
        }
        misses(&settled("no-such-program"), &["pools.burst.command", "no-such-program", "PATH"]);
        misses(&settled(folder.path().to_str().unwrap()), &["pools.burst.command", "is no file"]);
    }
}
