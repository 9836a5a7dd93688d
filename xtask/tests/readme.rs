//! The README's commands, run as they stand, print what it says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A command and what it prints.
struct Example {
    command: String,
    printed: Vec<String>,
}

#[test]
fn the_readme_commands_print_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf();
    let mut examples = examples(&std::fs::read_to_string(root.join("README.md")).unwrap());
    let start = examples.remove(0);
    assert_eq!(start.command, "cargo xtask run", "the first command starts the fleet");
    let fleet = Running::start(&root, &start);
    check_program(&root);
    for example in &examples {
        let output = shell(&root, &example.command).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stdout}{stderr}", example.command);
        let printed: Vec<_> = stdout.lines().map(str::to_owned).collect();
        assert_eq!(shapes(&printed), shapes(&example.printed), "{}: {stdout}", example.command);
    }
    fleet.end();
}

/// What a user builds knows its settings, and has no point at which it could be killed or held.
fn check_program(root: &Path) {
    let program = std::fs::read(root.join(".stowplan/bin/stowplan")).unwrap();
    let says = |words: &str| program.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(says("STOWPLAN_SERVER"));
    assert!(!says("STOWPLAN_FAILPOINTS"));
}

/// The blocks marked `sh`: lines that begin with `$ ` are commands, those below are what they print.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line, inside) {
            ("```sh", false) => inside = true,
            ("```", true) => inside = false,
            (line, true) => match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => {
                    examples.push(Example { command: command.to_owned(), printed: Vec::new() });
                }
                (None, Some(example)) => example.printed.push(line.to_owned()),
                (None, None) => panic!("{line:?} is printed by no command"),
            },
            _ => {}
        }
    }
    examples
}

/// Lines without what differs from run to run: numbers, and how wide they are.
fn shapes(lines: &[String]) -> Vec<String> {
    let numberless = |line: &String| {
        let mut shape = String::new();
        for c in line.trim().chars() {
            let c = if c.is_ascii_digit() { '#' } else { c };
            if !(matches!(c, '#' | ' ') && shape.ends_with(c)) {
                shape.push(c);
            }
        }
        shape
    };
    lines.iter().map(numberless).filter(|shape| !shape.is_empty()).collect()
}

fn shell(root: &PathBuf, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(root).stdin(Stdio::null());
    // What cargo tells its tests is not for the cargo that they start.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_") && name != "CARGO_HOME") {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo xtask run`, until it is told to end.
struct Running(Child);

impl Running {
    fn start(root: &PathBuf, example: &Example) -> Self {
        let mut command = shell(root, &format!("exec {}", example.command));
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let running = Self(child);
        let printed: Vec<String> = stdout.lines().map_while(Result::ok).take(example.printed.len()).collect();
        assert_eq!(shapes(&printed), shapes(&example.printed), "{}", example.command);
        running
    }

    fn end(mut self) {
        self.signal("INT");
        let deadline = Instant::now() + Duration::from_mins(2);
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.success(), "it ended with {status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it did not end within two minutes of a Ctrl-C");
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
