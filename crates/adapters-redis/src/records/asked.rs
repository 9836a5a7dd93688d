//! What is asked, as records keep it.

use std::sync::Arc;

use domain::id::Workspace;
use domain::request::{Ask, Shape};
use ports::wire::Row;
use ports::{PortResult, Source};
use serde::Deserialize;

/// What is asked: `rest` is empty where it is nothing but cpu and memory.
#[derive(Deserialize)]
pub(super) struct AskRecord<'a> {
    pub(super) workspace: &'a str,
    pub(super) cpu: u64,
    pub(super) memory: u64,
    pub(super) rest: &'a str,
}

impl AskRecord<'_> {
    pub(super) fn read(&self) -> Result<Ask, Source> {
        if self.rest.is_empty() {
            return Ok(Ask::plain(Workspace::new(self.workspace)?, self.cpu, self.memory));
        }
        Ok(Ask::decode("what is asked", self.rest.as_bytes())?)
    }
}

/// What is asked, as far as a record does not say it in other fields.
pub(crate) fn ask_rest(ask: &Ask) -> PortResult<String> {
    if *ask == Ask::plain(ask.workspace.clone(), ask.cpu_milli, ask.memory_mib) {
        return Ok(String::new());
    }
    super::text(ask)
}

/// What was asked last, for the many that ask alike: they share one value, and one shape.
#[derive(Default)]
pub(crate) struct Asks(Option<LastAsk>);

pub(super) struct LastAsk {
    rest: String,
    pub(super) ask: Arc<Ask>,
    shape: Option<Shape>,
}

impl LastAsk {
    fn is_said_by(&self, record: &AskRecord) -> bool {
        let is_alike = || {
            let ask = &*self.ask;
            (ask.workspace.as_str(), ask.cpu_milli, ask.memory_mib) == (record.workspace, record.cpu, record.memory)
        };
        self.rest == record.rest && (!self.rest.is_empty() || is_alike())
    }

    pub(super) fn shape(&mut self) -> Shape {
        self.shape.get_or_insert_with(|| self.ask.shape()).clone()
    }
}

impl Asks {
    pub(super) fn read(&mut self, record: &AskRecord) -> Result<&mut LastAsk, Source> {
        let last = match self.0.take() {
            Some(last) if last.is_said_by(record) => last,
            _ => LastAsk { rest: record.rest.to_owned(), ask: Arc::new(record.read()?), shape: None },
        };
        Ok(self.0.insert(last))
    }
}
