//! Positional legs of an update's paths: `$[]` for every element of a list, `$[name]` for those that an array filter of
//! this name meets.
//!
//! Invariant: every name has exactly one filter and every filter is used, as in mongod; operands fit what is declared for
//! the elements. `$` has a file of its own (`positional`).
//! Not for: finding the elements (`reach`). Source: MongoDB manual, "$[<identifier>]".

use std::sync::Arc;

use super::filter::Filter;
use super::parse_filter::{Scope, check_depth, parse_document};
use crate::error::{Error, Result};
use crate::schema::{Entity, Field, FieldType, Model, Path};
use crate::value::{Map, Value};

/// The name in `$[name]`, which is empty in `$[]`; `None` for another leg.
pub(super) fn identifier(leg: &str) -> Option<&str> {
    leg.strip_prefix("$[")?.strip_suffix(']')
}

/// Whether a leg stands for elements.
pub(super) fn is_positional(leg: &str) -> bool {
    identifier(leg).is_some()
}

/// One array filter.
struct ArrayFilter<'a> {
    name: &'a str,
    document: &'a Map,
    is_used: bool,
}

/// The array filters of one update.
pub(super) struct ArrayFilters<'a>(Vec<ArrayFilter<'a>>);

/// Where the array filter at a position stands in the arguments.
fn place(position: usize) -> String {
    format!("array_filters.{position}")
}

impl<'a> ArrayFilters<'a> {
    /// Reads the names; what a filter says is read where its name is used, because that tells what it is about.
    pub(super) fn parse(list: &'a [Value]) -> Result<Self> {
        let mut filters: Vec<ArrayFilter<'a>> = Vec::with_capacity(list.len());
        for (position, value) in list.iter().enumerate() {
            let refuse = |error: Error| error.with("path", place(position));
            let document = value.as_map().ok_or_else(|| refuse(Error::invalid_query("an array filter is a map")))?;
            let name = name_of(document).map_err(refuse)?;
            if filters.iter().any(|filter| filter.name == name) {
                return Err(refuse(Error::invalid_query(format!("there are several array filters for {name:?}"))));
            }
            filters.push(ArrayFilter { name, document, is_used: false });
        }
        Ok(Self(filters))
    }

    /// The path, resolved as that of one element, and the filter of each positional leg.
    pub(super) fn resolve(&mut self, entity: &Entity, text: &str) -> Result<(Path, Vec<Filter>)> {
        let written: Vec<&str> = text.split('.').collect();
        if written.contains(&"$") {
            let message = "$ needs a filter with a condition on the list: without one say which elements are meant by \
                           $[name] and array_filters";
            return Err(Error::invalid_query(message).with("operator", "$").with("path", text));
        }
        let declared: Vec<&str> = written.iter().map(|leg| if is_positional(leg) { "0" } else { leg }).collect();
        if written.first().is_some_and(|leg| is_positional(leg)) {
            return Err(Error::invalid_query("a path begins with a field, not with elements").with("path", text));
        }
        let path = Path::resolve_as(entity, &declared.join("."), text)?;
        let mut chosen = Vec::new();
        for (at, leg) in written.iter().enumerate() {
            if let Some(name) = identifier(leg) {
                let lead = Path::resolve_as(entity, &declared[..at].join("."), text)?;
                chosen.push(self.filter(name, elements(&lead, leg)?, text)?);
            }
        }
        Ok((path, chosen))
    }

    /// What the name says about elements that are declared so.
    fn filter(&mut self, name: &str, items: Field, text: &str) -> Result<Filter> {
        if name.is_empty() {
            return Ok(Filter::All);
        }
        let position = self.0.iter().position(|filter| filter.name == name);
        let position = position.ok_or_else(|| {
            Error::invalid_query(format!("there is no array filter for {name:?} in {text:?}")).with("path", text)
        })?;
        let found = &mut self.0[position];
        found.is_used = true;
        let named = Model { fields: vec![Field { name: name.to_owned(), ..items }], extra: false };
        let scope = Field::new("", FieldType::Model(Arc::new(named)));
        parse_document(Scope::Element(&scope), found.document, 0).map_err(|error| error.under(&place(position)))
    }

    /// Refuses a filter whose name stands in no path.
    pub(super) fn refuse_unused(&self) -> Result<()> {
        match self.0.iter().enumerate().find(|(_, filter)| !filter.is_used) {
            None => Ok(()),
            Some((position, filter)) => {
                let message = format!("the array filter for {:?} is not used in the update", filter.name);
                Err(Error::invalid_query(message).with("path", place(position)))
            }
        }
    }
}

/// What is declared for the elements of what stands at a path.
fn elements(lead: &Path, leg: &str) -> Result<Field> {
    match lead.target.field.as_ref().map(|field| &field.kind) {
        None | Some(FieldType::Any) => Ok(Field::new("", FieldType::Any)),
        Some(FieldType::List(items)) => Ok((**items).clone()),
        Some(other) => {
            let message = format!("{leg} needs a list, this is declared as {}", other.name());
            Err(Error::invalid_query(message).with("path", lead.text.as_str()).with("expected", "list"))
        }
    }
}

/// The one name that all conditions of an array filter begin with.
fn name_of(document: &Map) -> Result<&str> {
    let mut names = Vec::new();
    collect_names(document, &mut names, 0)?;
    let Some(name) = names.first().copied() else {
        return Err(Error::invalid_query("an array filter says something about a name, this one does not"));
    };
    if let Some(other) = names.iter().find(|other| **other != name) {
        let message = format!("an array filter is about one name, this one about {name:?} and {other:?}");
        return Err(Error::invalid_query(message));
    }
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_plain {
        let message =
            format!("{name:?} is no name of an array filter: letters and digits, the first a lower-case letter");
        return Err(Error::invalid_query(message));
    }
    Ok(name)
}

fn collect_names<'a>(document: &'a Map, names: &mut Vec<&'a str>, depth: usize) -> Result<()> {
    check_depth(depth)?;
    for (key, value) in document {
        if !key.starts_with('$') && !says_nothing(value) {
            names.extend(key.split('.').next());
        }
        // What is wrong with other operators is said where the filter is read.
        for part in value.as_list().filter(|_| key.starts_with('$')).into_iter().flatten() {
            part.as_map().map_or(Ok(()), |part| collect_names(part, names, depth + 1))?;
        }
    }
    Ok(())
}

/// Whether a condition is an empty `$all` alone, which never holds: mongod forgets what it is about.
fn says_nothing(condition: &Value) -> bool {
    let is_empty = |(operator, operand): (&String, &Value)| match operator.as_str() {
        "$all" => operand.as_list().is_some_and(<[Value]>::is_empty),
        "$not" => says_nothing(operand),
        _ => false,
    };
    condition.as_map().is_some_and(|map| !map.is_empty() && map.iter().all(is_empty))
}
