//! `create_many` under way: records are taken in slices on the loop's thread, each read, checked and made what it will be
//! when it is read; from [`BATCH`] rows on the database inserts them meanwhile.
//!
//! Invariant: all or none. The rows stay only where `insert` was called and what it gave has ended well; `undo`, `close` and
//! the drop before that leave none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use farm_db_core::Transaction;
use farm_db_core::backend::Batch;
use farm_db_core::repository::Feed;
use farm_db_core::turn::BUDGET;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};

use crate::error::{self, Failure};
use crate::intake::{Intake, Refusal};
use crate::objects::Shapes;
use crate::operation::{self, Operation};
use crate::reply::Reply;
use crate::repository::shaped;
use crate::shape::Layout;

/// So many rows are inserted at once; of more the first are inserted while others are still to come.
const BATCH: usize = 256;

/// Where the objects of the rows come from.
enum Made {
    /// Each is made when its row is checked.
    Now(Py<PyList>),
    /// Making one runs code of the user, who may look at the key that the database counts.
    Later,
}

/// Rows on their way into the database.
#[pyclass(module = "farm_db._native")]
pub(crate) struct Creation {
    repository: farm_db_core::Repository,
    layout: Layout,
    shapes: Arc<Shapes>,
    tx: Option<Transaction>,
    intake: Intake,
    records: Py<PyIterator>,
    made: Made,
    /// What is checked and not handed over.
    rows: Batch,
    /// How many records were taken.
    taken: usize,
    /// Whether there are no more.
    is_end: bool,
    feed: Option<Feed>,
    operation: Option<Py<Operation>>,
    /// Whether a record has brought a key of its own where the database counts them: it counts for all others first then,
    /// so that none of its keys meets one that comes later.
    waits: bool,
    /// The keys that the database has counted.
    keys: Arc<Mutex<Vec<Option<i64>>>>,
    /// How many of them the objects have.
    keyed: usize,
}

/// A batch for so many rows, or more.
fn empty(repository: &farm_db_core::Repository, rows: usize) -> Batch {
    Batch::new(repository.entity().fields.len(), rows)
}

impl Creation {
    pub(crate) fn new(
        records: &Bound<'_, PyAny>,
        repository: &farm_db_core::Repository,
        layout: &Layout,
        shapes: &Arc<Shapes>,
        tx: Option<Transaction>,
    ) -> PyResult<Self> {
        let later = layout.runs_code() && repository.counted_key().is_some();
        Ok(Self {
            repository: repository.clone(),
            layout: layout.clone(),
            shapes: Arc::clone(shapes),
            tx,
            intake: Intake::new(layout, repository.check(), !later),
            records: records.try_iter()?.unbind(),
            made: if later { Made::Later } else { Made::Now(PyList::empty(records.py()).unbind()) },
            // Often it is the only one.
            rows: empty(repository, 1),
            taken: 0,
            is_end: false,
            feed: None,
            operation: None,
            waits: false,
            keys: Arc::default(),
            keyed: 0,
        })
    }

    /// Takes one record, if there is one.
    fn take_one(&mut self, records: &mut Bound<'_, PyIterator>) -> PyResult<()> {
        let py = records.py();
        let Some(record) = records.next() else {
            self.is_end = true;
            return Ok(());
        };
        let instance = self.intake.take(record?, &mut self.rows).map_err(|refusal| {
            let failure = match refusal {
                Refusal::Unread(Failure::Host(error)) => return error,
                Refusal::Unread(Failure::Core(failure)) => {
                    failure.with("entity", self.repository.entity().name.as_str())
                }
                Refusal::Unfit(failure) => failure,
            };
            let many = self.taken > 0 || records.next().is_some();
            error::to_python(py, &if many { failure.with("row", self.taken) } else { failure })
        })?;
        if let (Made::Now(made), Some(instance)) = (&self.made, instance) {
            made.bind(py).append(instance)?;
        }
        let last = self.rows.len() - 1;
        self.waits |= self.repository.counted_key().is_some_and(|position| !self.rows.cell(last, position).is_null());
        self.taken += 1;
        Ok(())
    }

    /// Whether so many rows wait that they are to be handed over.
    fn is_full(&self) -> bool {
        match &self.feed {
            Some(feed) if self.is_end => !(self.rows.is_empty() || feed.is_over()),
            Some(feed) => self.rows.len() >= BATCH && !self.waits && !feed.is_over(),
            None => !self.is_end && self.rows.len() == BATCH && !self.waits && matches!(self.made, Made::Now(_)),
        }
    }

    /// Hands the rows over, if the database can take them.
    fn hand_over(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.feed.is_none() {
            let Some((feed, fed)) = self.repository.feed(self.tx.as_ref()) else { return Ok(()) };
            let (repository, tx, keys) = (self.repository.clone(), self.tx.clone(), Arc::clone(&self.keys));
            self.operation = Some(operation::start(py, async move {
                let counted = repository.insert_fed(fed, tx.as_ref()).await?;
                *keys.lock().unwrap_or_else(PoisonError::into_inner) = counted;
                Ok(Reply::Nothing)
            })?);
            self.feed = Some(feed);
        }
        if let Some(feed) = &self.feed {
            let rows = std::mem::replace(&mut self.rows, empty(&self.repository, BATCH));
            if let Some(rows) = feed.push(rows) {
                self.rows = rows;
            }
        }
        Ok(())
    }

    /// Inserts all rows as one.
    fn insert_at_once(&mut self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let rows = Arc::new(std::mem::take(&mut self.rows));
        let (repository, tx, keys) = (self.repository.clone(), self.tx.clone(), Arc::clone(&self.keys));
        let (layout, shapes) = (self.layout.clone(), Arc::clone(&self.shapes));
        let later = matches!(self.made, Made::Later);
        operation::start(py, async move {
            if later {
                let rows = repository.insert(rows, tx.as_ref()).await?;
                return shaped(farm_db_core::Reply::Rows(rows), layout, &shapes);
            }
            let counted = repository.insert_for_keys(rows, tx.as_ref()).await?;
            *keys.lock().unwrap_or_else(PoisonError::into_inner) = counted;
            Ok(Reply::Nothing)
        })
    }
}

#[pymethods]
impl Creation {
    /// Takes records for a slice of the loop's time; whether there are no more.
    fn take(&mut self, py: Python<'_>) -> PyResult<bool> {
        let until = Instant::now() + BUDGET;
        let mut records = self.records.bind(py).clone();
        loop {
            if self.is_full() {
                self.hand_over(py)?;
                if self.feed.is_some() && self.is_full() {
                    return Ok(false);
                }
            }
            if self.is_end || self.feed.as_ref().is_some_and(Feed::is_over) {
                return Ok(true);
            }
            self.take_one(&mut records)?;
            if Instant::now() >= until && !self.is_end {
                return Ok(false);
            }
        }
    }

    /// What to wait for before the next slice; `None` for a turn of the loop.
    fn room(&self, py: Python<'_>) -> PyResult<Option<Py<Operation>>> {
        let Some(feed) = self.feed.as_ref().filter(|_| self.is_full()) else { return Ok(None) };
        let room = feed.room();
        operation::start(py, async move {
            room.await;
            Ok(Reply::Nothing)
        })
        .map(Some)
    }

    /// Ends well, once all were taken: the operation after which the rows are there. It gives them where they could not be
    /// made before.
    fn insert(&mut self, py: Python<'_>) -> PyResult<Py<Operation>> {
        if let Some(feed) = self.feed.take() {
            feed.end();
        }
        if self.operation.is_none() {
            self.operation = Some(self.insert_at_once(py)?);
        }
        let operation = self.operation.as_ref().map(|operation| operation.clone_ref(py));
        operation.ok_or_else(|| PyRuntimeError::new_err("nothing is inserted"))
    }

    /// The rows as instances, once they are inserted; `None` where a slice of the loop's time did not do.
    fn rows(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyList>>> {
        let Made::Now(made) = &self.made else { return Ok(None) };
        let (until, made) = (Instant::now() + BUDGET, made.bind(py));
        if let Some(position) = self.repository.counted_key() {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            while self.keyed < keys.len() {
                if let Some(key) = keys[self.keyed] {
                    self.layout.set_key(&made.get_item(self.keyed)?, position, key)?;
                }
                self.keyed += 1;
                if self.keyed.is_multiple_of(64) && Instant::now() >= until {
                    return Ok(None);
                }
            }
        }
        Ok(Some(made.clone().unbind()))
    }

    /// Ends badly: what to wait for until the rows that were inserted are gone; `None` where there are none.
    fn undo(&mut self, py: Python<'_>) -> Option<Py<Operation>> {
        self.feed = None;
        self.operation.as_ref().map(|operation| operation.clone_ref(py))
    }

    /// Nobody waits any more.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        self.feed = None;
        if let Some(operation) = self.operation.take() {
            Operation::cancel(operation.bind(py), None)?;
        }
        Ok(())
    }
}
