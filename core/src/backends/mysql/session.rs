//! Sessions on a pooled connection.
//!
//! Invariant: a statement's future owns the connection and lives in the session, not in whoever awaits it. If that one
//! goes away, the session's drop gives the future to a task, which waits for a moment, else has the server stop the
//! statement, and reads its answer to the end: the driver cannot go on with a connection whose answer was left. A
//! transaction whose statement was left so can only be rolled back.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx_core::Either;
use sqlx_core::arguments::Arguments;
use sqlx_core::connection::Connection;
use sqlx_core::error::Error as SqlxError;
use sqlx_core::executor::Executor;
use sqlx_core::query::query_with;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_mysql::{MySqlArguments, MySqlConnection};
use tokio::time::timeout;

use super::connection::{Identity, Opener};
use super::error::{ends_transaction, is_lost, is_missing_index, is_stale_plan, is_survivable, translate};
use super::hint::without_hint;
use super::insert::WritePlan;
use super::rows::MysqlRows;
use super::stream::MysqlStream;
use super::values::Parameter;
use super::{insert, native, pair};
use crate::backend::{Batch, Early, Isolation, RowBatches, Rows, Session, Statement, TransactionOptions};
use crate::backends::deadline::{Deadline, look_within, no_answer, unknown};
use crate::error::{Error, Kind, Result};
use crate::pool::Pooled;
use crate::runtime;
use crate::schema::FieldType;
use crate::transaction::may_repeat;
use crate::value::Value;

/// How long a statement that nobody waits for may still run before the server is asked to stop it.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the server may take to stop it, or to roll back, before the connection is given up.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// What a statement gave.
pub(super) struct Fetched {
    pub(super) rows: Result<MysqlRows>,
    pub(super) affected: u64,
    pub(super) last_id: u64,
}

pub(super) type Outcome<T> = std::result::Result<T, SqlxError>;
/// A request under way, which gives the connection back.
type Running = Pin<Box<dyn Future<Output = (Pooled<Opener>, Outcome<Answer>)> + Send>>;

/// What is asked of the server.
pub(super) enum Request {
    /// A compiled statement, kept prepared or not.
    Statement(Box<Statement>, bool),
    /// Commands without parameters.
    Command(String),
    /// An update and a select of its row, in a transaction of their own or in the caller's.
    Pair(String, Arc<[FieldType]>, bool),
    /// A statement of the user.
    Native(String, Vec<Value>),
}

impl Request {
    /// Whether it may change rows. Commands say themselves what a lost answer means.
    fn writes(&self) -> bool {
        match self {
            Self::Statement(statement, _) => !statement.text.starts_with("SELECT"),
            Self::Command(_) => false,
            Self::Pair(..) => true,
            Self::Native(text, _) => !native::is_question(text),
        }
    }
}

/// What it answered.
pub(super) enum Answer {
    Rows(Fetched),
    Native(Result<Value>),
}

async fn perform(connection: &mut MySqlConnection, request: Request) -> Outcome<Answer> {
    match request {
        Request::Statement(statement, persistent) => fetch(connection, &statement, persistent).await.map(Answer::Rows),
        Request::Command(text) => {
            let done = connection.execute(raw_sql(AssertSqlSafe(text))).await?;
            let (affected, last_id) = (done.rows_affected(), done.last_insert_id());
            let nothing: Arc<[FieldType]> = Arc::new([]);
            Ok(Answer::Rows(Fetched { rows: Ok(MysqlRows::new(&nothing)), affected, last_id }))
        }
        Request::Pair(text, kinds, alone) => pair::run(connection, text, &kinds, alone).await.map(Answer::Rows),
        Request::Native(text, parameters) => native::run(connection, text, &parameters).await.map(Answer::Native),
    }
}

/// Where the connection is.
enum Place {
    Here(Pooled<Opener>),
    /// In a statement whose end nobody has seen.
    Running(Running, Identity, Arc<Opener>),
    /// In a stream, or given up.
    Away,
    /// Closed, because a statement was not answered in time.
    Lost,
}

/// A connection held for one piece of work.
pub(super) struct MysqlSession {
    place: Place,
    /// Whether the database was closed over this session.
    closed: Arc<AtomicBool>,
    in_transaction: bool,
    /// What begins the transaction, until its first statement: a transaction without one costs no message.
    unsent: Option<String>,
    /// Whether the server has rolled the transaction back by itself.
    aborted: bool,
    /// Whether the server may have closed the connection while it idled.
    doubtful: bool,
    /// That of the statement under way.
    deadline: Deadline,
}

/// Executes a statement and collects its rows.
async fn fetch(connection: &mut MySqlConnection, statement: &Statement, persistent: bool) -> Outcome<Fetched> {
    let mut arguments = MySqlArguments::default();
    for value in &statement.parameters {
        arguments.add(Parameter(value)).map_err(SqlxError::Encode)?;
    }
    let query = query_with(AssertSqlSafe(Arc::clone(&statement.text)), arguments).persistent(persistent);
    let mut rows = MysqlRows::new(&statement.kinds);
    let (mut affected, mut last_id, mut malformed) = (0, 0, None);
    let early = statement.early.as_ref();
    Early::begin(early);
    let mut stream = connection.fetch_many(query);
    while let Some(item) = stream.try_next().await? {
        match item {
            Either::Left(done) => {
                affected += done.rows_affected();
                last_id = done.last_insert_id();
            }
            // The rest of the answer is read all the same, so that the connection can go on.
            Either::Right(row) => {
                Early::offer(early, &mut rows, || MysqlRows::new(&statement.kinds));
                malformed = malformed.or(rows.push(&row).err());
            }
        }
    }
    Ok(Fetched { rows: malformed.map_or(Ok(rows), Err), affected, last_id })
}

/// Brings a connection to rest whose statement was left, or gives it up.
async fn settle(mut running: Running, id: Identity, manager: Arc<Opener>) {
    let link = match timeout(PATIENCE, &mut running).await {
        Ok((link, _)) => Some(link),
        Err(_) => match timeout(LAST_CHANCE, manager.cancel(id.0)).await {
            Ok(Ok(())) => timeout(LAST_CHANCE, running).await.ok().map(|(link, _)| link),
            _ => None,
        },
    };
    // A connection that is dropped with its statement is poisoned, and so closed. A pair that was stopped may have begun a
    // transaction of its own.
    if let Some(link) = link {
        rest(link, true).await;
    }
}

/// Makes sure that nothing of ours is left on a connection before it goes back.
pub(super) async fn rest(mut link: Pooled<Opener>, rollback: bool) {
    if link.is_poisoned() {
        return;
    }
    link.poison();
    // A request to stop that came too late meets this instead of the next caller's statement.
    let outcome = async {
        if rollback {
            link.connection.execute(raw_sql("ROLLBACK")).await.map(|_| ())
        } else {
            link.connection.ping().await
        }
    };
    if matches!(timeout(LAST_CHANCE, outcome).await, Ok(Ok(()))) {
        link.clear_poison();
    }
}

impl MysqlSession {
    pub(super) fn new(link: Pooled<Opener>, closed: &Arc<AtomicBool>) -> Self {
        let doubtful = link.is_doubtful();
        let (closed, deadline) = (Arc::clone(closed), Deadline::default());
        let place = Place::Here(link);
        Self { place, closed, in_transaction: false, unsent: None, aborted: false, doubtful, deadline }
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed("the database was closed while this was under way"));
        }
        if self.aborted {
            return Err(Error::transaction_state("the server has rolled the transaction back: roll it back here too"));
        }
        match &self.place {
            Place::Here(_) => Ok(()),
            Place::Running(..) => {
                Err(Error::transaction_state("a statement of the transaction was cancelled: roll it back"))
            }
            Place::Away => Err(Error::transaction_state("a stream of the transaction is fetching rows")),
            Place::Lost => {
                Err(Error::transaction_state("a statement of the transaction was not answered: roll it back"))
            }
        }
    }

    /// The connection at rest.
    pub(super) fn link(&mut self) -> Result<&mut Pooled<Opener>> {
        self.check()?;
        match &mut self.place {
            Place::Here(link) => Ok(link),
            _ => Err(Error::internal("mysql: the connection is busy")),
        }
    }

    /// The connection, for a stream; to be given back by [`Self::put_back`].
    pub(super) fn take(&mut self) -> Result<Pooled<Opener>> {
        self.check()?;
        match std::mem::replace(&mut self.place, Place::Away) {
            Place::Here(link) => Ok(link),
            _ => Err(Error::internal("mysql: the connection is busy")),
        }
    }

    pub(super) fn put_back(&mut self, link: Pooled<Opener>) {
        self.place = Place::Here(link);
    }

    /// Sends a request, behind what begins its transaction; it goes to its end, whoever waits for it. The answer is waited
    /// for until the deadline of one statement.
    pub(super) async fn ask(&mut self, request: Request) -> Result<Outcome<Answer>> {
        self.start().await?;
        self.ask_now(request).await
    }

    /// Begins the transaction on the server, where that was not done yet.
    async fn start(&mut self) -> Result<()> {
        let Some(text) = self.unsent.clone() else { return Ok(()) };
        let mut outcome = self.ask_now(Request::Command(text.clone())).await;
        if self.is_lost() && !self.closed.load(Ordering::Acquire) && !self.deadline.is_over() {
            // Nothing was done on the connection that is lost.
            self.reconnect().await?;
            outcome = self.ask_now(Request::Command(text)).await;
        }
        outcome?.map_err(|error| translate(error, None))?;
        self.unsent = None;
        Ok(())
    }

    /// Sends a request as it is.
    async fn ask_now(&mut self, request: Request) -> Result<Outcome<Answer>> {
        self.deadline = Deadline::after(self.link()?.manager().limit());
        if self.doubtful && !self.in_transaction && request.writes() {
            self.prove().await?;
        }
        self.ask_again(request).await
    }

    /// Looks whether the server is still there, before something is sent that must not be sent twice; where it has closed
    /// the connection, another one is opened.
    async fn prove(&mut self) -> Result<()> {
        let mut link = self.take()?;
        let patience = look_within(link.manager().limit());
        // Who is dropped in the middle of the look drops the connection.
        link.poison();
        let answers = matches!(Deadline::within(patience).bound(link.connection.ping()).await, Some(Ok(())));
        if answers {
            link.clear_poison();
        }
        self.doubtful = false;
        self.put_back(link);
        if answers { Ok(()) } else { self.reconnect().await }
    }

    /// Sends a request within the deadline of the one before.
    async fn ask_again(&mut self, request: Request) -> Result<Outcome<Answer>> {
        let is_lone_write = !self.in_transaction && request.writes();
        let mut link = self.take()?;
        let (id, manager) = (link.identity(), Arc::clone(link.manager()));
        // Who drops the future in the middle drops a connection that cannot be used again.
        link.poison();
        let running: Running = Box::pin(async move {
            let outcome = perform(&mut link.connection, request).await;
            if outcome.as_ref().err().is_none_or(is_survivable) {
                link.clear_poison();
            }
            (link, outcome)
        });
        self.place = Place::Running(running, id, manager);
        let Place::Running(running, ..) = &mut self.place else { return Err(Error::internal("mysql: no request")) };
        let Some((link, outcome)) = self.deadline.bound(running).await else {
            self.give_up();
            let error = no_answer("mysql");
            return Err(if is_lone_write { unknown(&error) } else { error });
        };
        self.put_back(link);
        if let Err(error) = &outcome {
            self.aborted = self.in_transaction && ends_transaction(error);
        }
        self.doubtful &= outcome.as_ref().is_err_and(|error| !is_survivable(error));
        match outcome {
            Err(error) if is_lone_write && is_lost(&error) => Err(unknown(&translate(error, None))),
            outcome => Ok(outcome),
        }
    }

    /// Closes the connection of a statement that is not answered. The server may be executing it all the same, and is asked
    /// to end it.
    fn give_up(&mut self) {
        if let Place::Running(_, id, manager) = std::mem::replace(&mut self.place, Place::Lost) {
            runtime::handle().spawn(async move { timeout(LAST_CHANCE, manager.end(vec![id])).await });
        }
    }

    /// Executes a compiled statement.
    pub(super) async fn fetch(&mut self, statement: Statement, persistent: bool) -> Result<Fetched> {
        let plan = WritePlan::of(&statement);
        let reads = statement.text.starts_with("SELECT");
        let mut outcome = self.ask(Request::Statement(Box::new(statement.clone()), persistent)).await?;
        let alone = !self.in_transaction;
        if alone && reads && outcome.as_ref().is_err_and(|error| !is_survivable(error)) {
            // The server has closed the connection while it idled, or just now; reading again does no harm.
            self.reconnect().await?;
            outcome = self.ask_again(Request::Statement(Box::new(statement), persistent)).await?;
        } else if outcome.as_ref().is_err_and(is_stale_plan) {
            // The server refused to execute it, so that preparing it anew executes it once.
            outcome = self.ask(Request::Statement(Box::new(statement), false)).await?;
        } else if outcome.as_ref().is_err_and(is_missing_index)
            && let Some(text) = without_hint(&statement.text)
        {
            let statement = Statement { text: text.into(), ..statement };
            outcome = self.ask(Request::Statement(Box::new(statement), persistent)).await?;
        }
        match outcome.map_err(|error| translate(error, plan.as_deref()))? {
            Answer::Rows(fetched) => Ok(fetched),
            Answer::Native(_) => Err(Error::internal("mysql: an answer of another kind")),
        }
    }

    /// Changes the row of a key and returns it as it is then. One that lost against another transaction is tried again.
    async fn update_and_read(&mut self, statement: &Statement, plan: &WritePlan) -> Result<MysqlRows> {
        let alone = !self.in_transaction;
        let pair = pair::with_constants(statement)?;
        let text = if alone { format!("START TRANSACTION; {pair}; COMMIT") } else { pair };
        let mut attempt = 0;
        loop {
            let request = Request::Pair(text.clone(), Arc::clone(&statement.kinds), alone);
            let outcome = self.ask(request).await?;
            if !alone && outcome.as_ref().is_err_and(is_lost) {
                // The transaction ends with its connection, which may have the update and not the row.
                self.place = Place::Lost;
            }
            let error = match outcome.map_err(|error| translate(error, Some(plan))) {
                Ok(Answer::Rows(fetched)) => return fetched.rows,
                Ok(Answer::Native(_)) => Error::internal("mysql: an answer of another kind"),
                Err(error) => error,
            };
            if !alone {
                return Err(error);
            }
            // What failed may have begun.
            self.in_transaction = true;
            self.rollback().await?;
            if !may_repeat(&error, &mut attempt).await {
                return Err(error);
            }
        }
    }

    /// Executes commands without parameters.
    pub(super) async fn command(&mut self, text: impl Into<String>) -> Result<()> {
        let outcome = self.ask(Request::Command(text.into())).await?;
        outcome.map(|_| ()).map_err(|error| translate(error, None))
    }

    fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost) || matches!(&self.place, Place::Here(link) if link.is_poisoned())
    }

    /// Puts a new connection into the place of one that is lost, within the deadline of the statement.
    async fn reconnect(&mut self) -> Result<()> {
        let Place::Here(link) = &mut self.place else { return Err(Error::internal("mysql: the connection is busy")) };
        let manager = Arc::clone(link.manager());
        let opening = runtime::handle().spawn(async move { manager.connect_in_time().await });
        let opened = self.deadline.bound(opening).await.ok_or_else(|| no_answer("mysql"))?;
        **link =
            opened.map_err(|error| Error::internal(format!("a task that opens a connection ended: {error}")))??;
        link.clear_poison();
        self.doubtful = false;
        Ok(())
    }
}

impl Drop for MysqlSession {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.place, Place::Away) {
            Place::Running(running, id, manager) => {
                runtime::handle().spawn(settle(running, id, manager));
            }
            Place::Here(link) if self.in_transaction && self.unsent.is_none() && !link.is_poisoned() => {
                runtime::handle().spawn(rest(link, true));
            }
            Place::Here(_) | Place::Away | Place::Lost => {}
        }
    }
}

fn begin_text(options: &TransactionOptions, notices_conflicts: bool) -> Result<String> {
    let level = match options.level()? {
        // Reading sees one moment, as everywhere.
        None if options.read_only => Some("REPEATABLE READ"),
        None => None,
        Some(Isolation::ReadUncommitted) => Some("READ UNCOMMITTED"),
        Some(Isolation::ReadCommitted) => Some("READ COMMITTED"),
        // Where a repeatable read would overwrite what others wrote meanwhile, only locks keep a snapshot's promise.
        Some(Isolation::Snapshot) if !notices_conflicts && !options.read_only => Some("SERIALIZABLE"),
        Some(Isolation::RepeatableRead | Isolation::Snapshot) => Some("REPEATABLE READ"),
        Some(Isolation::Serializable) => Some("SERIALIZABLE"),
    };
    let level = level.map_or_else(String::new, |level| format!("SET TRANSACTION ISOLATION LEVEL {level}; "));
    Ok(format!("{level}START TRANSACTION{}", if options.read_only { " READ ONLY" } else { "" }))
}

#[async_trait]
impl Session for MysqlSession {
    async fn query(&mut self, statement: Statement) -> Result<Box<dyn Rows>> {
        if let Some(plan) = WritePlan::of(&statement).filter(|plan| plan.is_pair) {
            return Ok(Box::new(self.update_and_read(&statement, &plan).await?));
        }
        Ok(Box::new(self.fetch(statement, true).await?.rows?))
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        Ok(self.fetch(statement, true).await?.affected)
    }

    async fn explain(&mut self, statement: Statement) -> Result<Value> {
        let text = format!("EXPLAIN {}", statement.text);
        native::execute(self, text, statement.parameters).await
    }

    async fn insert(&mut self, statement: Statement, rows: Arc<Batch>) -> Result<Vec<Option<i64>>> {
        insert::insert(self, &statement, &rows).await
    }

    async fn stream(mut self: Box<Self>, statement: Statement, size: usize) -> Result<Box<dyn RowBatches>> {
        self.start().await?;
        Ok(Box::new(MysqlStream::open(self, statement, size)?))
    }

    async fn native(&mut self, statement: &Value, parameters: &Value) -> Result<Value> {
        let (text, parameters) = native::read(statement, parameters)?;
        if self.in_transaction {
            native::refuse_definitions(&text)?;
        }
        native::execute(self, text, parameters).await
    }

    async fn begin(&mut self, options: &TransactionOptions) -> Result<()> {
        let text = begin_text(options, self.link()?.notices_conflicts)?;
        (self.in_transaction, self.unsent) = (true, Some(text));
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        if let Err(error) = self.check() {
            self.rollback().await?;
            return Err(error);
        }
        if self.unsent.take().is_some() {
            self.in_transaction = false;
            return Ok(());
        }
        let outcome = self.command("COMMIT").await;
        if self.is_lost() {
            let lost = outcome.err().map_or_else(String::new, |error| format!(": {}", error.message()));
            return Err(Error::new(Kind::OutcomeUnknown, format!("the connection was lost while committing{lost}")));
        }
        self.in_transaction = outcome.is_err();
        outcome
    }

    async fn rollback(&mut self) -> Result<()> {
        self.aborted = false;
        let never_begun = self.unsent.take().is_some();
        if matches!(self.place, Place::Running(..))
            && let Place::Running(running, id, manager) = std::mem::replace(&mut self.place, Place::Away)
        {
            // What was cancelled in the middle is brought to rest by the same task that a drop starts.
            runtime::handle().spawn(settle(running, id, manager));
            self.in_transaction = false;
            return Ok(());
        }
        if never_begun || self.is_lost() {
            // The server ends the transaction with the connection.
            self.in_transaction = false;
            return Ok(());
        }
        let outcome = self.command("ROLLBACK").await;
        if outcome.is_ok() || self.is_lost() {
            self.in_transaction = false;
            return Ok(());
        }
        outcome
    }

    async fn savepoint(&mut self, depth: usize) -> Result<()> {
        self.command(format!("SAVEPOINT farm_{depth}")).await
    }

    async fn release(&mut self, depth: usize) -> Result<()> {
        self.command(format!("RELEASE SAVEPOINT farm_{depth}")).await
    }

    async fn rollback_to(&mut self, depth: usize) -> Result<()> {
        if self.aborted {
            // The server has undone more than that already.
            return Ok(());
        }
        self.command(format!("ROLLBACK TO SAVEPOINT farm_{depth}; RELEASE SAVEPOINT farm_{depth}")).await
    }
}
