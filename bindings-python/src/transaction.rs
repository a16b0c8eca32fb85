//! Transactions as Python sees them.

use pyo3::prelude::*;

use crate::operation::{self, Operation};
use crate::reply::Reply;

/// A transaction or, when made by `begin`, a savepoint inside one.
#[pyclass(frozen, module = "farm_db._native")]
pub(crate) struct Transaction {
    inner: farm_db_core::Transaction,
}

impl Transaction {
    pub(crate) fn new(inner: farm_db_core::Transaction) -> Self {
        Self { inner }
    }

    /// The core's handle, for an operation inside it.
    pub(crate) fn handle(slf: Option<&Bound<'_, Self>>) -> Option<farm_db_core::Transaction> {
        slf.map(|transaction| transaction.get().inner.clone())
    }
}

#[pymethods]
impl Transaction {
    #[getter]
    fn active(&self) -> bool {
        self.inner.is_active()
    }

    fn commit(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let inner = self.inner.clone();
        operation::start(py, async move { inner.commit().await.map(|()| Reply::Nothing) })
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let inner = self.inner.clone();
        operation::start(py, async move { inner.rollback().await.map(|()| Reply::Nothing) })
    }

    fn begin(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let inner = self.inner.clone();
        operation::start(py, async move { inner.begin().await.map(Reply::Transaction) })
    }
}
