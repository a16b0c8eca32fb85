//! [`Shared`]: the pool itself, behind its handles: checking out, taking back, closing.
//!
//! Invariant: the lock is held for bookkeeping only. Tasks are spawned, wakers called, the manager asked and connections
//! dropped outside it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Sleep, timeout};

use super::Manager;
use super::live::{Idle, Live};
use super::pooled::Pooled;
use super::slot::Slot;
use super::state::State;
use super::stats::{CloseReport, Counters, PoolStats};
use super::waiting::Waiting;
use super::wake::wake;
use crate::config::PoolOptions;
use crate::error::{Error, Kind, Result};

/// How long the closing of one connection may take before it is dropped as it is.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// The pool behind its handles.
pub(super) struct Shared<M: Manager> {
    pub(super) manager: Arc<M>,
    pub(super) options: PoolOptions,
    pub(super) runtime: Handle,
    pub(super) counters: Counters,
    /// Tells attempts and housekeeping that the pool is closed, or gone.
    pub(super) closing: watch::Sender<bool>,
    /// Tells who closes the pool that nothing is left.
    pub(super) drained: Notify,
    state: Mutex<State<M>>,
}

/// What a caller gets at once.
pub(super) enum Checkout<M: Manager> {
    /// A connection.
    Ready(Pooled<M>),
    /// A place in the queue.
    Wait(Waiting<M>),
}

impl<M: Manager> Shared<M> {
    pub(super) fn open(manager: M, mut options: PoolOptions, runtime: Handle) -> Arc<Self> {
        options.max_size = options.max_size.max(1);
        options.min_size = options.min_size.min(options.max_size);
        let pool = Arc::new(Self {
            manager: Arc::new(manager),
            state: Mutex::new(State::new(&options)),
            options,
            runtime,
            counters: Counters::default(),
            closing: watch::Sender::new(false),
            drained: Notify::new(),
        });
        let plan = pool.lock().plan(&pool.options);
        pool.start(plan);
        pool.maintain();
        pool
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A timer of the pool's runtime, whatever thread polls it.
    pub(super) fn sleep(&self, span: Duration) -> Sleep {
        let _guard = self.runtime.enter();
        tokio::time::sleep(span)
    }

    /// An idle connection, else a place in the queue.
    pub(super) fn checkout(self: &Arc<Self>) -> Result<Checkout<M>> {
        let now = Instant::now();
        loop {
            let mut state = self.lock();
            if state.closed {
                return Err(closed());
            }
            let Some(idle) = state.idle.pop_back() else {
                return self.join_queue(state, now).map(Checkout::Wait);
            };
            state.in_use += 1;
            drop(state);
            if let Some(pooled) = self.examine(idle, now) {
                return Ok(Checkout::Ready(pooled));
            }
        }
    }

    fn join_queue(self: &Arc<Self>, mut state: MutexGuard<'_, State<M>>, now: Instant) -> Result<Waiting<M>> {
        if !state.may_wait(&self.options) {
            let figures = self.figures(&state);
            drop(state);
            return Err(queue_full(&figures));
        }
        let seat = Arc::new(Slot::new());
        let ticket = state.enqueue(Arc::clone(&seat));
        let plan = state.plan(&self.options);
        drop(state);
        // The place in the queue has an owner before anything else happens.
        let waiting = Waiting::new(Arc::clone(self), seat, ticket, now);
        self.start(plan);
        Ok(waiting)
    }

    /// An idle connection, if there is one.
    pub(super) fn checkout_idle(self: &Arc<Self>) -> Option<Pooled<M>> {
        let now = Instant::now();
        loop {
            let idle = {
                let mut state = self.lock();
                let idle = state.idle.pop_back()?;
                state.in_use += 1;
                idle
            };
            if let Some(pooled) = self.examine(idle, now) {
                return Some(pooled);
            }
        }
    }

    /// Lends an idle connection to `work`, without what a loan of any length needs.
    pub(super) fn with_idle<T>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut M::Connection, std::time::Instant) -> T,
    ) -> Option<T> {
        let now = Instant::now();
        let idle = {
            let mut state = self.lock();
            if state.idle.back()?.live.is_expired(now) {
                return None;
            }
            let idle = state.idle.pop_back()?;
            state.in_use += 1;
            idle
        };
        self.counters.acquired();
        let mut moment = Moment { pool: self, live: Some(idle.live), now };
        moment.live.as_mut().map(|live| work(&mut live.connection, now.into_std()))
    }

    /// Lets a connection out that is not too old, and says whether it is to be looked at before a write; discards it
    /// otherwise.
    fn examine(self: &Arc<Self>, idle: Idle<M::Connection>, now: Instant) -> Option<Pooled<M>> {
        let due = idle.idle_for(now) >= self.options.check_after;
        let expired = idle.live.is_expired(now);
        let outlived = idle.outlived;
        let mut pooled = Pooled::new(Arc::clone(self), idle.live);
        if expired {
            // What is expired is discarded when it comes back.
            return None;
        }
        pooled.doubtful = due || outlived;
        self.counters.acquired();
        Some(pooled)
    }

    /// Takes a connection back that counts as in use: to the first waiter, to the idle ones, or to be closed.
    /// `now` is the time, or hardly before it.
    pub(super) fn take_back(self: &Arc<Self>, mut live: Live<M::Connection>, clean: bool, now: Instant) {
        loop {
            let mut state = self.lock();
            state.in_use -= 1;
            if clean && live.proven {
                state.health.proven();
            }
            if !clean || state.closed || live.is_expired(now) {
                return self.discard(state, live, clean, now);
            }
            let Some((_, seat)) = state.waiters.pop_first() else {
                state.idle.push_back(Idle { live, since: now, outlived: false });
                return;
            };
            state.in_use += 1;
            drop(state);
            match seat.fill(Ok(Pooled::new(Arc::clone(self), live))) {
                Ok(waker) => return waker.into_iter().for_each(wake),
                // The waiter left between the two locks: the next one, without giving back through drop, which would
                // nest once for each of them.
                Err(Ok(pooled)) => live = pooled.disarm(),
                Err(Err(_)) => unreachable!("a slot gives back what was put in"),
            }
        }
    }

    /// Closes a connection that no longer counts as in use, and opens another where one is missing.
    fn discard(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<M>>,
        live: Live<M::Connection>,
        clean: bool,
        now: Instant,
    ) {
        if !clean && !live.proven {
            state.health.lost(now);
        }
        if !clean {
            // What ended this one may have ended those that idle.
            state.idle.iter_mut().for_each(|idle| idle.outlived = true);
        }
        state.closing += 1;
        if !state.closed {
            state.recycled += 1;
        }
        let plan = state.plan(&self.options);
        drop(state);
        self.start(plan);
        self.dispose(live.connection);
    }

    /// Closes a connection that counts as being closed.
    pub(super) fn dispose(self: &Arc<Self>, connection: M::Connection) {
        let disposal = Disposal(Arc::clone(self));
        self.runtime.spawn(async move {
            // Past its deadline the future is dropped, and the connection with it.
            let _ = timeout(CLOSE_DEADLINE, disposal.0.manager.close(connection)).await;
        });
    }

    fn figures(&self, state: &State<M>) -> PoolStats {
        let mut stats = PoolStats {
            size: state.idle.len() + state.in_use,
            idle: state.idle.len(),
            in_use: state.in_use,
            connecting: state.connecting,
            closing: state.closing,
            waiting: state.waiters.len(),
            max_size: self.options.max_size,
            connects_total: state.connects,
            connect_errors_total: state.connect_errors,
            recycled_total: state.recycled,
            ..PoolStats::default()
        };
        self.counters.report(&mut stats);
        stats
    }

    pub(super) fn stats(&self) -> PoolStats {
        self.figures(&self.lock())
    }

    pub(super) async fn close(self: &Arc<Self>, deadline: Duration) -> CloseReport {
        let deadline = self.sleep(deadline);
        self.stop_intake();
        let emptied = async {
            loop {
                let mut drained = std::pin::pin!(self.drained.notified());
                // Listening before looking, or the last connection could come back in between.
                drained.as_mut().enable();
                if self.lock().is_drained() {
                    return;
                }
                drained.await;
            }
        };
        tokio::select! {
            () = emptied => {}
            () = deadline => {}
        }
        let state = self.lock();
        CloseReport { in_use: state.in_use, connecting: state.connecting, closing: state.closing }
    }

    fn stop_intake(self: &Arc<Self>) {
        let (idle, seats) = {
            let mut state = self.lock();
            state.closed = true;
            let idle = std::mem::take(&mut state.idle);
            state.closing += idle.len();
            (idle, std::mem::take(&mut state.waiters))
        };
        self.closing.send_replace(true);
        for one in idle {
            self.dispose(one.live.connection);
        }
        for seat in seats.into_values() {
            if let Ok(Some(waker)) = seat.fill(Err(closed())) {
                wake(waker);
            }
        }
    }
}

/// A connection that is back in a moment.
struct Moment<'a, M: Manager> {
    pool: &'a Arc<Shared<M>>,
    live: Option<Live<M::Connection>>,
    now: Instant,
}

impl<M: Manager> Drop for Moment<'_, M> {
    fn drop(&mut self) {
        if let Some(mut live) = self.live.take() {
            let clean = !std::thread::panicking();
            live.proven |= clean;
            self.pool.take_back(live, clean, self.now);
        }
    }
}

/// A connection being closed; whatever ends it, its place is counted off.
struct Disposal<M: Manager>(Arc<Shared<M>>);

impl<M: Manager> Drop for Disposal<M> {
    fn drop(&mut self) {
        let drained = {
            let mut state = self.0.lock();
            state.closing -= 1;
            state.is_drained()
        };
        if drained {
            self.0.drained.notify_waiters();
        }
    }
}

impl<M: Manager> Drop for Shared<M> {
    /// The last handle is gone: what idles is closed properly, though nobody waits for it.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for idle in std::mem::take(&mut state.idle) {
            let manager = Arc::clone(&self.manager);
            self.runtime.spawn(async move {
                let _ = timeout(CLOSE_DEADLINE, manager.close(idle.live.connection)).await;
            });
        }
    }
}

fn closed() -> Error {
    Error::closed("the pool of connections is closed")
}

fn queue_full(stats: &PoolStats) -> Error {
    let message = format!("{} callers already wait for one of {} connections", stats.waiting, stats.max_size);
    stats.error(Kind::PoolQueueFull, message)
}
