//! Users, passwords and certificates.

use super::*;

#[tokio::test]
async fn who_may_not_is_told_what_is_missing_and_at_once() {
    let server = Options::new().password("hunter2").start();
    let rules: [&[&str]; 2] = [
        &["ACL", "SETUSER", "reader", "on", ">word", "~*", "&*", "+@all", "-evalsha"],
        &["ACL", "SETUSER", "elsewhere", "on", ">word", "~other:*", "&*", "+@all"],
    ];
    for rule in rules {
        let mut connection = server.connect().unwrap();
        connection.call(rule).unwrap().ok();
    }
    let script = Script::of("count", &[COUNT]);
    let port = server.port();
    for (user, expected) in [
        ("", "wants a password"),
        (":hunter3@", "refuses the user or password"),
        ("nobody:word@", "refuses the user or password"),
        ("reader:word@", "does not allow the user"),
        ("elsewhere:word@", "does not allow the user"),
    ] {
        let asked = Instant::now();
        let connections = connect(&format!("redis://{user}127.0.0.1:{port}"));
        let said = unavailable(run(&connections, &script).await.unwrap_err());
        assert!(said.contains(expected), "{user}: {said}");
        assert!(!said.contains("hunter"), "{said}");
        assert!(asked.elapsed() < AT_ONCE, "{user} was tried for {:?}", asked.elapsed());
    }
    assert_eq!(run(&connect(&server.url()), &script).await.unwrap(), "1");
}

#[tokio::test]
async fn a_user_without_script_load_is_told_of_that() {
    let server = Server::start();
    let user = ["ACL", "SETUSER", "runner", "on", ">word", "~*", "&*", "+@all", "-script"];
    server.command(&user).ok();
    let connections = connect(&format!("redis://runner:word@127.0.0.1:{}", server.port()));
    let said = unavailable(run(&connections, &Script::of("count", &[COUNT])).await.unwrap_err());
    assert!(said.contains("does not allow the user") && said.contains("script"), "{said}");
}

#[tokio::test]
async fn a_database_of_its_own_is_used() {
    let server = Server::start();
    let connections = connect(&format!("{}/3", server.url()));
    run(&connections, &Script::of("count", &[COUNT])).await.unwrap();
    let mut connection = server.connect().unwrap();
    assert!(connection.call(&["GET", "{main}:key"]).unwrap().is_nil());
    connection.call(&["SELECT", "3"]).unwrap().ok();
    assert_eq!(connection.call(&["GET", "{main}:key"]).unwrap().text(), "1");
}

#[tokio::test]
async fn tls_trusts_the_authority_that_is_named_and_no_other() {
    let server = Options::new().tls().start();
    let script = Script::of("count", &[COUNT]);
    let ca = server.ca_file().display().to_string();
    let connections = connect(&format!("{}?ca={ca}", server.tls_url()));
    assert_eq!(run(&connections, &script).await.unwrap(), "1");
    let mut heard = crate::subscription::follow(&connections, cell(), "{main}:events".into());
    assert_eq!(heard.recv().await, Some(crate::subscription::Heard::Subscribed));

    // The roots of the system do not vouch for it.
    let stranger = connect(&format!("{}?call_timeout=3s", server.tls_url()));
    let error = run(&stranger, &script).await.unwrap_err();
    let PortError::Unavailable(source) = &error else { panic!("{error:?}") };
    let cause = source.source().unwrap().to_string();
    assert!(source.to_string().contains("cannot connect") && cause.contains("certificate"), "{source}: {cause}");
}

#[tokio::test]
async fn a_server_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let cert = file("client.pem", include_str!("tls/client.pem"));
    let key = file("client.key", include_str!("tls/client.key"));
    let clients = file("clients.pem", include_str!("tls/clients.pem"));
    let server = Options::new().tls().line("tls-auth-clients yes").line(format!("tls-ca-cert-file {clients}")).start();
    let (ca, script) = (server.ca_file().display().to_string(), Script::of("count", &[COUNT]));
    let known = connect(&format!("{}?ca={ca}&cert={cert}&key={key}", server.tls_url()));
    assert_eq!(run(&known, &script).await.unwrap(), "1");
    let unknown = connect(&format!("{}?ca={ca}&call_timeout=3s", server.tls_url()));
    unavailable(run(&unknown, &script).await.unwrap_err());
}

#[test]
fn certificates_that_are_none_are_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let text = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    std::fs::write(&path, text).unwrap();
    let config = RedisConfig::parse(&format!("rediss://h?ca={}", path.display())).unwrap();
    let error = Connections::new(config).err().unwrap();
    assert!(matches!(&error, PortError::Unsupported(what) if what.contains("certificates")), "{error:?}");
}
