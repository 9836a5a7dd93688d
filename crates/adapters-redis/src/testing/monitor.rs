//! What a server is told, seen from inside it.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::resp::{Connection, Reply};
use super::server::Server;

/// How long the monitor may be behind.
const PATIENCE: Duration = Duration::from_secs(30);

/// What begins the words by which a monitor sees how far it has come.
const MARK: &str = "stowplan-monitor-";

/// Reads `MONITOR` on a connection of its own. It costs the server a good part of its speed.
#[derive(Debug)]
pub struct Monitor<'a> {
    server: &'a Server,
    stream: TcpStream,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Mutex<Vec<Call>>,
    more: Condvar,
}

/// A command that a server has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The address of the client who sent it, as in [`Server::clients`]; of a command inside a script, that of who sent
    /// the script.
    pub client: String,
    /// Whether a script called it.
    pub in_script: bool,
    /// The command and its arguments, with what is no UTF-8 replaced.
    pub words: Vec<String>,
}

impl Call {
    /// Its command, in capitals.
    pub fn command(&self) -> String {
        self.words[0].to_ascii_uppercase()
    }

    /// Reads a line such as `1700000000.123456 [0 127.0.0.1:52364] "get" "k"`.
    fn of(line: &str, script_of: &str) -> Option<Self> {
        let (client, words) = line.split_once('[')?.1.split_once("] ")?;
        let client = client.split_once(' ')?.1;
        let in_script = client == "lua";
        let client = if in_script { script_of } else { client };
        Some(Self { client: client.to_owned(), in_script, words: words_of(words) })
    }
}

impl<'a> Monitor<'a> {
    /// Sees all that the server runs from now on.
    pub fn of(server: &'a Server) -> Self {
        let mut connection = server.connect().expect("the server answers");
        connection.call(&["MONITOR"]).expect("the server answers").ok();
        connection.set_patience(None).expect("an open connection");
        let stream = connection.stream().try_clone().expect("an open connection");
        let seen = Arc::new(Seen::default());
        thread::spawn({
            let seen = Arc::clone(&seen);
            move || seen.read(connection)
        });
        Self { server, stream, seen }
    }

    /// All that the server has run since the last time, in its order.
    pub fn take(&self) -> Vec<Call> {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        let mark = format!("{MARK}{}", MARKS.fetch_add(1, Ordering::Relaxed));
        self.server.command(&["ECHO", &mark]);
        let is_mark = |call: &Call| call.words.get(1) == Some(&mark);
        let calls = self.seen.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut calls, waited) = self
            .seen
            .more
            .wait_timeout_while(calls, PATIENCE, |calls| !calls.iter().any(is_mark))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "the monitor did not see {mark} in {} s", PATIENCE.as_secs());
        let end = calls.iter().position(is_mark).expect("it was waited for");
        let rest = calls.split_off(end + 1);
        let mut taken = std::mem::replace(&mut *calls, rest);
        taken.pop();
        taken
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        // Ends the thread; an error says that the server has closed before.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Seen {
    /// Reads until the connection is closed.
    fn read(&self, mut connection: Connection) {
        let mut script_of = String::new();
        while let Ok(line) = connection.receive() {
            let Some(call) = Call::of(&line.text(), &script_of) else {
                continue;
            };
            script_of.clone_from(&call.client);
            self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
            self.more.notify_all();
        }
    }
}

/// Reads words in quotes, in which a backslash escapes.
fn words_of(text: &str) -> Vec<String> {
    let mut bytes = text.bytes();
    let mut words = Vec::new();
    while bytes.any(|byte| byte == b'"') {
        let mut word = Vec::new();
        while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
            word.push(if byte == b'\\' { unescaped(&mut bytes) } else { byte });
        }
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    words
}

fn unescaped(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    let mut next = || bytes.next().unwrap_or_default();
    match next() {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'x' => {
            let digits = [next(), next()];
            std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or_default()
        }
        other => other,
    }
}

/// A connection, as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its number, unique for the life of the server.
    pub id: u64,
    /// Its address, `127.0.0.1:PORT`.
    pub address: String,
    /// The name that it gave itself, or none.
    pub name: String,
}

impl Client {
    fn of(line: &str) -> Self {
        let field = |name: &str| {
            let fields = line.split(' ').filter_map(|field| field.split_once('='));
            fields.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        Self { id: field("id").parse().expect("a client has a number"), address: field("addr"), name: field("name") }
    }
}

impl Server {
    /// All connections, without the one that asks.
    pub fn clients(&self) -> Vec<Client> {
        let mut connection = self.connect().expect("the server answers");
        let mut ask = |words: &[&str]| connection.call(words).expect("the server answers");
        let own = ask(&["CLIENT", "ID"]);
        let clients = ask(&["CLIENT", "LIST"]).text();
        clients.lines().map(Client::of).filter(|client| Reply::Integer(client.id.cast_signed()) != own).collect()
    }

    /// The connections that gave themselves this name.
    pub fn clients_named(&self, name: &str) -> Vec<Client> {
        self.clients().into_iter().filter(|client| client.name == name).collect()
    }

    /// Closes the connections that gave themselves this name, and says how many there were.
    pub fn kill_clients_named(&self, name: &str) -> usize {
        let clients = self.clients_named(name);
        for client in &clients {
            // It may have gone by itself meanwhile.
            self.command(&["CLIENT", "KILL", "ID", &client.id.to_string()]).integer();
        }
        clients.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_sent() {
        let line = r#"1700000000.123456 [0 127.0.0.1:52364] "set" "a \"b\" \\" "\x00\n\xc3\xa9" """#;
        let call = Call::of(line, "").unwrap();
        assert_eq!(call.words, ["set", "a \"b\" \\", "\0\né", ""]);
        assert_eq!((call.client.as_str(), call.in_script), ("127.0.0.1:52364", false));
        let inside = Call::of(r#"1.2 [0 lua] "GET" "k""#, "127.0.0.1:1").unwrap();
        assert_eq!((inside.client.as_str(), inside.in_script), ("127.0.0.1:1", true));
    }
}
