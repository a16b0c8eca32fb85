//! Operands of comparisons against the contract: exact coercion or refusal.
//!
//! Invariant: an operand that passes can be equal to something that the field may hold, or is compared as mongod would.
//! Documents are compared in order, so a literal of a declared model is put into the declared order; nothing is filled in.
//! Not for: values that will be stored (`schema::check_element`).

use crate::error::{Error, Result};
use crate::schema::{Field, FieldType, Model, coerce_operand};
use crate::value::{Map, Value};

/// The operand of a comparison at a path whose end is `definition` (`None` where nothing is declared).
///
/// A list stands for itself and for its elements, so an operand that is no list is one element.
pub(super) fn operand(definition: Option<&Field>, through_list: bool, value: &Value) -> Result<Value> {
    refuse_operators(value)?;
    let Some(field) = definition else { return coerce_operand(&FieldType::Any, value.clone()) };
    match (&field.kind, value) {
        (FieldType::List(items), Value::List(_)) => match whole(field, value) {
            Err(error) => match &items.kind {
                FieldType::List(_) => operand(Some(items), true, value),
                _ => Err(error),
            },
            fits => fits,
        },
        (FieldType::List(_), Value::Null) => Ok(Value::Null),
        (FieldType::List(items), _) => operand(Some(items), true, value),
        // `maps.0` may be an element or the key "0" of the elements.
        (FieldType::Map(_), other) if through_list && other.as_map().is_none() => {
            coerce_operand(&FieldType::Any, other.clone())
        }
        _ => whole(field, value),
    }
}

/// A value that is compared as a whole with what the field holds.
pub(super) fn whole(field: &Field, value: &Value) -> Result<Value> {
    match (&field.kind, value) {
        (_, Value::Null) => Ok(Value::Null),
        (FieldType::List(items), Value::List(list)) => {
            let checked = list
                .iter()
                .enumerate()
                .map(|(index, item)| whole(items, item).map_err(|error| error.under(&index.to_string())));
            checked.collect::<Result<Vec<_>>>().map(Value::List)
        }
        (FieldType::Map(values), Value::Map(map)) => {
            let checked = map.iter().map(|(key, item)| {
                refuse_key(key)?;
                let item = whole(values, item).map_err(|error| error.under(key))?;
                Ok((key.clone(), item))
            });
            checked.collect::<Result<Map>>().map(Value::Map)
        }
        (FieldType::Model(model), Value::Map(map)) => ordered(model, map),
        (FieldType::List(_) | FieldType::Map(_) | FieldType::Model(_), other) => Err(mismatch(&field.kind, other)),
        (kind, other) => coerce_operand(kind, other.clone()),
    }
}

/// The given fields of a model in their declared order, then the others where the model keeps them.
fn ordered(model: &Model, map: &Map) -> Result<Value> {
    let mut sorted = Map::with_capacity(map.len());
    for field in &model.fields {
        if let Some(value) = map.get(&field.name) {
            sorted.insert(field.name.clone(), whole(field, value).map_err(|error| error.under(&field.name))?);
        }
    }
    for (key, value) in map.iter().filter(|(key, _)| model.field(key).is_none()) {
        if !model.extra {
            return Err(Error::unknown_field(format!("there is no field {key:?}"))
                .with("field", key.as_str())
                .under(key));
        }
        refuse_key(key)?;
        let value = coerce_operand(&FieldType::Any, value.clone()).map_err(|error| error.under(key))?;
        sorted.insert(key.clone(), value);
    }
    Ok(Value::Map(sorted))
}

fn mismatch(kind: &FieldType, value: &Value) -> Error {
    Error::invalid_value(format!("expected {}, got {}", kind.name(), value.type_name()))
        .with("expected", kind.name())
        .with("got", value.type_name())
}

/// A literal document has no operators inside.
fn refuse_operators(value: &Value) -> Result<()> {
    value.as_map().map_or(Ok(()), |map| map.keys().try_for_each(|key| refuse_key(key)))
}

fn refuse_key(key: &str) -> Result<()> {
    if key.starts_with('$') {
        let message = format!("{key} stands inside a literal document: operators and fields cannot be mixed");
        return Err(Error::invalid_query(message).with("operator", key));
    }
    Ok(())
}
