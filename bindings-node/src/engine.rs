//! One database.
#![expect(clippy::needless_pass_by_value, reason = "napi hands arguments over by value")]

use std::cell::RefCell;
use std::collections::HashMap;

use farm_db_core::config::Config;
use farm_db_core::value::tagged;
use farm_db_core::{Contract, ContractMode, Database, Map, Repository, Result, TransactionOptions, Value, Verb};
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;

use crate::completion::{Outcome, promise};
use crate::error::to_napi;
use crate::reply;
use crate::repository::NativeRepository;
use crate::stream::NativeStream;
use crate::transaction::{NativeTransaction, Tx, transaction};

type Promise = napi::Result<PromiseRaw<'static, ()>>;

/// One database: its configuration, contract, pool and state. Collected, it closes its connections.
#[napi]
pub struct Engine {
    database: Database,
    /// Those that were used; each has its statements compiled.
    repositories: RefCell<HashMap<String, Repository>>,
}

impl Engine {
    fn new(database: Database) -> Self {
        Self { database, repositories: RefCell::default() }
    }

    fn of_config(config: Config, contract: &str) -> Result<Self> {
        Database::with_config(config, Contract::parse(contract)?).map(Self::new)
    }

    fn repository(&self, entity: &str) -> Result<Repository> {
        let mut known = self.repositories.borrow_mut();
        if let Some(repository) = known.get(entity) {
            return Ok(repository.clone());
        }
        let repository = self.database.repository(entity)?;
        known.insert(entity.to_owned(), repository.clone());
        Ok(repository)
    }
}

fn options(json: &str) -> Result<Map> {
    tagged::read_map(json.as_bytes())
}

#[napi]
impl Engine {
    /// Reads the URL, the options and the contract (JSON); opens nothing.
    #[napi(constructor, catch_unwind)]
    pub fn open(url: String, options_json: String, contract: String) -> napi::Result<Self> {
        let config = options(&options_json).and_then(|options| Config::parse(&url, &options));
        config.and_then(|config| Self::of_config(config, &contract)).map_err(|error| to_napi(&error))
    }

    /// The database that environment variables (a JSON object of text) name.
    #[napi(factory, catch_unwind)]
    pub fn from_environment(variables: String, options_json: String, contract: String) -> napi::Result<Self> {
        let read = || {
            let variables = options(&variables)?;
            let get = |name: &str| variables.get(name).and_then(Value::as_text).map(str::to_owned);
            let config = Config::from_environment(get, &options(&options_json)?)?;
            let config = config.ok_or_else(|| {
                farm_db_core::Error::invalid_configuration("no environment variable names a database")
                    .with("reason", "no_variable")
            })?;
            Self::of_config(config, &contract)
        };
        read().map_err(|error| to_napi(&error))
    }

    /// The kind of database.
    #[napi(getter)]
    pub fn backend(&self) -> String {
        self.database.backend_name().to_owned()
    }

    /// The URL without its secrets.
    #[napi(getter)]
    pub fn url(&self) -> String {
        self.database.redacted_url()
    }

    /// Whether it is connected.
    #[napi(getter)]
    pub fn is_connected(&self) -> bool {
        self.database.is_connected()
    }

    /// The canonical JSON of the contract.
    #[napi]
    pub fn contract(&self) -> String {
        self.database.contract().to_json()
    }

    /// Its sha-256.
    #[napi]
    pub fn contract_hash(&self) -> String {
        self.database.contract().hash()
    }

    /// What the engine can do, as JSON.
    #[napi]
    pub fn capabilities(&self) -> String {
        reply::map_text(&self.database.capabilities())
    }

    /// Figures of the pool, as JSON.
    #[napi]
    pub fn pool_stats(&self) -> String {
        reply::map_text(&self.database.pool_stats())
    }

    /// Whether the process can answer at all, as JSON; no I/O.
    #[napi]
    pub fn liveness(&self) -> String {
        reply::map_text(&self.database.liveness())
    }

    /// Opens the database; resolves to `{"created": [..], "differences": [..]}`.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn connect(&self, env: Env, mode: String, create_missing: bool, wait: f64) -> Promise {
        let database = self.database.clone();
        promise(&env, async move {
            let mode = ContractMode::parse(&mode)?;
            database.wait_until_ready(Database::waiting_span(wait)?).await?;
            let report = database.connect(mode, create_missing).await?;
            let mut facts = Map::new();
            let texts = |lines: Vec<String>| Value::List(lines.into_iter().map(Value::Text).collect());
            facts.insert("created".to_owned(), texts(report.created));
            let differences = report.differences.iter().map(ToString::to_string).collect();
            facts.insert("differences".to_owned(), texts(differences));
            Ok(Outcome::Json(reply::value(&Value::Map(facts))))
        })
    }

    /// Ends what runs, then all connections.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn close(&self, env: Env) -> Promise {
        let database = self.database.clone();
        promise(&env, async move { database.close().await.map(|()| Outcome::nothing()) })
    }

    /// Creates what is missing; resolves to a list of lines.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn ensure_schema(&self, env: Env) -> Promise {
        let database = self.database.clone();
        promise(&env, async move {
            let created = database.ensure_schema().await?.into_iter().map(Value::Text).collect();
            Ok(Outcome::Json(reply::value(&Value::List(created))))
        })
    }

    /// The canonical JSON of the contract that the database was made for (as JSON text), or null.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn stored_contract(&self, env: Env) -> Promise {
        let database = self.database.clone();
        promise(&env, async move {
            let stored = database.stored_contract().await?.map(|contract| contract.to_json());
            Ok(Outcome::Json(reply::value(&stored.into())))
        })
    }

    /// Whether the database answers, and how.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn health(&self, env: Env) -> Promise {
        let database = self.database.clone();
        promise(&env, async move { Ok(Outcome::Json(reply::value(&Value::Map(database.health().await)))) })
    }

    /// Sizes and counts.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn stats(&self, env: Env) -> Promise {
        let database = self.database.clone();
        promise(&env, async move { Ok(Outcome::Json(reply::value(&Value::Map(database.stats().await?)))) })
    }

    /// Reads what is in the database into a contract; resolves to `{"contract": "..", "notes": [..]}`.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn introspect(&self, env: Env) -> Promise {
        let database = self.database.clone();
        promise(&env, async move {
            let found = database.introspect().await?;
            Ok(Outcome::Json(reply::value(&Value::Map(found.to_map()))))
        })
    }

    /// Executes a native statement; statement and parameters are tagged JSON.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn execute(&self, env: Env, statement: String, parameters: String, tx: Tx<'_>) -> Promise {
        let (database, tx) = (self.database.clone(), transaction(tx));
        promise(&env, async move {
            let (statement, parameters) = (tagged::read(statement.as_bytes())?, tagged::read(parameters.as_bytes())?);
            let answer = database.execute(&statement, &parameters, tx.as_ref()).await?;
            Ok(Outcome::Json(reply::value(&answer)))
        })
    }

    /// What of an entity goes another way than `call`.
    #[napi(js_name = "repository", catch_unwind)]
    pub fn native_repository(&self, entity: String) -> napi::Result<NativeRepository> {
        self.repository(&entity).map(NativeRepository::new).map_err(|error| to_napi(&error))
    }

    /// Calls a verb of an entity; `raw` leaves the rows as the core writes them.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn call(&self, env: Env, entity: String, verb: String, arguments: String, tx: Tx<'_>, raw: bool) -> Promise {
        let (repository, tx) = (self.repository(&entity), transaction(tx));
        promise(&env, async move {
            let arguments = tagged::read_map(arguments.as_bytes())?;
            let answer = repository?.call(Verb::parse(&verb)?, arguments, tx.as_ref()).await?;
            reply::to_json(answer, raw).map(if raw { Outcome::Bytes } else { Outcome::Json })
        })
    }

    /// Begins a transaction.
    #[napi(ts_return_type = "Promise<NativeTransaction>", catch_unwind)]
    pub fn begin(&self, env: Env, isolation: Option<String>, read_only: bool) -> Promise {
        let database = self.database.clone();
        promise(&env, async move {
            let transaction =
                database.begin(TransactionOptions { isolation, read_only, ..TransactionOptions::default() }).await?;
            Ok(Outcome::Transaction(NativeTransaction::new(transaction)))
        })
    }

    /// The rows of a query in batches.
    #[napi(ts_return_type = "Promise<NativeStream>", catch_unwind)]
    pub fn stream(&self, env: Env, entity: String, query: String, batch: u32, tx: Tx<'_>) -> Promise {
        let (repository, tx) = (self.repository(&entity), transaction(tx));
        promise(&env, async move {
            let query = tagged::read_map(query.as_bytes())?;
            let stream = repository?.stream(query, batch as usize, tx.as_ref()).await?;
            Ok(Outcome::Stream(NativeStream::new(stream)))
        })
    }
}
