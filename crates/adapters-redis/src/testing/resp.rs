//! The protocol of Redis, as much of it as tests need.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a test waits for a connection or an answer unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server answers. Its accessors panic on what is of another kind, and show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status or a string of bytes.
    Text(Vec<u8>),
    /// A whole number.
    Integer(i64),
    /// Nothing there.
    Nil,
    /// Several.
    List(Vec<Reply>),
    /// A refusal: its code and what it says.
    Error(String),
}

impl Reply {
    /// The text, with what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The bytes of a text.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            other => panic!("no text: {other:?}"),
        }
    }

    /// The number.
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(integer) => *integer,
            other => panic!("no integer: {other:?}"),
        }
    }

    /// The items of a list.
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => panic!("no list: {other:?}"),
        }
    }

    /// What an error says, with its code in front.
    pub fn error(&self) -> &str {
        match self {
            Self::Error(text) => text,
            other => panic!("no error: {other:?}"),
        }
    }

    /// Whether there is nothing.
    pub fn is_nil(&self) -> bool {
        *self == Self::Nil
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Panics on anything but `OK`.
    pub fn ok(&self) {
        assert_eq!(*self, Self::Text(b"OK".to_vec()));
    }

    /// The first value of a complete frame, and what follows it. Maps are lists of keys and values in turn.
    pub(super) fn of(frame: &[u8]) -> io::Result<(Self, &[u8])> {
        let (line, rest) = split_line(frame)?;
        let (kind, line) = line.split_first().ok_or_else(|| broken("an empty line"))?;
        let text = || String::from_utf8_lossy(line).into_owned();
        Ok(match Kind::of(*kind)? {
            Kind::Line => match kind {
                b'-' => (Self::Error(text()), rest),
                b':' => (Self::Integer(number(line)?), rest),
                b'_' => (Self::Nil, rest),
                _ => (Self::Text(line.to_vec()), rest),
            },
            Kind::Bytes | Kind::Values(_) if number(line)? < 0 => (Self::Nil, rest),
            Kind::Bytes => {
                let length = length(line)?;
                let bytes = rest.get(..length).ok_or_else(|| broken("a string that is cut short"))?;
                (Self::Text(bytes.to_vec()), rest.get(length + 2..).unwrap_or_default())
            }
            Kind::Values(each) => {
                let (mut items, mut rest) = (Vec::new(), rest);
                for _ in 0..length(line)? * each {
                    let (item, left) = Self::of(rest)?;
                    items.push(item);
                    rest = left;
                }
                (Self::List(items), rest)
            }
        })
    }
}

/// What follows the first line of a value.
enum Kind {
    /// Nothing.
    Line,
    /// So many bytes and a line's end.
    Bytes,
    /// So many values, times this.
    Values(usize),
}

impl Kind {
    fn of(first: u8) -> io::Result<Self> {
        match first {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Ok(Self::Line),
            b'$' | b'=' | b'!' => Ok(Self::Bytes),
            b'*' | b'~' | b'>' => Ok(Self::Values(1)),
            b'%' => Ok(Self::Values(2)),
            other => Err(broken(&format!("a value that begins with {:?}", char::from(other)))),
        }
    }
}

/// Reads the bytes of one value, whole: a request or an answer. `None` where the other side has closed before one.
pub(super) fn read_frame(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut frame = Vec::new();
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    append_value(from, &mut frame)?;
    Ok(Some(frame))
}

/// The bytes of a request.
pub(super) fn frame(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut frame = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        frame.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        frame.extend_from_slice(word);
        frame.extend_from_slice(b"\r\n");
    }
    frame
}

fn append_value(from: &mut impl BufRead, frame: &mut Vec<u8>) -> io::Result<()> {
    let start = frame.len();
    from.read_until(b'\n', frame)?;
    let (line, _) = split_line(&frame[start..])?;
    let (kind, line) = line.split_first().ok_or_else(|| broken("an empty line"))?;
    match Kind::of(*kind)? {
        Kind::Line => Ok(()),
        Kind::Bytes | Kind::Values(_) if number(line)? < 0 => Ok(()),
        Kind::Bytes => {
            let wanted = length(line)? + 2;
            let read = from.by_ref().take(wanted as u64).read_to_end(frame)?;
            if read == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        Kind::Values(each) => (0..length(line)? * each).try_for_each(|_| append_value(from, frame)),
    }
}

fn split_line(frame: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let end = frame.windows(2).position(|pair| pair == b"\r\n");
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok((&frame[..end], &frame[end + 2..]))
}

fn number(line: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or_else(|| broken("no number"))
}

fn length(line: &[u8]) -> io::Result<usize> {
    usize::try_from(number(line)?).map_err(|_| broken("a length below zero"))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A connection to a server, for one caller at a time.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a port of the loopback and gives the password.
    pub fn open(port: u16, password: Option<&str>) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream: BufReader::new(stream) };
        connection.set_patience(Some(PATIENCE))?;
        if let Some(password) = password {
            connection.call(&["AUTH", password])?.ok();
        }
        Ok(connection)
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// How long to wait for an answer; an error of kind `WouldBlock` or `TimedOut` after it.
    pub fn set_patience(&mut self, patience: Option<Duration>) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(patience)?;
        self.stream.get_ref().set_write_timeout(patience)
    }

    /// Sends a command and waits for its answer.
    pub fn call(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.send(words)?;
        self.receive()
    }

    /// Sends a command whose answer is received later.
    pub fn send(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<()> {
        self.stream.get_mut().write_all(&frame(words))
    }

    /// Waits for an answer; an error of kind `UnexpectedEof` where the server has closed.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let frame = read_frame(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Reply::of(&frame)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(mut bytes: &[u8]) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(frame) = read_frame(&mut bytes).unwrap() {
            let (reply, rest) = Reply::of(&frame).unwrap();
            assert!(rest.is_empty(), "{rest:?} is left of {frame:?}");
            replies.push(reply);
        }
        replies
    }

    #[test]
    fn every_kind_of_answer_is_read_whole() {
        let text = |text: &str| Reply::Text(text.into());
        let list = Reply::List(vec![text("a\r\n"), Reply::Nil, Reply::List(vec![Reply::Integer(-7)])]);
        let map = Reply::List(vec![text("k"), Reply::Nil]);
        assert_eq!(
            replies(b"+OK\r\n-ERR no\r\n*3\r\n$3\r\na\r\n\r\n$-1\r\n*1\r\n:-7\r\n*-1\r\n%1\r\n+k\r\n_\r\n"),
            [text("OK"), Reply::Error("ERR no".into()), list, Reply::Nil, map]
        );
    }

    #[test]
    fn what_is_cut_short_is_no_answer() {
        for bytes in [&b"$5\r\nab"[..], b"*2\r\n:1\r\n", b"+O"] {
            let error = read_frame(&mut &*bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
