//! Values as BSON, both ways. Days and times of day are text of fixed width, moments have milliseconds, floats have one
//! zero.

use mongodb::bson::raw::RawBsonRef;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{self, Binary, Bson, Decimal128, Document, oid};

use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::value::{DateTime, Map, ObjectId, Uuid, Value, format_decimal, parse_decimal};

/// Microseconds of a millisecond.
const MILLISECOND: i64 = 1000;

/// The moment in the precision of BSON: the millisecond that it lies in.
pub(super) fn in_milliseconds(moment: DateTime) -> DateTime {
    let micros = moment.micros();
    DateTime::from_micros(micros - micros.rem_euclid(MILLISECOND)).unwrap_or(moment)
}

/// Whether BSON has the moment exactly.
pub(super) fn is_in_milliseconds(moment: DateTime) -> bool {
    moment.micros().rem_euclid(MILLISECOND) == 0
}

/// The value as it will come back from a place of this type (`None`: a place that the contract leaves free).
pub(super) fn stored(kind: Option<&FieldType>, value: Value) -> Result<Value> {
    Ok(match (kind, value) {
        (_, Value::DateTime(moment)) => Value::DateTime(in_milliseconds(moment)),
        (None | Some(FieldType::Any), value @ (Value::Date(_) | Value::Time(_))) => {
            let name = value.type_name();
            return Err(Error::invalid_value(format!(
                "mongodb has no {name} of its own, so it would come back as text: declare the field, or give text"
            )));
        }
        (kind, Value::List(mut list)) => {
            let inner = if let Some(FieldType::List(items)) = kind { Some(&items.kind) } else { None };
            for item in &mut list {
                *item = stored(inner, std::mem::take(item))?;
            }
            Value::List(list)
        }
        (kind, Value::Map(mut map)) => {
            let inner = |name: &str| match kind {
                Some(FieldType::Map(values)) => Some(&values.kind),
                Some(FieldType::Model(model)) => model.field(name).map(|field| &field.kind),
                _ => None,
            };
            for (name, value) in &mut map {
                *value = stored(inner(name), std::mem::take(value)).map_err(|error| error.under(name))?;
            }
            Value::Map(map)
        }
        (_, value) => value,
    })
}

/// A value as BSON; of a column's own float the sign of zero is given up by [`column`].
pub(super) fn encode(value: &Value) -> Result<Bson> {
    Ok(match value {
        Value::Null => Bson::Null,
        Value::Bool(truth) => Bson::Boolean(*truth),
        Value::Int(number) => Bson::Int64(*number),
        Value::Float(number) => Bson::Double(*number),
        Value::Decimal(number) => Bson::Decimal128(decimal128(&format_decimal(number))?),
        Value::Text(text) => Bson::String(text.clone()),
        Value::Bytes(bytes) => Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.clone() }),
        Value::Uuid(uuid) => Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: uuid.as_bytes().to_vec() }),
        Value::ObjectId(id) => Bson::ObjectId(oid::ObjectId::from_bytes(id.0)),
        Value::DateTime(moment) => Bson::DateTime(milliseconds(*moment)),
        Value::Date(date) => Bson::String(date.to_string()),
        Value::Time(time) => Bson::String(time.to_string()),
        Value::List(list) => Bson::Array(list.iter().map(encode).collect::<Result<_>>()?),
        Value::Map(map) => Bson::Document(document(map)?),
    })
}

/// A decimal of BSON.
pub(super) fn decimal128(text: &str) -> Result<Decimal128> {
    text.parse().map_err(|_| Error::invalid_value(format!("mongodb cannot hold the decimal {text}")))
}

/// A moment of BSON.
pub(super) fn milliseconds(moment: DateTime) -> bson::DateTime {
    bson::DateTime::from_millis(moment.micros().div_euclid(MILLISECOND))
}

/// A map as a document.
pub(super) fn document(map: &Map) -> Result<Document> {
    map.iter().map(|(name, value)| Ok((name.clone(), encode(value)?))).collect()
}

/// A value of a column, whose zero has one sign, as everywhere.
pub(super) fn column(value: &Value) -> Result<Bson> {
    match value {
        Value::Float(number) => Ok(Bson::Double(*number + 0.0)),
        value => encode(value),
    }
}

/// A value at a place of this type; `None` where it does not belong there.
pub(super) fn decode(kind: Option<&FieldType>, value: RawBsonRef<'_>) -> Option<Value> {
    Some(match (kind, value) {
        (_, RawBsonRef::Null | RawBsonRef::Undefined) => Value::Null,
        (Some(FieldType::Int), value) => Value::Int(whole(value)?),
        (Some(FieldType::Float), value) => Value::Float(float(value)?),
        (Some(FieldType::Decimal), value) => Value::Decimal(parse_decimal(&decimal(value)?).ok()?),
        (Some(FieldType::Date), RawBsonRef::String(text)) => Value::Date(text.parse().ok()?),
        (Some(FieldType::Time), RawBsonRef::String(text)) => Value::Time(text.parse().ok()?),
        (Some(FieldType::List(items)), RawBsonRef::Array(list)) => {
            Value::List(list.into_iter().map(|item| decode(Some(&items.kind), item.ok()?)).collect::<Option<_>>()?)
        }
        (kind, RawBsonRef::Document(map)) => {
            let mut found = Map::new();
            for entry in map {
                let (name, value) = entry.ok()?;
                let inner = match kind {
                    Some(FieldType::Map(values)) => Some(&values.kind),
                    Some(FieldType::Model(model)) => match model.field(name.as_str()) {
                        Some(field) => Some(&field.kind),
                        // What the model does not know is kept only where it says so.
                        None if !model.extra => continue,
                        None => None,
                    },
                    _ => None,
                };
                found.insert(name.as_str().to_owned(), decode(inner, value)?);
            }
            Value::Map(found)
        }
        (None | Some(FieldType::Any), value) => free(value)?,
        (Some(kind), value) => free(value).filter(|value| value.type_name() == kind.name())?,
    })
}

/// A value as its own type says.
pub(super) fn free(value: RawBsonRef<'_>) -> Option<Value> {
    Some(match value {
        RawBsonRef::Null | RawBsonRef::Undefined => Value::Null,
        RawBsonRef::Boolean(truth) => Value::Bool(truth),
        RawBsonRef::Int32(number) => Value::Int(i64::from(number)),
        RawBsonRef::Int64(number) => Value::Int(number),
        RawBsonRef::Double(number) => Value::Float(number),
        RawBsonRef::Decimal128(_) => Value::Decimal(parse_decimal(&decimal(value)?).ok()?),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => Value::Text(text.to_owned()),
        RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
            Value::Uuid(Uuid::from_slice(binary.bytes).ok()?)
        }
        RawBsonRef::Binary(binary) => Value::Bytes(binary.bytes.to_vec()),
        RawBsonRef::ObjectId(id) => Value::ObjectId(ObjectId(id.bytes())),
        RawBsonRef::DateTime(moment) => Value::DateTime(date_time(moment)?),
        RawBsonRef::Array(list) => Value::List(list.into_iter().map(|item| free(item.ok()?)).collect::<Option<_>>()?),
        RawBsonRef::Document(map) => {
            let entry = |entry: bson::error::Result<(&bson::raw::CStr, RawBsonRef<'_>)>| {
                let (name, value) = entry.ok()?;
                Some((name.as_str().to_owned(), free(value)?))
            };
            Value::Map(map.into_iter().map(entry).collect::<Option<_>>()?)
        }
        RawBsonRef::Timestamp(moment) => {
            Value::DateTime(DateTime::from_micros(i64::from(moment.time) * 1_000_000).ok()?)
        }
        _ => return None,
    })
}

/// A moment.
pub(super) fn date_time(moment: bson::DateTime) -> Option<DateTime> {
    DateTime::from_micros(moment.timestamp_millis().checked_mul(MILLISECOND)?).ok()
}

/// A whole number, whichever type of number holds it.
pub(super) fn whole(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(i64::from(number)),
        RawBsonRef::Int64(number) => Some(number),
        // 2^63 is the first float beyond.
        RawBsonRef::Double(number) if number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0 => {
            Some(number as i64)
        }
        _ => None,
    }
}

/// A float, or an integer that a float holds exactly.
pub(super) fn float(value: RawBsonRef<'_>) -> Option<f64> {
    match value {
        RawBsonRef::Double(number) => Some(number),
        RawBsonRef::Int32(number) => Some(f64::from(number)),
        RawBsonRef::Int64(number) => Some(number as f64).filter(|float| *float as i128 == i128::from(number)),
        _ => None,
    }
}

/// The text of a decimal as the core writes it; an integer is one too.
pub(super) fn decimal(value: RawBsonRef<'_>) -> Option<String> {
    let text = match value {
        RawBsonRef::Decimal128(number) => number.to_string(),
        RawBsonRef::Int32(number) => number.to_string(),
        RawBsonRef::Int64(number) => number.to_string(),
        _ => return None,
    };
    Some(format_decimal(&parse_decimal(&text).ok()?))
}
