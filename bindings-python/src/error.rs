//! Errors of the core as exceptions of `farm_db.errors`, and failures of conversion as errors of the core.

use farm_db_core::{Error, Value};
use pyo3::exceptions::{PyException, PyOverflowError, PyUnicodeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::collector;

static FROM_NATIVE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for a failure; if even that fails, the failure of making it.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let from_native = FROM_NATIVE.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
            Ok(py.import("farm_db.errors")?.getattr("from_native")?.unbind())
        })?;
        let context = crate::output::value(py, &Value::Map(error.context().clone()))?;
        Ok(PyErr::from_value(from_native.bind(py).call1((error.code(), error.to_string(), context))?))
    };
    collector::awake(py, make).unwrap_or_else(|failure| failure)
}

/// What went wrong while a Python object was read.
pub(crate) enum Failure {
    /// Something that the core has a name for.
    Core(Error),
    /// An exception of the host's code, passed on as it is.
    Host(PyErr),
}

impl Failure {
    pub(crate) fn under(self, path: &str) -> Self {
        match self {
            Self::Core(error) => Self::Core(error.under(path)),
            host @ Self::Host(_) => host,
        }
    }

    /// An ordinary exception as a bad value; what stops a program (`KeyboardInterrupt`) stays what it is.
    pub(crate) fn into_invalid_value(self, py: Python<'_>) -> Self {
        match self {
            Self::Host(error) if error.is_instance_of::<PyException>(py) => {
                let kind = error.get_type(py).qualname().map_or_else(|_| String::new(), |name| name.to_string());
                let said: String = error.value(py).to_string().chars().take(200).collect();
                Self::Core(Error::invalid_value(format!("a value cannot be written: {kind}: {said}")))
            }
            other => other,
        }
    }

    pub(crate) fn to_python(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Core(error) => to_python(py, error),
            Self::Host(error) => error.clone_ref(py),
        }
    }

    /// Text that is no Unicode and numbers that do not fit are bad values, not defects.
    pub(crate) fn of(py: Python<'_>, error: PyErr) -> Self {
        if error.is_instance_of::<PyUnicodeError>(py) {
            return Self::Core(Error::invalid_value("text may not contain lone surrogates"));
        }
        if error.is_instance_of::<PyOverflowError>(py) {
            return Self::Core(Error::invalid_value("an integer does not fit 64 bits"));
        }
        Self::Host(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Host(error)
    }
}
