//! What a filter means on one document in memory: mongod's semantics, the reference for every backend.
//!
//! Invariant: pure and total, for any filter and any document. A path stands for every value it reaches: lists on the
//! way are entered, a list at the end stands for its elements and for itself, a numeric leg is an index and a key.
//! Not for: parsing, or speed beyond one walk a test. Source: MongoDB manual, "Query an Array", "Query for Null or Missing
//! Fields"; the walk is that of mongod's `BSONElementIterator`, compared with it by replay.

use std::cmp::Ordering;

use super::filter::{Comparison, Filter, Test, TypeName};
use super::words::has_words;
use crate::schema::Path;
use crate::value::{Map, Value, canonical_order, type_rank};

/// Whether `document`, a map of columns, satisfies `filter`.
pub fn matches(filter: &Filter, document: &Map) -> bool {
    holds(filter, document, Root::Columns)
}

/// What a document is: its paths begin with a column, or (an element's) only have legs.
#[derive(Clone, Copy)]
pub(super) enum Root {
    Columns,
    Element,
}

/// The first leg of a path and the others.
pub(super) fn split(path: &Path, root: Root) -> (&str, &[String]) {
    match (root, path.legs.split_first()) {
        (Root::Element, Some((first, rest))) => (first, rest),
        (Root::Element, None) => ("", &[]),
        (Root::Columns, _) => (path.text.split('.').next().unwrap_or_default(), &path.legs),
    }
}

fn holds(filter: &Filter, document: &Map, root: Root) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(parts) => parts.iter().all(|part| holds(part, document, root)),
        Filter::Or(parts) => parts.iter().any(|part| holds(part, document, root)),
        Filter::Nor(parts) => !parts.iter().any(|part| holds(part, document, root)),
        Filter::At(path, test) => {
            let (first, rest) = split(path, root);
            holds_at(test, document, first, rest)
        }
    }
}

/// Whether an element satisfies a filter of element documents; mongod sees a list as a document with numeric keys.
pub(super) fn element_matches(filter: &Filter, element: &Value) -> bool {
    match element {
        Value::Map(map) => holds(filter, map, Root::Element),
        Value::List(list) => {
            let map: Map = list.iter().enumerate().map(|(index, item)| (index.to_string(), item.clone())).collect();
            holds(filter, &map, Root::Element)
        }
        _ => false,
    }
}

/// A test of an element as if it stood in a document by itself (`$pull`): a list stands for its elements and itself.
pub(super) fn wrapped_holds(test: &Test, element: &Value) -> bool {
    let document = Map::from_iter([(String::new(), element.clone())]);
    holds_at(test, &document, "", &[])
}

/// A filter of an element that stands in a document by itself under a name (array filters).
pub(super) fn named_matches(filter: &Filter, name: &str, element: &Value) -> bool {
    filter.is_all() || holds(filter, &Map::from_iter([(name.to_owned(), element.clone())]), Root::Element)
}

/// A test of the values at a path; every part of a conjunction may be satisfied by another one of them.
fn holds_at(test: &Test, document: &Map, first: &str, rest: &[String]) -> bool {
    let lists = match test {
        Test::Both(tests) => return tests.iter().all(|test| holds_at(test, document, first, rest)),
        Test::AllOf(tests) => {
            return !tests.is_empty() && tests.iter().all(|test| holds_at(test, document, first, rest));
        }
        Test::Not(test) => return !holds_at(test, document, first, rest),
        Test::Exists(false) => return !holds_at(&Test::Exists(true), document, first, rest),
        Test::Size(_) | Test::ElementTests(_) | Test::ElementFilter(_) => Lists::Whole,
        _ => Lists::Entered,
    };
    in_document(document, first, rest, lists, &mut |value| holds_for(test, value))
}

/// What a list at the end of a path stands for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Lists {
    /// Itself.
    Whole,
    /// Its elements, then itself.
    Entered,
}

/// Whether `found` is true for one of the values that the path reaches; `None` stands for a missing one.
fn in_document(
    document: &Map,
    first: &str,
    rest: &[String],
    lists: Lists,
    found: &mut dyn FnMut(Option<&Value>) -> bool,
) -> bool {
    let value = document.get(first);
    match (value, rest.split_first()) {
        (Some(Value::List(list)), next) if next.is_some() || lists == Lists::Entered => {
            in_list(list, rest, lists, found) || (next.is_none() && found(value))
        }
        (value, None) => found(value),
        (Some(Value::Map(inner)), Some((next, rest))) => in_document(inner, next, rest, lists, found),
        (_, Some(_)) => found(None),
    }
}

/// The elements of a list; those that the path cannot enter yield nothing, not even a missing value.
fn in_list(list: &[Value], legs: &[String], lists: Lists, found: &mut dyn FnMut(Option<&Value>) -> bool) -> bool {
    let Some((leg, rest)) = legs.split_first() else {
        return list.iter().any(|element| found(Some(element)));
    };
    let position = index(leg);
    list.iter().enumerate().any(|(at, element)| {
        if let Value::Map(inner) = element
            && in_document(inner, leg, rest, lists, found)
        {
            return true;
        }
        if position != Some(at) {
            return false;
        }
        match (element, rest.split_first()) {
            (element, None) => found(Some(element)),
            (Value::Map(inner), Some((next, rest))) => in_document(inner, next, rest, lists, found),
            (Value::List(inner), Some(_)) => in_list(inner, rest, lists, found),
            _ => false,
        }
    })
}

/// A leg as the position of an element: digits without a leading zero.
pub(super) fn index(leg: &str) -> Option<usize> {
    let plain = leg.bytes().all(|byte| byte.is_ascii_digit()) && (leg == "0" || !leg.starts_with('0'));
    if plain { leg.parse().ok() } else { None }
}

/// A test of one value; lists are not entered any more.
pub(super) fn holds_for(test: &Test, value: Option<&Value>) -> bool {
    match test {
        Test::Compare(comparison, operand) => compares(*comparison, value, operand),
        Test::In(values) => values.iter().any(|operand| compares(Comparison::Eq, value, operand)),
        Test::Exists(wanted) => value.is_some() == *wanted,
        Test::Type(names) => value.is_some_and(|value| names.iter().any(|name| is_of_type(value, *name))),
        Test::Regex(regex, _) => match value {
            Some(Value::Text(found)) => regex.is_match(found),
            Some(Value::Date(date)) => regex.is_match(&date.to_string()),
            Some(Value::Time(time)) => regex.is_match(&time.to_string()),
            _ => false,
        },
        Test::Size(size) => matches!(value, Some(Value::List(list)) if list.len() as u64 == *size),
        Test::Modulo(divisor, remainder) => value
            .and_then(truncated)
            .is_some_and(|number| number.checked_rem(*divisor).unwrap_or_default() == *remainder && *divisor != 0),
        Test::ElementTests(tests) => match value {
            Some(Value::List(list)) => {
                list.iter().any(|element| tests.iter().all(|test| holds_for(test, Some(element))))
            }
            _ => false,
        },
        Test::ElementFilter(filter) => match value {
            Some(Value::List(list)) => list.iter().any(|element| element_matches(filter, element)),
            _ => false,
        },
        Test::AllOf(tests) => !tests.is_empty() && tests.iter().all(|test| holds_for(test, value)),
        Test::Both(tests) => tests.iter().all(|test| holds_for(test, value)),
        Test::Words(wanted) => matches!(value, Some(Value::Text(text)) if has_words(text, &wanted.words)),
        Test::Not(test) => !holds_for(test, value),
    }
}

/// A comparison within one type class; what is missing counts as null, except that it is not less or greater.
fn compares(comparison: Comparison, value: Option<&Value>, operand: &Value) -> bool {
    let reflexive = matches!(comparison, Comparison::Eq | Comparison::Gte | Comparison::Lte);
    let Some(value) = value else { return reflexive && operand.is_null() };
    if type_rank(value) != type_rank(operand) {
        return false;
    }
    if is_nan(value) || is_nan(operand) {
        return reflexive && is_nan(value) && is_nan(operand);
    }
    let order = canonical_order(value, operand);
    match comparison {
        Comparison::Eq => order == Ordering::Equal,
        Comparison::Gt => order == Ordering::Greater,
        Comparison::Gte => order != Ordering::Less,
        Comparison::Lt => order == Ordering::Less,
        Comparison::Lte => order != Ordering::Greater,
    }
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Float(number) if number.is_nan())
}

fn is_of_type(value: &Value, name: TypeName) -> bool {
    match value {
        Value::Null => name == TypeName::Null,
        Value::Bool(_) => name == TypeName::Bool,
        Value::Int(_) => matches!(name, TypeName::Int | TypeName::Number),
        Value::Float(_) => matches!(name, TypeName::Float | TypeName::Number),
        Value::Decimal(_) => matches!(name, TypeName::Decimal | TypeName::Number),
        Value::Text(_) | Value::Date(_) | Value::Time(_) => name == TypeName::Text,
        Value::Bytes(_) | Value::Uuid(_) => name == TypeName::Bytes,
        Value::ObjectId(_) => name == TypeName::ObjectId,
        Value::DateTime(_) => name == TypeName::DateTime,
        Value::List(_) => name == TypeName::List,
        Value::Map(_) => name == TypeName::Map,
    }
}

/// A number without its fraction, as `$mod` sees it; `None` where that is no 64-bit integer.
pub(super) fn truncated(value: &Value) -> Option<i64> {
    // 2^63 is exact as a float; every float in [-2^63, 2^63) truncates to an i64 exactly.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Int(number) => Some(*number),
        Value::Float(number) => (*number >= -LIMIT && *number < LIMIT).then(|| number.trunc() as i64),
        Value::Decimal(number) => {
            // An exponent beyond 40 is out of range, or a fraction smaller than one, without being written out.
            let (digits, scale) = number.as_bigint_and_exponent();
            if scale < -40 && digits != 0.into() {
                return None;
            }
            let whole = number.with_scale_round(0, bigdecimal::RoundingMode::Down);
            whole.to_string().parse().ok()
        }
        _ => None,
    }
}

/// The values at a path as `distinct` counts them: a list at the end stands for its elements, an element that is itself a
/// list is one value, what is missing is none.
pub fn values_at<'a>(document: &'a Map, path: &Path) -> Vec<&'a Value> {
    let (first, rest) = split(path, Root::Columns);
    document.get(first).map(|value| values_below(value, rest)).unwrap_or_default()
}

/// The values that `legs` reach inside a column's value, as [`values_at`] counts them.
pub fn values_below<'a>(value: &'a Value, legs: &[String]) -> Vec<&'a Value> {
    let mut found = Vec::new();
    collect(value, legs, &mut found);
    found
}

/// A numeric leg behind a list is only an index here. Source: `distinct` of mongod.
fn collect<'a>(value: &'a Value, legs: &[String], found: &mut Vec<&'a Value>) {
    match (value, legs.split_first()) {
        (Value::List(list), None) => found.extend(list),
        (value, None) => found.push(value),
        (Value::Map(map), Some((leg, rest))) => {
            if let Some(inner) = map.get(leg) {
                collect(inner, rest, found);
            }
        }
        (Value::List(list), Some((leg, rest))) if leg.bytes().all(|byte| byte.is_ascii_digit()) => {
            if let Some(element) = index(leg).and_then(|at| list.get(at)) {
                collect(element, rest, found);
            }
        }
        (Value::List(list), Some(_)) => {
            for element in list.iter().filter(|element| element.as_map().is_some()) {
                collect(element, legs, found);
            }
        }
        _ => {}
    }
}
