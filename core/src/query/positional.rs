//! The positional operator `$` of an update's paths: the first element that the filter's condition on that list met.
//!
//! mongod takes the element that the condition on a list which it happened to look at last has met, so the meaning is certain
//! only where the filter has exactly one condition that looks into a list. Those filters are taken; others are refused, and
//! `$[name]` with array filters says what is meant. Source: MongoDB manual, "$ (update)".

use super::filter::Filter;
use super::matcher::matches;
use super::reach::conflict;
use crate::error::{Error, Result};
use crate::schema::{Entity, Field, FieldType, Path};
use crate::value::{Map, Value};

const LEG: &str = "$";

/// An update with `$` in its paths, and what tells the element.
#[derive(Clone, Debug)]
pub(super) struct Positional {
    document: Map,
    array_filters: Vec<Value>,
    /// The path of the list, and its condition.
    list: Path,
    condition: Filter,
}

/// Whether a path of the update has the leg `$`.
pub(super) fn has_positional(document: &Map) -> bool {
    paths(document).any(|path| path.split('.').any(|leg| leg == LEG))
}

/// Every path that is changed.
fn paths(document: &Map) -> impl Iterator<Item = &str> {
    document.iter().flat_map(|(key, value)| -> Box<dyn Iterator<Item = &str>> {
        match value {
            Value::Map(fields) if key.starts_with('$') => Box::new(fields.keys().map(String::as_str)),
            _ => Box::new(std::iter::once(key.as_str())),
        }
    })
}

impl Positional {
    pub(super) fn parse(document: &Map, array_filters: &[Value], filter: &Map, entity: &Entity) -> Result<Self> {
        let list = list_of(document)?;
        let refuse = |error: Error| error.with("operator", LEG).with("path", format!("{list}.{LEG}"));
        let condition = condition_on(&list, filter, entity).map_err(refuse)?;
        let list = Path::resolve(entity, &list)?;
        let condition = Filter::parse(&condition, entity)?;
        Ok(Self { document: document.clone(), array_filters: array_filters.to_vec(), list, condition })
    }

    /// The update with this position in the place of `$`; `invalid_query` where it names that place in both ways.
    pub(super) fn at(document: &Map, position: usize) -> Result<Map> {
        let position = position.to_string();
        let place = |path: &str| -> String {
            path.split('.').map(|leg| if leg == LEG { position.as_str() } else { leg }).collect::<Vec<_>>().join(".")
        };
        let renamed = |fields: &Map| -> Result<Map> {
            let mut placed = Map::with_capacity(fields.len());
            for (path, value) in fields {
                if placed.insert(place(path), value.clone()).is_some() {
                    return Err(conflict(&place(path)));
                }
            }
            Ok(placed)
        };
        if !document.keys().any(|key| key.starts_with('$')) {
            return renamed(document);
        }
        let entry = |(operator, fields): (&String, &Value)| {
            let fields = match fields {
                Value::Map(fields) => Value::Map(renamed(fields)?),
                other => other.clone(),
            };
            Ok((operator.clone(), fields))
        };
        document.iter().map(entry).collect()
    }

    /// What the update is for one row, by the position of the element there.
    pub(super) fn resolve(&self, row: &Map, entity: &Entity) -> Result<(Map, &[Value])> {
        let position = self.position(row, entity).ok_or_else(|| {
            Error::invalid_value("the filter met no single element of this list, so there is none to change")
                .with("path", self.list.text.as_str())
        })?;
        Ok((Self::at(&self.document, position)?, &self.array_filters))
    }

    /// The first element with which alone the list would meet the condition.
    fn position(&self, row: &Map, entity: &Entity) -> Option<usize> {
        let name = &entity.fields[self.list.column].name;
        let column = row.get(name)?;
        let list = self.list.legs.iter().try_fold(column, |value, leg| value.as_map()?.get(leg))?.as_list()?;
        list.iter().position(|element| {
            let one = Value::List(vec![element.clone()]);
            let wrap = |inner, leg: &String| Value::Map(Map::from_iter([(leg.clone(), inner)]));
            let alone = self.list.legs.iter().rev().fold(one, wrap);
            matches(&self.condition, &Map::from_iter([(name.clone(), alone)]))
        })
    }
}

/// The path of the one list whose element is meant.
fn list_of(document: &Map) -> Result<String> {
    let mut lists: Vec<&str> = Vec::new();
    for path in paths(document) {
        let legs: Vec<&str> = path.split('.').collect();
        if legs.iter().filter(|leg| **leg == LEG).count() > 1 {
            let message = "a path has one $ at most: say which elements are meant by $[name] and array_filters";
            return Err(Error::invalid_query(message).with("operator", LEG).with("path", path));
        }
        if legs.first() == Some(&LEG) {
            return Err(Error::invalid_query("a path begins with a field, not with elements").with("path", path));
        }
        lists.extend(path.split_once(".$").filter(|_| legs.contains(&LEG)).map(|(list, _)| list));
    }
    match &lists[..] {
        [list, others @ ..] if others.iter().all(|other| other == list) => Ok((*list).to_owned()),
        _ => Err(unclear("the paths with $ name several lists").with("operator", LEG)),
    }
}

fn unclear(why: &str) -> Error {
    Error::unsupported(format!("{why}, so $ is not clear: say which elements are meant by $[name] and array_filters"))
}

/// A condition of the filter on a list.
struct Condition<'a> {
    path: &'a str,
    value: &'a Value,
    /// Whether it must hold, whatever the rest of the filter says.
    certain: bool,
}

/// The filter's condition on the list, which is the only one that looks into a list.
fn condition_on(list: &str, filter: &Map, entity: &Entity) -> Result<Map> {
    let mut found = Vec::new();
    collect(filter, entity, true, &mut found)?;
    let is_inside = |path: &str| path == list || path.strip_prefix(list).is_some_and(|rest| rest.starts_with('.'));
    let condition = match &found[..] {
        [] => return Err(Error::invalid_query(format!("$ needs a condition on {list:?} in the filter"))),
        [one] if is_inside(one.path) => one,
        [_] => return Err(unclear("the filter's condition is on another list")),
        _ => return Err(unclear("the filter has several conditions on lists")),
    };
    if !condition.certain || !is_of_one_element(condition.value) {
        return Err(unclear("the filter's condition on the list is not met by one element"));
    }
    let rest = condition.path.strip_prefix(list).unwrap_or_default().trim_start_matches('.');
    let path = Path::resolve(entity, list)?;
    let items = match path.target.field.as_ref().map(|field| &field.kind) {
        Some(FieldType::List(items)) if !path.target.through_list => items,
        _ => return Err(unclear("what stands before $ is not declared to be one list")),
    };
    if !rest.is_empty() && looks_into_lists(&Path::resolve_in(items, rest)?) {
        return Err(unclear("the filter's condition is on lists inside of the list"));
    }
    Ok(Map::from_iter([(condition.path.to_owned(), condition.value.clone())]))
}

fn collect<'a>(filter: &'a Map, entity: &Entity, certain: bool, found: &mut Vec<Condition<'a>>) -> Result<()> {
    for (path, value) in filter {
        if matches!(path.as_str(), "$and" | "$or" | "$nor") {
            for part in value.as_list().unwrap_or_default().iter().filter_map(Value::as_map) {
                collect(part, entity, certain && path == "$and", found)?;
            }
        } else if !path.starts_with('$') && looks_into_lists(&Path::resolve(entity, path)?) {
            found.push(Condition { path, value, certain });
        }
    }
    Ok(())
}

fn looks_into_lists(path: &Path) -> bool {
    let may_be_list = |field: &Field| matches!(field.kind, FieldType::List(_) | FieldType::Any);
    path.target.through_list || path.target.field.as_ref().is_none_or(may_be_list)
}

/// Whether one element by itself meets the test: a single operator that asks whether there is an element.
fn is_of_one_element(value: &Value) -> bool {
    let Value::Map(map) = value else { return value.as_list().is_none() };
    let operators: Vec<_> = map.iter().filter(|(key, _)| *key != "$options").collect();
    match &operators[..] {
        [(key, operand)] if key.starts_with('$') => match key.as_str() {
            "$eq" => operand.as_list().is_none(),
            "$in" => operand.as_list().is_some_and(|list| list.iter().all(|item| item.as_list().is_none())),
            "$gt" | "$gte" | "$lt" | "$lte" | "$regex" | "$mod" | "$elemMatch" => true,
            _ => false,
        },
        all => all.iter().all(|(key, _)| !key.starts_with('$')),
    }
}
