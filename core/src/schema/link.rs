//! Relations resolved against a contract: which columns of which entities are equal where two rows belong together.
//!
//! Not for: loading (`repository::include`), enforcing.

use std::sync::Arc;

use super::entity::{Entity, Relation, RelationKind};
use super::{Contract, distance};
use crate::error::{Error, Result};

/// How to get from rows of one entity to the rows of another.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The relation's name.
    pub(crate) name: String,
    /// Whether there may be several rows on the other side.
    pub(crate) many: bool,
    /// The columns on our side.
    pub(crate) from: Vec<usize>,
    /// The entity between.
    pub(crate) through: Option<Through>,
    /// The other entity.
    pub(crate) target: Arc<Entity>,
    /// The columns on the other side.
    pub(crate) to: Vec<usize>,
}

/// The entity between two others.
#[derive(Clone, Debug)]
pub(crate) struct Through {
    pub(crate) entity: Arc<Entity>,
    /// Its columns that are equal to ours.
    pub(crate) ours: Vec<usize>,
    /// Its columns that are equal to those on the other side.
    pub(crate) theirs: Vec<usize>,
}

impl Entity {
    /// The declared relation of this name.
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.name == name)
    }

    fn unknown_relation(&self, name: &str) -> Error {
        let near = self.relations.iter().map(|relation| (distance(&relation.name, name), &relation.name)).min();
        let hint =
            near.filter(|(far, _)| *far <= 2).map_or(String::new(), |(_, name)| format!(", did you mean {name:?}?"));
        Error::unknown_field(format!("{} has no relation {name:?}{hint}", self.name))
            .with("entity", self.name.as_str())
            .with("relation", name)
    }
}

impl Link {
    /// Resolves a relation of an entity. `unknown_field` where it has none of this name, `invalid_schema` where the
    /// relation does not fit the contract.
    pub(crate) fn resolve(contract: &Contract, entity: &Entity, name: &str) -> Result<Self> {
        let relation = entity.relation(name).ok_or_else(|| entity.unknown_relation(name))?;
        Self::of(contract, entity, relation)
            .map_err(|error| error.with("entity", entity.name.as_str()).with("relation", name))
    }

    fn of(contract: &Contract, entity: &Entity, relation: &Relation) -> Result<Self> {
        let target = contract.entity(&relation.target)?;
        let positions = |owner: &Entity, names: &[String]| -> Result<Vec<usize>> {
            names.iter().map(|name| owner.position(name)).collect()
        };
        let mut link = Self {
            name: relation.name.clone(),
            many: matches!(relation.kind, RelationKind::OneToMany | RelationKind::ManyToMany),
            from: entity.key.clone(),
            through: None,
            target: Arc::clone(target),
            to: target.key.clone(),
        };
        match relation.kind {
            RelationKind::ManyToMany => {
                let Some(between) = &relation.through else {
                    return Err(Error::invalid_schema(format!("many_to_many {:?} needs \"through\"", relation.name)));
                };
                let between = contract.entity(between)?;
                let mut ours = positions(between, &relation.fields)?;
                let theirs = ours.split_off(entity.key.len().min(ours.len()));
                same_types(relation, (between, &ours), (entity, &entity.key))?;
                same_types(relation, (between, &theirs), (target, &target.key))?;
                link.through = Some(Through { entity: Arc::clone(between), ours, theirs });
            }
            RelationKind::OneToMany => link.to = positions(target, &relation.fields)?,
            RelationKind::OneToOne if relation.inverse => link.to = positions(target, &relation.fields)?,
            RelationKind::OneToOne | RelationKind::ManyToOne => link.from = positions(entity, &relation.fields)?,
        }
        if link.through.is_none() {
            same_types(relation, (entity, &link.from), (target, &link.to))?;
        }
        Ok(link)
    }
}

/// Refuses columns that cannot be equal.
fn same_types(relation: &Relation, left: (&Entity, &[usize]), right: (&Entity, &[usize])) -> Result<()> {
    let kinds = |(entity, columns): (&Entity, &[usize])| -> Vec<_> {
        columns.iter().map(|column| entity.fields[*column].kind.name()).collect()
    };
    let names = |(entity, columns): (&Entity, &[usize])| {
        let shown: Vec<_> =
            columns.iter().map(|column| format!("{}.{}", entity.name, entity.fields[*column].name)).collect();
        shown.join(", ")
    };
    if kinds(left) == kinds(right) {
        return Ok(());
    }
    Err(Error::invalid_schema(format!(
        "relation {:?} compares ({}) with ({}), which are of other types or another number",
        relation.name,
        names(left),
        names(right)
    )))
}
