//! Inserting rows: one by the driver, several by commands that are written here, because the driver copies every document
//! four times on its way.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use mongodb::ClientSession;
use mongodb::bson::RawDocumentBuf;
use tokio::task::JoinHandle;

use super::bytes::Bytes;
use super::client::Store;
use super::commands::{Transaction, count_keys, documents, write_failed};
use super::compile::{Command, Plan};
use super::error::{refused, translate};
use super::session::{Done, MongoSession};
use crate::backend::{Batch, More};
use crate::error::{Error, Result};
use crate::runtime;

/// Bytes of one command, unless a single document has more. The server takes 16 MiB.
const COMMAND: usize = 4 << 20;
/// Documents of one command (`maxWriteBatchSize`).
const DOCUMENTS: usize = 100_000;

pub(super) async fn insert(
    store: Arc<Store>,
    mut session: Transaction,
    plan: Arc<Plan>,
    rows: Arc<Batch>,
) -> Done<Vec<Option<i64>>> {
    let outcome = insert_here(&store, &mut session, &plan, rows).await;
    (session, outcome)
}

async fn insert_here(
    store: &Store,
    session: &mut Transaction,
    plan: &Plan,
    mut rows: Arc<Batch>,
) -> Result<Vec<Option<i64>>> {
    let Command::Insert { counted } = &plan.command else { return Err(Error::internal("a command that is no insert")) };
    if counted.is_some() {
        count_keys(store, plan, *counted, Arc::make_mut(&mut rows)).await?;
    }
    if rows.len() == 1 {
        insert_one(store, session, plan, &rows).await?;
    } else {
        let Some(session) = session else { return Err(Error::internal("several documents outside a transaction")) };
        insert_many(store, session, plan, &rows).await?;
    }
    Ok((0..rows.len()).map(|row| counted.and_then(|position| rows.cell(row, position).as_int())).collect())
}

async fn insert_one(store: &Store, session: &mut Transaction, plan: &Plan, rows: &Batch) -> Result<()> {
    let (documents, document) = (documents(store, plan), plan.layout.document(rows, 0)?);
    let action = documents.insert_one(document);
    let done = match session.as_deref_mut() {
        Some(session) => action.session(session).await,
        None => action.await,
    };
    done.map(|_| ()).map_err(|error| write_failed(&error, plan, session))
}

async fn insert_many(store: &Store, session: &mut ClientSession, plan: &Plan, rows: &Batch) -> Result<()> {
    let mut sent = 0;
    while sent < rows.len() {
        let (command, end) = command(plan, rows, 0, sent)?;
        send(store, session, plan, command, sent).await?;
        sent = end;
    }
    Ok(())
}

async fn send(
    store: &Store,
    session: &mut ClientSession,
    plan: &Plan,
    command: RawDocumentBuf,
    sent: usize,
) -> Result<()> {
    let answer = store.database.run_raw_command(command).session(session).await;
    let answer = answer.map_err(|error| translate(&error, Some(&plan.layout)))?;
    refused(&answer, &plan.layout, sent)
}

/// A command that is written while the one before is under way.
struct Ahead {
    rows: Arc<Batch>,
    /// How many rows were taken before these.
    before: usize,
    /// The first row of the command, and the one behind its last.
    span: Range<usize>,
    command: RawDocumentBuf,
}

type Writing = JoinHandle<Result<Ahead>>;

/// Writes the command of the rows from this one on: on the runtime, because whoever hands rows over has other things to do.
fn write_ahead(plan: &Arc<Plan>, rows: Arc<Batch>, before: usize, start: usize) -> Writing {
    let plan = Arc::clone(plan);
    runtime::handle().spawn(async move {
        let (command, end) = command(&plan, &rows, before, start)?;
        Ok(Ahead { rows, before, span: start..end, command })
    })
}

/// Inserts rows inside the transaction, and of `more` what comes while a command is under way; gives their number.
pub(super) async fn insert_ahead(
    session: &mut MongoSession,
    plan: &Arc<Plan>,
    rows: Arc<Batch>,
    more: &mut More,
) -> Result<usize> {
    let mut taken = rows.len();
    let mut next = Some(write_ahead(plan, rows, 0, 0));
    while let Some(writing) = next.take() {
        let written =
            writing.await.map_err(|error| Error::internal(format!("mongodb: a command was lost: {error}")))?;
        let Ahead { rows, before, span, command } = written?;
        if span.end < rows.len() {
            next = Some(write_ahead(plan, rows, before, span.end));
        }
        let shared = Arc::clone(plan);
        let mut sending = pin!(session.write(move |store, mut session| async move {
            let outcome = match session.as_deref_mut() {
                Some(session) => send(&store, session, &shared, command, before + span.start).await,
                None => Err(Error::internal("several documents outside a transaction")),
            };
            (session, outcome)
        }));
        let mut is_end = false;
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => break sent?,
                rows = more.next(), if next.is_none() && !is_end => match rows {
                    Some(rows) => {
                        let before = taken;
                        taken += rows.len();
                        next = Some(write_ahead(plan, Arc::new(rows), before, 0));
                    }
                    None => is_end = true,
                },
            }
        }
    }
    Ok(taken)
}

/// The command that inserts rows from this one on, and the row behind its last. Errors count those that were taken before.
fn command(plan: &Plan, rows: &Batch, before: usize, start: usize) -> Result<(RawDocumentBuf, usize)> {
    let (mut bytes, mut end) = (Bytes::default(), start);
    bytes.document(|command| {
        command.text("insert", &plan.layout.collection)?;
        command.list("documents", |documents| {
            let mut number = itoa::Buffer::new();
            for row in (start..rows.len()).take(DOCUMENTS) {
                let length = documents.len();
                let written =
                    documents.nested(number.format(end - start), |document| plan.layout.write(rows, row, document));
                written.map_err(|error| error.with("row", before + row))?;
                if end > start && documents.len() > COMMAND {
                    documents.truncate(length);
                    break;
                }
                end += 1;
            }
            Ok(())
        })
    })?;
    Ok((bytes.into_document()?, end))
}
