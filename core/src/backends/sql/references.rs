//! Foreign keys from the contract: makes those that are missing, refuses those that mean something else, never drops.

use std::collections::HashSet;

use super::introspect::{Found, Reference as FoundReference, Table};
use super::schema::{Definitions, command, rows};
use crate::backend::Session;
use crate::error::{Error, Kind, Result};
use crate::schema::{Contract, OnDelete, Reference};
use crate::value::Value;

/// What a delete does, as catalogs say it. A restriction is checked when the statement has ended (`NO ACTION`): not in the
/// middle of it, where the order of rows would decide.
pub(in crate::backends) fn action(on_delete: OnDelete) -> &'static str {
    match on_delete {
        OnDelete::Cascade => "CASCADE",
        OnDelete::SetNull => "SET NULL",
        OnDelete::Restrict => "NO ACTION",
    }
}

/// `REFERENCES authors (id) ON DELETE CASCADE`.
pub(in crate::backends) fn target(definitions: &dyn Definitions, reference: &Reference) -> String {
    let keys: Vec<_> = reference.key_names().into_iter().map(|name| definitions.quote(name)).collect();
    let table = definitions.table(&reference.target.name);
    format!("REFERENCES {table} ({}) ON DELETE {}", keys.join(", "), action(reference.on_delete))
}

/// The whole constraint.
pub(in crate::backends) fn constraint(definitions: &dyn Definitions, reference: &Reference) -> String {
    let columns: Vec<_> = reference.column_names().into_iter().map(|name| definitions.quote(name)).collect();
    let (name, target) = (definitions.quote(&reference.name), target(definitions, reference));
    format!("CONSTRAINT {name} FOREIGN KEY ({}) {target}", columns.join(", "))
}

/// The statement that adds it to a table.
pub(in crate::backends) fn add(definitions: &dyn Definitions, reference: &Reference) -> String {
    let table = definitions.table(&reference.entity.name);
    format!("ALTER TABLE {table} ADD {}", constraint(definitions, reference))
}

/// What a database had before anything was made.
pub(super) struct Before<'a> {
    /// The contract that it was made for.
    pub(super) known: Option<&'a Contract>,
    /// The names of its tables and indexes.
    pub(super) existing: &'a HashSet<String>,
    /// Its tables with their foreign keys.
    pub(super) tables: Vec<Table>,
}

/// Makes the references that are missing, with their indexes, once all tables are there.
pub(super) async fn ensure(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
    contract: &Contract,
    before: &Before<'_>,
    created: &mut Vec<String>,
) -> Result<()> {
    // Whoever made an older constraint has seen to its index.
    let references = contract.references()?;
    let was_made = |reference: &&Reference| {
        if definitions.has_foreign_keys() {
            is_made(reference, &before.tables)
        } else {
            before.known.is_some_and(|known| reference.is_in(known))
        }
    };
    let missing: Vec<_> = references.all().iter().filter(|reference| !was_made(reference)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let tables = read(session, definitions).await?;
    for reference in missing {
        let (name, entity) = (&reference.name, &reference.entity.name);
        if let Some(index) = reference.index()?.filter(|index| !before.existing.contains(&index.name)) {
            let sql = definitions.create_index(&reference.entity, &index)?;
            command(session, &sql, Vec::new()).await.map_err(|error| refused(reference, &error))?;
            created.push(format!("index {} on {entity}", index.name));
        }
        if !definitions.has_foreign_keys() {
            refuse_dangling(session, definitions, reference).await?;
        } else if !is_made(reference, &tables) {
            refuse_other(reference, &tables)?;
            let Some(sql) = definitions.add_reference(reference)? else {
                return Err(mismatch(reference, "this database adds it only to a new table: write a migration"));
            };
            command(session, &sql, Vec::new()).await.map_err(|error| refused(reference, &error))?;
        }
        created.push(format!("reference {name} on {entity}"));
    }
    Ok(())
}

/// The foreign keys of all tables.
pub(super) async fn read(session: &mut dyn Session, definitions: &dyn Definitions) -> Result<Vec<Table>> {
    let mut found = Found::default();
    if definitions.has_foreign_keys() {
        found.add_referencing(&rows(session, &definitions.references(), Vec::new()).await?);
    }
    Ok(found.tables)
}

fn of_table<'a>(reference: &Reference, tables: &'a [Table]) -> &'a [FoundReference] {
    let table = tables.iter().find(|table| table.name == reference.entity.name);
    table.map_or(&[], |table| &table.references)
}

fn is_made(reference: &Reference, tables: &[Table]) -> bool {
    of_table(reference, tables).iter().any(|found| is_same(reference, found))
}

/// Refuses a foreign key of the same columns that does something else.
fn refuse_other(reference: &Reference, tables: &[Table]) -> Result<()> {
    let Some(other) = of_table(reference, tables).iter().find(|found| has_columns(reference, found)) else {
        return Ok(());
    };
    let (target, action) = (&other.target, &other.on_delete);
    Err(mismatch(reference, &format!("the table has another one, to {target} with ON DELETE {action}")))
}

fn has_columns(reference: &Reference, found: &FoundReference) -> bool {
    let columns: HashSet<&str> = found.pairs.iter().map(|(ours, _)| ours.as_str()).collect();
    columns == reference.column_names().into_iter().collect()
}

fn is_same(reference: &Reference, found: &FoundReference) -> bool {
    let (ours, keys) = (reference.column_names(), reference.key_names());
    let is_same_action = match reference.on_delete {
        OnDelete::Restrict => matches!(found.on_delete.as_str(), "NO ACTION" | "RESTRICT"),
        on_delete => found.on_delete == action(on_delete),
    };
    // A catalog that does not name the other columns means the key.
    let pair = |(column, key): (&&str, &&str)| {
        let is_pair =
            |(one, other): &(String, Option<String>)| one == column && other.as_deref().is_none_or(|o| o == *key);
        found.pairs.iter().any(is_pair)
    };
    found.target == reference.target.name
        && is_same_action
        && found.pairs.len() == ours.len()
        && ours.iter().zip(&keys).all(pair)
}

/// For databases that do not look themselves.
async fn refuse_dangling(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
    reference: &Reference,
) -> Result<()> {
    let quoted = |alias: &str, name: &str| format!("{alias}.{}", definitions.quote(name));
    let (ours, keys) = (reference.column_names(), reference.key_names());
    let pairs: Vec<_> =
        ours.iter().zip(&keys).map(|(one, key)| format!("{} = {}", quoted("o", one), quoted("t", key))).collect();
    let given: Vec<_> = ours.iter().map(|name| format!("{} IS NOT NULL", quoted("o", name))).collect();
    let sql = format!(
        "SELECT 1 AS found FROM {} o WHERE {} AND NOT EXISTS (SELECT 1 FROM {} t WHERE {}) LIMIT 1",
        definitions.table(&reference.entity.name),
        given.join(" AND "),
        definitions.table(&reference.target.name),
        pairs.join(" AND ")
    );
    let found = rows(session, &sql, Vec::new()).await?;
    if found.is_empty() { Ok(()) } else { Err(dangling(reference)) }
}

/// The refusal of a reference that rows break already.
pub(in crate::backends) fn dangling(reference: &Reference) -> Error {
    mismatch(reference, &format!("rows name rows of {} that are not there", reference.target.name))
}

fn mismatch(reference: &Reference, why: &str) -> Error {
    let (entity, relation) = (&reference.entity.name, &reference.relation);
    let message = format!("the reference {entity}.{relation} cannot be enforced: {why}");
    reference.explain(Error::new(Kind::ContractMismatch, message))
}

/// Why the engine did not take a constraint or its index.
fn refused(reference: &Reference, error: &Error) -> Error {
    match error.kind() {
        Kind::ForeignKeyViolation => dangling(reference),
        Kind::Backend | Kind::InvalidQuery => {
            let message = format!("{} (do its columns have the types of the key?)", error.message());
            mismatch(reference, &message)
        }
        _ => reference.explain(error.clone()),
    }
}

/// The facts of a violation whose constraint the engine names, as [`Reference::name`] is made.
pub(in crate::backends) fn violation(message: String, entity: &str, constraint: &str) -> Error {
    let error = Error::new(Kind::ForeignKeyViolation, message).with("constraint", Value::from(constraint));
    let relation = constraint.strip_prefix("fk_").and_then(|rest| rest.strip_prefix(entity)?.strip_prefix('_'));
    match relation {
        Some(relation) => error.with("entity", entity).with("relation", relation),
        None => error,
    }
}
