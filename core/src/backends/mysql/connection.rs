//! Opening connections.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use sqlx_core::connection::{ConnectOptions, Connection};
use sqlx_core::executor::Executor;
use sqlx_core::query_as::query_as;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};

use super::error::translate;
use crate::backends::sql::connecting::{in_time, unreachable};
use crate::backends::sql::register::{Entry, Register};
use crate::backends::sql::socket::set_up;
use crate::config::{Config, Endpoint, Server};
use crate::error::{Error, Result};
use crate::pool::Manager;

/// Where the server sees this connection come from.
const OWN_HOST: &str = "(SELECT host FROM information_schema.processlist WHERE id = CONNECTION_ID())";
/// Prepared statements that a connection keeps; the server has 16,382 for all of them unless told.
const STATEMENT_CACHE: usize = 128;
/// What the core relies on, whatever the server's own modes are.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
    NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,ONLY_FULL_GROUP_BY";

/// What tells a connection apart on the server: its number, which is used again after a restart, and where it comes from.
pub(super) type Identity = (u64, Arc<str>);

/// Opens connections.
pub(super) struct Opener {
    config: Arc<Config>,
    is_mariadb: Arc<OnceLock<bool>>,
    open: Register<Identity>,
}

/// A connection and what the server said at its beginning.
pub(super) struct Link {
    pub(super) connection: MySqlConnection,
    /// Its number on the server.
    pub(super) id: u64,
    pub(super) is_mariadb: bool,
    /// Whether a repeatable read notices that another has written what it writes.
    pub(super) notices_conflicts: bool,
    /// The most bytes of one statement with its parameters.
    pub(super) packet: usize,
    entry: Entry<Identity>,
}

impl Link {
    /// What tells the connection apart on the server.
    pub(super) fn identity(&self) -> Identity {
        self.entry.number()
    }
}

impl Opener {
    pub(super) fn new(config: &Arc<Config>, is_mariadb: &Arc<OnceLock<bool>>) -> Self {
        Self { config: Arc::clone(config), is_mariadb: Arc::clone(is_mariadb), open: Register::default() }
    }

    /// A connection, for those who are not in the pool's queue.
    pub(super) async fn connect_in_time(&self) -> Result<Link> {
        in_time(&self.config, self.connect()).await
    }

    /// The deadline of one statement.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.config.statement_timeout
    }

    async fn open(&self) -> Result<MySqlConnection> {
        let server = self.config.url.server().ok_or_else(|| Error::internal("a file is no MySQL server"))?;
        let mut failures = Vec::new();
        for endpoint in &server.endpoints {
            match options(&self.config, server, endpoint)?.connect().await {
                Ok(connection) => {
                    set_up(endpoint, &self.config);
                    return Ok(connection);
                }
                Err(error) => failures.push((endpoint, translate(error, None))),
            }
        }
        Err(unreachable(&self.config, &failures))
    }

    /// Asks the server to stop what a connection executes.
    pub(super) async fn cancel(&self, id: u64) -> Result<()> {
        let mut connection = self.open().await?;
        let kill = raw_sql(AssertSqlSafe(format!("KILL QUERY {id}")));
        connection.execute(kill).await.map_err(|error| translate(error, None))?;
        connection.close().await.map_err(|error| translate(error, None))
    }

    /// Asks the server to end connections, where they are still the same.
    pub(super) async fn end(&self, open: Vec<Identity>) -> Result<()> {
        let failed = |error| translate(error, None);
        let mut connection = self.open().await?;
        for (id, host) in open {
            let is_ours = "SELECT 1 FROM information_schema.processlist WHERE id = ? AND host = ?";
            let asked = query_as::<_, (i64,)>(is_ours).bind(id).bind(host.to_string());
            if asked.fetch_optional(&mut connection).await.map_err(failed)?.is_some() {
                // One that has ended meanwhile is unknown.
                let _ = connection.execute(raw_sql(AssertSqlSafe(format!("KILL {id}")))).await;
            }
        }
        connection.close().await.map_err(failed)
    }

    /// Ends the connections that are still open on the server, whoever holds them here.
    pub(super) async fn end_all(&self) -> Result<()> {
        let open = self.open.all();
        if open.is_empty() { Ok(()) } else { self.end(open).await }
    }

    /// The settings of a session.
    fn setup(&self, is_mariadb: bool) -> Result<String> {
        let collation = match self.config.parameters.text("collation") {
            Some(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => format!(" COLLATE {name}"),
            Some(_) => return Err(Error::invalid_configuration("the option \"collation\" is no name")),
            None => String::new(),
        };
        let timeout = self.config.statement_timeout.map_or_else(String::new, |timeout| {
            if is_mariadb {
                format!(", max_statement_time = {}", timeout.as_secs_f64())
            } else {
                format!(", max_execution_time = {}", timeout.as_millis())
            }
        });
        Ok(format!("SET NAMES utf8mb4{collation}, sql_mode = '{SQL_MODE}', time_zone = '+00:00'{timeout}"))
    }
}

#[async_trait]
impl Manager for Opener {
    type Connection = Link;

    async fn connect(&self) -> Result<Link> {
        let mut connection = self.open().await?;
        // A cluster of Vitess has no such list; there nothing is ended by its number.
        let host = if is_sharded(&self.config) { "NULL" } else { OWN_HOST };
        let facts = format!("SELECT CONNECTION_ID(), VERSION(), CAST(@@max_allowed_packet AS UNSIGNED), {host}");
        let (id, version, packet, host): (u64, String, u64, Option<String>) = query_as(AssertSqlSafe(facts))
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| translate(error, None))?;
        let is_mariadb = version.contains("MariaDB");
        let _ = self.is_mariadb.set(is_mariadb);
        let setup = raw_sql(AssertSqlSafe(self.setup(is_mariadb)?));
        connection.execute(setup).await.map_err(|error| translate(error, None))?;
        // Servers of MariaDB before 10.6.18 do not know the setting, nor does MySQL.
        let conflicts = raw_sql("SET innodb_snapshot_isolation = ON");
        let notices_conflicts = is_mariadb && connection.execute(conflicts).await.is_ok();
        Ok(Link {
            connection,
            id,
            is_mariadb,
            notices_conflicts,
            packet: usize::try_from(packet).unwrap_or(usize::MAX),
            entry: self.open.enter((id, host.unwrap_or_default().into())),
        })
    }

    async fn close(&self, link: Link) {
        // Who closes has nobody to tell about a socket that is gone already.
        let _ = link.connection.close().await;
    }
}

/// Whether the database is a cluster of Vitess: said so, or a host of `PlanetScale`.
pub(super) fn is_sharded(config: &Config) -> bool {
    let hosts = config.url.server().map(|server| server.endpoints.as_slice()).unwrap_or_default();
    let is_planetscale =
        |endpoint: &Endpoint| matches!(endpoint, Endpoint::Tcp { host, .. } if host.ends_with(".psdb.cloud"));
    config.parameters.truth("planetscale").unwrap_or_else(|| hosts.iter().any(is_planetscale))
}

fn options(config: &Config, server: &Server, endpoint: &Endpoint) -> Result<MySqlConnectOptions> {
    let parameters = &config.parameters;
    let mut options = MySqlConnectOptions::new()
        .disable_statement_logging()
        // One statement of our own sets the session up.
        .set_names(false)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None);
    options = match endpoint {
        Endpoint::Socket { path, .. } => options.socket(path),
        Endpoint::Tcp { host, port } => options.host(host).port(*port),
    };
    if let Some(user) = &server.user {
        options = options.username(user);
    }
    if let Some(password) = &server.password {
        options = options.password(password.expose());
    }
    if let Some(database) = &server.database {
        options = options.database(database);
    }
    options = options.ssl_mode(ssl_mode(config, endpoint)?);
    if let Some(file) = parameters.text("ssl_ca") {
        options = options.ssl_ca(file);
    }
    if let Some(file) = parameters.text("ssl_cert") {
        options = options.ssl_client_cert(file);
    }
    if let Some(file) = parameters.text("ssl_key") {
        options = options.ssl_client_key(file);
    }
    let unless = |name: &'static str, served: &[&str]| match parameters.text(name) {
        Some(value) if !served.contains(&value.to_lowercase().as_str()) => Err(Error::unsupported(format!(
            "the option {name:?} with this value is not supported for mysql: one of {}",
            served.join(", ")
        ))
        .with("option", name)),
        _ => Ok(()),
    };
    // Text is utf-8 and moments are in UTC, on every connection.
    unless("charset", &["utf8mb4"])?;
    unless("time_zone", &["+00:00", "utc"])?;
    let cache = parameters.count("statement_cache_size").map_or(STATEMENT_CACHE, |count| count as usize);
    Ok(options.statement_cache_capacity(cache))
}

/// Nobody in the middle is trusted unless the url says so; a server on this machine is not behind a wire.
fn ssl_mode(config: &Config, endpoint: &Endpoint) -> Result<MySqlSslMode> {
    let sharded = is_sharded(config);
    let usual = if endpoint.is_local() && !sharded { "preferred" } else { "verify_identity" };
    let mode = config.parameters.text("ssl_mode").unwrap_or(usual);
    if sharded && matches!(mode, "disabled" | "preferred") {
        return Err(Error::invalid_configuration("PlanetScale is reached over TLS only").with("option", "ssl_mode"));
    }
    mode.parse().map_err(|error| translate(error, None))
}
