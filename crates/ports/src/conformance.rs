//! The clauses that every store must keep, each a test of its own.
//!
//! Who writes a store writes one [`Harness`] and one line, and gets one named `#[test]` a clause:
//!
//! ```ignore
//! struct Mine { ports: Ports }
//!
//! impl ports::conformance::Harness for Mine {
//!     async fn open() -> Self {
//!         Self { ports: my_store::open("localhost").await.expect("the server must run") }
//!     }
//!     fn ports(&self) -> Ports {
//!         self.ports.clone()
//!     }
//! }
//!
//! ports::conformance!(Mine);
//! ```
//!
//! A store that outlives its process implements [`Durable`] too, and adds `ports::conformance_durable!(Mine);`. One
//! that can be put back to an older copy implements [`Restorable`], and adds `ports::conformance_restored!(Mine);`; one
//! whose rows a test can spoil implements [`Corruptible`], and adds `ports::conformance_corrupt!(Mine);`.
//!
//! Each case has a cell of its own, so that all of them may share a server; nothing is emptied before or after. A store
//! that cannot be opened fails its cases. After each case the whole cell is audited. The clauses are promised, word for
//! word, under `# Contract` on the methods of the ports.

mod audited;
#[doc(hidden)]
pub mod backlog;
pub(crate) mod case;
#[doc(hidden)]
pub mod containers;
#[doc(hidden)]
pub mod corrupt;
#[doc(hidden)]
pub mod durable;
mod faulty;
#[doc(hidden)]
pub mod histories;
#[doc(hidden)]
pub mod leadership;
mod list;
#[doc(hidden)]
pub mod orders;
#[doc(hidden)]
pub mod placements;
#[doc(hidden)]
pub mod races;
#[doc(hidden)]
pub mod registrations;
mod repeating;
#[doc(hidden)]
pub mod replay;
#[doc(hidden)]
pub mod workers;

use std::future::Future;
use std::time::Duration;

use domain::id::{CellName, ContainerId};

use crate::Ports;
#[doc(hidden)]
pub use audited::UNSOUND;
#[doc(hidden)]
pub use case::Case;
pub use faulty::Faulty;
pub use repeating::{Hears, Repeating, Repeats};

/// How long a case may take.
const CASE_AT_MOST: Duration = Duration::from_mins(2);

/// A store under test.
pub trait Harness: Sized {
    /// Opens the store, and panics if it cannot: a case whose server is missing has failed.
    fn open() -> impl Future<Output = Self>;

    /// The ports of the store, the same at each call.
    fn ports(&self) -> Ports;

    /// What is around these ports and is no part of the store, around the ports of the model: a clause that compares the
    /// two has to call both likewise.
    fn likewise(model: Ports) -> Ports {
        model
    }
}

/// A store that outlives its process.
pub trait Durable: Harness {
    /// Closes the store as a process does that ends, and opens it again. Nobody else holds its ports.
    fn reopen(self) -> impl Future<Output = Self>;
}

/// A store whose rows can be spoilt.
pub trait Corruptible: Harness {
    /// Makes the row of a container one that cannot be decoded, and leaves all else as it is.
    fn spoil(&self, cell: &CellName, container: &ContainerId) -> impl Future<Output = ()>;
}

/// A durable store that can be put back to how it was.
pub trait Restorable: Durable {
    /// All that is kept of it.
    type Copy;

    /// Makes a copy; closes the store for that, if need be, and opens it again.
    fn copy(self) -> impl Future<Output = (Self, Self::Copy)>;

    /// Closes the store, and opens it as it was when the copy was made: what was written since is lost.
    fn restore(self, copy: Self::Copy) -> impl Future<Output = Self>;
}

/// A store in a case that closes and opens it.
#[doc(hidden)]
pub struct Reopening<H> {
    harness: Option<H>,
    case: Option<Case>,
}

impl<H: Durable> Reopening<H> {
    /// The case as it is now.
    pub(crate) fn case(&self) -> &Case {
        self.case.as_ref().expect("there is a case except while its store is reopened")
    }

    /// Closes the store, lets go of all its ports, and opens it again.
    pub(crate) async fn reopen(&mut self) {
        self.without_ports(async |harness| (harness.reopen().await, ())).await;
    }

    async fn without_ports<T>(&mut self, run: impl AsyncFnOnce(H) -> (H, T)) -> T {
        let memory = self.case.take().expect("there is a case").close();
        let (harness, answer) = run(self.harness.take().expect("there is a store")).await;
        self.case = Some(memory.over(harness.ports(), H::likewise));
        self.harness = Some(harness);
        answer
    }
}

impl<H: Restorable> Reopening<H> {
    pub(crate) async fn copy(&mut self) -> H::Copy {
        self.without_ports(H::copy).await
    }

    pub(crate) async fn restore(&mut self, copy: H::Copy) {
        self.without_ports(async |harness| (harness.restore(copy).await, ())).await;
    }
}

/// Runs one clause on a store of its own, and audits the cell.
#[doc(hidden)]
pub fn run<H: Harness>(clause: &impl AsyncFn(&Case)) {
    within_runtime(async {
        let harness = H::open().await;
        let case = Case::fresh(harness.ports(), H::likewise);
        clause(&case).await;
        audited::audit(&case).await;
        drop(case);
        drop(harness);
    });
}

/// Runs one clause that closes and opens the store.
#[doc(hidden)]
pub fn run_durable<H: Durable>(clause: &impl AsyncFn(&mut Reopening<H>)) {
    within_runtime(async {
        let harness = H::open().await;
        let case = Case::fresh(harness.ports(), H::likewise);
        let mut reopening = Reopening { harness: Some(harness), case: Some(case) };
        clause(&mut reopening).await;
        audited::audit(reopening.case()).await;
    });
}

/// Runs one clause that puts the store back to how it was.
#[doc(hidden)]
pub fn run_restored<H: Restorable>(clause: &impl AsyncFn(&mut Reopening<H>)) {
    run_durable(clause);
}

/// Runs one clause that spoils rows. What is spoilt does not add up, so that nothing is audited.
#[doc(hidden)]
pub fn run_corrupt<H: Corruptible>(clause: &impl AsyncFn(&H, &Case)) {
    within_runtime(async {
        let harness = H::open().await;
        let case = Case::fresh(harness.ports(), H::likewise);
        clause(&harness, &case).await;
    });
}

fn within_runtime(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime needs threads");
    runtime.block_on(async {
        let in_time = tokio::time::timeout(CASE_AT_MOST, case).await;
        assert!(in_time.is_ok(), "the case did not end within {CASE_AT_MOST:?}");
    });
}
