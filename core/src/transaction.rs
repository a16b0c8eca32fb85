//! Transactions, savepoints inside them, and the small units that make a verb of several statements atomic.
//!
//! Invariant: whatever happens to a [`Transaction`] or [`Unit`], the effect is all or nothing. Dropping an unfinished
//! transaction rolls it back; dropping an unfinished unit inside a transaction breaks that transaction, which can then
//! only be rolled back.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};

use crate::backend::{Access, RowBatches, Session, TransactionOptions};
use crate::error::{Error, Kind, Result};
use crate::lease::Lease;
use crate::runtime;

/// How long a verb waits for a stream of its transaction to end.
const STREAM_GRACE: Duration = Duration::from_millis(100);
/// How long it waits for one that was left and is brought to rest, which may take the server a moment.
const CLOSING_GRACE: Duration = Duration::from_secs(15);

const ACTIVE: u8 = 0;
const COMMITTED: u8 = 1;
const ROLLED_BACK: u8 = 2;

/// What a transaction and the savepoints inside it share.
pub(crate) struct Shared {
    session: Arc<Mutex<Option<Box<dyn Session>>>>,
    /// How many savepoints were set; each has a number of its own.
    savepoints: AtomicUsize,
    broken: AtomicBool,
    /// The stream that has the session, if there is one.
    stream: StdMutex<Option<OpenStream>>,
    /// Whether that stream was left and is on its way to give the session back.
    closing: AtomicBool,
    /// Told when a stream has given the session back.
    returned: Notify,
    read_only: bool,
    /// Which database this belongs to.
    database: usize,
}

/// A stream's batches; empty while one is fetched and after the end.
pub(crate) type OpenStream = Arc<StdMutex<Option<Box<dyn RowBatches>>>>;

impl Shared {
    /// From now on the transaction can only be rolled back.
    pub(crate) fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Notes which stream has the session.
    pub(crate) fn lend(&self, stream: &OpenStream) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(stream));
    }

    /// Notes that the stream that has the session was left.
    pub(crate) fn expect_back(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Takes the session back from a stream that has ended; `None` where it could not be brought to rest.
    pub(crate) async fn take_back(&self, session: Option<Box<dyn Session>>) {
        if session.is_none() {
            self.break_off();
        }
        *self.session.lock().await = session;
        self.closing.store(false, Ordering::Release);
        self.returned.notify_waiters();
    }

    /// The session's place, when no stream has it; or, after a moment, when one still has: a loop that was just left gives
    /// its stream up in the host's next turn.
    async fn lock_at_rest(&self) -> OwnedMutexGuard<Option<Box<dyn Session>>> {
        for grace in [STREAM_GRACE, CLOSING_GRACE] {
            let returned = self.returned.notified();
            let guard = Arc::clone(&self.session).lock_owned().await;
            if guard.is_some() || (grace == CLOSING_GRACE && !self.closing.load(Ordering::Acquire)) {
                return guard;
            }
            drop(guard);
            let moment = {
                let _runtime = runtime::handle().enter();
                tokio::time::sleep(grace)
            };
            futures_util::future::select(std::pin::pin!(returned), std::pin::pin!(moment)).await;
        }
        Arc::clone(&self.session).lock_owned().await
    }

    /// The session's place for the end of the transaction, with which a stream that was left open ends.
    async fn lock_for_end(&self) -> OwnedMutexGuard<Option<Box<dyn Session>>> {
        let mut guard = Arc::clone(&self.session).lock_owned().await;
        if guard.is_none() {
            *guard = self.recall().await;
        }
        if guard.is_some() || !self.closing.load(Ordering::Acquire) {
            return guard;
        }
        drop(guard);
        self.lock_at_rest().await
    }

    /// Ends the stream that has the session; `None` where it is fetching at this moment.
    async fn recall(&self) -> Option<Box<dyn Session>> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let batches = stream.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        batches.finish().await
    }
}

struct Inner {
    shared: Arc<Shared>,
    parent: Option<Transaction>,
    /// 0 for the transaction itself, else the number of the savepoint.
    savepoint: usize,
    state: AtomicU8,
}

/// A transaction, or a savepoint inside one. A cheap clone; ends once.
#[derive(Clone)]
pub struct Transaction(Arc<Inner>);

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody can undo a lost savepoint's part any more, so the whole must not be committed.
        if self.savepoint > 0 && self.state.load(Ordering::Acquire) == ACTIVE {
            self.shared.break_off();
        }
    }
}

impl Transaction {
    pub(crate) async fn start(
        mut session: Box<dyn Session>,
        options: &TransactionOptions,
        database: usize,
    ) -> Result<Self> {
        session.begin(options).await?;
        let shared = Shared {
            session: Arc::new(Mutex::new(Some(session))),
            savepoints: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            stream: StdMutex::new(None),
            closing: AtomicBool::new(false),
            returned: Notify::new(),
            read_only: options.read_only,
            database,
        };
        Ok(Self(Arc::new(Inner { shared: Arc::new(shared), parent: None, savepoint: 0, state: AtomicU8::new(ACTIVE) })))
    }

    /// Whether it is neither committed nor rolled back.
    pub fn is_active(&self) -> bool {
        let active = self.0.state.load(Ordering::Acquire) == ACTIVE;
        active && self.0.parent.as_ref().is_none_or(Self::is_active)
    }

    fn check_active(&self) -> Result<()> {
        if self.is_active() {
            return Ok(());
        }
        let how = match self.0.state.load(Ordering::Acquire) {
            COMMITTED => "committed",
            ROLLED_BACK => "rolled back",
            _ => "over, because the one around it is",
        };
        Err(Error::transaction_state(format!("the transaction is {how}")))
    }

    /// The session for one verb; waits until the verb before it is done.
    pub(crate) async fn lease(&self, access: Access, database: usize) -> Result<Lease> {
        self.check_active()?;
        let shared = &self.0.shared;
        if shared.database != database {
            return Err(Error::transaction_state("the transaction belongs to another database"));
        }
        if shared.read_only && access == Access::Write {
            return Err(Error::transaction_state("the transaction is read-only"));
        }
        if shared.broken.load(Ordering::Acquire) {
            return Err(Error::transaction_state(
                "a cancelled operation left the transaction unfinished: roll it back",
            ));
        }
        let guard = shared.lock_at_rest().await;
        // It may have ended while we waited.
        self.check_active()?;
        Ok(Lease::Shared(guard, Arc::clone(shared)))
    }

    /// Sets a savepoint, which commits and rolls back by itself.
    pub async fn begin(&self) -> Result<Self> {
        let mut lease = self.lease(Access::Read, self.0.shared.database).await?;
        let savepoint = self.0.shared.savepoints.fetch_add(1, Ordering::Relaxed) + 1;
        lease.session()?.savepoint(savepoint).await?;
        let inner = Inner {
            shared: Arc::clone(&self.0.shared),
            parent: Some(self.clone()),
            savepoint,
            state: AtomicU8::new(ACTIVE),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Commits. Goes on when the caller goes away; a savepoint's changes become part of the transaction around it.
    pub async fn commit(&self) -> Result<()> {
        self.check_active()?;
        if self.0.shared.broken.load(Ordering::Acquire) {
            self.rollback().await?;
            return Err(Error::transaction_state(
                "a cancelled operation left the transaction unfinished: it was rolled back",
            ));
        }
        self.finish(true).await
    }

    /// Rolls back. Goes on when the caller goes away.
    pub async fn rollback(&self) -> Result<()> {
        self.check_active()?;
        self.finish(false).await
    }

    async fn finish(&self, commit: bool) -> Result<()> {
        let (send, wait) = oneshot::channel();
        let this = self.clone();
        runtime::spawn(async move {
            let _ = send.send(this.finish_here(commit).await);
        })
        .detach();
        wait.await.map_err(|_| Error::internal("the end of a transaction was lost"))?
    }

    async fn finish_here(&self, commit: bool) -> Result<()> {
        let mut guard = self.0.shared.lock_for_end().await;
        self.check_active()?;
        let state = if commit { COMMITTED } else { ROLLED_BACK };
        let Some(session) = guard.as_mut() else {
            return Err(Error::transaction_state("a stream of the transaction is fetching rows"));
        };
        let outcome = match (self.0.savepoint, commit) {
            (0, true) => session.commit().await,
            (0, false) => session.rollback().await,
            (savepoint, true) => session.release(savepoint).await,
            (savepoint, false) => session.rollback_to(savepoint).await,
        };
        // After a failed commit nothing more can be done with the transaction: the session's drop rolls it back.
        self.0.state.store(if outcome.is_ok() { state } else { ROLLED_BACK }, Ordering::Release);
        if self.0.savepoint == 0 {
            *guard = None;
        }
        outcome
    }
}

/// How often a unit that lost against another transaction is tried again, and the longest pause before it.
const ATTEMPTS: u32 = 50;
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Whether a unit whose transaction is its own may be tried again after this error; pauses before it says so.
pub(crate) async fn may_repeat(error: &Error, attempt: &mut u32) -> bool {
    *attempt += 1;
    if error.kind() != Kind::TransactionConflict || *attempt >= ATTEMPTS {
        return false;
    }
    // Random, so that two that met do not meet again.
    let most = LONGEST_PAUSE.min(Duration::from_millis(1) * 2_u32.saturating_pow((*attempt).min(10)));
    let pause = most.mul_f64(rand::random());
    let moment = {
        let _runtime = runtime::handle().enter();
        tokio::time::sleep(pause)
    };
    moment.await;
    true
}

/// Several statements that take effect together.
pub(crate) struct Unit {
    lease: Lease,
    open: bool,
    /// Whether there is no savepoint to go back to, so that a failure breaks the caller's transaction.
    bare: bool,
}

/// The number of the savepoint of a unit: units do not nest.
const UNIT: usize = 0;

impl Unit {
    /// Begins a transaction, or a savepoint inside the caller's. The first statement that fails is the last.
    pub(crate) async fn begin(mut lease: Lease) -> Result<Self> {
        let mut bare = false;
        if lease.is_shared() {
            match lease.session()?.savepoint(UNIT).await {
                Err(error) if error.kind() == Kind::Unsupported => bare = true,
                outcome => outcome?,
            }
        } else {
            lease.session()?.begin(&TransactionOptions { whole: true, ..TransactionOptions::default() }).await?;
        }
        Ok(Self { lease, open: true, bare })
    }

    pub(crate) fn lease(&mut self) -> &mut Lease {
        &mut self.lease
    }

    /// Keeps the effect if `outcome` is a success, undoes it otherwise.
    pub(crate) async fn end<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let shared = self.lease.is_shared();
        if self.bare {
            if outcome.is_err() {
                self.lease.break_transaction();
            }
            self.open = false;
            return outcome;
        }
        let session = self.lease.session()?;
        match (&outcome, shared) {
            (Ok(_), true) => session.release(UNIT).await?,
            (Ok(_), false) => session.commit().await?,
            (Err(_), true) => session.rollback_to(UNIT).await?,
            (Err(_), false) => session.rollback().await?,
        }
        self.open = false;
        outcome
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Outside a transaction the session's drop rolls back.
        if self.open {
            self.lease.break_transaction();
        }
    }
}
