//! Processes that end without `close`: what would go on at a server is ended there.
//!
//! Most of it ends by itself, because a server notices that a client has gone: SQLite in the process, PostgreSQL at its next
//! look at the socket. MySQL executes a statement to its end, and MongoDB keeps a transaction, with its locks, for a minute.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::runtime;

/// The backends that were opened, each with the process that did.
static OPEN: Mutex<Vec<(u32, Weak<dyn Backend>)>> = Mutex::new(Vec::new());

fn open() -> MutexGuard<'static, Vec<(u32, Weak<dyn Backend>)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a backend of this process.
pub(crate) fn note(backend: &Arc<dyn Backend>) {
    // After a fork a thread that is no more may have it; what is not noted is left to the servers.
    let Ok(mut open) = OPEN.try_lock() else { return };
    open.retain(|(_, backend)| backend.strong_count() > 0);
    open.push((std::process::id(), Arc::downgrade(backend)));
}

/// Ends on the servers what this process has left under way. A host calls it when the process ends; it blocks for `limit` at
/// most, and not at all where nothing is under way.
pub fn end_all(limit: Duration) {
    let process = std::process::id();
    let backends: Vec<_> =
        open().iter().filter(|(owner, _)| *owner == process).filter_map(|(_, b)| b.upgrade()).collect();
    let mut tasks = JoinSet::new();
    for backend in backends.into_iter().filter(|backend| backend.leaves_work()) {
        tasks.spawn_on(async move { backend.end_work().await }, &runtime::handle());
    }
    if tasks.is_empty() {
        return;
    }
    let (send, wait) = mpsc::channel();
    runtime::handle().spawn(async move {
        tasks.join_all().await;
        let _ = send.send(());
    });
    // Whoever is not done by then is left to the servers.
    let _ = wait.recv_timeout(limit);
}
