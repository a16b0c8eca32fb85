//! Inserting rows while more of them are being checked: the host hands batches over, one transaction takes them.
//!
//! Invariant: all or none. The rows are kept only where the host has said that they are all ([`Feed::end`]) and each batch
//! was inserted; a feed that is dropped before that undoes what was inserted.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Repository, Verb};
use crate::backend::{Batch, More};
use crate::error::{Error, Kind, Result};
use crate::lease::Lease;
use crate::schema::Relation;
use crate::transaction::{Transaction, Unit};
use crate::value::Value;

/// Batches that wait for the database at most, so that memory stays bounded.
const AHEAD: usize = 8;

/// The host's end.
pub struct Feed {
    batches: mpsc::Sender<Batch>,
    ended: Arc<AtomicBool>,
}

/// The database's end.
pub struct Fed {
    batches: More,
    ended: Arc<AtomicBool>,
}

impl Feed {
    /// Hands rows over; gives them back where too many wait already. `None` too where the insertion has failed, whose error
    /// says why.
    pub fn push(&self, rows: Batch) -> Option<Batch> {
        match self.batches.try_send(rows) {
            Err(TrySendError::Full(rows)) => Some(rows),
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        }
    }

    /// Whether the insertion has failed.
    pub fn is_over(&self) -> bool {
        self.batches.is_closed()
    }

    /// Waits until rows may be handed over again.
    pub fn room(&self) -> impl Future<Output = ()> + Send + 'static {
        let batches = self.batches.downgrade();
        async move {
            // Weak, so that whoever waits does not keep a feed open that is dropped.
            if let Some(batches) = batches.upgrade() {
                let _ = batches.reserve().await;
            }
        }
    }

    /// These are all.
    pub fn end(self) {
        self.ended.store(true, Ordering::Release);
    }
}

impl Repository {
    /// The two ends of an insertion; `None` where all rows must be known before the first is inserted: they may name each
    /// other, or cannot be undone by themselves inside the caller's transaction.
    pub fn feed(&self, tx: Option<&Transaction>) -> Option<(Feed, Fed)> {
        let engine = self.database.backend().capabilities();
        let is_held_up = |relation: &Relation| {
            relation.is_enforced() && (!engine.foreign_keys || relation.target == self.entity.name)
        };
        if self.entity.relations.iter().any(is_held_up) || (tx.is_some() && !engine.savepoints) {
            return None;
        }
        let (send, receive) = mpsc::channel(AHEAD);
        let ended = Arc::new(AtomicBool::new(false));
        Some((Feed { batches: send, ended: Arc::clone(&ended) }, Fed { batches: More::new(receive), ended }))
    }

    /// Inserts what is handed over, all or none; the key of each row where the database counts it. Needs no session before
    /// the first rows are there.
    pub async fn insert_fed(&self, mut fed: Fed, tx: Option<&Transaction>) -> Result<Vec<Option<i64>>> {
        let Some(first) = fed.batches.next().await else { return fed.check().map(|()| Vec::new()) };
        let mut unit =
            Unit::begin(self.lease(Verb::CreateMany, tx).await?).await.map_err(|error| match error.kind() {
                Kind::Unsupported => error.replacing("operator", Verb::CreateMany.name()),
                _ => error,
            })?;
        let outcome = self.insert_batches(unit.lease(), first, &mut fed).await;
        fed.batches.close();
        unit.end(outcome).await
    }

    async fn insert_batches(&self, lease: &mut Lease, first: Batch, fed: &mut Fed) -> Result<Vec<Option<i64>>> {
        let (mut keys, mut next) = (Vec::new(), Some(first));
        while let Some(rows) = next {
            let (before, count) = (keys.len(), rows.len());
            let statement = self.shared.insertion.clone();
            let inserted = lease.session()?.insert_more(statement, Arc::new(rows), &mut fed.batches).await;
            keys.extend(inserted.map_err(|error| placed(error, before, count))?);
            next = fed.batches.next().await;
        }
        fed.check().map(|()| keys)
    }
}

impl Fed {
    fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::new(Kind::Cancelled, "the rows did not come to their end"))
    }
}

/// The error of a batch, which knows its own rows, as one of all rows.
fn placed(error: Error, before: usize, count: usize) -> Error {
    let row = match error.context().get("row").and_then(Value::as_int) {
        Some(row) => usize::try_from(row).ok(),
        // The only row of a batch is not told by its place in it.
        None => (count == 1 && !error.is_retryable() && error.kind() != Kind::OutcomeUnknown).then_some(0),
    };
    match row {
        Some(row) => error.replacing("row", before + row),
        None => error,
    }
}
