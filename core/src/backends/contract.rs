//! The stored contract: where it lies, and which differences from it no backend may pass over.

use crate::error::{Error, Kind, Result};
use crate::schema::{Contract, Difference, Entity, Field, Relation};
use crate::value::Value;

/// Where the contract lies: `key` and `value` as text.
pub(super) const META: &str = "_farm_meta";

/// Where the marks of references lie that the core enforces (`repository/references.rs`).
pub(crate) const REFERENCES: &str = "_farm_references";

/// What cannot be done by adding: anything that changes or removes a stored field, or lifts a stored uniqueness.
pub(super) fn refuse_changes(contract: &Contract, known: Option<&Contract>) -> Result<()> {
    let Some(known) = known else { return Ok(()) };
    let is_in_the_way = |difference: &Difference| {
        let ours = contract.entity(&difference.entity);
        let theirs = known.entity(&difference.entity);
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return false };
        match (ours.field(&difference.item), theirs.field(&difference.item)) {
            (Some(ours), Some(theirs)) => storage_differs(ours, theirs),
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => {
                index_differs(ours, theirs, &difference.item) || is_reference_lost(ours, theirs, &difference.item)
            }
        }
    };
    let differences = contract.differences(known);
    let changed: Vec<_> =
        differences.iter().filter(|difference| is_in_the_way(difference)).map(ToString::to_string).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::ContractMismatch,
        format!("the database was made for another contract: {}", changed.join("; ")),
    )
    .with("differences", changed.into_iter().map(Value::Text).collect::<Vec<_>>()))
}

/// Whether the same stored bytes would mean something else or could be missing; looser or tighter constraints are
/// checked on the way in and change nothing that is stored.
fn storage_differs(ours: &Field, theirs: &Field) -> bool {
    ours.kind.name() != theirs.kind.name()
        || ours.nullable != theirs.nullable
        || ours.primary_key != theirs.primary_key
        || ours.generated != theirs.generated
}

/// Whether a stored index forbids what the app allows, or covers something else under the same name. One that only makes
/// reading faster may stay.
fn index_differs(ours: &Entity, theirs: &Entity, name: &str) -> bool {
    let find = |entity: &Entity| entity.indexes.iter().find(|index| index.name == name).cloned();
    match (find(ours), find(theirs)) {
        (Some(_), Some(_)) => true,
        (None, Some(index)) => index.unique,
        _ => false,
    }
}

/// Whether the database enforces a reference that the app does not have; under another name it is the same.
fn is_reference_lost(ours: &Entity, theirs: &Entity, name: &str) -> bool {
    let lost = |relation: &&Relation| {
        let is_same = |other: &Relation| {
            (&other.target, &other.fields, other.on_delete) == (&relation.target, &relation.fields, relation.on_delete)
        };
        !ours.relations.iter().any(is_same)
    };
    theirs.relations.iter().filter(|relation| relation.name == name && relation.is_enforced()).any(|found| lost(&found))
}
