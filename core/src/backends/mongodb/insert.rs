//! Inserting rows: one by the driver, several by commands that are written here, because the driver copies every document
//! four times on its way.

use std::sync::Arc;

use mongodb::ClientSession;
use mongodb::bson::RawDocumentBuf;

use super::bytes::Bytes;
use super::client::Store;
use super::commands::{Transaction, count_keys, documents, write_failed};
use super::compile::{Command, Plan};
use super::error::{refused, translate};
use super::session::Done;
use crate::backend::Batch;
use crate::error::{Error, Result};

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
        let (command, end) = command(plan, rows, sent)?;
        let answer = store.database.run_raw_command(command).session(&mut *session).await;
        let answer = answer.map_err(|error| translate(&error, Some(&plan.layout)))?;
        refused(&answer, &plan.layout, sent)?;
        sent = end;
    }
    Ok(())
}

/// The command that inserts rows from this one on, and the row behind its last.
fn command(plan: &Plan, rows: &Batch, start: usize) -> Result<(RawDocumentBuf, usize)> {
    let (mut bytes, mut end) = (Bytes::default(), start);
    bytes.document(|command| {
        command.text("insert", &plan.layout.collection)?;
        command.list("documents", |documents| {
            let mut number = itoa::Buffer::new();
            for row in (start..rows.len()).take(DOCUMENTS) {
                let before = documents.len();
                let written =
                    documents.nested(number.format(end - start), |document| plan.layout.write(rows, row, document));
                written.map_err(|error| error.with("row", row))?;
                if end > start && documents.len() > COMMAND {
                    documents.truncate(before);
                    break;
                }
                end += 1;
            }
            Ok(())
        })
    })?;
    Ok((bytes.into_document()?, end))
}
