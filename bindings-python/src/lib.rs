//! `farm_db._native`: the core as the Python package sees it. `python/farm_db/_native.pyi` says what is here.
//!
//! Threads of the core never touch the interpreter: results wait in a queue a loop, and Python objects are built on the
//! thread of the loop (`bridge`). Host values become core values at one place (`input`), core values host objects at one
//! place (`output`).

mod bridge;
mod clock;
mod collector;
mod creation;
mod early;
mod engine;
mod error;
mod input;
mod instance;
mod intake;
mod json;
mod keys;
mod nested;
mod objects;
mod operation;
mod output;
mod reply;
mod repository;
mod settle;
mod shape;
mod transaction;

use pyo3::prelude::*;

/// The Rust core of farm-db. Private: use `farm_db`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::bridge::LoopBridge;
    #[pymodule_export]
    use super::creation::Creation;
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::operation::Operation;
    #[pymodule_export]
    use super::repository::{Repository, Stream};
    #[pymodule_export]
    use super::shape::Shape;
    #[pymodule_export]
    use super::transaction::Transaction;

    use farm_db_core::config::{Config, DatabaseUrl, Location};
    use std::time::Duration;

    use farm_db_core::{Contract, Error, Map, Value, document, error, fork, left};
    use pyo3::prelude::*;
    use pyo3::types::{PyDict, PyString};

    #[pymodule_export]
    const __VERSION__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", __VERSION__)?;
        let hooks = PyDict::new(module.py());
        hooks.set_item("before", wrap_pyfunction!(_before_fork, module)?)?;
        hooks.set_item("after_in_parent", wrap_pyfunction!(_after_fork_in_parent, module)?)?;
        hooks.set_item("after_in_child", wrap_pyfunction!(_after_fork_in_child, module)?)?;
        module.py().import("os")?.call_method("register_at_fork", (), Some(&hooks))?;
        let at_exit = wrap_pyfunction!(_at_exit, module)?;
        module.py().import("atexit")?.call_method1("register", (at_exit,)).map(|_| ())
    }

    /// Ends on the servers what a program that did not close its databases has left under way.
    #[pyfunction]
    fn _at_exit(py: Python<'_>) {
        py.detach(|| left::end_all(Duration::from_millis(500)));
    }

    /// Waits until no call is under way that holds a lock of the process.
    #[pyfunction]
    fn _before_fork(py: Python<'_>) {
        py.detach(fork::before);
    }

    #[pyfunction]
    fn _after_fork_in_parent() {
        fork::after_in_parent();
    }

    #[pyfunction]
    fn _after_fork_in_child() {
        fork::after_in_child();
    }

    /// Every kind of error: name, code, retryable, HTTP status, meaning.
    #[pyfunction]
    fn error_table() -> Vec<(&'static str, &'static str, bool, u16, &'static str)> {
        error::TABLE.iter().map(|e| (e.name, e.code, e.retryable, e.http_status, e.meaning)).collect()
    }

    /// The canonical JSON of a contract and its sha-256.
    #[pyfunction]
    fn normalise_contract(py: Python<'_>, contract: &str) -> PyResult<(String, String)> {
        let contract = Contract::parse(contract).map_err(|failure| super::error::to_python(py, &failure))?;
        Ok((contract.to_json(), contract.hash()))
    }

    /// The parts of a URL that may be shown; an empty one stands for what the environment names.
    #[pyfunction]
    fn parse_url(py: Python<'_>, url: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        let url = super::engine::url_text(url)?;
        let read = || match url.as_str() {
            "" => Config::from_environment(|name| std::env::var(name).ok(), &Map::new())?
                .map(|config| config.url)
                .ok_or_else(|| Error::invalid_configuration("no environment variable names a database")),
            url => DatabaseUrl::parse(url),
        };
        let url = read().map_err(|failure| super::error::to_python(py, &failure))?;
        let database = match url.location() {
            Location::Memory => None,
            Location::File(path) => Some(path.clone()),
            Location::Server(server) => server.database.clone(),
        };
        let facts = document! { "backend" => url.backend().name(), "url" => url.redacted(), "database" => database };
        super::output::value(py, &Value::Map(facts)).map(Bound::unbind)
    }
}
