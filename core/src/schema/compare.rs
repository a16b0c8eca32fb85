//! How the contract of an app differs from the one that a database was made for.

use super::Contract;
use super::canonical;
use super::entity::Entity;
use crate::value::{Map, Value, tagged};

/// One difference, small enough to be read in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The entity.
    pub entity: String,
    /// The field or index; empty when the entity itself is meant.
    pub item: String,
    /// What the app declares; `None` where only the database has it.
    pub declared: Option<String>,
    /// What the database has; `None` where only the app declares it.
    pub stored: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { entity, item, declared, stored } = self;
        match (declared, stored) {
            (Some(declared), Some(stored)) => write!(f, "{entity}.{item}: declared {declared}, stored {stored}"),
            (Some(declared), None) => write!(f, "{entity}.{item}: declared {declared}, not in the database"),
            (None, Some(stored)) => write!(f, "{entity}.{item}: not declared, stored {stored}"),
            (None, None) => write!(f, "{entity}.{item}"),
        }
    }
}

/// Entities that only one side knows are no difference: several apps may share a database.
pub(super) fn contracts(declared: &Contract, stored: &Contract) -> Vec<Difference> {
    let shared = declared.entities().iter().filter_map(|entity| Some((entity, stored.entity(&entity.name).ok()?)));
    shared.flat_map(|(declared, stored)| entities(declared, stored)).collect()
}

fn entities(declared: &Entity, stored: &Entity) -> Vec<Difference> {
    let (ours, theirs) = (canonical::entity(declared), canonical::entity(stored));
    ["fields", "indexes", "relations"]
        .iter()
        .flat_map(|part| items(&declared.name, &named(&ours, part), &named(&theirs, part)))
        .collect()
}

/// The items of one part by name.
fn named(entity: &Map, part: &str) -> Map {
    let list = entity.get(part).and_then(Value::as_list).unwrap_or_default();
    let pairs = list.iter().filter_map(Value::as_map).filter_map(|item| {
        let mut rest = item.clone();
        let name = rest.shift_remove("name")?;
        Some((name.as_text()?.to_owned(), Value::Map(rest)))
    });
    pairs.collect()
}

fn items(entity: &str, declared: &Map, stored: &Map) -> Vec<Difference> {
    let only_stored = stored.keys().filter(|name| !declared.contains_key(*name));
    let differing = declared.keys().chain(only_stored).filter(|name| declared.get(*name) != stored.get(*name));
    let text = |value: Option<&Value>| value.map(tagged::to_string);
    differing
        .map(|name| Difference {
            entity: entity.to_owned(),
            item: name.clone(),
            declared: text(declared.get(name)),
            stored: text(stored.get(name)),
        })
        .collect()
}
