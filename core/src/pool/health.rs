//! [`Health`]: when the pool may try to connect again after failures.
//!
//! Two things count: attempts that fail, and connections that open well and are lost before they came back clean once.
//! The latter only when more of them are lost in a row than the pool has places: a restart of the server loses a whole
//! pool, and that alone is no reason to wait.

use std::time::Duration;

use tokio::time::Instant;

/// The wait after the first failure; it doubles with each one in a row.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait: a server that is back is noticed within this and one attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What is known of recent attempts.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    losses: u32,
    tolerated_losses: u32,
    retry_at: Option<Instant>,
}

impl Health {
    pub(super) fn new(places: usize) -> Self {
        Self { tolerated_losses: u32::try_from(places).unwrap_or(u32::MAX), ..Self::default() }
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.wait(now);
    }

    /// A connection was lost before it came back clean once.
    pub(super) fn lost(&mut self, now: Instant) {
        self.losses = self.losses.saturating_add(1);
        self.wait(now);
    }

    /// An attempt succeeded.
    pub(super) fn connected(&mut self) {
        self.failures = 0;
    }

    /// A connection came back clean.
    pub(super) fn proven(&mut self) {
        self.losses = 0;
    }

    /// Whether attempts must be made one by one, and not before the moment inside.
    pub(super) fn limit(&self) -> Option<Instant> {
        if self.strikes() == 0 { None } else { self.retry_at }
    }

    fn strikes(&self) -> u32 {
        self.failures.saturating_add(self.losses.saturating_sub(self.tolerated_losses))
    }

    fn wait(&mut self, now: Instant) {
        let doublings = self.strikes().saturating_sub(1).min(16);
        let longest = (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT);
        // The jitter keeps the processes of one application from knocking all at once.
        self.retry_at = Some(now + longest.mul_f64(rand::random_range(0.5..=1.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_with_jitter_up_to_a_second() {
        let (mut health, now) = (Health::new(4), Instant::now());
        for longest in [50, 100, 200, 400, 800, 1000, 1000] {
            health.failed(now);
            let wait = health.limit().unwrap() - now;
            let longest = Duration::from_millis(longest);
            assert!(wait <= longest && wait >= longest / 2, "{wait:?} for {longest:?}");
        }
        health.connected();
        assert_eq!(health.limit(), None);
    }

    #[test]
    fn losses_count_only_beyond_a_whole_pool_and_until_one_connection_is_proven() {
        let (mut health, now) = (Health::new(2), Instant::now());
        health.lost(now);
        health.lost(now);
        assert_eq!(health.limit(), None);
        health.lost(now);
        health.connected();
        assert!(health.limit().is_some());
        health.proven();
        assert_eq!(health.limit(), None);
    }
}
