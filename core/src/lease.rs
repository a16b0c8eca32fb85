//! [`Lease`]: the session of one verb.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OwnedMutexGuard;

use crate::backend::Session;
use crate::error::{Error, Result};

/// A session for one verb: one of the pool's, or the transaction's.
pub(crate) enum Lease {
    /// Goes back to the pool by being dropped; empty while a stream has it.
    Own(Option<Box<dyn Session>>),
    /// The transaction's, and the flag by which it is broken.
    Shared(OwnedMutexGuard<Option<Box<dyn Session>>>, Arc<AtomicBool>),
}

impl Lease {
    fn slot(&mut self) -> &mut Option<Box<dyn Session>> {
        match self {
            Self::Own(slot) => slot,
            Self::Shared(guard, _) => guard,
        }
    }

    /// Whether it belongs to a transaction of the caller.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(..))
    }

    /// The session.
    pub(crate) fn session(&mut self) -> Result<&mut Box<dyn Session>> {
        self.slot().as_mut().ok_or_else(taken)
    }

    /// Takes the session out, for a stream.
    pub(crate) fn take(&mut self) -> Result<Box<dyn Session>> {
        self.slot().take().ok_or_else(taken)
    }

    /// Puts a session back that was taken; one of the pool goes back to it by being dropped.
    pub(crate) fn put_back(&mut self, session: Box<dyn Session>) {
        if let Self::Shared(guard, _) = self {
            **guard = Some(session);
        }
    }

    /// Marks the transaction as not to be committed.
    pub(crate) fn break_transaction(&self) {
        if let Self::Shared(_, broken) = self {
            broken.store(true, Ordering::Release);
        }
    }
}

fn taken() -> Error {
    Error::transaction_state("a stream of the transaction is still open")
}
