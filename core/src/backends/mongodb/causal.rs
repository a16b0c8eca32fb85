//! `read_your_writes`: a read on any member waits there for what this process has written.
//!
//! The primary is asked for its time, which is not before the last write's, and the member answers once it has come so far
//! (`afterClusterTime`). It is asked once, by the first read behind a write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::Client;
use mongodb::bson::{Timestamp, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::SessionOptions;

use super::client::Store;
use super::driver_session::DriverSession;
use super::error::translate;
use super::task::on_runtime;
use crate::error::Result;

/// What this process has written.
#[derive(Default)]
pub(super) struct Writes {
    /// Counts those that have ended.
    count: AtomicU64,
    /// A time of the primary, and how many of them lie before it.
    known: Mutex<(u64, Option<Timestamp>)>,
}

impl Writes {
    /// A write has ended; whoever asked for it has not heard so yet.
    pub(super) fn note(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// The time behind which all of them lie; `None` where there is none.
    async fn time(&self, client: &Client) -> Result<Option<Timestamp>, DriverError> {
        let count = self.count.load(Ordering::Acquire);
        let (known, time) = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known >= count {
            return Ok(time);
        }
        let mut session = client.start_session().await?;
        client.database("admin").run_command(doc! { "ping": 1 }).session(&mut session).await?;
        let time = session.operation_time();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 < count {
            *known = (count, time);
        }
        Ok(time)
    }
}

/// The session of one read outside transactions; `None` where it need not wait for anything.
pub(super) async fn session(store: &Arc<Store>) -> Result<Option<DriverSession>> {
    let Some(writes) = store.causal.clone().filter(|_| store.prefers) else { return Ok(None) };
    let client = store.client.clone();
    let session = on_runtime(async move {
        let Some(time) = writes.time(&client).await? else { return Ok(None) };
        let options = SessionOptions::builder().causal_consistency(true).build();
        let mut session = client.start_session().with_options(options).await?;
        session.advance_operation_time(time);
        Ok(Some(DriverSession::new(session)))
    });
    session.await?.map_err(|error: DriverError| translate(&error, None))
}
