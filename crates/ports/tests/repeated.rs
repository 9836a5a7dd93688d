//! Every clause holds of a store whose every write is made again: what a repeat is answered says what the first was.

use std::sync::{Arc, OnceLock};

use domain::id::{CellName, ContainerId};
use domain::model::containers::StopOutcome;
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::time::Timestamp;
use ports::around::{Answering, Around, wrap};
use ports::conformance::{Harness, Hears, Repeating, Repeats, replay, run};
use ports::rows::{MemoryStore, RowPorts};
use ports::{PortResult, Ports};

fn memory() -> Ports {
    RowPorts::over(MemoryStore::new().expect("memory is there"))
}

/// The memory store; callers hear what they mean.
struct Repeated(Ports);

impl Harness for Repeated {
    async fn open() -> Self {
        Self(Self::likewise(memory()))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }

    fn likewise(ports: Ports) -> Ports {
        Repeating::over(ports.clone(), ports.clone(), ports, Hears::WhatIsMeant)
    }
}

ports::conformance!(Repeated);

/// The memory store; callers hear what their repeats are answered.
struct RepeatHeard(Ports);

impl Harness for RepeatHeard {
    async fn open() -> Self {
        Self(Self::likewise(memory()))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }

    fn likewise(ports: Ports) -> Ports {
        Repeating::over(ports.clone(), ports.clone(), ports, Hears::TheRepeat)
    }
}

#[test]
fn repeats_at_random_are_answered_as_the_model_answers_them() {
    run::<RepeatHeard>(&replay::random_calls_are_answered_as_the_model_answers);
}

/// Makes the second call to another store, as one does that has forgotten the first.
struct Forgets {
    first: Ports,
    again: Ports,
}

impl Repeats for Forgets {
    async fn repeat<T: Send + 'static>(
        &self,
        _: &CellName,
        write: impl Fn(Ports) -> Answering<'static, T> + Send + Sync,
    ) -> (PortResult<T>, PortResult<T>) {
        (write(self.first.clone()).await, write(self.again.clone()).await)
    }
}

/// Hands in the request of this name before each stop, by these ports.
struct HandsIn(&'static str, Arc<OnceLock<Ports>>);

impl Around for HandsIn {
    async fn around<'a, T: Send + 'static>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> PortResult<T> {
        if operation == "stop" {
            submit(self.1.get().expect("they are set"), self.0).await?;
        }
        call().await
    }
}

fn cell() -> CellName {
    CellName::new("main").expect("a name")
}

fn id(text: &str) -> ContainerId {
    ContainerId::new(text).expect("a name")
}

async fn submit(ports: &Ports, name: &str) -> PortResult<()> {
    let ask = Ask::plain("default".parse().expect("a name"), 1_000, 1);
    let body = Body { command: vec!["true".to_owned()], ..Body::default() };
    let submission = Submission::new(id(name), ask, body, IfSilent::Stop);
    ports.backlog.submit(&cell(), Timestamp(1), vec![submission]).await.map(drop)
}

fn block_on<T>(calls: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(calls)
}

/// Hands in one request and stops it.
fn submit_and_stop(ports: &Ports) {
    block_on(async {
        submit(ports, "one").await.expect("memory is there");
        ports.containers.stop(&cell(), Timestamp(2), vec![id("one")]).await.expect("memory is there");
    });
}

#[test]
#[should_panic(expected = "which is no twin of it")]
fn a_store_that_does_it_anew_is_found() {
    let first = memory();
    let writes = Forgets { first: first.clone(), again: memory() };
    submit_and_stop(&Repeating::over(writes, first.clone(), first, Hears::WhatIsMeant));
}

#[test]
#[should_panic(expected = "a further repeat answered something else")]
fn a_store_that_answers_each_repeat_otherwise_is_found() {
    let first = memory();
    submit_and_stop(&Repeating::over(first.clone(), first, memory(), Hears::WhatIsMeant));
}

#[test]
#[should_panic(expected = "changed something")]
fn a_store_that_changes_something_with_a_repeat_is_found() {
    let store = memory();
    let meddling = wrap(&store, HandsIn("another", Arc::new(store.clone().into())));
    submit_and_stop(&Repeating::over(store.clone(), store, meddling, Hears::WhatIsMeant));
}

#[test]
fn what_only_the_last_repeat_found_is_meant() {
    let (store, callers) = (memory(), Arc::new(OnceLock::new()));
    let late = wrap(&store, HandsIn("one", Arc::clone(&callers)));
    let repeating = Repeating::over(store.clone(), store, late, Hears::WhatIsMeant);
    callers.set(repeating.clone()).unwrap_or_else(|_| panic!("they are set once"));
    let outcomes = block_on(repeating.containers.stop(&cell(), Timestamp(2), vec![id("one")]));
    assert_eq!(outcomes.expect("memory is there"), [StopOutcome::Stopped]);
}
