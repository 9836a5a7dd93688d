//! What a container sees of its agent: nothing that is secret, and the devices that are its own.

use std::process::Command;

use app::api::calls::StartOrder;

use crate::played::{Agent, Play, stdout};

const SECRET: &str = "s3cret-w0rd";

#[test]
fn no_container_and_no_shim_ever_sees_the_token() {
    let play = Play::new();
    let log = play.file("log");
    let mut command = play.command();
    command.env("STOWPLAN_TOKEN", SECRET).env("RUST_LOG", "trace").stderr(std::fs::File::create(&log).unwrap());
    let agent = Agent(command.spawn().unwrap());
    let script = "env; set; tr '\\0' '\\n' < /proc/self/environ; tr '\\0' '\\n' < /proc/$PPID/environ; \
                  ps -ww -o args= -p \"$PPID,$0\"";
    let end = play.run("c", &["sh", "-c", script, &agent.pid().to_string()]);
    assert!(stdout(&end).contains("stowplan shim --dir") && stdout(&end).contains("agent --cpu"), "{end:?}");
    assert!(stdout(&end).contains("STOWPLAN_CONTAINER=c"), "{end:?}");
    assert!(!format!("{end:?}").contains(SECRET), "{end:?}");
    agent.kill();
    assert!(!std::fs::read_to_string(&log).unwrap().contains(SECRET));
    assert!(play.script().requests.iter().all(|request| request.ends_with(&format!(" Bearer {SECRET}"))));
    let grep = Command::new("grep").arg("-r").arg(SECRET).arg(play.data()).output().unwrap();
    assert_eq!(grep.status.code(), Some(1), "in the data folder: {grep:?}");
}

#[test]
fn a_token_file_is_read_and_the_token_sent() {
    let play = Play::new();
    let file = play.file("token");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let mut command = play.command();
    let _agent = Agent(command.arg("--token-file").arg(&file).spawn().unwrap());
    play.run("c", &["true"]);
    assert!(play.script().requests.iter().all(|request| request.ends_with(&format!(" Bearer {SECRET}"))));
}

#[test]
fn a_container_has_a_clean_environment() {
    let play = Play::new();
    let mut command = play.command();
    let _agent =
        Agent(command.env("HOME", "/root").env("LANG", "C.UTF-8").env("PATH", "/usr/bin:/bin").spawn().unwrap());
    let placement = play.start_with("c", &["env"], |order| order.env = [("OWN".to_owned(), "x y".to_owned())].into());
    let end = play.wait_end(&placement);
    let mut seen: Vec<_> = stdout(&end).lines().collect();
    seen.sort_unstable();
    let worker = format!("STOWPLAN_WORKER={}", play.worker);
    let expected = [
        "CUDA_VISIBLE_DEVICES=",
        "HOME=/root",
        "LANG=C.UTF-8",
        "OWN=x y",
        "PATH=/usr/bin:/bin",
        "STOWPLAN_ATTEMPT=1",
        "STOWPLAN_CONTAINER=c",
        &worker,
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_container_sees_the_devices_of_its_placement_and_no_others() {
    let play = Play::new();
    let mut command = play.command();
    let _agent = Agent(command.args(["--gpu", "T4:2"]).env("CUDA_VISIBLE_DEVICES", "2,3").spawn().unwrap());
    let devices = |name: &str, change: &dyn Fn(&mut StartOrder)| {
        let placement = play.start_with(name, &["sh", "-c", "echo \"[$CUDA_VISIBLE_DEVICES]\""], change);
        stdout(&play.wait_end(&placement)).trim().to_owned()
    };
    assert_eq!(devices("none", &|_| {}), "[]");
    assert_eq!(devices("first", &|order| order.owns.gpu_devices = vec![0]), "[2]");
    assert_eq!(devices("second", &|order| order.owns.gpu_devices = vec![1]), "[3]");
    assert_eq!(devices("half", &|order| order.owns.gpu_devices = vec![1]), "[3]");
    let wish = |order: &mut StartOrder| {
        order.owns.gpu_devices = vec![1];
        order.env = [("CUDA_VISIBLE_DEVICES".to_owned(), "0,1,2,3".to_owned())].into();
    };
    assert_eq!(devices("wishful", &wish), "[3]");
    let registered = play.script().registers[0].worker.clone();
    assert_eq!(registered.gpu_type.as_deref(), Some("T4"));
}

#[test]
fn bytes_in_the_agents_environment_that_are_not_text_harm_nobody() {
    use std::os::unix::ffi::OsStrExt as _;
    let play = Play::new();
    let mut command = play.command();
    let bad = std::ffi::OsStr::from_bytes(b"\xa3");
    let _agent = Agent(command.env("BAD", bad).env("LANG", bad).env("STOWPLAN_SERVER", bad).spawn().unwrap());
    assert_eq!(play.run("c", &["true"]).event, crate::played::exited(0));
}
