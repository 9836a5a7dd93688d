//! One connection through a proxy: a thread reads and a thread writes, in each direction.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::request::Request;
use super::{Shared, lock};
use crate::testing::resp::read_frame;

/// How much may be on its way in one direction, in requests or answers.
const ON_ITS_WAY_MAX: usize = 10_000;

/// A request or an answer, and when it is due.
type Due = (Instant, Vec<u8>);

/// What one of the threads does.
type Work = Box<dyn FnOnce(&Arc<Link>, &Shared) + Send>;

#[derive(Debug)]
pub(super) struct Link {
    client: TcpStream,
    server: TcpStream,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    name: String,
    /// Requests without an answer, in their order.
    waiting: VecDeque<Request>,
    /// Whether the client was given an answer since its last request, so that the next one begins a round trip.
    answered: bool,
}

impl Link {
    pub(super) fn between(client: TcpStream, server: TcpStream) -> Self {
        let state = State { name: String::new(), waiting: VecDeque::new(), answered: true };
        Self { client, server, state: Mutex::new(state) }
    }

    /// The name that the client gave, or none.
    pub(super) fn name(&self) -> String {
        lock(&self.state).name.clone()
    }

    /// Closes both sides. An error says that they are closed.
    pub(super) fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// Starts its threads, which end when one side closes.
    pub(super) fn run(link: &Arc<Self>, shared: &Arc<Shared>) {
        let (to_server, requests) = sync_channel(ON_ITS_WAY_MAX);
        let (to_client, answers) = sync_channel(ON_ITS_WAY_MAX);
        let spawn = |work: Work| {
            let (link, shared) = (Arc::clone(link), Arc::clone(shared));
            thread::spawn(move || work(&link, &shared));
        };
        // Whoever reads requests holds the client's side open, and so does it only where it answers some by itself.
        let tells = lock(&shared.losses).tells().then(|| to_client.clone());
        // However reading ends, what was read before is still sent on.
        spawn(Box::new(move |link, shared| drop(link.read_requests(shared, &to_server, tells.as_ref()))));
        spawn(Box::new(move |link, shared| drop(link.read_answers(shared, &to_client))));
        spawn(Box::new(move |link, _| {
            let _ = link.write_requests(requests);
            let _ = link.server.shutdown(Shutdown::Write);
        }));
        spawn(Box::new(move |link, shared| {
            let _ = link.write_answers(answers);
            link.close();
            shared.forget(link);
        }));
    }

    /// Answers scripts by what was lost, if that is told.
    fn read_requests(
        &self,
        shared: &Shared,
        to_server: &SyncSender<Due>,
        tells: Option<&SyncSender<Due>>,
    ) -> io::Result<()> {
        self.client.set_nodelay(true)?;
        let mut from = BufReader::new(&self.client);
        while let Some(frame) = read_frame(&mut from)? {
            let request = Request::of(&frame)?;
            let due = Instant::now() + shared.delay();
            if let (Some(to_client), Some(script)) = (tells, request.script) {
                let answer = lock(&shared.losses).told(script);
                to_client.send((due, answer)).map_err(io::Error::other)?;
                continue;
            }
            self.count(shared, request);
            to_server.send((due, frame)).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn count(&self, shared: &Shared, request: Request) {
        let mut state = lock(&self.state);
        if let Some(name) = &request.name {
            state.name.clone_from(name);
        }
        let mut counts = lock(&shared.counts);
        *counts.calls.entry(request.command.clone()).or_default() += 1;
        if std::mem::take(&mut state.answered) {
            *counts.round_trips.entry(state.name.clone()).or_default() += 1;
        }
        if request.is_answered() {
            state.waiting.push_back(request);
        }
    }

    fn write_requests(&self, requests: Receiver<Due>) -> io::Result<()> {
        self.server.set_nodelay(true)?;
        for (due, request) in requests {
            sleep_until(due);
            (&self.server).write_all(&request)?;
        }
        Ok(())
    }

    /// Returns at the first answer that is lost: the client's connection is closed once it has those before.
    fn read_answers(&self, shared: &Shared, to_client: &SyncSender<Due>) -> io::Result<()> {
        let mut from = BufReader::new(&self.server);
        while let Some(frame) = read_frame(&mut from)? {
            if self.loses(shared, &frame) {
                return Ok(());
            }
            to_client.send((Instant::now() + shared.delay(), frame)).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn loses(&self, shared: &Shared, answer: &[u8]) -> bool {
        // What is pushed answers no request.
        let request = if answer.starts_with(b">") { None } else { lock(&self.state).waiting.pop_front() };
        let script = request.and_then(|request| request.script);
        script.is_some_and(|script| lock(&shared.losses).take(script, answer))
    }

    fn write_answers(&self, answers: Receiver<Due>) -> io::Result<()> {
        for (due, answer) in answers {
            sleep_until(due);
            // Before it is written: a client that has read it may be quick.
            lock(&self.state).answered = true;
            (&self.client).write_all(&answer)?;
        }
        Ok(())
    }
}

fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}
