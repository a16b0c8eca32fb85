//! New rows whose instances were made for this call: they are the answer themselves, where they hold what is stored.
//!
//! Invariant: what is returned is what would have been built from the stored rows. An attribute is left as it is only if
//! its object is of the very types that reading makes, and its value is identical to the stored one.

use std::time::Instant;

use farm_db_core::backend::Cell;
use farm_db_core::query::identical;
use farm_db_core::schema::Record;
use farm_db_core::{Result, RowSet};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::clock;
use crate::shape::Layout;

/// Rows renewed before the clock is looked at again.
const SLICE: usize = 64;

/// Instances, and which of their attributes, row by row, hold what the database has.
pub(crate) struct Adopted {
    instances: Py<PyList>,
    kept: Vec<bool>,
    rows: RowSet,
    layout: Layout,
    next: usize,
}

impl Adopted {
    /// Compares what was given with what is stored; `plain` tells of which types the given objects were.
    pub(crate) fn new(
        instances: Py<PyList>,
        (given, plain): (&[Record], Vec<bool>),
        rows: RowSet,
        layout: Layout,
    ) -> Result<Self> {
        let mut kept = plain;
        for (row, record) in given.iter().enumerate() {
            for (column, value) in record.iter().enumerate() {
                let place = row * record.len() + column;
                kept[place] = kept[place]
                    && match (value, rows.rows().cell(row, column)?) {
                        (Some(value), Cell::Value(stored)) => identical(value, stored),
                        _ => false,
                    };
            }
        }
        Ok(Self { instances, kept, rows, layout, next: 0 })
    }

    /// Renews on until all is done (true) or `until` has passed.
    pub(crate) fn advance(&mut self, py: Python<'_>, until: Instant) -> PyResult<bool> {
        let instances = self.instances.bind(py);
        let columns = self.rows.columns().len();
        while self.next < self.rows.len() {
            let end = self.rows.len().min(self.next + SLICE);
            for row in self.next..end {
                let kept = &self.kept[row * columns..][..columns];
                self.layout.renew(&instances.get_item(row)?, &self.rows, row, kept)?;
            }
            self.next = end;
            if end < self.rows.len() && Instant::now() > until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The instances; everything is done.
    pub(crate) fn into_list(self) -> Py<PyAny> {
        self.instances.into_any()
    }
}

/// Whether an object is of the types that reading makes, so that one with an identical value is equal in every way. A
/// list or map counts where the model's type has it (`declared`) and it has no other inside: validation makes those anew,
/// and those inside of a free value are still the caller's.
pub(crate) fn is_plain(object: &Bound<'_, PyAny>, declared: bool) -> PyResult<bool> {
    if is_plain_scalar(object)? {
        return Ok(true);
    }
    if !declared {
        return Ok(false);
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return all(list.iter(), |item| is_plain_scalar(&item));
    }
    let Ok(map) = object.cast_exact::<PyDict>() else { return Ok(false) };
    all(map.iter(), |(key, item)| Ok(key.is_exact_instance_of::<PyString>() && is_plain_scalar(&item)?))
}

fn all<T>(mut items: impl Iterator<Item = T>, test: impl Fn(T) -> PyResult<bool>) -> PyResult<bool> {
    items.try_fold(true, |all, item| Ok(all && test(item)?))
}

fn is_plain_scalar(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let is_scalar = object.is_none()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_exact_instance_of::<PyBytes>();
    Ok(is_scalar || clock::is_utc(object)?)
}
