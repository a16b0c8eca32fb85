//! References that are enforced: which columns of one entity name the key of another, and what a delete there does.
//!
//! Invariant: a [`Reference`] was checked against both of its entities. A relation without `on_delete` is none, nor is one
//! whose key lies on the other side. Not for: enforcing them, which is the engine's work or the repositories'.

use std::collections::HashSet;
use std::sync::Arc;

use super::entity::{Entity, Index, IndexField, OnDelete, Relation, RelationKind};
use super::{Contract, Path};
use crate::error::{Error, Result};
use crate::value::{Value, tagged};

/// Columns of one entity that hold the key of a row of another.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The name of the constraint and of its index: `fk_<entity>_<relation>`.
    pub name: String,
    /// The relation's name.
    pub relation: String,
    /// The entity that holds the key.
    pub entity: Arc<Entity>,
    /// The positions of the columns that hold it, in the order of the target's key.
    pub columns: Vec<usize>,
    /// The entity whose key it is.
    pub target: Arc<Entity>,
    /// What a delete of the target's row does to the row that names it.
    pub on_delete: OnDelete,
}

impl Reference {
    /// The names of the columns.
    pub fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|position| self.entity.fields[*position].name.as_str()).collect()
    }

    /// The names of the target's key.
    pub fn key_names(&self) -> Vec<&str> {
        self.target.key.iter().map(|position| self.target.fields[*position].name.as_str()).collect()
    }

    /// The key that a row of the entity names; `None` where a part of it is null, which names no row.
    pub fn named_by(&self, row: &[Value]) -> Option<Vec<Value>> {
        let part = |position: &usize| (!row[*position].is_null()).then(|| row[*position].clone());
        self.columns.iter().map(part).collect()
    }

    /// The index by which the rows that name a key are found; `None` where another one serves.
    pub fn index(&self) -> Result<Option<Index>> {
        let names = self.column_names();
        let serves = |index: &&Index| {
            // A unique index of an entity with soft delete covers only the living rows.
            let covers_all = index.condition.is_none() && !(index.unique && self.entity.is_soft_deleted());
            let parts = index.fields.iter().map(|part| (part.path.text.as_str(), part.descending));
            covers_all && parts.take(names.len()).eq(names.iter().map(|name| (*name, false)))
        };
        if self.entity.key.starts_with(&self.columns) || self.entity.indexes.iter().any(|index| serves(&index)) {
            return Ok(None);
        }
        let part = |name: &&str| Ok(IndexField { path: Path::resolve(&self.entity, name)?, descending: false });
        let fields = names.iter().map(part).collect::<Result<_>>()?;
        Ok(Some(Index { name: self.name.clone(), fields, unique: false, condition: None }))
    }

    /// Whether a contract has it already, under whatever name.
    pub fn is_in(&self, contract: &Contract) -> bool {
        let is_same = |relation: &Relation| {
            let ours = (self.target.name.as_str(), Some(self.on_delete));
            relation.is_enforced()
                && (relation.target.as_str(), relation.on_delete) == ours
                && relation.fields == self.column_names()
        };
        contract.entity(&self.entity.name).is_ok_and(|entity| entity.relations.iter().any(is_same))
    }

    /// Adds what a failure is about.
    pub(crate) fn explain(&self, error: Error) -> Error {
        error
            .with("entity", self.entity.name.as_str())
            .with("relation", self.relation.as_str())
            .with("fields", self.column_names().into_iter().map(Value::from).collect::<Vec<_>>())
    }
}

/// One text for equal keys, and another for every other.
pub(crate) fn identity(key: &[Value]) -> String {
    let plain = key.iter().map(|value| match value {
        Value::Decimal(number) => Value::Decimal(number.normalized()),
        value => value.clone(),
    });
    tagged::to_string(&Value::List(plain.collect()))
}

/// The enforced references of a contract.
#[derive(Debug, Default)]
pub struct References {
    all: Vec<Reference>,
    walked: HashSet<String>,
}

impl References {
    pub(super) fn of_contract(contract: &Contract) -> Result<Self> {
        let mut all: Vec<Reference> = Vec::new();
        for entity in contract.entities() {
            for relation in entity.relations.iter().filter(|relation| relation.on_delete.is_some()) {
                let reference = read(contract, entity, relation).map_err(|error| {
                    error.with("entity", entity.name.as_str()).with("relation", relation.name.as_str())
                })?;
                if let Some(twin) = all.iter().find(|other| other.name == reference.name) {
                    let (one, other) = (&twin.entity.name, &entity.name);
                    let message = format!("relations of {one} and {other} would both be named {:?}", twin.name);
                    return Err(reference.explain(Error::invalid_schema(message)));
                }
                all.push(reference);
            }
        }
        let mut references = Self { all, walked: HashSet::new() };
        let walked = contract.entities().iter().filter(|entity| references.meet_below(&entity.name));
        references.walked = walked.map(|entity| entity.name.clone()).collect();
        Ok(references)
    }

    /// All of them.
    pub fn all(&self) -> &[Reference] {
        &self.all
    }

    /// Those that an entity holds.
    pub fn from<'a>(&'a self, entity: &'a str) -> impl Iterator<Item = &'a Reference> {
        self.all.iter().filter(move |reference| reference.entity.name == entity)
    }

    /// Whether engines would differ in what a delete of this entity's rows does, so that the core walks from row to row:
    /// where cascades come back to an entity (`InnoDB` follows 15 levels, `SQLite` 1,000), and where a cascade may delete
    /// a row that refuses another delete of the same cascade (the outcome would be one of the order in which they happen).
    pub fn is_walked(&self, entity: &str) -> bool {
        self.walked.contains(entity)
    }

    fn meet_below(&self, entity: &str) -> bool {
        let deleted = self.deleted_with(entity);
        let inside = |reference: &&Reference| {
            deleted.contains(reference.entity.name.as_str()) && deleted.contains(reference.target.name.as_str())
        };
        self.all.iter().filter(inside).any(|reference| match reference.on_delete {
            OnDelete::Restrict => true,
            OnDelete::SetNull => false,
            OnDelete::Cascade => self.deleted_with(&reference.entity.name).contains(reference.target.name.as_str()),
        })
    }

    /// The entities whose rows a delete of this one's may delete, itself too.
    fn deleted_with<'a>(&'a self, entity: &'a str) -> HashSet<&'a str> {
        let (mut found, mut next) = (HashSet::from([entity]), vec![entity]);
        while let Some(entity) = next.pop() {
            let cascades = self.all.iter().filter(|reference| reference.on_delete == OnDelete::Cascade);
            for reference in cascades.filter(|reference| reference.target.name == entity) {
                if found.insert(&reference.entity.name) {
                    next.push(&reference.entity.name);
                }
            }
        }
        found
    }
}

/// A relation with `on_delete` as a reference, checked.
fn read(contract: &Contract, entity: &Arc<Entity>, relation: &Relation) -> Result<Reference> {
    let place = format!("{}.{}", entity.name, relation.name);
    let Some(on_delete) = relation.on_delete.filter(|_| relation.is_enforced()) else {
        let message = format!("{place}: \"on_delete\" belongs to the side that holds the other's key");
        return Err(Error::invalid_schema(message));
    };
    let Ok(target) = contract.entity(&relation.target) else {
        return Err(Error::invalid_schema(format!("{place}: there is no entity {:?}", relation.target)));
    };
    let columns = relation.fields.iter().map(|name| {
        let missing = || Error::invalid_schema(format!("{place}: {} has no field {name:?}", entity.name));
        entity.position(name).map_err(|_| missing().with("field", name.as_str()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    if columns.len() != target.key.len() {
        let (ours, theirs) = (columns.len(), target.key.len());
        return Err(Error::invalid_schema(format!(
            "{place}: {ours} fields cannot hold the key of {}, which has {theirs}",
            target.name
        )));
    }
    for (position, key) in columns.iter().zip(&target.key) {
        let (field, key) = (&entity.fields[*position], &target.fields[*key]);
        let wrong = |message: String| Err(Error::invalid_schema(message).with("field", field.name.as_str()));
        if field.kind.name() != key.kind.name() {
            let (name, ours, theirs) = (&field.name, field.kind.name(), key.kind.name());
            return wrong(format!("{place}: {name} is {ours}, but {}.{} is {theirs}", target.name, key.name));
        }
        if on_delete == OnDelete::SetNull && !field.nullable {
            return wrong(format!("{place}: {} cannot become null, as \"set_null\" wants", field.name));
        }
    }
    Ok(Reference {
        name: format!("fk_{}_{}", entity.name, relation.name),
        relation: relation.name.clone(),
        entity: Arc::clone(entity),
        columns,
        target: Arc::clone(target),
        on_delete,
    })
}

impl Relation {
    /// Whether it is a reference that is enforced: this side holds the other's key, and `on_delete` is given.
    pub fn is_enforced(&self) -> bool {
        let ours = matches!(self.kind, RelationKind::ManyToOne | RelationKind::OneToOne) && !self.inverse;
        self.on_delete.is_some() && ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` to `e`; each relation is `entity>target action`.
    fn references(relations: &[&str]) -> References {
        let entities = ["a", "b", "c", "d", "e"].map(|name| {
            let own = relations.iter().filter(|text| text.starts_with(name)).map(|text| {
                let (target, action) = (&text[2..3], &text[4..]);
                format!(
                    r#"{{"name": "{target}_{action}", "kind": "many_to_one", "target": "{target}",
                    "fields": ["{target}_id"], "on_delete": "{action}"}}"#
                )
            });
            let own = own.collect::<Vec<_>>().join(",");
            let fields = ["a", "b", "c", "d", "e"]
                .map(|target| format!(r#"{{"name": "{target}_id", "type": {{"kind": "int"}}, "nullable": true}}"#));
            format!(
                r#"{{"name": "{name}", "relations": [{own}], "indexes": [{{"fields": ["a_id", "b_id"]}}],
                "fields": [{{"name": "id", "type": {{"kind": "int"}}, "primary_key": true}}, {}]}}"#,
                fields.join(",")
            )
        });
        let contract = format!(r#"{{"version": 1, "entities": [{}]}}"#, entities.join(","));
        References::of_contract(&Contract::parse(&contract).unwrap()).unwrap()
    }

    #[test]
    fn deletes_are_walked_where_engines_would_differ() {
        for (relations, walked) in [
            (vec!["b>a cascade", "c>b cascade", "d>c restrict", "e>d set_null"], ""),
            (vec!["a>a set_null"], ""),
            (vec!["a>a cascade"], "a"),
            (vec!["a>a restrict"], "a"),
            // Above a circle, and in it.
            (vec!["b>a cascade", "c>b cascade", "b>c cascade"], "abc"),
            (vec!["b>a cascade", "a>b set_null"], ""),
            (vec!["b>a cascade", "a>b restrict"], "a"),
            // A cascade on one side, a restriction on the other.
            (vec!["b>a cascade", "c>a cascade", "d>b restrict", "d>c cascade"], "a"),
        ] {
            let found = references(&relations);
            let names: String = ["a", "b", "c", "d", "e"].into_iter().filter(|name| found.is_walked(name)).collect();
            assert_eq!(names, walked, "{relations:?}");
        }
    }

    #[test]
    fn an_index_is_made_where_none_begins_with_the_columns() {
        let found = references(&["b>a cascade", "c>b cascade"]);
        let names: Vec<_> =
            found.all().iter().map(|reference| reference.index().unwrap().map(|index| index.name)).collect();
        assert_eq!(names, [None, Some("fk_c_b_cascade".to_owned())]);
    }
}
