//! Files of requests, over a server that is away now and then.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use crate::support::Bench;
use crate::{Said, on, stowplan, with_input};

/// What becomes of a call that hands requests in.
enum Fate {
    Passes,
    /// It reaches the server, and the answer does not come back.
    LosesItsAnswer,
    /// It is answered this, and does not reach the server.
    Gets(&'static str),
    /// The same, as all after it.
    GetsForEver(&'static str),
}

const AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\n";
const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\n";
const REFUSED: &str = "HTTP/1.1 413 Payload Too Large\r\n";

/// Stands before a server; calls that hand nothing in pass, and so do those for which no fate is left.
fn gate(bench: &Bench, fates: impl IntoIterator<Item = Fate>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    stand_at(listener, bench.address, VecDeque::from_iter(fates));
    format!("http://{address}")
}

fn stand_at(listener: TcpListener, server: SocketAddr, mut fates: VecDeque<Fate>) {
    std::thread::spawn(move || {
        for mut call in listener.incoming().map_while(Result::ok) {
            let _ = answer(&mut call, server, &mut fates);
        }
    });
}

fn answer(call: &mut TcpStream, server: SocketAddr, fates: &mut VecDeque<Fate>) -> std::io::Result<()> {
    let mut reader = BufReader::new(call.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let fate = if head.starts_with("POST /v1/containers ") { fates.pop_front() } else { None };
    match fate {
        Some(Fate::Gets(head)) => refuse(call, head),
        Some(Fate::GetsForEver(head)) => {
            fates.push_front(Fate::GetsForEver(head));
            refuse(call, head)
        }
        Some(Fate::LosesItsAnswer) => pass(&head, &body, server).map(drop),
        Some(Fate::Passes) | None => call.write_all(&pass(&head, &body, server)?),
    }
}

fn refuse(call: &mut TcpStream, head: &str) -> std::io::Result<()> {
    let body = if head == REFUSED {
        r#"{"type":"/problems/too-large","title":"","status":413,"detail":"too large"}"#
    } else {
        "no"
    };
    call.write_all(format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// What the server answers.
fn pass(head: &str, body: &[u8], server: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut to = TcpStream::connect(server)?;
    to.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes())?;
    to.write_all(body)?;
    let mut answer = Vec::new();
    to.read_to_end(&mut answer)?;
    Ok(answer)
}

fn requests(count: usize) -> String {
    format!("[{}]", vec![r#"{"command": ["/bin/true"]}"#; count].join(","))
}

/// How many containers the server knows.
async fn known(bench: &Bench) -> usize {
    let (mut count, mut after) = (0, String::new());
    loop {
        let (_, page) = bench.get(&format!("/v1/containers?limit=1000{after}")).await;
        let rows = page["containers"].as_array().expect("a list");
        let Some(last) = rows.last() else { return count };
        count += rows.len();
        after = format!("&after={}", last["id"].as_str().expect("a name"));
    }
}

async fn through(gate: &str, args: &[&str], input: &str) -> Said {
    let (mut command, folder) = stowplan();
    std::fs::write(folder.path().join("a file.json"), input).expect("a file");
    command.args(args).env("STOWPLAN_SERVER", gate);
    let output = tokio::task::spawn_blocking(move || {
        let _folder = folder;
        command.output().expect("it starts")
    });
    Said::of(&output.await.expect("it ends"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_goes_in_once_though_the_server_is_away_now_and_then() {
    let bench = Bench::new().await;
    let fates = [Fate::Gets(AWAY), Fate::Passes, Fate::LosesItsAnswer, Fate::Gets(BUSY)];
    let said = through(&gate(&bench, fates), &["submit", "--file", "a file.json"], &requests(2_500)).await;
    assert_eq!((said.code, said.stdout.lines().count()), (0, 2_500), "{}", said.stderr);
    assert!(said.stderr.contains("trying again") && !said.stderr.contains("before"), "{}", said.stderr);
    assert_eq!(known(&bench).await, 2_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_goes_on_with_the_command_that_is_said() {
    let bench = Bench::new().await;
    let input = requests(1_500);
    let gate = gate(&bench, [Fate::Passes, Fate::Gets(REFUSED)]);
    let said = through(&gate, &["submit", "--file", "a file.json", "--format", "json"], &input).await;
    assert_eq!((said.code, said.stdout.as_str()), (4, ""), "{}", said.stderr);
    assert!(said.stderr.contains("too large; 1000 of 1500 requests are known to be handed in"), "{}", said.stderr);
    assert_eq!(known(&bench).await, 1_000);
    let batch = said.next().strip_prefix("stowplan submit --file 'a file.json' --batch ").expect("the file");
    let batch = batch.strip_suffix(" --format json").expect("the format");
    assert!(
        said.stderr.starts_with(&format!("stowplan: handing in 1500 requests as batch {batch}; ")),
        "{}",
        said.stderr
    );
    let said = through(&gate, &["submit", "--file", "a file.json", "--batch", batch], &input).await;
    assert_eq!((said.code, said.stdout.lines().count()), (0, 1_500), "{}", said.stderr);
    let before = "1000 of 1500 were handed in before; nothing was added for them\n";
    assert!(said.stderr.starts_with(before), "{}", said.stderr);
    assert_eq!(known(&bench).await, 1_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_added_again_unless_its_batch_is_named() {
    let bench = Bench::new().await;
    let input = format!(r#"[{{"id": "own", "command": ["true"]}}, {}"#, &requests(2)[1..]);
    for known_then in [3, 5] {
        assert_eq!(with_input(&bench, &["submit", "--file", "-"], &input).await.code, 0);
        assert_eq!(known(&bench).await, known_then);
    }
    for _ in 0..2 {
        let said = with_input(&bench, &["submit", "--file", "-", "--batch", "nightly"], &input).await;
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(
            said.stdout.contains("\ntrue-nightly-1 ") && said.stdout.contains("\ntrue-nightly-2 "),
            "{}",
            said.stdout
        );
        assert_eq!(known(&bench).await, 7);
    }
    let changed = input.replace("/bin/true", "/usr/bin/true");
    let said = with_input(&bench, &["submit", "--file", "-", "--batch", "nightly"], &changed).await;
    assert!(said.code == 4 && said.stderr.contains("true-nightly-1 was refused"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_batch_can_have_are_refused() {
    let bench = Bench::new().await;
    for (args, error) in [
        (&["--file", "-", "--batch", "a b"][..], "--batch: \"a b\": ' ' is not allowed in a name"),
        (&["--file", "-", "--batch", &"x".repeat(51)], "is longer than 50 bytes"),
        (&["--batch", "a", "--", "true"], "--batch is given without --file"),
    ] {
        let said = with_input(&bench, &[&["submit"], args].concat(), &requests(1)).await;
        assert!(said.code == 2 && said.stderr.contains(error), "{}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_a_file_is_told_how_it_goes_on() {
    let bench = Bench::new().await;
    let (mut command, folder) = stowplan();
    std::fs::write(folder.path().join("a.json"), requests(1_001)).expect("a file");
    command.args(["submit", "--file", "a.json", "--wait"]);
    command.env("STOWPLAN_SERVER", gate(&bench, [Fate::Passes, Fate::GetsForEver(BUSY)]));
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pid = rustix::process::Pid::from_child(&running);
    let said = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(running.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let interrupt = || rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
        let mut heard = Vec::new();
        for line in lines {
            if line.contains("trying again") {
                interrupt();
            }
            heard.push(line);
        }
        (running.wait().expect("it ends").code(), heard)
    });
    let (code, lines) = said.await.expect("it ends");
    assert_eq!(code, Some(130), "{lines:?}");
    let [.., error, next] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(error.starts_with("error: interrupted; 1000 of 1001 requests are known to be handed in"), "{error}");
    assert!(next.starts_with("next: stowplan submit --file a.json --batch ") && next.ends_with(" --wait"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_waits_a_moment_for_a_server_that_is_not_there_yet() {
    let bench = Bench::new().await;
    // It has the port, and refuses whoever connects.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let url = format!("http://{}", socket.local_addr().expect("an address"));
    let (server, input) = (bench.address, requests(2));
    let (said, ()) = tokio::join!(through(&url, &["submit", "--file", "a file.json"], &input), async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let listener = socket.listen(8).expect("it listens").into_std().expect("a listener");
        listener.set_nonblocking(false).expect("it blocks");
        stand_at(listener, server, VecDeque::new());
    });
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(known(&bench).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_took_is_said_to_be_nowhere() {
    let said = through("http://127.0.0.1:1", &["submit", "--file", "a file.json"], &requests(1)).await;
    assert_eq!((said.code, said.next()), (3, "stowplan serve"), "{}", said.stderr);
    assert!(!said.stderr.contains("handed in"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_whose_answer_is_lost_is_handed_in_once() {
    let bench = Bench::new().await;
    let said = through(&gate(&bench, [Fate::LosesItsAnswer]), &["submit", "--", "true"], "").await;
    assert!(said.code == 0 && said.stdout.starts_with("true-"), "{}", said.stderr);
    assert_eq!(known(&bench).await, 1);
    let said = through(&gate(&bench, [Fate::GetsForEver(BUSY)]), &["submit", "--id", "a", "--", "true"], "").await;
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("a may be in, and handing in the same with --id a is safe"), "{}", said.stderr);
    let gone = on(&bench, &["status", "a"]).await;
    assert_eq!(gone.code, 4, "{}", gone.stderr);
}
