//! A SQLite connection on a thread of its own.
//!
//! Invariant: jobs have the connection one at a time, in the order of submission. Whoever waits for a job may go away: its
//! statement is then interrupted, which undoes it; what begins and ends transactions is finished. A short read may have
//! the connection on its caller's thread while no job is there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use rusqlite::{Connection, ffi};
use tokio::sync::oneshot;

use super::kept::TERM;
use super::pace::Pace;
use super::prepared::{Commits, Open};
use crate::error::{Error, Kind, Result};
use crate::fork::Call;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// What the thread is asked for.
enum Task {
    Job(Job),
    /// To end a read transaction that its caller's thread keeps.
    Watch,
}

/// Virtual-machine steps between two looks at [`Interrupt`]: some tens of microseconds.
const STEPS_BETWEEN_CHECKS: i32 = 1000;

/// The number of what is made at once, which nobody asks to stop.
const AT_ONCE: u64 = u64::MAX;

/// Tells a running statement to stop.
#[derive(Debug)]
pub(super) struct Interrupt {
    started: Instant,
    current: AtomicU64,
    requested: AtomicU64,
    deadline: AtomicU64,
}

impl Interrupt {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            current: AtomicU64::new(0),
            requested: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Whether the deadline of the running job has passed.
    pub(super) fn is_late(&self) -> bool {
        self.now() >= self.deadline.load(Ordering::Relaxed)
    }

    fn should_stop(&self) -> bool {
        self.requested.load(Ordering::Relaxed) == self.current.load(Ordering::Relaxed) || self.is_late()
    }
}

/// A connection's own pointer, for what its statements call.
struct Handle(*mut ffi::sqlite3);

// SAFETY: used by the connection's statements only, on the one thread that runs them.
unsafe impl Send for Handle {}

impl Handle {
    /// Whether a statement is under way.
    fn is_running(&self) -> bool {
        let mut statement = std::ptr::null_mut();
        loop {
            // SAFETY: asked by a statement of the connection, so that both are alive, and so is each that it has.
            unsafe {
                statement = ffi::sqlite3_next_stmt(self.0, statement);
                if statement.is_null() || ffi::sqlite3_stmt_busy(statement) != 0 {
                    return !statement.is_null();
                }
            }
        }
    }
}

/// Has the connection's statements stopped while they run, where `should_stop` says so, as it is asked every so many steps of
/// theirs. SQLite asks once more when a statement has ended (`sqlite3VdbeExec`, `vdbe_return`): it would call one interrupted
/// that is committed.
fn stop_running<F>(connection: &mut Connection, steps: i32, should_stop: F) -> rusqlite::Result<()>
where
    F: Fn() -> bool + Send + 'static,
{
    // SAFETY: the connection is open; its pointer is used only by what it calls itself.
    let handle = Handle(unsafe { connection.handle() });
    connection.progress_handler(steps, Some(move || should_stop() && handle.is_running()))
}

/// A job that waits or runs.
struct Left(Arc<AtomicUsize>);

impl Left {
    fn one_more(jobs: &Arc<AtomicUsize>) -> Self {
        jobs.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(jobs))
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A handle on the thread. Dropping it ends the thread when its jobs are done.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Sender<Task>,
    ended: oneshot::Receiver<()>,
    interrupt: Arc<Interrupt>,
    next_job: AtomicU64,
    habits: Habits,
    /// Empty before the thread has opened it and after it has closed it.
    connection: Arc<Mutex<Option<Open>>>,
    /// Jobs that wait or run.
    jobs_left: Arc<AtomicUsize>,
    pace: Pace,
}

/// How long the statements of a connection may take, how long they may wait for a lock, and where they put their pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) statement: Option<Duration>,
    pub(super) busy: Duration,
    pub(super) commits: Commits,
}

/// Interrupts its job when dropped before [`Wait::done`].
struct Wait<'a> {
    worker: &'a Worker,
    job: u64,
    interruptible: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.interruptible {
            self.worker.interrupt.requested.store(self.job, Ordering::Relaxed);
        }
    }
}

/// Does the jobs in their order until nobody can ask for more.
fn serve<'a>(queue: &Receiver<Task>, lock: impl Fn() -> MutexGuard<'a, Option<Open>>) {
    let mut watches = false;
    loop {
        let next = if watches { queue.recv_timeout(TERM) } else { queue.recv().map_err(RecvTimeoutError::from) };
        let task = match next {
            Ok(task) => Some(task),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let _call = Call::begin();
        let mut place = lock();
        let Some(open) = place.as_mut() else { return };
        match task {
            Some(Task::Job(job)) => job(open.connection()),
            Some(Task::Watch) => watches = true,
            None => {
                // Where none was kept there may be none for long.
                watches = open.kept.is_open();
                open.kept.is_watched = watches;
                open.connection();
            }
        }
    }
}

impl Worker {
    /// Starts a thread and opens its connection there.
    pub(super) async fn start<F>(name: &str, habits: Habits, open: F) -> Result<Self>
    where
        F: FnOnce() -> Result<Connection> + Send + 'static,
    {
        let (jobs, queue) = unbounded::<Task>();
        let (opened, wait) = oneshot::channel();
        let (alive, ended) = oneshot::channel::<()>();
        let interrupt = Arc::new(Interrupt::new());
        let shared = Arc::clone(&interrupt);
        let place = Arc::new(Mutex::new(None));
        let connection = Arc::clone(&place);
        let run = move || {
            let opening = Call::begin();
            let mut opened_connection = match open() {
                Ok(connection) => connection,
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            let stop = move || shared.should_stop();
            if let Err(error) = stop_running(&mut opened_connection, STEPS_BETWEEN_CHECKS, stop) {
                let _ = opened.send(Err(Error::internal(format!("no progress handler: {error}"))));
                return;
            }
            let lock = || place.lock().unwrap_or_else(PoisonError::into_inner);
            *lock() = Some(Open::new(opened_connection, habits.commits, habits.busy));
            if opened.send(Ok(())).is_ok() {
                drop(opening);
                serve(&queue, lock);
            }
            let _closing = Call::begin();
            drop(lock().take());
            drop(alive);
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|error| Error::connection_failed(format!("cannot start a thread: {error}")))?;
        wait.await.map_err(|_| Error::internal("the database thread ended while opening"))??;
        let (next_job, jobs_left) = (AtomicU64::new(1), Arc::default());
        Ok(Self { jobs, ended, interrupt, next_job, habits, connection, jobs_left, pace: Pace::default() })
    }

    /// Ends the thread after the jobs it has, and waits until its files are closed.
    pub(super) async fn end(self) {
        drop(self.jobs);
        let _ = self.ended.await;
    }

    /// Whether a running job is past its deadline; for telling a timeout from a cancellation.
    pub(super) fn interrupt(&self) -> Arc<Interrupt> {
        Arc::clone(&self.interrupt)
    }

    /// Puts a job into the queue; it runs after those before it. `skippable` jobs do not start when nobody waits.
    fn submit<T, F>(&self, skippable: bool, work: F) -> (u64, oneshot::Receiver<Result<T>>)
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        let (reply, wait) = oneshot::channel();
        let job = self.next_job.fetch_add(1, Ordering::Relaxed);
        let interrupt = Arc::clone(&self.interrupt);
        let timeout = self.habits.statement;
        let left = Left::one_more(&self.jobs_left);
        let run = move |connection: &mut Connection| {
            // Over before the reply, whose receiver may have a read to do at once.
            let left = left;
            if skippable && reply.is_closed() {
                return;
            }
            let deadline = timeout.map_or(u64::MAX, |timeout| interrupt.now() + timeout.as_micros() as u64);
            interrupt.deadline.store(deadline, Ordering::Relaxed);
            interrupt.current.store(job, Ordering::Relaxed);
            let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)))
                .unwrap_or_else(|_| Err(Error::internal("the database thread panicked")));
            interrupt.current.store(0, Ordering::Relaxed);
            drop(left);
            let _ = reply.send(outcome);
        };
        // A send fails only when the thread has ended; the reply is then dropped and the waiter sees it.
        let _ = self.jobs.send(Task::Job(Box::new(run)));
        (job, wait)
    }

    /// Runs a job that is interrupted when the caller goes away. SQLite undoes an interrupted statement, and with a write
    /// the transaction around it (`sqlite3_interrupt`, "in an explicit transaction").
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        self.wait_for(true, work).await
    }

    /// Runs a job that, once begun, is finished even when the caller goes away.
    pub(super) async fn finish<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        self.wait_for(false, work).await
    }

    async fn wait_for<T, F>(&self, interruptible: bool, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        let (job, wait) = self.submit(true, work);
        let mut guard = Wait { worker: self, job, interruptible };
        let outcome = wait.await;
        guard.interruptible = false;
        outcome.map_err(|_| Error::new(Kind::ConnectionFailed, "the database thread has ended"))?
    }

    /// Does short work on the caller's thread, which saves two hand-overs between threads; `work` is given the time, which is
    /// `now`, on a clock. `None` where it cannot be done at once: jobs are there, such work takes too long of late, or this one
    /// gave up, perhaps because its statement was interrupted after `bound`.
    pub(super) fn at_once<T>(
        &self,
        bound: Option<Duration>,
        now: Instant,
        work: impl FnOnce(&mut Open, Duration) -> Option<T>,
    ) -> Option<T> {
        if !self.pace.is_short() || self.jobs_left.load(Ordering::Acquire) > 0 {
            return None;
        }
        let mut place = self.connection.try_lock().ok()?;
        let open = place.as_mut()?;
        // Not waiting: the caller may hold its interpreter, without which the fork would not end.
        let _call = Call::try_begin()?;
        let bound = self.habits.statement.into_iter().chain(bound).min();
        let interrupt = &self.interrupt;
        let started = now.saturating_duration_since(interrupt.started);
        let deadline = bound.map_or(u64::MAX, |bound| (started + bound).as_micros() as u64);
        interrupt.deadline.store(deadline, Ordering::Relaxed);
        interrupt.current.store(AT_ONCE, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| work(open, started)));
        if open.kept.is_open() && !std::mem::replace(&mut open.kept.is_watched, true) {
            let _ = self.jobs.send(Task::Watch);
        }
        interrupt.current.store(0, Ordering::Relaxed);
        self.pace.took(interrupt.started.elapsed().saturating_sub(started));
        // Whatever went wrong, the thread tells it, or does better.
        outcome.ok()?
    }

    /// Runs a job for which nobody waits, such as a rollback.
    pub(super) fn detach<F>(&self, work: F)
    where
        F: FnOnce(&mut Connection) -> Result<()> + Send + 'static,
    {
        let _ = self.submit(false, work);
    }

    /// Starts a long job; the caller learns its number, to interrupt it.
    pub(super) fn start_long<F>(&self, work: F) -> u64
    where
        F: FnOnce(&mut Connection) -> Result<()> + Send + 'static,
    {
        self.submit(false, work).0
    }

    /// Interrupts the job of this number if it still runs.
    pub(super) fn stop(&self, job: u64) {
        self.interrupt.requested.store(job, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::AtomicBool;

    use super::*;

    extern "C" fn note_commit(committed: *mut c_void) -> c_int {
        // SAFETY: the test's flag, which outlives the connection.
        unsafe { &*committed.cast::<AtomicBool>() }.store(true, Ordering::Relaxed);
        0
    }

    #[test]
    fn a_statement_that_is_committed_is_not_called_interrupted() {
        static COMMITTED: AtomicBool = AtomicBool::new(false);
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE numbers (number INTEGER)").unwrap();
        // SAFETY: the flag is static.
        unsafe {
            let flag = (&raw const COMMITTED).cast_mut().cast();
            ffi::sqlite3_commit_hook(connection.handle(), Some(note_commit), flag);
        }
        stop_running(&mut connection, 1, || COMMITTED.load(Ordering::Relaxed)).unwrap();
        connection.execute("INSERT INTO numbers VALUES (1)", []).unwrap();
        assert!(COMMITTED.load(Ordering::Relaxed));
        let interrupted = connection.execute("INSERT INTO numbers VALUES (2)", []).unwrap_err();
        assert_eq!(interrupted.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        COMMITTED.store(false, Ordering::Relaxed);
        let numbers =
            connection.query_row("SELECT group_concat(number) FROM numbers", [], |row| row.get::<_, String>(0));
        assert_eq!(numbers.unwrap(), "1");
    }
}
