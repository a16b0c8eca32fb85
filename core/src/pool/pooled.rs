//! [`Pooled`]: a connection on loan.
//!
//! Invariant: the connection comes back when this is dropped, wherever and whenever that is: to the first waiter, to the
//! idle ones, or to be closed where it is dirty. A panic while it is out makes it dirty.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::time::Instant;

use super::Manager;
use super::live::Live;
use super::shared::Shared;

/// A connection on loan; its drop gives it back.
pub struct Pooled<M: Manager> {
    pool: Arc<Shared<M>>,
    live: Option<Live<M::Connection>>,
    dirty: bool,
    /// See [`Self::is_doubtful`].
    pub(super) doubtful: bool,
}

const PRESENT: &str = "the connection is present until drop";

impl<M: Manager> Pooled<M> {
    pub(super) fn new(pool: Arc<Shared<M>>, live: Live<M::Connection>) -> Self {
        Self { pool, live: Some(live), dirty: false, doubtful: false }
    }

    /// Whether the server may have closed the connection while it idled: it did so for `check_after` or longer, or another
    /// one was lost meanwhile. What must not be sent twice is sent after a look.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Marks the connection as dirty: dropped like this it is closed and never used again. To be called before the first
    /// byte of a request, so that whoever is cut off in the middle leaves nothing behind.
    pub fn poison(&mut self) {
        self.dirty = true;
    }

    /// Takes the mark back, after the last byte of the answer.
    pub fn clear_poison(&mut self) {
        self.dirty = false;
    }

    /// Whether the connection is dirty.
    pub fn is_poisoned(&self) -> bool {
        self.dirty
    }

    /// The manager that opened it.
    pub fn manager(&self) -> &Arc<M> {
        &self.pool.manager
    }

    /// Takes the connection out without giving it back; the caller goes on with the pool's count of it.
    pub(super) fn disarm(mut self) -> Live<M::Connection> {
        self.live.take().expect(PRESENT)
    }
}

impl<M: Manager> Deref for Pooled<M> {
    type Target = M::Connection;

    fn deref(&self) -> &M::Connection {
        &self.live.as_ref().expect(PRESENT).connection
    }
}

impl<M: Manager> DerefMut for Pooled<M> {
    fn deref_mut(&mut self) -> &mut M::Connection {
        &mut self.live.as_mut().expect(PRESENT).connection
    }
}

impl<M: Manager> Drop for Pooled<M> {
    fn drop(&mut self) {
        if let Some(mut live) = self.live.take() {
            let clean = !self.dirty && !std::thread::panicking();
            live.proven |= clean;
            self.pool.take_back(live, clean, Instant::now());
        }
    }
}

impl<M: Manager> fmt::Debug for Pooled<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("dirty", &self.dirty).finish_non_exhaustive()
    }
}
