//! From threads of the core to an asyncio event loop: one queue, one flag and one eventfd a loop.
//!
//! A finished operation is pushed, and the loop is woken only when the flag was down. The drain runs on the loop's thread,
//! builds Python objects within a budget a turn and wakes the loop again for what is left. While operations are under way
//! it looks for the next one for some microseconds before it returns: a turn of the loop costs more than that. The queue
//! holds at most the operations under way. A cancelled operation and a closed loop are simply dropped.
//!
//! An operation that is done as soon as it is started never touches the queue, as long as such ones leave the loop its
//! turns (see [`Clock`]) and the others that wait their share.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use crossbeam_queue::SegQueue;
use farm_db_core::turn::{BUDGET, Clock, EventLoop};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::early::Early;
use crate::operation::Operation;
use crate::reply::Outcome;

/// How long the drain looks for another completion: about what a turn of the loop and two system calls cost.
const PATIENCE: Duration = Duration::from_micros(20);
/// How many results in a row the task that runs may be given at once while others wait for theirs: few enough that it keeps
/// nobody waiting for long, and so many that going from task to task costs little.
const MOST_IN_A_ROW: u32 = 16;
/// About how long these take. A task that is woken later in a turn would be cut short by the turn's end.
const SHARE: Duration = Duration::from_micros(60);

/// What waits for the loop's thread.
pub(crate) enum Completion {
    /// The result of a finished operation.
    Done(Py<Operation>, Outcome),
    /// Rows of one that goes on.
    Early(Arc<Early>),
}

/// What threads share with a loop.
pub(crate) struct LoopQueue {
    queue: SegQueue<Completion>,
    /// Up from the first push until the end of the drain, so that one wake-up serves all of it.
    signalled: AtomicBool,
    under_way: AtomicUsize,
    event: OwnedFd,
    /// What waits for the end of the turn that runs now.
    after_turn: SegQueue<Waker>,
    clock: Clock,
    /// Results that the task that runs now was given at once.
    in_a_row: AtomicU32,
}

impl EventLoop for LoopQueue {
    fn wake_after_turn(&self, waker: Waker) {
        self.after_turn.push(waker);
        self.signal();
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// Counts an operation that a loop waits for; gone when it has been pushed or dropped.
pub(crate) struct UnderWay(Arc<LoopQueue>);

impl UnderWay {
    pub(crate) fn new(queue: &Arc<LoopQueue>) -> Self {
        queue.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(queue))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LoopQueue {
    fn new() -> PyResult<Self> {
        // SAFETY: eventfd takes no pointers; a negative result is checked before it is used.
        let event = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if event < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        // SAFETY: the descriptor is new and ours alone.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        Ok(Self {
            queue: SegQueue::new(),
            signalled: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            event,
            after_turn: SegQueue::new(),
            clock: Clock::default(),
            in_a_row: AtomicU32::new(0),
        })
    }

    /// Wakes what waited for the end of the turn; `false` where nothing did.
    fn end_turn(&self) -> bool {
        let mut found = false;
        // Not those that come meanwhile: they wait for the end of this one.
        for _ in 0..self.after_turn.len() {
            let Some(waker) = self.after_turn.pop() else { break };
            found = true;
            waker.wake();
        }
        found
    }

    /// Whether a result may be given at once: it would be one too many in a row only where others wait. Called on the loop's
    /// thread.
    pub(crate) fn has_time(&self) -> bool {
        let given = self.in_a_row.load(Ordering::Relaxed);
        self.in_a_row.store(given.saturating_add(1), Ordering::Relaxed);
        (given < MOST_IN_A_ROW || self.queue.is_empty()) && self.clock.has_time()
    }

    /// Hands a completion over; any thread, no interpreter needed.
    pub(crate) fn push(&self, completion: Completion) {
        self.queue.push(completion);
        self.signal();
    }

    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            let one = 1_u64;
            // SAFETY: writes eight bytes of a local variable to a descriptor that we own.
            unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }

    /// Takes the wake-up; pushes find the flag up and do not wake the loop again.
    fn begin_drain(&self) {
        let mut count = 0_u64;
        // SAFETY: reads eight bytes into a local variable from a descriptor that we own.
        unsafe { libc::read(self.event.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// Lowers the flag, and wakes the loop for what was pushed or left meanwhile.
    fn end_drain(&self) {
        self.signalled.store(false, Ordering::SeqCst);
        if !self.queue.is_empty() || !self.after_turn.is_empty() {
            self.signal();
        }
    }

    /// The next completion: one that is there, or one that comes within a moment.
    fn next(&self, patient: bool, until: Instant) -> Option<Completion> {
        let found = self.queue.pop();
        if found.is_some() {
            return found;
        }
        // What those before it have asked for goes out before anything is waited for.
        let asked = self.end_turn();
        if !(patient || asked) || self.under_way.load(Ordering::Relaxed) == 0 {
            return self.queue.pop();
        }
        let until = until.min(Instant::now() + PATIENCE);
        while Instant::now() < until {
            if let Some(completion) = self.queue.pop() {
                return Some(completion);
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// The reader callback of one loop.
#[pyclass(frozen, module = "farm_db._native")]
pub(crate) struct LoopBridge {
    queue: Arc<LoopQueue>,
}

#[pymethods]
impl LoopBridge {
    /// Called by the loop when operations have finished.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.queue.begin_drain();
        self.queue.clock.begin();
        let until = Instant::now() + BUDGET;
        let outcome = self.work(py, until);
        // However much is left to build, what was asked for goes out.
        self.queue.end_turn();
        self.queue.end_drain();
        outcome
    }
}

/// The loop is closed: what it still had to wake ends, so that nobody of another loop waits for it.
impl Drop for LoopBridge {
    fn drop(&mut self) {
        self.queue.end_turn();
    }
}

impl LoopBridge {
    fn work(&self, py: Python<'_>, until: Instant) -> PyResult<()> {
        let mut patient = false;
        while let Some(completion) = self.queue.next(patient, until) {
            self.queue.in_a_row.store(0, Ordering::Relaxed);
            // To the back, so that one large result does not hold up the small ones.
            if let Some(more) = advance(py, completion, until)? {
                self.queue.queue.push(more);
            }
            if Instant::now() + SHARE > until {
                break;
            }
            // Waiting on one processor would only keep the other thread from working.
            patient = several_processors();
        }
        Ok(())
    }
}

/// Builds until `until`; what is left then. Where the caller has gone, nothing is built for nobody.
fn advance(py: Python<'_>, completion: Completion, until: Instant) -> PyResult<Option<Completion>> {
    match completion {
        Completion::Done(operation, mut outcome) if operation.get().is_pending() => match outcome.advance(py, until) {
            Some(result) => Operation::complete(operation.bind(py), result)?,
            None => return Ok(Some(Completion::Done(operation, outcome))),
        },
        Completion::Early(early) if early.is_wanted() && !early.advance(py, until) => {
            return Ok(Some(Completion::Early(early)));
        }
        Completion::Done(..) | Completion::Early(_) => {}
    }
    Ok(None)
}

fn several_processors() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1))
}

/// A loop that this thread has run, and its queue.
struct Known {
    event_loop: Py<PyAny>,
    queue: Arc<LoopQueue>,
}

thread_local! {
    static LOOPS: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// [`LoopQueue::has_time`] of the loop that this thread has run last. Its turn is the one that runs now, or was over long ago.
pub(crate) fn has_time() -> bool {
    LOOPS.with_borrow(|loops| loops.last().is_some_and(|known| known.queue.has_time()))
}

static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The loop that runs on this thread, and its queue; `RuntimeError` where none runs.
pub(crate) fn current(py: Python<'_>) -> PyResult<(Py<PyAny>, Arc<LoopQueue>)> {
    let get = GET_RUNNING_LOOP.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
        Ok(py.import("asyncio")?.getattr("get_running_loop")?.unbind())
    })?;
    let event_loop = get.bind(py).call0()?;
    let known = LOOPS.with_borrow(|loops| {
        let known = loops.iter().rev().find(|known| known.event_loop.is(&event_loop));
        known.map(|known| Arc::clone(&known.queue))
    });
    let queue = match known {
        Some(queue) => queue,
        None => attach(&event_loop)?,
    };
    Ok((event_loop.unbind(), queue))
}

/// Makes the queue of a new loop, and forgets loops of this thread that are closed.
fn attach(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<LoopQueue>> {
    let py = event_loop.py();
    let queue = Arc::new(LoopQueue::new()?);
    let bridge = Bound::new(py, LoopBridge { queue: Arc::clone(&queue) })?;
    event_loop.call_method1("add_reader", (queue.event.as_raw_fd(), bridge.getattr("drain")?))?;
    let is_open = |known: &Known| {
        let closed = known.event_loop.bind(py).call_method0("is_closed").and_then(|closed| closed.is_truthy());
        !closed.unwrap_or(true)
    };
    let (open, closed): (Vec<_>, Vec<_>) = LOOPS.take().into_iter().partition(is_open);
    LOOPS.with_borrow_mut(|loops| {
        loops.extend(open);
        loops.push(Known { event_loop: event_loop.clone().unbind(), queue: Arc::clone(&queue) });
    });
    drop(closed);
    Ok(queue)
}
