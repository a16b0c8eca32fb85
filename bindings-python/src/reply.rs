//! Results on their way to Python: made by threads without the interpreter, turned into objects by the loop's thread.

use std::time::Instant;

use farm_db_core::{Result, RowSet, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::error;
use crate::output;
use crate::shape::Layout;
use crate::transaction;

/// Rows built before the clock is looked at again.
const SLICE: usize = 64;

/// What an operation produced.
pub(crate) enum Reply {
    Nothing,
    /// One instance, or none.
    Row(Option<(RowSet, Layout)>),
    /// A list of instances.
    Rows(RowSet, Layout),
    /// Instances and the next cursor.
    Page(RowSet, Layout, Option<String>),
    Count(u64),
    Bool(bool),
    Value(Value),
    Bytes(Vec<u8>),
    Transaction(farm_db_core::Transaction),
}

/// A result, partly built.
pub(crate) struct Outcome {
    reply: Option<Result<Reply>>,
    built: Option<Py<PyList>>,
    next: usize,
}

impl Outcome {
    pub(crate) fn new(reply: Result<Reply>) -> Self {
        Self { reply: Some(reply), built: None, next: 0 }
    }

    /// Builds on until it is done or `until` has passed; `None` means that there is more to build.
    pub(crate) fn advance(&mut self, py: Python<'_>, until: Instant) -> Option<PyResult<Py<PyAny>>> {
        let reply = match self.reply.take()? {
            Ok(reply) => reply,
            Err(failure) => return Some(Err(error::to_python(py, &failure))),
        };
        match reply {
            Reply::Rows(rows, layout) => match self.build(py, &rows, &layout, until) {
                Ok(true) => Some(Ok(self.take_list(py))),
                Ok(false) => {
                    self.reply = Some(Ok(Reply::Rows(rows, layout)));
                    None
                }
                Err(failure) => Some(Err(failure)),
            },
            Reply::Page(rows, layout, next) => match self.build(py, &rows, &layout, until) {
                Ok(true) => Some(
                    PyTuple::new(
                        py,
                        [self.take_list(py), next.into_pyobject(py).map_or_else(|_| py.None(), Bound::unbind)],
                    )
                    .map(|page| page.into_any().unbind()),
                ),
                Ok(false) => {
                    self.reply = Some(Ok(Reply::Page(rows, layout, next)));
                    None
                }
                Err(failure) => Some(Err(failure)),
            },
            single => Some(convert(py, single)),
        }
    }

    fn take_list(&mut self, py: Python<'_>) -> Py<PyAny> {
        self.built.take().map_or_else(|| PyList::empty(py).into_any().unbind(), Py::into_any)
    }

    fn build(&mut self, py: Python<'_>, rows: &RowSet, layout: &Layout, until: Instant) -> PyResult<bool> {
        let list = self.built.get_or_insert_with(|| PyList::empty(py).unbind()).bind(py).clone();
        while self.next < rows.len() {
            let end = rows.len().min(self.next + SLICE);
            for row in self.next..end {
                list.append(layout.row(py, rows, row)?)?;
            }
            self.next = end;
            if end < rows.len() && Instant::now() > until {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn convert(py: Python<'_>, reply: Reply) -> PyResult<Py<PyAny>> {
    match reply {
        // Lists are built in slices, by `advance`.
        Reply::Nothing | Reply::Row(None) | Reply::Rows(..) | Reply::Page(..) => Ok(py.None()),
        Reply::Row(Some((rows, layout))) => layout.row(py, &rows, 0).map(Bound::unbind),
        Reply::Count(count) => Ok(count.into_pyobject(py)?.into_any().unbind()),
        Reply::Bool(truth) => Ok(truth.into_pyobject(py)?.to_owned().into_any().unbind()),
        Reply::Value(value) => output::value(py, &value).map(Bound::unbind),
        Reply::Bytes(bytes) => Ok(PyBytes::new(py, &bytes).into_any().unbind()),
        Reply::Transaction(inner) => Ok(Py::new(py, transaction::Transaction::new(inner))?.into_any()),
    }
}
