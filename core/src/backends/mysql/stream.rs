//! Streams: the server sends rows as fast as they are read, and a task reads no further than one batch ahead.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx_core::Either;
use sqlx_core::arguments::Arguments;
use sqlx_core::error::Error as SqlxError;
use sqlx_core::executor::Executor;
use sqlx_core::query::query_with;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_mysql::MySqlArguments;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection::Opener;
use super::error::{is_survivable, translate};
use super::hint::without_hint;
use super::native::Items;
use super::rows::MysqlRows;
use super::session::{MysqlSession, rest};
use super::values::Parameter;
use crate::backend::{RowBatches, Rows, Session, Statement};
use crate::backends::deadline::{Deadline, no_answer};
use crate::error::Result;
use crate::pool::Pooled;
use crate::runtime;

/// How long rows are still read that nobody wants, before the server is asked to stop.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long it may take then, before the connection is given up.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// Rows that come while they are read.
pub(super) struct MysqlStream {
    session: Option<Box<MysqlSession>>,
    batches: mpsc::Receiver<Result<MysqlRows>>,
    back: oneshot::Receiver<Pooled<Opener>>,
}

impl MysqlStream {
    pub(super) fn open(mut session: Box<MysqlSession>, mut statement: Statement, size: usize) -> Result<Self> {
        // A stream could not ask again where the index is missing.
        if let Some(text) = without_hint(&statement.text) {
            statement.text = text.into();
        }
        let link = session.take()?;
        let (send, batches) = mpsc::channel(1);
        let (give, back) = oneshot::channel();
        let in_transaction = session.is_in_transaction();
        runtime::handle().spawn(async move {
            let link = read(link, statement, size, send).await;
            // Whoever wanted it back may have gone.
            if let Err(link) = give.send(link) {
                rest(link, in_transaction).await;
            }
        });
        Ok(Self { session: Some(session), batches, back })
    }
}

/// Reads all rows of a statement, or those that somebody wants; the connection is poisoned if it cannot go on.
async fn read(
    mut link: Pooled<Opener>,
    statement: Statement,
    size: usize,
    send: mpsc::Sender<Result<MysqlRows>>,
) -> Pooled<Opener> {
    link.poison();
    let (id, manager) = (link.id, Arc::clone(link.manager()));
    let limit = manager.limit();
    let mut arguments = MySqlArguments::default();
    for value in &statement.parameters {
        if let Err(error) = arguments.add(Parameter(value)) {
            link.clear_poison();
            let _ = send.send(Err(translate(SqlxError::Encode(error), None))).await;
            return link;
        }
    }
    let query = query_with(AssertSqlSafe(Arc::clone(&statement.text)), arguments);
    let mut stream = link.connection.fetch_many(query);
    let mut batch = MysqlRows::new(&statement.kinds);
    let outcome = loop {
        // While nobody takes a batch nothing is read, so the deadline is that of one row.
        let row = match Deadline::after(limit).bound(stream.try_next()).await {
            Some(Ok(Some(Either::Right(row)))) => row,
            Some(Ok(Some(Either::Left(_)))) => continue,
            Some(Ok(None)) => break Ok(()),
            Some(Err(error)) => break Err(error),
            None => {
                let _ = send.send(Err(no_answer("mysql"))).await;
                drop(stream);
                return link;
            }
        };
        if let Err(error) = batch.push(&row) {
            let _ = send.send(Err(error)).await;
            break Ok(());
        }
        if batch.len() >= size {
            let full = std::mem::replace(&mut batch, MysqlRows::new(&statement.kinds));
            if send.send(Ok(full)).await.is_err() {
                break Ok(());
            }
        }
    };
    match outcome {
        Ok(()) if batch.len() > 0 => drop(send.send(Ok(batch)).await),
        Ok(()) => {}
        Err(error) => {
            let usable = is_survivable(&error);
            let _ = send.send(Err(translate(error, None))).await;
            drop(stream);
            if usable {
                link.clear_poison();
            }
            return link;
        }
    }
    // What is left of the answer is read, so that the connection can go on.
    let mut done = timeout(PATIENCE, drain(&mut stream)).await.unwrap_or(false);
    if !done && matches!(timeout(LAST_CHANCE, manager.cancel(id)).await, Ok(Ok(()))) {
        done = timeout(LAST_CHANCE, drain(&mut stream)).await.unwrap_or(false);
    }
    drop(stream);
    if done {
        link.clear_poison();
    }
    link
}

/// Reads what is still to come; whether the connection can go on then.
async fn drain(stream: &mut Items<'_>) -> bool {
    loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(error) => return is_survivable(&error),
        }
    }
}

#[async_trait]
impl RowBatches for MysqlStream {
    async fn next(&mut self) -> Result<Option<Box<dyn Rows>>> {
        match self.batches.recv().await {
            Some(Ok(rows)) => Ok(Some(Box::new(rows))),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }

    async fn finish(mut self: Box<Self>) -> Option<Box<dyn Session>> {
        let mut session = self.session.take()?;
        self.batches.close();
        while self.batches.try_recv().is_ok() {}
        let link = self.back.await.ok()?;
        session.put_back(link);
        Some(session)
    }
}
