//! Databases of others in MongoDB: collections as their validators describe them, else as a sample of their documents is.

use std::sync::Arc;

use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::{ValidationAction, ValidationLevel};
use mongodb::results::{CollectionSpecification, CollectionType};

use super::client::Store;
use super::error::translate;
use super::layout::ID;
use super::sample::{Shape, described, refuses_null, required};
use super::schema;
use crate::backend::Introspection;
use crate::error::{Error, Result};
use crate::schema::{Contract, Entity, Field, FieldType, Generated, check_name};

/// Documents of a collection that are looked at, at most.
const SAMPLE: u32 = 1_000;
/// Collections that are ours, or the server's.
const PASSED_OVER: [&str; 2] = ["_farm_", "system."];

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn failed(error: mongodb::error::Error) -> Error {
    translate(&error, None)
}

/// Reads the database into a contract.
pub(super) async fn introspect(store: &Store) -> Result<Introspection> {
    let stored = schema::stored(store).await?.unwrap_or_default();
    let cursor = store.database.list_collections().await.map_err(failed)?;
    let mut collections: Vec<CollectionSpecification> = cursor.try_collect().await.map_err(failed)?;
    collections.retain(|found| !PASSED_OVER.iter().any(|prefix| found.name.starts_with(prefix)));
    collections.sort_by(|a, b| a.name.cmp(&b.name));
    let is_gone = |entity: &&Arc<Entity>| collections.iter().all(|found| found.name != entity.name);
    let gone =
        |entity: &Arc<Entity>| format!("{}: is in the stored contract, but there is no such collection", entity.name);
    let (mut entities, mut notes): (_, Vec<String>) =
        (Vec::new(), stored.entities().iter().filter(is_gone).map(gone).collect());
    for found in &collections {
        let name = &found.name;
        if found.collection_type != CollectionType::Collection {
            let kind = if found.collection_type == CollectionType::View { "a view" } else { "a time series" };
            notes.push(format!("{name}: is {kind}, left out"));
        } else if let Ok(known) = stored.entity(name) {
            entities.push(Entity::clone(known));
        } else if let Some(entity) = collection(store, found, &mut notes).await? {
            entities.push(entity);
        }
    }
    Ok(Introspection { contract: Contract::new(entities)?, notes })
}

/// A collection as an entity; `None` where it is left out, which is noted.
async fn collection(store: &Store, found: &CollectionSpecification, notes: &mut Vec<String>) -> Result<Option<Entity>> {
    let name = &found.name;
    let sample = sample(store, name, notes).await?;
    let validator = validator(found, notes);
    let Some(mut fields) = key(name, &sample, notes) else { return Ok(None) };
    let keys = fields.len();
    add_fields(name, &sample, validator, &mut fields, notes);
    match Entity::new(name.as_str(), fields, Vec::new()) {
        Ok(mut entity) => {
            let indexes = store.database.collection::<Document>(name).list_indexes().await.map_err(failed)?;
            for index in indexes.try_collect::<Vec<_>>().await.map_err(failed)? {
                add_index(&mut entity, &index, keys > 1, notes);
            }
            Ok(Some(entity))
        }
        Err(error) => {
            notes.push(format!("{name}: left out: {}", error.message()));
            Ok(None)
        }
    }
}

/// Looks at the documents: at all of them where they are few.
async fn sample(store: &Store, name: &str, notes: &mut Vec<String>) -> Result<Shape> {
    let documents = store.database.collection::<RawDocumentBuf>(name);
    let count = documents.estimated_document_count().await.map_err(failed)?;
    let is_large = count > u64::from(SAMPLE);
    let stage = if is_large {
        doc! { "$sample": { "size": SAMPLE } }
    } else {
        doc! { "$limit": SAMPLE }
    };
    let mut cursor = documents.aggregate([stage]).with_type::<RawDocumentBuf>().await.map_err(failed)?;
    let mut shape = Shape::default();
    while cursor.advance().await.map_err(failed)? {
        shape.add_document(cursor.current());
    }
    let seen = shape.documents;
    let of = if is_large { format!("a sample of {seen} of about {count}") } else { format!("all of its {seen}") };
    notes.push(format!("{name}: read from {of} documents; others may differ"));
    Ok(shape)
}

/// The schema that every document keeps to.
fn validator<'a>(found: &'a CollectionSpecification, notes: &mut Vec<String>) -> Option<&'a Document> {
    let (name, options) = (&found.name, &found.options);
    let validator = options.validator.as_ref().filter(|validator| !validator.is_empty())?;
    let is_strict = !matches!(options.validation_action, Some(ValidationAction::Warn))
        && !matches!(options.validation_level, Some(ValidationLevel::Off | ValidationLevel::Moderate));
    if !is_strict {
        notes.push(format!("{name}: has a validator that documents need not keep to"));
        return None;
    }
    let schema = validator.get_document("$jsonSchema").ok();
    if schema.is_none() || validator.len() > 1 {
        notes.push(format!("{name}: has a validator with more than a $jsonSchema, which a contract does not say"));
    }
    schema
}

/// The fields of the key, which is `_id`.
fn key(name: &str, sample: &Shape, notes: &mut Vec<String>) -> Option<Vec<Field>> {
    let Some(id) = sample.keys.get(ID) else {
        notes.push(format!("{name}: has no documents that would show its key, left out"));
        return None;
    };
    let generated = |kind: &FieldType| matches!(kind, FieldType::ObjectId).then_some(Generated::ObjectId);
    let key = |field: Field| Field { primary_key: true, ..field };
    match id.kind() {
        FieldType::Model(model) if id.nulls == 0 => {
            let is_sorted = model.fields.is_sorted_by(|a, b| a.name < b.name);
            if !is_sorted {
                notes.push(format!(
                    "{name}: the parts of _id are in another order than a contract's, so `get` finds none"
                ));
            }
            Some(model.fields.iter().cloned().map(key).collect())
        }
        kind if kind.is_scalar() => {
            let is_whole = matches!(kind, FieldType::Float) && id.is_whole();
            if is_whole {
                notes.push(format!("{name}._id: holds floats that are whole numbers, read as int"));
            }
            let kind = if is_whole { FieldType::Int } else { kind };
            let named = if sample.keys.contains_key("id") { ID } else { "id" };
            let generated = generated(&kind);
            Some(vec![key(Field { generated, ..Field::new(named, kind) })])
        }
        _ => {
            notes.push(format!("{name}._id: holds {}, which is no key, left out with its collection", id.kinds()));
            None
        }
    }
}

/// The fields beside the key.
fn add_fields(
    name: &str,
    sample: &Shape,
    validator: Option<&Document>,
    fields: &mut Vec<Field>,
    notes: &mut Vec<String>,
) {
    let properties = validator.and_then(|schema| schema.get_document("properties").ok());
    let required = validator.map(required).unwrap_or_default();
    let keys: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    let only_described =
        properties.into_iter().flat_map(Document::keys).filter(|name| !sample.keys.contains_key(*name));
    for field in sample.keys.keys().chain(only_described).filter(|field| *field != ID) {
        let place = format!("{name}.{field}");
        let shape = sample.keys.get(field);
        if let Err(error) = check_name(field, "field") {
            notes.push(format!("{place}: {}, left out", error.message()));
        } else if keys.contains(field) {
            notes.push(format!("{place}: has the name of a part of the key, left out"));
        } else if shape.is_some_and(Shape::is_strange) {
            notes.push(format!("{place}: holds values of a type that the core does not have, left out"));
        } else {
            let schema = properties.and_then(|properties| properties.get_document(field).ok());
            let written = schema.and_then(|schema| described(field, schema, required.contains(&field.as_str())));
            let united = united(&place, field, written, shape, sample.documents, notes);
            if united.as_ref().is_some_and(|field| field.nullable) && schema.is_some_and(refuses_null) {
                notes.push(format!("{place}: may be missing but not null, so new documents need a value for it"));
            }
            fields.extend(united);
        }
    }
}

/// The field as it is described, as long as the documents agree; else as the documents are.
fn united(
    place: &str,
    name: &str,
    written: Option<Field>,
    shape: Option<&Shape>,
    documents: usize,
    notes: &mut Vec<String>,
) -> Option<Field> {
    let seen = shape.map(|shape| shape.field(name, documents));
    if let (Some(mut written), suits) = (written, shape.is_none_or(|shape| shape.nulls == shape.seen)) {
        if suits || shape.is_some_and(|shape| shape.suits(&written.kind)) {
            written.nullable |= documents > 0 && seen.as_ref().is_none_or(|seen| seen.nullable);
            return Some(written);
        }
        notes.push(format!("{place}: holds other values than the validator describes"));
    }
    let Some((seen, shape)) = seen.zip(shape) else {
        notes.push(format!("{place}: is in no document, and the validator leaves its type open, left out"));
        return None;
    };
    if shape.is_mixed() {
        notes.push(format!("{place}: holds {}, read as any", shape.kinds()));
    } else if shape.nulls == shape.seen {
        notes.push(format!("{place}: holds only null, read as any"));
    }
    Some(seen)
}

/// An index; what a contract cannot say is noted.
fn add_index(entity: &mut Entity, index: &IndexModel, is_composite: bool, notes: &mut Vec<String>) {
    let options = index.options.clone().unwrap_or_default();
    if options.name.as_deref().is_some_and(|name| PASSED_OVER.iter().any(|ours| name.starts_with(ours))) {
        return;
    }
    let (table, name) = (entity.name.clone(), options.name.unwrap_or_default());
    if name == "_id_" {
        return;
    }
    let id = entity.fields[entity.key[0]].name.clone();
    let stored = |path: &String| match path.strip_prefix("_id.") {
        Some(part) if is_composite => part.to_owned(),
        None if path == ID => id.clone(),
        _ => path.clone(),
    };
    let direction = |value: &Bson| match value {
        Bson::Int32(sign) => Some(*sign < 0),
        Bson::Int64(sign) => Some(*sign < 0),
        Bson::Double(sign) => Some(*sign < 0.0),
        _ => None,
    };
    let part = |(path, value): (&String, &Bson)| {
        let sign = if direction(value)? { "-" } else { "" };
        Some(format!("{sign}{}", stored(path)))
    };
    let why = if options.partial_filter_expression.is_some() {
        Some("covers only a part of the documents")
    } else if options.collation.is_some() {
        Some("has an order of its own")
    } else {
        None
    };
    let parts: Option<Vec<String>> = index.keys.iter().map(part).collect();
    let unique = options.unique == Some(true);
    let Some(parts) = parts.filter(|_| why.is_none()) else {
        let why = why.unwrap_or("is of another kind");
        notes.push(format!("{table}: the index {name} {why}, left out"));
        return;
    };
    if let Err(error) = entity.add_index(Some(&name), &parts, unique, None) {
        notes.push(format!("{table}: the index {name} is left out: {}", error.message()));
        return;
    }
    if options.sparse == Some(true) {
        notes.push(format!("{table}: the index {name} is sparse, which a contract does not say"));
    } else if unique {
        notes.push(format!("{table}: the unique index {name} takes missing values as equal"));
    }
    if options.expire_after.is_some() {
        notes.push(format!("{table}: the index {name} lets documents expire, which a contract does not say"));
    }
}
