//! Cells and values as the bytes of documents, written from front to back with nothing in between.

use mongodb::bson::raw::{CStr, RawDocumentBuf};
use mongodb::bson::spec::{BinarySubtype, ElementType};

use super::json;
use super::values::{decimal128, milliseconds};
use crate::backend::Cell;
use crate::error::{Error, Result};
use crate::value::{Value, format_decimal};

/// What of a document, or of several, is written.
#[derive(Debug, Default)]
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes back what was written behind this length.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// The document that is written.
    pub(super) fn into_document(self) -> Result<RawDocumentBuf> {
        RawDocumentBuf::from_bytes(self.0).map_err(|error| Error::internal(format!("mongodb: {error}")))
    }

    /// Writes a document of the elements that `write` writes.
    pub(super) fn document(&mut self, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let start = self.begin();
        write(self)?;
        self.end(start)
    }

    /// Begins a document; where it begins.
    pub(super) fn begin(&mut self) -> usize {
        self.0.extend([0; 4]);
        self.0.len() - 4
    }

    /// Ends the document that begins there.
    pub(super) fn end(&mut self, start: usize) -> Result<()> {
        self.0.push(0);
        let length = length(self.0.len() - start)?;
        self.0[start..start + 4].copy_from_slice(&length);
        Ok(())
    }

    /// Begins an element, null until its type is set and its value stands behind it; where it begins.
    pub(super) fn open(&mut self, name: &str) -> Result<usize> {
        let start = self.0.len();
        self.head(ElementType::Null, name)?;
        Ok(start)
    }

    /// Sets the type of the element that begins there.
    pub(super) fn set_kind(&mut self, start: usize, kind: ElementType) {
        self.0[start] = kind as u8;
    }

    /// Writes a piece of a value.
    pub(super) fn extend(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// Writes an element that is a document.
    pub(super) fn nested(&mut self, name: &str, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.head(ElementType::EmbeddedDocument, name)?;
        self.document(write)
    }

    /// Writes an element that is a list.
    pub(super) fn list(&mut self, name: &str, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.head(ElementType::Array, name)?;
        self.document(write)
    }

    /// Writes the element of a column, whose zero has one sign, as everywhere.
    pub(super) fn column(&mut self, name: &str, cell: Cell<'_>) -> Result<()> {
        match cell {
            Cell::Float(number) => self.cell(name, Cell::Float(number + 0.0)),
            cell => self.cell(name, cell),
        }
    }

    fn cell(&mut self, name: &str, cell: Cell<'_>) -> Result<()> {
        match cell {
            Cell::Null => self.head(ElementType::Null, name),
            Cell::Bool(truth) => self.scalar(ElementType::Boolean, name, &[u8::from(truth)]),
            Cell::Int(number) => self.scalar(ElementType::Int64, name, &number.to_le_bytes()),
            Cell::Float(number) => self.scalar(ElementType::Double, name, &number.to_le_bytes()),
            Cell::Decimal(text) => self.scalar(ElementType::Decimal128, name, &decimal128(text)?.bytes()),
            Cell::Text(text) => self.text(name, text),
            Cell::Bytes(bytes) => self.binary(name, BinarySubtype::Generic, bytes),
            Cell::Uuid(uuid) => self.binary(name, BinarySubtype::Uuid, uuid.as_bytes()),
            Cell::ObjectId(id) => self.scalar(ElementType::ObjectId, name, &id.0),
            Cell::DateTime(moment) => {
                self.scalar(ElementType::DateTime, name, &milliseconds(moment).timestamp_millis().to_le_bytes())
            }
            Cell::Date(date) => self.text(name, &date.to_string()),
            Cell::Time(time) => self.text(name, &time.to_string()),
            Cell::Json(json) => json::write(self, name, json),
            Cell::Value(value) => self.value(name, value),
        }
    }

    /// Writes an element of a value.
    pub(super) fn value(&mut self, name: &str, value: &Value) -> Result<()> {
        match value {
            Value::Null => self.cell(name, Cell::Null),
            Value::Bool(truth) => self.cell(name, Cell::Bool(*truth)),
            Value::Int(number) => self.cell(name, Cell::Int(*number)),
            Value::Float(number) => self.cell(name, Cell::Float(*number)),
            Value::Decimal(number) => self.cell(name, Cell::Decimal(&format_decimal(number))),
            Value::Text(text) => self.text(name, text),
            Value::Bytes(bytes) => self.cell(name, Cell::Bytes(bytes)),
            Value::Uuid(uuid) => self.cell(name, Cell::Uuid(*uuid)),
            Value::ObjectId(id) => self.cell(name, Cell::ObjectId(*id)),
            Value::DateTime(moment) => self.cell(name, Cell::DateTime(*moment)),
            Value::Date(date) => self.cell(name, Cell::Date(*date)),
            Value::Time(time) => self.cell(name, Cell::Time(*time)),
            Value::List(list) => self.list(name, |items| {
                let mut number = itoa::Buffer::new();
                list.iter().enumerate().try_for_each(|(index, item)| items.value(number.format(index), item))
            }),
            Value::Map(map) => {
                self.nested(name, |entries| map.iter().try_for_each(|(name, value)| entries.value(name, value)))
            }
        }
    }

    /// Writes an element that is text.
    pub(super) fn text(&mut self, name: &str, text: &str) -> Result<()> {
        self.head(ElementType::String, name)?;
        self.string(text)
    }

    /// Writes the value of an element that is text.
    pub(super) fn string(&mut self, text: &str) -> Result<()> {
        self.0.extend(length(text.len() + 1)?);
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        Ok(())
    }

    fn binary(&mut self, name: &str, subtype: BinarySubtype, bytes: &[u8]) -> Result<()> {
        self.head(ElementType::Binary, name)?;
        self.0.extend(length(bytes.len())?);
        self.0.push(u8::from(subtype));
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn scalar(&mut self, kind: ElementType, name: &str, bytes: &[u8]) -> Result<()> {
        self.head(kind, name)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn head(&mut self, kind: ElementType, name: &str) -> Result<()> {
        // Refuses a name that ends before its end.
        let name: &CStr = name.try_into().map_err(|error| Error::invalid_value(format!("mongodb: {error}")))?;
        self.0.push(kind as u8);
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.push(0);
        Ok(())
    }
}

fn length(bytes: usize) -> Result<[u8; 4]> {
    let length = i32::try_from(bytes).map_err(|_| Error::invalid_value("mongodb cannot hold a value of 2 GiB"))?;
    Ok(length.to_le_bytes())
}
