//! Python's garbage collector, kept from running while nothing can become garbage.

use farm_db_core::Value;
use pyo3::ffi;
use pyo3::prelude::*;

/// Off while this lives, if it was on. Only where no Python code runs meanwhile: it could look, or switch it by itself.
pub(crate) struct Paused<'py> {
    _attached: Python<'py>,
    was_on: bool,
}

impl<'py> Paused<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        // SAFETY: the interpreter is attached.
        Self { _attached: py, was_on: unsafe { ffi::PyGC_Disable() } != 0 }
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if self.was_on {
            // SAFETY: the interpreter is attached as long as `_attached` lives.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}

/// Whether making an object of a value runs no Python code; the classes of these three are written in Python, or may be.
pub(crate) fn is_quiet(value: &Value) -> bool {
    match value {
        Value::Decimal(_) | Value::Uuid(_) | Value::ObjectId(_) => false,
        Value::List(list) => list.iter().all(is_quiet),
        Value::Map(map) => map.values().all(is_quiet),
        _ => true,
    }
}
