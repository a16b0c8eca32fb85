//! Sessions on a pooled connection.
//!
//! Invariant: a connection goes back to the pool only when nothing of ours runs on it and no transaction is open. Whoever
//! awaits a statement may go away: the statement is then waited for a moment, else cancelled on the server, in a task of
//! its own; a transaction whose statement was left so can only be rolled back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx_core::Either;
use sqlx_core::arguments::Arguments;
use sqlx_core::connection::Connection;
use sqlx_core::error::Error as SqlxError;
use sqlx_core::executor::Executor;
use sqlx_core::query::query_with;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::{PgArguments, PgConnection};
use tokio::time::timeout;

use super::connection::Opener;
use super::dialect::ROW_LOCK;
use super::error::{is_lost, is_stale_plan, is_survivable, translate};
use super::rows::PostgresRows;
use super::stream::PostgresStream;
use super::wire::Parameter;
use super::{insert, native};
use crate::backend::{Batch, Early, Isolation, More, RowBatches, Rows, Session, Statement, TransactionOptions};
use crate::backends::deadline::{Deadline, look_within, no_answer, unknown};
use crate::error::{Error, Kind, Result};
use crate::pool::Pooled;
use crate::runtime;
use crate::schema::FieldType;
use crate::value::Value;

/// How long a statement that nobody waits for may still run before the server is asked to stop it.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the server may take to stop it, or to roll back, before the connection is given up.
const LAST_CHANCE: Duration = Duration::from_secs(5);
/// The isolation level in which each statement sees what is committed when it begins.
pub(super) const READ_COMMITTED: &str = "read committed";
/// The savepoint around one write of the caller's transaction.
const WRITE: &str = "farm_write";

/// What was opened around a statement.
enum Around {
    Nothing,
    Transaction,
    Savepoint,
    /// What began the caller's transaction, of which this is the first write.
    Begin(String),
}

/// A connection held for one piece of work.
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts of the connection")]
pub(super) struct PostgresSession {
    /// Present until drop.
    link: Option<Pooled<Opener>>,
    /// Whether the database was closed over this session.
    closed: Arc<AtomicBool>,
    in_transaction: bool,
    /// Whether the first error of the transaction is its end.
    whole: bool,
    /// Whether a statement was begun whose end nobody has seen.
    busy: bool,
    /// Whether a failed statement has made the server refuse all others of the transaction.
    aborted: bool,
    /// Whether the savepoint [`WRITE`] is set.
    write_point: bool,
    /// What begins the transaction, as long as nothing were lost if it began once more: each of its statements sees what is
    /// committed by then, and none of them has written or locked anything.
    begin: Option<String>,
    /// Whether the server may have closed the connection while it idled.
    doubtful: bool,
    /// Whether a write was sent outside a transaction and its answer is lost.
    unanswered: bool,
    /// That of the statement under way.
    deadline: Deadline,
}

/// Executes a statement and collects its rows.
async fn fetch(connection: &mut PgConnection, statement: &Statement, persistent: bool) -> Result<Fetched, SqlxError> {
    let mut arguments = PgArguments::default();
    for value in &statement.parameters {
        arguments.add(Parameter(value)).map_err(SqlxError::Encode)?;
    }
    let query = query_with(AssertSqlSafe(Arc::clone(&statement.text)), arguments).persistent(persistent);
    let mut rows = PostgresRows::new(&statement.kinds);
    let mut affected = 0;
    let early = statement.early.as_ref();
    Early::begin(early);
    let mut stream = connection.fetch_many(query);
    let mut malformed = None;
    while let Some(item) = stream.try_next().await? {
        match item {
            Either::Left(done) => affected += done.rows_affected(),
            // The rest of the answer is read all the same, so that the connection can go on.
            Either::Right(row) => {
                Early::offer(early, &mut rows, || PostgresRows::new(&statement.kinds));
                malformed = malformed.or(rows.push(&row).err());
            }
        }
    }
    Ok(Fetched { rows: malformed.map_or(Ok(rows), Err), affected })
}

/// Whether a statement ended with an error of this kind.
fn failed_with<T>(outcome: Option<&Result<T, SqlxError>>, is_kind: impl FnOnce(&SqlxError) -> bool) -> bool {
    outcome.is_some_and(|outcome| outcome.as_ref().is_err_and(is_kind))
}

fn table_changed(error: &Error) -> Error {
    Error::new(Kind::TransactionConflict, format!("the table was changed meanwhile: {}", error.message()))
}

/// What a statement gave.
struct Fetched {
    rows: Result<PostgresRows>,
    affected: u64,
}

impl PostgresSession {
    pub(super) fn new(link: Pooled<Opener>, closed: &Arc<AtomicBool>) -> Self {
        let closed = Arc::clone(closed);
        let doubtful = link.is_doubtful();
        Self {
            link: Some(link),
            closed,
            in_transaction: false,
            whole: false,
            busy: false,
            aborted: false,
            write_point: false,
            begin: None,
            doubtful,
            unanswered: false,
            deadline: Deadline::default(),
        }
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction
    }

    fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed("the database was closed while this was under way"));
        }
        if self.busy || self.aborted {
            let how = if self.busy { "was cancelled" } else { "has failed" };
            return Err(Error::transaction_state(format!("a statement of the transaction {how}: roll it back")));
        }
        Ok(())
    }

    fn link(&mut self) -> &mut Pooled<Opener> {
        self.link.as_mut().expect("the connection is present until drop")
    }

    /// The deadline of one statement.
    pub(super) fn limit(&mut self) -> Option<Duration> {
        self.link().manager().limit()
    }

    /// The connection for one statement, and the statement's deadline; to be followed by [`Self::ended`].
    pub(super) fn started(&mut self) -> Result<(&mut PgConnection, Deadline)> {
        self.deadline = Deadline::after(self.limit());
        self.again()
    }

    /// The connection for another try of the same statement.
    fn again(&mut self) -> Result<(&mut PgConnection, Deadline)> {
        self.check()?;
        (self.busy, self.unanswered) = (true, false);
        let deadline = self.deadline;
        Ok((&mut self.link().connection, deadline))
    }

    /// Notes how a statement ended, if it did within its deadline. Its error breaks the caller's transaction, as PostgreSQL
    /// has it.
    pub(super) fn ended<T>(&mut self, outcome: Option<Result<T, SqlxError>>) -> Result<T> {
        self.busy = false;
        let Some(outcome) = outcome else {
            self.link().poison();
            (self.aborted, self.unanswered) = (self.in_transaction, !self.in_transaction);
            return Err(no_answer("postgres"));
        };
        let error = outcome.as_ref().err();
        if let Some(error) = error {
            self.unanswered = !self.in_transaction && is_lost(error);
            self.aborted = self.in_transaction && !matches!(error, SqlxError::Encode(_));
        }
        if error.is_none_or(is_survivable) {
            self.doubtful = false;
        } else {
            self.link().poison();
        }
        outcome.map_err(translate)
    }

    /// Whether a proxy gives each transaction another session.
    pub(super) fn is_proxied(&mut self) -> bool {
        self.link().manager().is_proxied()
    }

    /// Whether the connection is to be closed instead of used again, if it is dropped now.
    pub(super) fn mark_dirty(&mut self, dirty: bool) {
        if dirty {
            self.link().poison();
        } else {
            self.link().clear_poison();
        }
    }

    /// Executes commands without parameters.
    pub(super) async fn command(&mut self, text: &str) -> Result<()> {
        let (connection, deadline) = self.started()?;
        let outcome = deadline.bound(raw_sql(AssertSqlSafe(text.to_owned())).execute(connection)).await;
        self.ended(outcome).map(|_| ())
    }

    /// Opens what must be around a read: behind a proxy a transaction, for each message may meet another session there.
    async fn enter_read(&mut self) -> Result<Around> {
        if self.in_transaction || !self.is_proxied() {
            return Ok(Around::Nothing);
        }
        self.begin(&TransactionOptions::default()).await?;
        Ok(Around::Transaction)
    }

    /// Opens what must be around a write, such that its error leaves the caller's transaction usable, as on every other
    /// database.
    async fn enter_write(&mut self) -> Result<Around> {
        if !self.in_transaction {
            if self.doubtful {
                self.prove().await?;
            }
            return self.enter_read().await;
        }
        if self.whole {
            return Ok(Around::Nothing);
        }
        self.check()?;
        if let Some(begin) = self.begin.take() {
            return Ok(Around::Begin(begin));
        }
        if self.write_point {
            self.command(&format!("RELEASE SAVEPOINT {WRITE}; SAVEPOINT {WRITE}")).await?;
        } else {
            self.command(&format!("SAVEPOINT {WRITE}")).await?;
            self.write_point = true;
        }
        Ok(Around::Savepoint)
    }

    /// Closes it again, undoing what failed.
    async fn leave<T>(&mut self, around: Around, outcome: Result<T>) -> Result<T> {
        match (around, outcome) {
            (Around::Transaction, Ok(done)) => self.commit().await.map(|()| done),
            (Around::Transaction, Err(error)) => self.rollback().await.and(Err(error)),
            (Around::Savepoint, Err(error)) if self.aborted && !self.link().is_poisoned() => {
                self.aborted = false;
                self.command(&format!("ROLLBACK TO SAVEPOINT {WRITE}")).await.and(Err(error))
            }
            (Around::Begin(begin), Err(error)) if !self.busy && !self.link().is_poisoned() => {
                self.begin_anew(begin).await.and(Err(error))
            }
            (Around::Nothing, Err(error)) if self.unanswered => Err(unknown(&error)),
            (_, outcome) => outcome,
        }
    }

    /// Begins the transaction once more, whose first write has failed: as good as a savepoint before that, which would take
    /// a round trip where most writes do not fail.
    async fn begin_anew(&mut self, begin: String) -> Result<()> {
        if std::mem::take(&mut self.aborted) {
            let text = format!("ROLLBACK; {begin}; SHOW transaction_isolation");
            let (connection, deadline) = self.started()?;
            let outcome = deadline.bound(raw_sql(AssertSqlSafe(text)).fetch_all(connection)).await;
            let level = self.ended(outcome)?.first().and_then(|row| row.try_get::<String, _>(0).ok());
            if level.as_deref() != Some(READ_COMMITTED) {
                // Somebody has set another default for the session: what was read may differ now.
                self.aborted = true;
                return Ok(());
            }
        }
        self.begin = Some(begin);
        Ok(())
    }

    /// Looks whether the server is still there, before something is sent that must not be sent twice; where it has closed
    /// the connection, another one is opened.
    async fn prove(&mut self) -> Result<()> {
        let patience = look_within(self.limit());
        let (connection, _) = self.started()?;
        let outcome = Deadline::within(patience).bound(connection.ping()).await;
        let outcome = self.ended(outcome);
        // Nothing was asked for yet.
        self.unanswered = false;
        if outcome.is_err() { self.reconnect().await } else { Ok(()) }
    }

    /// Executes a compiled statement. One whose plan a schema change has outdated is prepared anew.
    async fn fetch(&mut self, statement: &Statement) -> Result<Fetched> {
        let persistent = !self.is_proxied();
        let alone = !self.in_transaction;
        let (connection, deadline) = self.started()?;
        let mut outcome = deadline.bound(fetch(connection, statement, persistent)).await;
        if failed_with(outcome.as_ref(), is_stale_plan) {
            match deadline.bound(connection.clear_cached_statements()).await {
                Some(Ok(())) if alone => outcome = deadline.bound(fetch(connection, statement, persistent)).await,
                // The server has ended the transaction; it works when it is run again.
                Some(Ok(())) => return self.ended(outcome).map_err(|error| table_changed(&error)),
                Some(Err(error)) => outcome = Some(Err(error)),
                None => outcome = None,
            }
        }
        let reads = statement.text.starts_with("SELECT") || statement.text.starts_with("EXPLAIN ");
        if alone && reads && failed_with(outcome.as_ref(), |error| !is_survivable(error)) {
            // The server has closed the connection while it idled, or just now; reading again does no harm.
            self.link().poison();
            self.reconnect().await?;
            let (connection, deadline) = self.again()?;
            outcome = deadline.bound(fetch(connection, statement, persistent)).await;
        }
        let outcome = self.ended(outcome);
        self.unanswered &= !reads;
        outcome
    }

    /// Puts a new connection into the place of one that is lost, within the deadline of the statement.
    async fn reconnect(&mut self) -> Result<()> {
        let manager = Arc::clone(self.link().manager());
        let opening = runtime::handle().spawn(async move { manager.connect_in_time().await });
        let opened = match self.deadline.bound(opening).await {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => Err(Error::internal(format!("a task that opens a connection ended: {error}"))),
            None => Err(no_answer("postgres")),
        };
        self.busy = false;
        match opened {
            Ok(link) => {
                **self.link() = link;
                self.link().clear_poison();
                self.doubtful = false;
                Ok(())
            }
            Err(error) => {
                self.link().poison();
                Err(error)
            }
        }
    }

    /// Fetches rows of a compiled statement.
    pub(super) async fn rows(&mut self, statement: &Statement) -> Result<PostgresRows> {
        self.fetch(statement).await?.rows
    }

    /// Declares a cursor; its columns differ from stream to stream, so nothing of it is kept.
    pub(super) async fn declare(&mut self, statement: &Statement) -> Result<()> {
        self.begin = None;
        let (connection, deadline) = self.started()?;
        let outcome = deadline.bound(fetch(connection, statement, false)).await;
        self.ended(outcome).map(|_| ())
    }

    /// Fetches from the cursor.
    pub(super) async fn fetch_cursor(&mut self, statement: &Statement) -> Result<PostgresRows> {
        let (connection, deadline) = self.started()?;
        let outcome = deadline.bound(fetch(connection, statement, false)).await;
        self.ended(outcome)?.rows
    }

    /// Ends the part of [`WRITE`] before something around it begins or ends.
    async fn leave_write_point(&mut self) -> Result<()> {
        if self.write_point {
            self.write_point = false;
            self.command(&format!("RELEASE SAVEPOINT {WRITE}")).await?;
        }
        Ok(())
    }
}

/// Brings a connection to rest whose statement or transaction was left; a failure poisons it.
async fn settle(mut link: Pooled<Opener>, busy: bool, in_transaction: bool) {
    // What cannot be brought to rest is closed.
    link.poison();
    if busy {
        let mut rests = timeout(PATIENCE, drain(&mut link.connection)).await;
        if rests.is_err() {
            let process = link.process;
            if process == 0 || timeout(LAST_CHANCE, link.manager().cancel(process)).await.is_err() {
                return;
            }
            rests = timeout(LAST_CHANCE, drain(&mut link.connection)).await;
        }
        if !matches!(rests, Ok(true)) {
            return;
        }
    }
    if in_transaction {
        let rollback = raw_sql("ROLLBACK").execute(&mut link.connection);
        if !matches!(timeout(LAST_CHANCE, rollback).await, Ok(Ok(_))) {
            return;
        }
    }
    link.clear_poison();
}

/// Reads what is still to come; whether the connection is ready then.
async fn drain(connection: &mut PgConnection) -> bool {
    // The error of the statement that was left comes first, then the answer to the ping.
    for _ in 0..3 {
        match connection.ping().await {
            Ok(()) => return true,
            Err(SqlxError::Database(_)) => {}
            Err(_) => return false,
        }
    }
    false
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        if (self.busy || self.in_transaction) && !link.is_poisoned() {
            runtime::handle().spawn(settle(link, self.busy, self.in_transaction));
        }
    }
}

fn begin_text(options: &TransactionOptions) -> Result<String> {
    let level = match options.level()? {
        // Reading sees one moment, as everywhere; it can lose against nobody.
        None if options.read_only => " ISOLATION LEVEL REPEATABLE READ",
        None => "",
        Some(Isolation::ReadUncommitted) => " ISOLATION LEVEL READ UNCOMMITTED",
        Some(Isolation::ReadCommitted) => " ISOLATION LEVEL READ COMMITTED",
        Some(Isolation::RepeatableRead | Isolation::Snapshot) => " ISOLATION LEVEL REPEATABLE READ",
        Some(Isolation::Serializable) => " ISOLATION LEVEL SERIALIZABLE",
    };
    Ok(format!("BEGIN{level}{}", if options.read_only { " READ ONLY" } else { "" }))
}

#[async_trait]
impl Session for PostgresSession {
    async fn query(&mut self, statement: Statement) -> Result<Box<dyn Rows>> {
        let reads = statement.text.starts_with("SELECT");
        if statement.text.ends_with(ROW_LOCK) {
            self.begin = None;
        }
        let around = if reads { self.enter_read().await? } else { self.enter_write().await? };
        let outcome = self.rows(&statement).await;
        Ok(Box::new(self.leave(around, outcome).await?))
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        let around = self.enter_write().await?;
        let outcome = self.fetch(&statement).await.map(|fetched| fetched.affected);
        self.leave(around, outcome).await
    }

    async fn explain(&mut self, mut statement: Statement) -> Result<Value> {
        statement.text = format!("EXPLAIN {}", statement.text).into();
        statement.kinds = [FieldType::Text].into();
        // Its failure, too, must leave the caller's transaction usable.
        let around = if self.in_transaction { self.enter_write().await? } else { self.enter_read().await? };
        let outcome = self.rows(&statement).await;
        let rows = self.leave(around, outcome).await?;
        (0..rows.len()).map(|row| rows.cell(row, 0)?.to_value()).collect::<Result<Vec<_>>>().map(Value::List)
    }

    async fn insert(&mut self, statement: Statement, rows: Arc<Batch>) -> Result<Vec<Option<i64>>> {
        let around = self.enter_write().await?;
        let outcome = insert::insert(self, &statement, rows, None).await;
        self.leave(around, outcome).await
    }

    async fn insert_more(
        &mut self,
        statement: Statement,
        rows: Arc<Batch>,
        more: &mut More,
    ) -> Result<Vec<Option<i64>>> {
        let around = self.enter_write().await?;
        let outcome = insert::insert(self, &statement, rows, Some(more)).await;
        self.leave(around, outcome).await
    }

    async fn stream(self: Box<Self>, statement: Statement, size: usize) -> Result<Box<dyn RowBatches>> {
        Ok(Box::new(PostgresStream::open(self, statement, size).await?))
    }

    async fn native(&mut self, statement: &Value, parameters: &Value) -> Result<Value> {
        let Value::Text(text) = statement else {
            return Err(Error::invalid_query("a native statement for postgres is text"));
        };
        native::refuse_transaction_commands(text)?;
        let around = self.enter_write().await?;
        let outcome = native::execute(self, text, parameters).await;
        self.leave(around, outcome).await
    }

    async fn begin(&mut self, options: &TransactionOptions) -> Result<()> {
        let text = begin_text(options)?;
        // Set before: if the caller goes away in between, the drop rolls back what may have begun.
        (self.in_transaction, self.whole) = (true, options.whole);
        let mut outcome = self.command(&text).await;
        if self.link().is_poisoned() && !self.closed.load(Ordering::Acquire) && !self.deadline.is_over() {
            // Nothing was done on the connection that is lost.
            self.aborted = false;
            self.reconnect().await?;
            outcome = self.command(&text).await;
        }
        if outcome.is_err() {
            (self.in_transaction, self.aborted) = (false, false);
        }
        let sees_committed = match options.level()? {
            None => !options.read_only && self.link().reads_committed,
            Some(level) => level == Isolation::ReadCommitted,
        };
        self.begin = sees_committed.then_some(text);
        outcome
    }

    async fn commit(&mut self) -> Result<()> {
        if self.aborted || self.busy {
            // PostgreSQL would answer COMMIT with a rollback and call it a success.
            let state = self.check();
            self.rollback().await?;
            return state;
        }
        let outcome = self.command("COMMIT").await;
        if self.link().is_poisoned() {
            let lost = outcome.err().map_or_else(String::new, |error| format!(": {}", error.message()));
            return Err(Error::new(Kind::OutcomeUnknown, format!("the connection was lost while committing{lost}")));
        }
        // A commit that fails, such as one that lost against another transaction, has rolled back.
        (self.in_transaction, self.aborted, self.write_point) = (false, false, false);
        outcome
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.link().is_poisoned() {
            // The server ends the transaction with the connection.
            self.in_transaction = false;
            return Ok(());
        }
        if self.busy {
            // What was cancelled in the middle is brought to rest by the same task that a drop starts.
            if let Some(link) = self.link.take() {
                runtime::handle().spawn(settle(link, true, true));
            }
            self.in_transaction = false;
            return Ok(());
        }
        self.aborted = false;
        let outcome = self.command("ROLLBACK").await;
        if outcome.is_ok() || self.link().is_poisoned() {
            (self.in_transaction, self.write_point) = (false, false);
            return Ok(());
        }
        outcome
    }

    async fn savepoint(&mut self, depth: usize) -> Result<()> {
        self.leave_write_point().await?;
        self.begin = None;
        self.command(&format!("SAVEPOINT farm_{depth}")).await
    }

    async fn release(&mut self, depth: usize) -> Result<()> {
        self.write_point = false;
        self.command(&format!("RELEASE SAVEPOINT farm_{depth}")).await
    }

    async fn rollback_to(&mut self, depth: usize) -> Result<()> {
        self.write_point = false;
        if !self.busy {
            self.aborted = false;
        }
        self.command(&format!("ROLLBACK TO SAVEPOINT farm_{depth}; RELEASE SAVEPOINT farm_{depth}")).await
    }
}
