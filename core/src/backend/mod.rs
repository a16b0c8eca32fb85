//! THE SEAM: what a database must do for farm-db, and nothing more.
//!
//! A [`Backend`] compiles portable [`Operation`]s to its native [`Statement`]s (pure, no connection) and hands out
//! [`Session`]s that execute them. There are no default methods: a new backend states everything. What an engine can and
//! cannot do is a documented fact in [`Capabilities`]; code asks it instead of asking which database this is.

mod batch;
mod capabilities;
mod early;
mod introspection;
mod more;
mod operation;
mod rows;

use std::sync::Arc;

use async_trait::async_trait;

pub use batch::Batch;
pub use capabilities::Capabilities;
pub use early::Early;
pub use introspection::Introspection;
pub use more::More;
pub(crate) use more::Span;
pub use operation::{Changes, Conflict, Insert, Operation, Select, SetTo, Statement, Write};
pub use rows::{Cell, Rows};

use crate::error::{Error, Result};
use crate::schema::{Contract, FieldType};
use crate::value::{Map, Value};

/// What a session is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only: may run beside other sessions.
    Read,
    /// Reading and writing.
    Write,
}

/// How far a server has come in the log of the database's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The place in the log: on a replica everything before it can be read there, on the primary everything that was
    /// committed when it was asked for lies before it.
    pub log: u64,
    /// Whether the server follows another one.
    pub follows: bool,
}

/// How a transaction is begun.
#[derive(Clone, Debug, Default)]
pub struct TransactionOptions {
    /// The standard isolation level, such as `serializable`; the engine's own default where absent.
    pub isolation: Option<String>,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether its first error is its end, so that nothing has to be kept usable behind one.
    pub whole: bool,
}

/// The standard isolation levels, and snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// `read_uncommitted`
    ReadUncommitted,
    /// `read_committed`
    ReadCommitted,
    /// `repeatable_read`
    RepeatableRead,
    /// `snapshot`
    Snapshot,
    /// `serializable`
    Serializable,
}

impl TransactionOptions {
    /// The isolation level that was asked for; `invalid_query` where there is none of this name.
    pub fn level(&self) -> Result<Option<Isolation>> {
        let Some(name) = &self.isolation else { return Ok(None) };
        let name = name.to_lowercase().replace([' ', '-'], "_");
        Ok(Some(match name.as_str() {
            "read_uncommitted" => Isolation::ReadUncommitted,
            "read_committed" => Isolation::ReadCommitted,
            "repeatable_read" => Isolation::RepeatableRead,
            "snapshot" => Isolation::Snapshot,
            "serializable" => Isolation::Serializable,
            _ => {
                return Err(Error::invalid_query(format!(
                    "unknown isolation level {name:?}, expected one of read_uncommitted, read_committed, \
                     repeatable_read, snapshot, serializable"
                )));
            }
        }))
    }
}

/// One kind of database with its pool.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The name in URLs and messages.
    fn name(&self) -> &'static str;

    /// What the engine can do.
    fn capabilities(&self) -> &'static Capabilities;

    /// The native statement of an operation. Pure. What the engine cannot do exactly is in the statement's residual.
    fn compile(&self, operation: &Operation<'_>) -> Result<Statement>;

    /// The value as a column of this type will give it back, such as a moment in the precision that the engine has; the
    /// loss is one that [`Capabilities`] declare. `invalid_value` where the engine cannot hold it at all.
    fn stored(&self, kind: &FieldType, value: Value) -> Result<Value>;

    /// Opens the database and proves that it answers.
    async fn connect(&self) -> Result<()>;

    /// A session for one piece of work, from the pool, within the acquire deadline.
    async fn session(&self, access: Access) -> Result<Box<dyn Session>>;

    /// A session on a connection that idles, if there is one; no I/O, no waiting.
    fn idle_session(&self, access: Access) -> Option<Box<dyn Session>>;

    /// The rows of a select with these parameters, where that takes less than a hand-over between threads would: in the
    /// process, on a connection that idles, without waiting for anybody. `None` where it must be asked for in a session.
    fn query_at_once(&self, _statement: &Statement, _parameters: &[Value]) -> Option<Box<dyn Rows>> {
        None
    }

    /// Inserts one row in a transaction of its own, where its commit may serve others that come meanwhile too. `None` where
    /// a session does as well.
    async fn insert_alone(&self, _statement: &Statement, _rows: &Arc<Batch>) -> Option<Result<Vec<Option<i64>>>> {
        None
    }

    /// Asks the server how far it has come, and so whether it answers; `None` where the engine does not tell, and in the
    /// process.
    async fn position(&self) -> Result<Option<Position>>;

    /// Stops intake, waits for work under way until the deadline of the configuration, closes every connection.
    async fn close(&self) -> Result<()>;

    /// Whether something is under way that the server would go on with if this process ended now; no I/O.
    fn leaves_work(&self) -> bool {
        false
    }

    /// Has the server end that.
    async fn end_work(&self) {}

    /// Creates tables and indexes of `contract` that are missing, adds missing columns where that is safe, and stores the
    /// contract. Never drops or alters. Returns what was created, a line each; `contract_mismatch` where the database has
    /// something else under a declared name.
    async fn ensure_schema(&self, contract: &Contract) -> Result<Vec<String>>;

    /// The contract that the database was made for, if it has one.
    async fn stored_contract(&self) -> Result<Option<Contract>>;

    /// Reads what is in the database, whoever made it, into a contract; what a contract cannot say is noted.
    async fn introspect(&self) -> Result<Introspection>;

    /// Version, uptime and connections of the database, for health checks.
    async fn server_info(&self) -> Result<Map>;

    /// Sizes, counts and caches.
    async fn stats(&self, contract: &Contract) -> Result<Map>;

    /// Figures of the pool, without I/O.
    fn pool_stats(&self) -> Map;
}

/// One connection, held for one piece of work. Dropping it gives the connection back; an open transaction is rolled back
/// first, and a statement under way is interrupted.
#[async_trait]
pub trait Session: Send {
    /// Executes a statement and returns its rows.
    async fn query(&mut self, statement: Statement) -> Result<Box<dyn Rows>>;

    /// Executes a statement and returns how many rows it touched.
    async fn execute(&mut self, statement: Statement) -> Result<u64>;

    /// How the engine would execute a statement, in its own words.
    async fn explain(&mut self, statement: Statement) -> Result<Value>;

    /// Inserts rows by one compiled insert, all or none; returns the generated key of each where there is one.
    async fn insert(&mut self, statement: Statement, rows: Arc<Batch>) -> Result<Vec<Option<i64>>>;

    /// Inserts rows inside a transaction that is undone if this fails, and of `more` what is there soon enough for the same
    /// statement; returns the generated key of each row that was taken.
    async fn insert_more(
        &mut self,
        statement: Statement,
        rows: Arc<Batch>,
        _more: &mut More,
    ) -> Result<Vec<Option<i64>>> {
        self.insert(statement, rows).await
    }

    /// Starts a statement whose rows come in batches of `size`.
    async fn stream(self: Box<Self>, statement: Statement, size: usize) -> Result<Box<dyn RowBatches>>;

    /// Executes native code of the user; rows come as a list of maps, other statements as `{"affected": n}`.
    async fn native(&mut self, statement: &Value, parameters: &Value) -> Result<Value>;

    /// Begins a transaction.
    async fn begin(&mut self, options: &TransactionOptions) -> Result<()>;

    /// Commits it. Not cancellable.
    async fn commit(&mut self) -> Result<()>;

    /// Rolls it back.
    async fn rollback(&mut self) -> Result<()>;

    /// Sets a savepoint of this depth (1 is the first inside the transaction).
    async fn savepoint(&mut self, depth: usize) -> Result<()>;

    /// Keeps what happened since the savepoint.
    async fn release(&mut self, depth: usize) -> Result<()>;

    /// Undoes what happened since the savepoint and removes it.
    async fn rollback_to(&mut self, depth: usize) -> Result<()>;
}

/// Rows that come in batches; holds its session.
#[async_trait]
pub trait RowBatches: Send {
    /// The next batch, never empty; `None` at the end.
    async fn next(&mut self) -> Result<Option<Box<dyn Rows>>>;

    /// Gives the session back, for streams inside a transaction.
    async fn finish(self: Box<Self>) -> Option<Box<dyn Session>>;
}
