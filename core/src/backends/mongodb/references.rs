//! What references need in MongoDB, where the core enforces them: indexes by which rows that name a key are found, and the
//! collection of the marks. A reference that is new to documents that exist is refused where one of them breaks it.

use std::collections::HashSet;

use mongodb::bson::{Bson, Document, doc};

use super::client::Store;
use super::layout::Layout;
use super::schema::{create_missing_index, ensure_collection, failed};
use crate::backends::contract::REFERENCES;
use crate::backends::sql::references::dangling;
use crate::error::Result;
use crate::schema::{Contract, Reference};

/// Where the documents that were not found go in a pipeline.
const FOUND: &str = "_farm_found";

/// Makes the indexes and the marks. `existing` are the collections from before, made for the contract `known`.
pub(super) async fn ensure(
    store: &Store,
    contract: &Contract,
    known: Option<&Contract>,
    existing: &HashSet<String>,
    created: &mut Vec<String>,
) -> Result<()> {
    let references = contract.references()?;
    if !references.all().is_empty() && !existing.contains(REFERENCES) {
        ensure_collection(store, REFERENCES).await?;
    }
    for reference in references.all() {
        let entity = &reference.entity;
        let is_known = known.is_some_and(|known| reference.is_in(known));
        let is_indexed = existing.contains(&entity.name) && is_indexed(store, reference).await?;
        if existing.contains(&entity.name) && !is_known && is_broken(store, reference).await? {
            return Err(dangling(reference));
        }
        if let Some(index) = reference.index()?.filter(|_| !is_indexed) {
            create_missing_index(store, entity, &index, created).await?;
        }
        if !is_known {
            created.push(format!("reference {} on {}", reference.name, entity.name));
        }
    }
    Ok(())
}

/// Whether an index of all documents begins with the columns, whatever its name is.
async fn is_indexed(store: &Store, reference: &Reference) -> Result<bool> {
    let layout = Layout::new(&reference.entity);
    let columns: Vec<_> = reference.columns.iter().map(|position| layout.column(*position)).collect();
    let documents = store.database.collection::<Document>(&layout.collection);
    let mut indexes = documents.list_indexes().await.map_err(failed)?;
    while indexes.advance().await.map_err(failed)? {
        let index = indexes.deserialize_current().map_err(failed)?;
        let is_partial = index.options.is_some_and(|options| options.partial_filter_expression.is_some());
        if !is_partial && index.keys.keys().take(columns.len()).eq(&columns) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a document names one that is not there.
async fn is_broken(store: &Store, reference: &Reference) -> Result<bool> {
    let (ours, theirs) = (Layout::new(&reference.entity), Layout::new(&reference.target));
    let (mut given, mut names, mut equal) = (Document::new(), Document::new(), Vec::new());
    for (part, (column, key)) in reference.columns.iter().zip(&reference.target.key).enumerate() {
        let (column, name) = (ours.column(*column), format!("part{part}"));
        names.insert(name.clone(), format!("${column}"));
        given.insert(column, doc! { "$ne": null });
        equal.push(Bson::from(doc! { "$eq": [format!("${}", theirs.column(*key)), format!("$${name}")] }));
    }
    let target = doc! { "$match": { "$expr": { "$and": equal } } };
    let pipeline = [
        doc! { "$match": given },
        doc! { "$lookup": { "from": &theirs.collection, "let": names, "pipeline": [target], "as": FOUND } },
        doc! { "$match": { FOUND: [] } },
        doc! { "$limit": 1 },
    ];
    let documents = store.database.collection::<Document>(&ours.collection);
    let mut cursor = documents.aggregate(pipeline).await.map_err(failed)?;
    cursor.advance().await.map_err(failed)
}
