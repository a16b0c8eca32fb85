//! [`Lease`]: the session of one verb.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use crate::backend::Session;
use crate::error::{Error, Result};
use crate::transaction::Shared;

/// A session that was taken out, and the transaction that it belongs to.
pub(crate) type Lent = (Box<dyn Session>, Option<Arc<Shared>>);

/// A session for one verb: one of the pool's, or the transaction's.
pub(crate) enum Lease {
    /// Goes back to the pool by being dropped; empty while a stream has it.
    Own(Option<Box<dyn Session>>),
    /// The transaction's.
    Shared(OwnedMutexGuard<Option<Box<dyn Session>>>, Arc<Shared>),
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

    /// Takes the session out for a stream, with the transaction that it belongs to. Others that want the transaction's
    /// session meanwhile are refused.
    pub(crate) fn into_session(mut self) -> Result<Lent> {
        let session = self.slot().take().ok_or_else(taken)?;
        let home = match self {
            Self::Own(_) => None,
            Self::Shared(_, shared) => Some(shared),
        };
        Ok((session, home))
    }

    /// Marks the transaction as not to be committed.
    pub(crate) fn break_transaction(&self) {
        if let Self::Shared(_, shared) = self {
            shared.break_off();
        }
    }
}

fn taken() -> Error {
    Error::transaction_state("a stream of the transaction is still open")
}
