//! Fields that were added to a collection that has documents.
//!
//! Their documents get the default. While a new version of an app is rolled out, instances of the one before go on writing
//! documents without the field; those are read with the default, but a filter on it does not find them. So the fields are
//! noted beside the contract, and each `ensure_schema` of the following days gives the default to what has come since.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};

use super::client::Store;
use super::layout::ID;
use super::schema::failed;
use super::values::column;
use crate::backends::contract::META;
use crate::error::Result;
use crate::schema::{Entity, Field};
use crate::value::Value;

/// The document of the notes: `{_id: "late_fields", fields: [{entity, field, at}]}`.
const NOTES: &str = "late_fields";
/// How long documents without the field may still come.
const ROLLOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Notes fields as added now.
pub(super) async fn note(store: &Store, entity: &Entity, fields: &[&Field]) -> Result<()> {
    let now = DateTime::now();
    let notes = fields.iter().map(|field| doc! { "entity": &entity.name, "field": &field.name, "at": now });
    let push = doc! { "$push": { "fields": { "$each": notes.collect::<Vec<_>>() } } };
    let meta = store.database.collection::<Document>(META);
    meta.update_one(doc! { ID: NOTES }, push).upsert(true).await.map(|_| ()).map_err(failed)
}

/// What is noted.
pub(super) async fn notes(store: &Store) -> Result<Document> {
    let meta = store.database.collection::<Document>(META);
    Ok(meta.find_one(doc! { ID: NOTES }).await.map_err(failed)?.unwrap_or_default())
}

/// Gives the documents that lack a field which was added lately its default.
pub(super) async fn fill(store: &Store, notes: &Document, entity: &Entity) -> Result<()> {
    let documents = store.database.collection::<Document>(&entity.name);
    for field in entity.fields.iter().filter(|field| is_late(notes, entity, field)) {
        let Some(default) = field.default.clone().or(field.nullable.then_some(Value::Null)) else { continue };
        let missing = doc! { &field.name: { "$exists": false } };
        let set = doc! { "$set": { &field.name: column(&default)? } };
        documents.update_many(missing, set).await.map_err(failed)?;
    }
    Ok(())
}

fn is_late(notes: &Document, entity: &Entity, field: &Field) -> bool {
    let since = DateTime::now().timestamp_millis() - i64::try_from(ROLLOUT.as_millis()).unwrap_or(i64::MAX);
    notes.get_array("fields").into_iter().flatten().filter_map(|note| note.as_document()).any(|note| {
        note.get_str("entity").is_ok_and(|name| name == entity.name)
            && note.get_str("field").is_ok_and(|name| name == field.name)
            && note.get_datetime("at").is_ok_and(|at| at.timestamp_millis() > since)
    })
}
