//! Results on their way to Python: made by threads without the interpreter, turned into objects by the loop's thread.

use std::time::Instant;

use farm_db_core::{Result, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::error;
use crate::objects::Objects;
use crate::output;
use crate::transaction;

/// What an operation produced.
pub(crate) enum Reply {
    Nothing,
    /// One instance, or none.
    Row(Option<Objects>),
    /// A list of instances.
    Rows(Objects),
    /// Instances and the next cursor.
    Page(Objects, Option<String>),
    Count(u64),
    Bool(bool),
    Value(Value),
    Bytes(Vec<u8>),
    Transaction(farm_db_core::Transaction),
}

/// A result, partly built.
pub(crate) struct Outcome {
    reply: Option<Result<Reply>>,
}

impl Outcome {
    pub(crate) fn new(reply: Result<Reply>) -> Self {
        Self { reply: Some(reply) }
    }

    /// Builds on until it is done or `until` has passed; `None` means that there is more to build.
    pub(crate) fn advance(&mut self, py: Python<'_>, until: Instant) -> Option<PyResult<Py<PyAny>>> {
        let mut reply = match self.reply.take()? {
            Ok(reply) => reply,
            Err(failure) => return Some(Err(error::to_python(py, &failure))),
        };
        if let Reply::Row(Some(objects)) | Reply::Rows(objects) | Reply::Page(objects, _) = &mut reply {
            match objects.advance(py, until) {
                Ok(true) => {}
                Ok(false) => {
                    self.reply = Some(Ok(reply));
                    return None;
                }
                Err(failure) => return Some(Err(failure)),
            }
        }
        Some(convert(py, reply))
    }
}

fn convert(py: Python<'_>, reply: Reply) -> PyResult<Py<PyAny>> {
    match reply {
        Reply::Nothing | Reply::Row(None) => Ok(py.None()),
        Reply::Row(Some(objects)) => objects.first(py),
        Reply::Rows(objects) => Ok(objects.into_list(py).into_any()),
        Reply::Page(objects, next) => {
            let next = next.into_pyobject(py).map_or_else(|_| py.None(), Bound::unbind);
            PyTuple::new(py, [objects.into_list(py).into_any(), next]).map(|page| page.into_any().unbind())
        }
        Reply::Count(count) => Ok(count.into_pyobject(py)?.into_any().unbind()),
        Reply::Bool(truth) => Ok(truth.into_pyobject(py)?.to_owned().into_any().unbind()),
        Reply::Value(value) => output::value(py, &value).map(Bound::unbind),
        Reply::Bytes(bytes) => Ok(PyBytes::new(py, &bytes).into_any().unbind()),
        Reply::Transaction(inner) => Ok(Py::new(py, transaction::Transaction::new(inner))?.into_any()),
    }
}
