//! Streams over a cursor of the server, a batch at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::raw::RawDocumentBuf;
use mongodb::error::Error as DriverError;
use mongodb::{Cursor, SessionCursor};

use super::commands::{find_filter, find_options};
use super::compile::{Command, Plan};
use super::driver_session::DriverSession;
use super::error::translate;
use super::rows::MongoRows;
use super::session::MongoSession;
use super::task::{Wanted, reading};
use crate::backend::{RowBatches, Rows, Session};
use crate::backends::deadline::{Deadline, no_answer};
use crate::error::{Error, Result};
use crate::value::Value;

/// A cursor, with the transaction's session where it belongs to one.
enum Open {
    Own(Cursor<RawDocumentBuf>),
    Shared(SessionCursor<RawDocumentBuf>, DriverSession),
}

/// Rows behind a cursor.
pub(super) struct MongoStream {
    session: Option<Box<MongoSession>>,
    plan: Arc<Plan>,
    open: Option<Open>,
    size: usize,
    /// The deadline of one batch.
    limit: Option<Duration>,
}

impl MongoStream {
    pub(super) async fn open(
        mut session: Box<MongoSession>,
        plan: Arc<Plan>,
        parameters: Vec<Value>,
        size: usize,
    ) -> Result<Self> {
        let Command::Find { filter, keyed, limit, .. } = &plan.command else {
            return Err(Error::internal("only a find is streamed"));
        };
        if *limit == Some(0) {
            return Ok(Self { session: Some(session), plan, open: None, size, limit: None });
        }
        let filter = find_filter(&plan, filter, *keyed, &parameters)?;
        let (store, transaction) = session.for_stream().await?;
        let batch = u32::try_from(size).ok();
        let options = find_options(&store, &plan.command, batch);
        let documents = store.database.collection::<RawDocumentBuf>(&plan.layout.collection);
        let lent = transaction.is_some();
        let (limit, place) = (store.timeout, session.place());
        let work = async move {
            let _place = place;
            let find = documents.find(filter).with_options(options);
            Ok::<_, DriverError>(match transaction {
                Some(mut session) => Open::Shared(find.session(&mut *session).await?, session),
                None => Open::Own(find.await?),
            })
        };
        let opened = Deadline::after(limit).bound(reading(work, Wanted::default(), lent)).await;
        let open = opened.ok_or_else(|| no_answer("mongodb"))??;
        let open = open.map_err(|error| translate(&error, Some(&plan.layout)))?;
        Ok(Self { session: Some(session), plan, open: Some(open), size, limit })
    }
}

/// Reads up to `size` documents; the cursor comes back unless it is at its end.
async fn batch(mut open: Open, plan: Arc<Plan>, size: usize, wanted: Wanted) -> Result<(Open, MongoRows, bool)> {
    let failed = |error: DriverError| translate(&error, Some(&plan.layout));
    let mut rows = MongoRows::new(&plan.reading);
    while rows.len() < size {
        wanted.check()?;
        let more = match &mut open {
            Open::Own(cursor) => cursor.advance().await,
            Open::Shared(cursor, session) => cursor.advance(session).await,
        };
        if !more.map_err(failed)? {
            return Ok((open, rows, true));
        }
        rows.push(match &open {
            Open::Own(cursor) => cursor.current(),
            Open::Shared(cursor, _) => cursor.current(),
        })?;
    }
    Ok((open, rows, false))
}

#[async_trait]
impl RowBatches for MongoStream {
    async fn next(&mut self) -> Result<Option<Box<dyn Rows>>> {
        let Some(open) = self.open.take() else { return Ok(None) };
        let lent = matches!(open, Open::Shared(..));
        let wanted = Wanted::default();
        // The driver's futures are large, and what is around this one would be as large several times over.
        let work = Box::pin(batch(open, Arc::clone(&self.plan), self.size, wanted.clone()));
        let place = self.session.as_ref().map(|session| session.place());
        let work = async move {
            let done = work.await;
            drop(place);
            done
        };
        let done = Deadline::after(self.limit).bound(reading(work, wanted, lent)).await;
        let (open, rows, ended) = done.ok_or_else(|| no_answer("mongodb"))???;
        match open {
            Open::Shared(_, session) if ended => {
                if let Some(home) = &mut self.session {
                    home.put_back(Some(session));
                }
            }
            open => self.open = (!ended).then_some(open),
        }
        Ok(if rows.len() == 0 { None } else { Some(Box::new(rows)) })
    }

    async fn finish(mut self: Box<Self>) -> Option<Box<dyn Session>> {
        let mut session = self.session.take()?;
        match self.open.take() {
            Some(Open::Shared(cursor, transaction)) => {
                drop_here(cursor);
                session.put_back(Some(transaction));
            }
            Some(Open::Own(cursor)) => drop_here(cursor),
            None => {}
        }
        Some(session)
    }
}

impl Drop for MongoStream {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            drop_here(open);
        }
    }
}

/// Dropping a cursor kills it on the server, in a task of the driver's own.
fn drop_here<T>(value: T) {
    let _runtime = crate::runtime::handle().enter();
    drop(value);
}
