//! Configuration: a database URL and options, checked once and turned into plain structures.
//!
//! Invariant: after [`Config::parse`] nothing is left to check and nothing unknown was passed over; no error, `Display`
//! or `Debug` shows a password. Not for: finding configuration files or asking a server anything.

mod backend_kind;
mod encoding;
mod endpoint;
mod environment;
mod nearest;
pub mod option_table;
mod pool_options;
mod replicas;
mod secret;
pub mod setting;
mod settings;
mod sqlite_options;
mod url;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use backend_kind::{BackendKind, SCHEMES};
pub use endpoint::Endpoint;
pub use option_table::{KnownOption, OPTIONS};
pub use pool_options::PoolOptions;
pub use secret::{MASK, Secret};
pub use setting::Setting;
pub use settings::Settings;
pub use sqlite_options::{OpenMode, SqliteOptions, Synchronous};
pub use url::{DatabaseUrl, Location, Server, redact};

use crate::error::{Error, Result};
use crate::value::{Map, Value};
use settings::Layer;

/// The most rows that may be filtered outside the database where no option says otherwise.
const RESIDUAL_LIMIT: u64 = 10_000;

/// Everything that a backend needs to open a database.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the database is and who asks. Options such as `user`, `password` and `database` are already in it.
    pub url: DatabaseUrl,
    /// The pool.
    pub pool: PoolOptions,
    /// What `SQLite` is told; the defaults on other backends.
    pub sqlite: SqliteOptions,
    /// The deadline of one statement; nothing for none.
    pub statement_timeout: Option<Duration>,
    /// The most rows that may be filtered outside the database.
    pub residual_limit: u64,
    /// Whether gets that wait for a connection are answered together.
    pub group_reads: bool,
    /// The read replicas, each as the database of its own that it is.
    pub replicas: Vec<Self>,
    /// How far a replica may be behind to be read from; nothing for any.
    pub max_staleness: Option<Duration>,
    /// Whether reads on replicas see what was written before.
    pub read_your_writes: bool,
    /// What remains for the backend's driver: `sslmode`, `auth_source`, `charset` ...
    pub parameters: Settings,
}

impl Config {
    /// Reads a URL and options; an option wins over a parameter of the same name in the URL.
    ///
    /// Spans are seconds unless the name ends in `Ms`, `MS`, `_ms` or `Millis`. Options that are null count as not given.
    pub fn parse(url: &str, options: &Map) -> Result<Self> {
        Self::build(DatabaseUrl::parse(url)?, Settings::default(), options)
    }

    /// Reads a map that holds the `url` beside the options.
    pub fn from_map(options: &Map) -> Result<Self> {
        let mut options = options.clone();
        match options.shift_remove("url") {
            Some(Value::Text(url)) => Self::parse(&url, &options),
            _ => Err(Error::invalid_configuration("option `url` is missing or is not text").with("option", "url")),
        }
    }

    /// Reads environment variables through `get`, and options that win over them; nothing where no variable names a
    /// database. The variables:
    ///
    /// `DATABASE_URL`, else `DATABASE_TYPE` with `MONGO_URI`, `POSTGRES_*`, `MYSQL_*` or `SQLITE_PATH`; `DB_POOL_SIZE`
    /// and `DB_MAX_OVERFLOW` with each of them.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>, options: &Map) -> Result<Option<Self>> {
        environment::read(&get, options)
    }

    /// The kind of database.
    pub fn backend(&self) -> BackendKind {
        self.url.backend()
    }

    fn build(url: DatabaseUrl, mut settings: Settings, options: &Map) -> Result<Self> {
        let backend = url.backend();
        settings.overlay(Layer::of_parameters(backend, &url.parameters, url.doubtful_query)?);
        settings.overlay(Layer::of_map(backend, options)?);
        check_type(&mut settings, backend)?;
        let replicas = replicas::read(&url, &mut settings)?;
        Ok(Self { replicas, ..Self::of_settings(url, settings)? })
    }

    /// The configuration of one server.
    fn of_settings(mut url: DatabaseUrl, mut settings: Settings) -> Result<Self> {
        let backend = url.backend();
        let pool = PoolOptions::from_settings(&mut settings, backend)?;
        let statement_timeout = settings.take_limit("statement_timeout", None);
        let residual_limit = settings.count("residual_limit").unwrap_or(RESIDUAL_LIMIT);
        settings.take("residual_limit");
        let group_reads = settings.take_truth("group_reads").unwrap_or(true);
        let max_staleness = settings.take_limit("max_staleness", None);
        let read_your_writes = settings.take_truth("read_your_writes").unwrap_or(false);
        let (sqlite, memory) = SqliteOptions::from_settings(&mut settings);
        if memory {
            url.location = Location::Memory;
        }
        url.settle(&mut settings)?;
        Ok(Self {
            url,
            pool,
            sqlite,
            statement_timeout,
            residual_limit,
            group_reads,
            replicas: Vec::new(),
            max_staleness,
            read_your_writes,
            parameters: settings,
        })
    }
}

/// The option `type` only repeats the scheme; a contradiction tells of a forgotten half of a change.
fn check_type(settings: &mut Settings, backend: BackendKind) -> Result<()> {
    match settings.take_text("type").map(|name| BackendKind::from_name(&name)) {
        None => Ok(()),
        Some(Some(kind)) if kind == backend => Ok(()),
        Some(told) => {
            let told = told.map_or("an unknown kind of database", BackendKind::name);
            Err(Error::invalid_configuration(format!("option `type` says {told}, the url is of {backend}"))
                .with("option", "type")
                .with("expected", backend.name()))
        }
    }
}

impl DatabaseUrl {
    /// Moves what options and parameters say of the server into the URL, so that there is one place to read it.
    fn settle(&mut self, settings: &mut Settings) -> Result<()> {
        const PLACE: [&str; 6] = ["host", "port", "user", "password", "database", "unix_socket"];
        let backend = self.backend();
        let Location::Server(server) = &mut self.location else {
            return Ok(());
        };
        let default_port = backend.default_port().unwrap_or_default();
        if let Some(hosts) = settings.take_text("host") {
            let named = hosts.split(',').map(|host| Endpoint::named(host.trim(), default_port));
            server.endpoints = named.collect::<Result<_>>().map_err(|error| error.with("option", "host"))?;
        }
        if let Some(path) = settings.take_text("unix_socket") {
            server.endpoints = vec![Endpoint::Socket { path, port: default_port }];
        }
        if let Some(port) = settings.take_count("port").and_then(|port| u16::try_from(port).ok()) {
            server.endpoints = std::mem::take(&mut server.endpoints).into_iter().map(|one| one.at(port)).collect();
        }
        server.user = settings.take_text("user").or(server.user.take());
        server.password = settings.take_secret("password").or(server.password.take());
        server.database = settings.take_text("database").or(server.database.take());
        self.parameters.retain(|parameter| {
            let found = option_table::find(&parameter.name, backend, false);
            !found.is_some_and(|(option, _)| PLACE.contains(&option.name))
        });
        Ok(())
    }
}
