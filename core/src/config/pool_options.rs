//! [`PoolOptions`]: how many connections a pool holds and how long it waits for what.
//!
//! The founding documents speak of `pool_size`, `max_overflow`, `pool_timeout` and `pool_recycle`, as `SQLAlchemy` does.
//! They are mapped so:
//!
//! | there | here |
//! |---|---|
//! | `pool_size` 20 and `max_overflow` 30 | `max_size` 50, of which `max_idle` 20 stay open while nobody uses them |
//! | `pool_timeout` 30 s | `acquire_timeout` |
//! | `pool_recycle` 3600 s | `max_lifetime` (jittered, so that a pool is not replaced at one moment) |
//! | `pool_pre_ping` | `check_after` 0 |
//! | `pool: {minSize, maxSize, acquireTimeoutMs, idleTimeoutMs}`, `maxPoolSize`, `minPoolSize` | the same names here |
//!
//! Two differences from `SQLAlchemy`: connections beyond `max_idle` are closed after some seconds without use instead of
//! at once, so that bursts do not reconnect each time; and `max_size` alone (as `POSTGRES_MAX_CONNECTIONS`) lets all of
//! them idle until `idle_timeout`, as node-postgres does.
//!
//! Invariant: `min_size <= max_idle <= max_size` and `max_size >= 1`, if made from options.

use std::thread::available_parallelism;
use std::time::Duration;

use super::backend_kind::BackendKind;
use super::settings::Settings;
use crate::error::{Error, Result};

/// How many connections a pool holds and how long it waits for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Connections kept open whatever happens.
    pub min_size: usize,
    /// The most connections at once, those being opened included.
    pub max_size: usize,
    /// The most connections kept open while nobody uses them.
    pub max_idle: usize,
    /// The deadline of waiting for a connection.
    pub acquire_timeout: Duration,
    /// The deadline of opening one connection; that of waiting does not cut it short.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept beyond `min_size`.
    pub idle_timeout: Option<Duration>,
    /// How long a connection is used before it is replaced.
    pub max_lifetime: Option<Duration>,
    /// How long a connection may idle before it is checked on its way out.
    pub check_after: Duration,
    /// The most callers that may wait beyond those for whom a connection is being opened.
    pub queue_limit: usize,
}

impl PoolOptions {
    /// The defaults of a backend: `SQLite` as many readers as the machine has processors, from 2 to 4, and they stay;
    /// `MongoDB` 50 connections; `PostgreSQL` and `MySQL` 50, of which 20 idle, replaced every hour. Waiting ends after
    /// 30 s, opening after 10 s, idling after 300 s.
    pub fn defaults(backend: BackendKind) -> Self {
        let server = Self {
            min_size: 0,
            max_size: 50,
            max_idle: 50,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(300)),
            max_lifetime: None,
            check_after: Duration::from_secs(30),
            queue_limit: 10_000,
        };
        match backend {
            BackendKind::Sqlite => {
                let readers = available_parallelism().map_or(2, |count| count.get().clamp(2, 4));
                // A reader costs a file handle and a cache, and no server grows tired of it.
                Self { min_size: 1, max_size: readers, max_idle: readers, idle_timeout: None, ..server }
            }
            BackendKind::Mongodb => server,
            BackendKind::Postgres | BackendKind::Mysql => {
                let (size, overflow) = size_and_overflow(backend);
                let max_lifetime = Some(Duration::from_secs(3600));
                Self { max_size: size + overflow, max_idle: size, max_lifetime, ..server }
            }
        }
    }

    /// Takes the options of the pool out of the settings.
    pub(super) fn from_settings(settings: &mut Settings, backend: BackendKind) -> Result<Self> {
        let defaults = Self::defaults(backend);
        let mut options = Self::sizes(settings, backend)?;
        let spans = |settings: &mut Settings, name, default| settings.take_span(name).unwrap_or(default);
        options.acquire_timeout = spans(settings, "acquire_timeout", defaults.acquire_timeout);
        let short = settings.take_span("timeout");
        options.connect_timeout = spans(settings, "connect_timeout", short.unwrap_or(defaults.connect_timeout));
        options.idle_timeout = settings.take_limit("idle_timeout", defaults.idle_timeout);
        options.max_lifetime = settings.take_limit("max_lifetime", defaults.max_lifetime);
        options.queue_limit = settings.take_count("queue_limit").unwrap_or(defaults.queue_limit);
        let always = settings.take_truth("pre_ping").unwrap_or(false);
        let check_after = if always { Duration::ZERO } else { defaults.check_after };
        options.check_after = spans(settings, "check_after", check_after);
        Ok(options)
    }

    fn sizes(settings: &mut Settings, backend: BackendKind) -> Result<Self> {
        let defaults = Self::defaults(backend);
        let (size, overflow) = (settings.take_count("pool_size"), settings.take_count("max_overflow"));
        let (default_size, default_overflow) = size_and_overflow(backend);
        let (max_size, idle) = match (settings.take_count("max_size"), size, overflow) {
            (Some(max_size), _, _) => (max_size, max_size),
            (None, None, None) => (defaults.max_size, defaults.max_idle),
            (None, size, overflow) => {
                let size = size.unwrap_or(default_size);
                (size + overflow.unwrap_or(default_overflow), size)
            }
        };
        let min_size = match settings.take_count("min_size") {
            Some(min_size) => at_most("min_size", min_size, max_size)?,
            None => defaults.min_size.min(max_size),
        };
        let max_idle = match settings.take_count("max_idle") {
            Some(max_idle) => at_most("max_idle", max_idle, max_size)?,
            None => idle,
        };
        Ok(Self { min_size, max_size, max_idle: max_idle.max(min_size), ..defaults })
    }
}

/// What `pool_size` and `max_overflow` are where only one of them is given.
fn size_and_overflow(backend: BackendKind) -> (usize, usize) {
    match backend {
        BackendKind::Postgres | BackendKind::Mysql => (20, 30),
        BackendKind::Mongodb => (50, 0),
        BackendKind::Sqlite => (PoolOptions::defaults(backend).max_size, 0),
    }
}

fn at_most(option: &'static str, count: usize, max_size: usize) -> Result<usize> {
    if count > max_size {
        return Err(Error::invalid_configuration(format!(
            "option `{option}` ({count}) is larger than the most connections of the pool ({max_size})"
        ))
        .with("option", option)
        .with("expected", format!("a whole number from 0 to {max_size}")));
    }
    Ok(count)
}
