//! Tasks of the driver, which wants to be on the runtime, and what happens to them when nobody waits any more.
//!
//! A command is left to finish for a moment: its connection can be used again then, and a cursor whose number is known can
//! be closed, while one whose number is lost on the way stays open on the server for ten minutes. Reading ends with the
//! batch that is under way.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::bson::Document;
use tokio::sync::Notify;

use super::client::Store;
use crate::error::{Error, Kind, Result};
use crate::runtime;

/// How long a command may go on when nobody waits for it any more.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long one of a transaction may, before the server is asked to end it.
const SHORT_PATIENCE: Duration = Duration::from_millis(20);
/// How long that may take: an abort that overtakes the transaction's first command on another connection finds nothing,
/// and the server would keep the transaction, with all that it has locked, until its own deadline of a minute.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Tells work on the runtime whether somebody waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(Arc<(AtomicBool, Notify)>);

impl Wanted {
    fn leave(&self) {
        self.0.0.store(true, Ordering::Relaxed);
        self.0.1.notify_one();
    }

    /// Ends when nobody waits any more.
    async fn left(&self) {
        self.0.1.notified().await;
    }

    /// An error where nobody waits any more; for between two batches.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.0.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Cancelled, "nobody waits for these rows any more"));
        }
        Ok(())
    }
}

/// Runs a future of the driver; when this one is dropped it may go on for a moment.
pub(super) async fn on_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    run(work, Wanted::default(), PATIENCE).await
}

/// The same for reading: `wanted` says when to stop, and a transaction's command may go on for longer.
pub(super) async fn reading<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    wanted: Wanted,
    is_in_transaction: bool,
) -> Result<T> {
    run(work, wanted, if is_in_transaction { LINGER } else { PATIENCE }).await
}

/// A command of a transaction that is ended on the server when nobody waits for it, while its session is still its own: one
/// that has gone back to the driver may be another caller's already.
pub(super) async fn ended_if_left<T>(
    work: impl Future<Output = T>,
    wanted: Wanted,
    store: Arc<Store>,
    session: Document,
) -> T {
    let mut work = std::pin::pin!(work);
    let too_long = async {
        wanted.left().await;
        tokio::time::sleep(SHORT_PATIENCE).await;
    };
    tokio::select! {
        done = &mut work => return done,
        () = too_long => {}
    }
    let (done, ()) = tokio::join!(work, store.end_sessions(vec![session]));
    done
}

async fn run<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    wanted: Wanted,
    linger: Duration,
) -> Result<T> {
    struct Guard(tokio::task::AbortHandle, Wanted, Duration);
    impl Drop for Guard {
        fn drop(&mut self) {
            let Self(task, wanted, linger) = self;
            if task.is_finished() {
                return;
            }
            wanted.leave();
            let (task, linger) = (task.clone(), *linger);
            runtime::handle().spawn(async move {
                tokio::time::sleep(linger).await;
                task.abort();
            });
        }
    }
    let task = runtime::handle().spawn(work);
    let _guard = Guard(task.abort_handle(), wanted, linger);
    task.await.map_err(|error| Error::internal(format!("a task of the driver ended: {error}")))
}
