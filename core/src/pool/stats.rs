//! [`PoolStats`]: the figures of a pool, and the counters of waiting behind them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::document;
use crate::error::{Error, Kind, Result};
use crate::value::{Map, Value};

/// The figures of a pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections that are open: idle and in use.
    pub size: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// Connections that are out.
    pub in_use: usize,
    /// Connections that are being opened.
    pub connecting: usize,
    /// Connections that are being closed.
    pub closing: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// The most connections at once.
    pub max_size: usize,
    /// Connections opened since the pool was made.
    pub connects_total: u64,
    /// Attempts to open one that failed.
    pub connect_errors_total: u64,
    /// Connections handed out.
    pub acquires_total: u64,
    /// Callers whose deadline passed while they waited.
    pub acquire_timeouts_total: u64,
    /// Connections that were closed while the pool was open: too old, too long idle or dirty.
    pub recycled_total: u64,
    /// The time that those who had to wait and got a connection waited together, in microseconds.
    pub wait_total_us: u64,
    /// The longest of those waits, in microseconds.
    pub wait_max_us: u64,
}

/// What [`super::Pool::close`] left when it returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Connections that are still out.
    pub in_use: usize,
    /// Attempts to open a connection that are still under way.
    pub connecting: usize,
    /// Connections that are still being closed.
    pub closing: usize,
}

impl CloseReport {
    /// `pool_timeout` where connections are still out.
    pub fn outcome(&self) -> Result<()> {
        let in_use = self.in_use;
        if in_use == 0 {
            return Ok(());
        }
        let message = format!("the database is closed, but {in_use} connections were still in use after the deadline");
        Err(Error::new(Kind::PoolTimeout, message).with("in_use", in_use))
    }

    /// Whether nothing is left.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl PoolStats {
    /// The figures by the names that every backend has.
    pub fn to_map(&self) -> Map {
        let count = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        document! {
            "size" => self.size, "idle" => self.idle, "in_use" => self.in_use, "connecting" => self.connecting,
            "waiting" => self.waiting, "max_size" => self.max_size,
            "connects_total" => count(self.connects_total), "connect_errors_total" => count(self.connect_errors_total),
            "acquires_total" => count(self.acquires_total), "acquire_timeouts_total" => count(self.acquire_timeouts_total),
            "recycled_total" => count(self.recycled_total),
            "wait_total_us" => count(self.wait_total_us), "wait_max_us" => count(self.wait_max_us),
        }
    }

    /// An error of the pool with the figures that explain it.
    pub(super) fn error(&self, kind: Kind, message: String) -> Error {
        Error::new(kind, message)
            .with("size", self.size)
            .with("idle", self.idle)
            .with("in_use", self.in_use)
            .with("connecting", self.connecting)
            .with("waiting", self.waiting)
            .with("max_size", self.max_size)
    }
}

/// Counters that are written outside the pool's lock.
#[derive(Default)]
pub(super) struct Counters {
    acquires: AtomicU64,
    timeouts: AtomicU64,
    wait_total_us: AtomicU64,
    wait_max_us: AtomicU64,
}

impl Counters {
    /// A connection was handed out at once.
    pub(super) fn acquired(&self) {
        self.acquires.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was handed out after a wait.
    pub(super) fn waited(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.acquired();
        self.wait_total_us.fetch_add(wait, Ordering::Relaxed);
        self.wait_max_us.fetch_max(wait, Ordering::Relaxed);
    }

    /// A deadline passed.
    pub(super) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the counters into the figures.
    pub(super) fn report(&self, stats: &mut PoolStats) {
        stats.acquires_total = self.acquires.load(Ordering::Relaxed);
        stats.acquire_timeouts_total = self.timeouts.load(Ordering::Relaxed);
        stats.wait_total_us = self.wait_total_us.load(Ordering::Relaxed);
        stats.wait_max_us = self.wait_max_us.load(Ordering::Relaxed);
    }
}
