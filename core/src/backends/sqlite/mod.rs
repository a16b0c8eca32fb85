//! SQLite on rusqlite: one writer thread and a few reader threads, write-ahead log, strict tables.

mod at_once;
mod commit;
mod connection;
mod definitions;
mod dialect;
mod encode;
mod error;
mod functions;
mod info;
mod introspect;
mod kept;
mod log;
mod pace;
mod prepared;
mod rows;
mod session;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::commit::{Insertion, Keys, Offers};
use self::connection::Opener;
use self::pace::BOUND;
use self::prepared::Open;
use self::session::SqliteSession;
use crate::backend::{
    Access, Backend, Batch, Capabilities, Introspection, Operation, Position, Rows, Session, Statement,
};
use crate::backends::sql::compile::compile;
use crate::backends::sql::schema;
use crate::config::{Config, Location, PoolOptions};
use crate::error::Result;
use crate::pool::{Pool, Pooled};
use crate::runtime;
use crate::schema::{Contract, FieldType};
use crate::value::{Map, Value};

static CAPABILITIES: Capabilities = Capabilities {
    transactions: true,
    savepoints: true,
    failed_statements: true,
    serializable: true,
    transactional_ddl: true,
    partial_indexes: true,
    descending_indexes: true,
    path_indexes: true,
    returning: true,
    concurrent_writers: false,
    auto_increment: true,
    key_characters: 1_000_000_000,
    max_bind_parameters: 32_766,
    infinite_floats: true,
    negative_zero: false,
    positive_exponents: true,
    decimal_scale: true,
    decimal_places: 6_144,
    moment_precision: 1,
    free_days: true,
    foreign_keys: true,
    row_locks: true,
    search_at_once: true,
    replica_positions: false,
};

/// How long `close` waits for work under way.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// A SQLite database.
pub(crate) struct Sqlite {
    writer: Pool<Opener>,
    /// `None` for a database in memory, which has one connection for everything.
    readers: Option<Pool<Opener>>,
    /// Readers that `connect` opens.
    least_readers: usize,
    started: Instant,
    closed: Arc<AtomicBool>,
    /// Rows that may share a commit.
    offers: Arc<Offers>,
}

impl Sqlite {
    /// A backend for this configuration; nothing is opened yet.
    pub(crate) fn new(config: &Arc<Config>) -> Self {
        // A pool would open its least number of connections now, but nothing may be opened before `connect`, which does
        // it instead; they stay, because nothing times out below that number.
        let readers = PoolOptions { min_size: 0, ..config.pool.clone() };
        let writer =
            PoolOptions { max_size: 1, max_idle: 1, idle_timeout: None, max_lifetime: None, ..readers.clone() };
        let memory = matches!(config.url.location(), Location::Memory);
        let pool = |writer, options| Pool::new(Opener::new(config, writer), options, runtime::handle());
        Self {
            writer: pool(true, writer),
            readers: (!memory).then(|| pool(false, readers)),
            least_readers: config.pool.min_size.clamp(1, config.pool.max_size),
            started: Instant::now(),
            closed: Arc::new(AtomicBool::new(false)),
            offers: Arc::default(),
        }
    }

    async fn open_session(&self, access: Access) -> Result<SqliteSession> {
        let connection = self.pool(access).acquire().await?;
        Ok(SqliteSession::new(connection, access == Access::Read, &self.closed))
    }

    async fn insert_by(&self, writer: Pooled<Opener>, Insertion { statement, rows }: Insertion) -> Result<Keys> {
        SqliteSession::new(writer, false, &self.closed).insert(statement, rows).await
    }

    /// Offers a row; whoever has the writer first inserts it.
    async fn offer(&self, insertion: Insertion) -> Result<Keys> {
        let mut offered = self.offers.add(insertion);
        let acquired = tokio::select! {
            biased;
            answer = offered.answer() => return answer,
            acquired = self.writer.acquire() => acquired,
        };
        match acquired {
            Ok(writer) => {
                if let Some(own) = offered.withdraw_alone() {
                    return self.insert_by(writer, own).await;
                }
                offered.serve(SqliteSession::new(writer, false, &self.closed), &self.offers);
            }
            Err(error) if offered.withdraw().is_some() => return Err(error),
            Err(_) => {}
        }
        offered.answer().await
    }

    fn pool(&self, access: Access) -> &Pool<Opener> {
        match &self.readers {
            Some(readers) if access == Access::Read => readers,
            _ => &self.writer,
        }
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn compile(&self, operation: &Operation<'_>) -> Result<Statement> {
        compile(&dialect::Sqlite, operation)
    }

    fn stored(&self, _kind: &FieldType, value: Value) -> Result<Value> {
        Ok(value)
    }

    async fn connect(&self) -> Result<()> {
        // The writer first: it creates the file and switches it to the write-ahead log.
        self.open_session(Access::Write).await?;
        let mut readers = Vec::new();
        for _ in 0..if self.readers.is_some() { self.least_readers } else { 0 } {
            readers.push(self.open_session(Access::Read).await?);
        }
        Ok(())
    }

    async fn session(&self, access: Access) -> Result<Box<dyn Session>> {
        Ok(Box::new(self.open_session(access).await?))
    }

    fn idle_session(&self, access: Access) -> Option<Box<dyn Session>> {
        let connection = self.pool(access).try_acquire()?;
        Some(Box::new(SqliteSession::new(connection, access == Access::Read, &self.closed)))
    }

    fn query_at_once(&self, statement: &Statement, parameters: &[Value]) -> Option<Box<dyn Rows>> {
        let read = |open: &mut Open, now| open.read(statement, parameters, now);
        let rows = self.pool(Access::Read).with_idle(|worker, now| worker.at_once(Some(BOUND), now, read))??;
        Some(Box::new(rows))
    }

    async fn insert_alone(&self, statement: &Statement, rows: &Arc<Batch>) -> Option<Result<Vec<Option<i64>>>> {
        // In memory a commit costs nothing, and there is one connection for everything.
        self.readers.as_ref()?;
        let insertion = Insertion { statement: statement.clone(), rows: Arc::clone(rows) };
        Some(match self.writer.try_acquire() {
            Some(writer) => self.insert_by(writer, insertion).await,
            None if at_once::are_short_rows(rows) => self.offer(insertion).await,
            None => return None,
        })
    }

    async fn position(&self) -> Result<Option<Position>> {
        Ok(None)
    }

    async fn close(&self) -> Result<()> {
        let mut readers_in_use = 0;
        if let Some(readers) = &self.readers {
            readers_in_use = readers.close(CLOSE_DEADLINE).await.in_use;
        }
        let mut report = self.writer.close(CLOSE_DEADLINE).await;
        report.in_use += readers_in_use;
        // What is still out, such as a forgotten transaction, can only be dropped now, which rolls it back.
        self.closed.store(true, Ordering::Release);
        report.outcome()
    }

    async fn ensure_schema(&self, contract: &Contract) -> Result<Vec<String>> {
        let mut session = self.open_session(Access::Write).await?;
        schema::ensure(&mut session, &dialect::Sqlite, contract).await
    }

    async fn stored_contract(&self) -> Result<Option<Contract>> {
        let mut session = self.open_session(Access::Read).await?;
        schema::stored(&mut session, &dialect::Sqlite).await
    }

    async fn introspect(&self) -> Result<Introspection> {
        let mut session = self.open_session(Access::Read).await?;
        introspect::introspect(&mut session).await
    }

    async fn server_info(&self) -> Result<Map> {
        let mut session = self.open_session(Access::Read).await?;
        info::server(&mut session, self.started).await
    }

    async fn stats(&self, contract: &Contract) -> Result<Map> {
        let mut session = self.open_session(Access::Read).await?;
        info::stats(&mut session, contract).await
    }

    fn pool_stats(&self) -> Map {
        info::pools(&self.writer.stats(), self.readers.as_ref().map(Pool::stats).as_ref())
    }
}
