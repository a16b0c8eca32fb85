//! Short statements of the writer on their caller's thread, which saves two hand-overs between threads.
//!
//! Only where a turn of a host's loop runs there and has time for it, and only what does not wait: for no lock, for no disk,
//! for no other statement. Everything else is the connection's thread's, which also does anew what was given up here. What
//! was given up has had no effect: outside a transaction an interrupted statement is undone, inside one it is not interrupted
//! before the deadline that it has anyway.

use std::time::Instant;

use rusqlite::Connection;

use super::pace::BOUND;
use super::session::SqliteSession;
use crate::backend::{Batch, Cell};
use crate::error::{Kind, Result};
use crate::turn;
use crate::value::Value;

/// So many statements of a transaction are made at once at most, that its commit has little to write.
pub(super) const MOST: u8 = 16;
/// Bytes of a row that is short.
const SHORT: usize = 64 * 1024;

impl SqliteSession {
    /// What `work` gives on this thread; `None` where it is left to the connection's.
    pub(super) fn at_once<T>(&self, work: &mut impl FnMut(&mut Connection) -> Result<T>) -> Option<Result<T>> {
        if self.reading || self.left_at_once == 0 {
            return None;
        }
        let bound = (!self.in_transaction).then_some(BOUND);
        let here =
            || self.connection.at_once(bound, Instant::now(), |open, _| open.connection_at_once().map(&mut *work));
        match turn::work_here(here)?? {
            Err(error) if error.kind() == Kind::DatabaseBusy => None,
            Err(error) if error.kind() == Kind::StatementTimeout && bound.is_some() => None,
            outcome => Some(outcome),
        }
    }
}

/// Whether these values take no time that another statement would notice.
pub(super) fn are_short(values: &[Value]) -> bool {
    values.iter().map(weight).sum::<usize>() <= SHORT
}

/// Whether these rows take none, each by itself.
pub(super) fn are_short_rows(rows: &Batch) -> bool {
    let weight = |cell| match cell {
        Cell::Text(text) | Cell::Decimal(text) | Cell::Json(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len(),
        Cell::Value(value) => weight(value),
        _ => 16,
    };
    (0..rows.len()).all(|row| rows.row(row).map(weight).sum::<usize>() <= SHORT)
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(weight).sum::<usize>() + 8,
        Value::Map(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>() + 8,
        _ => 16,
    }
}
