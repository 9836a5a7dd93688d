use std::time::Duration;

use super::*;

fn read(text: &str) -> RedisConfig {
    RedisConfig::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_line_says_where_the_servers_are() {
    for (text, shown) in [
        ("redis://localhost", "redis://localhost:6379/0"),
        (" redis://localhost:7000/ ", "redis://localhost:7000/0"),
        ("valkey://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
        ("rediss://:word@db.example:7000", "rediss://db.example:7000/0"),
        ("valkeys://ops:word@db.example", "rediss://ops@db.example:6379/0"),
        ("redis://[::1]:7000", "redis://[::1]:7000/0"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        ("redis://a:1,b:2,[::1]:3", "redis://a:1,b:2,[::1]:3/0"),
        ("redis://:w@a:1,redis://:w@b:2", "redis://a:1,b:2/0"),
    ] {
        assert_eq!(read(text).to_string(), shown, "{text}");
    }
}

#[test]
fn users_and_passwords_are_percent_encoded_and_shown_to_nobody() {
    for (text, username, password) in [
        ("redis://h", None, None),
        ("redis://:se,cr:et@h", None, Some("se,cr:et")),
        ("redis://ops:s%2Fe%40c%25@h", Some("ops"), Some("s/e@c%")),
        ("redis://ops@h", Some("ops"), None),
        ("redis://ops:@h", Some("ops"), None),
    ] {
        let config = read(text);
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (username, password), "{text}");
        let shown = format!("{config} {config:?}");
        assert!(password.is_none_or(|password| !shown.contains(password)), "{shown}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    for (text, said) in [
        (
            "localhost:6379",
            r#""localhost:6379" is no address of Redis: write redis://HOST:PORT, or rediss://HOST:PORT for TLS"#,
        ),
        ("http://h", r#""http://" is no address of Redis: write redis://HOST:PORT, or rediss://HOST:PORT for TLS"#),
        ("redis://", r#"the address of host "" is none: the host is missing"#),
        ("redis://:7000", r#"the address of host "" is none: the host is missing"#),
        ("redis://h:seven", r#"the address of host "h" is none: a port is a number from 1 to 65535"#),
        ("redis://h:0", r#"the address of host "h" is none: a port is a number from 1 to 65535"#),
        ("redis://h:+1", r#"the address of host "h" is none: a port is a number from 1 to 65535"#),
        (
            "redis://::1:7000",
            r#"the address of host "" is none: an IPv6 address is written in brackets, as [::1]:6379"#,
        ),
        ("redis://a b", r#"the address of host "a b" is none: a host has no spaces and none of / ? # @ %"#),
        ("redis://a,", r#"the address of host "" is none: the host is missing"#),
        ("redis://h/one", r#""one" is no database: write a number such as 0 after the last /, or nothing"#),
        ("redis://a,b/1", "database 1 of several nodes: a cluster has only database 0, write /0 or nothing"),
        ("redis://:p/w@h", "the user or password before the last @ contains '/': write it as %2F"),
        ("redis://:p@w@h", "the user or password before the last @ contains '@': write it as %40"),
        ("redis://:p%zz@h", "the password is not percent-encoded UTF-8: write % itself as %25"),
        ("redis://:%ff@h", "the password is not percent-encoded UTF-8: write % itself as %25"),
        (
            "redis://h?timeout=1s",
            r#"unknown parameter "timeout": there are connect_timeout, call_timeout, ca, cert, key"#,
        ),
        ("redis://h?call_timeout=5", "call_timeout=5: write a duration above 0 such as 500ms or 5s"),
        ("redis://h?call_timeout=0s", "call_timeout=0s: write a duration above 0 such as 500ms or 5s"),
        ("redis://h?connect_timeout", "connect_timeout=: write a duration above 0 such as 500ms or 5s"),
        ("rediss://h?ca=/nowhere/ca.pem", "cannot read /nowhere/ca.pem, the file of ca"),
        ("redis://a,rediss://b", "the addresses differ in their schemes: all nodes of a cluster are reached alike"),
        (
            "redis://:v@a,redis://:w@b",
            "the addresses differ in their passwords: all nodes of a cluster are reached alike",
        ),
    ] {
        let error = RedisConfig::parse(text).expect_err(text);
        assert_eq!(error.to_string(), said, "{text}");
    }
}

#[test]
fn no_message_holds_a_part_of_a_password() {
    for text in [
        "redis://:hunter2/@h:x",
        "redis://:hunter2?@h",
        "redis://ops:hunter2",
        "redis://h:hunter2",
        "ops:hunter2@h",
        "redis://:hunter2%@h",
        "redis://:hunter2@h:x",
        "redis://:hunter2@h?call_timeout=x",
        "redis://:hunter2@h,redis://:hunter2x@i",
    ] {
        let error = RedisConfig::parse(text).expect_err(text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{text}: {shown}");
    }
}

#[test]
fn timeouts_are_parameters_or_set() {
    let config = read("redis://h");
    assert_eq!((config.connect_timeout, config.call_timeout), (Duration::from_secs(2), Duration::from_secs(5)));
    let config = read("redis://h?connect_timeout=250ms&call_timeout=2m");
    assert_eq!((config.connect_timeout, config.call_timeout), (Duration::from_millis(250), Duration::from_mins(2)));
    let config = read("redis://a,redis://b?call_timeout=7s");
    assert_eq!(config.call_timeout, Duration::from_secs(7));
    let config = config.with_connect_timeout(Duration::from_secs(1)).with_call_timeout(Duration::from_secs(3));
    assert_eq!((config.connect_timeout, config.call_timeout), (Duration::from_secs(1), Duration::from_secs(3)));
}

#[test]
fn certificates_are_read_at_once_and_only_for_tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a @ b.pem");
    std::fs::write(&path, "text").unwrap();
    let encoded = path.to_str().unwrap().replace(' ', "%20").replace('@', "%40");
    let config = read(&format!("rediss://h?ca={encoded}&cert={encoded}&key={encoded}"));
    let tls = config.tls.unwrap();
    assert_eq!(tls.authority.as_deref(), Some(&b"text"[..]));
    assert_eq!(tls.identity, Some((b"text".to_vec(), b"text".to_vec())));
    for (text, said) in [
        (format!("redis://h?ca={encoded}"), "ca is for TLS: write rediss:// instead of redis://"),
        (format!("rediss://h?cert={encoded}"), "cert without key: a server knows us by both"),
        (format!("rediss://h?key={encoded}"), "key without cert: a server knows us by both"),
    ] {
        assert_eq!(RedisConfig::parse(&text).unwrap_err().to_string(), said);
    }
}
