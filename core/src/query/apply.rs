//! What an update does to one document in memory: mongod's semantics, the reference for every backend.
//!
//! Invariant: an update that fails changes nothing, and what it stores fits the contract: every column that was touched is
//! checked again as a whole. Not for: automatic fields, which the repository sets. Source: MongoDB manual, "Update
//! Operators"; compared with mongod by replay.

use std::cmp::Ordering;

use super::apply_list as lists;
use super::arithmetic::{Operation, compute};
use super::edit::{Blocked, edit, take};
use super::update::{Assignment, Update};
use crate::error::{Error, Result};
use crate::schema::{Entity, Path};
use crate::value::{DateTime, Map, Value, canonical_order};

impl Update {
    /// Changes `document`, a map of columns; whether anything is different afterwards.
    ///
    /// `now` is what `$currentDate` sets. A failure names the path and leaves the document as it was.
    pub fn apply(&self, document: &mut Map, entity: &Entity, now: DateTime) -> Result<bool> {
        if let Some(positional) = &self.positional {
            let named = |error: Error| error.with("entity", entity.name.as_str());
            let (update, array_filters) = positional.resolve(document, entity).map_err(named)?;
            return Self::parse_filtered(&update, array_filters, entity)?.apply(document, entity, now);
        }
        let mut columns = Map::new();
        for position in self.columns() {
            let name = &entity.fields[position].name;
            if let Some(value) = document.get(name) {
                columns.insert(name.clone(), value.clone());
            }
        }
        let before = columns.clone();
        let named = |error: Error| error.with("entity", entity.name.as_str());
        for (place, position) in self.reach.places(&columns).map_err(named)? {
            let (path, assignment) = &self.assignments[position];
            apply_one(&mut columns, &place, path, assignment, now)
                .map_err(|error| named(error.with("path", place.as_str())))?;
        }
        self.store(document, &before, columns, entity)
    }

    /// The positions of the columns that this may change, each once, ascending.
    pub fn columns(&self) -> Vec<usize> {
        let targets = self.assignments.iter().filter_map(|(_, assignment)| match assignment {
            Assignment::Rename(target) => Some(target.column),
            _ => None,
        });
        let mut columns: Vec<usize> = self.assignments.iter().map(|(path, _)| path.column).chain(targets).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn store(&self, document: &mut Map, before: &Map, mut after: Map, entity: &Entity) -> Result<bool> {
        let mut different = Vec::new();
        for position in self.columns() {
            let field = &entity.fields[position];
            let value = match (after.shift_remove(&field.name), before.get(&field.name)) {
                (Some(value), _) => value,
                (None, Some(_)) => field.default.clone().unwrap_or_default(),
                (None, None) => continue,
            };
            let value = entity.check_field(field, value)?;
            if before.get(&field.name).is_none_or(|before| !identical(before, &value)) {
                different.push((field.name.clone(), value));
            }
        }
        let changed = !different.is_empty();
        document.extend(different);
        Ok(changed)
    }
}

/// `place` is the path with the positions of elements for its positional legs.
fn apply_one(columns: &mut Map, place: &str, path: &Path, assignment: &Assignment, now: DateTime) -> Result<()> {
    if matches!(assignment, Assignment::Rename(_)) {
        let value = take(columns, &path.text)?;
        return match value {
            Some(value) => edit(columns, place, Blocked::Renaming, &mut |_| Ok(Some(value.clone()))),
            None => Ok(()),
        };
    }
    let blocked = if matches!(assignment, Assignment::Unset) { Blocked::Nothing } else { Blocked::Refuse };
    edit(columns, place, blocked, &mut |value| change(assignment, value, now))
}

/// What stands at the end of the path afterwards; `None` for nothing.
fn change(assignment: &Assignment, value: Option<Value>, now: DateTime) -> Result<Option<Value>> {
    let smaller = |wanted: &Value, order: Ordering| {
        Some(match value.clone() {
            Some(current) if canonical_order(wanted, &current) != order => current,
            _ => wanted.clone(),
        })
    };
    Ok(match assignment {
        Assignment::Set(wanted) => Some(wanted.clone()),
        Assignment::Unset | Assignment::Rename(_) => None,
        Assignment::CurrentDate => Some(now.into()),
        Assignment::Increment(step) => match value {
            None => Some(step.clone()),
            Some(value) => Some(compute(Operation::Add, &value, step)?),
        },
        // What is missing becomes zero, of the type of the operand.
        Assignment::Multiply(factor) => {
            Some(compute(Operation::Multiply, value.as_ref().unwrap_or(&Value::Int(0)), factor)?)
        }
        Assignment::Min(wanted) => smaller(wanted, Ordering::Less),
        Assignment::Max(wanted) => smaller(wanted, Ordering::Greater),
        Assignment::Push(push) => Some(lists::push(push, value)?),
        Assignment::AddToSet(values) => Some(lists::add(values, value)?),
        Assignment::PullTests(tests) => lists::pull(value, |element| lists::pulls(tests, element))?,
        Assignment::PullFilter(filter) => lists::pull(value, |element| lists::pulls_document(filter, element))?,
        Assignment::PullAll(values) => lists::pull(value, |element| lists::pulls_equal(values, element))?,
        Assignment::Pop { first } => lists::pop(*first, value)?,
    })
}

/// Whether two values are stored alike: types, scales and the order of keys count.
pub(crate) fn identical(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => left.to_bits() == right.to_bits(),
        (Value::Decimal(left), Value::Decimal(right)) => {
            left.as_bigint_and_exponent() == right.as_bigint_and_exponent()
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| identical(left, right))
        }
        (Value::Map(left), Value::Map(right)) => {
            let same = |((name, value), (other, beside))| name == other && identical(value, beside);
            left.len() == right.len() && left.iter().zip(right).all(same)
        }
        _ => left == right,
    }
}

/// The error for an operator on something that is no list.
pub(super) fn no_list(operator: &str, value: &Value) -> Error {
    Error::invalid_value(format!("cannot apply {operator} to a value of type {}", value.type_name()))
        .with("expected", "list")
        .with("got", value.type_name())
}
