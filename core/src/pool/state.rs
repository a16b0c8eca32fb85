//! [`State`]: what the pool's one lock protects, and the decisions that are made under it.
//!
//! Invariant: nothing in here calls foreign code (no waker, no manager, no drop of a connection) and nothing waits; what
//! is to be done outside is returned.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Manager;
use super::health::Health;
use super::live::{Idle, Live};
use super::pooled::Pooled;
use super::slot::Slot;
use crate::config::PoolOptions;
use crate::error::{Error, Result};

/// How long a connection beyond `max_idle` is kept, so that a burst that comes again soon finds it.
const SURPLUS_GRACE: Duration = Duration::from_secs(5);

/// Where a waiter gets its connection or its error.
pub(super) type Seat<M> = Arc<Slot<Result<Pooled<M>>>>;

/// What the pool's lock protects.
pub(super) struct State<M: Manager> {
    /// Connections that nobody uses, the most recently used one last.
    pub(super) idle: VecDeque<Idle<M::Connection>>,
    pub(super) in_use: usize,
    pub(super) connecting: usize,
    pub(super) closing: usize,
    /// Who waits, by ticket: in the order of arrival.
    pub(super) waiters: BTreeMap<u64, Seat<M>>,
    next_ticket: u64,
    pub(super) health: Health,
    /// The last failure to connect, for the message of those who waited in vain.
    pub(super) last_failure: Option<Error>,
    pub(super) closed: bool,
    pub(super) connects: u64,
    pub(super) connect_errors: u64,
    pub(super) recycled: u64,
}

/// Connections to open now.
#[must_use]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    pub(super) count: usize,
    /// The moment before which the attempt must not begin.
    pub(super) not_before: Option<Instant>,
}

impl<M: Manager> State<M> {
    pub(super) fn new(options: &PoolOptions) -> Self {
        Self {
            idle: VecDeque::with_capacity(options.max_size.min(64)),
            in_use: 0,
            connecting: 0,
            closing: 0,
            waiters: BTreeMap::new(),
            next_ticket: 0,
            health: Health::new(options.max_size),
            last_failure: None,
            closed: false,
            connects: 0,
            connect_errors: 0,
            recycled: 0,
        }
    }

    /// Places that are taken: open connections and those being opened.
    pub(super) fn taken(&self) -> usize {
        self.idle.len() + self.in_use + self.connecting
    }

    /// Whether one more may wait: the limit is for those who are not going to be served by connections that are being
    /// opened or may be.
    pub(super) fn may_wait(&self, options: &PoolOptions) -> bool {
        let coming = self.connecting + options.max_size.saturating_sub(self.taken());
        self.waiters.len() < options.queue_limit.saturating_add(coming)
    }

    /// Adds a waiter to the end of the queue.
    pub(super) fn enqueue(&mut self, seat: Seat<M>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.insert(ticket, seat);
        ticket
    }

    /// Decides how many connections to open, and counts them as being opened.
    pub(super) fn plan(&mut self, options: &PoolOptions) -> Plan {
        if self.closed {
            return Plan::default();
        }
        let for_waiters = self.waiters.len().saturating_sub(self.connecting);
        let for_stock = options.min_size.saturating_sub(self.taken());
        let room = options.max_size.saturating_sub(self.taken());
        let mut plan = Plan { count: for_waiters.max(for_stock).min(room), not_before: self.health.limit() };
        if plan.not_before.is_some() {
            // After a failure one attempt at a time finds out whether the server is back.
            plan.count = plan.count.min(1_usize.saturating_sub(self.connecting));
        }
        self.connecting += plan.count;
        plan
    }

    /// Whether nobody but a new attempt could serve those who wait.
    pub(super) fn is_barren(&self) -> bool {
        self.taken() == 0
    }

    /// Takes out what has idled or lived too long, counted as being closed.
    pub(super) fn overdue(&mut self, options: &PoolOptions, now: Instant) -> Vec<Live<M::Connection>> {
        let mut overdue = Vec::new();
        let mut kept = VecDeque::with_capacity(self.idle.capacity());
        let mut open = self.idle.len() + self.in_use;
        let mut surplus = self.idle.len().saturating_sub(options.max_idle);
        for idle in std::mem::take(&mut self.idle) {
            let beyond = surplus > 0 && idle.idle_for(now) >= SURPLUS_GRACE;
            let unneeded = open > options.min_size && (beyond || idle.is_stale(now));
            if unneeded || idle.live.is_expired(now) {
                open -= 1;
                surplus = surplus.saturating_sub(1);
                overdue.push(idle.live);
            } else {
                kept.push_back(idle);
            }
        }
        self.idle = kept;
        self.closing += overdue.len();
        self.recycled += overdue.len() as u64;
        overdue
    }

    /// Whether a pool that was closed has nothing left.
    pub(super) fn is_drained(&self) -> bool {
        self.closed && self.taken() == 0 && self.closing == 0
    }
}
