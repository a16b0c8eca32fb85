//! Whether reads on the caller's thread, which is often an event loop's, are short enough to go on with.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A read that takes longer is interrupted, as far as SQLite looks.
pub(super) const BOUND: Duration = Duration::from_micros(300);
/// A read that takes longer was not short: it had to wait for the disk, or its row is large.
const SHORT: Duration = Duration::from_micros(100);
/// The first ones of a connection fill its caches.
const FIRST: u32 = 8;
/// One that is not short after so many that were is nothing: a busy machine stops a thread now and then.
const ENOUGH: u32 = 100;
/// After any other this many are left to the connection's thread, and twice as many each time until enough were short.
const LEAST_REST: u32 = 128;
const MOST_REST: u32 = 16_384;

/// The pace of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    /// Reads that are left to the thread.
    rest: AtomicU32,
    /// How many would be after the next one that is not short.
    next_rest: AtomicU32,
    /// Short ones since the last that was not.
    in_a_row: AtomicU32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rest: AtomicU32::new(FIRST), next_rest: AtomicU32::new(LEAST_REST), in_a_row: AtomicU32::new(0) }
    }
}

impl Pace {
    /// Whether the next read is expected to be short; one that is not expected to be is counted.
    pub(super) fn is_short(&self) -> bool {
        let rest = self.rest.load(Ordering::Relaxed);
        if rest > 0 {
            self.rest.store(rest - 1, Ordering::Relaxed);
        }
        rest == 0
    }

    /// Learns how long one took. Whoever calls this holds the connection.
    pub(super) fn took(&self, span: Duration) {
        let in_a_row = self.in_a_row.load(Ordering::Relaxed);
        if span <= SHORT {
            if in_a_row == ENOUGH {
                self.next_rest.store(LEAST_REST, Ordering::Relaxed);
            }
            self.in_a_row.store(in_a_row.saturating_add(1), Ordering::Relaxed);
            return;
        }
        if in_a_row < ENOUGH {
            let next = self.next_rest.load(Ordering::Relaxed);
            self.rest.store(next, Ordering::Relaxed);
            self.next_rest.store((next * 2).min(MOST_REST), Ordering::Relaxed);
        }
        self.in_a_row.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(10);
    const SLOW: Duration = Duration::from_millis(1);

    /// How many reads are left to the thread before the next one may be made at once.
    fn left(pace: &Pace) -> u32 {
        (0..=MOST_REST).find(|_| pace.is_short()).unwrap()
    }

    #[test]
    fn reads_that_are_not_short_are_left_to_the_thread_for_longer_and_longer() {
        let pace = Pace::default();
        assert_eq!(left(&pace), FIRST);
        pace.took(FAST);
        assert_eq!(left(&pace), 0);
        for rest in [128, 256, 512] {
            pace.took(SLOW);
            assert_eq!(left(&pace), rest);
        }
        (0..=ENOUGH).for_each(|_| pace.took(FAST));
        pace.took(SLOW);
        assert_eq!(left(&pace), 0, "one in a hundred is nothing");
        pace.took(SLOW);
        assert_eq!(left(&pace), LEAST_REST);
        for _ in 0..20 {
            pace.took(SLOW);
        }
        assert_eq!(left(&pace), MOST_REST);
    }
}
