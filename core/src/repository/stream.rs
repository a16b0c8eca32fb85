//! Rows in batches, with memory for a few batches only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::arguments::{Arguments, Query};
use super::{Repository, RowSet, Verb};
use crate::backend::{Operation, RowBatches, Rows};
use crate::error::{Error, Result};
use crate::query::{Filter, matches};
use crate::runtime;
use crate::schema::Entity;
use crate::transaction::{OpenStream, Shared, Transaction};
use crate::value::Map;

/// Rows of one batch at most.
const MAX_BATCH: usize = 100_000;

/// Rows that come in batches. Holds one connection until the end, or until it is dropped.
pub struct RowStream {
    open: OpenStream,
    /// The transaction that the connection belongs to.
    home: Option<Arc<Shared>>,
    entity: Arc<Entity>,
    query: Query,
    columns: Arc<[usize]>,
    residual: Option<Filter>,
    skip: u64,
    left: u64,
}

/// Batches while one is fetched; they go back to their place also when the caller goes away.
struct Fetching<'a> {
    place: &'a OpenStream,
    batches: Option<Box<dyn RowBatches>>,
}

fn lock(place: &OpenStream) -> MutexGuard<'_, Option<Box<dyn RowBatches>>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        *lock(self.place) = self.batches.take();
    }
}

/// Ends, and gives the session back to the transaction that it came from; one of the pool goes back by being dropped.
async fn close(batches: Box<dyn RowBatches>, home: Option<Arc<Shared>>) {
    let session = batches.finish().await;
    if let Some(home) = home {
        home.take_back(session).await;
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        if let Some(batches) = lock(&self.open).take() {
            if let Some(home) = &self.home {
                home.expect_back();
            }
            runtime::spawn(close(batches, self.home.take())).detach();
        }
    }
}

impl Repository {
    /// The rows of a query, `batch` at a time.
    pub async fn stream(&self, query: Map, batch: usize, tx: Option<&Transaction>) -> Result<RowStream> {
        match if tx.is_none() { self.database.route(Verb::Find.access()) } else { None } {
            None => self.stream_here(query, batch, tx).await,
            Some(route) => route.with(self.stream_here(query, batch, tx)).await,
        }
    }

    async fn stream_here(&self, query: Map, batch: usize, tx: Option<&Transaction>) -> Result<RowStream> {
        if batch == 0 || batch > MAX_BATCH {
            return Err(Error::invalid_query(format!("a batch has 1 to {MAX_BATCH} rows, got {batch}"))
                .with("argument", "batch"));
        }
        let mut arguments = Arguments::new(query, "stream", tx.is_some());
        if !arguments.list("include")?.is_empty() {
            let message = "a stream cannot include related rows: its connection is busy with its own";
            return Err(Error::unsupported(message).with("argument", "include"));
        }
        self.resolve_related(&mut arguments, tx).await?;
        let query = arguments.query(&self.entity)?;
        arguments.finish()?;
        let mut select = self.operation(&query);
        // A stream filters as it goes, so nothing bounds how far it looks.
        select.scan = u64::MAX;
        let statement = self.database.backend().compile(&Operation::Select(select))?;
        if statement.unsorted {
            return Err(Error::unsupported(format!(
                "{} cannot stream in the order {}",
                self.database.backend().name(),
                query.sort.to_text()
            ))
            .with("operator", "sort"));
        }
        let (session, home) = self.lease(Verb::Find, tx).await?.into_session()?;
        let columns = Arc::clone(&statement.columns);
        let residual = statement.residual.clone();
        let (skip, left) =
            if residual.is_some() { (query.skip, query.limit.unwrap_or(u64::MAX)) } else { (0, u64::MAX) };
        let open: OpenStream = Arc::new(Mutex::new(Some(session.stream(statement, batch).await?)));
        if let Some(home) = &home {
            home.lend(&open);
        }
        Ok(RowStream { open, home, entity: Arc::clone(&self.entity), query, columns, residual, skip, left })
    }
}

impl RowStream {
    /// The next batch, never empty; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RowSet>> {
        while self.left > 0 {
            let Some(rows) = self.fetch().await? else { break };
            let rows = RowSet::new(&self.entity, Arc::clone(&self.columns), rows);
            let rows = if self.residual.is_some() { self.filtered(rows)? } else { rows };
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        self.close().await;
        Ok(None)
    }

    async fn fetch(&self) -> Result<Option<Box<dyn Rows>>> {
        let taken = lock(&self.open).take();
        let Some(batches) = taken else { return Ok(None) };
        let mut fetching = Fetching { place: &self.open, batches: Some(batches) };
        match &mut fetching.batches {
            Some(batches) => batches.next().await,
            None => Ok(None),
        }
    }

    fn filtered(&mut self, rows: RowSet) -> Result<RowSet> {
        let mut kept = Vec::new();
        for row in 0..rows.len() {
            if self.left == 0 {
                break;
            }
            let document = rows.document(row)?;
            if self.residual.as_ref().is_none_or(|residual| matches(residual, &document)) {
                if self.skip > 0 {
                    self.skip -= 1;
                } else {
                    self.left -= 1;
                    kept.push(row);
                }
            }
        }
        Ok(rows.pick(kept, &self.query.columns))
    }

    /// Ends early and gives the connection back.
    pub async fn close(&mut self) {
        let taken = lock(&self.open).take();
        if let Some(batches) = taken {
            close(batches, self.home.take()).await;
        }
    }
}
