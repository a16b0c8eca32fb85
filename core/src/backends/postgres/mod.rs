//! PostgreSQL on the driver of sqlx, with our own pool: native columns, COPY, cursors, cancelling on the server.

mod connection;
mod definitions;
mod dialect;
mod error;
mod info;
mod insert;
mod introspect;
mod native;
mod rows;
mod session;
mod stream;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use self::connection::Opener;
use self::insert::InsertPlan;
use self::session::PostgresSession;
use crate::backend::{Access, Backend, Capabilities, Insert, Introspection, Operation, Position, Session, Statement};
use crate::backends::deadline::Deadline;
use crate::backends::sql::compile::compile;
use crate::backends::sql::schema;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::runtime;
use crate::schema::{Contract, FieldType};
use crate::value::{BigDecimal, MAX_DIGITS, Map, Value, format_decimal};

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
    concurrent_writers: true,
    auto_increment: true,
    key_characters: 676,
    max_bind_parameters: 65_535,
    infinite_floats: true,
    negative_zero: false,
    positive_exponents: false,
    decimal_scale: true,
    decimal_places: 6_144,
    moment_precision: 1,
    free_days: true,
    foreign_keys: true,
    row_locks: true,
    search_at_once: true,
    replica_positions: true,
};

/// How long `close` waits for work under way.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the server may take to end what was not given back then.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// A PostgreSQL database.
pub(crate) struct Postgres {
    pool: Pool<Opener>,
    dialect: dialect::Postgres,
    closed: Arc<AtomicBool>,
}

impl Postgres {
    /// A backend for this configuration; nothing is opened yet.
    pub(crate) fn new(config: &Arc<Config>) -> Self {
        // A pool would open its least number of connections now, but nothing may be opened before `connect`.
        let options = crate::config::PoolOptions { min_size: 0, ..config.pool.clone() };
        Self {
            pool: Pool::new(Opener::new(config), options, runtime::handle()),
            dialect: dialect::Postgres { schema: config.parameters.text("schema").map(str::to_owned) },
            closed: Arc::new(AtomicBool::new(false)),
        }
    }

    async fn open_session(&self) -> Result<PostgresSession> {
        Ok(PostgresSession::new(self.pool.acquire().await?, &self.closed))
    }
}

/// The number without a positive exponent.
fn plain_decimal(number: BigDecimal) -> Result<BigDecimal> {
    if number.fractional_digit_count() >= 0 {
        return Ok(number);
    }
    let digits = number.digits().saturating_add_signed(-number.fractional_digit_count());
    if digits > MAX_DIGITS && number != 0 {
        let message =
            format!("postgres writes every digit, and {} would have more than {MAX_DIGITS}", format_decimal(&number));
        return Err(Error::invalid_value(message));
    }
    Ok(number.with_scale(0))
}

#[async_trait]
impl Backend for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn compile(&self, operation: &Operation<'_>) -> Result<Statement> {
        let mut statement = compile(&self.dialect, operation)?;
        if let Operation::Insert(Insert { entity, conflict: None }) = operation {
            statement.native = Some(Arc::new(InsertPlan::new(&self.dialect, entity)));
        }
        Ok(statement)
    }

    /// `numeric` writes every digit before the point.
    fn stored(&self, kind: &FieldType, value: Value) -> Result<Value> {
        match value {
            Value::Decimal(number) if matches!(kind, FieldType::Decimal) => Ok(Value::Decimal(plain_decimal(number)?)),
            value => Ok(value),
        }
    }

    async fn connect(&self) -> Result<()> {
        self.open_session().await.map(|_| ())
    }

    async fn session(&self, _access: Access) -> Result<Box<dyn Session>> {
        Ok(Box::new(self.open_session().await?))
    }

    fn idle_session(&self, _access: Access) -> Option<Box<dyn Session>> {
        Some(Box::new(PostgresSession::new(self.pool.try_acquire()?, &self.closed)))
    }

    async fn position(&self) -> Result<Option<Position>> {
        let mut session = self.open_session().await?;
        info::position(&mut session).await.map(Some)
    }

    async fn close(&self) -> Result<()> {
        let report = self.pool.close(CLOSE_DEADLINE).await;
        // What is still out, such as a forgotten transaction, can only be dropped now; the server ends it already.
        self.closed.store(true, Ordering::Release);
        let manager = Arc::clone(self.pool.manager());
        let ending = runtime::handle().spawn(async move { manager.end_all().await });
        // Where the server cannot be reached there is nothing left to end.
        let _ = Deadline::within(LAST_CHANCE).bound(ending).await;
        report.outcome()
    }

    async fn ensure_schema(&self, contract: &Contract) -> Result<Vec<String>> {
        let mut session = self.open_session().await?;
        if let Some(schema) = &self.dialect.schema {
            // One message is one transaction. Without the lock one of two that make it at once would fail.
            let name = dialect::quote(schema);
            session.command(&format!("{}; CREATE SCHEMA IF NOT EXISTS {name}", definitions::LOCK)).await?;
        }
        schema::ensure(&mut session, &self.dialect, contract).await
    }

    async fn stored_contract(&self) -> Result<Option<Contract>> {
        let mut session = self.open_session().await?;
        schema::stored(&mut session, &self.dialect).await
    }

    async fn introspect(&self) -> Result<Introspection> {
        let mut session = self.open_session().await?;
        introspect::introspect(&mut session, &self.dialect).await
    }

    async fn server_info(&self) -> Result<Map> {
        let mut session = self.open_session().await?;
        info::server(&mut session).await
    }

    async fn stats(&self, contract: &Contract) -> Result<Map> {
        let mut session = self.open_session().await?;
        info::stats(&mut session, &self.dialect, contract).await
    }

    fn pool_stats(&self) -> Map {
        self.pool.stats().to_map()
    }
}
