//! Where the fields of an entity lie in its documents: the key is `_id` (a document of the parts where there are several),
//! every other field lies under its own name.

use std::collections::HashMap;

use mongodb::bson::{Bson, Document, RawDocumentBuf};

use super::bytes::Bytes;
use super::values::column;
use crate::backend::Batch;
use crate::error::{Error, Result};
use crate::schema::{Entity, Index, Path};
use crate::value::Value;

/// The name of the key in documents.
pub(super) const ID: &str = "_id";
/// Bytes of the elements of a document at most: 16 MiB less its length and its end.
const DOCUMENT: usize = (16 << 20) - 5;

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
    pub(super) fn document(&self, rows: &Batch, row: usize) -> Result<RawDocumentBuf> {
        let mut bytes = Bytes::default();
        bytes.document(|document| self.write(rows, row, document))?;
        bytes.into_document()
    }

    /// Writes a row as the elements of a document.
    pub(super) fn write(&self, rows: &Batch, row: usize, document: &mut Bytes) -> Result<()> {
        let start = document.len();
        if let [only] = self.key[..] {
            document.column(ID, rows.cell(row, only))?;
        } else {
            let mut parts = self.key.iter();
            document.nested(ID, |key| {
                parts.try_for_each(|position| key.column(&self.names[*position], rows.cell(row, *position)))
            })?;
        }
        for (position, (name, cell)) in self.names.iter().zip(rows.row(row)).enumerate() {
            if !self.key.contains(&position) {
                document.column(name, cell).map_err(|error| error.under(name))?;
            }
        }
        if document.len() - start > DOCUMENT {
            return Err(Error::invalid_value("mongodb cannot hold a document of more than 16 MiB"));
        }
        Ok(())
    }
}
