//! The driver's session, and the end of a transaction that nobody wants any more.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use mongodb::ClientSession;
use tokio::time::timeout;

use super::client::{Began, Places, Store};
use super::task::LINGER;
use crate::pool::Pooled;
use crate::runtime;

/// A session of the driver. Dropped in the middle of a transaction it ends that on the server, and gives the transaction's
/// place back only then: whoever gets the place next must not meet the locks of one who has left.
pub(super) struct DriverSession {
    /// There until it is dropped. The driver's sessions are large.
    session: Option<Box<ClientSession>>,
    transaction: Option<Held>,
}

/// What a transaction holds until the server has ended it.
struct Held {
    _began: Began,
    _place: Arc<Pooled<Places>>,
}

impl DriverSession {
    pub(super) fn new(session: ClientSession) -> Self {
        Self { session: Some(Box::new(session)), transaction: None }
    }

    /// A transaction was begun, which has this place.
    pub(super) fn began(&mut self, store: &Arc<Store>, place: Arc<Pooled<Places>>) {
        let began = Began::new(store, self.id().clone());
        self.transaction = Some(Held { _began: began, _place: place });
    }

    /// The transaction is at its end.
    pub(super) fn ended(&mut self) {
        self.transaction = None;
    }
}

impl Deref for DriverSession {
    type Target = ClientSession;

    fn deref(&self) -> &ClientSession {
        self.session.as_ref().expect("a session is there until it is dropped")
    }
}

impl DerefMut for DriverSession {
    fn deref_mut(&mut self) -> &mut ClientSession {
        self.session.as_mut().expect("a session is there until it is dropped")
    }
}

impl Drop for DriverSession {
    fn drop(&mut self) {
        // What the driver does about one that is dropped it does in a task of its own.
        let _runtime = runtime::handle().enter();
        let (session, transaction) = (self.session.take(), self.transaction.take());
        let (Some(mut session), Some(held)) = (session, transaction) else { return };
        runtime::handle().spawn(async move {
            // Without an answer the server's own deadline ends it.
            timeout(LINGER, session.abort_transaction()).await.ok();
            drop(held);
        });
    }
}
