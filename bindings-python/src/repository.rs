//! The verbs of an entity as Python sees them.

use std::sync::{Arc, Mutex, PoisonError};

use farm_db_core::repository::{JsonShape, Key};
use farm_db_core::{Map, Reply as CoreReply, Result, RowSet, RowStream, Value, Verb};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::creation::Creation;
use crate::early::Early;
use crate::error::{self, Failure};
use crate::input;
use crate::objects::{Objects, Shapes};
use crate::operation::{self, Operation};
use crate::reply::Reply;
use crate::shape::{Inner, Layout};
use crate::transaction::Transaction;

/// The verbs of one entity.
#[pyclass(frozen, module = "farm_db._native")]
pub(crate) struct Repository {
    inner: farm_db_core::Repository,
    layout: Layout,
    json: Arc<JsonShape>,
    shapes: Arc<Shapes>,
    /// A key of a caller's own type as one of the core's.
    stored_key: Py<PyAny>,
}

/// The core's reply as one that Python objects are built from.
pub(crate) fn shaped(reply: CoreReply, layout: Layout, shapes: &Shapes) -> Result<Reply> {
    Ok(match reply {
        CoreReply::Nothing => Reply::Nothing,
        CoreReply::Row(row) => Reply::Row(row.map(|row| Objects::new(row, layout, shapes)).transpose()?),
        CoreReply::Rows(rows) => Reply::Rows(Objects::new(rows, layout, shapes)?),
        CoreReply::Page { rows, next } => Reply::Page(Objects::new(rows, layout, shapes)?, next),
        CoreReply::Count(count) => Reply::Count(count),
        CoreReply::Bool(truth) => Reply::Bool(truth),
        CoreReply::Values(values) => Reply::Value(Value::List(values)),
        CoreReply::Map(map) => Reply::Value(Value::Map(map)),
    })
}

impl Repository {
    pub(crate) fn new(
        inner: farm_db_core::Repository,
        shape: &Arc<Inner>,
        shapes: &Arc<Shapes>,
        stored_key: Py<PyAny>,
    ) -> Self {
        shapes.add(&inner.entity().name, shape);
        let layout = Layout::new(shape, inner.entity());
        Self { layout, json: Arc::new(shape.to_json()), shapes: Arc::clone(shapes), inner, stored_key }
    }

    /// The arguments of a verb; instances of the model are taken by its shape.
    fn arguments(&self, arguments: &Bound<'_, PyDict>) -> Result<Map, Failure> {
        let mut map = Map::with_capacity(arguments.len());
        for (name, value) in arguments.iter() {
            let name: String = name.extract()?;
            let value = match name.as_str() {
                "record" => self.record_map(&value)?,
                "records" => {
                    let records = value.try_iter()?.map(|item| self.record_map(&item?));
                    Value::List(records.collect::<Result<Vec<_>, Failure>>()?)
                }
                _ => input::value(&value)?,
            };
            map.insert(name, value);
        }
        Ok(map)
    }

    fn record_map(&self, object: &Bound<'_, PyAny>) -> Result<Value, Failure> {
        if self.layout.is_instance(object)? { self.layout.map(object) } else { input::value(object) }
    }

    /// The key that an id stands for. Most are of a plain type, which is seen sooner here than in Python.
    fn key(&self, id: &Bound<'_, PyAny>) -> Result<Key, Failure> {
        let id = if input::is_plain(id).map_err(Failure::Host)? {
            input::value(id)
        } else {
            input::value(&self.stored_key.bind(id.py()).call1((id,)).map_err(Failure::Host)?)
        };
        Ok(self.inner.key(id?)?)
    }

    /// The rows of a query, built while others are still on their way.
    fn find(
        &self,
        py: Python<'_>,
        query: Map,
        layout: Layout,
        tx: Option<&Bound<'_, Transaction>>,
    ) -> PyResult<Py<Operation>> {
        let (inner, shapes, tx) = (self.inner.clone(), Arc::clone(&self.shapes), Transaction::handle(tx));
        operation::start_with(py, |target| {
            let early = Early::new(&layout, target);
            let taker = early.taker();
            async move {
                let rows = inner.find_early(query, taker, tx.as_ref()).await?;
                Ok(Reply::Rows(Objects::new(rows, layout, &shapes)?.after(early)))
            }
        })
    }

    fn query(py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<Map> {
        input::dict(query).map_err(|failure| failure.to_python(py))
    }
}

#[pymethods]
impl Repository {
    /// The row itself where it can be read at once, else an operation.
    #[pyo3(signature = (id, tx))]
    fn get(&self, py: Python<'_>, id: &Bound<'_, PyAny>, tx: Option<&Bound<'_, Transaction>>) -> PyResult<Py<PyAny>> {
        let key = self.key(id).map_err(|failure| failure.to_python(py))?;
        if tx.is_none()
            && let Some(rows) = self.inner.get_at_once(&key).transpose()
        {
            let build = |rows: Result<RowSet>| match rows {
                Ok(rows) => self.layout.row(py, &rows, 0).map(Bound::unbind),
                Err(failure) => Err(error::to_python(py, &failure)),
            };
            let later = |rows| shaped(CoreReply::Row(Some(rows?)), self.layout.clone(), &self.shapes);
            return operation::finished(py, rows, build, later);
        }
        let (inner, layout, tx) = (self.inner.clone(), self.layout.clone(), Transaction::handle(tx));
        let shapes = Arc::clone(&self.shapes);
        let operation = operation::start(py, async move {
            let rows = inner.get(key, tx.as_ref()).await?;
            shaped(CoreReply::Row(Some(rows)), layout, &shapes)
        })?;
        Ok(operation.into_any())
    }

    #[pyo3(signature = (records, tx))]
    fn create_many(&self, records: &Bound<'_, PyAny>, tx: Option<&Bound<'_, Transaction>>) -> PyResult<Creation> {
        Creation::new(records, &self.inner, &self.layout, &self.shapes, Transaction::handle(tx))
    }

    #[pyo3(signature = (verb, arguments, tx))]
    fn call(
        &self,
        py: Python<'_>,
        verb: &str,
        arguments: &Bound<'_, PyDict>,
        tx: Option<&Bound<'_, Transaction>>,
    ) -> PyResult<Py<Operation>> {
        let verb = Verb::parse(verb).map_err(|failure| error::to_python(py, &failure))?;
        let arguments = self.arguments(arguments).map_err(|failure| failure.to_python(py))?;
        if verb == Verb::Find {
            return self.find(py, arguments, self.layout.clone(), tx);
        }
        let (inner, layout, tx) = (self.inner.clone(), self.layout.clone(), Transaction::handle(tx));
        let shapes = Arc::clone(&self.shapes);
        operation::start(py, async move { shaped(inner.call(verb, arguments, tx.as_ref()).await?, layout, &shapes) })
    }

    #[pyo3(signature = (query, tx))]
    fn json(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        tx: Option<&Bound<'_, Transaction>>,
    ) -> PyResult<Py<Operation>> {
        let query = Self::query(py, query)?;
        let (inner, json, tx) = (self.inner.clone(), Arc::clone(&self.json), Transaction::handle(tx));
        let shapes = Arc::clone(&self.shapes);
        operation::start(py, async move {
            let mut bytes = Vec::new();
            match inner.call(Verb::Find, query, tx.as_ref()).await? {
                CoreReply::Rows(rows) => rows.write_json(&*shapes.json(&json, &rows)?, &mut bytes)?,
                _ => return Err(farm_db_core::Error::internal("find answered no rows")),
            }
            Ok(Reply::Bytes(bytes))
        })
    }

    #[pyo3(signature = (query, tx))]
    fn dicts(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        tx: Option<&Bound<'_, Transaction>>,
    ) -> PyResult<Py<Operation>> {
        self.find(py, Self::query(py, query)?, self.layout.as_dict(), tx)
    }

    #[pyo3(signature = (query, batch, tx))]
    fn stream(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        batch: usize,
        tx: Option<&Bound<'_, Transaction>>,
    ) -> PyResult<Stream> {
        let query = Self::query(py, query)?;
        let start = Start { inner: self.inner.clone(), query, batch, tx: Transaction::handle(tx) };
        let state = Arc::new(Mutex::new(State::New(Box::new(start))));
        Ok(Stream { state, layout: self.layout.clone(), shapes: Arc::clone(&self.shapes) })
    }
}

struct Start {
    inner: farm_db_core::Repository,
    query: Map,
    batch: usize,
    tx: Option<farm_db_core::Transaction>,
}

enum State {
    New(Box<Start>),
    Open(Box<RowStream>),
    /// A batch is being fetched, or was the last.
    Fetching,
    /// Closed, which stays so whatever a batch under way brings.
    Closed,
}

/// Rows in batches; holds one connection until it ends or is closed.
#[pyclass(frozen, module = "farm_db._native")]
pub(crate) struct Stream {
    state: Arc<Mutex<State>>,
    layout: Layout,
    shapes: Arc<Shapes>,
}

#[pymethods]
impl Stream {
    fn next(&self, py: Python<'_>) -> PyResult<Py<Operation>> {
        let slot = Arc::clone(&self.state);
        let (layout, shapes) = (self.layout.clone(), Arc::clone(&self.shapes));
        let taken = {
            let mut state = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let next = if matches!(*state, State::Closed) { State::Closed } else { State::Fetching };
            std::mem::replace(&mut *state, next)
        };
        operation::start(py, async move {
            let mut stream = match taken {
                State::Fetching | State::Closed => return Ok(Reply::Nothing),
                State::New(start) => Box::new(start.inner.stream(start.query, start.batch, start.tx.as_ref()).await?),
                State::Open(stream) => stream,
            };
            let Some(rows) = stream.next().await? else { return Ok(Reply::Nothing) };
            let mut state = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, State::Fetching) {
                *state = State::Open(stream);
            }
            drop(state);
            shaped(CoreReply::Rows(rows), layout, &shapes)
        })
    }

    /// Gives the connection back.
    fn close(&self) {
        let before = std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Closed);
        drop(before);
    }
}
