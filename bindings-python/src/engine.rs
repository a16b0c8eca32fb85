//! One database as Python sees it.

use std::sync::Arc;

use farm_db_core::{Contract, ContractMode, Database, Error, TransactionOptions, Value, document};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error;
use crate::input;
use crate::objects::Shapes;
use crate::operation::{self, Operation};
use crate::output;
use crate::reply::Reply;
use crate::repository::Repository;
use crate::shape::Shape;
use crate::transaction::Transaction;

/// One database: its configuration, contract, pool and state.
#[pyclass(frozen, module = "farm_db._native")]
pub(crate) struct Engine {
    database: Database,
    shapes: Arc<Shapes>,
}

/// The text of a URL; lone surrogates are a mistake in the configuration.
pub(crate) fn url_text(url: &Bound<'_, PyString>) -> PyResult<String> {
    let wrong =
        |_| error::to_python(url.py(), &Error::invalid_configuration("the url holds characters that are no text"));
    url.to_cow().map(std::borrow::Cow::into_owned).map_err(wrong)
}

fn lines(lines: Vec<String>) -> Value {
    Value::List(lines.into_iter().map(Value::Text).collect())
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, url: &Bound<'_, PyString>, options: &Bound<'_, PyDict>, contract: &str) -> PyResult<Self> {
        let url = &url_text(url)?;
        let options = input::dict(options).map_err(|failure| failure.to_python(py))?;
        let database = Contract::parse(contract).and_then(|contract| Database::new(url, &options, contract));
        let database = database.map_err(|failure| error::to_python(py, &failure))?;
        Ok(Self { database, shapes: Arc::default() })
    }

    #[getter]
    fn contract_json(&self) -> String {
        self.database.contract().to_json()
    }

    #[getter]
    fn contract_hash(&self) -> String {
        self.database.contract().hash()
    }

    #[getter]
    fn backend(&self) -> &'static str {
        self.database.backend_name()
    }

    #[getter]
    fn url(&self) -> String {
        self.database.redacted_url()
    }

    #[getter]
    fn capabilities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        output::value(py, &Value::Map(self.database.capabilities()))
    }

    #[getter]
    fn connected(&self) -> bool {
        self.database.is_connected()
    }

    fn register(&self, py: Python<'_>, contract: &str) -> PyResult<()> {
        let contract = Contract::parse(contract).map_err(|failure| error::to_python(py, &failure))?;
        self.database.register(&contract);
        Ok(())
    }

    fn connect(&self, py: Python<'_>, contract: &str, create_missing: bool, wait: f64) -> PyResult<Py<Operation>> {
        let wait = Database::waiting_span(wait).map_err(|failure| error::to_python(py, &failure))?;
        let mode = ContractMode::parse(contract).map_err(|failure| error::to_python(py, &failure))?;
        let database = self.database.clone();
        operation::start(py, async move {
            database.wait_until_ready(wait).await?;
            let report = database.connect(mode, create_missing).await?;
            let differences = report.differences.iter().map(ToString::to_string).collect();
            let facts = document! { "differences" => lines(differences), "created" => lines(report.created) };
            Ok(Reply::Value(facts.into()))
        })
    }

    fn close(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let database = self.database.clone();
        operation::start(py, async move { database.close().await.map(|()| Reply::Nothing) })
    }

    fn ensure_schema(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let database = self.database.clone();
        operation::start(py, async move { database.ensure_schema().await.map(|created| Reply::Value(lines(created))) })
    }

    fn health(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let database = self.database.clone();
        operation::start(py, async move { Ok(Reply::Value(database.health().await.into())) })
    }

    fn liveness(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let database = self.database.clone();
        operation::start(py, async move { Ok(Reply::Value(database.liveness().into())) })
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let database = self.database.clone();
        operation::start(py, async move { database.stats().await.map(|stats| Reply::Value(stats.into())) })
    }

    fn introspect(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let database = self.database.clone();
        operation::start(
            py,
            async move { database.introspect().await.map(|found| Reply::Value(found.to_map().into())) },
        )
    }

    fn pool_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        output::value(py, &Value::Map(self.database.pool_stats()))
    }

    #[pyo3(signature = (statement, parameters, tx))]
    fn execute(
        &self,
        py: Python<'_>,
        statement: &Bound<'_, PyAny>,
        parameters: &Bound<'_, PyAny>,
        tx: Option<&Bound<'_, Transaction>>,
    ) -> PyResult<Py<Operation>> {
        let read = |object| input::value(object).map_err(|failure| failure.to_python(py));
        let (statement, parameters) = (read(statement)?, read(parameters)?);
        let (database, tx) = (self.database.clone(), Transaction::handle(tx));
        operation::start(
            py,
            async move { database.execute(&statement, &parameters, tx.as_ref()).await.map(Reply::Value) },
        )
    }

    #[pyo3(signature = (isolation, read_only))]
    fn begin(&self, py: Python<'_>, isolation: Option<String>, read_only: bool) -> PyResult<Py<Operation>> {
        let database = self.database.clone();
        let options = TransactionOptions { isolation, read_only, ..TransactionOptions::default() };
        operation::start(py, async move { database.begin(options).await.map(Reply::Transaction) })
    }

    fn repository(
        &self,
        py: Python<'_>,
        entity: &str,
        shape: &Bound<'_, Shape>,
        stored_key: Py<PyAny>,
    ) -> PyResult<Repository> {
        let repository = self.database.repository(entity).map_err(|failure| error::to_python(py, &failure))?;
        Ok(Repository::new(repository, &shape.get().0, &self.shapes, stored_key))
    }
}
