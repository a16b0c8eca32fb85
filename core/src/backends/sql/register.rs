//! [`Register`]: which connections are open on the server, so that closing a database can end those that are still held.
//!
//! A connection that is on loan belongs to its holder, perhaps a forgotten transaction, which keeps its locks; only the
//! server can end it from outside.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What tells the connections apart on the server: the numbers that it gave them, with something that makes them unique,
/// because a server uses numbers again, after a restart from the first on.
#[derive(Clone, Debug)]
pub(in crate::backends) struct Register<N>(Arc<Mutex<HashSet<N>>>);

impl<N> Default for Register<N> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<N: Clone + Eq + Hash> Register<N> {
    /// Enters a connection, which stays as long as the entry lives.
    pub(in crate::backends) fn enter(&self, number: N) -> Entry<N> {
        self.lock().insert(number.clone());
        Entry(self.clone(), number)
    }

    /// All that are open.
    pub(in crate::backends) fn all(&self) -> Vec<N> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<N>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's entry; leaves with its drop.
#[derive(Debug)]
pub(in crate::backends) struct Entry<N: Clone + Eq + Hash>(Register<N>, N);

impl<N: Clone + Eq + Hash> Entry<N> {
    /// What is entered.
    pub(in crate::backends) fn number(&self) -> N {
        self.1.clone()
    }
}

impl<N: Clone + Eq + Hash> Drop for Entry<N> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}
