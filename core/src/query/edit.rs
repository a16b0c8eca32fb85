//! One place inside a document: found, changed, created or removed.
//!
//! Invariant: only the named place and the documents that lead to it come into being. Not for: what a place becomes.
//! Source: mongod's update of paths: documents on the way are created, lists take numeric legs only and are filled up
//! with null, anything else on the way is an error.

use super::matcher::index;
use crate::error::{Error, Result};
use crate::value::{Map, Value};

/// Lists are not filled up beyond this many elements; mongod's bound is 1,500,000 new ones.
const MAX_LENGTH: usize = 10_000;

/// What a path means that something stands in the way of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Blocked {
    /// Nothing is there, so nothing changes.
    Nothing,
    /// It is refused.
    Refuse,
    /// It is refused, and so is a list on the way.
    Renaming,
}

/// Gets what stands at the place and gives what shall stand there.
type Change<'c> = &'c mut dyn FnMut(Option<Value>) -> Result<Option<Value>>;

/// Changes the place at `path` in a document; what is missing comes into being where `change` gives a value.
pub(super) fn edit(document: &mut Map, path: &str, blocked: Blocked, change: Change<'_>) -> Result<()> {
    let legs: Vec<&str> = path.split('.').collect();
    match legs.split_first() {
        Some((leg, rest)) => in_map(document, leg, rest, blocked, change),
        None => Ok(()),
    }
}

fn in_map(map: &mut Map, leg: &str, rest: &[&str], blocked: Blocked, change: Change<'_>) -> Result<()> {
    let Some(value) = map.get_mut(leg) else {
        if let Some(value) = change(None)? {
            map.insert(leg.to_owned(), nested(rest, value));
        }
        return Ok(());
    };
    if !rest.is_empty() {
        return inside(value, leg, rest, blocked, change);
    }
    match change(Some(std::mem::take(value)))? {
        Some(changed) => *value = changed,
        None => {
            map.shift_remove(leg);
        }
    }
    Ok(())
}

/// The documents that lead to a new value. Numbers are keys here, as in mongod.
fn nested(legs: &[&str], value: Value) -> Value {
    legs.iter().rev().fold(value, |value, leg| Value::Map(Map::from_iter([((*leg).to_owned(), value)])))
}

fn inside(value: &mut Value, name: &str, legs: &[&str], blocked: Blocked, change: Change<'_>) -> Result<()> {
    let Some((leg, rest)) = legs.split_first() else { return Ok(()) };
    match (value, index(leg)) {
        (Value::Map(map), _) => in_map(map, leg, rest, blocked, change),
        (Value::List(_), _) if blocked == Blocked::Renaming => Err(through_list()),
        (Value::List(list), Some(at)) => in_list(list, at, leg, rest, blocked, change),
        _ if blocked == Blocked::Nothing => Ok(()),
        (other, _) => Err(not_viable(leg, name, other)),
    }
}

fn in_list(
    list: &mut Vec<Value>,
    at: usize,
    leg: &str,
    rest: &[&str],
    blocked: Blocked,
    change: Change<'_>,
) -> Result<()> {
    let Some(element) = list.get_mut(at) else {
        if let Some(value) = change(None)? {
            if at >= MAX_LENGTH {
                let message = format!("a list is not filled up to position {at}: the limit is {MAX_LENGTH}");
                return Err(Error::invalid_value(message));
            }
            list.resize(at, Value::Null);
            list.push(nested(rest, value));
        }
        return Ok(());
    };
    if !rest.is_empty() {
        return inside(element, leg, rest, blocked, change);
    }
    // The other elements keep their positions: a removed one becomes null.
    *element = change(Some(std::mem::take(element)))?.unwrap_or_default();
    Ok(())
}

fn not_viable(leg: &str, name: &str, value: &Value) -> Error {
    let message = format!("cannot create {leg:?} in {name:?}, which is of type {}", value.type_name());
    Error::invalid_value(message).with("got", value.type_name())
}

fn through_list() -> Error {
    Error::invalid_value("$rename cannot reach into a list").with("operator", "$rename")
}

/// Takes the source of a `$rename` out; `None` where there is none.
pub(super) fn take(document: &mut Map, path: &str) -> Result<Option<Value>> {
    let legs: Vec<&str> = path.split('.').collect();
    let Some((end, lead)) = legs.split_last() else { return Ok(None) };
    let mut map = document;
    for (at, leg) in lead.iter().enumerate() {
        let Some(value) = map.get_mut(*leg) else { return Ok(None) };
        match value {
            Value::Map(inner) => map = inner,
            Value::List(list) => {
                return if exists_below(list, &legs[at + 1..])? { Err(through_list()) } else { Ok(None) };
            }
            other => return Err(not_viable(legs[at + 1], leg, other)),
        }
    }
    Ok(map.shift_remove(*end))
}

/// Whether a path exists below a list; an error where it cannot.
fn exists_below(list: &[Value], legs: &[&str]) -> Result<bool> {
    let Some((leg, rest)) = legs.split_first() else { return Ok(true) };
    let at = index(leg).ok_or_else(|| not_viable(leg, "a list", &Value::List(Vec::new())))?;
    let Some(mut value) = list.get(at) else { return Ok(false) };
    for (at, leg) in rest.iter().enumerate() {
        value = match value {
            Value::Map(map) => match map.get(*leg) {
                Some(inner) => inner,
                None => return Ok(false),
            },
            Value::List(inner) => return exists_below(inner, &rest[at..]),
            other => return Err(not_viable(leg, "an element", other)),
        };
    }
    Ok(true)
}
