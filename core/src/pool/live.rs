//! [`Live`]: a connection with the moments that end its use.
//!
//! Every connection gets limits of its own, shorter than the options by up to a tenth at random, so that connections
//! that were opened together are not replaced together.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::PoolOptions;

/// A connection and what the pool knows of it.
pub(super) struct Live<C> {
    pub(super) connection: C,
    /// When its lifetime is over.
    expires_at: Option<Instant>,
    /// How long it may idle.
    idle_limit: Option<Duration>,
    /// Whether it came back clean at least once.
    pub(super) proven: bool,
}

/// A connection that nobody uses.
pub(super) struct Idle<C> {
    pub(super) live: Live<C>,
    pub(super) since: Instant,
    /// Whether another connection was lost meanwhile.
    pub(super) outlived: bool,
}

impl<C> Live<C> {
    pub(super) fn new(connection: C, options: &PoolOptions) -> Self {
        let jittered = |span: Duration| span.mul_f64(rand::random_range(0.9..=1.0));
        Self {
            connection,
            // A lifetime that the clock cannot express never ends.
            expires_at: options.max_lifetime.and_then(|span| Instant::now().checked_add(jittered(span))),
            idle_limit: options.idle_timeout.map(jittered),
            proven: false,
        }
    }

    /// Whether its lifetime is over.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl<C> Idle<C> {
    /// How long nobody has used it.
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether it has idled for longer than it may.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.live.idle_limit.is_some_and(|limit| limit <= self.idle_for(now))
    }
}
