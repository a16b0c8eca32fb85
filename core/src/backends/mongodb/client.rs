//! The driver's client: made of our configuration, with the figures of its pool from its events.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::{
    Acknowledgment, ClientOptions, Credential, ReadConcern, ReadConcernLevel, ReadPreference, ReadPreferenceOptions,
    SelectionCriteria, ServerAddress, Tls, TlsOptions, WriteConcern,
};
use mongodb::{Client, Database};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::translate;
use super::task::{LINGER, on_runtime};
use crate::config::{Config, Endpoint, Server};
use crate::error::{Error, Result};
use crate::pool::Manager;
use crate::value::{Map, Value};

/// An open database.
pub(super) struct Store {
    pub(super) client: Client,
    pub(super) database: Database,
    /// Whether the deployment has transactions: a replica set or a sharded cluster.
    pub(super) has_transactions: bool,
    /// The deadline of one command.
    pub(super) timeout: Option<Duration>,
    /// The server's sessions in which a transaction is open.
    began: Mutex<Vec<Document>>,
}

/// An open transaction's entry among those of its store, until it is dropped.
pub(super) struct Began(Arc<Store>, Document);

impl Began {
    pub(super) fn new(store: &Arc<Store>, session: Document) -> Self {
        store.began().push(session.clone());
        Self(Arc::clone(store), session)
    }
}

impl Drop for Began {
    fn drop(&mut self) {
        let mut began = self.0.began();
        if let Some(place) = began.iter().position(|session| *session == self.1) {
            began.swap_remove(place);
        }
    }
}

impl Store {
    fn began(&self) -> MutexGuard<'_, Vec<Document>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what is open on the server, which would keep a forgotten transaction and its locks for a minute, and then the
    /// client.
    pub(super) async fn shut_down(&self) {
        let sessions = self.began().clone();
        if !sessions.is_empty() {
            let admin = self.client.database("admin");
            // Without an answer the server's own deadline ends them.
            timeout(LINGER, admin.run_command(doc! { "killSessions": sessions })).await.ok();
        }
        // Cancelled commands may still be on their way to being undone.
        if timeout(LINGER, self.client.clone().shutdown()).await.is_err() {
            self.client.clone().shutdown().immediate(true).await;
        }
    }
}

/// Makes the places of our pool, one a session: the driver knows neither a deadline for waiting nor a bound of the queue.
pub(super) struct Places;

#[async_trait]
impl Manager for Places {
    type Connection = ();

    async fn connect(&self) -> Result<()> {
        Ok(())
    }

    fn is_usable(&self, _place: &()) -> bool {
        true
    }

    async fn close(&self, _place: ()) {}
}

/// What the driver's pools tell of themselves.
#[derive(Debug, Default)]
pub(super) struct Figures {
    size: AtomicI64,
    in_use: AtomicI64,
    connecting: AtomicI64,
    waiting: AtomicI64,
    connects: AtomicU64,
    connect_errors: AtomicU64,
    acquires: AtomicU64,
    timeouts: AtomicU64,
    recycled: AtomicU64,
    wait_total: AtomicU64,
    wait_max: AtomicU64,
}

impl Figures {
    fn note(&self, event: &CmapEvent) {
        let add = |counter: &AtomicI64, step| {
            counter.fetch_add(step, Ordering::Relaxed);
        };
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match event {
            CmapEvent::ConnectionCreated(_) => add(&self.connecting, 1),
            CmapEvent::ConnectionReady(_) => {
                add(&self.connecting, -1);
                add(&self.size, 1);
                count(&self.connects);
            }
            CmapEvent::ConnectionClosed(event) => {
                if event.reason == mongodb::event::cmap::ConnectionClosedReason::Error {
                    count(&self.connect_errors);
                }
                add(&self.size, -1);
                count(&self.recycled);
            }
            CmapEvent::ConnectionCheckoutStarted(_) => add(&self.waiting, 1),
            CmapEvent::ConnectionCheckoutFailed(_) => {
                add(&self.waiting, -1);
                count(&self.timeouts);
            }
            CmapEvent::ConnectionCheckedOut(event) => {
                add(&self.waiting, -1);
                add(&self.in_use, 1);
                count(&self.acquires);
                let waited = u64::try_from(event.duration.as_micros()).unwrap_or(u64::MAX);
                self.wait_total.fetch_add(waited, Ordering::Relaxed);
                self.wait_max.fetch_max(waited, Ordering::Relaxed);
            }
            CmapEvent::ConnectionCheckedIn(_) => add(&self.in_use, -1),
            _ => {}
        }
    }

    /// The figures of the driver's connections, by the names that pools have.
    pub(super) fn to_map(&self) -> Map {
        let now = |counter: &AtomicI64| Value::Int(counter.load(Ordering::Relaxed).max(0));
        let sum = |counter: &AtomicU64| Value::Int(i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        let (size, in_use) = (self.size.load(Ordering::Relaxed), self.in_use.load(Ordering::Relaxed));
        crate::document! {
            "size" => size.max(0), "idle" => (size - in_use).max(0), "in_use" => now(&self.in_use),
            "connecting" => now(&self.connecting), "waiting" => now(&self.waiting),
            "connects_total" => sum(&self.connects), "connect_errors_total" => sum(&self.connect_errors),
            "acquires_total" => sum(&self.acquires), "acquire_timeouts_total" => sum(&self.timeouts),
            "recycled_total" => sum(&self.recycled),
            "wait_total_us" => sum(&self.wait_total), "wait_max_us" => sum(&self.wait_max),
        }
    }
}

/// Opens the client and asks the server what it is.
pub(super) async fn open(config: &Arc<Config>, figures: &Arc<Figures>) -> Result<Store> {
    let (config, figures) = (Arc::clone(config), Arc::clone(figures));
    on_runtime(async move { open_here(&config, &figures).await }).await?
}

async fn open_here(config: &Config, figures: &Arc<Figures>) -> Result<Store> {
    let server = config.url.server().ok_or_else(|| Error::internal("a file is no MongoDB server"))?;
    let name = server.database.as_deref().ok_or_else(|| {
        Error::invalid_configuration("the url names no database: mongodb://host/NAME").with("option", "database")
    })?;
    if !server.srv {
        reach(server, config).await?;
    }
    let options = options(config, server, figures).await?;
    let failed = |error: mongodb::error::Error| translate(&error, None).with("url", config.url.redacted());
    let client = Client::with_options(options).map_err(failed)?;
    let hello: Document = client.database("admin").run_command(doc! { "hello": 1 }).await.map_err(failed)?;
    // Authentication and the right to use the database show themselves only now.
    let database = client.database(name);
    database.run_command(doc! { "ping": 1 }).await.map_err(failed)?;
    Ok(Store {
        has_transactions: hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"),
        client,
        database,
        timeout: config.statement_timeout,
        began: Mutex::default(),
    })
}

/// Says at once what cannot be reached; the driver would go on looking.
async fn reach(server: &Server, config: &Config) -> Result<()> {
    let mut failures = Vec::new();
    for endpoint in &server.endpoints {
        let Endpoint::Tcp { host, port } = endpoint else { return Ok(()) };
        let reason = match timeout(config.pool.connect_timeout, TcpStream::connect((host.as_str(), *port))).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", config.pool.connect_timeout),
        };
        failures.push(format!("{endpoint}: {reason}"));
    }
    Err(Error::connection_failed(format!("cannot connect to {}", failures.join("; ")))
        .with("url", config.url.redacted()))
}

async fn options(config: &Config, server: &Server, figures: &Arc<Figures>) -> Result<ClientOptions> {
    let parameters = &config.parameters;
    refuse_unserved(config)?;
    let mut options = if server.srv {
        // Only the driver reads SRV and TXT records; user, password and the rest are set below.
        let host = server.endpoints.first().map(ToString::to_string).unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).to_owned();
        ClientOptions::parse(format!("mongodb+srv://{host}/")).await.map_err(|error| translate(&error, None))?
    } else {
        ClientOptions::default()
    };
    if !server.srv {
        options.hosts = server.endpoints.iter().map(address).collect();
    }
    options.app_name = Some(parameters.text("application_name").unwrap_or("farm-db").to_owned());
    options.default_database.clone_from(&server.database);
    options.connect_timeout = Some(config.pool.connect_timeout);
    options.server_selection_timeout =
        Some(parameters.span("server_selection_timeout").unwrap_or(config.pool.acquire_timeout));
    options.max_pool_size = u32::try_from(config.pool.max_size).ok();
    options.min_pool_size = u32::try_from(config.pool.min_size).ok();
    options.max_idle_time = config.pool.idle_timeout;
    options.heartbeat_freq = parameters.span("heartbeat_frequency").or(options.heartbeat_freq);
    options.local_threshold = parameters.span("local_threshold");
    options.max_connecting = parameters.count("max_connecting").and_then(|count| u32::try_from(count).ok());
    options.repl_set_name = parameters.text("replica_set").map(str::to_owned).or(options.repl_set_name);
    options.direct_connection = parameters.truth("direct_connection");
    options.load_balanced = parameters.truth("load_balanced").or(options.load_balanced);
    options.retry_reads = parameters.truth("retry_reads");
    options.retry_writes = parameters.truth("retry_writes");
    options.credential = credential(config, server)?.or(options.credential);
    options.tls = tls(config, server.srv);
    options.read_concern = parameters.text("read_concern_level").map(|level| ReadConcern::from(level_of(level)));
    options.write_concern = write_concern(config);
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(preference(config)));
    let figures = Arc::clone(figures);
    options.cmap_event_handler = Some(EventHandler::callback(move |event| figures.note(&event)));
    Ok(options)
}

fn address(endpoint: &Endpoint) -> ServerAddress {
    match endpoint {
        Endpoint::Tcp { host, port } => ServerAddress::Tcp { host: host.clone(), port: Some(*port) },
        Endpoint::Socket { path, .. } => ServerAddress::Unix { path: path.into() },
    }
}

fn credential(config: &Config, server: &Server) -> Result<Option<Credential>> {
    let parameters = &config.parameters;
    let mechanism = parameters.text("auth_mechanism");
    if server.user.is_none() && mechanism.is_none() {
        return Ok(None);
    }
    let mut credential = Credential::default();
    credential.username.clone_from(&server.user);
    credential.password = server.password.as_ref().map(|password| password.expose().to_owned());
    // Users live in `admin` unless the url says otherwise, or names the database that they are for.
    let source = parameters.text("auth_source").map(str::to_owned);
    credential.source = source.or_else(|| server.database.clone().filter(|_| mechanism.is_none()));
    if let Some(name) = mechanism {
        let mechanism = name.parse().map_err(|error| translate(&error, None).with("option", "auth_mechanism"))?;
        credential.mechanism = Some(mechanism);
    }
    Ok(Some(credential))
}

fn tls(config: &Config, srv: bool) -> Option<Tls> {
    let parameters = &config.parameters;
    // As the specification of SRV urls has it, they are encrypted unless the url says otherwise.
    if !parameters.truth("tls").unwrap_or(srv) {
        return None;
    }
    let mut options = TlsOptions::default();
    options.ca_file_path = parameters.text("tls_ca_file").map(Into::into);
    options.cert_key_file_path = parameters.text("tls_certificate_key_file").map(Into::into);
    let insecure = parameters.truth("tls_insecure");
    options.allow_invalid_certificates = parameters.truth("tls_allow_invalid_certificates").or(insecure);
    Some(Tls::Enabled(options))
}

fn level_of(level: &str) -> ReadConcernLevel {
    match level {
        "local" => ReadConcernLevel::Local,
        "available" => ReadConcernLevel::Available,
        "linearizable" => ReadConcernLevel::Linearizable,
        "snapshot" => ReadConcernLevel::Snapshot,
        _ => ReadConcernLevel::Majority,
    }
}

fn write_concern(config: &Config) -> Option<WriteConcern> {
    let parameters = &config.parameters;
    let (w, w_timeout, journal) = (parameters.text("w"), parameters.span("w_timeout"), parameters.truth("journal"));
    if w.is_none() && w_timeout.is_none() && journal.is_none() {
        return None;
    }
    let mut concern = WriteConcern::default();
    concern.w = w.map(|w| match w.parse() {
        Ok(nodes) => Acknowledgment::Nodes(nodes),
        Err(_) if w == "majority" => Acknowledgment::Majority,
        Err(_) => Acknowledgment::Custom(w.to_owned()),
    });
    (concern.w_timeout, concern.journal) = (w_timeout, journal);
    Some(concern)
}

fn preference(config: &Config) -> ReadPreference {
    let parameters = &config.parameters;
    let tags = match parameters.get("read_preference_tags") {
        Some(crate::config::Setting::Texts(texts)) => Some(texts.iter().map(|text| tag_set(text)).collect()),
        _ => None,
    };
    let staleness = parameters.count("max_staleness_seconds").map(Duration::from_secs);
    let options = (tags.is_some() || staleness.is_some()).then(|| {
        let mut options = ReadPreferenceOptions::default();
        (options.tag_sets, options.max_staleness) = (tags, staleness);
        options
    });
    match parameters.text("read_preference") {
        Some("primaryPreferred") => ReadPreference::PrimaryPreferred { options },
        Some("secondary") => ReadPreference::Secondary { options },
        Some("secondaryPreferred") => ReadPreference::SecondaryPreferred { options },
        Some("nearest") => ReadPreference::Nearest { options },
        _ => ReadPreference::Primary,
    }
}

/// `dc:east,use:reporting`
fn tag_set(text: &str) -> HashMap<String, String> {
    text.split(',').filter_map(|tag| tag.split_once(':')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Options that this build of the driver has no way to serve; to pass over them would be to pretend.
fn refuse_unserved(config: &Config) -> Result<()> {
    let parameters = &config.parameters;
    let refused = [
        "compressors",
        "zlib_compression_level",
        "socket_timeout",
        "tls_certificate_key_file_password",
        "tls_allow_invalid_hostnames",
        "auth_mechanism_properties",
        "srv_max_hosts",
        "srv_service_name",
    ];
    match refused.into_iter().find(|name| parameters.get(name).is_some()) {
        Some(name) => Err(Error::unsupported(format!("the option {name:?} is not supported for mongodb"))
            .with("option", name)
            .with("backend", "mongodb")),
        None => Ok(()),
    }
}
