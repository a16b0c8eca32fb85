//! Rows in batches, with memory for a few batches only.

use std::sync::Arc;

use super::arguments::{Arguments, Query};
use super::{Repository, RowSet, Verb};
use crate::backend::{Operation, RowBatches};
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::query::{Filter, matches};
use crate::runtime;
use crate::schema::Entity;
use crate::transaction::Transaction;
use crate::value::Map;

/// Rows of one batch at most.
const MAX_BATCH: usize = 100_000;

/// Rows that come in batches. Holds one connection until the end, or until it is dropped.
pub struct RowStream {
    open: Option<Open>,
    entity: Arc<Entity>,
    query: Query,
    columns: Arc<[usize]>,
    residual: Option<Filter>,
    skip: u64,
    left: u64,
}

/// What is held while rows come.
struct Open {
    batches: Box<dyn RowBatches>,
    lease: Lease,
}

impl Open {
    /// Ends, and gives the session back to a transaction that it came from.
    async fn close(mut self) {
        if let Some(session) = self.batches.finish().await {
            self.lease.put_back(session);
        }
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            runtime::spawn(open.close()).detach();
        }
    }
}

impl Repository {
    /// The rows of a query, `batch` at a time.
    pub async fn stream(&self, query: Map, batch: usize, tx: Option<&Transaction>) -> Result<RowStream> {
        if batch == 0 || batch > MAX_BATCH {
            return Err(Error::invalid_query(format!("a batch has 1 to {MAX_BATCH} rows, got {batch}"))
                .with("argument", "batch"));
        }
        let mut arguments = Arguments::new(query, "stream");
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
        let mut lease = self.lease(Verb::Find, tx).await?;
        let columns = Arc::clone(&statement.columns);
        let residual = statement.residual.clone();
        let (skip, left) =
            if residual.is_some() { (query.skip, query.limit.unwrap_or(u64::MAX)) } else { (0, u64::MAX) };
        let batches = lease.take()?.stream(statement, batch).await?;
        Ok(RowStream {
            open: Some(Open { batches, lease }),
            entity: Arc::clone(&self.entity),
            query,
            columns,
            residual,
            skip,
            left,
        })
    }
}

impl RowStream {
    /// The next batch, never empty; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RowSet>> {
        while self.left > 0 {
            let Some(open) = &mut self.open else { return Ok(None) };
            let Some(rows) = open.batches.next().await? else { break };
            let rows = RowSet::new(&self.entity, Arc::clone(&self.columns), rows);
            let rows = if self.residual.is_some() { self.filtered(rows)? } else { rows };
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        self.close().await;
        Ok(None)
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
        if let Some(open) = self.open.take() {
            open.close().await;
        }
    }
}
