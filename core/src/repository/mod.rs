//! What applications call: one verb a function, grouped by file. A host names the verb and passes one map of arguments;
//! the table of both is in ARCHITECTURE.md, "Verbs".

mod aggregate;
mod arguments;
mod cascade;
mod create;
mod feed;
mod group;
mod include;
mod json;
mod modify;
mod page;
mod plan;
mod read;
mod references;
mod related;
mod related_filter;
mod remove;
mod rewrite;
mod rowset;
mod shape;
mod stream;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::arguments::Arguments;
pub use self::create::{Check, Way};
pub use self::feed::{Fed, Feed};
pub use self::json::{JsonField, JsonInner, JsonShape};
pub use self::read::Key;
pub use self::rowset::{EarlyRows, Included, RowSet, WriteCell};
pub use self::stream::RowStream;
use crate::backend::{Access, Batch, Insert, Operation, Statement};
use crate::database::Database;
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::replicas::route;
use crate::schema::Entity;
use crate::transaction::Transaction;
use crate::value::{Map, Value};

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Everything that a repository does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verb { $($(#[$doc])* $name,)* }

        impl Verb {
            /// The name that hosts use.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The verb of this name.
            pub fn parse(name: &str) -> Result<Self> {
                match name {
                    $($text => Ok(Self::$name),)*
                    _ => Err(Error::invalid_query(format!("there is no verb {name:?}"))),
                }
            }
        }
    };
}

verbs! {
    /// Inserts one row.
    Create => "create",
    /// Inserts rows, all or none.
    CreateMany => "create_many",
    /// The row of a key.
    Get => "get",
    /// The row of a key, if there is one.
    GetOrNone => "get_or_none",
    /// The rows of several keys.
    GetMany => "get_many",
    /// The rows that match.
    Find => "find",
    /// The first row that matches.
    FindOne => "find_one",
    /// How many rows match.
    Count => "count",
    /// Whether a row matches.
    Exists => "exists",
    /// The different values of a field.
    Distinct => "distinct",
    /// Groups and measures.
    Aggregate => "aggregate",
    /// Rows behind a cursor.
    Page => "page",
    /// Changes the row of a key.
    Update => "update",
    /// Changes the first row that matches.
    UpdateOne => "update_one",
    /// Changes every row that matches.
    UpdateMany => "update_many",
    /// Puts another row in the place of the row of a key.
    Replace => "replace",
    /// Inserts a row or changes the one with the same unique values.
    Upsert => "upsert",
    /// Deletes the row of a key.
    Delete => "delete",
    /// Deletes every row that matches.
    DeleteMany => "delete_many",
    /// Brings a soft-deleted row back.
    Restore => "restore",
    /// Changes the first row that matches and returns it.
    FindOneAndUpdate => "find_one_and_update",
    /// How a query would be answered.
    Explain => "explain",
}

impl Verb {
    fn access(self) -> Access {
        match self {
            Self::Get
            | Self::GetOrNone
            | Self::GetMany
            | Self::Find
            | Self::FindOne
            | Self::Count
            | Self::Exists
            | Self::Distinct
            | Self::Aggregate
            | Self::Page
            | Self::Explain => Access::Read,
            _ => Access::Write,
        }
    }
}

/// What a verb answers.
pub enum Reply {
    /// Nothing to say.
    Nothing,
    /// One row, or none.
    Row(Option<RowSet>),
    /// Rows.
    Rows(RowSet),
    /// A page of rows and the cursor of the next.
    Page {
        /// The rows.
        rows: RowSet,
        /// The next page's cursor; `None` on the last page.
        next: Option<String>,
    },
    /// A number of rows.
    Count(u64),
    /// Yes or no.
    Bool(bool),
    /// Values.
    Values(Vec<Value>),
    /// Facts.
    Map(Map),
}

/// The verbs of one entity in one database. A cheap clone.
#[derive(Clone)]
pub struct Repository {
    database: Database,
    entity: Arc<Entity>,
    shared: Arc<Shared>,
}

/// What all repositories of one entity in one database share.
pub(crate) struct Shared {
    entity: Arc<Entity>,
    /// The compiled `get`, whose parameters are the key's values.
    by_key: Statement,
    /// The compiled insert of one row or many.
    insertion: Statement,
    /// How values of each field get into a batch.
    ways: Vec<Way>,
    group: group::Group,
    plans: plan::Plans,
}

impl Shared {
    pub(crate) fn new(database: &Database, entity: &Arc<Entity>) -> Result<Self> {
        let by_key = read::statement_by_key(database, entity)?;
        let insertion = database.backend().compile(&Operation::Insert(Insert { entity, conflict: None }))?;
        let (group, plans) = (group::Group::default(), plan::Plans::default());
        Ok(Self { entity: Arc::clone(entity), by_key, insertion, ways: Way::all(entity), group, plans })
    }

    /// Whether it is of this entity, and of no other one of the name.
    pub(crate) fn is_of(&self, entity: &Arc<Entity>) -> bool {
        Arc::ptr_eq(&self.entity, entity)
    }
}

impl Repository {
    pub(crate) fn new(database: Database, entity: Arc<Entity>) -> Result<Self> {
        let shared = database.shared(&entity)?;
        Ok(Self { database, entity, shared })
    }

    /// The entity.
    pub fn entity(&self) -> &Arc<Entity> {
        &self.entity
    }

    /// Calls a verb.
    pub async fn call(&self, verb: Verb, arguments: Map, tx: Option<&Transaction>) -> Result<Reply> {
        self.route(verb, Arguments::new(arguments, verb.name(), tx.is_some()), tx).await
    }

    /// `find`, whose rows go to `early` while others are still on their way; the reply has those behind them. Where all of them
    /// are needed first, such as for related rows, the reply has them all.
    pub async fn find_early(&self, arguments: Map, early: Arc<EarlyRows>, tx: Option<&Transaction>) -> Result<RowSet> {
        let mut arguments = Arguments::new(arguments, Verb::Find.name(), tx.is_some());
        arguments.early = Some(early);
        match self.route(Verb::Find, arguments, tx).await? {
            Reply::Rows(rows) => Ok(rows),
            _ => Err(Error::internal("find answered no rows")),
        }
    }

    async fn route(&self, verb: Verb, arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        match if tx.is_none() { self.database.route(verb.access()) } else { None } {
            None => self.call_here(verb, arguments, tx).await,
            Some(route) => route.with(self.call_here(verb, arguments, tx)).await,
        }
    }

    async fn call_here(&self, verb: Verb, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        self.resolve_related(&mut arguments, tx).await?;
        match self.take_includes(verb, &mut arguments)? {
            None => self.dispatch(verb, arguments, tx).await,
            Some(wanted) => {
                arguments.early = None;
                route::keep_together();
                let reply = self.dispatch(verb, arguments, tx).await?;
                Box::pin(self.include(reply, wanted, tx)).await
            }
        }
    }

    /// The future of a verb, in a box of its own: all of them in one would be as large as the largest, and is moved often.
    fn dispatch<'a>(
        &'a self,
        verb: Verb,
        arguments: Arguments,
        tx: Option<&'a Transaction>,
    ) -> BoxFuture<'a, Result<Reply>> {
        match verb {
            Verb::Create => Box::pin(self.create(arguments, tx)),
            Verb::CreateMany => Box::pin(self.create_from_maps(arguments, tx)),
            Verb::Get => Box::pin(self.get_by_arguments(arguments, tx)),
            Verb::GetOrNone => Box::pin(self.get_or_none(arguments, tx)),
            Verb::GetMany => Box::pin(self.get_many(arguments, tx)),
            Verb::Find => Box::pin(self.find(arguments, tx)),
            Verb::FindOne => Box::pin(self.find_one(arguments, tx)),
            Verb::Count => Box::pin(self.count(arguments, tx)),
            Verb::Exists => Box::pin(self.exists(arguments, tx)),
            Verb::Distinct => Box::pin(self.distinct(arguments, tx)),
            Verb::Aggregate => Box::pin(self.aggregate(arguments, tx)),
            Verb::Page => Box::pin(self.page(arguments, tx)),
            Verb::Update => Box::pin(self.update(arguments, tx)),
            Verb::UpdateOne => Box::pin(self.update_one(arguments, tx)),
            Verb::UpdateMany => Box::pin(self.update_many(arguments, tx)),
            Verb::Replace => Box::pin(self.replace(arguments, tx)),
            Verb::Upsert => Box::pin(self.upsert(arguments, tx)),
            Verb::Delete => Box::pin(self.delete(arguments, tx)),
            Verb::DeleteMany => Box::pin(self.delete_many(arguments, tx)),
            Verb::Restore => Box::pin(self.restore(arguments, tx)),
            Verb::FindOneAndUpdate => Box::pin(self.find_one_and_update(arguments, tx)),
            Verb::Explain => Box::pin(self.explain(arguments, tx)),
        }
    }

    /// A session: the transaction's, or one of the pool.
    async fn lease(&self, verb: Verb, tx: Option<&Transaction>) -> Result<Lease> {
        self.database.lease(verb.access(), tx).await
    }

    fn all_columns(&self) -> Arc<[usize]> {
        Arc::clone(&self.shared.by_key.columns)
    }

    /// Rows that the core has as values.
    fn row_set(&self, rows: Vec<Vec<Value>>) -> RowSet {
        self.row_set_of(Arc::new(rows.into()))
    }

    fn row_set_of(&self, rows: Arc<Batch>) -> RowSet {
        RowSet::of_batch(&self.entity, self.all_columns(), rows)
    }

    fn not_found(&self, id: &[Value]) -> Error {
        let shown: Vec<_> = id.iter().map(crate::value::tagged::to_string).collect();
        let entity = self.entity.name.as_str();
        Error::new(crate::error::Kind::NotFound, format!("there is no row of {entity} with key {}", shown.join(", ")))
            .with("entity", entity)
            .with("key", if id.len() == 1 { id[0].clone() } else { Value::List(id.to_vec()) })
    }
}
