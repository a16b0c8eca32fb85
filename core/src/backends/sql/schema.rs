//! Tables, indexes and references from the contract: creates what is missing, refuses what is different, never drops.

use std::collections::{HashMap, HashSet};

use super::compile::compile;
use super::{Dialect, references};
use crate::backend::{Session, TransactionOptions};
use crate::backends::contract::{META, refuse_changes};
use crate::backends::search;
use crate::error::{Error, Kind, Result};
use crate::schema::{Contract, Entity, Field, FieldType, Index, Reference};
use crate::value::{Map, Value};

/// How one database spells definitions, and tells which it has.
pub(in crate::backends) trait Definitions: Dialect {
    /// What keeps others from making the same changes meanwhile, if anything is needed.
    fn lock(&self) -> Option<String>;

    /// What gives that lock back, if it outlives the transaction.
    fn unlock(&self) -> Option<String>;

    /// Whether definitions can be rolled back.
    fn is_transactional(&self) -> bool;

    /// A query for the names of all tables and indexes, as `name`.
    fn existing(&self) -> String;

    /// A query for the columns of a table, its one parameter, as `name` and `type`.
    fn columns(&self) -> String;

    /// The type of a column.
    fn column_type(&self, kind: &FieldType) -> String;

    /// Whether a column of this stored type holds every value of the field and orders it as we do.
    fn fits(&self, kind: &FieldType, stored: &str) -> bool;

    /// The definition of a column.
    fn column(&self, entity: &Entity, field: &Field) -> Result<String>;

    /// The statement that makes a table, with those references that can be made only there.
    fn create_table(&self, entity: &Entity, references: &[&Reference]) -> Result<String>;

    /// Whether the engine enforces references.
    fn has_foreign_keys(&self) -> bool;

    /// A query for the foreign keys of all tables: `references` of [`super::introspect::Questions`].
    fn references(&self) -> String;

    /// What stands behind the definition of a new column that alone is a reference, where constraints cannot be added.
    fn column_reference(&self, reference: &Reference) -> Option<String>;

    /// The statement that adds a reference to a table; `None` where there is none.
    fn add_reference(&self, reference: &Reference) -> Result<Option<String>>;

    /// The statement that makes an index.
    fn create_index(&self, entity: &Entity, index: &Index) -> Result<String>;

    /// A query for the reasons, as `why`, for which no full-text index of this server finds every word.
    fn why_no_search(&self) -> Option<String>;

    /// The statements that make the full-text index of a search field, under [`Entity::search_name`].
    fn create_search(&self, entity: &Entity, field: &Field) -> Result<Vec<String>>;

    /// The statement that makes the table of the stored contract where it is missing.
    fn create_meta(&self) -> String;

    /// The upsert of a `key` and its `value` there.
    fn put_meta(&self) -> String;
}

pub(super) async fn rows(session: &mut dyn Session, sql: &str, parameters: Vec<Value>) -> Result<Vec<Map>> {
    let rows = session.native(&Value::from(sql), &Value::List(parameters)).await?;
    Ok(rows.as_list().unwrap_or_default().iter().filter_map(|row| row.as_map().cloned()).collect())
}

pub(super) async fn command(session: &mut dyn Session, sql: &str, parameters: Vec<Value>) -> Result<()> {
    session.native(&Value::from(sql), &Value::List(parameters)).await.map(|_| ())
}

fn text(row: &Map, key: &str) -> String {
    row.get(key).and_then(Value::as_text).unwrap_or_default().to_owned()
}

async fn existing(session: &mut dyn Session, definitions: &dyn Definitions) -> Result<HashSet<String>> {
    let found = rows(session, &definitions.existing(), Vec::new()).await?;
    Ok(found.iter().map(|row| text(row, "name")).collect())
}

/// The stored contract; a database without `_farm_meta` has none.
pub(in crate::backends) async fn stored(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
) -> Result<Option<Contract>> {
    if !existing(session, definitions).await?.contains(META) {
        return Ok(None);
    }
    let (meta, key, value) = (definitions.table(META), definitions.quote("key"), definitions.quote("value"));
    let found = rows(session, &format!("SELECT {value} FROM {meta} WHERE {key} = 'contract'"), Vec::new()).await?;
    found.first().map(|row| Contract::parse(&text(row, "value"))).transpose()
}

/// Creates what is missing, in one transaction where definitions can be rolled back. Elsewhere what was created before an
/// error stays, and the next call goes on from there: the contract is stored last.
pub(in crate::backends) async fn ensure(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
    contract: &Contract,
) -> Result<Vec<String>> {
    if !definitions.is_transactional() {
        let created = create_missing(session, definitions, contract).await;
        if let Some(unlock) = definitions.unlock() {
            command(session, &unlock, Vec::new()).await?;
        }
        return created;
    }
    session.begin(&TransactionOptions::default()).await?;
    match create_missing(session, definitions, contract).await {
        Ok(created) => session.commit().await.map(|()| created),
        Err(error) => {
            session.rollback().await?;
            Err(error)
        }
    }
}

async fn create_missing(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
    contract: &Contract,
) -> Result<Vec<String>> {
    if let Some(lock) = definitions.lock() {
        command(session, &lock, Vec::new()).await?;
    }
    let known = stored(session, definitions).await?;
    refuse_changes(contract, known.as_ref())?;
    let existing = existing(session, definitions).await?;
    let (enforced, mut created) = (contract.references()?, Vec::new());
    let tables = if enforced.all().is_empty() { Vec::new() } else { references::read(session, definitions).await? };
    let before = references::Before { known: known.as_ref(), existing: &existing, tables };
    for entity in contract.entities() {
        if existing.contains(&entity.name) {
            let held: Vec<_> = enforced.from(&entity.name).collect();
            add_columns(session, definitions, entity, &held, &mut created).await?;
            if search::is_new(entity, known.as_ref()) {
                search::fill(session, &|operation| compile(definitions, operation), entity).await?;
            }
        } else {
            let held: Vec<_> = enforced.from(&entity.name).collect();
            command(session, &definitions.create_table(entity, &held)?, Vec::new()).await?;
            created.push(format!("table {}", entity.name));
        }
        for index in &entity.indexes {
            if !existing.contains(&index.name) {
                command(session, &definitions.create_index(entity, index)?, Vec::new()).await?;
                created.push(format!("index {} on {}", index.name, entity.name));
            }
        }
        if let Some(position) = entity.automatic.search.filter(|_| !existing.contains(&entity.search_name())) {
            create_search(session, definitions, entity, &entity.fields[position]).await?;
            created.push(format!("full-text index on {}", entity.name));
        }
    }
    references::ensure(session, definitions, contract, &before, &mut created).await?;
    let merged = known.map_or_else(|| contract.clone(), |known| known.merged_with(contract));
    command(session, &definitions.create_meta(), Vec::new()).await?;
    for (key, value) in [("contract", merged.to_json()), ("contract_hash", merged.hash())] {
        command(session, &definitions.put_meta(), vec![key.into(), value.into()]).await?;
    }
    Ok(created)
}

async fn create_search(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
    entity: &Entity,
    field: &Field,
) -> Result<()> {
    if let Some(question) = definitions.why_no_search()
        && let Some(reason) = rows(session, &question, Vec::new()).await?.first()
    {
        let (name, why) = (definitions.name(), text(reason, "why"));
        return Err(Error::unsupported(format!("{name}: {why}")).with("entity", entity.name.as_str()));
    }
    for statement in definitions.create_search(entity, field)? {
        command(session, &statement, Vec::new()).await?;
    }
    Ok(())
}

/// Adds columns that the table does not have, where old rows can have a value for them.
async fn add_columns(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
    entity: &Entity,
    held: &[&Reference],
    created: &mut Vec<String>,
) -> Result<()> {
    let found = rows(session, &definitions.columns(), vec![entity.name.as_str().into()]).await?;
    let columns: HashMap<String, String> = found.iter().map(|row| (text(row, "name"), text(row, "type"))).collect();
    for field in &entity.fields {
        let (table, name) = (&entity.name, &field.name);
        match columns.get(name) {
            Some(stored) if definitions.fits(&field.kind, stored) => {}
            Some(stored) => {
                let (kind, wanted) = (field.kind.name(), definitions.column_type(&field.kind));
                let message =
                    format!("{table}.{name} is declared {kind}, stored as {wanted}, but the table has {stored}");
                return Err(mismatch(entity, field, message));
            }
            None if field.primary_key || (!field.nullable && field.default.is_none()) => {
                let message =
                    format!("{table}.{name} is new and has no value for the rows that exist: write a migration");
                return Err(mismatch(entity, field, message));
            }
            None => {
                let mut definition = definitions.column(entity, field)?;
                let alone = held.iter().find(|reference| reference.column_names() == [name.as_str()]);
                if let Some(clause) = alone.and_then(|reference| definitions.column_reference(reference)) {
                    definition += &format!(" {clause}");
                }
                let sql = format!("ALTER TABLE {} ADD COLUMN {definition}", definitions.table(table));
                command(session, &sql, Vec::new()).await?;
                created.push(format!("column {table}.{name}"));
            }
        }
    }
    Ok(())
}

fn mismatch(entity: &Entity, field: &Field, message: String) -> Error {
    Error::new(Kind::ContractMismatch, message).with("entity", entity.name.as_str()).with("field", field.name.as_str())
}
