//! Rows in the binary protocol: one block of memory, decoded by the contract's types when they are read.

use std::sync::Arc;

use sqlx_core::decode::Decode;
use sqlx_core::row::Row;
use sqlx_core::type_info::TypeInfo;
use sqlx_core::value::ValueRef;
use sqlx_mysql::{MySql, MySqlRow};

use super::values::{binary_moment, date, date_time, decimal_text, integer, time};
use crate::backend::{Cell, Rows};
use crate::backends::sql::compact;
use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::value::{ObjectId, Uuid};

/// Where a cell lies in the block; null has no place.
type Place = Option<(usize, usize)>;

/// Rows that outlive their connection.
#[derive(Debug)]
pub(super) struct MysqlRows {
    cells: Vec<Place>,
    block: Vec<u8>,
    rows: usize,
    kinds: Arc<[FieldType]>,
}

fn malformed(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("mysql: a row is malformed: {error}"))
}

/// A cell as the server sent it; `None` for null.
pub(super) fn raw(row: &MySqlRow, column: usize) -> Result<Option<&[u8]>> {
    let cell = row.try_get_raw(column).map_err(|error| malformed(&error))?;
    if cell.is_null() {
        return Ok(None);
    }
    // Decoding to bytes looks at no type.
    <&[u8] as Decode<MySql>>::decode(cell).map(Some).map_err(|error| malformed(&error))
}

/// Whether the server said that the integers of a column have no sign.
pub(super) fn is_unsigned(kind: &str) -> bool {
    kind.ends_with("UNSIGNED")
}

impl MysqlRows {
    pub(super) fn new(kinds: &Arc<[FieldType]>) -> Self {
        Self { cells: Vec::new(), block: Vec::new(), rows: 0, kinds: Arc::clone(kinds) }
    }

    /// Copies one row in.
    pub(super) fn push(&mut self, row: &MySqlRow) -> Result<()> {
        for (column, kind) in self.kinds.iter().enumerate() {
            let Some(bytes) = raw(row, column)? else {
                self.cells.push(None);
                continue;
            };
            let start = self.block.len();
            match kind {
                // Tables of others have smaller integers, or such without a sign.
                FieldType::Int => {
                    let cell = row.try_get_raw(column).map_err(|error| malformed(&error))?;
                    let unsigned = is_unsigned(cell.type_info().name());
                    let number = integer(bytes, unsigned).ok_or_else(|| wrong(kind))?;
                    self.block.extend_from_slice(&number.to_le_bytes());
                }
                FieldType::Decimal => {
                    let text = std::str::from_utf8(bytes).map_err(|_| wrong(kind))?;
                    self.block.extend_from_slice(decimal_text(text).as_bytes());
                }
                // MySQL's own type puts blanks where we have none.
                FieldType::List(_) => compact(bytes, &mut self.block),
                _ => self.block.extend_from_slice(bytes),
            }
            self.cells.push(Some((start, self.block.len())));
        }
        self.rows += 1;
        Ok(())
    }
}

impl MysqlRows {
    /// Copies one row of the text protocol in, whose first column is none of ours: the driver takes a row that begins with
    /// 16 MiB for the end.
    pub(super) fn push_text(&mut self, row: &MySqlRow) -> Result<()> {
        for (column, kind) in self.kinds.iter().enumerate() {
            let Some(bytes) = raw(row, column + 1)? else {
                self.cells.push(None);
                continue;
            };
            let start = self.block.len();
            let text = || std::str::from_utf8(bytes).map_err(|_| wrong(kind));
            match kind {
                FieldType::Int => {
                    let number: i64 = text()?.parse().map_err(|_| wrong(kind))?;
                    self.block.extend_from_slice(&number.to_le_bytes());
                }
                FieldType::Float => {
                    let number: f64 = text()?.parse().map_err(|_| wrong(kind))?;
                    self.block.extend_from_slice(&number.to_le_bytes());
                }
                // `BIT(1)` has no digits here either.
                FieldType::Bool => match bytes {
                    [digit] => self.block.push(digit & !b'0'),
                    _ => return Err(wrong(kind)),
                },
                FieldType::DateTime | FieldType::Date | FieldType::Time => {
                    self.block.extend(binary_moment(text()?).ok_or_else(|| wrong(kind))?);
                }
                FieldType::Decimal => self.block.extend_from_slice(decimal_text(text()?).as_bytes()),
                FieldType::List(_) => compact(bytes, &mut self.block),
                _ => self.block.extend_from_slice(bytes),
            }
            self.cells.push(Some((start, self.block.len())));
        }
        self.rows += 1;
        Ok(())
    }
}

impl Rows for MysqlRows {
    fn len(&self) -> usize {
        self.rows
    }

    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>> {
        let Some((start, end)) = self.cells[row * self.kinds.len() + column] else { return Ok(Cell::Null) };
        decode(&self.kinds[column], &self.block[start..end])
    }
}

fn wrong(kind: &FieldType) -> Error {
    Error::backend(format!("mysql: a column holds what is no {}", kind.name()))
}

fn decode<'a>(kind: &FieldType, bytes: &'a [u8]) -> Result<Cell<'a>> {
    let wrong = || wrong(kind);
    let text = || std::str::from_utf8(bytes).map_err(|_| wrong());
    Ok(match kind {
        FieldType::Int => Cell::Int(integer(bytes, false).ok_or_else(wrong)?),
        FieldType::Float => Cell::Float(match bytes.len() {
            8 => f64::from_le_bytes(bytes.try_into().map_err(|_| wrong())?),
            4 => f64::from(f32::from_le_bytes(bytes.try_into().map_err(|_| wrong())?)),
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
        FieldType::ObjectId => Cell::ObjectId(ObjectId(bytes.try_into().map_err(|_| wrong())?)),
        FieldType::DateTime => Cell::DateTime(date_time(bytes).ok_or_else(wrong)?),
        FieldType::Date => Cell::Date(date(bytes).ok_or_else(wrong)?),
        FieldType::Time => Cell::Time(time(bytes).ok_or_else(wrong)?),
        FieldType::List(_) | FieldType::Map(_) | FieldType::Model(_) | FieldType::Any => Cell::Json(text()?),
    })
}
