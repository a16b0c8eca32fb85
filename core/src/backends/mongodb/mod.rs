//! MongoDB on its own driver, which pools and retries by itself: BSON both ways, the key as `_id`, the query language as
//! it is.

mod bytes;
mod causal;
mod client;
mod commands;
mod compile;
mod driver_session;
mod error;
mod filter;
mod info;
mod insert;
mod introspect;
mod json;
mod late;
mod layout;
mod options;
mod references;
mod rows;
mod sample;
mod schema;
mod session;
mod stream;
mod task;
mod text;
mod values;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::client::{Figures, Places, Store, Stores};
use self::session::MongoSession;
use self::task::on_runtime;
use crate::backend::{Access, Backend, Capabilities, Introspection, Operation, Position, Session, Statement};
use crate::config::{Config, PoolOptions};
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::runtime;
use crate::schema::{Contract, FieldType};
use crate::value::{Map, Value};

static CAPABILITIES: Capabilities = Capabilities {
    transactions: true,
    savepoints: false,
    failed_statements: false,
    serializable: false,
    transactional_ddl: false,
    partial_indexes: true,
    descending_indexes: true,
    path_indexes: true,
    returning: true,
    concurrent_writers: true,
    auto_increment: true,
    key_characters: 1_000_000,
    max_bind_parameters: i64::MAX,
    infinite_floats: true,
    negative_zero: false,
    positive_exponents: true,
    decimal_scale: true,
    decimal_places: 6_144,
    moment_precision: 1000,
    free_days: false,
    foreign_keys: false,
    row_locks: false,
    search_at_once: true,
    replica_positions: false,
};

/// How long `close` waits for work under way.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// A MongoDB database.
pub(crate) struct Mongodb {
    config: Arc<Config>,
    figures: Arc<Figures>,
    places: Pool<Places>,
    stores: Mutex<Option<Arc<Stores>>>,
    /// Held while the client is opened, so that it is opened once.
    opening: tokio::sync::Mutex<()>,
}

impl Mongodb {
    /// A backend for this configuration; nothing is opened yet.
    pub(crate) fn new(config: &Arc<Config>) -> Self {
        let options = PoolOptions { min_size: 0, max_lifetime: None, idle_timeout: None, ..config.pool.clone() };
        Self {
            config: Arc::clone(config),
            figures: Arc::default(),
            places: Pool::new(Places, options, runtime::handle()),
            stores: Mutex::new(None),
            opening: tokio::sync::Mutex::new(()),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Stores>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open client; in a process that was forked from the one that connected, one of its own.
    async fn stores(&self) -> Result<Arc<Stores>> {
        if let Some(stores) = self.slot().clone() {
            return Ok(stores);
        }
        let _opening = self.opening.lock().await;
        if let Some(stores) = self.slot().clone() {
            return Ok(stores);
        }
        if self.places.is_closed() {
            return Err(Error::closed("the database is closed"));
        }
        let stores = Arc::new(client::open(&self.config, &self.figures).await?);
        *self.slot() = Some(Arc::clone(&stores));
        Ok(stores)
    }

    /// What reads and writes on the primary.
    async fn store(&self) -> Result<Arc<Store>> {
        Ok(Arc::clone(&self.stores().await?.primary))
    }
}

#[async_trait]
impl Backend for Mongodb {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn compile(&self, operation: &Operation<'_>) -> Result<Statement> {
        compile::compile(operation)
    }

    fn stored(&self, kind: &FieldType, value: Value) -> Result<Value> {
        values::stored(Some(kind), value)
    }

    async fn connect(&self) -> Result<()> {
        self.store().await.map(|_| ())
    }

    async fn session(&self, access: Access) -> Result<Box<dyn Session>> {
        let place = self.places.acquire().await?;
        Ok(Box::new(MongoSession::new(self.stores().await?.of(access), place)))
    }

    fn idle_session(&self, access: Access) -> Option<Box<dyn Session>> {
        let stores = self.slot().clone()?;
        Some(Box::new(MongoSession::new(stores.of(access), self.places.try_acquire()?)))
    }

    async fn position(&self) -> Result<Option<Position>> {
        Ok(None)
    }

    fn leaves_work(&self) -> bool {
        self.slot().as_ref().is_some_and(|stores| stores.primary.has_begun())
    }

    async fn end_work(&self) {
        let stores = self.slot().clone();
        if let Some(stores) = stores {
            stores.primary.end_begun().await;
        }
    }

    async fn close(&self) -> Result<()> {
        let report = self.places.close(CLOSE_DEADLINE).await;
        // What is still out, such as a forgotten transaction, finds the client shut down and its work undone.
        let stores = self.slot().take();
        if let Some(stores) = stores {
            on_runtime(async move { stores.primary.shut_down().await }).await?;
        }
        report.outcome()
    }

    async fn ensure_schema(&self, contract: &Contract) -> Result<Vec<String>> {
        let (store, contract) = (self.store().await?, contract.clone());
        let mut session = self.session(Access::Write).await?;
        on_runtime(async move { schema::ensure(&store, &mut *session, &contract).await }).await?
    }

    async fn stored_contract(&self) -> Result<Option<Contract>> {
        let store = self.store().await?;
        on_runtime(async move { schema::stored(&store).await }).await?
    }

    async fn introspect(&self) -> Result<Introspection> {
        let store = self.store().await?;
        on_runtime(async move { introspect::introspect(&store).await }).await?
    }

    async fn server_info(&self) -> Result<Map> {
        let store = self.store().await?;
        let patience = self.config.pool.connect_timeout;
        // The driver would look for a server much longer, and who asks for health wants an answer.
        let answer = on_runtime(async move { tokio::time::timeout(patience, info::server(&store)).await }).await?;
        answer.unwrap_or_else(|_| Err(Error::connection_failed(format!("mongodb: no answer within {patience:?}"))))
    }

    async fn stats(&self, contract: &Contract) -> Result<Map> {
        let (store, contract) = (self.store().await?, contract.clone());
        on_runtime(async move { info::stats(&store, &contract).await }).await?
    }

    fn pool_stats(&self) -> Map {
        let mut figures = self.places.stats().to_map();
        figures.insert("driver".to_owned(), self.figures.to_map().into());
        figures
    }
}
