//! [`Replicas`]: reads outside transactions go to read replicas, and to the primary where none will do.
//!
//! Invariants:
//! - Only sessions that read outside transactions are ever on a replica; a verb that writes reads on the primary.
//! - A replica is used only if it is healthy, near enough (`max_staleness`) and has what this process wrote
//!   (`read_your_writes`), as far as it is known at the moment in which a statement is sent.
//! - A caller sees no error of a replica: the statement is sent again to another one, or to the primary.
//! - What is known is found out in tasks of their own, through connections of their own. Nobody waits for them, and they
//!   start only while somebody reads.
//!
//! How far behind a replica is, is told by positions in the primary's log and never by clocks: one that has replayed the
//! position that the primary had at a moment has everything that was committed before that moment.
//! Not for: MongoDB, whose driver chooses the members of a replica set.

mod marks;
mod member;
pub(crate) mod route;
mod session;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use self::marks::{Mark, Marks};
use self::member::Member;
use self::session::{ReplicaSession, WriteSession};
use crate::backend::{Access, Backend, Session};
use crate::backends;
use crate::config::{Config, PoolOptions};
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::value::{Map, Value};

/// The longest time between two looks at positions while they are needed, and the shortest.
const LOOK: Duration = Duration::from_secs(1);
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
/// How long a replica may be silent before it is asked whether it is there, and how long it may take to say so; less where
/// a statement's deadline is shorter.
const PATIENCE: Duration = Duration::from_secs(1);

/// The replicas of one database.
pub(crate) struct Replicas {
    primary: Arc<dyn Backend>,
    /// The primary too, through connections of its own: it is asked for its position however busy the pool is.
    watch: Arc<dyn Backend>,
    members: Vec<Arc<Member>>,
    max_staleness: Option<Duration>,
    read_your_writes: bool,
    patience: Duration,
    /// Counts the reads, for the next replica in turn.
    turn: AtomicUsize,
    /// Counts the writes of this process that have ended.
    writes: AtomicU64,
    written: Mutex<Instant>,
    marks: Mutex<Marks>,
    looked: Mutex<Option<Instant>>,
    looking: AtomicBool,
}

/// The configuration for a few connections beside the pool.
pub(super) fn watching(config: &Config) -> Arc<Config> {
    let pool = PoolOptions { min_size: 0, max_size: 4, max_idle: 1, ..config.pool.clone() };
    Arc::new(Config { pool, ..config.clone() })
}

/// What `work` gives within `span`.
async fn within<T>(span: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        outcome = work => outcome,
        () = runtime::sleep(span) => Err(Error::connection_failed(format!("no answer within {span:?}"))),
    }
}

/// Whether the error is the replica's own trouble, such that it should rest.
fn is_loss(error: &Error) -> bool {
    // On a standby a conflict is one with its replaying.
    matches!(error.kind(), Kind::ConnectionFailed | Kind::TransactionConflict | Kind::DatabaseClosed)
}

impl Replicas {
    /// The replicas that the configuration names, if it names any; opens nothing.
    pub(crate) fn open(config: &Config, primary: &Arc<dyn Backend>) -> Option<Arc<Self>> {
        if config.replicas.is_empty() {
            return None;
        }
        let wait = config.pool.acquire_timeout;
        let deadline = config.statement_timeout.map_or(wait, |deadline| deadline.min(wait));
        let patience = PATIENCE.min(deadline / 4);
        Some(Arc::new(Self {
            primary: Arc::clone(primary),
            watch: backends::open(&watching(config)),
            members: config.replicas.iter().map(|one| Arc::new(Member::new(one))).collect(),
            max_staleness: config.max_staleness,
            read_your_writes: config.read_your_writes,
            patience,
            turn: AtomicUsize::new(0),
            writes: AtomicU64::new(0),
            written: Mutex::new(Instant::now()),
            marks: Mutex::default(),
            looked: Mutex::default(),
            looking: AtomicBool::new(false),
        }))
    }

    /// Refuses options that the engine cannot serve.
    pub(crate) fn check(config: &Config, backend: &dyn Backend) -> Result<()> {
        let wanted = match (config.max_staleness, config.read_your_writes) {
            (Some(_), _) => "max_staleness",
            (_, true) => "read_your_writes",
            _ => return Ok(()),
        };
        if config.replicas.is_empty() || backend.capabilities().replica_positions {
            return Ok(());
        }
        let message = format!(
            "{} does not tell how far a replica has followed, so `{wanted}` cannot be kept: leave it out, or read in a \
             transaction where it matters, which runs on the primary",
            backend.name()
        );
        Err(Error::unsupported(message).with("option", wanted).with("backend", backend.name()))
    }

    /// A session for one piece of work outside transactions.
    pub(crate) async fn session(self: &Arc<Self>, access: Access) -> Result<Box<dyn Session>> {
        if access == Access::Write {
            return Ok(self.written_by(self.primary.session(access).await?));
        }
        match self.member_session(Instant::now()).await? {
            Some((member, session)) => Ok(self.on(member, session)),
            None => self.primary.session(access).await,
        }
    }

    /// A session on a replica for a read that was begun at `since`; `None` where it belongs on the primary. A caller's time
    /// is not for waiting for one silent replica after the other.
    async fn member_session(self: &Arc<Self>, since: Instant) -> Result<Option<(Arc<Member>, Box<dyn Session>)>> {
        while since.elapsed() < self.patience {
            let Some(member) = self.choose() else { return Ok(None) };
            match self.watched(&member, member.backend().session(Access::Read)).await {
                Ok(session) => return Ok(Some((member, session))),
                Err(error) if is_loss(&error) => member.lost(&error),
                Err(error) => return Err(error),
            }
        }
        route::to_primary();
        Ok(None)
    }

    /// A session for reading on a connection that idles, if there is one where the read belongs.
    pub(crate) fn idle_session(self: &Arc<Self>) -> Option<Box<dyn Session>> {
        let Some(member) = self.choose() else { return self.primary.idle_session(Access::Read) };
        let Some(session) = member.backend().idle_session(Access::Read) else {
            // It is still its turn: else those without a connection would never get one.
            self.turn.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        Some(self.on(member, session))
    }

    /// A session on the primary for a transaction.
    pub(crate) async fn transaction(self: &Arc<Self>, access: Access) -> Result<Box<dyn Session>> {
        let session = self.primary.session(access).await?;
        Ok(if access == Access::Write { self.written_by(session) } else { session })
    }

    fn on(self: &Arc<Self>, member: Arc<Member>, session: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(ReplicaSession::new(Arc::clone(self), member, session))
    }

    fn written_by(self: &Arc<Self>, session: Box<dyn Session>) -> Box<dyn Session> {
        if self.read_your_writes { Box::new(WriteSession::new(Arc::clone(self), session)) } else { session }
    }

    /// Notes that a write has ended, before whoever asked for it hears so.
    pub(crate) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether a read may be sent to this one now.
    fn fits(&self, member: &Member) -> bool {
        let writes = if self.read_your_writes { self.writes.load(Ordering::Acquire) } else { 0 };
        member.fits(self.max_staleness, writes)
    }

    fn needs_positions(&self) -> bool {
        self.max_staleness.is_some() || self.read_your_writes
    }

    /// The next replica in turn, of those that fit; `None` for the primary.
    fn choose(self: &Arc<Self>) -> Option<Arc<Member>> {
        self.look_when_due();
        route::settled(|| {
            let fitting: Vec<usize> = (0..self.members.len()).filter(|one| self.fits(&self.members[*one])).collect();
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            fitting.get(turn % fitting.len().max(1)).copied()
        })
        .map(|chosen| &self.members[chosen])
        .filter(|member| {
            let fits = self.fits(member);
            if !fits {
                // What it has read already must not be newer than what it will read.
                route::to_primary();
            }
            fits
        })
        .cloned()
    }

    /// Does something on a replica, and gives it up as soon as the replica turns out to be silent.
    async fn watched<T>(self: &Arc<Self>, member: &Arc<Member>, work: impl Future<Output = Result<T>>) -> Result<T> {
        let silent = member.silent();
        let mut work = std::pin::pin!(work);
        let mut silent = std::pin::pin!(silent);
        silent.as_mut().enable();
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome,
                () = &mut silent => return Err(Error::connection_failed("the replica does not answer any more")),
                () = runtime::sleep(self.patience) => self.examine_soon(member),
            }
        }
    }

    /// Begins to look at what is due, if anything is; nobody waits for it.
    fn look_when_due(self: &Arc<Self>) {
        let now = Instant::now();
        for member in &self.members {
            if member.is_due(now) {
                self.examine_soon(member);
            }
        }
        let Some(interval) = self.interval() else { return };
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|looked| now.duration_since(looked) < interval) {
                return;
            }
            *looked = Some(now);
        }
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        runtime::spawn(async move {
            this.mark().await;
            this.looking.store(false, Ordering::Release);
            for member in this.members.iter().filter(|member| member.is_up()) {
                this.examine_soon(member);
            }
        })
        .detach();
    }

    /// How often positions are to be looked at now; `None` where nothing depends on them.
    fn interval(&self) -> Option<Duration> {
        let writes = self.writes.load(Ordering::Acquire);
        let staleness = self.max_staleness.map(|most| LOOK.min(most / 4));
        let behind = self.read_your_writes && self.members.iter().any(|member| member.is_behind(writes));
        let catching_up = behind.then(|| {
            // Soon after a write often, then less and less.
            let since = self.written.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            (since / 2).clamp(SHORTEST_LOOK, LOOK)
        });
        [staleness, catching_up].into_iter().flatten().min()
    }

    /// Asks the primary where it is.
    async fn mark(&self) {
        // Before the question: what is committed until now lies before the position of the answer.
        let (at, writes) = (Instant::now(), self.writes.load(Ordering::Acquire));
        if let Ok(Some(position)) = within(self.patience, self.watch.position()).await {
            self.marks.lock().unwrap_or_else(PoisonError::into_inner).add(Mark { at, writes, log: position.log });
        }
    }

    fn examine_soon(self: &Arc<Self>, member: &Arc<Member>) {
        if let Some(examination) = member.begin_examination() {
            let this = Arc::clone(self);
            runtime::spawn(async move {
                let (marks, patience) = (&this.marks, this.patience);
                examination.run(marks, patience, this.needs_positions()).await;
            })
            .detach();
        }
    }

    /// Looks at all of them and waits for what they say, or for the patience to end.
    pub(crate) async fn examine(self: &Arc<Self>) {
        self.mark().await;
        let examinations = self.members.iter().filter_map(Member::begin_examination);
        join_all(examinations.map(|one| one.run(&self.marks, self.patience, self.needs_positions()))).await;
    }

    /// What is known of each.
    pub(crate) fn report(&self) -> Value {
        let primary = self.marks.lock().unwrap_or_else(PoisonError::into_inner).last();
        let writes = if self.read_your_writes { self.writes.load(Ordering::Acquire) } else { 0 };
        let reports = self.members.iter().map(|member| {
            let mut report: Map = member.report(primary);
            let usable = member.fits(self.max_staleness, writes);
            report.insert("in_use".to_owned(), usable.into());
            Value::Map(report)
        });
        Value::List(reports.collect())
    }

    /// Closes the connections to the replicas; the primary's are its owner's.
    pub(crate) async fn close(&self) -> Result<()> {
        let members = join_all(self.members.iter().map(|member| member.close()));
        let (watch, members) = futures_util::future::join(self.watch.close(), members).await;
        members.into_iter().chain([watch]).collect()
    }
}
