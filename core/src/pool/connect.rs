//! Attempts to open a connection, each in a task of its own on the pool's runtime.
//!
//! Invariant: an [`Attempt`] counts as one connection being opened from the moment it is planned until it ends, and it
//! ends exactly once: with a connection, with an error, or by being dropped (a panic, the end of the runtime), which is
//! an error too. No waiter can cut it short; its own deadline, `connect_timeout`, can.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Manager;
use super::live::Live;
use super::shared::Shared;
use super::state::Plan;
use super::wake::wake;
use crate::error::{Error, Result};

/// One connection being opened.
struct Attempt<M: Manager> {
    manager: Arc<M>,
    /// Weak, so that a pool that nobody has any more does not live as long as its attempts.
    pool: Weak<Shared<M>>,
    closed: watch::Receiver<bool>,
    over: bool,
}

impl<M: Manager> Shared<M> {
    /// Begins what was planned.
    pub(super) fn start(self: &Arc<Self>, plan: Plan) {
        for _ in 0..plan.count {
            let attempt = Attempt {
                manager: Arc::clone(&self.manager),
                pool: Arc::downgrade(self),
                closed: self.closing.subscribe(),
                over: false,
            };
            self.runtime.spawn(attempt.run(plan.not_before, self.options.connect_timeout));
        }
    }

    /// A connection was opened: it joins the pool.
    fn joined(self: &Arc<Self>, connection: M::Connection) {
        let live = Live::new(connection, &self.options);
        {
            let mut state = self.lock();
            state.connecting -= 1;
            state.in_use += 1;
            state.connects += 1;
            state.health.connected();
            state.last_failure = None;
        }
        self.take_back(live, true, Instant::now());
        // Those who were held back by earlier failures.
        let plan = self.lock().plan(&self.options);
        self.start(plan);
    }

    /// An attempt failed: its error goes to the first waiter, or to all of them where nothing is left that could serve
    /// one. `again`: whether to try again for those who still wait.
    fn failed(self: &Arc<Self>, error: &Error, again: bool) {
        let (seats, plan, drained) = {
            let mut state = self.lock();
            state.connecting -= 1;
            if !state.closed {
                state.connect_errors += 1;
                state.health.failed(Instant::now());
                state.last_failure = Some(error.clone());
            }
            let all = state.is_barren();
            let count = if all { state.waiters.len() } else { 1 };
            let seats: Vec<_> = std::iter::from_fn(|| state.waiters.pop_first()).take(count).collect();
            let plan = if again { state.plan(&self.options) } else { Plan::default() };
            (seats, plan, state.is_drained())
        };
        self.start(plan);
        if drained {
            self.drained.notify_waiters();
        }
        for (_, seat) in seats {
            // Who has left in the meantime needs no error.
            if let Ok(Some(waker)) = seat.fill(Err(error.clone())) {
                wake(waker);
            }
        }
    }
}

impl<M: Manager> Attempt<M> {
    async fn run(mut self, not_before: Option<Instant>, deadline: std::time::Duration) {
        if let Some(at) = not_before {
            tokio::select! {
                () = sleep_until(at) => {}
                // An error here means that the pool is gone.
                _ = self.closed.wait_for(|closed| *closed) => {}
            }
        }
        if *self.closed.borrow() || self.pool.strong_count() == 0 {
            return;
        }
        let connected = match timeout(deadline, self.manager.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::connection_failed(format!("opening a connection took longer than {deadline:?}"))),
        };
        self.end(connected).await;
    }

    async fn end(mut self, connected: Result<M::Connection>) {
        self.over = true;
        match (self.pool.upgrade(), connected) {
            (Some(pool), Ok(connection)) => pool.joined(connection),
            (Some(pool), Err(error)) => pool.failed(&error, true),
            (None, Ok(connection)) => self.manager.close(connection).await,
            (None, Err(_)) => {}
        }
    }
}

impl<M: Manager> Drop for Attempt<M> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            // Without another attempt: at the end of the runtime it would be dropped just so, without end.
            pool.failed(&Error::connection_failed("opening a connection was broken off"), false);
        }
    }
}
