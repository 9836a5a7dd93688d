//! A store in memory that outlives its own closing, whose rows can be spoilt, and that may have a flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::id::{Boot, CellName, ContainerId, History};
use domain::model::{CellRow, Change, MemoryRows};
use domain::worker::WorkerRow;
use ports::rows::{ReadStep, RowPorts, RowStore, WriteStep};
use ports::{Limits, PortResult, Ports};

use crate::view::{Range, View};

/// One thing that a store does wrong; all else it does right.
pub(crate) trait Flaw: Send + Sync + 'static {
    /// Whether reopening makes no new boot.
    const SAME_BOOT: bool = false;
    /// Whether the last step before it is closed is lost.
    const LOSES_LAST_STEP: bool = false;
    /// Whether a step may be decided on rows that another step changes before it is written.
    const RACES: bool = false;
    /// Whether all cells are one.
    const ONE_CELL: bool = false;
    /// Whether orders begin anew at each take.
    const FORGETS_MARKS: bool = false;
    /// Whether any number of a call is taken for the greatest.
    const NUMBERS_FALL: bool = false;
    /// Whether a row that cannot be decoded is taken for a store that is away.
    const CORRUPT_IS_AWAY: bool = false;

    /// What becomes of its ports.
    fn ports(ports: Ports) -> Ports {
        ports
    }

    /// What a range shows.
    fn range<T>(_range: Range, entries: Vec<T>) -> Vec<T> {
        entries
    }

    /// What a worker's row shows.
    fn worker(row: WorkerRow) -> WorkerRow {
        row
    }

    /// What becomes of the changes that are to be made.
    fn write(changes: Vec<Change>) -> Vec<Change> {
        changes
    }
}

/// Does everything right.
pub(crate) struct Sound;

impl Flaw for Sound {}

/// The rows of all cells.
pub(crate) type Cells = BTreeMap<CellName, MemoryRows>;

/// What is on the disk, so to speak.
#[derive(Default)]
pub(crate) struct Disk {
    cells: Cells,
    before_last: Cells,
    spoilt: BTreeSet<(CellName, ContainerId)>,
}

/// The store, opened.
pub(crate) struct Kept<F> {
    disk: Arc<Mutex<Disk>>,
    boot: u64,
    pub(crate) ports: Ports,
    flaw: PhantomData<F>,
}

struct Opened<F> {
    disk: Arc<Mutex<Disk>>,
    boot: Boot,
    flaw: PhantomData<F>,
}

fn held(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F: Flaw> Kept<F> {
    pub(crate) fn empty() -> Self {
        Self::open_at(Arc::default(), 1)
    }

    fn open_at(disk: Arc<Mutex<Disk>>, boot: u64) -> Self {
        let opened = Opened::<F> { disk: Arc::clone(&disk), boot: Boot::from_random(boot), flaw: PhantomData };
        Self { disk, boot, ports: F::ports(RowPorts::over(opened)), flaw: PhantomData }
    }

    /// Closed, and opened again.
    pub(crate) fn again(self) -> Self {
        let Self { disk, boot, ports, .. } = self;
        drop(ports);
        let boot = if F::SAME_BOOT { boot } else { boot + 1 };
        {
            let mut disk = held(&disk);
            let lost = std::mem::take(&mut disk.before_last);
            if F::LOSES_LAST_STEP {
                disk.cells.extend(lost);
            }
            let cells = std::mem::take(&mut disk.cells).into_iter();
            disk.cells = cells.map(|(name, rows)| (name, rows.reopened(Boot::from_random(boot)))).collect();
        }
        Self::open_at(disk, boot)
    }

    pub(crate) fn cells(&self) -> Cells {
        held(&self.disk).cells.clone()
    }

    pub(crate) fn put_back(self, cells: Cells) -> Self {
        held(&self.disk).cells = cells;
        self
    }

    pub(crate) fn spoil_row(&self, cell: &CellName, container: &ContainerId) {
        held(&self.disk).spoilt.insert((cell.clone(), container.clone()));
    }
}

impl Disk {
    fn rows(&mut self, cell: &CellName, boot: Boot) -> &mut MemoryRows {
        let fresh = || MemoryRows::new(CellRow::new(History::from_random(42)), boot);
        self.cells.entry(cell.clone()).or_insert_with(fresh)
    }

    fn spoilt_of(&self, cell: &CellName) -> BTreeSet<ContainerId> {
        self.spoilt.iter().filter(|(of, _)| of == cell).map(|(_, id)| id.clone()).collect()
    }
}

impl<F: Flaw> Opened<F> {
    fn view(&self, cell: &CellName) -> View<F> {
        let mut disk = held(&self.disk);
        let spoilt = disk.spoilt_of(cell);
        View { rows: disk.rows(cell, self.boot).clone(), spoilt, writing: false, flaw: PhantomData }
    }
}

fn named<F: Flaw>(cell: &CellName) -> CellName {
    if F::ONE_CELL { CellName::new("the-one").expect("a name") } else { cell.clone() }
}

#[async_trait]
impl<F: Flaw> RowStore for Opened<F> {
    async fn write(&self, cell: &CellName, mut step: WriteStep) -> PortResult<()> {
        let cell = named::<F>(cell);
        if F::RACES {
            let changes = step(&self.view(&cell))?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            held(&self.disk).rows(&cell, self.boot).apply(F::write(changes));
            return Ok(());
        }
        let mut disk = held(&self.disk);
        let spoilt = disk.spoilt_of(&cell);
        let rows = disk.rows(&cell, self.boot);
        let before = rows.clone();
        let view = View::<F> { rows: before.clone(), spoilt, writing: true, flaw: PhantomData };
        let changes = step(&view)?;
        if !changes.is_empty() {
            rows.apply(F::write(changes));
            disk.before_last.insert(cell, before);
        }
        Ok(())
    }

    async fn read(&self, cell: &CellName, mut step: ReadStep) -> PortResult<()> {
        step(&self.view(&named::<F>(cell)))
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }
}
