//! Updates from operator documents, checked against the contract.
//!
//! Invariant: an update that was parsed changes no key and no version, has no two paths of which one begins the other, and
//! holds only values that fit what is declared at its paths. Not for: doing it (`apply`), array filters (`array_filters`).
//! Source: MongoDB manual, "Update Operators".

use super::array_filters::{ArrayFilters, is_positional};
use super::filter::Filter;
use super::operators as names;
use super::parse_list_update as lists;
use super::positional::{Positional, has_positional};
use super::update::{Assignment, Update};
use crate::error::{Error, Result};
use crate::schema::{Entity, Field, FieldType, Path, check_element};
use crate::value::tagged::MAX_DEPTH;
use crate::value::{Map, Value};

impl Update {
    /// Reads `{"$inc": {"visits": 1}}`, or fields alone, which stand for `$set`.
    pub fn parse(document: &Map, entity: &Entity) -> Result<Self> {
        Self::parse_filtered(document, &[], entity)
    }

    /// The same with `array_filters`, one filter for each identifier of positional paths such as `parts.$[p].qty`.
    pub fn parse_filtered(document: &Map, array_filters: &[Value], entity: &Entity) -> Result<Self> {
        parse(document, array_filters, entity).map_err(|error| error.with("entity", entity.name.as_str()))
    }

    /// The same for the rows of a filter (an operator document), whose condition on a list tells the element that `$` means.
    pub fn parse_for(document: &Map, array_filters: &[Value], filter: &Map, entity: &Entity) -> Result<Self> {
        if !has_positional(document) {
            return Self::parse_filtered(document, array_filters, entity);
        }
        let positional = Positional::parse(document, array_filters, filter, entity)
            .map_err(|error| error.with("entity", entity.name.as_str()))?;
        let first = Self::parse_filtered(&Positional::at(document, 0)?, array_filters, entity)?;
        Ok(Self { positional: Some(Box::new(positional)), ..first })
    }
}

/// What paths are resolved against.
struct Scope<'a> {
    entity: &'a Entity,
    filters: ArrayFilters<'a>,
}

fn parse(document: &Map, array_filters: &[Value], entity: &Entity) -> Result<Update> {
    let mut update = Update::default();
    let mut scope = Scope { entity, filters: ArrayFilters::parse(array_filters)? };
    let has_operators = document.keys().any(|key| key.starts_with('$'));
    if has_operators {
        for (operator, fields) in document {
            if !operator.starts_with('$') {
                let message = format!("{operator:?} stands beside operators: an update is either fields or operators");
                return Err(Error::invalid_query(message).with("path", operator.as_str()));
            }
            if !names::UPDATES.contains(&operator.as_str()) {
                return Err(names::refuse(operator, names::UPDATES).with("path", operator.as_str()));
            }
            let fields = fields
                .as_map()
                .ok_or_else(|| malformed(operator, "a document of fields").with("path", operator.as_str()))?;
            parse_operator(&mut update, &mut scope, operator, fields)?;
        }
    } else {
        parse_operator(&mut update, &mut scope, "$set", document)?;
    }
    scope.filters.refuse_unused()?;
    Ok(update)
}

fn parse_operator(update: &mut Update, scope: &mut Scope<'_>, operator: &str, fields: &Map) -> Result<()> {
    for (text, value) in fields {
        let (path, chosen) = resolve(scope, text)?;
        let end = update.assignments.len();
        let assignment = if operator == "$rename" {
            let assignment = parse_rename(scope, &path, value).map_err(|error| error.under(text))?;
            if let Assignment::Rename(target) = &assignment {
                update.reach.insert(&target.text, Vec::new(), Some(end))?;
            }
            update.reach.insert(text, chosen, None)?;
            assignment
        } else {
            update.reach.insert(text, chosen, Some(end))?;
            parse_assignment(&path, operator, value).map_err(|error| error.under(text))?
        };
        update.assignments.push((path, assignment));
    }
    Ok(())
}

/// A path that an update may change, and a filter for each of its positional legs.
fn resolve(scope: &mut Scope<'_>, text: &str) -> Result<(Path, Vec<Filter>)> {
    let entity = scope.entity;
    if text.split('.').count() > MAX_DEPTH {
        return Err(Error::invalid_query(format!("a path has more than {MAX_DEPTH} legs")).with("path", text));
    }
    let (path, chosen) = scope.filters.resolve(entity, text)?;
    if entity.key.contains(&path.column) {
        return Err(Error::invalid_query("the primary key of a row cannot be changed").with("path", text));
    }
    if entity.automatic.version == Some(path.column) {
        return Err(
            Error::invalid_query("the version is counted by the database layer and cannot be set").with("path", text)
        );
    }
    let is_name = |leg: &str| is_positional(leg) || !(leg.starts_with('$') || leg.contains('\0'));
    if let Some(leg) = path.legs.iter().find(|leg| !is_name(leg)) {
        return Err(Error::invalid_query(format!("{leg:?} is no name of a field")).with("path", text));
    }
    Ok((path, chosen))
}

/// The error for an operand of the wrong shape.
pub(super) fn malformed(operator: &str, wanted: &str) -> Error {
    Error::invalid_query(format!("{operator} needs {wanted}")).with("operator", operator)
}

/// The error for an operator on a field that it does not fit.
fn unfit(operator: &str, wanted: &str, kind: &FieldType) -> Error {
    Error::invalid_query(format!("{operator} needs {wanted}, this is declared as {}", kind.name()))
        .with("operator", operator)
        .with("expected", wanted)
        .with("got", kind.name())
}

fn parse_assignment(path: &Path, operator: &str, value: &Value) -> Result<Assignment> {
    let free = Field::new("", FieldType::Any);
    let definition = path.target.field.as_ref().unwrap_or(&free);
    Ok(match operator {
        "$set" => Assignment::Set(check_element(definition, value.clone())?),
        "$unset" => parse_unset(path, definition)?,
        "$inc" => Assignment::Increment(parse_number(definition, operator, value)?),
        "$mul" => Assignment::Multiply(parse_number(definition, operator, value)?),
        "$min" => Assignment::Min(parse_bound(definition, value)?),
        "$max" => Assignment::Max(parse_bound(definition, value)?),
        "$currentDate" => parse_current_date(definition, value)?,
        _ => lists::parse(path, operator, value)?,
    })
}

/// A whole column cannot go away: it becomes its default, else null.
fn parse_unset(path: &Path, definition: &Field) -> Result<Assignment> {
    let fits = definition.nullable || definition.default.is_some() || matches!(definition.kind, FieldType::Any);
    if path.is_column() && !fits {
        return Err(Error::invalid_value("the field has no default and may not be null, so it cannot be unset"));
    }
    Ok(Assignment::Unset)
}

/// The operand of arithmetic, as exact as the field: an int takes ints, a decimal ints and decimals.
fn parse_number(definition: &Field, operator: &str, value: &Value) -> Result<Value> {
    let wrong = |wanted: &str| {
        Error::invalid_value(format!("{operator} needs {wanted} here, got {}", value.type_name()))
            .with("operator", operator)
            .with("expected", wanted)
            .with("got", value.type_name())
    };
    let is_float = matches!(value, Value::Float(_));
    match (&definition.kind, value) {
        (FieldType::Int | FieldType::Any, Value::Int(_)) | (FieldType::Any, Value::Decimal(_)) => Ok(value.clone()),
        (FieldType::Int, _) => Err(wrong("an int")),
        (FieldType::Float, Value::Int(_) | Value::Float(_))
        | (FieldType::Decimal, Value::Int(_) | Value::Decimal(_)) => {
            check_element(&Field::new("", definition.kind.clone()), value.clone())
        }
        (FieldType::Float, _) => Err(wrong("an int or a float")),
        (FieldType::Decimal, _) => Err(wrong("an int or a decimal")),
        (FieldType::Any, _) if is_float => check_element(&Field::new("", FieldType::Any), value.clone()),
        (FieldType::Any, _) => Err(wrong("a number")),
        (other, _) => Err(unfit(operator, "a number", other)),
    }
}

/// The operand of `$min` and `$max` has the type of the field; its constraints are checked where it is stored.
fn parse_bound(definition: &Field, value: &Value) -> Result<Value> {
    let unconstrained = Field { nullable: definition.nullable, ..Field::new("", definition.kind.clone()) };
    check_element(&unconstrained, value.clone())
}

fn parse_current_date(definition: &Field, value: &Value) -> Result<Assignment> {
    if !matches!(definition.kind, FieldType::DateTime | FieldType::Any) {
        return Err(unfit("$currentDate", "a datetime", &definition.kind));
    }
    match value {
        Value::Bool(_) => Ok(Assignment::CurrentDate),
        Value::Map(map) if map.len() == 1 => {
            match map.get("$type").and_then(Value::as_text) {
                Some("date") => Ok(Assignment::CurrentDate),
                Some("timestamp") => Err(Error::unsupported("$currentDate of type timestamp is not supported")
                    .with("operator", "$currentDate")),
                _ => Err(malformed("$currentDate", "true or {\"$type\": \"date\"}")),
            }
        }
        _ => Err(malformed("$currentDate", "true or {\"$type\": \"date\"}")),
    }
}

fn parse_rename(scope: &mut Scope<'_>, path: &Path, value: &Value) -> Result<Assignment> {
    let text = value.as_text().ok_or_else(|| malformed("$rename", "the new name as text"))?;
    let (target, _) = resolve(scope, text)?;
    if [path, &target].into_iter().any(|path| path.legs.iter().any(|leg| is_positional(leg))) {
        return Err(Error::invalid_query("$rename takes no positional path").with("operator", "$rename"));
    }
    let kind = |path: &Path| path.target.field.as_ref().map(|field| field.kind.name());
    if kind(path).is_some() && kind(&target).is_some() && kind(path) != kind(&target) {
        let message = format!("$rename needs a field of the same type, {text:?} is another one");
        return Err(Error::invalid_query(message).with("operator", "$rename"));
    }
    Ok(Assignment::Rename(target))
}
