//! Collections, validators and indexes from the contract: creates what is missing, never drops.

use std::collections::HashSet;

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error as DriverError;

use super::client::Store;
use super::commands::COUNTERS;
use super::compile::compile;
use super::error::translate;
use super::filter::condition;
use super::late;
use super::layout::{ID, Layout};
use super::references;
use super::values::column;
use crate::backend::Session;
use crate::backends::contract::{META, refuse_changes};
use crate::backends::search;
use crate::error::{Error, Kind, Result};
use crate::query::Filter;
use crate::schema::{Contract, Entity, Field, FieldType, Generated, Index};

/// `NamespaceExists`: someone else was faster.
const EXISTS: i32 = 48;

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
pub(super) fn failed(error: DriverError) -> Error {
    translate(&error, None)
}

/// The stored contract.
pub(super) async fn stored(store: &Store) -> Result<Option<Contract>> {
    let meta = store.database.collection::<Document>(META);
    let found = meta.find_one(doc! { ID: "contract" }).await.map_err(failed)?;
    found.map(|found| Contract::parse(found.get_str("value").unwrap_or_default())).transpose()
}

/// Creates what is missing. MongoDB's definitions cannot be rolled back; each of them may be repeated.
pub(super) async fn ensure(store: &Store, session: &mut dyn Session, contract: &Contract) -> Result<Vec<String>> {
    let known = stored(store).await?;
    refuse_changes(contract, known.as_ref())?;
    let names = store.database.list_collection_names().await.map_err(failed)?;
    let existing: HashSet<String> = names.into_iter().collect();
    let mut created = Vec::new();
    let mut notes = late::notes(store).await?;
    for entity in contract.entities() {
        check_names(entity)?;
        let before = known.as_ref().and_then(|known| known.entity(&entity.name).ok());
        if existing.contains(&entity.name) {
            if let Some(before) = before {
                if add_fields(store, entity, before, &mut created).await? {
                    notes = late::notes(store).await?;
                }
                late::fill(store, &notes, entity).await?;
            }
            if search::is_new(entity, known.as_ref()) {
                search::fill(session, &compile, entity).await?;
            }
        } else {
            create_collection(store, entity).await?;
            created.push(format!("collection {}", entity.name));
        }
        prepare_counter(store, entity).await?;
        create_indexes(store, entity, &mut created).await?;
        create_search(store, entity, &mut created).await?;
    }
    references::ensure(store, contract, known.as_ref(), &existing, &mut created).await?;
    let merged = known.map_or_else(|| contract.clone(), |known| known.merged_with(contract));
    let meta = store.database.collection::<Document>(META);
    for (key, value) in [("contract", merged.to_json()), ("contract_hash", merged.hash())] {
        let set = doc! { "$set": { "value": value } };
        meta.update_one(doc! { ID: key }, set).upsert(true).await.map_err(failed)?;
    }
    Ok(created)
}

/// Refuses names that documents cannot have, or that would take the key's place.
fn check_names(entity: &Entity) -> Result<()> {
    for (position, field) in entity.fields.iter().enumerate() {
        let name = field.name.as_str();
        let takes_id = name == ID && entity.key != [position];
        if takes_id || name.starts_with('$') || name.contains('.') || name.contains('\0') {
            return Err(Error::invalid_schema(format!("a document of mongodb has no place for a field {name:?}"))
                .with("entity", entity.name.as_str())
                .with("field", name));
        }
    }
    Ok(())
}

async fn create_collection(store: &Store, entity: &Entity) -> Result<()> {
    made(store.database.create_collection(&entity.name).validator(validator(entity)).await)
}

/// A collection that is no entity's.
pub(super) async fn ensure_collection(store: &Store, name: &str) -> Result<()> {
    made(store.database.create_collection(name).await)
}

fn made(outcome: std::result::Result<(), DriverError>) -> Result<()> {
    match outcome {
        Err(error) if code(&error) == Some(EXISTS) => Ok(()),
        outcome => outcome.map_err(failed),
    }
}

fn code(error: &DriverError) -> Option<i32> {
    match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(failure) => Some(failure.code),
        _ => None,
    }
}

/// Notes which fields of a collection that was made for an earlier contract are new, and tells its validator of them;
/// whether there were any.
async fn add_fields(store: &Store, entity: &Entity, before: &Entity, created: &mut Vec<String>) -> Result<bool> {
    let new: Vec<&Field> = entity.fields.iter().filter(|field| before.field(&field.name).is_none()).collect();
    if new.is_empty() {
        return Ok(false);
    }
    for field in &new {
        let Some(default) = field.default.clone().or(field.nullable.then_some(crate::value::Value::Null)) else {
            let (table, name) = (&entity.name, &field.name);
            let message = format!("{table}.{name} is new and has no value for the rows that exist: write a migration");
            return Err(Error::new(Kind::ContractMismatch, message)
                .with("entity", table.as_str())
                .with("field", name.as_str()));
        };
        // A default that cannot be stored is refused before anything is changed.
        column(&default)?;
        created.push(format!("field {}.{}", entity.name, field.name));
    }
    late::note(store, entity, &new).await?;
    let change = doc! { "collMod": &entity.name, "validator": validator(entity) };
    store.database.run_command(change).await.map(|_| true).map_err(failed)
}

/// What other programs must keep to when they write: the types, and which fields are there. One with a default may be
/// missing: an app of an earlier contract, which runs beside us while a new version is rolled out, does not know it.
fn validator(entity: &Entity) -> Document {
    let layout = Layout::new(entity);
    let (mut properties, mut required) = (Document::new(), vec![ID.to_owned()]);
    for (position, field) in entity.fields.iter().enumerate() {
        if layout.key.contains(&position) {
            continue;
        }
        if let Some(mut types) = bson_types(&field.kind) {
            if field.nullable {
                types.push("null");
            }
            properties.insert(field.name.clone(), doc! { "bsonType": types });
        }
        if !field.nullable && field.default.is_none() {
            required.push(field.name.clone());
        }
    }
    doc! { "$jsonSchema": { "bsonType": "object", "required": required, "properties": properties } }
}

/// The BSON types that a field of this type may hold; `None` for any.
fn bson_types(kind: &FieldType) -> Option<Vec<&'static str>> {
    Some(match kind {
        FieldType::Int => vec!["int", "long"],
        FieldType::Float => vec!["double", "int", "long"],
        FieldType::Decimal => vec!["decimal", "int", "long"],
        FieldType::Text | FieldType::Date | FieldType::Time => vec!["string"],
        FieldType::Bytes | FieldType::Uuid => vec!["binData"],
        FieldType::Bool => vec!["bool"],
        FieldType::ObjectId => vec!["objectId"],
        FieldType::DateTime => vec!["date"],
        FieldType::List(_) => vec!["array"],
        FieldType::Map(_) | FieldType::Model(_) => vec!["object"],
        FieldType::Any => return None,
    })
}

/// Lets the counter of a collection that has documents already begin behind them.
async fn prepare_counter(store: &Store, entity: &Entity) -> Result<()> {
    let counts = |position: &usize| entity.fields[*position].generated == Some(Generated::AutoIncrement);
    if !entity.key.iter().any(counts) {
        return Ok(());
    }
    let documents = store.database.collection::<Document>(&entity.name);
    let last = documents.find_one(Document::new()).sort(doc! { ID: -1 }).await.map_err(failed)?;
    let last = last.and_then(|last| match last.get(ID) {
        Some(Bson::Int64(number)) => Some(*number),
        Some(Bson::Int32(number)) => Some(i64::from(*number)),
        _ => None,
    });
    let counters = store.database.collection::<Document>(COUNTERS);
    let update = doc! { "$max": { "value": last.unwrap_or(0).max(0) } };
    counters.update_one(doc! { ID: &entity.name }, update).upsert(true).await.map(|_| ()).map_err(failed)
}

async fn create_indexes(store: &Store, entity: &Entity, created: &mut Vec<String>) -> Result<()> {
    for index in &entity.indexes {
        create_missing_index(store, entity, index, created).await?;
    }
    Ok(())
}

pub(super) async fn create_missing_index(
    store: &Store,
    entity: &Entity,
    index: &Index,
    created: &mut Vec<String>,
) -> Result<()> {
    let documents = store.database.collection::<Document>(&entity.name);
    if documents.list_index_names().await.map_err(failed)?.contains(&index.name) {
        return Ok(());
    }
    let definition = definition(entity, &Layout::new(entity), index)?;
    let command = doc! { "createIndexes": &entity.name, "indexes": [definition] };
    store.database.run_command(command).await.map_err(|error| {
        let error = failed(error);
        // A condition that the server does not allow there.
        let is_ours = matches!(error.kind(), Kind::Backend);
        let error = if is_ours { Error::invalid_schema(error.message().to_owned()) } else { error };
        error.with("entity", entity.name.as_str()).with("index", index.name.as_str())
    })?;
    created.push(format!("index {} on {}", index.name, entity.name));
    Ok(())
}

/// The text index of a search field; a collection has one at most. Nothing is stemmed and nothing left out, and no field of
/// a document can name another language.
async fn create_search(store: &Store, entity: &Entity, created: &mut Vec<String>) -> Result<()> {
    let Some(position) = entity.automatic.search else { return Ok(()) };
    let documents = store.database.collection::<Document>(&entity.name);
    let name = entity.search_name();
    if documents.list_index_names().await.map_err(failed)?.contains(&name) {
        return Ok(());
    }
    let index = doc! {
        "key": { Layout::new(entity).column(position): "text" },
        "name": &name,
        "default_language": "none",
        "language_override": "_farm_language",
    };
    let command = doc! { "createIndexes": &entity.name, "indexes": [index] };
    store.database.run_command(command).await.map_err(failed)?;
    created.push(format!("full-text index on {}", entity.name));
    Ok(())
}

fn definition(entity: &Entity, layout: &Layout, index: &Index) -> Result<Document> {
    let key: Document = index
        .fields
        .iter()
        .map(|part| (layout.name(&part.path), Bson::Int32(if part.descending { -1 } else { 1 })))
        .collect();
    let mut definition = doc! { "key": key, "name": &index.name };
    let mut covered = Vec::new();
    if let Some(written) = &index.condition {
        let filter = Filter::parse(written, entity).map_err(|error| Error::invalid_schema(error.to_string()))?;
        let found = condition(layout, &filter);
        if !found.exact {
            let name = &index.name;
            return Err(Error::invalid_schema(format!(
                "the condition of index {name:?} is more than mongodb allows there"
            ))
            .with("entity", entity.name.as_str()));
        }
        covered.push(found.document);
    }
    if index.unique {
        definition.insert("unique", true);
        covered.extend(index.fields.iter().filter_map(|part| {
            // As in SQL, rows without a value do not stand in each other's way.
            let field = &entity.fields[part.path.column];
            let lowest = lowest(&part.path.single_scalar().cloned().unwrap_or(FieldType::Any))?;
            (field.nullable || !part.path.is_column()).then(|| doc! { layout.name(&part.path): { "$gte": lowest } })
        }));
        if let Some(deleted) = entity.automatic.deleted {
            let named = index.condition.as_ref().is_some_and(|map| map.contains_key(&entity.fields[deleted].name));
            if !named {
                covered.push(doc! { layout.column(deleted): null });
            }
        }
    }
    if !covered.is_empty() {
        let mut merged = Document::new();
        for part in covered {
            merged.extend(part);
        }
        definition.insert("partialFilterExpression", merged);
    }
    Ok(definition)
}

/// The lowest value of a type, so that `$gte` means every value but null.
fn lowest(kind: &FieldType) -> Option<Bson> {
    Some(match kind {
        FieldType::Int | FieldType::Float | FieldType::Decimal => Bson::Double(f64::NEG_INFINITY),
        FieldType::Text | FieldType::Date | FieldType::Time => Bson::String(String::new()),
        FieldType::Bool => Bson::Boolean(false),
        FieldType::ObjectId => Bson::ObjectId(mongodb::bson::oid::ObjectId::from_bytes([0; 12])),
        FieldType::DateTime => Bson::DateTime(mongodb::bson::DateTime::MIN),
        FieldType::Bytes | FieldType::Uuid => Bson::Binary(mongodb::bson::Binary {
            subtype: mongodb::bson::spec::BinarySubtype::Generic,
            bytes: Vec::new(),
        }),
        _ => return None,
    })
}
