//! Rows that become objects while others are still on their way: threads of the core bring them, the loop's thread builds.
//!
//! Nobody sees an object before the last row is there: an error drops all of them, and a statement that is sent again begins
//! anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use farm_db_core::RowSet;
use farm_db_core::repository::EarlyRows;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::objects::Objects;
use crate::operation::Target;
use crate::shape::Layout;

/// The first rows of an answer.
pub(crate) struct Early {
    layout: Layout,
    target: Target,
    arrived: Mutex<Arrived>,
    /// Only the loop's thread takes it.
    building: Mutex<Building>,
}

/// What threads have brought.
#[derive(Default)]
struct Arrived {
    /// How often the statement was sent.
    attempt: usize,
    parts: VecDeque<RowSet>,
    /// Whether the loop knows that there are some.
    is_told: bool,
}

/// What has been built of it.
#[derive(Default)]
struct Building {
    attempt: usize,
    now: Option<Objects>,
    built: Option<Py<PyList>>,
    failure: Option<PyErr>,
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Early {
    pub(crate) fn new(layout: &Layout, target: Target) -> Arc<Self> {
        Arc::new(Self { layout: layout.clone(), target, arrived: Mutex::default(), building: Mutex::default() })
    }

    /// Whether somebody still waits for the rows.
    pub(crate) fn is_wanted(&self) -> bool {
        self.target.is_pending()
    }

    /// What brings rows and tells the loop of them.
    pub(crate) fn taker(self: &Arc<Self>) -> Arc<EarlyRows> {
        let early = Arc::clone(self);
        Arc::new(move |rows| {
            if early.take(rows) {
                early.target.push(&early);
            }
        })
    }

    /// Takes rows, or begins anew; whether the loop must be told.
    fn take(&self, rows: Option<RowSet>) -> bool {
        let mut arrived = lock(&self.arrived);
        let Some(rows) = rows else {
            arrived.attempt += 1;
            arrived.parts.clear();
            return false;
        };
        arrived.parts.push_back(rows);
        !std::mem::replace(&mut arrived.is_told, true)
    }

    /// Builds on until all that have come are built (true) or `until` has passed. An exception waits for the end: the rows
    /// may yet come again.
    pub(crate) fn advance(&self, py: Python<'_>, until: Instant) -> bool {
        let mut building = lock(&self.building);
        loop {
            if !self.is_building(&mut building) {
                return true;
            }
            let Some(objects) = &mut building.now else { return true };
            match objects.advance(py, until) {
                Ok(true) => building.built = building.now.take().map(|objects| objects.into_list(py)),
                Ok(false) => return false,
                Err(failure) => {
                    let attempt = building.attempt;
                    *building = Building { attempt, failure: Some(failure), ..Building::default() };
                }
            }
        }
    }

    /// Takes up the next rows where none are under way; whether there are some.
    fn is_building(&self, building: &mut Building) -> bool {
        let mut arrived = lock(&self.arrived);
        if arrived.attempt != building.attempt {
            *building = Building { attempt: arrived.attempt, ..Building::default() };
        }
        if building.failure.is_some() {
            arrived.parts.clear();
        }
        if building.now.is_none() {
            let rows = arrived.parts.pop_front();
            building.now = rows.map(|rows| Objects::behind(building.built.take(), rows, self.layout.clone()));
        }
        arrived.is_told = building.now.is_some();
        building.now.is_some()
    }

    /// The objects of all that have come, or why one could not be built.
    pub(crate) fn finish(&self) -> PyResult<Option<Py<PyList>>> {
        let mut building = lock(&self.building);
        building.failure.take().map_or_else(|| Ok(building.built.take()), Err)
    }
}
