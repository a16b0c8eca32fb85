//! Rows of PostgreSQL: one block of memory in the binary format, decoded by the contract's types when they are read.

use std::sync::Arc;

use sqlx_core::row::Row;
use sqlx_core::value::ValueRef;
use sqlx_postgres::PgRow;

use super::wire::{EPOCH_DAYS, EPOCH_MICROS, numeric_text};
use crate::backend::{Cell, Rows};
use crate::backends::sql::compact;
use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::value::{Date, DateTime, Time, Uuid};

/// Where a cell lies in the block; null has no place.
type Place = Option<(usize, usize)>;

/// Rows that outlive their connection.
#[derive(Debug)]
pub(super) struct PostgresRows {
    cells: Vec<Place>,
    block: Vec<u8>,
    width: usize,
    rows: usize,
    kinds: Arc<[FieldType]>,
}

impl PostgresRows {
    pub(super) fn new(kinds: &Arc<[FieldType]>) -> Self {
        Self { cells: Vec::new(), block: Vec::new(), width: kinds.len(), rows: 0, kinds: Arc::clone(kinds) }
    }

    /// Copies one row in.
    pub(super) fn push(&mut self, row: &PgRow) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| Error::internal(format!("postgres: a row is malformed: {error}"));
        for column in 0..self.width {
            let cell = row.try_get_raw(column).map_err(|error| failed(&error))?;
            if cell.is_null() {
                self.cells.push(None);
                continue;
            }
            let bytes = cell.as_bytes().map_err(|error| failed(&error))?;
            let start = self.block.len();
            if matches!(self.kinds[column], FieldType::Decimal) {
                // Decimals are lent as text, so their text is made once here.
                let text = numeric_text(bytes)
                    .ok_or_else(|| Error::backend("postgres: a numeric column holds NaN or an infinity"))?;
                self.block.extend_from_slice(text.as_bytes());
            } else if let ([1, json @ ..], false) = (bytes, self.kinds[column].is_scalar()) {
                // `jsonb` begins with its version, and puts blanks where we have none.
                compact(json, &mut self.block);
            } else {
                self.block.extend_from_slice(bytes);
            }
            self.cells.push(Some((start, self.block.len())));
        }
        self.rows += 1;
        Ok(())
    }
}

impl Rows for PostgresRows {
    fn len(&self) -> usize {
        self.rows
    }

    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>> {
        let Some((start, end)) = self.cells[row * self.width + column] else { return Ok(Cell::Null) };
        decode(&self.kinds[column], &self.block[start..end])
    }
}

fn decode<'a>(kind: &FieldType, bytes: &'a [u8]) -> Result<Cell<'a>> {
    let wrong = || Error::backend(format!("postgres: a column holds what is no {}", kind.name()));
    let text = || std::str::from_utf8(bytes).map_err(|_| wrong());
    Ok(match kind {
        FieldType::Int => Cell::Int(integer(bytes).ok_or_else(wrong)?),
        FieldType::Float => Cell::Float(match bytes.len() {
            8 => f64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?),
            4 => f64::from(f32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)),
            _ => return Err(wrong()),
        }),
        FieldType::Bool => match bytes {
            [truth @ 0..=1] => Cell::Bool(*truth == 1),
            _ => return Err(wrong()),
        },
        FieldType::Decimal => Cell::Decimal(text()?),
        FieldType::Text => Cell::Text(text()?),
        FieldType::Bytes => Cell::Bytes(bytes),
        FieldType::Uuid => Cell::Uuid(Uuid::from_slice(bytes).map_err(|_| wrong())?),
        FieldType::ObjectId => Cell::ObjectId(text()?.parse().map_err(|_| wrong())?),
        FieldType::DateTime => {
            let micros = integer(bytes).and_then(|micros| micros.checked_add(EPOCH_MICROS)).ok_or_else(wrong)?;
            Cell::DateTime(DateTime::from_micros(micros).map_err(|_| wrong())?)
        }
        FieldType::Date => {
            let days = integer(bytes).and_then(|days| i32::try_from(days).ok()?.checked_add(EPOCH_DAYS));
            Cell::Date(Date::from_days(days.ok_or_else(wrong)?).map_err(|_| wrong())?)
        }
        FieldType::Time => Cell::Time(time(bytes).ok_or_else(wrong)?),
        FieldType::List(_) | FieldType::Map(_) | FieldType::Model(_) | FieldType::Any => Cell::Json(text()?),
    })
}

/// An integer of any of the three sizes.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        8 => i64::from_be_bytes(bytes.try_into().ok()?),
        4 => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        2 => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        _ => return None,
    })
}

/// A `time`; `24:00:00` is no time of day.
pub(super) fn time(bytes: &[u8]) -> Option<Time> {
    let micros = u64::try_from(integer(bytes)?).ok()?;
    let part = |divisor: u64, modulus: u64| u32::try_from(micros / divisor % modulus).ok();
    let hour = u32::try_from(micros / 3_600_000_000).ok()?;
    Time::from_clock(hour, part(60_000_000, 60)?, part(1_000_000, 60)?, part(1, 1_000_000)?).ok()
}
