//! Values against the contract: exact coercion or refusal, then the constraints.
//!
//! Coercion never loses anything: an int becomes a float only where the float holds it exactly, text becomes a uuid,
//! object id, decimal or moment only where it is one. Text never becomes a number, a float never a decimal.

use std::cmp::Ordering;

use super::entity::Entity;
use super::field::{Auto, Constraints, Field, FieldType, Generated, Model};
use crate::error::{Error, Result};
use crate::value::{
    BigDecimal, DateTime, MAX_DIGITS, Map, ObjectId, Uuid, Value, canonical_equal, canonical_order, parse_decimal,
    tagged,
};

/// One row on its way in: a value a field of the entity, in the order of the fields; `None` where the host gave none.
pub type Record = Vec<Option<Value>>;

impl Entity {
    /// A record from a map of fields; `unknown_field` for anything else.
    pub fn record(&self, map: Map) -> Result<Record> {
        let mut record: Record = vec![None; self.fields.len()];
        for (name, value) in map {
            let position = self.position(&name).map_err(|error| error.with("path", name.as_str()))?;
            record[position] = Some(value);
        }
        Ok(record)
    }

    /// A row to insert: defaults and automatic fields filled in, everything checked. An auto-increment key that is
    /// absent or null stays null.
    pub fn check_insert(&self, record: Record, now: DateTime) -> Result<Vec<Value>> {
        let mut row = Vec::with_capacity(self.fields.len());
        for (position, value) in record.into_iter().enumerate() {
            row.push(self.check_new(position, value, now)?);
        }
        self.fill_search(&mut row);
        Ok(row)
    }

    /// The value of one field of such a row; null for the search field, whose words are made of the whole row.
    pub(crate) fn check_new(&self, position: usize, value: Option<Value>, now: DateTime) -> Result<Value> {
        let field = &self.fields[position];
        let value = match value {
            Some(Value::Null) if field.generated.is_some() => None,
            Some(_) if field.auto == Some(Auto::Search) => None,
            Some(Value::Null) if field.auto == Some(Auto::Created) || field.auto == Some(Auto::Updated) => None,
            other => other,
        };
        self.complete(field, value, now)
    }

    fn complete(&self, field: &Field, value: Option<Value>, now: DateTime) -> Result<Value> {
        if let Some(value) = value {
            return self.check_field(field, value);
        }
        match (field.generated, field.auto) {
            (Some(Generated::AutoIncrement), _) => return Ok(Value::Null),
            (Some(Generated::Uuid), _) if matches!(field.kind, FieldType::Uuid) => return Ok(Uuid::new_v4().into()),
            (Some(Generated::Uuid), _) => return Ok(Uuid::new_v4().to_string().into()),
            (Some(Generated::ObjectId), _) if matches!(field.kind, FieldType::ObjectId) => {
                return Ok(ObjectId::generate().into());
            }
            (Some(Generated::ObjectId), _) => return Ok(ObjectId::generate().to_string().into()),
            (_, Some(Auto::Created | Auto::Updated)) => return Ok(now.into()),
            (_, Some(Auto::Version)) => return Ok(field.default.clone().unwrap_or(Value::Int(1))),
            (_, Some(Auto::DeletedFlag)) => return Ok(Value::Bool(false)),
            _ => {}
        }
        absent(field).map_err(|error| error.with("entity", self.name.as_str()))
    }

    /// One value for one field of this entity.
    pub fn check_field(&self, field: &Field, value: Value) -> Result<Value> {
        if fits(field, &value) {
            return Ok(value);
        }
        check_element(field, value).map_err(|error| {
            error.under(&field.name).with("field", field.name.as_str()).with("entity", self.name.as_str())
        })
    }
}

/// Whether a value can be seen to be what the field holds; nearly all are, and need not be moved about for that.
fn fits(field: &Field, value: &Value) -> bool {
    field.constraints.is_empty()
        && match (&field.kind, value) {
            (FieldType::List(items), Value::List(list)) => list.iter().all(|item| fits(items, item)),
            // Neither NaN nor the zero with a sign.
            (FieldType::Float, Value::Float(number)) => *number < 0.0 || number.is_sign_positive() && !number.is_nan(),
            (kind, value) => is_exact(kind, value),
        }
}

/// Whether a scalar is one that the type holds as it is.
pub(crate) fn is_exact(kind: &FieldType, value: &Value) -> bool {
    match (kind, value) {
        (FieldType::Text, Value::Text(text)) => check_text(text).is_ok(),
        (FieldType::Int, Value::Int(_))
        | (FieldType::Bytes, Value::Bytes(_))
        | (FieldType::Bool, Value::Bool(_))
        | (FieldType::Uuid, Value::Uuid(_))
        | (FieldType::ObjectId, Value::ObjectId(_))
        | (FieldType::DateTime, Value::DateTime(_))
        | (FieldType::Date, Value::Date(_))
        | (FieldType::Time, Value::Time(_)) => true,
        _ => false,
    }
}

impl Field {
    /// Whether a text may stand in this field, which has no rules but those of text.
    pub(crate) fn allows_text(&self, text: &str) -> bool {
        check_text(text).is_ok() && (self.constraints.is_empty() || check_text_rules(&self.constraints, text).is_ok())
    }
}

/// Whether values of this type can be tagged JSON that needs no look at any rule: nothing in it is checked, filled in or
/// written otherwise than by its type.
pub fn has_exact_json(kind: &FieldType) -> bool {
    match kind {
        FieldType::Any | FieldType::Text | FieldType::Int | FieldType::Float | FieldType::Bool => true,
        FieldType::List(inner) | FieldType::Map(inner) => inner.constraints.is_empty() && has_exact_json(&inner.kind),
        _ => false,
    }
}

/// What an absent value of a declared field becomes.
fn absent(field: &Field) -> Result<Value> {
    match &field.default {
        Some(default) => Ok(default.clone()),
        None if field.nullable => Ok(Value::Null),
        None => Err(Error::invalid_value(format!("field {:?} is missing and has no default", field.name))
            .with("field", field.name.as_str())
            .under(&field.name)),
    }
}

/// Checks a value against a definition, nested values included; paths in errors start below the definition.
pub fn check_element(field: &Field, value: Value) -> Result<Value> {
    if value.is_null() {
        return if field.nullable || matches!(field.kind, FieldType::Any) {
            Ok(Value::Null)
        } else {
            Err(mismatch(&field.kind, &value))
        };
    }
    let value = coerce(&field.kind, value)?;
    if !field.constraints.is_empty() {
        check_constraints(&field.constraints, &value)?;
    }
    Ok(value)
}

fn mismatch(kind: &FieldType, value: &Value) -> Error {
    let mut shown: String = tagged::to_string(value);
    if shown.chars().count() > 60 {
        shown = shown.chars().take(60).collect::<String>() + "...";
    }
    let message = match value {
        Value::Null => format!("expected {}, got null", kind.name()),
        _ => format!("expected {}, got {} {shown}", kind.name(), value.type_name()),
    };
    Error::invalid_value(message).with("expected", kind.name()).with("got", value.type_name())
}

/// A value as the type wants it, or a refusal.
fn coerce(kind: &FieldType, value: Value) -> Result<Value> {
    match kind {
        FieldType::List(items) => match value {
            Value::List(list) => check_list(items, list),
            other => Err(mismatch(kind, &other)),
        },
        FieldType::Map(values) => match value {
            Value::Map(map) => check_map(values, map),
            other => Err(mismatch(kind, &other)),
        },
        FieldType::Model(model) => match value {
            Value::Map(map) => check_model(model, map),
            other => Err(mismatch(kind, &other)),
        },
        FieldType::Any => check_free(&value, 0).map(|()| value),
        _ => coerce_scalar(kind, value),
    }
}

/// The operand of a comparison with a field of this type. Beside what a field may hold, numbers of another type are
/// allowed where the comparison stays exact.
pub fn coerce_operand(kind: &FieldType, value: Value) -> Result<Value> {
    match (kind, &value) {
        (_, Value::Null) => Ok(value),
        (FieldType::Int, Value::Float(_) | Value::Decimal(_))
        | (FieldType::Float, Value::Int(_) | Value::Decimal(_)) => check_free(&value, 0).map(|()| value),
        (FieldType::Decimal, Value::Float(_)) => check_free(&value, 0).map(|()| value),
        (FieldType::Any | FieldType::Map(_) | FieldType::Model(_) | FieldType::List(_), _) => {
            check_free(&value, 0).map(|()| value)
        }
        _ => coerce_scalar(kind, value),
    }
}

/// A scalar as the type holds it, or a refusal.
pub(super) fn coerce_scalar(kind: &FieldType, value: Value) -> Result<Value> {
    if is_exact(kind, &value) {
        return Ok(value);
    }
    match (kind, value) {
        (FieldType::Text, Value::Text(text)) => check_text(&text).map(|()| Value::Text(text)),
        // Zero has one sign in declared fields: not every database keeps the other.
        (FieldType::Float, Value::Float(number)) => {
            check_free(&Value::Float(number), 0).map(|()| Value::Float(number + 0.0))
        }
        (FieldType::Decimal, Value::Decimal(number)) => check_digits(number),
        (FieldType::Float, Value::Int(number)) if (number as f64) as i128 == i128::from(number) => {
            Ok(Value::Float(number as f64))
        }
        (FieldType::Int, Value::Float(number)) if number.fract() == 0.0 && number.abs() < 9.0e15 => {
            Ok(Value::Int(number as i64))
        }
        (FieldType::Decimal, Value::Int(number)) => Ok(Value::Decimal(BigDecimal::from(number))),
        (_, Value::Text(text)) => coerce_text(kind, text),
        (_, other) => Err(mismatch(kind, &other)),
    }
}

fn coerce_text(kind: &FieldType, text: String) -> Result<Value> {
    let read = match kind {
        FieldType::Uuid => text.parse().ok().map(Value::Uuid),
        FieldType::ObjectId => text.parse().ok().map(Value::ObjectId),
        FieldType::DateTime => text.parse().ok().map(Value::DateTime),
        FieldType::Date => text.parse().ok().map(Value::Date),
        FieldType::Time => text.parse().ok().map(Value::Time),
        FieldType::Decimal => parse_decimal(&text).ok().map(Value::Decimal),
        _ => None,
    };
    read.ok_or_else(|| mismatch(kind, &Value::Text(text)))
}

fn check_digits(number: BigDecimal) -> Result<Value> {
    if number.digits() > MAX_DIGITS || number.fractional_digit_count().abs() > 6144 {
        return Err(Error::invalid_value(format!("a decimal holds up to {MAX_DIGITS} significant digits")));
    }
    Ok(Value::Decimal(number))
}

fn check_text(text: &str) -> Result<()> {
    if text.as_bytes().contains(&0) {
        return Err(Error::invalid_value("text may not contain the character NUL"));
    }
    Ok(())
}

/// What holds for any value, declared or not: no NUL in text, no NaN, keys that are no operators, bounded depth.
fn check_free(value: &Value, depth: usize) -> Result<()> {
    if depth > tagged::MAX_DEPTH {
        return Err(Error::invalid_value(format!("a value is nested deeper than {} levels", tagged::MAX_DEPTH)));
    }
    match value {
        Value::Text(text) => check_text(text),
        Value::Float(number) if number.is_nan() => {
            Err(Error::invalid_value("NaN is not a value that a database can compare"))
        }
        Value::List(list) => list
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check_free(item, depth + 1).map_err(|error| error.under(&index.to_string()))),
        Value::Map(map) => map.iter().try_for_each(|(key, item)| {
            check_key_text(key)?;
            check_free(item, depth + 1).map_err(|error| error.under(key))
        }),
        _ => Ok(()),
    }
}

/// Keys inside documents: paths and tags must stay unambiguous.
fn check_key_text(key: &str) -> Result<()> {
    if key.is_empty() || key.starts_with('$') || key.contains(['.', '\0']) {
        return Err(Error::invalid_value(format!(
            "the key {key:?} cannot be stored: keys are not empty, do not start with $ and have no dot or NUL"
        )));
    }
    Ok(())
}

fn check_list(items: &Field, mut list: Vec<Value>) -> Result<Value> {
    for (index, item) in list.iter_mut().enumerate() {
        let checked = check_element(items, std::mem::take(item));
        *item = checked.map_err(|error| error.under(&index.to_string()))?;
    }
    Ok(Value::List(list))
}

fn check_map(values: &Field, mut map: Map) -> Result<Value> {
    for (key, item) in &mut map {
        check_key_text(key)?;
        *item = check_element(values, std::mem::take(item)).map_err(|error| error.under(key))?;
    }
    Ok(Value::Map(map))
}

/// Declared fields in their declared order, absent ones filled in; then, where allowed, the others.
fn check_model(model: &Model, mut map: Map) -> Result<Value> {
    let mut checked = Map::with_capacity(model.fields.len());
    for field in &model.fields {
        let value = match map.shift_remove(&field.name) {
            Some(value) => check_element(field, value).map_err(|error| error.under(&field.name))?,
            None => absent(field)?,
        };
        checked.insert(field.name.clone(), value);
    }
    for (key, value) in map {
        if !model.extra {
            return Err(Error::unknown_field(format!("there is no field {key:?}"))
                .with("field", key.as_str())
                .under(&key));
        }
        check_key_text(&key)?;
        check_free(&value, 1).map_err(|error| error.under(&key))?;
        checked.insert(key, value);
    }
    Ok(Value::Map(checked))
}

fn check_constraints(constraints: &Constraints, value: &Value) -> Result<()> {
    match value {
        Value::Text(text) => check_text_rules(constraints, text)?,
        value => check_size(constraints, value)?,
    }
    if let Some(allowed) = &constraints.allowed
        && !allowed.iter().any(|one| canonical_equal(one, value))
    {
        let known: Vec<_> = allowed.iter().map(tagged::to_string).collect();
        return Err(Error::invalid_value(format!("expected one of {}", known.join(", "))).with("rule", "enum"));
    }
    check_bounds(constraints, value)?;
    check_decimal_shape(constraints, value)
}

fn check_text_rules(constraints: &Constraints, text: &str) -> Result<()> {
    if constraints.min_length.is_some() || constraints.max_length.is_some() {
        check_length(constraints, text.chars().count() as u64, "characters")?;
    }
    if let Some(pattern) = &constraints.pattern
        && !pattern.regex.is_match(text)
    {
        return Err(Error::invalid_value(format!("text does not match the pattern {:?}", pattern.source))
            .with("rule", "pattern"));
    }
    Ok(())
}

fn check_size(constraints: &Constraints, value: &Value) -> Result<()> {
    let (length, unit) = match value {
        Value::Bytes(bytes) => (bytes.len() as u64, "bytes"),
        Value::List(list) => (list.len() as u64, "elements"),
        Value::Map(map) => (map.len() as u64, "entries"),
        _ => return Ok(()),
    };
    check_length(constraints, length, unit)
}

fn check_length(constraints: &Constraints, length: u64, unit: &str) -> Result<()> {
    if let Some(least) = constraints.min_length.filter(|least| length < *least) {
        return Err(
            Error::invalid_value(format!("expected at least {least} {unit}, got {length}")).with("rule", "min_length")
        );
    }
    if let Some(most) = constraints.max_length.filter(|most| length > *most) {
        return Err(
            Error::invalid_value(format!("expected at most {most} {unit}, got {length}")).with("rule", "max_length")
        );
    }
    Ok(())
}

fn check_bounds(constraints: &Constraints, value: &Value) -> Result<()> {
    let bounds: [(&str, &Option<Value>, &str, &[Ordering]); 4] = [
        ("ge", &constraints.ge, "at least", &[Ordering::Greater, Ordering::Equal]),
        ("gt", &constraints.gt, "more than", &[Ordering::Greater]),
        ("le", &constraints.le, "at most", &[Ordering::Less, Ordering::Equal]),
        ("lt", &constraints.lt, "less than", &[Ordering::Less]),
    ];
    for (rule, bound, words, fits) in bounds {
        if let Some(bound) = bound
            && !fits.contains(&canonical_order(value, bound))
        {
            let message = format!("expected {words} {}, got {}", tagged::to_string(bound), tagged::to_string(value));
            return Err(Error::invalid_value(message).with("rule", rule));
        }
    }
    let Some(step) = &constraints.multiple_of else { return Ok(()) };
    let is_multiple = match (value, step) {
        (Value::Int(number), Value::Int(step)) => *step != 0 && number % step == 0,
        _ => match (exact(value), exact(step)) {
            (Some(number), Some(step)) if step != 0 => (number % step) == 0,
            _ => false,
        },
    };
    if is_multiple {
        return Ok(());
    }
    Err(Error::invalid_value(format!("expected a multiple of {}", tagged::to_string(step))).with("rule", "multiple_of"))
}

/// A number as people write it (a float by its shortest text), for `multiple_of`.
fn exact(value: &Value) -> Option<BigDecimal> {
    match value {
        Value::Int(number) => Some(BigDecimal::from(*number)),
        Value::Decimal(number) => Some(number.clone()),
        Value::Float(number) if number.is_finite() => zmij::Buffer::new().format_finite(*number).parse().ok(),
        _ => None,
    }
}

fn check_decimal_shape(constraints: &Constraints, value: &Value) -> Result<()> {
    let Value::Decimal(number) = value else { return Ok(()) };
    if let Some(places) = constraints.decimal_places
        && number.normalized().fractional_digit_count() > places as i64
    {
        let message = format!("expected at most {places} digits behind the point, got {number}");
        return Err(Error::invalid_value(message).with("rule", "decimal_places"));
    }
    if let Some(digits) = constraints.max_digits
        && number.normalized().digits() > digits
    {
        let message = format!("expected at most {digits} digits, got {number}");
        return Err(Error::invalid_value(message).with("rule", "max_digits"));
    }
    Ok(())
}
