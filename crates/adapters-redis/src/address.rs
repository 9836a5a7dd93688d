//! Host and port of a server.

use std::fmt;

/// The port of a server that is named without one.
const PORT: u16 = 6379;

/// Host and port of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    /// A name or an IP address; IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Nothing before the port.
    #[error("the host is missing")]
    NoHost,
    /// A port that is none.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// A colon too many.
    #[error("an IPv6 address is written in brackets, as [::1]:6379")]
    Brackets,
    /// A character that no host has.
    #[error("a host has no spaces and none of / ? # @ %")]
    Host,
}

impl Address {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `HOST`, `HOST:PORT` or `[IPV6]:PORT`, as a person writes them.
    pub(crate) fn parse(text: &str) -> Result<Self, BadAddress> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(BadAddress::Brackets)?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(BadAddress::Port)?) })
            }
            None => match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(BadAddress::Brackets),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() {
            return Err(BadAddress::NoHost);
        }
        if host.chars().any(|char| char.is_whitespace() || "/?#@%[]".contains(char)) {
            return Err(BadAddress::Host);
        }
        Ok(Self::new(host, port.map_or(Ok(PORT), parse_port)?))
    }

    /// Reads `HOST:PORT` as a server writes it: IPv6 without brackets, and no host where it means its own.
    pub(crate) fn told(text: &str, by: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // A cluster bus port or a host name may follow in other commands' answers, not in a redirection.
        let port = parse_port(port).ok()?;
        let host = if host.is_empty() { by.host.as_str() } else { host.trim_matches(['[', ']']) };
        Some(Self::new(host, port))
    }
}

fn parse_port(text: &str) -> Result<u16, BadAddress> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port > 0).ok_or(BadAddress::Port)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_is_read_as_it_writes_it() {
        let by = Address::new("asked", 7000);
        for (told, address) in [
            ("10.0.0.1:7001", Some("10.0.0.1:7001")),
            (":7001", Some("asked:7001")),
            ("::1:7001", Some("[::1]:7001")),
            ("[::1]:7001", Some("[::1]:7001")),
            ("db.example:7001", Some("db.example:7001")),
            ("db.example", None),
            ("db.example:0", None),
            ("db.example:many", None),
        ] {
            assert_eq!(Address::told(told, &by).map(|address| address.to_string()).as_deref(), address, "{told}");
        }
    }
}
