//! Opening connections.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx_core::connection::{ConnectOptions, Connection};
use sqlx_core::query_as::query_as;
use sqlx_core::query_scalar::query_scalar;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::dialect;
use super::error::translate;
use super::session::READ_COMMITTED;
use crate::backends::sql::connecting::{in_time, unreachable};
use crate::backends::sql::register::{Entry, Register};
use crate::backends::sql::socket::set_up;
use crate::config::{Config, Endpoint, Server};
use crate::error::{Error, Kind, Result};
use crate::pool::Manager;

/// The moment in which a process of the server began, in microseconds.
const BEGAN: &str = "(extract(epoch FROM backend_start) * 1000000)::bigint";
/// Prepared statements that a connection keeps.
const STATEMENT_CACHE: usize = 256;

/// Opens connections.
pub(super) struct Opener {
    config: Arc<Config>,
    /// Processes of the server, with the microsecond in which they began.
    open: Register<(i32, i64)>,
}

/// A connection and its number on the server.
pub(super) struct Link {
    pub(super) connection: PgConnection,
    /// The process that serves it; 0 behind a proxy, where it changes.
    pub(super) process: i32,
    /// Whether a transaction is [`READ_COMMITTED`] unless it is told otherwise; `false` behind a proxy, where nobody knows.
    pub(super) reads_committed: bool,
    _entry: Option<Entry<(i32, i64)>>,
}

impl Opener {
    pub(super) fn new(config: &Arc<Config>) -> Self {
        Self { config: Arc::clone(config), open: Register::default() }
    }

    /// Whether a proxy gives each transaction another session.
    pub(super) fn is_proxied(&self) -> bool {
        self.config.parameters.truth("pgbouncer").unwrap_or(false)
    }

    /// A connection, for those who are not in the pool's queue.
    pub(super) async fn connect_in_time(&self) -> Result<Link> {
        in_time(&self.config, self.connect()).await
    }

    /// The deadline of one statement.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.config.statement_timeout
    }

    fn server(&self) -> Result<&Server> {
        self.config.url.server().ok_or_else(|| Error::internal("a file is no PostgreSQL server"))
    }

    /// The first of the servers that answers.
    async fn open(&self) -> Result<PgConnection> {
        let server = self.server()?;
        let mut failures = Vec::new();
        for endpoint in &server.endpoints {
            match options(&self.config, server, endpoint)?.connect().await {
                Ok(connection) => {
                    set_up(endpoint, &self.config);
                    return Ok(connection);
                }
                Err(error) => failures.push((endpoint, translate(error))),
            }
        }
        Err(unreachable(&self.config, &failures))
    }

    /// Asks the server to stop what a connection executes.
    pub(super) async fn cancel(&self, process: i32) -> Result<()> {
        let mut connection = self.open().await?;
        let asked = query_scalar::<_, bool>("SELECT pg_cancel_backend($1)").bind(process);
        asked.fetch_one(&mut connection).await.map_err(translate)?;
        connection.close().await.map_err(translate)
    }

    /// Ends the connections that are still open on the server, whoever holds them here.
    pub(super) async fn end_all(&self) -> Result<()> {
        let open = self.open.all();
        if open.is_empty() {
            return Ok(());
        }
        let mut connection = self.open().await?;
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND {BEGAN} = $2");
        for (process, began) in open {
            let asked = query_scalar::<_, bool>(AssertSqlSafe(end.clone())).bind(process).bind(began);
            asked.fetch_optional(&mut connection).await.map_err(translate)?;
        }
        connection.close().await.map_err(translate)
    }
}

#[async_trait]
impl Manager for Opener {
    type Connection = Link;

    async fn connect(&self) -> Result<Link> {
        let mut connection = self.open().await?;
        if self.is_proxied() {
            return Ok(Link { connection, process: 0, reads_committed: false, _entry: None });
        }
        let facts = |setting: &str| {
            format!(
                "SELECT pid, {BEGAN}, current_setting('transaction_isolation') = '{READ_COMMITTED}', {setting} \
                 FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            )
        };
        // A client that has gone must not leave its statement running.
        let setup = facts("set_config('client_connection_check_interval', '2s', false)");
        let row: (i32, i64, bool, Option<String>) =
            match query_as(AssertSqlSafe(setup)).persistent(false).fetch_one(&mut connection).await {
                Ok(row) => row,
                // Servers before 14 and some platforms do not know the setting.
                Err(sqlx_core::Error::Database(_)) => query_as(AssertSqlSafe(facts("NULL::text")))
                    .persistent(false)
                    .fetch_one(&mut connection)
                    .await
                    .map_err(translate)?,
                Err(error) => return Err(translate(error)),
            };
        let (process, began, reads_committed, _) = row;
        Ok(Link { connection, process, reads_committed, _entry: Some(self.open.enter((process, began))) })
    }

    async fn close(&self, link: Link) {
        // Who closes has nobody to tell about a socket that is gone already.
        let _ = link.connection.close().await;
    }
}

fn options(config: &Config, server: &Server, endpoint: &Endpoint) -> Result<PgConnectOptions> {
    let parameters = &config.parameters;
    refuse_unserved(config)?;
    let mut options = PgConnectOptions::new_without_pgpass().disable_statement_logging();
    options = match endpoint {
        Endpoint::Tcp { host, port } => options.host(host).port(*port),
        Endpoint::Socket { path, port } => options.socket(path).port(*port),
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
    // Nobody in the middle is trusted unless the url says so; a server on this machine is not behind a wire.
    let mode = parameters.text("sslmode").unwrap_or(if endpoint.is_local() { "prefer" } else { "verify-full" });
    options = options.ssl_mode(mode.parse::<PgSslMode>().map_err(translate)?);
    if let Some(file) = parameters.text("sslrootcert") {
        options = options.ssl_root_cert(file);
    }
    if let Some(file) = parameters.text("sslcert") {
        options = options.ssl_client_cert(file);
    }
    if let Some(file) = parameters.text("sslkey") {
        options = options.ssl_client_key(file);
    }
    options = options.application_name(parameters.text("application_name").unwrap_or("farm-db"));
    if parameters.truth("pgbouncer").unwrap_or(false) {
        // A proxy knows neither our statements nor settings of its own choice.
        return Ok(options.statement_cache_capacity(0).extra_float_digits(None));
    }
    let cache = parameters.count("statement_cache_size").map_or(STATEMENT_CACHE, |count| count as usize);
    options = options.statement_cache_capacity(cache);
    if let Some(timeout) = config.statement_timeout {
        options = options.options([("statement_timeout", timeout.as_millis().to_string())]);
    }
    if let Some(schema) = parameters.text("schema") {
        // For native statements; ours name the schema.
        options = options.options([("search_path", dialect::quote(schema))]);
    }
    Ok(options)
}

/// Options of libpq that this driver has no way to serve; to pass over them would be to pretend.
fn refuse_unserved(config: &Config) -> Result<()> {
    let parameters = &config.parameters;
    let refuse = |name: &'static str| {
        Err(Error::new(Kind::Unsupported, format!("the option {name:?} with this value is not supported for postgres"))
            .with("option", name))
    };
    let unless = |name: &'static str, harmless: &[&str]| match parameters.text(name) {
        Some(value) if !harmless.contains(&value) => refuse(name),
        _ => Ok(()),
    };
    unless("gssencmode", &["disable", "prefer"])?;
    unless("channel_binding", &["disable", "prefer"])?;
    unless("sslnegotiation", &["postgres"])?;
    unless("load_balance_hosts", &["disable"])?;
    unless("target_session_attrs", &["any"])?;
    unless("client_encoding", &["utf8", "UTF8", "utf-8", "UTF-8"])?;
    unless("sslcrl", &[])?;
    unless("passfile", &[])?;
    unless("options", &[])?;
    if parameters.secret("sslpassword").is_some() {
        return refuse("sslpassword");
    }
    Ok(())
}
