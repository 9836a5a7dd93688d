use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::*;
use crate::subscription::{Heard, follow};

struct Server(Child, u16, #[allow(dead_code, reason = "kept until the server is gone")] tempfile::TempDir);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--dir", folder.path().to_str().unwrap()]);
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    Server(child, port, folder)
}

fn connections(server: &Server) -> Arc<Connections> {
    let config = RedisConfig::parse(&format!("redis://127.0.0.1:{}", server.1)).unwrap();
    Arc::new(Connections::new(config).unwrap())
}

fn cell() -> CellName {
    CellName::new("main").unwrap()
}

#[tokio::test]
async fn a_script_that_the_server_does_not_know_is_loaded() {
    let server = server();
    let connections = connections(&server);
    let script = Script::of("echo", &["return ARGV[1]..KEYS[1]"]);
    for _ in 0..3 {
        let reply = connections.run(Role::Planner, &cell(), &script, &["{main}:k".into()], b"\0\xff").await;
        assert_eq!(reply.unwrap(), b"\0\xff{main}:k");
        connections.command(&cell(), &["SCRIPT", "FLUSH"]).await.unwrap();
    }
}

#[tokio::test]
async fn a_channel_is_followed() {
    let server = server();
    let connections = connections(&server);
    let mut heard = follow(&connections, cell(), "{main}:events".into());
    assert_eq!(heard.recv().await, Some(Heard::Subscribed));
    connections.command(&cell(), &["PUBLISH", "{main}:events", "hello"]).await.unwrap();
    assert_eq!(heard.recv().await, Some(Heard::Message(b"hello".to_vec())));
}
