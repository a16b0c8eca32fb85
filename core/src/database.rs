//! [`Database`]: configuration, contract, backend and state under one cheap clone.

mod sessions;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::backend::{Access, Backend, Introspection, Operation, Statement, TransactionOptions};
use crate::backends;
use crate::config::Config;
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::fork;
use crate::replicas::Replicas;
use crate::repository::{Repository, Shared};
use crate::runtime;
use crate::schema::{Contract, Difference, Entity};
use crate::transaction::Transaction;
use crate::value::{Map, Value};

/// Pauses between attempts to reach a server that is starting, the first and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What `connect` does about a database that was made for another contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContractMode {
    /// Refuses to connect, with every difference.
    #[default]
    Check,
    /// Connects and reports the differences.
    Warn,
    /// Does not look.
    Off,
}

impl ContractMode {
    /// `check`, `warn` or `off`.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "check" => Ok(Self::Check),
            "warn" => Ok(Self::Warn),
            "off" => Ok(Self::Off),
            _ => Err(Error::invalid_configuration(format!("contract is \"check\", \"warn\" or \"off\", got {name:?}"))
                .with("option", "contract")),
        }
    }
}

/// What `connect` did and found.
#[derive(Clone, Debug, Default)]
pub struct ConnectReport {
    /// Tables, columns and indexes that were created, a line each.
    pub created: Vec<String>,
    /// How the database's contract differs.
    pub differences: Vec<Difference>,
}

/// The connection of one process; a fork makes a new one.
struct Connected {
    process: u32,
    backend: Arc<dyn Backend>,
    replicas: Option<Arc<Replicas>>,
}

impl Connected {
    fn open(config: &Arc<Config>) -> Self {
        let backend = backends::open(config);
        let replicas = Replicas::open(config, &backend);
        Self { process: fork::process(), backend, replicas }
    }
}

struct Inner {
    config: Arc<Config>,
    contract: RwLock<Arc<Contract>>,
    /// What the repositories of each entity share, by the entity's name.
    shared: RwLock<HashMap<String, Arc<Shared>>>,
    /// Compiles statements; holds no connection until `connect`.
    backend: Mutex<Connected>,
    connected: AtomicBool,
    residual_queries: AtomicU64,
    residual_rows: AtomicU64,
    grouped_statements: AtomicU64,
    grouped_gets: AtomicU64,
    id: usize,
}

/// One database: where it is, what is in it, and the pool of connections to it.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

impl Database {
    /// Reads the URL and options, or, where the URL is empty, the environment variables that name a database; opens
    /// nothing.
    pub fn new(url: &str, options: &Map, contract: Contract) -> Result<Self> {
        if !url.is_empty() {
            return Self::with_config(Config::parse(url, options)?, contract);
        }
        let config = Config::from_environment(|name| std::env::var(name).ok(), options)?;
        let missing = || Error::invalid_configuration("no url was given, and no environment variable names a database");
        Self::with_config(config.ok_or_else(missing)?, contract)
    }

    /// A database of this configuration; opens nothing.
    pub fn with_config(config: Config, contract: Contract) -> Result<Self> {
        static IDS: AtomicUsize = AtomicUsize::new(1);
        let config = Arc::new(config);
        let backend = Connected::open(&config);
        Replicas::check(&config, &*backend.backend)?;
        Ok(Self(Arc::new(Inner {
            config,
            contract: RwLock::new(Arc::new(contract)),
            shared: RwLock::default(),
            backend: Mutex::new(backend),
            connected: AtomicBool::new(false),
            residual_queries: AtomicU64::new(0),
            residual_rows: AtomicU64::new(0),
            grouped_statements: AtomicU64::new(0),
            grouped_gets: AtomicU64::new(0),
            id: IDS.fetch_add(1, Ordering::Relaxed),
        })))
    }

    /// The backend of this process. After a fork the parent's is left alone: its threads do not exist here, and closing
    /// its handles would disturb the parent.
    pub(crate) fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.slot().backend)
    }

    fn slot(&self) -> MutexGuard<'_, Connected> {
        let mut slot = self.0.backend.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.process != fork::process() {
            std::mem::forget(std::mem::replace(&mut *slot, Connected::open(&self.0.config)));
        }
        slot
    }

    /// The native statement of an operation; pure, needs no connection.
    pub fn compile(&self, operation: &Operation<'_>) -> Result<Statement> {
        self.backend().compile(operation)
    }

    /// The contract of the app.
    pub fn contract(&self) -> Arc<Contract> {
        Arc::clone(&self.0.contract.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the entities of `contract`, also while the database is connected; `ensure_schema` then creates their tables.
    pub fn register(&self, contract: &Contract) {
        let mut slot = self.0.contract.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Arc::new(slot.merged_with(contract));
    }

    /// The name of the backend.
    pub fn backend_name(&self) -> &'static str {
        self.backend().name()
    }

    /// The URL without its secrets.
    pub fn redacted_url(&self) -> String {
        self.0.config.url.redacted()
    }

    /// What the engine can do.
    pub fn capabilities(&self) -> Map {
        self.backend().capabilities().to_map()
    }

    /// Whether `connect` succeeded and `close` was not called.
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Ordering::Acquire)
    }

    pub(crate) fn residual_limit(&self) -> u64 {
        self.0.config.residual_limit
    }

    pub(crate) fn count_residual(&self, rows: usize) {
        self.0.residual_queries.fetch_add(1, Ordering::Relaxed);
        self.0.residual_rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn groups_reads(&self) -> bool {
        self.0.config.group_reads
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        self.0.config.pool.acquire_timeout
    }

    pub(crate) fn queue_limit(&self) -> usize {
        self.0.config.pool.queue_limit
    }

    /// Whether the pool has a connection at all.
    pub(crate) fn has_connections(&self) -> bool {
        !matches!(self.pool_stats().get("size"), Some(Value::Int(0)) | None)
    }

    /// Counts the gets that one statement answers.
    pub(crate) fn count_grouped(&self, gets: usize) {
        self.0.grouped_statements.fetch_add(1, Ordering::Relaxed);
        self.0.grouped_gets.fetch_add(gets as u64, Ordering::Relaxed);
    }

    fn check_connected(&self) -> Result<()> {
        if self.is_connected() {
            return Ok(());
        }
        Err(Error::closed("the database is not connected: connect it first, or it was closed")
            .with("url", self.redacted_url()))
    }

    /// The seconds that a host wants to wait, from 0 to a day.
    pub fn waiting_span(seconds: f64) -> Result<Duration> {
        if (0.0..=86_400.0).contains(&seconds) {
            return Ok(Duration::from_secs_f64(seconds));
        }
        Err(Error::invalid_configuration(format!("wait takes seconds from 0 to 86400, got {seconds}"))
            .with("option", "wait"))
    }

    /// Waits for a server that is starting: tries again while it cannot be reached, until `wait` is over, and fails then
    /// with the last error. Other failures, such as a wrong password, are told at once.
    pub async fn wait_until_ready(&self, wait: Duration) -> Result<()> {
        let deadline = Instant::now() + wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.backend().connect().await {
                Err(error) if error.kind() == Kind::ConnectionFailed => error,
                outcome => return outcome,
            };
            if Instant::now() + pause >= deadline {
                return Err(failure.with("waited_seconds", wait.as_secs_f64()));
            }
            runtime::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens the database, creates what is missing if asked to, and compares the contracts.
    pub async fn connect(&self, mode: ContractMode, create_missing: bool) -> Result<ConnectReport> {
        let backend = self.backend();
        let contract = self.contract();
        contract.references()?;
        backend.connect().await?;
        if let Some(replicas) = self.replicas() {
            // One that is not there is none of the caller's business: reads do without it, and `health` shows it.
            replicas.examine().await;
        }
        let mut report = ConnectReport::default();
        if create_missing && !contract.entities().is_empty() {
            match self.create_missing(&contract).await {
                Ok(created) => report.created = created,
                Err(error) if error.kind() == Kind::ContractMismatch && mode != ContractMode::Check => {}
                Err(error) => return Err(error),
            }
        }
        if mode != ContractMode::Off
            && let Some(stored) = backend.stored_contract().await?
        {
            report.differences = contract.differences(&stored);
        }
        if mode == ContractMode::Check && !report.differences.is_empty() {
            let shown: Vec<_> = report.differences.iter().map(ToString::to_string).collect();
            let message = format!("the database was made for another contract: {}", shown.join("; "));
            return Err(Error::new(Kind::ContractMismatch, message)
                .with("differences", shown.into_iter().map(Value::Text).collect::<Vec<_>>()));
        }
        self.0.connected.store(true, Ordering::Release);
        Ok(report)
    }

    /// Stops intake, waits for work under way, closes every connection. Closing twice is fine. A closed database can be
    /// connected again.
    pub async fn close(&self) -> Result<()> {
        self.0.connected.store(false, Ordering::Release);
        let fresh = Connected::open(&self.0.config);
        let old = {
            let mut slot = self.0.backend.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, fresh)
        };
        if old.process != fork::process() {
            std::mem::forget(old);
            return Ok(());
        }
        match &old.replicas {
            None => old.backend.close().await,
            Some(replicas) => {
                let (closed, replicas_closed) = futures_util::future::join(old.backend.close(), replicas.close()).await;
                closed.and(replicas_closed)
            }
        }
    }

    /// Creates tables and indexes that are missing; never drops. Returns what was created.
    pub async fn ensure_schema(&self) -> Result<Vec<String>> {
        self.check_connected()?;
        let contract = self.contract();
        contract.references()?;
        self.create_missing(&contract).await
    }

    /// Creates what is missing, which counts as written.
    async fn create_missing(&self, contract: &Contract) -> Result<Vec<String>> {
        let created = self.backend().ensure_schema(contract).await;
        if let Some(replicas) = self.replicas() {
            replicas.wrote();
        }
        created
    }

    /// The contract that the database was made for, if it has one.
    pub async fn stored_contract(&self) -> Result<Option<Contract>> {
        self.check_connected()?;
        self.backend().stored_contract().await
    }

    /// Reads what is in the database into a contract, whoever made it, so that it can be adopted; the app's own contract
    /// plays no part. What a contract cannot say is left out and noted.
    pub async fn introspect(&self) -> Result<Introspection> {
        self.check_connected()?;
        self.backend().introspect().await
    }

    /// Whether the process can answer at all; no I/O.
    pub fn liveness(&self) -> Map {
        document! { "status" => "healthy", "connected" => self.is_connected(), "backend" => self.backend_name() }
    }

    /// Whether the database answers, with version, uptime, connections and the latency of each check. Never an error: a
    /// database that does not answer is `unhealthy` with the reason.
    pub async fn health(&self) -> Map {
        let mut health = document! {
            "status" => "healthy", "connected" => self.is_connected(), "backend" => self.backend_name(), "url" => self.redacted_url(),
        };
        let started = Instant::now();
        let outcome = match self.check_connected() {
            Ok(()) => self.backend().server_info().await,
            Err(error) => Err(error),
        };
        let latency = started.elapsed().as_secs_f64() * 1000.0;
        let mut check = document! { "name" => "query", "status" => "healthy", "latency_ms" => latency };
        match outcome {
            Ok(server) => health.extend(server),
            Err(error) => {
                let reason = document! { "code" => error.code(), "message" => error.to_string() };
                health.insert("status".to_owned(), "unhealthy".into());
                health.insert("connected".to_owned(), false.into());
                health.insert("error".to_owned(), reason.into());
                check.insert("status".to_owned(), "unhealthy".into());
            }
        }
        health.insert("latency_ms".to_owned(), latency.into());
        health.insert("checks".to_owned(), Value::List(vec![check.into()]));
        health.insert("connections".to_owned(), connections(&self.pool_stats()).into());
        if let Some(replicas) = self.replicas() {
            replicas.examine().await;
            health.insert("replicas".to_owned(), replicas.report());
        }
        health
    }

    /// Sizes, row counts, caches, and the work that the core did beside the database.
    pub async fn stats(&self) -> Result<Map> {
        self.check_connected()?;
        let mut stats = self.backend().stats(&self.contract()).await?;
        let load = |counter: &AtomicU64| Value::Int(counter.load(Ordering::Relaxed) as i64);
        let residual = document! { "queries" => load(&self.0.residual_queries), "rows" => load(&self.0.residual_rows) };
        stats.insert("residual".to_owned(), residual.into());
        let grouped =
            document! { "statements" => load(&self.0.grouped_statements), "gets" => load(&self.0.grouped_gets) };
        stats.insert("group_reads".to_owned(), grouped.into());
        stats.insert("pool".to_owned(), self.pool_stats().into());
        if let Some(replicas) = self.replicas() {
            stats.insert("replicas".to_owned(), replicas.report());
        }
        Ok(stats)
    }

    /// Figures of the pool; no I/O.
    pub fn pool_stats(&self) -> Map {
        self.backend().pool_stats()
    }

    /// Executes a native statement: rows come as a list of maps, others as `{"affected": n}`.
    pub async fn execute(&self, statement: &Value, parameters: &Value, tx: Option<&Transaction>) -> Result<Value> {
        let mut lease = self.lease(Access::Write, tx).await?;
        lease.session()?.native(statement, parameters).await
    }

    /// Begins a transaction.
    pub async fn begin(&self, options: TransactionOptions) -> Result<Transaction> {
        self.check_connected()?;
        let access = if options.read_only { Access::Read } else { Access::Write };
        let session = match self.replicas() {
            None => self.backend().session(access).await?,
            Some(replicas) => replicas.transaction(access).await?,
        };
        Transaction::start(session, &options, self.0.id).await
    }

    /// The verbs of an entity of the contract.
    pub fn repository(&self, entity: &str) -> Result<Repository> {
        Repository::new(self.clone(), Arc::clone(self.contract().entity(entity)?))
    }

    /// What all repositories of an entity share; made by the first of them.
    pub(crate) fn shared(&self, entity: &Arc<Entity>) -> Result<Arc<Shared>> {
        // Not waiting: after a fork nobody may be there who would release the lock.
        if let Ok(known) = self.0.shared.try_read()
            && let Some(shared) = known.get(&entity.name).filter(|shared| shared.is_of(entity))
        {
            return Ok(Arc::clone(shared));
        }
        let shared = Arc::new(Shared::new(self, entity)?);
        if let Ok(mut known) = self.0.shared.try_write() {
            known.insert(entity.name.clone(), Arc::clone(&shared));
        }
        Ok(shared)
    }

    /// Starts work on the core's executor; dropping the handle cancels it.
    pub fn spawn<F>(&self, future: F) -> runtime::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        runtime::spawn(future)
    }
}

/// The figures that health checks show.
fn connections(pool: &Map) -> Map {
    let figure = |name: &str| pool.get(name).cloned().unwrap_or_default();
    let available = match (figure("max_size"), figure("in_use")) {
        (Value::Int(most), Value::Int(used)) => Value::Int(most - used),
        _ => Value::Null,
    };
    document! { "current" => figure("size"), "active" => figure("in_use"), "available" => available }
}
