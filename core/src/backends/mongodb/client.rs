//! The driver's client: made of our configuration, with the figures of its pool from its events.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mongodb::action::Shutdown;
use mongodb::bson::{Document, doc};
use mongodb::event::cmap::CmapEvent;
use mongodb::options::{DatabaseOptions, ReadPreference, SelectionCriteria, ServerAddress};
use mongodb::{Client, Database};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::causal::Writes;
use super::error::translate;
use super::options::{options, preference};
use super::task::{LINGER, on_runtime};
use crate::backend::Access;
use crate::config::{Config, Endpoint, Server};
use crate::error::{Error, Result};
use crate::pool::Manager;
use crate::runtime;
use crate::value::{Map, Value};

/// How long the driver may take to close what is open.
const BRIEFLY: Duration = Duration::from_millis(200);
/// How often it is looked whether the connections are closed.
const POLL: Duration = Duration::from_millis(5);

/// An open database.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) client: Client,
    pub(super) database: Database,
    /// Whether `database` reads on the members that the url prefers.
    pub(super) prefers: bool,
    /// What was written, where reads on other members wait for it.
    pub(super) causal: Option<Arc<Writes>>,
    /// Whether the deployment has transactions: a replica set or a sharded cluster.
    pub(super) has_transactions: bool,
    /// The deadline of one command.
    pub(super) timeout: Option<Duration>,
    /// The server's sessions in which a transaction is open.
    began: Arc<Mutex<Vec<Document>>>,
    ending: Arc<AtomicBool>,
    /// Told when commands under way are to be given up.
    closed: Arc<Notify>,
    figures: Arc<Figures>,
    /// Whether SRV records name the servers.
    srv: bool,
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

    /// Whether transactions are open on the server.
    pub(super) fn has_begun(&self) -> bool {
        !self.began().is_empty()
    }

    /// Whether no transaction may begin any more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Lets none begin any more and ends those that are open, until there are none.
    pub(super) async fn end_begun(&self) {
        self.ending.store(true, Ordering::Release);
        while self.has_begun() {
            let sessions = self.began().clone();
            self.end_sessions(sessions).await;
            // One whose first command was on its way has begun behind this.
            tokio::time::sleep(POLL).await;
        }
    }

    /// What a command gives; nothing where it is given up, because the database is closed over it.
    pub(super) async fn unless_closed<F: Future>(&self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.closed.notified() => None,
        }
    }

    /// Ends what is open on the server, which would keep a forgotten transaction and its locks for a minute, and then the
    /// client.
    pub(super) async fn shut_down(&self) {
        // Cancelled commands may still be on their way to being undone.
        let gently = async {
            self.end_begun().await;
            self.ended(self.client.clone().shutdown()).await;
        };
        if timeout(LINGER, gently).await.is_err() {
            self.closed.notify_waiters();
            timeout(BRIEFLY, self.ended(self.client.clone().shutdown().immediate(true))).await.ok();
        }
    }

    /// Ends what runs in sessions of the server, and their transactions.
    pub(super) async fn end_sessions(&self, sessions: Vec<Document>) {
        if !sessions.is_empty() {
            let admin = self.client.database("admin");
            // Without an answer the server's own deadline ends them.
            timeout(LINGER, admin.run_command(doc! { "killSessions": sessions })).await.ok();
        }
    }

    /// Ends when the client has. Where SRV records name the servers, the driver (3.9) also waits until it looks at them
    /// again, up to a minute: there it is enough that no connection is left.
    async fn ended(&self, shutdown: Shutdown) {
        if !self.srv {
            return shutdown.await;
        }
        let mut ended = runtime::handle().spawn(shutdown.into_future());
        while timeout(POLL, &mut ended).await.is_err() {
            if self.figures.size.load(Ordering::Relaxed) <= 0 {
                return;
            }
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
    /// The connections that are open; others are closed before they were.
    ready: Mutex<HashSet<(ServerAddress, u32)>>,
}

impl Figures {
    fn ready(&self) -> MutexGuard<'_, HashSet<(ServerAddress, u32)>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event of a connection.
    pub(super) fn note(&self, event: &CmapEvent) {
        let add = |counter: &AtomicI64, step| {
            counter.fetch_add(step, Ordering::Relaxed);
        };
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match event {
            CmapEvent::ConnectionCreated(_) => add(&self.connecting, 1),
            CmapEvent::ConnectionReady(event) => {
                add(&self.connecting, -1);
                add(&self.size, 1);
                count(&self.connects);
                self.ready().insert((event.address.clone(), event.connection_id));
            }
            CmapEvent::ConnectionClosed(event) => {
                let was_ready = self.ready().remove(&(event.address.clone(), event.connection_id));
                add(if was_ready { &self.size } else { &self.connecting }, -1);
                if event.reason == mongodb::event::cmap::ConnectionClosedReason::Error {
                    count(&self.connect_errors);
                }
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

/// An open database, twice.
pub(super) struct Stores {
    /// Reads and writes on the primary.
    pub(super) primary: Arc<Store>,
    /// Reads on the members that the url prefers: only what is read outside transactions and not for a write.
    pub(super) preferred: Arc<Store>,
}

impl Stores {
    pub(super) fn of(&self, access: Access) -> &Arc<Store> {
        if access == Access::Read { &self.preferred } else { &self.primary }
    }
}

/// Opens the client and asks the server what it is.
pub(super) async fn open(config: &Arc<Config>, figures: &Arc<Figures>) -> Result<Stores> {
    let (config, figures) = (Arc::clone(config), Arc::clone(figures));
    // A server that takes connections and says nothing; the driver would go on looking for another one.
    let patience = config.parameters.span("server_selection_timeout").unwrap_or(config.pool.connect_timeout);
    let url = config.url.redacted();
    let opened = on_runtime(async move { timeout(patience, open_here(&config, &figures)).await }).await?;
    opened.unwrap_or_else(|_| {
        Err(Error::connection_failed(format!("mongodb: no answer within {patience:?}")).with("url", url))
    })
}

async fn open_here(config: &Config, figures: &Arc<Figures>) -> Result<Stores> {
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
    let preference = SelectionCriteria::ReadPreference(preference(config));
    let elsewhere = preference != SelectionCriteria::ReadPreference(ReadPreference::Primary);
    let options = DatabaseOptions::builder().selection_criteria(preference.clone()).build();
    let preferred = client.database_with_options(name, options);
    let hello = preferred.run_command(doc! { "hello": 1 }).selection_criteria(preference.clone());
    let hello: Document = hello.await.map_err(failed)?;
    // Authentication and the right to use the database show themselves only now.
    preferred.run_command(doc! { "ping": 1 }).selection_criteria(preference).await.map_err(failed)?;
    let primary = Store {
        has_transactions: hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"),
        client: client.clone(),
        database: client.database(name),
        timeout: config.statement_timeout,
        began: Arc::default(),
        ending: Arc::default(),
        closed: Arc::default(),
        prefers: false,
        causal: (elsewhere && config.read_your_writes).then(Arc::default),
        figures: Arc::clone(figures),
        srv: server.srv,
    };
    let preferred = Store { database: preferred, prefers: true, ..primary.clone() };
    Ok(Stores { primary: Arc::new(primary), preferred: Arc::new(preferred) })
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
