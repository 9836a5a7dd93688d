//! The machines that a program of the test makes, and what the program was asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::fleet::{STOWPLAN, command_line, pids, signal};

const PROGRAM: &str = include_str!("machines.py");

/// The program, and the folder in which it notes what it does. No process of it is left when it goes.
pub(crate) struct Machines {
    state: tempfile::TempDir,
}

impl Machines {
    pub(crate) fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("machines.py"), PROGRAM).unwrap();
        Self { state }
    }

    /// How a pool names this provider, whose machines are agents.
    pub(crate) fn of_agents(&self) -> String {
        self.provider(&[STOWPLAN])
    }

    /// The same, whose agents boot for a while.
    pub(crate) fn of_slow_agents(&self) -> String {
        self.provider(&[STOWPLAN, "--boot-delay", "2s"])
    }

    /// How a pool names this provider, whose machines never come by themselves.
    pub(crate) fn of_nothing(&self) -> String {
        self.provider(&[])
    }

    fn provider(&self, agent: &[&str]) -> String {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let mut command = vec!["python3".to_owned(), path("machines.py"), path("")];
        command.extend(agent.iter().map(|word| (*word).to_owned()));
        format!("provider = \"command\"\ncommand = {command:?}\n")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// Has the program find this from now on.
    pub(crate) fn set(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Takes it away again.
    pub(crate) fn unset(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// The names in each call of a kind, in order.
    pub(crate) fn calls(&self, kind: &str) -> Vec<BTreeSet<String>> {
        let calls = self.lines("calls").into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let calls = calls.filter(|call| call["call"] == kind);
        let names =
            |call: Value| call["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        calls.map(names).collect()
    }

    /// Every worker that the program was ever asked for.
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.calls("add").into_iter().flatten().collect()
    }

    /// Every machine that it ever made, once for each time.
    pub(crate) fn made(&self) -> Vec<String> {
        self.lines("made")
    }

    /// The machines that are there.
    pub(crate) fn there(&self) -> BTreeSet<String> {
        let machines = fs::read_dir(self.path("machines")).into_iter().flatten().flatten();
        machines.map(|machine| machine.file_name().to_str().unwrap().to_owned()).collect()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        // The last may not be whole yet.
        text.split_inclusive('\n').filter_map(|line| Some(line.strip_suffix('\n')?.to_owned())).collect()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        let marker = self.path("").to_str().unwrap().to_owned();
        pids().filter(|pid| command_line(*pid).contains(&marker)).for_each(|pid| signal(pid, "KILL"));
    }
}
