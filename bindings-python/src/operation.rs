//! What a native call returns: an awaitable that behaves as an `asyncio.Future` towards the task that awaits it.
//!
//! It is always wrapped by an `async def` of the package, so users see coroutines only. Cancelling it drops the core's
//! task, which is safe at every point: the connection finishes or interrupts its work by itself.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farm_db_core::runtime::Started;
use farm_db_core::turn::{self, EventLoop};
use farm_db_core::{Error, runtime};
use futures_util::FutureExt as _;
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::bridge::{self, Completion, LoopQueue, UnderWay};
use crate::early::Early;
use crate::reply::{Outcome, Reply};

/// How long a result that is there at once may be built before its caller goes on.
const SLICE: Duration = Duration::from_micros(100);

enum State {
    Pending,
    Done(PyResult<Py<PyAny>>),
    Cancelled,
}

struct Inner {
    state: State,
    callbacks: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
    task: Option<runtime::Task<()>>,
    blocking: bool,
}

/// An operation under way.
#[pyclass(frozen, module = "farm_db._native")]
pub(crate) struct Operation {
    inner: Mutex<Inner>,
    event_loop: Py<PyAny>,
}

static CANCELLED_ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn cancelled(py: Python<'_>) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let class = CANCELLED_ERROR.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
            Ok(py.import("asyncio")?.getattr("CancelledError")?.unbind())
        })?;
        Ok(PyErr::from_value(class.bind(py).call0()?))
    };
    make().unwrap_or_else(|error| error)
}

/// An operation, and the loop that waits for it.
pub(crate) struct Target {
    operation: Py<Operation>,
    queue: Arc<LoopQueue>,
}

impl Target {
    /// Whether somebody still waits.
    pub(crate) fn is_pending(&self) -> bool {
        self.operation.get().is_pending()
    }

    /// Has the loop's thread build rows that came early; any thread, no interpreter needed.
    pub(crate) fn push(&self, early: &Arc<Early>) {
        self.queue.push(Completion::Early(Arc::clone(early)));
    }
}

/// Starts `work` on the core's executor; its result arrives on the loop that runs now, or is there at once.
pub(crate) fn start<F>(py: Python<'_>, work: F) -> PyResult<Py<Operation>>
where
    F: Future<Output = farm_db_core::Result<Reply>> + Send + 'static,
{
    start_with(py, |_| work)
}

/// The same for work that hands over parts of its result before it ends.
pub(crate) fn start_with<F>(py: Python<'_>, make: impl FnOnce(Target) -> F) -> PyResult<Py<Operation>>
where
    F: Future<Output = farm_db_core::Result<Reply>> + Send + 'static,
{
    let (event_loop, queue) = bridge::current(py)?;
    let operation = Operation::pending(py, event_loop)?;
    let target = operation.clone_ref(py);
    let work = make(Target { operation: operation.clone_ref(py), queue: Arc::clone(&queue) });
    let under_way = UnderWay::new(&queue);
    // In a box, because it is moved often from here on.
    let work = Box::pin(work);
    let work = async move {
        let outcome = std::panic::AssertUnwindSafe(work).catch_unwind().await;
        Outcome::new(outcome.unwrap_or_else(|_| Err(Error::internal("an operation panicked"))))
    };
    let later = Arc::clone(&queue);
    let deliver = move |outcome| {
        later.push(Completion::Done(target, outcome));
        drop(under_way);
    };
    match turn::within(Arc::clone(&queue) as Arc<dyn EventLoop>, || runtime::start(work, deliver)) {
        Started::UnderWay(task) => operation.get().lock().task = Some(task),
        Started::Done(mut outcome) => {
            let done = if queue.has_time() { outcome.advance(py, Instant::now() + SLICE) } else { None };
            match done {
                Some(result) => operation.get().lock().state = State::Done(result),
                None => queue.push(Completion::Done(operation.clone_ref(py), outcome)),
            }
        }
    }
    Ok(operation)
}

/// An object that `build` makes of a result that is there: at once, as long as such ones leave the loop its turns, else an
/// operation that ends in another turn with what `later` says.
pub(crate) fn finished<T>(
    py: Python<'_>,
    result: T,
    build: impl FnOnce(T) -> PyResult<Py<PyAny>>,
    later: impl FnOnce(T) -> farm_db_core::Result<Reply>,
) -> PyResult<Py<PyAny>> {
    if bridge::has_time() {
        return build(result);
    }
    let (event_loop, queue) = bridge::current(py)?;
    let operation = Operation::pending(py, event_loop)?;
    queue.push(Completion::Done(operation.clone_ref(py), Outcome::new(later(result))));
    Ok(operation.into_any())
}

impl Operation {
    fn pending(py: Python<'_>, event_loop: Py<PyAny>) -> PyResult<Py<Self>> {
        let inner = Inner { state: State::Pending, callbacks: Vec::new(), task: None, blocking: false };
        Py::new(py, Self { inner: Mutex::new(inner), event_loop })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.lock().state, State::Pending)
    }

    /// Sets the result and wakes the task that waits, here and now: the drain is a callback of the loop already.
    pub(crate) fn complete(slf: &Bound<'_, Self>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
        let callbacks = {
            let mut inner = slf.get().lock();
            if !matches!(inner.state, State::Pending) {
                return Ok(());
            }
            inner.state = State::Done(result);
            if let Some(task) = inner.task.take() {
                task.detach();
            }
            std::mem::take(&mut inner.callbacks)
        };
        for (callback, context) in callbacks {
            match context {
                Some(context) => {
                    context.bind(slf.py()).call_method1(pyo3::intern!(slf.py(), "run"), (callback, slf))?
                }
                None => callback.bind(slf.py()).call1((slf,))?,
            };
        }
        Ok(())
    }

    fn schedule(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let keywords = PyDict::new(slf.py());
        if let Some(context) = context {
            keywords.set_item(pyo3::intern!(slf.py(), "context"), context)?;
        }
        let call_soon = slf.get().event_loop.bind(slf.py()).getattr(pyo3::intern!(slf.py(), "call_soon"))?;
        call_soon.call((callback, slf), Some(&keywords)).map(|_| ())
    }
}

#[pymethods]
impl Operation {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        let py = slf.py();
        let mut inner = slf.get().lock();
        match &inner.state {
            State::Pending => {
                inner.blocking = true;
                Ok(slf.clone().unbind())
            }
            State::Done(Ok(value)) => Err(stop_iteration(py, value)),
            State::Done(Err(error)) => Err(error.clone_ref(py)),
            State::Cancelled => Err(cancelled(py)),
        }
    }

    fn send(slf: &Bound<'_, Self>, _value: Py<PyAny>) -> PyResult<Py<Self>> {
        Self::__next__(slf)
    }

    #[pyo3(signature = (kind, value = None, _traceback = None))]
    #[expect(clippy::unused_self, reason = "the generator protocol asks for it")]
    fn throw(
        &self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        _traceback: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        Err(match value {
            Some(value) if value.is_instance_of::<PyBaseException>() => PyErr::from_value(value),
            _ => PyErr::from_value(kind),
        })
    }

    #[expect(clippy::unused_self, reason = "the generator protocol asks for it")]
    fn close(&self) {}

    #[getter(_asyncio_future_blocking)]
    fn blocking(&self) -> bool {
        self.lock().blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.lock().blocking = blocking;
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[pyo3(signature = (callback, *, context = None))]
    fn add_done_callback(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let mut inner = slf.get().lock();
        if matches!(inner.state, State::Pending) {
            inner.callbacks.push((callback, context));
            return Ok(());
        }
        drop(inner);
        Self::schedule(slf, callback, context)
    }

    fn remove_done_callback(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> usize {
        let callbacks = std::mem::take(&mut self.lock().callbacks);
        let before = callbacks.len();
        let kept: Vec<_> =
            callbacks.into_iter().filter(|(known, _)| !known.bind(py).eq(callback).unwrap_or(false)).collect();
        let removed = before - kept.len();
        self.lock().callbacks = kept;
        removed
    }

    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.lock().state {
            State::Done(Ok(value)) => Ok(value.clone_ref(py)),
            State::Done(Err(error)) => Err(error.clone_ref(py)),
            State::Cancelled => Err(cancelled(py)),
            State::Pending => Err(PyRuntimeError::new_err("the operation is under way")),
        }
    }

    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match &self.lock().state {
            State::Done(Ok(_)) => Ok(None),
            State::Done(Err(error)) => Ok(Some(error.value(py).clone().into_any().unbind())),
            State::Cancelled => Err(cancelled(py)),
            State::Pending => Err(PyRuntimeError::new_err("the operation is under way")),
        }
    }

    fn done(&self) -> bool {
        !self.is_pending()
    }

    fn cancelled(&self) -> bool {
        matches!(self.lock().state, State::Cancelled)
    }

    #[pyo3(signature = (msg = None))]
    pub(crate) fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        drop(msg);
        let (task, callbacks) = {
            let mut inner = slf.get().lock();
            if !matches!(inner.state, State::Pending) {
                return Ok(false);
            }
            inner.state = State::Cancelled;
            (inner.task.take(), std::mem::take(&mut inner.callbacks))
        };
        drop(task);
        for (callback, context) in callbacks {
            Self::schedule(slf, callback, context)?;
        }
        Ok(true)
    }
}

/// A tuple or an exception as a value must be wrapped, or the interpreter would take it apart.
fn stop_iteration(py: Python<'_>, value: &Py<PyAny>) -> PyErr {
    let bound = value.bind(py);
    if bound.is_instance_of::<PyTuple>() || bound.is_instance_of::<PyBaseException>() {
        return PyStopIteration::new_err((value.clone_ref(py),));
    }
    PyStopIteration::new_err(value.clone_ref(py))
}
