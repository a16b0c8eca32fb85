//! [`Member`]: one replica, what is known of it, and how that is found out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::marks::{Mark, Marks};
use super::{watching, within};
use crate::backend::{Backend, Position};
use crate::backends;
use crate::config::Config;
use crate::document;
use crate::error::{Error, Result};
use crate::runtime;
use crate::value::{Map, Value};

/// How long a replica that was lost rests before it is tried again; it doubles with each time in a row.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// One replica.
pub(super) struct Member {
    config: Arc<Config>,
    watching: Arc<Config>,
    state: Mutex<State>,
    /// Told when it was asked and did not answer: whoever waits for it waits in vain.
    silence: Notify,
    reads: AtomicU64,
    losses: AtomicU64,
}

struct State {
    backend: Arc<dyn Backend>,
    /// The same server, through connections of its own.
    watch: Arc<dyn Backend>,
    health: Health,
    /// Whether it is being examined.
    examined: bool,
    /// Losses in a row.
    strikes: u32,
    position: Option<Position>,
    reached: Option<Mark>,
}

/// Whether it may be used.
enum Health {
    Up,
    /// Until when it rests, and why; at first there is no reason but that nobody has looked.
    Down(Instant, Option<Error>),
}

/// A look at a replica; only one at a time.
pub(super) struct Examination(Arc<Member>);

impl Drop for Examination {
    fn drop(&mut self) {
        self.0.state().examined = false;
    }
}

impl Member {
    pub(super) fn new(config: &Config) -> Self {
        let (config, watching) = (Arc::new(config.clone()), watching(config));
        let state = State {
            backend: backends::open(&config),
            watch: backends::open(&watching),
            health: Health::Down(Instant::now(), None),
            examined: false,
            strikes: 0,
            position: None,
            reached: None,
        };
        Self {
            config,
            watching,
            state: Mutex::new(state),
            silence: Notify::new(),
            reads: AtomicU64::new(0),
            losses: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.state().backend)
    }

    /// Ends when it turns out to be silent.
    pub(super) fn silent(&self) -> Notified<'_> {
        self.silence.notified()
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state().health, Health::Up)
    }

    /// Whether it rests and has rested enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let state = self.state();
        !state.examined && matches!(state.health, Health::Down(until, _) if until <= now)
    }

    /// Whether it is there but is not known to have so many writes of this process.
    pub(super) fn is_behind(&self, writes: u64) -> bool {
        let state = self.state();
        matches!(state.health, Health::Up) && state.reached.map_or(0, |mark| mark.writes) < writes
    }

    /// Whether it is healthy, near enough and has so many writes of this process.
    pub(super) fn fits(&self, max_staleness: Option<Duration>, writes: u64) -> bool {
        let state = self.state();
        let near = max_staleness.is_none_or(|most| state.reached.is_some_and(|mark| mark.at.elapsed() <= most));
        matches!(state.health, Health::Up) && near && state.reached.map_or(0, |mark| mark.writes) >= writes
    }

    /// A read came back from it.
    pub(super) fn proved(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.state().strikes = 0;
    }

    /// Takes it out until it has rested and answers.
    pub(super) fn lost(&self, error: &Error) {
        let mut state = self.state();
        if matches!(state.health, Health::Up) {
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
        let rest = LONGEST_REST.min(FIRST_REST * 2_u32.saturating_pow(state.strikes.min(10)));
        state.strikes = state.strikes.saturating_add(1);
        // What it had may be gone with it: a standby that has crashed opens at an earlier place.
        (state.position, state.reached) = (None, None);
        state.health = Health::Down(Instant::now() + rest.mul_f64(rand::random_range(0.5..=1.0)), Some(error.clone()));
    }

    /// Takes out one that did not say a word: its connections may be dead without knowing it.
    fn fell_silent(&self, error: &Error) {
        self.lost(error);
        let (backend, watch) = {
            let mut state = self.state();
            let backend = std::mem::replace(&mut state.backend, backends::open(&self.config));
            (backend, std::mem::replace(&mut state.watch, backends::open(&self.watching)))
        };
        self.silence.notify_waiters();
        runtime::spawn(async move {
            // Nobody is left who could be told.
            let _ = futures_util::future::join(backend.close(), watch.close()).await;
        })
        .detach();
    }

    /// Begins to look at it, unless somebody does already.
    pub(super) fn begin_examination(self: &Arc<Self>) -> Option<Examination> {
        let was = std::mem::replace(&mut self.state().examined, true);
        (!was).then(|| Examination(Arc::clone(self)))
    }

    /// What is known of it.
    pub(super) fn report(&self, primary: Option<Mark>) -> Map {
        let state = self.state();
        let (status, error) = match &state.health {
            Health::Up => ("healthy", None),
            Health::Down(_, error) => ("unhealthy", error.as_ref()),
        };
        let error = error.map(|error| document! { "code" => error.code(), "message" => error.to_string() });
        let lag = state.reached.map_or(Value::Null, |mark| Value::Float(mark.at.elapsed().as_secs_f64()));
        let behind = match (primary, state.position) {
            (Some(primary), Some(position)) => {
                Value::Int(i64::try_from(primary.log.saturating_sub(position.log)).unwrap_or(i64::MAX))
            }
            _ => Value::Null,
        };
        let count =
            |counter: &AtomicU64| Value::Int(i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        document! {
            "url" => self.config.url.redacted(), "status" => status, "lag" => lag, "behind" => behind,
            "reads" => count(&self.reads), "losses" => count(&self.losses),
            "error" => error.map_or(Value::Null, Value::Map), "pool" => state.backend.pool_stats(),
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        let (backend, watch) = {
            let state = self.state();
            (Arc::clone(&state.backend), Arc::clone(&state.watch))
        };
        let (closed, watch_closed) = futures_util::future::join(backend.close(), watch.close()).await;
        closed.and(watch_closed)
    }
}

impl Examination {
    /// Asks it where it is. `needs_positions`: whether one that follows nobody is of no use.
    pub(super) async fn run(self, marks: &Mutex<Marks>, patience: Duration, needs_positions: bool) {
        let member = &self.0;
        let watch = Arc::clone(&member.state().watch);
        let answer = match within(patience, watch.position()).await {
            Ok(Some(position)) if needs_positions && !position.follows => Err(Error::connection_failed(
                "the server is no replica: it follows nobody, so its staleness has no bound",
            )
            .with("answered", true)),
            answer => answer,
        };
        match answer {
            Ok(position) => {
                let reached = position
                    .and_then(|position| marks.lock().unwrap_or_else(PoisonError::into_inner).reached(position.log));
                let mut state = member.state();
                (state.position, state.reached) = (position, reached);
                state.health = Health::Up;
            }
            // Who refuses speaks; the connections to it may be well.
            Err(error) if ["answered", "sqlstate"].iter().any(|fact| error.context().contains_key(*fact)) => {
                member.lost(&error);
            }
            Err(error) => member.fell_silent(&error),
        }
    }
}
