//! Rows that the core has: on their way into a database, or out where it made them itself.
//!
//! They lie in one block of memory, because whoever makes them and whoever writes them are different threads, which would
//! wait for each other at the allocator for each small piece.

use super::{Cell, Rows};
use crate::error::Result;
use crate::value::tagged::Writer;
use crate::value::{Date, DateTime, ObjectId, Time, Uuid, Value, format_decimal};

/// Room for the texts of a row, which most rows have enough in.
const ROW_BYTES: usize = 512;

/// A cell; what has a start and a length lies in the arena.
#[derive(Clone, Debug)]
enum Part {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(usize, usize),
    Text(usize, usize),
    Bytes(usize, usize),
    Uuid(Uuid),
    ObjectId(ObjectId),
    DateTime(DateTime),
    Date(Date),
    Time(Time),
    Json(usize, usize),
    Value(Box<Value>),
}

/// Rows of equally many values, filled cell by cell.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    width: usize,
    parts: Vec<Part>,
    arena: Vec<u8>,
}

impl Batch {
    /// No rows of `width` values each, with room for `expected`.
    pub fn new(width: usize, expected: usize) -> Self {
        let (parts, arena) = (Vec::with_capacity(width * expected), Vec::with_capacity(ROW_BYTES * expected));
        Self { width, parts, arena }
    }

    /// How many rows there are; one that is not full yet does not count.
    pub fn len(&self) -> usize {
        self.parts.len().checked_div(self.width).unwrap_or_default()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes it is.
    pub(crate) fn weight(&self) -> usize {
        self.parts.len() * size_of::<Part>() + self.arena.len()
    }

    /// Adds a cell.
    pub fn push(&mut self, value: Value) {
        let part = match value {
            Value::Null => Part::Null,
            Value::Bool(truth) => Part::Bool(truth),
            Value::Int(number) => Part::Int(number),
            Value::Float(number) => Part::Float(number),
            Value::Decimal(number) => {
                let (start, length) = self.store(format_decimal(&number).as_bytes());
                Part::Decimal(start, length)
            }
            Value::Text(text) => return self.push_text(&text),
            Value::Bytes(bytes) => {
                let (start, length) = self.store(&bytes);
                Part::Bytes(start, length)
            }
            Value::Uuid(uuid) => Part::Uuid(uuid),
            Value::ObjectId(id) => Part::ObjectId(id),
            Value::DateTime(moment) => Part::DateTime(moment),
            Value::Date(date) => Part::Date(date),
            Value::Time(time) => Part::Time(time),
            value @ (Value::List(_) | Value::Map(_)) => Part::Value(Box::new(value)),
        };
        self.parts.push(part);
    }

    /// Adds a cell of text.
    pub fn push_text(&mut self, text: &str) {
        let (start, length) = self.store(text.as_bytes());
        self.parts.push(Part::Text(start, length));
    }

    /// Adds a cell of the tagged JSON that `write` appends; none where it gives up.
    pub fn push_json<T>(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Option<T>) -> Option<T> {
        let start = self.arena.len();
        let written = write(&mut Writer::new(&mut self.arena));
        match written {
            Some(_) => self.add_json(start),
            None => self.arena.truncate(start),
        }
        written
    }

    /// Adds a cell of this tagged JSON.
    pub fn push_json_text(&mut self, json: &str) {
        let (start, _) = self.store(json.as_bytes());
        self.add_json(start);
    }

    /// Adds a cell of the JSON that stands at the end of the arena. Null is the column's own, not JSON's.
    fn add_json(&mut self, start: usize) {
        if &self.arena[start..] == b"null" {
            self.arena.truncate(start);
            self.parts.push(Part::Null);
        } else {
            self.parts.push(Part::Json(start, self.arena.len() - start));
        }
    }

    /// Puts a value in the place of a cell.
    pub fn set(&mut self, row: usize, column: usize, value: Value) {
        self.push(value);
        let last = self.parts.pop().unwrap_or(Part::Null);
        self.parts[row * self.width + column] = last;
    }

    /// Takes all behind so many rows away.
    pub fn truncate(&mut self, rows: usize) {
        self.parts.truncate(rows * self.width);
    }

    /// Adds the rows of another one, which has the same width.
    pub fn append(&mut self, other: Self) {
        let shift = self.arena.len();
        self.arena.extend_from_slice(&other.arena);
        self.parts.extend(other.parts.into_iter().map(|part| match part {
            Part::Decimal(start, length) => Part::Decimal(shift + start, length),
            Part::Text(start, length) => Part::Text(shift + start, length),
            Part::Bytes(start, length) => Part::Bytes(shift + start, length),
            Part::Json(start, length) => Part::Json(shift + start, length),
            part => part,
        }));
    }

    /// One cell.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        self.lent(&self.parts[row * self.width + column])
    }

    /// The cells of a row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = Cell<'_>> {
        self.parts[row * self.width..][..self.width].iter().map(|part| self.lent(part))
    }

    /// All rows as values.
    pub fn to_values(&self) -> Result<Vec<Vec<Value>>> {
        (0..self.len()).map(|row| self.row(row).map(Cell::to_value).collect()).collect()
    }

    fn store(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        (start, bytes.len())
    }

    fn bytes(&self, start: usize, length: usize) -> &[u8] {
        &self.arena[start..start + length]
    }

    fn text(&self, start: usize, length: usize) -> &str {
        // SAFETY: what a part of text or JSON names was a whole `str` (`store`), or is what a `Writer` has written.
        unsafe { std::str::from_utf8_unchecked(self.bytes(start, length)) }
    }

    fn lent<'a>(&'a self, part: &'a Part) -> Cell<'a> {
        match part {
            Part::Null => Cell::Null,
            Part::Bool(truth) => Cell::Bool(*truth),
            Part::Int(number) => Cell::Int(*number),
            Part::Float(number) => Cell::Float(*number),
            Part::Decimal(start, length) => Cell::Decimal(self.text(*start, *length)),
            Part::Text(start, length) => Cell::Text(self.text(*start, *length)),
            Part::Bytes(start, length) => Cell::Bytes(self.bytes(*start, *length)),
            Part::Uuid(uuid) => Cell::Uuid(*uuid),
            Part::ObjectId(id) => Cell::ObjectId(*id),
            Part::DateTime(moment) => Cell::DateTime(*moment),
            Part::Date(date) => Cell::Date(*date),
            Part::Time(time) => Cell::Time(*time),
            Part::Json(start, length) => Cell::Json(self.text(*start, *length)),
            Part::Value(value) => Cell::Value(value),
        }
    }
}

impl From<Vec<Vec<Value>>> for Batch {
    fn from(rows: Vec<Vec<Value>>) -> Self {
        let mut batch = Self { width: rows.first().map_or(0, Vec::len), ..Self::default() };
        rows.into_iter().flatten().for_each(|value| batch.push(value));
        batch
    }
}

impl Rows for Batch {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>> {
        Ok(Self::cell(self, row, column))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tagged::{Sign, tests::any_value};

    proptest! {
        #[test]
        fn what_is_pushed_is_there(rows in prop::collection::vec(prop::collection::vec(any_value(), 3), 0..5)) {
            let batch = Batch::from(rows.clone());
            prop_assert_eq!(batch.to_values().unwrap(), rows.clone());
            let mut twice = batch.clone();
            twice.append(batch);
            prop_assert_eq!(twice.to_values().unwrap(), [rows.clone(), rows].concat());
        }
    }

    #[test]
    fn null_is_no_json() {
        let mut batch = Batch::new(3, 1);
        batch.push_json_text("null");
        batch.push_json(|out| {
            out.value(&Value::Null);
            Some(())
        });
        batch.push_json_text("[null]");
        let kinds: Vec<_> = batch.row(0).map(|cell| (cell.is_null(), matches!(cell, Cell::Json(_)))).collect();
        assert_eq!(kinds, [(true, false), (true, false), (false, true)]);
    }

    #[test]
    fn json_that_is_given_up_leaves_nothing() {
        let mut batch = Batch::new(2, 1);
        assert!(
            batch
                .push_json(|out| {
                    out.sign(Sign::OpenList);
                    None::<()>
                })
                .is_none()
        );
        batch
            .push_json(|out| {
                out.value(&Value::List(vec![1_i64.into()]));
                Some(())
            })
            .unwrap();
        assert!(batch.is_empty());
        batch.push_text("x");
        assert_eq!(batch.to_values().unwrap(), [vec![Value::List(vec![1_i64.into()]), "x".into()]]);
    }
}
