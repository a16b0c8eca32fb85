//! Sessions on a pooled connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::at_once;
use super::connection::{MAX_READ_AGE, Opener, with_few_pages};
use super::encode::{bind, bind_cell, bind_native};
use super::error::translate;
use super::rows::SqliteRows;
use super::worker::Interrupt;
use crate::backend::{Batch, Early, RowBatches, Rows, Session, Statement, TransactionOptions};
use crate::error::{Error, Kind, Result};
use crate::pool::Pooled;
use crate::runtime;
use crate::schema::FieldType;
use crate::value::{Map, Value};

/// Batches that a stream prepares before they are asked for.
const BATCHES_AHEAD: usize = 2;

/// A connection held for one piece of work.
pub(super) struct SqliteSession {
    pub(super) connection: Pooled<Opener>,
    /// Whether the database was closed over this session.
    closed: Arc<AtomicBool>,
    pub(super) in_transaction: bool,
    /// Whether this is a reader's connection.
    pub(super) reading: bool,
    /// How many statements of the transaction may still be made at once.
    pub(super) left_at_once: u8,
}

impl SqliteSession {
    pub(super) fn new(connection: Pooled<Opener>, reading: bool, closed: &Arc<AtomicBool>) -> Self {
        Self { connection, closed: Arc::clone(closed), in_transaction: false, reading, left_at_once: at_once::MOST }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed("the database was closed while this was under way"));
        }
        Ok(())
    }

    /// Runs a job on the connection's thread, or a short one at once.
    async fn run<T, F>(&mut self, is_short: bool, mut work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Connection) -> Result<T> + Send + 'static,
    {
        self.check_open()?;
        let in_transaction = self.in_transaction;
        let mut work = move |connection: &mut Connection| {
            check_transaction(connection, in_transaction)?;
            work(connection)
        };
        if is_short && let Some(outcome) = self.at_once(&mut work) {
            self.left_at_once -= u8::from(in_transaction);
            return outcome;
        }
        if in_transaction && !is_short {
            self.left_at_once = 0;
        }
        self.connection.run(work).await
    }

    pub(super) fn interrupt(&self) -> Arc<Interrupt> {
        self.connection.interrupt()
    }

    /// Runs a job outside a transaction that is finished once it has begun.
    pub(super) async fn finish<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        self.check_open()?;
        self.connection.finish(work).await
    }

    /// Executes what begins or ends a transaction or a savepoint; finished once it has begun.
    async fn command(&mut self, text: impl Into<Arc<str>>) -> Result<()> {
        self.check_open()?;
        let text = text.into();
        let interrupt = self.connection.interrupt();
        let in_transaction = self.in_transaction && !text.starts_with("BEGIN");
        let mut work = move |connection: &mut Connection| {
            check_transaction(connection, in_transaction)?;
            batch(connection, &text, &interrupt)
        };
        match self.at_once(&mut work) {
            Some(outcome) => outcome,
            None => self.connection.finish(work).await,
        }
    }
}

impl Drop for SqliteSession {
    fn drop(&mut self) {
        if self.in_transaction {
            // Queued behind whatever still runs, so the next user finds a clean connection.
            self.connection.detach(|connection| {
                if !connection.is_autocommit() {
                    connection.execute_batch("ROLLBACK").map_err(|error| Error::backend(format!("sqlite: {error}")))?;
                }
                Ok(())
            });
        }
    }
}

/// A transaction that the database has ended by itself, such as after an interrupted write, must not go on unnoticed: its
/// next statements would take effect one by one.
fn check_transaction(connection: &Connection, in_transaction: bool) -> Result<()> {
    if in_transaction && connection.is_autocommit() {
        return Err(Error::transaction_state(
            "the transaction was rolled back when one of its statements was interrupted",
        ));
    }
    Ok(())
}

pub(super) fn batch(connection: &Connection, text: &str, interrupt: &Interrupt) -> Result<()> {
    connection.execute_batch(text).map_err(|error| translate(&error, interrupt))
}

/// Prepares from the cache, binds and hands the statement over.
fn with_prepared<T>(
    connection: &Connection,
    text: &str,
    parameters: &[Value],
    interrupt: &Interrupt,
    work: impl FnOnce(&mut rusqlite::Statement<'_>) -> Result<T>,
) -> Result<T> {
    let mut prepared = connection.prepare_cached(text).map_err(|error| translate(&error, interrupt))?;
    for (index, value) in parameters.iter().enumerate() {
        bind(&mut prepared, index + 1, value).map_err(|error| translate(&error, interrupt))?;
    }
    work(&mut prepared)
}

fn fetch_all(connection: &Connection, statement: &Statement, interrupt: &Interrupt) -> Result<SqliteRows> {
    with_prepared(connection, &statement.text, &statement.parameters, interrupt, |prepared| {
        let early = statement.early.as_ref();
        let limit = if early.is_some() { Early::PART } else { usize::MAX };
        let mut source = prepared.raw_query();
        Early::begin(early);
        loop {
            let (mut rows, ended) = SqliteRows::fetch(&mut source, &statement.kinds, limit, interrupt)?;
            if ended {
                return Ok(rows);
            }
            Early::offer(early, &mut rows, || SqliteRows::new(&statement.kinds, 1));
        }
    })
}

#[async_trait]
impl Session for SqliteSession {
    async fn query(&mut self, statement: Statement) -> Result<Box<dyn Rows>> {
        let interrupt = self.connection.interrupt();
        let is_short = statement.by_key && at_once::are_short(&statement.parameters);
        let rows = self.run(is_short, move |connection| fetch_all(connection, &statement, &interrupt)).await?;
        Ok(Box::new(rows))
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        let interrupt = self.connection.interrupt();
        let is_short = statement.by_key && at_once::are_short(&statement.parameters);
        self.run(is_short, move |connection| {
            with_prepared(connection, &statement.text, &statement.parameters, &interrupt, |prepared| {
                prepared.raw_execute().map(|count| count as u64).map_err(|error| translate(&error, &interrupt))
            })
        })
        .await
    }

    async fn explain(&mut self, mut statement: Statement) -> Result<Value> {
        let interrupt = self.connection.interrupt();
        statement.text = format!("EXPLAIN QUERY PLAN {}", statement.text).into();
        // id, parent, not used, detail
        statement.kinds = [FieldType::Int, FieldType::Int, FieldType::Int, FieldType::Text].into();
        self.run(false, move |connection| {
            let rows = fetch_all(connection, &statement, &interrupt)?;
            let details = (0..rows.len()).map(|row| rows.cell(row, 3)?.to_value());
            details.collect::<Result<Vec<_>>>().map(Value::List)
        })
        .await
    }

    async fn insert(&mut self, statement: Statement, rows: Arc<Batch>) -> Result<Vec<Option<i64>>> {
        let interrupt = self.connection.interrupt();
        let nested = self.in_transaction;
        let is_short = rows.len() == 1 && at_once::are_short_rows(&rows);
        self.run(is_short, move |connection| {
            if rows.len() == 1 {
                return insert_rows(connection, &statement, &rows, &interrupt);
            }
            let (begin, end, undo) = if nested {
                ("SAVEPOINT farm_rows", "RELEASE farm_rows", "ROLLBACK TO farm_rows; RELEASE farm_rows")
            } else {
                ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
            };
            batch(connection, begin, &interrupt)?;
            let outcome = insert_rows(connection, &statement, &rows, &interrupt)
                .and_then(|keys| batch(connection, end, &interrupt).map(|()| keys));
            if outcome.is_err() && !connection.is_autocommit() {
                batch(connection, undo, &interrupt)?;
            }
            outcome
        })
        .await
    }

    async fn stream(self: Box<Self>, statement: Statement, size: usize) -> Result<Box<dyn RowBatches>> {
        let (send, receive) = mpsc::channel(BATCHES_AHEAD);
        let interrupt = self.connection.interrupt();
        let runtime = runtime::handle();
        let job = self.connection.start_long(move |connection| {
            let deliver = |batch: Result<SqliteRows>| {
                let sent = runtime.block_on(async { tokio::time::timeout(MAX_READ_AGE, send.send(batch)).await });
                matches!(sent, Ok(Ok(())))
            };
            let read = || stream_rows(connection, &statement, size, &interrupt, &deliver);
            if let Err(error) = with_few_pages(connection, read) {
                deliver(Err(error));
            }
            Ok(())
        });
        Ok(Box::new(SqliteStream { session: Some(self), receive, job, ended: false }))
    }

    async fn native(&mut self, statement: &Value, parameters: &Value) -> Result<Value> {
        let Value::Text(text) = statement else {
            return Err(Error::invalid_query("a native statement for sqlite is text"));
        };
        let (text, parameters) = (text.clone(), parameters.clone());
        let interrupt = self.connection.interrupt();
        self.run(false, move |connection| native(connection, &text, &parameters, &interrupt)).await
    }

    async fn begin(&mut self, options: &TransactionOptions) -> Result<()> {
        // All of them are served by SQLite's serializable transactions.
        options.level()?;
        // Set before: if the caller goes away in between, the drop rolls back what may have begun.
        self.in_transaction = true;
        self.left_at_once = at_once::MOST;
        let outcome = self.command(if self.reading { "BEGIN" } else { "BEGIN IMMEDIATE" }).await;
        self.in_transaction = outcome.is_ok();
        outcome
    }

    async fn commit(&mut self) -> Result<()> {
        self.command("COMMIT").await?;
        self.in_transaction = false;
        self.left_at_once = at_once::MOST;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        let interrupt = self.connection.interrupt();
        // An error such as a full disk has rolled back already.
        self.connection
            .finish(
                move |connection| {
                    if connection.is_autocommit() { Ok(()) } else { batch(connection, "ROLLBACK", &interrupt) }
                },
            )
            .await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn savepoint(&mut self, depth: usize) -> Result<()> {
        self.command(format!("SAVEPOINT farm_{depth}")).await
    }

    async fn release(&mut self, depth: usize) -> Result<()> {
        self.command(format!("RELEASE farm_{depth}")).await
    }

    async fn rollback_to(&mut self, depth: usize) -> Result<()> {
        self.command(format!("ROLLBACK TO farm_{depth}; RELEASE farm_{depth}")).await
    }
}

pub(super) fn insert_rows(
    connection: &Connection,
    statement: &Statement,
    rows: &Batch,
    interrupt: &Interrupt,
) -> Result<Vec<Option<i64>>> {
    let failed = |error: rusqlite::Error| translate(&error, interrupt);
    let mut prepared = connection.prepare_cached(&statement.text).map_err(failed)?;
    let mut keys = Vec::with_capacity(rows.len());
    let many = rows.len() > 1;
    let mut json = Vec::new();
    for position in 0..rows.len() {
        for (index, (kind, cell)) in statement.kinds.iter().zip(rows.row(position)).enumerate() {
            bind_cell(&mut prepared, index + 1, kind, cell, &mut json).map_err(failed)?;
        }
        let placed = |error: Error| if many { error.with("row", position) } else { error };
        prepared.raw_execute().map_err(failed).map_err(placed)?;
        keys.push(Some(connection.last_insert_rowid()));
    }
    Ok(keys)
}

fn stream_rows(
    connection: &Connection,
    statement: &Statement,
    size: usize,
    interrupt: &Interrupt,
    deliver: &dyn Fn(Result<SqliteRows>) -> bool,
) -> Result<()> {
    with_prepared(connection, &statement.text, &statement.parameters, interrupt, |prepared| {
        let mut source = prepared.raw_query();
        loop {
            let (rows, ended) = SqliteRows::fetch(&mut source, &statement.kinds, size, interrupt)?;
            let wanted = rows.len() == 0 || deliver(Ok(rows));
            if ended || !wanted {
                return Ok(());
            }
        }
    })
}

fn native(connection: &Connection, text: &str, parameters: &Value, interrupt: &Interrupt) -> Result<Value> {
    let failed = |error: rusqlite::Error| match translate(&error, interrupt) {
        error if error.kind() == Kind::Backend => Error::invalid_query(error.message().to_owned()),
        error => error,
    };
    let mut prepared = connection.prepare(text).map_err(failed)?;
    bind_native(&mut prepared, parameters)?;
    if prepared.column_count() == 0 {
        let affected = prepared.raw_execute().map_err(failed)?;
        return Ok(Value::Map(crate::document! { "affected" => affected }));
    }
    let names: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let mut source = prepared.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = source.next().map_err(failed)? {
        let cells = names.iter().enumerate();
        let cells = cells.map(|(index, name)| Ok((name.clone(), free_cell(row.get_ref(index).map_err(failed)?)?)));
        rows.push(Value::Map(cells.collect::<Result<Map>>()?));
    }
    Ok(Value::List(rows))
}

/// A cell of a statement that the contract knows nothing about: SQLite's own type.
fn free_cell(cell: rusqlite::types::ValueRef<'_>) -> Result<Value> {
    use rusqlite::types::ValueRef;
    Ok(match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => {
            Value::Text(String::from_utf8(text.to_vec()).map_err(|_| Error::backend("sqlite: text that is not UTF-8"))?)
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    })
}

/// Rows that the thread prepares ahead.
struct SqliteStream {
    session: Option<Box<SqliteSession>>,
    receive: mpsc::Receiver<Result<SqliteRows>>,
    job: u64,
    ended: bool,
}

impl Drop for SqliteStream {
    fn drop(&mut self) {
        self.receive.close();
        if let Some(session) = &self.session
            && !self.ended
        {
            session.connection.stop(self.job);
        }
    }
}

#[async_trait]
impl RowBatches for SqliteStream {
    async fn next(&mut self) -> Result<Option<Box<dyn Rows>>> {
        match self.receive.recv().await {
            Some(Ok(rows)) => Ok(Some(Box::new(rows))),
            Some(Err(error)) => {
                self.ended = true;
                Err(error)
            }
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    async fn finish(mut self: Box<Self>) -> Option<Box<dyn Session>> {
        self.receive.close();
        if let Some(session) = &self.session
            && !self.ended
        {
            session.connection.stop(self.job);
            self.ended = true;
        }
        self.session.take().map(|session| session as Box<dyn Session>)
    }
}
