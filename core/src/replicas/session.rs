//! Sessions on a replica, which go on elsewhere when it is lost, and sessions that note what they write.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::member::Member;
use super::{Replicas, is_loss, route};
use crate::backend::{Access, Batch, More, RowBatches, Rows, Session, Statement, TransactionOptions};
use crate::error::{Error, Kind, Result};
use crate::value::Value;

/// Whether a statement may do better elsewhere: the replica is lost, or lacks what was made on the primary just now, such
/// as a table.
fn may_repeat(error: &Error) -> bool {
    is_loss(error) || matches!(error.kind(), Kind::Backend | Kind::DatabaseBusy | Kind::Internal)
}

/// Takes a replica out whose error is a loss; whether the statement may be repeated.
fn judge(member: &Member, error: &Error) -> bool {
    if is_loss(error) {
        member.lost(error);
    }
    may_repeat(error)
}

/// A session for reading, at first on a replica.
pub(super) struct ReplicaSession {
    replicas: Arc<Replicas>,
    /// `None` once it is on the primary.
    member: Option<Arc<Member>>,
    session: Box<dyn Session>,
}

impl ReplicaSession {
    pub(super) fn new(replicas: Arc<Replicas>, member: Arc<Member>, session: Box<dyn Session>) -> Self {
        Self { replicas, member: Some(member), session }
    }

    /// The replica that it is on, if a statement may be sent to it: meanwhile something may have been written, which it
    /// lacks.
    async fn place(&mut self) -> Result<Option<Arc<Member>>> {
        if let Some(member) = &self.member
            && !self.replicas.fits(member)
        {
            self.go_to_primary().await?;
        }
        Ok(self.member.clone())
    }

    async fn go_to_primary(&mut self) -> Result<()> {
        route::to_primary();
        self.session = self.replicas.primary.session(Access::Read).await?;
        self.member = None;
        Ok(())
    }

    /// Goes on to another replica, or to the primary where the error may not be the replica's own. `since`: when the
    /// statement was sent first.
    async fn go_on(&mut self, error: &Error, since: Instant) -> Result<()> {
        let found = if is_loss(error) { self.replicas.member_session(since).await? } else { None };
        match found {
            Some((member, session)) => (self.session, self.member) = (session, Some(member)),
            None => self.go_to_primary().await?,
        }
        Ok(())
    }
}

/// Sends a statement that reads, again and elsewhere as long as replicas are lost.
macro_rules! read {
    ($this:ident, $method:ident, $statement:ident) => {{
        let since = Instant::now();
        loop {
            let Some(member) = $this.place().await? else { return $this.session.$method($statement).await };
            let replicas = Arc::clone(&$this.replicas);
            match replicas.watched(&member, $this.session.$method($statement.clone())).await {
                Ok(answer) => {
                    member.proved();
                    return Ok(answer);
                }
                Err(error) if judge(&member, &error) => $this.go_on(&error, since).await?,
                Err(error) => return Err(error),
            }
        }
    }};
}

fn only_reads<T>() -> Result<T> {
    Err(Error::internal("a session on a replica only reads"))
}

#[async_trait]
impl Session for ReplicaSession {
    async fn query(&mut self, statement: Statement) -> Result<Box<dyn Rows>> {
        read!(self, query, statement)
    }

    async fn explain(&mut self, statement: Statement) -> Result<Value> {
        read!(self, explain, statement)
    }

    async fn stream(mut self: Box<Self>, statement: Statement, size: usize) -> Result<Box<dyn RowBatches>> {
        let since = Instant::now();
        let Some(member) = self.place().await? else { return self.session.stream(statement, size).await };
        let Self { replicas, session, .. } = *self;
        match replicas.watched(&member, session.stream(statement.clone(), size)).await {
            Ok(batches) => Ok(Box::new(ReplicaBatches { replicas, member, batches, again: Some((statement, size)) })),
            Err(error) if judge(&member, &error) => {
                replicas.elsewhere(&error, since).await?.stream(statement, size).await
            }
            Err(error) => Err(error),
        }
    }

    async fn execute(&mut self, _statement: Statement) -> Result<u64> {
        only_reads()
    }

    async fn insert(&mut self, _statement: Statement, _rows: Arc<Batch>) -> Result<Vec<Option<i64>>> {
        only_reads()
    }

    async fn native(&mut self, _statement: &Value, _parameters: &Value) -> Result<Value> {
        only_reads()
    }

    async fn begin(&mut self, _options: &TransactionOptions) -> Result<()> {
        only_reads()
    }

    async fn commit(&mut self) -> Result<()> {
        only_reads()
    }

    async fn rollback(&mut self) -> Result<()> {
        only_reads()
    }

    async fn savepoint(&mut self, _depth: usize) -> Result<()> {
        only_reads()
    }

    async fn release(&mut self, _depth: usize) -> Result<()> {
        only_reads()
    }

    async fn rollback_to(&mut self, _depth: usize) -> Result<()> {
        only_reads()
    }
}

impl Replicas {
    /// A session for a read that has failed on a replica with this error.
    async fn elsewhere(self: &Arc<Self>, error: &Error, since: Instant) -> Result<Box<dyn Session>> {
        if is_loss(error)
            && let Some((member, session)) = self.member_session(since).await?
        {
            return Ok(self.on(member, session));
        }
        route::to_primary();
        self.primary.session(Access::Read).await
    }
}

/// Rows in batches from a replica. Until the first has come they may as well come from elsewhere; later the others would
/// not fit those that were handed out, and a loss is told.
struct ReplicaBatches {
    replicas: Arc<Replicas>,
    member: Arc<Member>,
    batches: Box<dyn RowBatches>,
    /// What to send elsewhere; `None` once rows have come, or it was sent.
    again: Option<(Statement, usize)>,
}

#[async_trait]
impl RowBatches for ReplicaBatches {
    async fn next(&mut self) -> Result<Option<Box<dyn Rows>>> {
        let since = Instant::now();
        let outcome = self.replicas.watched(&self.member, self.batches.next()).await;
        let again = self.again.take();
        match (outcome, again) {
            (Ok(batch), again) => {
                if again.is_some() {
                    self.member.proved();
                }
                Ok(batch)
            }
            (Err(error), again) => {
                let may_repeat = judge(&self.member, &error);
                let Some((statement, size)) = again.filter(|_| may_repeat) else { return Err(error) };
                // These watch over themselves.
                self.batches = self.replicas.elsewhere(&error, since).await?.stream(statement, size).await?;
                self.batches.next().await
            }
        }
    }

    async fn finish(self: Box<Self>) -> Option<Box<dyn Session>> {
        let Self { replicas, member, batches, .. } = *self;
        replicas.watched(&member, async { Ok(batches.finish().await) }).await.ok().flatten()
    }
}

/// What a session on the primary has sent, for `read_your_writes`.
struct Notes {
    replicas: Arc<Replicas>,
    in_transaction: bool,
    /// Whether something was sent that may have written and was not noted.
    pending: bool,
}

impl Notes {
    /// What was sent has ended; inside a transaction it counts with the commit.
    fn ended<T>(&mut self, outcome: T) -> T {
        if !self.in_transaction {
            self.note();
        }
        outcome
    }

    fn note(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.replicas.wrote();
        }
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // Of what was left in the middle nobody knows whether it took effect.
        self.note();
    }
}

/// A session on the primary that notes when it has written.
pub(super) struct WriteSession {
    session: Box<dyn Session>,
    notes: Notes,
}

impl WriteSession {
    pub(super) fn new(replicas: Arc<Replicas>, session: Box<dyn Session>) -> Self {
        Self { session, notes: Notes { replicas, in_transaction: false, pending: false } }
    }

    /// The session for something that may write.
    fn writing(&mut self) -> &mut Box<dyn Session> {
        self.notes.pending = true;
        &mut self.session
    }
}

#[async_trait]
impl Session for WriteSession {
    async fn query(&mut self, statement: Statement) -> Result<Box<dyn Rows>> {
        let outcome = self.writing().query(statement).await;
        self.notes.ended(outcome)
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        let outcome = self.writing().execute(statement).await;
        self.notes.ended(outcome)
    }

    async fn explain(&mut self, statement: Statement) -> Result<Value> {
        self.session.explain(statement).await
    }

    async fn insert(&mut self, statement: Statement, rows: Arc<Batch>) -> Result<Vec<Option<i64>>> {
        let outcome = self.writing().insert(statement, rows).await;
        self.notes.ended(outcome)
    }

    async fn insert_more(
        &mut self,
        statement: Statement,
        rows: Arc<Batch>,
        more: &mut More,
    ) -> Result<Vec<Option<i64>>> {
        let outcome = self.writing().insert_more(statement, rows, more).await;
        self.notes.ended(outcome)
    }

    async fn stream(self: Box<Self>, statement: Statement, size: usize) -> Result<Box<dyn RowBatches>> {
        let Self { session, notes } = *self;
        Ok(Box::new(NotedBatches { batches: session.stream(statement, size).await?, notes }))
    }

    async fn native(&mut self, statement: &Value, parameters: &Value) -> Result<Value> {
        let outcome = self.writing().native(statement, parameters).await;
        self.notes.ended(outcome)
    }

    async fn begin(&mut self, options: &TransactionOptions) -> Result<()> {
        self.notes.in_transaction = true;
        self.session.begin(options).await
    }

    async fn commit(&mut self) -> Result<()> {
        let outcome = self.session.commit().await;
        self.notes.in_transaction = false;
        self.notes.ended(outcome)
    }

    async fn rollback(&mut self) -> Result<()> {
        (self.notes.in_transaction, self.notes.pending) = (false, false);
        self.session.rollback().await
    }

    async fn savepoint(&mut self, depth: usize) -> Result<()> {
        self.session.savepoint(depth).await
    }

    async fn release(&mut self, depth: usize) -> Result<()> {
        self.session.release(depth).await
    }

    async fn rollback_to(&mut self, depth: usize) -> Result<()> {
        self.session.rollback_to(depth).await
    }
}

/// Rows in batches inside a transaction that may have written.
struct NotedBatches {
    batches: Box<dyn RowBatches>,
    notes: Notes,
}

#[async_trait]
impl RowBatches for NotedBatches {
    async fn next(&mut self) -> Result<Option<Box<dyn Rows>>> {
        self.batches.next().await
    }

    async fn finish(self: Box<Self>) -> Option<Box<dyn Session>> {
        let Self { batches, notes } = *self;
        let session = batches.finish().await?;
        Some(Box::new(WriteSession { session, notes }))
    }
}
