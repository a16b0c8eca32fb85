//! Rows of SQLite: fetched by the thread into one block of memory, decoded by the contract's types when they are read.

use std::sync::Arc;

use rusqlite::types::ValueRef;

use super::error::translate;
use super::worker::Interrupt;
use crate::backend::{Cell, Rows};
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// Room for the texts of a row, which most rows have enough in.
const ROW_BYTES: usize = 1024;

/// A cell as SQLite gave it; text and bytes lie in the arena.
#[derive(Clone, Copy, Debug)]
enum Raw {
    Null,
    Int(i64),
    Float(f64),
    Text(usize, usize),
    Bytes(usize, usize),
}

/// Rows that outlive their statement.
#[derive(Debug)]
pub(super) struct SqliteRows {
    cells: Vec<Raw>,
    arena: Vec<u8>,
    /// Whether the arena was found to be ASCII, so that whatever lies in it is text.
    is_ascii: bool,
    width: usize,
    rows: usize,
    kinds: Arc<[FieldType]>,
}

impl SqliteRows {
    /// Steps through `source`, at most `limit` rows; the bool tells whether the end was reached.
    pub(super) fn fetch(
        source: &mut rusqlite::Rows<'_>,
        kinds: &Arc<[FieldType]>,
        limit: usize,
        interrupt: &Interrupt,
    ) -> Result<(Self, bool)> {
        let mut rows = Self::new(kinds, 1);
        while rows.rows < limit {
            let Some(row) = source.next().map_err(|error| translate(&error, interrupt))? else {
                return Ok((rows.complete(), true));
            };
            for column in 0..rows.width {
                let cell = row.get_ref(column).map_err(|error| translate(&error, interrupt))?;
                rows.push(cell);
            }
            rows.rows += 1;
        }
        Ok((rows.complete(), false))
    }

    /// No rows, with room for `expected`.
    pub(super) fn new(kinds: &Arc<[FieldType]>, expected: usize) -> Self {
        let width = kinds.len();
        Self {
            cells: Vec::with_capacity(width * expected),
            arena: Vec::with_capacity(ROW_BYTES * expected),
            is_ascii: false,
            width,
            rows: 0,
            kinds: Arc::clone(kinds),
        }
    }

    /// Adds a row of the cells that `cell` gives; `None` where it gives one up.
    pub(super) fn push_row<'a>(&mut self, cell: impl Fn(usize) -> Option<ValueRef<'a>>) -> Option<()> {
        self.is_ascii = false;
        for column in 0..self.width {
            self.push(cell(column)?);
        }
        self.rows += 1;
        Some(())
    }

    fn push(&mut self, cell: ValueRef<'_>) {
        let raw = match cell {
            ValueRef::Null => Raw::Null,
            ValueRef::Integer(number) => Raw::Int(number),
            ValueRef::Real(number) => Raw::Float(number),
            ValueRef::Text(bytes) => Raw::Text(self.arena.len(), bytes.len()),
            ValueRef::Blob(bytes) => Raw::Bytes(self.arena.len(), bytes.len()),
        };
        if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = cell {
            self.arena.extend_from_slice(bytes);
        }
        self.cells.push(raw);
    }

    /// The same when the last row has been added.
    pub(super) fn complete(self) -> Self {
        Self { is_ascii: self.arena.is_ascii(), ..self }
    }

    fn text(&self, start: usize, length: usize) -> Result<&str> {
        let bytes = &self.arena[start..start + length];
        if self.is_ascii {
            // SAFETY: ASCII is UTF-8; nothing was added since it was found to be that.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).map_err(|_| Error::backend("sqlite: a text column holds bytes that are not UTF-8"))
    }
}

impl Rows for SqliteRows {
    fn len(&self) -> usize {
        self.rows
    }

    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>> {
        let kind = &self.kinds[column];
        let raw = self.cells[row * self.width + column];
        Ok(match (kind, raw) {
            (_, Raw::Null) => Cell::Null,
            (FieldType::Int, Raw::Int(number)) => Cell::Int(number),
            (FieldType::Float, Raw::Float(number)) => Cell::Float(number),
            (FieldType::Float, Raw::Int(number)) => Cell::Float(number as f64),
            (FieldType::Bool, Raw::Int(number @ 0..=1)) => Cell::Bool(number == 1),
            (FieldType::Bytes, Raw::Bytes(start, length)) => Cell::Bytes(&self.arena[start..start + length]),
            (FieldType::Text, Raw::Text(start, length)) => Cell::Text(self.text(start, length)?),
            (_, Raw::Text(start, length)) => decode_text(kind, self.text(start, length)?)?,
            (_, raw) => return Err(unexpected(kind, raw)),
        })
    }
}

/// Types that SQLite holds as text.
fn decode_text<'a>(kind: &FieldType, text: &'a str) -> Result<Cell<'a>> {
    let wrong = || Error::backend(format!("sqlite: a column holds {text:?}, which is no {}", kind.name()));
    Ok(match kind {
        FieldType::Decimal => Cell::Decimal(text),
        FieldType::Uuid => Cell::Uuid(text.parse().map_err(|_| wrong())?),
        FieldType::ObjectId => Cell::ObjectId(text.parse().map_err(|_| wrong())?),
        FieldType::DateTime => Cell::DateTime(text.parse().map_err(|_| wrong())?),
        FieldType::Date => Cell::Date(text.parse().map_err(|_| wrong())?),
        FieldType::Time => Cell::Time(text.parse().map_err(|_| wrong())?),
        FieldType::List(_) | FieldType::Map(_) | FieldType::Model(_) | FieldType::Any => Cell::Json(text),
        _ => return Err(wrong()),
    })
}

fn unexpected(kind: &FieldType, raw: Raw) -> Error {
    let found = match raw {
        Raw::Null => "null",
        Raw::Int(_) => "an integer",
        Raw::Float(_) => "a real",
        Raw::Text(..) => "text",
        Raw::Bytes(..) => "a blob",
    };
    Error::backend(format!("sqlite: a column declared {} holds {found}", kind.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_whatever_lies_beside_it() {
        let texts = |first: &[u8], second: &[u8]| {
            let mut rows = SqliteRows::new(&[FieldType::Text, FieldType::Bytes].into(), 2);
            for text in [first, second] {
                rows.push_row(|column| Some(if column == 0 { ValueRef::Text(text) } else { ValueRef::Blob(b"\xff") }));
            }
            let rows = rows.complete();
            [0, 1].map(|row| rows.cell(row, 0).and_then(Cell::to_value).ok())
        };
        assert_eq!(texts(b"abc", "ä€".as_bytes()), [Some("abc".into()), Some("ä€".into())]);
        assert_eq!(texts(b"abc", b"a\xffc"), [Some("abc".into()), None]);
    }

    #[test]
    fn rows_that_are_added_later_are_looked_at_too() {
        let mut rows = SqliteRows::new(&[FieldType::Text].into(), 1);
        rows.push_row(|_| Some(ValueRef::Text(b"abc")));
        let mut rows = rows.complete();
        assert!(rows.is_ascii);
        rows.push_row(|_| Some(ValueRef::Text(b"\xff")));
        assert!(rows.cell(0, 0).is_ok());
        assert!(rows.cell(1, 0).is_err());
    }
}
