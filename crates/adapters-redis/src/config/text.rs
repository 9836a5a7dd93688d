//! The grammar of the line that a user writes.

use std::path::PathBuf;
use std::time::Duration;

use super::{BadConfig, RedisConfig, Tls};
use crate::address::Address;

/// What may stand behind the `?`.
pub(super) const PARAMETERS: [&str; 5] = ["connect_timeout", "call_timeout", "ca", "cert", "key"];

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How an address begins, and whether that means TLS.
const SCHEMES: [(&str, bool); 4] =
    [("redis://", false), ("rediss://", true), ("valkey://", false), ("valkeys://", true)];

/// What would end the part of user and password, so that it must be written otherwise there.
const DELIMITERS: [char; 4] = ['/', '?', '#', '@'];

pub(super) fn parse(text: &str) -> Result<RedisConfig, BadConfig> {
    let mut parsed: Option<RedisConfig> = None;
    for one in addresses(text.trim()) {
        let one = parse_one(one)?;
        match &mut parsed {
            None => parsed = Some(one),
            Some(first) => join(first, one)?,
        }
    }
    let parsed = parsed.ok_or(BadConfig::Scheme { found: String::new() })?;
    if parsed.nodes.len() > 1 && parsed.database != 0 {
        return Err(BadConfig::DatabaseOfCluster { database: parsed.database });
    }
    Ok(parsed)
}

/// The addresses in a text: a comma separates two only before a scheme, since hosts and passwords may hold one.
fn addresses(text: &str) -> Vec<&str> {
    let mut starts = vec![0];
    for (comma, _) in text.match_indices(',') {
        if SCHEMES.iter().any(|(scheme, _)| text[comma + 1..].starts_with(scheme)) {
            starts.push(comma + 1);
        }
    }
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

/// Adds the nodes of another address, which must be reached as the first is.
fn join(first: &mut RedisConfig, mut other: RedisConfig) -> Result<(), BadConfig> {
    let differences = [
        ("schemes", first.tls.is_some() != other.tls.is_some()),
        ("users", first.username != other.username),
        ("passwords", first.password != other.password),
        ("databases", first.database != other.database),
    ];
    if let Some((what, _)) = differences.into_iter().find(|(_, differ)| *differ) {
        return Err(BadConfig::Differ { what });
    }
    first.nodes.append(&mut other.nodes);
    // Parameters are written once, at the end of the line; what an address does not say, the others say for it.
    first.connect_timeout = said(other.connect_timeout, CONNECT_TIMEOUT, first.connect_timeout);
    first.call_timeout = said(other.call_timeout, CALL_TIMEOUT, first.call_timeout);
    if let (Some(mine), Some(theirs)) = (&mut first.tls, other.tls) {
        mine.authority = theirs.authority.or(mine.authority.take());
        mine.identity = theirs.identity.or(mine.identity.take());
    }
    Ok(())
}

fn said(value: Duration, default: Duration, otherwise: Duration) -> Duration {
    if value == default { otherwise } else { value }
}

fn parse_one(text: &str) -> Result<RedisConfig, BadConfig> {
    let (rest, is_tls) = SCHEMES
        .iter()
        .find_map(|(scheme, is_tls)| text.strip_prefix(scheme).map(|rest| (rest, *is_tls)))
        .ok_or_else(|| BadConfig::Scheme { found: beginning(text) })?;
    // All before the last @ is taken for user and password and shown to nobody: an unencoded / or ? in a password must
    // not make its second half part of a message.
    let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(before, rest)| (Some(before), rest));
    let (username, password) = credentials.map_or(Ok((None, None)), parse_credentials)?;
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    let mut config = RedisConfig {
        nodes: parse_hosts(hosts)?,
        tls: is_tls.then(Tls::default),
        username,
        password,
        database: parse_database(database)?,
        connect_timeout: CONNECT_TIMEOUT,
        call_timeout: CALL_TIMEOUT,
    };
    parse_parameters(&mut config, parameters)?;
    Ok(config)
}

/// How a text begins, without anything that may be secret.
fn beginning(text: &str) -> String {
    text.split_once("://").map_or_else(
        || if text.contains('@') { String::new() } else { text.chars().take(40).collect() },
        |(scheme, _)| format!("{scheme}://"),
    )
}

fn parse_credentials(text: &str) -> Result<(Option<String>, Option<String>), BadConfig> {
    if let Some(found) = text.chars().find(|char| DELIMITERS.contains(char)) {
        return Err(BadConfig::Credentials { found, instead: format!("%{:02X}", u32::from(found)) });
    }
    let (username, password) = text.split_once(':').map_or((text, None), |(name, word)| (name, Some(word)));
    let username = decode(username, "the user")?;
    let password = password.map(|word| decode(word, "the password")).transpose()?;
    Ok((some(username), password.and_then(some)))
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn parse_hosts(text: &str) -> Result<Vec<Address>, BadConfig> {
    // Without the port: where the host was forgotten, a password may stand there.
    let shown = |host: &str| host.split(':').next().unwrap_or_default().to_owned();
    let read = |host| Address::parse(host).map_err(|source| BadConfig::Address { host: shown(host), source });
    text.split(',').map(read).collect()
}

fn parse_database(text: &str) -> Result<u32, BadConfig> {
    let text = text.trim_end_matches('/');
    if text.is_empty() {
        return Ok(0);
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_plain);
    number.ok_or_else(|| BadConfig::Database { found: text.to_owned() })
}

fn parse_parameters(config: &mut RedisConfig, text: &str) -> Result<(), BadConfig> {
    let (mut ca, mut cert, mut key) = (None, None, None);
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value, "a parameter")?;
        match name {
            "connect_timeout" => config.connect_timeout = parse_duration(name, &value)?,
            "call_timeout" => config.call_timeout = parse_duration(name, &value)?,
            "ca" => ca = Some(read_file("ca", value)?),
            "cert" => cert = Some(read_file("cert", value)?),
            "key" => key = Some(read_file("key", value)?),
            _ => return Err(BadConfig::Parameter { name: name.to_owned() }),
        }
    }
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(BadConfig::HalfIdentity { given: "cert", missing: "key" }),
        (None, Some(_)) => return Err(BadConfig::HalfIdentity { given: "key", missing: "cert" }),
    };
    match &mut config.tls {
        Some(tls) => *tls = Tls { authority: ca, identity },
        None if ca.is_some() => return Err(BadConfig::NoTls { name: "ca" }),
        None if identity.is_some() => return Err(BadConfig::NoTls { name: "cert" }),
        None => {}
    }
    Ok(())
}

/// A whole number of `ms`, `s` or `m`, above 0.
fn parse_duration(name: &str, text: &str) -> Result<Duration, BadConfig> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let milliseconds = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => 0,
    };
    let number: Option<u64> = text[..digits].parse().ok();
    let whole = number.and_then(|number| number.checked_mul(milliseconds)).filter(|whole| *whole > 0);
    let bad = || BadConfig::Duration { name: name.to_owned(), found: text.to_owned() };
    whole.map(Duration::from_millis).ok_or_else(bad)
}

fn read_file(name: &'static str, path: String) -> Result<Vec<u8>, BadConfig> {
    let path = PathBuf::from(path);
    std::fs::read(&path).map_err(|source| BadConfig::File { name, path, source })
}

/// Text in which `%` and two hexadecimal digits stand for a byte.
fn decode(text: &str, part: &'static str) -> Result<String, BadConfig> {
    let bad = || BadConfig::Encoding { part };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).ok_or_else(bad)?;
        let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| bad())
}
