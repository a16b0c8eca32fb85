//! What sessions do, as futures for the runtime: each takes the transaction's session and gives it back.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use mongodb::bson::raw::RawDocumentBuf;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error as DriverError, Result as DriverResult};
use mongodb::options::{FindOptions, ReturnDocument};
use mongodb::raw_batch_cursor::RawBatch;

use super::client::Store;
use super::compile::{Command, Plan};
use super::driver_session::DriverSession;
use super::error::{is_lost, translate};
use super::layout::ID;
use super::rows::MongoRows;
use super::session::{Done, explained, free_document, with_deadline};
use super::task::Wanted;
use crate::backend::{Batch, Early, Rows, Statement};
use crate::backends::deadline::unknown;
use crate::error::{Error, Kind, Result};
use crate::value::{Map, Value};

/// Where the numbers of counted keys lie: `{_id: entity, value: the last one}`.
pub(super) const COUNTERS: &str = "_farm_counters";
/// So many documents come with one answer of the server where objects are made of them while the next are on their way:
/// enough for most finds, and soon enough.
const BATCH: u32 = 1000;
/// Elsewhere an answer has as many as it holds, which are 16 MiB.
const ALL: u32 = i32::MAX.unsigned_abs();
/// How often an upsert looks again when another one was faster.
const UPSERT_ATTEMPTS: usize = 10;

pub(super) type Transaction = Option<DriverSession>;
type Documents = mongodb::Collection<RawDocumentBuf>;

/// Adds the transaction's session and the deadline to an action, and awaits it.
macro_rules! run {
    ($action:expr, $session:expr, $store:expr) => {{
        let mut action = $action;
        if let Some(timeout) = $store.timeout {
            action = action.max_time(timeout);
        }
        run!(action, $session)
    }};
    ($action:expr, $session:expr) => {{
        let action = $action;
        match $session.as_deref_mut() {
            Some(session) => action.session(session).await,
            None => action.await,
        }
    }};
}

/// The error of a write: outside a transaction an answer that is lost leaves its effect unknown.
pub(super) fn write_failed(error: &DriverError, plan: &Plan, session: &Transaction) -> Error {
    let told = translate(error, Some(&plan.layout));
    if session.is_none() && is_lost(error) { unknown(&told) } else { told }
}

pub(super) fn documents(store: &Store, plan: &Plan) -> Documents {
    store.database.collection(&plan.layout.collection)
}

/// The filter of a find whose key may be in the parameters.
pub(super) fn find_filter(plan: &Plan, filter: &Document, keyed: bool, parameters: &[Value]) -> Result<Document> {
    if !keyed {
        return Ok(filter.clone());
    }
    let mut by_key = Document::from_iter([(ID.to_owned(), plan.layout.id(parameters)?)]);
    if !filter.is_empty() {
        by_key.insert("$and", vec![Bson::Document(filter.clone())]);
    }
    Ok(by_key)
}

/// The options of a find.
pub(super) fn find_options(store: &Store, command: &Command, batch: Option<u32>) -> FindOptions {
    let mut options = FindOptions::default();
    if let Command::Find { sort, projection, limit, skip, .. } = command {
        options.sort = (!sort.is_empty()).then(|| sort.clone());
        options.projection.clone_from(projection);
        options.limit = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        options.skip = (*skip > 0).then_some(*skip);
    }
    options.max_time = store.timeout;
    options.batch_size = batch;
    options
}

pub(super) async fn query(
    store: Arc<Store>,
    mut session: Transaction,
    plan: Arc<Plan>,
    statement: Statement,
    wanted: Wanted,
) -> Done<Box<dyn Rows>> {
    let outcome = query_here(&store, &mut session, &plan, &statement, &wanted).await;
    (session, outcome)
}

async fn query_here(
    store: &Store,
    session: &mut Transaction,
    plan: &Plan,
    statement: &Statement,
    wanted: &Wanted,
) -> Result<Box<dyn Rows>> {
    let early = statement.early.as_ref();
    let documents = documents(store, plan);
    let failed = |error: DriverError| translate(&error, Some(&plan.layout));
    let mut rows = MongoRows::new(&plan.reading);
    match &plan.command {
        // MongoDB reads a limit of 0 as none.
        Command::Find { limit: Some(0), .. } | Command::Count { limit: Some(0), .. } => {
            let none = matches!(plan.command, Command::Find { .. });
            return Ok(if none { Box::new(rows) } else { Box::new(Batch::from(vec![vec![Value::Int(0)]])) });
        }
        Command::Find { filter, keyed, .. } => {
            let filter = find_filter(plan, filter, *keyed, &statement.parameters)?;
            let batch = if early.is_some() { BATCH } else { ALL };
            let find = documents.find(filter).with_options(find_options(store, &plan.command, Some(batch)));
            Early::begin(early);
            if let Some(session) = session.as_deref_mut() {
                let mut cursor = find.session(&mut *session).batch().await.map_err(failed)?;
                collect(cursor.stream(session), &mut rows, plan, early, wanted).await?;
            } else {
                let cursor = find.batch().await.map_err(failed)?;
                collect(cursor, &mut rows, plan, early, wanted).await?;
            }
        }
        Command::Count { filter, limit, skip } => {
            let mut action = documents.count_documents(filter.clone());
            if let Some(limit) = limit {
                action = action.limit(*limit);
            }
            if *skip > 0 {
                action = action.skip(*skip);
            }
            let count = run!(action, session, store).map_err(failed)?;
            return Ok(Box::new(Batch::from(vec![vec![Value::Int(i64::try_from(count).unwrap_or(i64::MAX))]])));
        }
        Command::Distinct { filter, name } => {
            let group = doc! { "$group": { ID: format!("${name}") } };
            let pipeline = [doc! { "$match": filter.clone() }, group, doc! { "$sort": { ID: 1 } }];
            // The group's `_id` stands where the reading looks for the column.
            let shape = doc! { "$replaceWith": distinct_shape(name) };
            let pipeline = pipeline.into_iter().chain([shape]);
            let mut action = documents.aggregate(pipeline);
            if let Some(timeout) = store.timeout {
                action = action.max_time(timeout);
            }
            if let Some(session) = session.as_deref_mut() {
                let mut cursor = action.session(&mut *session).batch().await.map_err(failed)?;
                collect(cursor.stream(session), &mut rows, plan, None, wanted).await?;
            } else {
                collect(action.batch().await.map_err(failed)?, &mut rows, plan, None, wanted).await?;
            }
        }
        Command::Upsert { .. } => push(&mut rows, upsert(store, session, plan).await?.as_ref())?,
        Command::Update { .. } | Command::Delete { .. } => {
            push(&mut rows, change_one(store, session, plan).await?.as_ref())?;
        }
        Command::Insert { .. } => return Err(Error::internal("an insert gives no rows")),
    }
    Ok(Box::new(rows))
}

/// Reads all documents of a cursor.
async fn collect(
    mut batches: impl Stream<Item = DriverResult<RawBatch>> + Unpin,
    rows: &mut MongoRows,
    plan: &Plan,
    early: Option<&Early>,
    wanted: &Wanted,
) -> Result<()> {
    let failed = |error: DriverError| translate(&error, Some(&plan.layout));
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failed)?;
        for document in batch.doc_slices().map_err(failed)? {
            let document = document.map_err(|error| malformed(&error))?;
            Early::offer(early, rows, || MongoRows::new(&plan.reading));
            rows.push(document.as_document().ok_or_else(|| malformed(&"a batch holds what is no document"))?)?;
        }
        wanted.check()?;
    }
    Ok(())
}

fn malformed(error: &dyn std::fmt::Display) -> Error {
    Error::backend(format!("mongodb: {error}"))
}

/// `{name: value}`, nested where the name is a path into the key.
fn distinct_shape(name: &str) -> Document {
    let value = Bson::String("$_id".to_owned());
    if let Some((outer, inner)) = name.split_once('.') {
        return doc! { outer: { inner: value } };
    }
    doc! { name: value }
}

fn push(rows: &mut MongoRows, document: Option<&RawDocumentBuf>) -> Result<()> {
    document.map_or(Ok(()), |document| rows.push(document))
}

/// Changes or removes the first document; the document after it, or as it was.
async fn change_one(store: &Store, session: &mut Transaction, plan: &Plan) -> Result<Option<RawDocumentBuf>> {
    let documents = documents(store, plan);
    let found = match &plan.command {
        Command::Update { filter, update, sort, .. } => {
            let mut action = documents.find_one_and_update(filter.clone(), update.clone());
            action = action.return_document(ReturnDocument::After);
            if !sort.is_empty() {
                action = action.sort(sort.clone());
            }
            run!(action, session, store)
        }
        Command::Delete { filter, sort, .. } => {
            let mut action = documents.find_one_and_delete(filter.clone());
            if !sort.is_empty() {
                action = action.sort(sort.clone());
            }
            run!(action, session, store)
        }
        _ => return Err(Error::internal("a command that changes nothing")),
    };
    found.map_err(|error| write_failed(&error, plan, session))
}

pub(super) async fn execute(store: Arc<Store>, mut session: Transaction, plan: Arc<Plan>) -> Done<u64> {
    let outcome = execute_here(&store, &mut session, &plan).await;
    (session, outcome)
}

async fn execute_here(store: &Store, session: &mut Transaction, plan: &Plan) -> Result<u64> {
    let documents = documents(store, plan);
    match &plan.command {
        Command::Update { one: true, .. } | Command::Delete { one: true, .. } => {
            Ok(u64::from(change_one(store, session, plan).await?.is_some()))
        }
        Command::Update { filter, update, .. } => {
            let action = documents.update_many(filter.clone(), update.clone());
            let done = run!(action, session);
            Ok(done.map_err(|error| write_failed(&error, plan, session))?.matched_count)
        }
        Command::Delete { filter, .. } => {
            let action = documents.delete_many(filter.clone());
            let done = run!(action, session);
            Ok(done.map_err(|error| write_failed(&error, plan, session))?.deleted_count)
        }
        _ => Err(Error::internal("a command that is no write")),
    }
}

/// Changes the document with the same unique values, else inserts the row; looks again where another was faster.
async fn upsert(store: &Store, session: &mut Transaction, plan: &Plan) -> Result<Option<RawDocumentBuf>> {
    let Command::Upsert { filter, update, row, counted } = &plan.command else {
        return Err(Error::internal("a command that is no upsert"));
    };
    let documents = documents(store, plan);
    for _ in 0..UPSERT_ATTEMPTS {
        let found = if update.is_empty() {
            run!(documents.find_one(filter.clone()), session, store)
        } else {
            let action = documents.find_one_and_update(filter.clone(), update.clone());
            run!(action.return_document(ReturnDocument::After), session, store)
        };
        if let Some(found) = found.map_err(|error| write_failed(&error, plan, session))? {
            return Ok(Some(found));
        }
        let mut rows = Batch::from(vec![row.clone()]);
        count_keys(store, plan, *counted, &mut rows).await?;
        let new = plan.layout.document(&rows, 0)?;
        match run!(documents.insert_one(new.clone()), session) {
            Ok(_) => return Ok(Some(new)),
            Err(error) => {
                let error = write_failed(&error, plan, session);
                if error.kind() != Kind::UniqueViolation || session.is_some() {
                    return Err(error);
                }
            }
        }
        // Another value of the row may be taken by a document that the filter does not find.
        let again = documents.find_one(filter.clone()).await;
        if again.map_err(|error| translate(&error, Some(&plan.layout)))?.is_none() {
            let Err(error) = documents.insert_one(new.clone()).await else { return Ok(Some(new)) };
            return Err(write_failed(&error, plan, session));
        }
    }
    Err(Error::new(Kind::TransactionConflict, "the row of an upsert came and went while it was written"))
}

/// Gives keys to the rows without one, and moves the counter beyond those that have one.
pub(super) async fn count_keys(store: &Store, plan: &Plan, counted: Option<usize>, rows: &mut Batch) -> Result<()> {
    let Some(position) = counted else { return Ok(()) };
    let failed = |error: DriverError| translate(&error, None);
    let counters = store.database.collection::<Document>(COUNTERS);
    let this = doc! { ID: &plan.layout.collection };
    if let Some(largest) = (0..rows.len()).filter_map(|row| rows.cell(row, position).as_int()).max() {
        let update = doc! { "$max": { "value": largest } };
        counters.update_one(this.clone(), update).upsert(true).await.map_err(failed)?;
    }
    let missing: Vec<_> = (0..rows.len()).filter(|row| rows.cell(*row, position).is_null()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let step = i64::try_from(missing.len()).unwrap_or(i64::MAX);
    let action = counters.find_one_and_update(this, doc! { "$inc": { "value": step } });
    let counter = action.upsert(true).return_document(ReturnDocument::After).await.map_err(failed)?;
    let last = counter.and_then(|counter| counter.get_i64("value").ok());
    let mut next = last.ok_or_else(|| Error::backend("mongodb: a counter holds no number"))? - step;
    for row in missing {
        next += 1;
        rows.set(row, position, Value::Int(next));
    }
    Ok(())
}

pub(super) async fn explain(
    store: Arc<Store>,
    mut session: Transaction,
    plan: Arc<Plan>,
    parameters: Vec<Value>,
) -> Done<Value> {
    let outcome = async {
        let Command::Find { filter, keyed, sort, limit, skip, .. } = &plan.command else {
            return Err(Error::internal("only a find is explained"));
        };
        let mut find =
            doc! { "find": &plan.layout.collection, "filter": find_filter(&plan, filter, *keyed, &parameters)? };
        find.insert("sort", sort.clone());
        find.insert("skip", i64::try_from(*skip).unwrap_or(i64::MAX));
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            find.insert("limit", i64::try_from(limit).unwrap_or(i64::MAX));
        }
        let answer = run!(store.database.run_command(explained(find)), session);
        let answer = answer.map_err(|error| translate(&error, None))?;
        let planner = answer.get_document("queryPlanner").cloned().unwrap_or_default();
        free_document(planner.get_document("winningPlan").unwrap_or(&planner))
    }
    .await;
    (session, outcome)
}

/// Runs a command of the user; the documents of a cursor come as a list.
pub(super) async fn native(store: Arc<Store>, mut session: Transaction, command: Document) -> Done<Value> {
    let outcome = native_here(&store, &mut session, command).await;
    (session, outcome)
}

async fn native_here(store: &Store, session: &mut Transaction, command: Document) -> Result<Value> {
    let alone = session.is_none();
    let failed = |error: DriverError| match translate(&error, None) {
        told if alone && is_lost(&error) => unknown(&told),
        error if error.kind() == Kind::Backend => {
            let code = error.context().get("mongodb_code").cloned().unwrap_or_default();
            Error::invalid_query(error.message().to_owned()).with("mongodb_code", code)
        }
        error => error,
    };
    let command = with_deadline(command, store);
    let answer = run!(store.database.run_command(command), session).map_err(failed)?;
    let Ok(cursor) = answer.get_document("cursor") else {
        let Value::Map(mut answer) = free_document(&answer)? else { return Ok(Value::Map(Map::new())) };
        for name in ["$clusterTime", "operationTime"] {
            answer.shift_remove(name);
        }
        return Ok(Value::Map(answer));
    };
    let mut rows = Vec::new();
    let mut cursor = cursor.clone();
    let mut batch = "firstBatch";
    loop {
        for document in cursor.get_array(batch).into_iter().flatten() {
            if let Some(document) = document.as_document() {
                rows.push(free_document(document)?);
            }
        }
        let id = cursor.get_i64("id").unwrap_or(0);
        if id == 0 {
            return Ok(Value::List(rows));
        }
        let namespace = cursor.get_str("ns").unwrap_or_default();
        let collection = namespace.split_once('.').map_or("", |(_, name)| name).to_owned();
        let more = doc! { "getMore": id, "collection": collection };
        let answer = run!(store.database.run_command(more), session).map_err(failed)?;
        cursor = answer.get_document("cursor").cloned().unwrap_or_default();
        batch = "nextBatch";
    }
}
