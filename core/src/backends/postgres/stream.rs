//! Streams over a cursor of the server, so that neither side holds more than a batch.

use std::sync::Arc;

use async_trait::async_trait;

use super::session::PostgresSession;
use crate::backend::{RowBatches, Rows, Session, Statement, TransactionOptions};
use crate::error::{Error, Result};

/// The name of the cursor: a session has one stream at a time.
const CURSOR: &str = "farm_rows";

/// Rows behind a cursor.
pub(super) struct PostgresStream {
    session: Option<Box<PostgresSession>>,
    fetch: Statement,
    size: usize,
    /// Whether the transaction around the cursor is the stream's own.
    own: bool,
    ended: bool,
}

impl PostgresStream {
    pub(super) async fn open(mut session: Box<PostgresSession>, statement: Statement, size: usize) -> Result<Self> {
        let own = !session.is_in_transaction();
        if own {
            session.begin(&TransactionOptions { read_only: true, ..TransactionOptions::default() }).await?;
        }
        let text: Arc<str> = format!("DECLARE {CURSOR} NO SCROLL CURSOR FOR {}", statement.text).into();
        let fetch = Statement {
            text: format!("FETCH {size} FROM {CURSOR}").into(),
            parameters: Vec::new(),
            ..statement.clone()
        };
        session.declare(&Statement { text, kinds: Arc::new([]), ..statement }).await?;
        Ok(Self { session: Some(session), fetch, size, own, ended: false })
    }
}

#[async_trait]
impl RowBatches for PostgresStream {
    async fn next(&mut self) -> Result<Option<Box<dyn Rows>>> {
        let Some(session) = self.session.as_mut().filter(|_| !self.ended) else { return Ok(None) };
        let rows = session.fetch_cursor(&self.fetch).await?;
        // The cursor gives fewer rows than it is asked for only at its end.
        self.ended = rows.len() < self.size;
        Ok(if rows.len() == 0 { None } else { Some(Box::new(rows)) })
    }

    async fn finish(mut self: Box<Self>) -> Option<Box<dyn Session>> {
        let mut session = self.session.take()?;
        let outcome: Result<()> =
            if self.own { session.commit().await } else { session.command(&format!("CLOSE {CURSOR}")).await };
        // A session that cannot close its cursor is dropped, which rolls back.
        outcome.map_err(|error| Error::internal(error.message().to_owned())).ok()?;
        Some(session)
    }
}
