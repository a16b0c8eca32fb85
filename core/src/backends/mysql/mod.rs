//! MySQL and MariaDB on the driver of sqlx, with our own pool: exact columns, inserts of many rows, streams without a
//! cursor, stopping on the server. Tested on MariaDB; what MySQL has in another form is chosen by the server's version.

mod connection;
mod definitions;
mod dialect;
mod error;
mod hint;
mod info;
mod insert;
mod introspect;
mod native;
mod pair;
mod rows;
mod session;
mod stream;
mod values;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

use self::connection::{Opener, is_sharded};
use self::insert::WritePlan;
use self::pair::update_and_read;
use self::session::MysqlSession;
use self::values::stored_decimal;
use crate::backend::{Access, Backend, Capabilities, Introspection, Operation, Position, Session, Statement};
use crate::backends::deadline::Deadline;
use crate::backends::sql::compile::compile;
use crate::backends::sql::schema;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::runtime;
use crate::schema::{Contract, FieldType};
use crate::value::{Map, Value};

static CAPABILITIES: Capabilities = Capabilities {
    transactions: true,
    savepoints: true,
    failed_statements: true,
    serializable: true,
    transactional_ddl: false,
    partial_indexes: true,
    descending_indexes: true,
    path_indexes: false,
    returning: false,
    concurrent_writers: true,
    auto_increment: true,
    key_characters: 768,
    max_bind_parameters: 65_535,
    infinite_floats: false,
    negative_zero: false,
    positive_exponents: false,
    decimal_scale: false,
    decimal_places: 30,
    moment_precision: 1,
    free_days: true,
    foreign_keys: true,
    row_locks: true,
    search_at_once: false,
    replica_positions: false,
};

/// A cluster of Vitess, such as `PlanetScale`.
static SHARDED: Capabilities = Capabilities { foreign_keys: false, ..CAPABILITIES };

/// How long `close` waits for work under way.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the server may take to end what was not given back then.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// A MySQL or MariaDB database.
pub(crate) struct Mysql {
    pool: Pool<Opener>,
    dialect: dialect::Mysql,
    closed: Arc<AtomicBool>,
}

impl Mysql {
    /// A backend for this configuration; nothing is opened yet.
    pub(crate) fn new(config: &Arc<Config>) -> Self {
        // A pool would open its least number of connections now, but nothing may be opened before `connect`.
        let options = crate::config::PoolOptions { min_size: 0, ..config.pool.clone() };
        let is_mariadb = Arc::new(OnceLock::new());
        Self {
            pool: Pool::new(Opener::new(config, &is_mariadb), options, runtime::handle()),
            dialect: dialect::Mysql { sharded: is_sharded(config), is_mariadb },
            closed: Arc::new(AtomicBool::new(false)),
        }
    }

    async fn open_session(&self) -> Result<MysqlSession> {
        Ok(MysqlSession::new(self.pool.acquire().await?, &self.closed))
    }
}

#[async_trait]
impl Backend for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn capabilities(&self) -> &'static Capabilities {
        if self.dialect.is_sharded() { &SHARDED } else { &CAPABILITIES }
    }

    fn compile(&self, operation: &Operation<'_>) -> Result<Statement> {
        let (mut statement, plan) = match operation {
            Operation::Insert(insert) => {
                (compile(&self.dialect, operation)?, WritePlan::new(&self.dialect, insert.entity))
            }
            Operation::Update(write, changes) if write.returning => {
                (update_and_read(&self.dialect, write, changes)?, WritePlan::of_update(write.entity, true))
            }
            Operation::Update(write, _) => {
                (compile(&self.dialect, operation)?, WritePlan::of_update(write.entity, false))
            }
            _ => return compile(&self.dialect, operation),
        };
        statement.native = Some(Arc::new(plan));
        Ok(statement)
    }

    /// `DECIMAL` has a fixed number of places, and there are no infinities.
    fn stored(&self, kind: &FieldType, value: Value) -> Result<Value> {
        match value {
            Value::Decimal(number) if matches!(kind, FieldType::Decimal) => {
                Ok(Value::Decimal(stored_decimal(&number)?))
            }
            Value::Float(number) if matches!(kind, FieldType::Float) && number.is_infinite() => {
                Err(Error::invalid_value("mysql holds no infinite float"))
            }
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
        Some(Box::new(MysqlSession::new(self.pool.try_acquire()?, &self.closed)))
    }

    async fn position(&self) -> Result<Option<Position>> {
        let mut session = self.open_session().await?;
        session.native(&Value::from("SELECT 1"), &Value::Null).await?;
        Ok(None)
    }

    fn leaves_work(&self) -> bool {
        self.pool.stats().in_use > 0
    }

    async fn end_work(&self) {
        // What cannot be reached any more is left to the server.
        let _ = self.pool.manager().end_all().await;
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
