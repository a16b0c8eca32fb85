//! What an order compares: mongod's sort keys.
//!
//! A document has one key a combination of list elements, as in an index on the sort's paths, and sorts by the first of
//! them: for one path the smallest element ascending and the largest descending; for two paths into the same list the
//! values of one element together. Missing sorts as null, an empty list before null. Invariant: total and pure.
//! Not for: parsing. Source: MongoDB manual, "Ascending/Descending Sort", "Multikey Indexes"; the expansion is that of
//! mongod's `BtreeKeyGenerator`, compared with it by replay.

use std::cmp::Ordering;

use super::matcher::{Root, index, split};
use super::sort::Sort;
use crate::value::{Map, Value, canonical_order};

/// One part of a key.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    /// An empty list, which sorts before null.
    Empty,
    /// A value; null where there is none.
    Value(&'a Value),
}

const NULL: Part<'static> = Part::Value(&Value::Null);

fn order_parts(left: Part<'_>, right: Part<'_>) -> Ordering {
    match (left, right) {
        (Part::Empty, Part::Empty) => Ordering::Equal,
        (Part::Empty, Part::Value(_)) => Ordering::Less,
        (Part::Value(_), Part::Empty) => Ordering::Greater,
        (Part::Value(left), Part::Value(right)) => canonical_order(left, right),
    }
}

/// What a document is sorted by; made once a document where many are sorted.
#[derive(Clone, Debug)]
pub struct SortKey<'a>(Vec<Part<'a>>);

impl Sort {
    /// The key of a document of columns.
    pub fn key<'a>(&self, document: &'a Map) -> SortKey<'a> {
        let paths: Vec<_> = self.fields.iter().map(|field| split(&field.path, Root::Columns)).collect();
        let mut keys = Vec::new();
        let starts: Vec<_> = paths.iter().map(|(first, rest)| Step::begin(document, first, rest)).collect();
        expand(&starts, &mut keys);
        let best = keys.into_iter().min_by(|left, right| self.order(left, right));
        SortKey(best.unwrap_or_else(|| vec![NULL; self.fields.len()]))
    }

    /// The order of two keys of this sort.
    pub fn compare_keys(&self, left: &SortKey<'_>, right: &SortKey<'_>) -> Ordering {
        self.order(&left.0, &right.0)
    }

    /// The order of two documents of columns, as mongod sorts them; equal where only a further field could decide.
    pub fn compare(&self, left: &Map, right: &Map) -> Ordering {
        self.compare_keys(&self.key(left), &self.key(right))
    }

    fn order(&self, left: &[Part<'_>], right: &[Part<'_>]) -> Ordering {
        let parts = self.fields.iter().zip(left.iter().zip(right)).map(|(field, (left, right))| {
            let order = order_parts(*left, *right);
            if field.descending { order.reverse() } else { order }
        });
        parts.into_iter().find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
    }
}

/// How far one path of the sort has been followed.
#[derive(Clone, Copy)]
enum Step<'a, 'p> {
    /// To its value.
    Done(Part<'a>),
    /// To a list, with the legs that remain.
    List(&'a [Value], &'p [String]),
}

impl<'a, 'p> Step<'a, 'p> {
    fn begin(document: &'a Map, first: &str, rest: &'p [String]) -> Self {
        document.get(first).map_or(Self::Done(NULL), |value| Self::follow(value, rest))
    }

    /// Through documents, up to a list or the end.
    fn follow(mut value: &'a Value, mut legs: &'p [String]) -> Self {
        loop {
            match (value, legs.split_first()) {
                (Value::List(list), _) => return Self::List(list, legs),
                (value, None) => return Self::Done(Part::Value(value)),
                (Value::Map(map), Some((leg, rest))) => match map.get(leg) {
                    Some(inner) => (value, legs) = (inner, rest),
                    None => return Self::Done(NULL),
                },
                _ => return Self::Done(NULL),
            }
        }
    }

    /// At one element of the list that this path has come to.
    fn enter(legs: &'p [String], list: &'a [Value], element: &'a Value) -> Self {
        let Some((leg, rest)) = legs.split_first() else { return Self::Done(Part::Value(element)) };
        if let Value::Map(map) = element
            && let Some(inner) = map.get(leg)
        {
            return Self::follow(inner, rest);
        }
        match index(leg).and_then(|at| list.get(at)) {
            // A list that is chosen by its position is not entered again.
            Some(Value::List(chosen)) if rest.is_empty() && chosen.is_empty() => Self::Done(Part::Empty),
            Some(chosen) if rest.is_empty() => Self::Done(Part::Value(chosen)),
            Some(chosen) => Self::follow(chosen, rest),
            None => Self::Done(NULL),
        }
    }
}

/// Adds a key for every element of the first list that a path has come to, together with the other paths in that list.
///
/// mongod refuses a second list; here it is expanded after the first, which only free fields can come to.
fn expand<'a>(steps: &[Step<'a, '_>], keys: &mut Vec<Vec<Part<'a>>>) {
    let list = steps.iter().find_map(|step| match step {
        Step::List(list, _) => Some(*list),
        Step::Done(_) => None,
    });
    let Some(list) = list else {
        let parts = steps.iter().map(|step| match step {
            Step::Done(part) => *part,
            Step::List(..) => NULL,
        });
        keys.push(parts.collect());
        return;
    };
    let at = |element: Option<&'a Value>| {
        let next = steps.iter().map(|step| match step {
            Step::List(own, legs) if std::ptr::eq(*own, list) => match element {
                Some(element) => Step::enter(legs, list, element),
                None if legs.is_empty() => Step::Done(Part::Empty),
                None => Step::Done(NULL),
            },
            other => *other,
        });
        next.collect::<Vec<_>>()
    };
    if list.is_empty() {
        expand(&at(None), keys);
    }
    for element in list {
        expand(&at(Some(element)), keys);
    }
}
