//! The two questions that we ask the server. A dependency for them would weigh more than all of xtask.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(2);
/// More than 200 workers ever take.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) fn is_healthy(port: u16) -> bool {
    get(port, "/healthz").is_ok_and(|answer| answer.status == 200)
}

/// The ids of the workers that take work.
pub(crate) fn available_workers(port: u16) -> Result<BTreeSet<String>> {
    let answer = get(port, "/v1/workers")?;
    let page: Value = serde_json::from_str(&answer.body).context("failed to read the answer of /v1/workers")?;
    let workers = page["workers"].as_array().context("the answer of /v1/workers names no workers")?;
    let available = workers.iter().filter(|worker| worker["status"] == "available");
    Ok(available.filter_map(|worker| worker["id"].as_str()).map(String::from).collect())
}

struct Answer {
    status: u16,
    body: String,
}

/// HTTP/1.0, so that the server answers with the plain body and closes: no chunks to put together.
fn get(port: u16, path: &str) -> Result<Answer> {
    let address = format!("127.0.0.1:{port}");
    let mut stream = TcpStream::connect_timeout(&address.parse()?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let authorization = match std::env::var("STOWPLAN_TOKEN") {
        Ok(token) => format!("Authorization: Bearer {token}\r\n"),
        Err(_) => String::new(),
    };
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{authorization}\r\n")?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("failed to read the answer of {path}"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "no"));
        assert!(parse("HTTP/1.0 200 OK\r\n").is_none());
        assert!(parse("").is_none());
    }
}
