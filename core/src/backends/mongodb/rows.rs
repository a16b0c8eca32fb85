//! Rows out of documents: one pass over the BSON of each, scalars beside one block of text and one of bytes.

use std::ops::Range;
use std::sync::Arc;

use mongodb::bson::raw::{RawBsonRef, RawDocument};
use mongodb::bson::spec::BinarySubtype;

use super::layout::{ID, Layout};
use super::text;
use super::values::{date_time, decimal, decode, float, whole};
use crate::backend::{Cell, Rows};
use crate::error::{Error, Result};
use crate::schema::{Entity, FieldType};
use crate::value::{Date, DateTime, ObjectId, Time, Uuid, Value};

/// A cell; what `Range` points to lies in the text, that of `Bytes` in the bytes.
#[derive(Clone, Debug)]
enum Slot {
    Missing,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(Range<usize>),
    Text(Range<usize>),
    Bytes(Range<usize>),
    Uuid(Uuid),
    ObjectId(ObjectId),
    DateTime(DateTime),
    Date(Date),
    Time(Time),
    /// A list, map or free value as tagged JSON.
    Json(Range<usize>),
    /// A default, or what tagged JSON cannot say.
    Value(Value),
}

/// One column of an answer.
#[derive(Clone, Debug)]
struct Column {
    /// Its name in the document, or inside the key's document.
    name: String,
    kind: FieldType,
    in_key: bool,
    /// What a document without it means: the declared default, null, or (`None`) a broken document.
    missing: Option<Value>,
}

/// Which columns are read from documents.
#[derive(Debug)]
pub(super) struct Reading {
    columns: Vec<Column>,
    /// Whether the key is a document of several fields.
    composite: bool,
    collection: String,
}

impl Reading {
    pub(super) fn new(entity: &Entity, layout: &Layout, columns: &[usize]) -> Self {
        let composite = layout.key.len() > 1;
        let column = |position: &usize| {
            let field = &entity.fields[*position];
            let in_key = layout.key.contains(position);
            let name = if in_key && !composite { ID.to_owned() } else { field.name.clone() };
            let missing = field.default.clone().or(field.nullable.then_some(Value::Null));
            Column { name, kind: field.kind.clone(), in_key: in_key && composite, missing }
        };
        let columns = columns.iter().map(column).collect();
        Self { columns, composite, collection: layout.collection.clone() }
    }
}

/// Rows that outlive their cursor.
#[derive(Debug)]
pub(super) struct MongoRows {
    reading: Arc<Reading>,
    slots: Vec<Slot>,
    text: String,
    bytes: Vec<u8>,
    /// Where the JSON of a value is made.
    json: Vec<u8>,
    rows: usize,
}

impl MongoRows {
    pub(super) fn new(reading: &Arc<Reading>) -> Self {
        let reading = Arc::clone(reading);
        Self { reading, slots: Vec::new(), text: String::new(), bytes: Vec::new(), json: Vec::new(), rows: 0 }
    }

    /// Reads one document.
    pub(super) fn push(&mut self, document: &RawDocument) -> Result<()> {
        let reading = Arc::clone(&self.reading);
        let start = self.slots.len();
        self.slots.resize(start + reading.columns.len(), Slot::Missing);
        for entry in document {
            let (name, value) = entry.map_err(|error| Error::backend(format!("mongodb: {error}")))?;
            match (name.as_str() == ID && reading.composite, value) {
                (true, RawBsonRef::Document(key)) => {
                    for entry in key {
                        let (name, value) = entry.map_err(|error| Error::backend(format!("mongodb: {error}")))?;
                        self.fill(&reading, start, true, name.as_str(), value, document)?;
                    }
                }
                _ => self.fill(&reading, start, false, name.as_str(), value, document)?,
            }
        }
        for (column, slot) in reading.columns.iter().zip(&mut self.slots[start..]) {
            if matches!(slot, Slot::Missing) {
                let missing = column.missing.clone();
                *slot = Slot::Value(missing.ok_or_else(|| wrong(&reading, column, document, "is missing"))?);
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn fill(
        &mut self,
        reading: &Reading,
        start: usize,
        in_key: bool,
        name: &str,
        value: RawBsonRef<'_>,
        document: &RawDocument,
    ) -> Result<()> {
        let place = reading.columns.iter().position(|column| column.in_key == in_key && column.name == name);
        // What the entity does not declare is left alone.
        let Some(place) = place else { return Ok(()) };
        let column = &reading.columns[place];
        let slot = self.slot(&column.kind, value);
        self.slots[start + place] = slot.ok_or_else(|| {
            wrong(reading, column, document, &format!("is no {}, but {:?}", column.kind.name(), value.element_type()))
        })?;
        Ok(())
    }

    fn lay(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn lay_bytes(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// A list, map or free value; `None` where the contract does not allow it there.
    fn nested(&mut self, kind: &FieldType, value: RawBsonRef<'_>) -> Option<Slot> {
        self.json.clear();
        let written = text::write(Some(kind), value, 0, &mut self.json);
        Some(match written.and_then(|()| std::str::from_utf8(&self.json).ok()) {
            Some(json) => {
                let start = self.text.len();
                self.text.push_str(json);
                Slot::Json(start..self.text.len())
            }
            None => Slot::Value(decode(Some(kind), value)?),
        })
    }

    /// The cell of a value; `None` where the contract does not allow it there.
    fn slot(&mut self, kind: &FieldType, value: RawBsonRef<'_>) -> Option<Slot> {
        Some(match (kind, value) {
            (_, RawBsonRef::Null | RawBsonRef::Undefined) => Slot::Null,
            (FieldType::Text, RawBsonRef::String(text)) => Slot::Text(self.lay(text)),
            (FieldType::Int, value) => Slot::Int(whole(value)?),
            (FieldType::Float, value) => Slot::Float(float(value)?),
            (FieldType::Decimal, value) => {
                let text = decimal(value)?;
                Slot::Decimal(self.lay(&text))
            }
            (FieldType::Bool, RawBsonRef::Boolean(truth)) => Slot::Bool(truth),
            (FieldType::Uuid, RawBsonRef::Binary(binary)) if binary.subtype == BinarySubtype::Uuid => {
                Slot::Uuid(Uuid::from_slice(binary.bytes).ok()?)
            }
            (FieldType::Bytes, RawBsonRef::Binary(binary)) => Slot::Bytes(self.lay_bytes(binary.bytes)),
            (FieldType::ObjectId, RawBsonRef::ObjectId(id)) => Slot::ObjectId(ObjectId(id.bytes())),
            (FieldType::DateTime, RawBsonRef::DateTime(moment)) => Slot::DateTime(date_time(moment)?),
            (FieldType::Date, RawBsonRef::String(text)) => Slot::Date(text.parse().ok()?),
            (FieldType::Time, RawBsonRef::String(text)) => Slot::Time(text.parse().ok()?),
            (kind, value) if !kind.is_scalar() => self.nested(kind, value)?,
            _ => return None,
        })
    }
}

fn wrong(reading: &Reading, column: &Column, document: &RawDocument, what: &str) -> Error {
    let id = document.get(ID).ok().flatten().map_or_else(String::new, |id| format!("{id:?}"));
    Error::backend(format!("mongodb: {} of a document of {} {what} (_id {id})", column.name, reading.collection))
        .with("entity", reading.collection.as_str())
        .with("field", column.name.as_str())
}

impl Rows for MongoRows {
    fn len(&self) -> usize {
        self.rows
    }

    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>> {
        Ok(match &self.slots[row * self.reading.columns.len() + column] {
            Slot::Missing | Slot::Null | Slot::Value(Value::Null) => Cell::Null,
            Slot::Bool(truth) => Cell::Bool(*truth),
            Slot::Int(number) => Cell::Int(*number),
            Slot::Float(number) => Cell::Float(*number),
            Slot::Decimal(range) => Cell::Decimal(&self.text[range.clone()]),
            Slot::Text(range) => Cell::Text(&self.text[range.clone()]),
            Slot::Bytes(range) => Cell::Bytes(&self.bytes[range.clone()]),
            Slot::Uuid(uuid) => Cell::Uuid(*uuid),
            Slot::ObjectId(id) => Cell::ObjectId(*id),
            Slot::DateTime(moment) => Cell::DateTime(*moment),
            Slot::Date(date) => Cell::Date(*date),
            Slot::Time(time) => Cell::Time(*time),
            Slot::Json(range) => Cell::Json(&self.text[range.clone()]),
            Slot::Value(value) => scalar(value),
        })
    }
}

/// A default that stands in for a missing field; decimals are lent as values.
fn scalar(value: &Value) -> Cell<'_> {
    match value {
        Value::Bool(truth) => Cell::Bool(*truth),
        Value::Int(number) => Cell::Int(*number),
        Value::Float(number) => Cell::Float(*number),
        Value::Text(text) => Cell::Text(text),
        Value::Uuid(uuid) => Cell::Uuid(*uuid),
        Value::ObjectId(id) => Cell::ObjectId(*id),
        Value::DateTime(moment) => Cell::DateTime(*moment),
        Value::Date(date) => Cell::Date(*date),
        Value::Time(time) => Cell::Time(*time),
        other => Cell::Value(other),
    }
}
