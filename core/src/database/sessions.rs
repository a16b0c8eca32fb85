//! Where the session of a verb comes from: the caller's transaction, a replica, or the primary.

use std::sync::Arc;

use super::Database;
use crate::backend::{Access, Batch, Rows, Statement};
use crate::config::BackendKind;
use crate::error::Result;
use crate::lease::Lease;
use crate::replicas::Replicas;
use crate::replicas::route::{self, Route};
use crate::transaction::Transaction;
use crate::value::Value;

impl Database {
    /// The read replicas in this process, where there are any.
    pub(super) fn replicas(&self) -> Option<Arc<Replicas>> {
        if self.0.config.replicas.is_empty() { None } else { self.slot().replicas.clone() }
    }

    /// The way of the reads of one call with this access, where some of them may go elsewhere than to the primary.
    pub(crate) fn route(&self, access: Access) -> Option<Route> {
        let config = &self.0.config;
        let elsewhere = match config.backend() {
            BackendKind::Mongodb => config.parameters.text("read_preference").is_some(),
            _ => !config.replicas.is_empty(),
        };
        elsewhere.then_some(if access == Access::Read { Route::Open } else { Route::Primary })
    }

    /// The rows of a select that the backend can answer on this thread at once.
    pub(crate) fn query_at_once(&self, statement: &Statement, parameters: &[Value]) -> Result<Option<Box<dyn Rows>>> {
        self.check_connected()?;
        Ok(self.backend().query_at_once(statement, parameters))
    }

    /// Inserts one row in a transaction of its own, where the backend does that better than a session.
    pub(crate) async fn insert_alone(
        &self,
        statement: &Statement,
        rows: &Arc<Batch>,
    ) -> Result<Option<Vec<Option<i64>>>> {
        self.check_connected()?;
        self.backend().insert_alone(statement, rows).await.transpose()
    }

    /// A lease on a connection that idles, if there is one.
    pub(crate) fn idle_lease(&self, access: Access) -> Result<Option<Lease>> {
        self.check_connected()?;
        let session = match self.replicas() {
            Some(replicas) if access == Access::Read => replicas.idle_session(),
            _ if route::is_primary() => self.backend().idle_session(Access::Write),
            _ => self.backend().idle_session(access),
        };
        Ok(session.map(|session| Lease::Own(Some(session))))
    }

    pub(crate) async fn lease(&self, access: Access, tx: Option<&Transaction>) -> Result<Lease> {
        self.check_connected()?;
        if let Some(tx) = tx {
            return tx.lease(access, self.0.id).await;
        }
        let session = match self.replicas() {
            Some(replicas) => replicas.session(access).await?,
            // What a write reads must not come from another member of a replica set.
            None if route::is_primary() => self.backend().session(Access::Write).await?,
            None => self.backend().session(access).await?,
        };
        Ok(Lease::Own(Some(session)))
    }
}
