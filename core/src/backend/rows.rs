//! Rows on their way out: owned by the result, read cell by cell, never turned into values unless someone asks.

use crate::error::Result;
use crate::value::{Date, DateTime, ObjectId, Time, Uuid, Value, parse_decimal, tagged};

/// One cell, borrowed from its rows.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// Null.
    Null,
    /// Bool.
    Bool(bool),
    /// Int.
    Int(i64),
    /// Float.
    Float(f64),
    /// Decimal, as its text.
    Decimal(&'a str),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// UUID.
    Uuid(Uuid),
    /// Object id.
    ObjectId(ObjectId),
    /// Moment.
    DateTime(DateTime),
    /// Day.
    Date(Date),
    /// Time of day.
    Time(Time),
    /// A list, map or free value as tagged JSON.
    Json(&'a str),
    /// A value that is in memory already.
    Value(&'a Value),
}

impl Cell<'_> {
    /// Whether it is null.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// The integer inside, if this is an int.
    pub fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The cell as a value.
    pub fn to_value(self) -> Result<Value> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Int(number) => Value::Int(number),
            Self::Float(number) => Value::Float(number),
            Self::Decimal(text) => Value::Decimal(parse_decimal(text)?),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Self::Uuid(uuid) => Value::Uuid(uuid),
            Self::ObjectId(id) => Value::ObjectId(id),
            Self::DateTime(moment) => Value::DateTime(moment),
            Self::Date(date) => Value::Date(date),
            Self::Time(time) => Value::Time(time),
            Self::Json(json) => tagged::read(json.as_bytes())?,
            Self::Value(value) => value.clone(),
        })
    }

    /// Appends the cell as tagged JSON.
    pub fn write_tagged(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => tagged::write_text(text, out),
            Self::Json(json) => out.extend_from_slice(json.as_bytes()),
            Self::Value(value) => tagged::write(value, out),
            Self::Decimal(text) => {
                out.extend_from_slice(b"{\"$numberDecimal\":\"");
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\"}");
            }
            Self::Bytes(bytes) => tagged::write(&Value::Bytes(bytes.to_vec()), out),
            Self::Null => tagged::write(&Value::Null, out),
            Self::Bool(truth) => tagged::write(&Value::Bool(truth), out),
            Self::Int(number) => tagged::write(&Value::Int(number), out),
            Self::Float(number) => tagged::write(&Value::Float(number), out),
            Self::Uuid(uuid) => tagged::write(&Value::Uuid(uuid), out),
            Self::ObjectId(id) => tagged::write(&Value::ObjectId(id), out),
            Self::DateTime(moment) => tagged::write(&Value::DateTime(moment), out),
            Self::Date(date) => tagged::write(&Value::Date(date), out),
            Self::Time(time) => tagged::write(&Value::Time(time), out),
        }
    }
}

/// The rows of one answer.
#[expect(clippy::len_without_is_empty, reason = "`dyn Rows` has it, so that no backend writes it")]
pub trait Rows: Send + Sync {
    /// How many rows.
    fn len(&self) -> usize;

    /// One cell; `backend_error` where the database holds something that the contract does not allow there.
    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>>;
}

impl dyn Rows {
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
