//! [`Pool`]: our own pool of connections, the same for every backend that pools here.
//!
//! Invariants:
//! - A connection is in exactly one place: idle, out, being opened or being closed; the sum of the first three never
//!   exceeds `max_size`. Whoever holds one holds it in a [`Pooled`], whose drop gives it back wherever it happens.
//! - Waiters are served in the order in which they came, and nobody overtakes them: a connection is idle only while
//!   nobody waits.
//! - Connecting is apart from waiting: connections are opened in tasks of their own, which no waiter can cut short, and
//!   join the pool when they are ready.
//! - Nothing here assumes that it is polled or dropped on a thread of tokio, and wakers are called outside every lock.
//!
//! Not for: what makes a connection clean; the backend that uses it says so with [`Pooled::poison`].

mod connect;
mod health;
mod live;
mod maintain;
mod pooled;
mod shared;
mod slot;
mod state;
mod stats;
mod waiting;
mod wake;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::runtime::Handle;

use crate::config::PoolOptions;
use crate::error::Result;
pub use pooled::Pooled;
use shared::{Checkout, Shared};
pub use stats::{CloseReport, PoolStats};

/// How a backend opens and closes its connections.
#[async_trait]
pub trait Manager: Send + Sync + 'static {
    /// What the pool holds.
    type Connection: Send + 'static;

    /// Opens a connection. It runs in a task on the pool's runtime under the deadline `connect_timeout`.
    async fn connect(&self) -> Result<Self::Connection>;

    /// Closes a connection. It runs in a task on the pool's runtime under a deadline of its own.
    async fn close(&self, connection: Self::Connection);
}

/// A pool of connections; a clone is another handle to the same pool.
pub struct Pool<M: Manager>(Arc<Shared<M>>);

impl<M: Manager> Pool<M> {
    /// A pool that begins to open `min_size` connections at once. Its tasks and timers run on `runtime`, which must have
    /// its time driver enabled and outlive the pool's use.
    pub fn new(manager: M, options: PoolOptions, runtime: Handle) -> Self {
        Self(Shared::open(manager, options, runtime))
    }

    /// A connection: an idle one at once, else the first that comes back or is opened once those who waited before are
    /// served.
    ///
    /// Fails with `pool_timeout` after `acquire_timeout`, with `pool_queue_full` at once where too many wait already,
    /// with `database_closed` once the pool is closed, and with the error of the attempt where none can be opened. The
    /// future may be dropped at any moment.
    pub async fn acquire(&self) -> Result<Pooled<M>> {
        match self.0.checkout()? {
            Checkout::Ready(pooled) => Ok(pooled),
            Checkout::Wait(waiting) => waiting.result().await,
        }
    }

    /// An idle connection, if there is one.
    pub fn try_acquire(&self) -> Option<Pooled<M>> {
        self.0.checkout_idle()
    }

    /// Works for a moment with an idle connection, if there is one; `work` is given the time too. A panic closes it.
    pub fn with_idle<T>(&self, work: impl FnOnce(&mut M::Connection, Instant) -> T) -> Option<T> {
        self.0.with_idle(work)
    }

    /// The pool's figures at this moment.
    pub fn stats(&self) -> PoolStats {
        self.0.stats()
    }

    /// The options that the pool was made with.
    pub fn options(&self) -> &PoolOptions {
        &self.0.options
    }

    /// The manager that the pool was made with.
    pub fn manager(&self) -> &Arc<M> {
        &self.0.manager
    }

    /// Whether [`Pool::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Closes the pool: whoever waits or comes gets `database_closed`, idle connections are closed, and those that are
    /// out are closed when they come back. Returns once all are closed or the deadline is over, and reports what is left;
    /// that is closed too, whenever it comes back.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.0.close(deadline).await
    }
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.stats()).finish()
    }
}
