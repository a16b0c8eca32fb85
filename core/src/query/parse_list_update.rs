//! The update operators on lists: `$push $addToSet $pull $pullAll $pop`.
//!
//! Invariant: elements that come in fit the list's item definition; elements to be taken out are compared as mongod
//! compares them. Not for: any other operator (`parse_update`). Source: MongoDB manual, "Array Update Operators".

use super::operand::whole;
use super::operators as names;
use super::parse_test::{self, Target, whole_number};
use super::parse_update::malformed;
use super::sort::{Sort, SortField, direction};
use super::update::{Assignment, Push};
use crate::error::{Error, Result};
use crate::schema::{self, Field, FieldType, Path, check_element};
use crate::value::{Map, Value};

pub(super) fn parse(path: &Path, operator: &str, value: &Value) -> Result<Assignment> {
    let free = Field::new("", FieldType::Any);
    let list = Target { definition: path.target.field.as_ref(), through_list: true };
    let items = list.elements(operator)?.unwrap_or(&free);
    match operator {
        "$push" => parse_push(items, value).map(Assignment::Push),
        "$addToSet" => parse_add(items, value).map(Assignment::AddToSet),
        "$pull" => parse_pull(items, value),
        "$pullAll" => {
            let values = value.as_list().ok_or_else(|| malformed("$pullAll", "a list"))?;
            values.iter().map(|value| literal(items, value)).collect::<Result<_>>().map(Assignment::PullAll)
        }
        "$pop" => match whole_number(value) {
            Some(1) => Ok(Assignment::Pop { first: false }),
            Some(-1) => Ok(Assignment::Pop { first: true }),
            _ => Err(malformed("$pop", "1 for the last element or -1 for the first")),
        },
        _ => Err(names::refuse(operator, names::UPDATES)),
    }
}

/// The elements of `$each`, or none where the operand has no `$each`.
fn each<'v>(operator: &str, value: &'v Value) -> Result<Option<&'v [Value]>> {
    match value {
        Value::Map(map) if parse_test::is_operators(map) || map.contains_key("$each") => {
            let list = map.get("$each").and_then(Value::as_list);
            list.map(Some).ok_or_else(|| malformed(operator, "a list under $each beside its modifiers"))
        }
        _ => Ok(None),
    }
}

fn stored(items: &Field, values: &[Value]) -> Result<Vec<Value>> {
    let checked = values
        .iter()
        .enumerate()
        .map(|(index, value)| check_element(items, value.clone()).map_err(|error| error.with("index", index)));
    checked.collect()
}

fn parse_push(items: &Field, value: &Value) -> Result<Push> {
    let (Some(values), Value::Map(map)) = (each("$push", value)?, value) else {
        let values = vec![check_element(items, value.clone())?];
        return Ok(Push { values, position: None, slice: None, sort: None });
    };
    let mut push = Push { values: stored(items, values)?, position: None, slice: None, sort: None };
    for (modifier, value) in map {
        let number = || whole_number(value).map(Some).ok_or_else(|| malformed(modifier, "a whole number"));
        match modifier.as_str() {
            "$each" => {}
            "$position" => push.position = number()?,
            "$slice" => push.slice = number()?,
            "$sort" => push.sort = Some(parse_sort(items, value)?),
            other => return Err(names::refuse(other, &["$each", "$position", "$slice", "$sort"])),
        }
    }
    Ok(push)
}

/// `1` and `-1` sort the elements themselves, which is an empty path; a document sorts by fields of them.
fn parse_sort(items: &Field, value: &Value) -> Result<Sort> {
    let wrong = || malformed("$sort", "1, -1 or a document of fields with 1 or -1");
    let fields = match value {
        Value::Map(map) if !map.is_empty() => {
            let fields = map.iter().map(|(text, order)| {
                let path = Path::resolve_in(items, text)?;
                Ok(SortField { path, descending: direction(order).map_err(|_| wrong())? })
            });
            fields.collect::<Result<Vec<_>>>()?
        }
        order => {
            let target = schema::Target { field: Some(items.clone()), through_list: false };
            let path = Path { text: String::new(), column: 0, legs: Vec::new(), target };
            vec![SortField { path, descending: direction(order).map_err(|_| wrong())? }]
        }
    };
    Ok(Sort { fields, ranked: false })
}

fn parse_add(items: &Field, value: &Value) -> Result<Vec<Value>> {
    match (each("$addToSet", value)?, value) {
        (Some(values), Value::Map(map)) => match map.keys().find(|key| *key != "$each") {
            Some(other) => Err(names::refuse(other, &["$each"])),
            None => stored(items, values),
        },
        _ => Ok(vec![check_element(items, value.clone())?]),
    }
}

/// `$pull` takes operators on the element, a filter of element documents, or a value that elements are equal to.
fn parse_pull(items: &Field, value: &Value) -> Result<Assignment> {
    let Value::Map(map) = value else { return Ok(Assignment::PullAll(vec![literal(items, value)?])) };
    match map.get_index(0).map(|(first, _)| first.as_str()) {
        // mongod knows no `$not` here, and neither do we.
        Some("$not") => Err(Error::unsupported("$not directly under $pull is not supported").with("operator", "$not")),
        Some(first) if first.starts_with('$') && !matches!(first, "$and" | "$or" | "$nor") => {
            let target = Target { definition: Some(items), through_list: true };
            Ok(Assignment::PullTests(vec![parse_test::operators(target, map, 0)?]))
        }
        _ => pull_filter(items, map),
    }
}

fn pull_filter(items: &Field, map: &Map) -> Result<Assignment> {
    parse_test::parse_element_filter(items, map, 0).map(|filter| Assignment::PullFilter(Box::new(filter)))
}

/// A value that whole elements are compared with.
fn literal(items: &Field, value: &Value) -> Result<Value> {
    whole(items, value)
}
