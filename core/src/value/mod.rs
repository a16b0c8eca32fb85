//! [`Value`]: what a cell, a document or a parameter can be, in every language and on every database.
//!
//! Invariant: a value is exact. Nothing here rounds, guesses a type or changes a time zone silently; what cannot be held
//! is refused with [`crate::error::Kind::InvalidValue`]. Not for: rows on the read path, which cross as
//! [`crate::backend::Cell`]s without becoming values.

pub mod datetime;
mod decimal;
mod object_id;
mod order;
pub mod tagged;

pub use bigdecimal::BigDecimal;
pub use datetime::{Date, DateTime, Time};
pub use decimal::{MAX_DIGITS, format_decimal, parse_decimal};
pub use object_id::ObjectId;
pub use order::{canonical_equal, canonical_order, type_rank};
pub use uuid::Uuid;

/// An ordered map from text to value: a document.
pub type Map = indexmap::IndexMap<String, Value>;

/// Any value. `PartialEq` is structural (an int never equals a float); for the query language's equality see
/// [`canonical_equal`].
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Null.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A 64-bit IEEE 754 number.
    Float(f64),
    /// A decimal number of up to 34 significant digits; the scale is kept (`1.10` stays `1.10`).
    Decimal(BigDecimal),
    /// Unicode text without NUL.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID.
    Uuid(Uuid),
    /// A MongoDB object id: 12 bytes.
    ObjectId(ObjectId),
    /// A moment in UTC, with microseconds.
    DateTime(DateTime),
    /// A calendar day.
    Date(Date),
    /// A time of day, with microseconds.
    Time(Time),
    /// A list.
    List(Vec<Value>),
    /// A map with text keys, in the order of insertion.
    Map(Map),
}

impl Value {
    /// The name of the value's type, as the contract spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Decimal(_) => "decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "uuid",
            Self::ObjectId(_) => "object_id",
            Self::DateTime(_) => "datetime",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text inside, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The map inside, if this is a map.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list inside, if this is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The integer inside, if this is an int.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value inside, if this is a bool.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident),* $(,)?) => {
        $(impl From<$source> for Value { fn from(value: $source) -> Self { Self::$variant(value.into()) } })*
    };
}

from! {
    bool => Bool, i64 => Int, i32 => Int, u32 => Int, f64 => Float, BigDecimal => Decimal, &str => Text, String => Text,
    Uuid => Uuid, ObjectId => ObjectId, DateTime => DateTime, Date => Date, Time => Time, Vec<u8> => Bytes,
    Vec<Value> => List, Map => Map,
}

impl From<usize> for Value {
    /// Counts; saturates at the largest int.
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A document written in place: `document! { "name" => "x", "rating" => 4.5 }`.
#[macro_export]
macro_rules! document {
    ($($key:expr => $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "an empty document is not changed")]
        let mut map = $crate::value::Map::new();
        $(map.insert(($key).to_string(), $crate::value::Value::from($value));)*
        map
    }};
}
