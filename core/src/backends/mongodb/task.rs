//! Tasks of the driver, which wants to be on the runtime, and what happens to them when nobody waits any more.

use std::future::Future;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::runtime;

/// How long a command of a transaction may go on when nobody waits for it any more.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Runs a future of the driver, which wants to be on the runtime; dropping this one ends it there.
pub(super) async fn on_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    run(work, Duration::ZERO).await
}

/// The same for a command of a transaction, which is left to finish, for a second at most: an abort that overtakes the
/// transaction's first command on another connection finds nothing, and the server would keep the transaction, with all
/// that it has locked, until its own deadline of a minute.
pub(super) async fn in_transaction<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    run(work, LINGER).await
}

async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static, linger: Duration) -> Result<T> {
    struct Guard(tokio::task::AbortHandle, Duration);
    impl Drop for Guard {
        fn drop(&mut self) {
            let Self(task, linger) = self;
            if linger.is_zero() {
                return task.abort();
            }
            if !task.is_finished() {
                let (task, linger) = (task.clone(), *linger);
                runtime::handle().spawn(async move {
                    tokio::time::sleep(linger).await;
                    task.abort();
                });
            }
        }
    }
    let task = runtime::handle().spawn(work);
    let _guard = Guard(task.abort_handle(), linger);
    task.await.map_err(|error| Error::internal(format!("a task of the driver ended: {error}")))
}
