//! Sessions: commands on collections, in a transaction of the server where one was begun.
//!
//! Invariant: the driver's session of a transaction is either here or with the command under way; a command that was left
//! takes it along, and dropping it there ends the transaction on the server before the place is given back. MongoDB aborts
//! a transaction with its first failed command; from then on it can only be rolled back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{ReadConcern, WriteConcern};

use super::causal;
use super::client::{Places, Store};
use super::commands;
use super::compile::Plan;
use super::driver_session::DriverSession;
use super::error::{UNKNOWN_COMMIT, translate};
use super::insert::insert;
use super::stream::MongoStream;
use super::task::{Wanted, ended_if_left, on_runtime, reading};
use super::values::{document, free};
use crate::backend::{Batch, Isolation, RowBatches, Rows, Session, Statement, TransactionOptions};
use crate::backends::deadline::{Deadline, no_answer, unknown};
use crate::error::{Error, Kind, Result};
use crate::pool::Pooled;
use crate::transaction::may_repeat;
use crate::value::Value;

/// How often a commit of unknown outcome is asked for again, and the pause before it.
const COMMIT_ATTEMPTS: u32 = 5;
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

/// Where the transaction is.
enum State {
    None,
    /// Open, with the driver's session.
    Open(DriverSession),
    /// It can only be rolled back, and why.
    Broken(&'static str),
}

/// A session for one piece of work.
pub(super) struct MongoSession {
    store: Arc<Store>,
    state: State,
    /// Given back when neither the session nor a command that was left needs it.
    place: Arc<Pooled<Places>>,
}

/// The transaction's session on its way through a command, and what the command gave.
pub(super) type Done<T> = (Option<DriverSession>, Result<T>);

impl MongoSession {
    pub(super) fn new(store: &Arc<Store>, place: Pooled<Places>) -> Self {
        Self { store: Arc::clone(store), state: State::None, place: Arc::new(place) }
    }

    /// Runs a command, with the transaction's session where there is one. `None` where it is not answered in time, or given
    /// up because the database is closed.
    async fn run<T, F>(
        &mut self,
        work: impl FnOnce(Arc<Store>, Option<DriverSession>, Wanted) -> F,
    ) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: Future<Output = Done<T>> + Send + 'static,
    {
        let session = self.lend()?;
        let lent = session.is_some();
        self.send(session, lent, Deadline::after(self.store.timeout), work).await
    }

    /// The same with a session of the driver, which is the transaction's or one for this command only.
    async fn send<T, F>(
        &mut self,
        session: Option<DriverSession>,
        lent: bool,
        deadline: Deadline,
        work: impl FnOnce(Arc<Store>, Option<DriverSession>, Wanted) -> F,
    ) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: Future<Output = Done<T>> + Send + 'static,
    {
        let (place, wanted) = (Arc::clone(&self.place), Wanted::default());
        let store = Arc::clone(&self.store);
        let number = session.as_ref().filter(|_| lent).map(|session| session.id().clone());
        // The driver's futures are large, and what is around this one would be as large several times over.
        let work = Box::pin(work(Arc::clone(&store), session, wanted.clone()));
        let left = wanted.clone();
        let work = async move {
            let _place = place;
            let closable = Arc::clone(&store);
            let work = async move {
                match number {
                    Some(number) => ended_if_left(work, left, store, number).await,
                    None => work.await,
                }
            };
            closable.unless_closed(work).await
        };
        let done = deadline.bound(reading(work, wanted, lent)).await;
        let Some((session, outcome)) = done.transpose()?.flatten() else { return Ok(None) };
        if lent {
            self.state = match (&outcome, session) {
                (Ok(_), Some(session)) => State::Open(session),
                _ => State::Broken("one of its commands has failed"),
            };
        }
        outcome.map(Some)
    }

    /// Runs a command that reads, outside a transaction after what was written before, where that is wanted.
    async fn read<T, F>(&mut self, work: impl FnOnce(Arc<Store>, Option<DriverSession>, Wanted) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Done<T>> + Send + 'static,
    {
        let answer = if matches!(self.state, State::None) {
            let deadline = Deadline::after(self.store.timeout);
            let session = deadline.bound(causal::session(&self.store)).await.ok_or_else(|| self.unanswered())??;
            self.send(session, false, deadline, work).await?
        } else {
            self.run(work).await?
        };
        answer.ok_or_else(|| self.unanswered())
    }

    /// Runs a command that writes. Where it is no transaction's and is not answered, nobody knows what it did.
    async fn write<T, F>(&mut self, work: impl FnOnce(Arc<Store>, Option<DriverSession>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Done<T>> + Send + 'static,
    {
        let alone = matches!(self.state, State::None);
        let outcome = self.run(|store, session, _| work(store, session)).await?;
        outcome.ok_or_else(|| if alone { unknown(&self.unanswered()) } else { self.unanswered() })
    }

    /// Why a command has no answer.
    fn unanswered(&self) -> Error {
        if self.store.is_ending() {
            return Error::closed("the database was closed while this was under way");
        }
        no_answer("mongodb")
    }

    /// What a stream's batches hold besides the stream.
    pub(super) fn place(&self) -> Arc<Pooled<Places>> {
        Arc::clone(&self.place)
    }

    /// Takes the transaction's session out; until it is put back the transaction counts as left.
    fn lend(&mut self) -> Result<Option<DriverSession>> {
        match std::mem::replace(&mut self.state, State::None) {
            State::None => Ok(None),
            State::Open(session) => {
                self.state = State::Broken("one of its commands was cancelled");
                Ok(Some(session))
            }
            State::Broken(why) => {
                self.state = State::Broken(why);
                Err(Error::transaction_state(format!("{why}: roll the transaction back")))
            }
        }
    }

    /// Ends a transaction that was begun for one statement.
    async fn end<T>(&mut self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(done) => self.commit().await.map(|()| done),
            Err(error) => self.rollback().await.and(Err(error)),
        }
    }

    /// Takes what a stream needs.
    pub(super) async fn for_stream(&mut self) -> Result<(Arc<Store>, Option<DriverSession>)> {
        let session = match self.lend()? {
            None => {
                let asking = causal::session(&self.store);
                Deadline::after(self.store.timeout).bound(asking).await.ok_or_else(|| self.unanswered())??
            }
            session => session,
        };
        Ok((Arc::clone(&self.store), session))
    }

    /// Puts the transaction's session back after a stream.
    pub(super) fn put_back(&mut self, session: Option<DriverSession>) {
        if let Some(session) = session {
            self.state = State::Open(session);
        }
    }
}

impl Drop for MongoSession {
    fn drop(&mut self) {
        if let Some(writes) = self.store.causal.as_ref().filter(|_| !self.store.prefers) {
            writes.note();
        }
    }
}

fn plan(statement: &Statement) -> Result<Arc<Plan>> {
    let plan = statement.native.clone().and_then(|native| native.downcast::<Plan>().ok());
    plan.ok_or_else(|| Error::internal("a statement without its command"))
}

fn check_isolation(options: &TransactionOptions) -> Result<()> {
    // A snapshot is at least as strong as each of the others.
    if options.level()? == Some(Isolation::Serializable) {
        return Err(Error::unsupported("mongodb has no serializable transactions, only snapshots")
            .with("operator", "serializable")
            .with("backend", "mongodb"));
    }
    Ok(())
}

#[async_trait]
impl Session for MongoSession {
    async fn query(&mut self, statement: Statement) -> Result<Box<dyn Rows>> {
        let plan = plan(&statement)?;
        if plan.command.writes() {
            return self
                .write(move |store, session| commands::query(store, session, plan, statement, Wanted::default()))
                .await;
        }
        self.read(move |store, session, wanted| commands::query(store, session, plan, statement, wanted)).await
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        let plan = plan(&statement)?;
        if !plan.command.touches_several() || !self.store.has_transactions || !matches!(self.state, State::None) {
            return self.write(move |store, session| commands::execute(store, session, plan)).await;
        }
        let mut attempt = 0;
        loop {
            self.begin(&TransactionOptions::default()).await?;
            let plan = Arc::clone(&plan);
            let outcome = self.write(move |store, session| commands::execute(store, session, plan)).await;
            match self.end(outcome).await {
                Err(error) if may_repeat(&error, &mut attempt).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn explain(&mut self, statement: Statement) -> Result<Value> {
        let plan = plan(&statement)?;
        self.read(move |store, session, _| commands::explain(store, session, plan, statement.parameters)).await
    }

    async fn insert(&mut self, statement: Statement, rows: Arc<Batch>) -> Result<Vec<Option<i64>>> {
        let plan = plan(&statement)?;
        if rows.len() < 2 || matches!(self.state, State::Open(_)) {
            return self.write(move |store, session| insert(store, session, plan, rows)).await;
        }
        // All or none: several documents are one only inside a transaction.
        self.begin(&TransactionOptions::default()).await.map_err(|error| match error.kind() {
            Kind::Unsupported => Error::unsupported(
                "mongodb inserts several rows as one only on a replica set: this server stands alone",
            )
            .with("operator", "create_many")
            .with("backend", "mongodb"),
            _ => error,
        })?;
        let outcome = self.write(move |store, session| insert(store, session, plan, rows)).await;
        self.end(outcome).await
    }

    async fn stream(self: Box<Self>, statement: Statement, size: usize) -> Result<Box<dyn RowBatches>> {
        let plan = plan(&statement)?;
        Ok(Box::new(MongoStream::open(self, plan, statement.parameters, size).await?))
    }

    async fn native(&mut self, statement: &Value, parameters: &Value) -> Result<Value> {
        let Value::Map(command) = statement else {
            return Err(Error::invalid_query("a native statement for mongodb is a command, such as {\"ping\": 1}"));
        };
        if !parameters.is_null() && parameters.as_list().is_none_or(|list| !list.is_empty()) {
            return Err(Error::invalid_query("a command for mongodb holds its values itself and takes no parameters"));
        }
        let command = document(command)?;
        self.write(move |store, session| commands::native(store, session, command)).await
    }

    async fn begin(&mut self, options: &TransactionOptions) -> Result<()> {
        check_isolation(options)?;
        if !self.store.has_transactions {
            return Err(Error::unsupported("mongodb has transactions only on a replica set: this server stands alone")
                .with("operator", "transaction")
                .with("backend", "mongodb"));
        }
        if self.store.is_ending() {
            return Err(Error::closed("the database was closed while this was under way"));
        }
        let store = Arc::clone(&self.store);
        let starting = on_runtime(async move {
            let mut session = store.client.start_session().await?;
            let transaction = session.start_transaction();
            // Whatever the url says for single writes: behind a commit that one member alone has acknowledged the next
            // snapshot may be older than it, once in some thousand times of 16 at once.
            let transaction = transaction.read_concern(ReadConcern::snapshot()).write_concern(WriteConcern::majority());
            transaction.await?;
            Ok(DriverSession::new(session))
        });
        let session =
            Deadline::after(self.store.timeout).bound(starting).await.ok_or_else(|| no_answer("mongodb"))??;
        let mut session = session.map_err(|error: DriverError| translate(&error, None))?;
        session.began(&self.store, self.place());
        self.state = State::Open(session);
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let session = match self.lend() {
            Ok(Some(session)) => session,
            Ok(None) => return Err(Error::transaction_state("there is no transaction to commit")),
            Err(error) => {
                self.state = State::None;
                return Err(error);
            }
        };
        let task = reading(commit(session), Wanted::default(), true);
        let outcome = match Deadline::after(self.store.timeout).bound(task).await {
            Some(ended) => ended.flatten(),
            None => Err(unknown_commit(&no_answer("mongodb"))),
        };
        self.state = State::None;
        outcome
    }

    async fn rollback(&mut self) -> Result<()> {
        if let State::Open(mut session) = std::mem::replace(&mut self.state, State::None) {
            // A failure to abort leaves the transaction to the server's own deadline; its effect is gone either way.
            let abort = async move {
                session.abort_transaction().await.ok();
                session.ended();
            };
            let abort = reading(abort, Wanted::default(), true);
            Deadline::after(self.store.timeout).bound(abort).await;
        }
        Ok(())
    }

    async fn savepoint(&mut self, _depth: usize) -> Result<()> {
        Err(Error::unsupported("mongodb has no savepoints, so a transaction cannot be begun inside another")
            .with("operator", "savepoint")
            .with("backend", "mongodb"))
    }

    async fn release(&mut self, _depth: usize) -> Result<()> {
        Ok(())
    }

    async fn rollback_to(&mut self, _depth: usize) -> Result<()> {
        Err(Error::internal("mongodb has no savepoint to roll back to"))
    }
}

/// Commits, and asks again while nobody knows whether it was done (the driver has asked twice by then).
async fn commit(mut session: DriverSession) -> Result<()> {
    let mut attempt = 0;
    loop {
        let Err(error) = session.commit_transaction().await else {
            session.ended();
            return Ok(());
        };
        if !error.contains_label(UNKNOWN_COMMIT) {
            return Err(translate(&error, None));
        }
        attempt += 1;
        if attempt == COMMIT_ATTEMPTS {
            return Err(unknown_commit(&translate(&error, None)));
        }
        tokio::time::sleep(COMMIT_PAUSE * attempt).await;
    }
}

fn unknown_commit(reason: &Error) -> Error {
    let message = format!("the transaction may or may not be committed: {}", reason.message());
    Error::new(Kind::OutcomeUnknown, message)
}

/// A document of the server as a value, what has no type of ours as its extended JSON (`{"$minKey": 1}`).
pub(super) fn free_document(document: &Document) -> Result<Value> {
    let spelled = document.iter().map(|(name, value)| (name.clone(), spelled(value))).collect::<Document>();
    let raw = mongodb::bson::RawDocumentBuf::try_from(&spelled)
        .map_err(|error| Error::backend(format!("mongodb: {error}")))?;
    free(mongodb::bson::raw::RawBsonRef::Document(&raw))
        .ok_or_else(|| Error::unsupported("the answer of mongodb holds a type that farm-db does not know"))
}

fn spelled(value: &Bson) -> Bson {
    match value {
        Bson::Array(list) => Bson::Array(list.iter().map(spelled).collect()),
        Bson::Document(map) => Bson::Document(map.iter().map(|(name, value)| (name.clone(), spelled(value))).collect()),
        Bson::RegularExpression(regex) => {
            let (pattern, options) = (regex.pattern.as_str(), regex.options.as_str());
            Bson::Document(doc! { "$regularExpression": { "pattern": pattern, "options": options } })
        }
        Bson::JavaScriptCode(code) => Bson::Document(doc! { "$code": code }),
        Bson::MinKey => Bson::Document(doc! { "$minKey": 1 }),
        Bson::MaxKey => Bson::Document(doc! { "$maxKey": 1 }),
        other => other.clone(),
    }
}

/// `maxTimeMS` for commands that are written out.
pub(super) fn with_deadline(mut command: Document, store: &Store) -> Document {
    if let Some(timeout) = store.timeout {
        command.insert("maxTimeMS", Bson::Int64(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)));
    }
    command
}

/// The names of what a command is about, for `explain`.
pub(super) fn explained(command: Document) -> Document {
    doc! { "explain": command, "verbosity": "queryPlanner" }
}
