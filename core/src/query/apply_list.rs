//! What updates do to lists.
//!
//! Invariant: what is no list is refused; a list that is missing is made by `$push` and `$addToSet` and left alone by the
//! others. Not for: finding the list (`edit`). Source: MongoDB manual, "Array Update Operators".

use std::cmp::Ordering;

use super::apply::no_list;
use super::filter::{Filter, Test};
use super::matcher::{element_matches, wrapped_holds};
use super::sort::{Sort, SortField};
use super::update::Push;
use crate::error::Result;
use crate::value::{Value, canonical_equal, canonical_order};

fn list_of(operator: &str, value: Option<Value>) -> Result<Vec<Value>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::List(list)) => Ok(list),
        Some(other) => Err(no_list(operator, &other)),
    }
}

/// `$push`: inserts, then sorts, then slices, in whatever order the modifiers were written.
pub(super) fn push(push: &Push, value: Option<Value>) -> Result<Value> {
    let mut list = list_of("$push", value)?;
    let at = match push.position {
        None => list.len(),
        Some(position) if position < 0 => list.len().saturating_sub(position.unsigned_abs() as usize),
        Some(position) => list.len().min(position as usize),
    };
    list.splice(at..at, push.values.iter().cloned());
    if let Some(sort) = &push.sort {
        list.sort_by(|left, right| order_elements(sort, left, right));
    }
    if let Some(slice) = push.slice {
        let kept = list.len().min(slice.unsigned_abs() as usize);
        if slice < 0 {
            list.drain(..list.len() - kept);
        } else {
            list.truncate(kept);
        }
    }
    Ok(Value::List(list))
}

/// The order of `$push.$sort`: unlike a query's it does not enter lists.
fn order_elements(sort: &Sort, left: &Value, right: &Value) -> Ordering {
    let orders = sort.fields.iter().map(|field| {
        let order = canonical_order(part(field, left), part(field, right));
        if field.descending { order.reverse() } else { order }
    });
    orders.into_iter().find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

/// The element, or what stands at a path in it; null where nothing does, and in what is no document.
fn part<'v>(field: &SortField, element: &'v Value) -> &'v Value {
    if !field.path.legs.is_empty() && element.as_map().is_none() {
        return &Value::Null;
    }
    field.path.legs.iter().fold(element, |value, leg| {
        let inner = match value {
            Value::Map(map) => map.get(leg),
            Value::List(list) => super::matcher::index(leg).and_then(|at| list.get(at)),
            _ => None,
        };
        inner.unwrap_or(&Value::Null)
    })
}

/// `$addToSet`: appends what no element is equal to; equal elements that are there already stay.
pub(super) fn add(values: &[Value], value: Option<Value>) -> Result<Value> {
    let mut list = list_of("$addToSet", value)?;
    for value in values {
        if !list.iter().any(|element| canonical_equal(element, value)) {
            list.push(value.clone());
        }
    }
    Ok(Value::List(list))
}

/// `$pull` and `$pullAll`: keeps the elements that are not meant.
pub(super) fn pull(value: Option<Value>, meant: impl Fn(&Value) -> bool) -> Result<Option<Value>> {
    let Some(value) = value else { return Ok(None) };
    let mut list = list_of("$pull", Some(value))?;
    list.retain(|element| !meant(element));
    Ok(Some(Value::List(list)))
}

/// Operators on the element; one that is a list stands for its elements too.
pub(super) fn pulls(tests: &[Test], element: &Value) -> bool {
    tests.iter().all(|test| wrapped_holds(test, element))
}

/// A filter of element documents.
pub(super) fn pulls_document(filter: &Filter, element: &Value) -> bool {
    matches!(element, Value::Map(_)) && element_matches(filter, element)
}

/// Equality with a whole element.
pub(super) fn pulls_equal(values: &[Value], element: &Value) -> bool {
    values.iter().any(|value| canonical_equal(value, element))
}

/// `$pop`
pub(super) fn pop(first: bool, value: Option<Value>) -> Result<Option<Value>> {
    let Some(value) = value else { return Ok(None) };
    let mut list = list_of("$pop", Some(value))?;
    if first && !list.is_empty() {
        list.remove(0);
    } else {
        list.pop();
    }
    Ok(Some(Value::List(list)))
}
