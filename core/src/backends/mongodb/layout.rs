//! Where the fields of an entity lie in its documents: the key is `_id` (a document of the parts where there are several),
//! every other field lies under its own name.

use std::collections::HashMap;

use mongodb::bson::raw::{RawBsonRef, RawDocumentBuf, cstr};
use mongodb::bson::{Bson, Document};

use super::values::{append_column, column};
use crate::error::Result;
use crate::schema::{Entity, Index, Path};
use crate::value::Value;

/// The name of the key in documents.
pub(super) const ID: &str = "_id";

/// The places of an entity's fields.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) collection: String,
    /// The names of all fields, in the order of the entity.
    names: Vec<String>,
    /// The positions of the key's fields.
    pub(super) key: Vec<usize>,
    /// The fields of each unique index by its name, for errors.
    pub(super) indexes: HashMap<String, Vec<String>>,
}

impl Layout {
    pub(super) fn new(entity: &Entity) -> Self {
        let fields_of = |index: &Index| index.fields.iter().map(|part| part.path.text.clone()).collect();
        let unique = entity.indexes.iter().filter(|index| index.unique);
        let mut indexes: HashMap<_, _> = unique.map(|index| (index.name.clone(), fields_of(index))).collect();
        let key = entity.key.iter().map(|position| entity.fields[*position].name.clone());
        indexes.insert("_id_".to_owned(), key.collect());
        Self {
            collection: entity.name.clone(),
            names: entity.fields.iter().map(|field| field.name.clone()).collect(),
            key: entity.key.clone(),
            indexes,
        }
    }

    /// The stored name of a column.
    pub(super) fn column(&self, position: usize) -> String {
        match &self.key[..] {
            [only] if *only == position => ID.to_owned(),
            key if key.contains(&position) => format!("{ID}.{}", self.names[position]),
            _ => self.names[position].clone(),
        }
    }

    /// The stored name of a path.
    pub(super) fn name(&self, path: &Path) -> String {
        let mut name = self.column(path.column);
        for leg in &path.legs {
            name.push('.');
            name.push_str(leg);
        }
        name
    }

    /// `_id` of the key's values in order.
    pub(super) fn id(&self, key: &[Value]) -> Result<Bson> {
        match key {
            [only] => column(only),
            parts => {
                let parts = self.key.iter().zip(parts);
                let parts = parts.map(|(position, value)| Ok((self.names[*position].clone(), column(value)?)));
                Ok(Bson::Document(parts.collect::<Result<Document>>()?))
            }
        }
    }

    /// A row as a document.
    pub(super) fn document(&self, row: &[Value]) -> Result<RawDocumentBuf> {
        let mut document = RawDocumentBuf::new();
        if let [only] = self.key[..] {
            append_column(&mut document, ID, &row[only])?;
        } else {
            let mut key = RawDocumentBuf::new();
            for position in &self.key {
                append_column(&mut key, &self.names[*position], &row[*position])?;
            }
            document.append(cstr!("_id"), RawBsonRef::Document(&key));
        }
        for (position, (name, value)) in self.names.iter().zip(row).enumerate() {
            if !self.key.contains(&position) {
                append_column(&mut document, name, value).map_err(|error| error.under(name))?;
            }
        }
        Ok(document)
    }
}
