//! A stream of short commands: handed in until they are accepted, by one server or another, as fast as they end.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::Value;

use super::witness::{Witness, request_in};
use super::{Fleet, http};

/// Says when it starts and ends, and whether another process of its container is alive. Each that ends adds a byte to
/// one file.
const SHORT: &str = r#"
exec 9>>"$0/$STOWPLAN_CONTAINER.lock"
say() { echo "$1 $STOWPLAN_ATTEMPT $STOWPLAN_WORKER $$" >> "$0/$STOWPLAN_CONTAINER"; }
if flock -n 9; then say start; else say second; fi
sleep 0.3
say end
echo >> "$0/ended"
"#;
/// Between two looks at what has ended, and two tries of a call that was not answered.
const PAUSE: Duration = Duration::from_millis(20);

/// Requests under way, until they are enough.
pub(crate) struct Stream {
    said: Arc<Said>,
    client: Option<JoinHandle<()>>,
}

/// What the client does and was told.
struct Said {
    /// Where commands write.
    folder: PathBuf,
    urls: Vec<String>,
    outstanding: Range<usize>,
    enough: AtomicBool,
    /// Nothing is handed in while somebody else holds this.
    accepted: Mutex<Vec<String>>,
}

impl Stream {
    /// Begins to hand requests in, to one server after the other, each time that fewer than the first of `outstanding`
    /// have not ended, until it is as many as the second.
    pub(crate) fn start(witness: &Witness, servers: &[&Fleet], outstanding: Range<usize>) -> Self {
        let said = Arc::new(Said {
            folder: witness.folder().to_owned(),
            urls: servers.iter().map(|server| server.url.clone()).collect(),
            outstanding,
            enough: AtomicBool::new(false),
            accepted: Mutex::default(),
        });
        let client = spawn({
            let said = Arc::clone(&said);
            move || said.submit()
        });
        Self { said, client: Some(client) }
    }

    /// What was accepted so far. Nothing is handed in as long as this is held.
    pub(crate) fn accepted(&self) -> MutexGuard<'_, Vec<String>> {
        self.said.accepted.lock().unwrap()
    }

    /// How many are accepted and have not ended.
    pub(crate) fn outstanding(&self) -> usize {
        self.accepted().len().saturating_sub(self.ended())
    }

    /// How many commands have said that they end.
    pub(crate) fn ended(&self) -> usize {
        self.said.ended()
    }

    /// Hands in once more what was accepted before, and is not known any more.
    pub(crate) fn hand_in_again(&self, ids: &[String]) {
        assert!(hand_in(&self.said.urls[0], &self.said.folder, ids), "the server is there");
    }

    /// Hands in no more; answers what was accepted.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.said.enough.store(true, Ordering::Relaxed);
        self.client.take().unwrap().join().unwrap();
        std::mem::take(&mut self.accepted())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.said.enough.store(true, Ordering::Relaxed);
    }
}

impl Said {
    fn ended(&self) -> usize {
        fs::metadata(self.folder.join("ended")).map_or(0, |file| usize::try_from(file.len()).unwrap())
    }

    fn submit(&self) {
        let mut servers = self.urls.iter().cycle();
        let mut ids: Vec<String> = Vec::new();
        let mut handed_in = 0;
        while !self.enough.load(Ordering::Relaxed) {
            let mut accepted = self.accepted.lock().unwrap();
            let outstanding = accepted.len().saturating_sub(self.ended());
            if ids.is_empty() && outstanding < self.outstanding.start {
                let more = self.outstanding.end - outstanding;
                ids = (handed_in..handed_in + more).map(|number| format!("s{number:06}")).collect();
                handed_in += more;
            }
            if !ids.is_empty() && hand_in(servers.next().unwrap(), &self.folder, &ids) {
                accepted.append(&mut ids);
            }
            drop(accepted);
            sleep(PAUSE);
        }
    }
}

/// Whether all of a list of short commands were accepted.
fn hand_in(url: &str, folder: &Path, ids: &[String]) -> bool {
    let list: Value = ids.iter().map(|id| request_in(folder, id, SHORT)).collect();
    match http(url, "POST", "/v1/containers", Some(&list.to_string()), &[""; 0]) {
        Ok((200, text)) => {
            let answer: Value = serde_json::from_str(&text).unwrap();
            let is_in = |outcome: &Value| outcome["outcome"] == "accepted" || outcome["outcome"] == "already";
            assert!(answer["outcomes"].as_array().unwrap().iter().all(is_in), "{answer}");
            true
        }
        Ok((status @ 400..500, text)) => panic!("{status} {text}"),
        Ok(_) | Err(_) => false,
    }
}
