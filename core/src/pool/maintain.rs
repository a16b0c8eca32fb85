//! The pool's housekeeping: connections that idled or lived too long are closed, and `min_size` is kept.
//!
//! One task a pool, and none where nothing can become overdue. It holds the pool weakly and ends with it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Manager;
use super::shared::Shared;
use crate::config::PoolOptions;

/// How often to look: four times in the shortest limit, but neither busily nor so rarely that a surplus stays.
fn interval(options: &PoolOptions) -> Option<Duration> {
    let surplus = (options.max_idle < options.max_size).then_some(Duration::from_secs(20));
    let shortest = [options.idle_timeout, options.max_lifetime, surplus].into_iter().flatten().min()?;
    Some((shortest / 4).clamp(Duration::from_millis(50), Duration::from_secs(15)))
}

impl<M: Manager> Shared<M> {
    /// Begins the housekeeping, if there is any to do.
    pub(super) fn maintain(self: &Arc<Self>) {
        if let Some(interval) = interval(&self.options) {
            self.runtime.spawn(keep_house(Arc::downgrade(self), self.closing.subscribe(), interval));
        }
    }

    /// Closes what is overdue and opens what is missing.
    fn sweep(self: &Arc<Self>) {
        let (overdue, plan) = {
            let mut state = self.lock();
            let overdue = state.overdue(&self.options, Instant::now());
            (overdue, state.plan(&self.options))
        };
        self.start(plan);
        for live in overdue {
            self.dispose(live.connection);
        }
    }
}

async fn keep_house<M: Manager>(pool: Weak<Shared<M>>, mut closed: watch::Receiver<bool>, interval: Duration) {
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        match pool.upgrade() {
            Some(pool) => pool.sweep(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackendKind;

    #[test]
    fn a_pool_in_which_nothing_becomes_overdue_has_no_housekeeping() {
        assert_eq!(interval(&PoolOptions::defaults(BackendKind::Sqlite)), None);
        assert_eq!(interval(&PoolOptions::defaults(BackendKind::Postgres)), Some(Duration::from_secs(5)));
        assert_eq!(interval(&PoolOptions::defaults(BackendKind::Mongodb)), Some(Duration::from_secs(15)));
    }
}
