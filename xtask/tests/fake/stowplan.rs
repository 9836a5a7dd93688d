//! Stands in for `stowplan` in the tests of `cargo xtask run`: serves health and workers, joins, drains, dies.
//!
//! A file in a process's data folder changes what it does: `die` ends it at once, `slow` lets it drain for five seconds,
//! `stubborn` for a minute.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use std::{env, io, process, thread};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    println!("started as {}", arguments.join(" "));
    let data = PathBuf::from(value(&arguments, "--data"));
    if data.join("die").exists() {
        eprintln!("told to die");
        process::exit(3);
    }
    let drains_for = match (data.join("slow").exists(), data.join("stubborn").exists()) {
        (_, true) => Duration::from_mins(1),
        (true, false) => Duration::from_secs(5),
        (false, false) => Duration::ZERO,
    };
    thread::spawn(move || end_with_stdin(drains_for));
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(value(&arguments, "--listen")),
        Some("agent") => join(value(&arguments, "--server"), value(&arguments, "--id")),
        other => panic!("no such command: {other:?}"),
    }
}

fn value<'a>(arguments: &'a [String], option: &str) -> &'a str {
    let at = arguments.iter().position(|argument| argument == option).expect("the option is given");
    &arguments[at + 1]
}

fn end_with_stdin(drains_for: Duration) {
    let _ = io::stdin().read_to_end(&mut Vec::new());
    println!("drained");
    thread::sleep(drains_for);
    process::exit(0);
}

fn serve(listen: &str) {
    let mut workers = BTreeSet::new();
    for stream in TcpListener::bind(listen).expect("the port is free").incoming().flatten() {
        // Whoever hung up is not answered.
        let _ = answer(stream, &mut workers);
    }
}

fn answer(mut stream: TcpStream, workers: &mut BTreeSet<String>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    workers.extend(path.strip_prefix("/join/").map(String::from));
    let listed: Vec<String> = workers.iter().map(|id| format!(r#"{{"id":"{id}","status":"available"}}"#)).collect();
    write!(stream, "HTTP/1.0 200 OK\r\n\r\n{{\"workers\":[{}]}}", listed.join(","))
}

/// Joins again and again, since a server forgets everybody when it is killed.
fn join(server: &str, id: &str) {
    let address = server.trim_start_matches("http://");
    loop {
        if let Ok(mut stream) = TcpStream::connect(address) {
            let _ = write!(stream, "GET /join/{id} HTTP/1.0\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        thread::sleep(Duration::from_millis(200));
    }
}
