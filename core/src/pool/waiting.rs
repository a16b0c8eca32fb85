//! [`Waiting`]: one caller in the queue.
//!
//! Invariant: dropped at any moment it leaves the queue, and a connection that was already on its way to it goes to the
//! next one. Its deadline ends its waiting and nothing else.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;

use super::Manager;
use super::pooled::Pooled;
use super::shared::Shared;
use super::state::Seat;
use crate::error::{Error, Kind, Result};

/// One caller in the queue.
pub(super) struct Waiting<M: Manager> {
    pool: Arc<Shared<M>>,
    seat: Seat<M>,
    ticket: u64,
    since: Instant,
    over: bool,
}

impl<M: Manager> Waiting<M> {
    pub(super) fn new(pool: Arc<Shared<M>>, seat: Seat<M>, ticket: u64, since: Instant) -> Self {
        Self { pool, seat, ticket, since, over: false }
    }

    /// The connection, or the error that the waiter got instead.
    pub(super) async fn result(mut self) -> Result<Pooled<M>> {
        let mut deadline = pin!(self.pool.sleep(self.pool.options.acquire_timeout));
        let answer = poll_fn(|context| match self.seat.poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => deadline.as_mut().poll(context).map(|()| None),
        })
        .await;
        // Out of the queue first; what came at the last moment is taken all the same.
        match answer.or_else(|| self.leave()) {
            Some(answer) => {
                self.over = true;
                if answer.is_ok() {
                    self.pool.counters.waited(self.since.elapsed());
                }
                answer
            }
            None => Err(self.timeout()),
        }
    }

    fn leave(&mut self) -> Option<Result<Pooled<M>>> {
        self.over = true;
        let seat = self.pool.lock().waiters.remove(&self.ticket);
        drop(seat);
        self.seat.leave()
    }

    fn timeout(&self) -> Error {
        self.pool.counters.timed_out();
        let stats = self.pool.stats();
        let waited = self.since.elapsed();
        let message = format!(
            "no connection became free within {:?} ({} of {} in use, {} being opened, {} others waiting)",
            self.pool.options.acquire_timeout, stats.in_use, stats.max_size, stats.connecting, stats.waiting
        );
        let error = stats.error(Kind::PoolTimeout, message).with("waited_ms", waited.as_millis() as i64);
        match self.pool.lock().last_failure.as_ref().map(ToString::to_string) {
            Some(failure) => error.with("last_connect_error", failure),
            None => error,
        }
    }
}

impl<M: Manager> Drop for Waiting<M> {
    fn drop(&mut self) {
        if !self.over {
            // A connection inside is a `Pooled`, whose drop gives it to the next one.
            drop(self.leave());
        }
    }
}
