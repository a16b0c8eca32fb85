//! The contract: what entities, fields, indexes and relations an app declares, the same for Python and TypeScript.
//!
//! Invariant: a [`Contract`] is checked when it is made; everything else may rely on it. The canonical JSON and its hash
//! depend only on the meaning, not on the order in which a host wrote it. Not for: what a database really has.

mod canonical;
mod check;
mod compare;
mod entity;
mod field;
mod link;
mod parse;
mod path;
mod references;
mod search;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub(crate) use check::is_exact;
pub use check::{Record, check_element, coerce_operand, has_exact_json};
pub use compare::Difference;
pub use entity::{Automatic, Entity, Index, IndexField, OnDelete, Relation, RelationKind};
pub(crate) use entity::{check_name, distance};
pub use field::{Auto, Constraints, Field, FieldType, Generated, Model, Pattern};
pub(crate) use link::Link;
pub use path::{Path, Target};
pub(crate) use references::identity;
pub use references::{Reference, References};

use crate::error::{Error, Result};
use crate::value::Map;

/// All entities of an app.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    entities: Vec<Arc<Entity>>,
    by_name: HashMap<String, usize>,
    references: OnceLock<Result<Arc<References>>>,
}

impl Contract {
    /// A contract of these entities, which have different names.
    pub fn new(entities: Vec<Entity>) -> Result<Self> {
        let mut entities: Vec<_> = entities.into_iter().map(Arc::new).collect();
        entities.sort_by(|a, b| a.name.cmp(&b.name));
        let mut by_name = HashMap::new();
        for (index, entity) in entities.iter().enumerate() {
            if by_name.insert(entity.name.clone(), index).is_some() {
                return Err(Error::invalid_schema(format!("two entities are named {:?}", entity.name)));
            }
        }
        Ok(Self { entities, by_name, references: OnceLock::new() })
    }

    /// Reads a contract as a host writes it (see ARCHITECTURE.md, "The contract").
    pub fn parse(json: &str) -> Result<Self> {
        parse::contract(json)
    }

    /// The entities, sorted by name.
    pub fn entities(&self) -> &[Arc<Entity>] {
        &self.entities
    }

    /// The entity of this name.
    pub fn entity(&self, name: &str) -> Result<&Arc<Entity>> {
        let index = self.by_name.get(name);
        index.map(|index| &self.entities[*index]).ok_or_else(|| {
            Error::invalid_schema(format!("no model is registered for entity {name:?}")).with("entity", name)
        })
    }

    /// The references that are enforced, once all of their entities are here; `invalid_schema` where one cannot be.
    pub fn references(&self) -> Result<Arc<References>> {
        self.references.get_or_init(|| References::of_contract(self).map(Arc::new)).clone()
    }

    /// The canonical form.
    pub fn to_map(&self) -> Map {
        canonical::contract(self)
    }

    /// The canonical JSON: sorted keys, no white space.
    pub fn to_json(&self) -> String {
        crate::value::tagged::map_to_string(&self.to_map())
    }

    /// The sha-256 of the canonical JSON, as 64 hexadecimal digits.
    pub fn hash(&self) -> String {
        canonical::hash(&self.to_json())
    }

    /// This contract with the entities of `other` added or put in place of those of the same name.
    #[must_use]
    pub fn merged_with(&self, other: &Self) -> Self {
        let kept = self.entities.iter().filter(|entity| !other.by_name.contains_key(&entity.name));
        let mut entities: Vec<_> = kept.chain(&other.entities).cloned().collect();
        entities.sort_by(|a, b| a.name.cmp(&b.name));
        let by_name = entities.iter().enumerate().map(|(index, entity)| (entity.name.clone(), index)).collect();
        Self { entities, by_name, references: OnceLock::new() }
    }

    /// How this contract differs from `stored`, entity by entity and field by field, for entities that both know.
    pub fn differences(&self, stored: &Self) -> Vec<Difference> {
        compare::contracts(self, stored)
    }
}
