//! What documents have in common: the values seen at one place become the type that reads all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use mongodb::bson::Document;
use mongodb::bson::raw::{RawBsonRef, RawDocument};

use super::values::{free, whole};
use crate::schema::{Field, FieldType, Model};
use crate::value::Value;

/// What was seen at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// How many documents or elements had something here, null included.
    pub(super) seen: usize,
    pub(super) nulls: usize,
    /// The names of the types.
    kinds: BTreeSet<&'static str>,
    /// Whether an integer was among them that no float holds.
    inexact: bool,
    /// Whether a number was among them that is not whole.
    broken: bool,
    /// Whether something was among them that the core has no value for.
    strange: bool,
    /// How many documents were here, and what was under their keys.
    pub(super) documents: usize,
    pub(super) keys: IndexMap<String, Shape>,
    /// What the elements of lists were.
    items: Option<Box<Shape>>,
}

impl Shape {
    /// Takes one document.
    pub(super) fn add_document(&mut self, document: &RawDocument) {
        self.documents += 1;
        for entry in document {
            match entry {
                Ok((name, value)) => self.keys.entry(name.as_str().to_owned()).or_default().add(value),
                Err(_) => self.strange = true,
            }
        }
    }

    /// Takes one value.
    pub(super) fn add(&mut self, value: RawBsonRef<'_>) {
        self.seen += 1;
        match value {
            RawBsonRef::Null | RawBsonRef::Undefined => self.nulls += 1,
            RawBsonRef::Document(document) => {
                self.kinds.insert("map");
                self.add_document(document);
            }
            RawBsonRef::Array(list) => {
                self.kinds.insert("list");
                let items = self.items.get_or_insert_default();
                for item in list {
                    match item {
                        Ok(item) => items.add(item),
                        Err(_) => self.strange = true,
                    }
                }
            }
            // They are read where a contract leaves the type free.
            RawBsonRef::Timestamp(_) | RawBsonRef::Symbol(_) => {
                self.kinds.insert("any");
            }
            value => match free(value) {
                Some(found) => {
                    self.broken |= whole(value).is_none();
                    self.inexact |= matches!(found, Value::Int(number) if number as f64 as i128 != i128::from(number));
                    self.kinds.insert(found.type_name());
                }
                None => self.strange = true,
            },
        }
    }

    /// Whether all values are whole numbers, whatever holds them.
    pub(super) fn is_whole(&self) -> bool {
        !self.broken && self.nulls == 0 && self.kinds.iter().all(|kind| ["float", "int"].contains(kind))
    }

    /// Takes what was seen at another place.
    fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        self.nulls += other.nulls;
        self.kinds.extend(&other.kinds);
        self.inexact |= other.inexact;
        self.broken |= other.broken;
        self.strange |= other.strange;
        self.documents += other.documents;
        for (name, shape) in &other.keys {
            self.keys.entry(name.clone()).or_default().merge(shape);
        }
        if let Some(items) = &other.items {
            self.items.get_or_insert_default().merge(items);
        }
    }

    /// Whether anything here, however deep, cannot be read at all.
    pub(super) fn is_strange(&self) -> bool {
        let inner = self.keys.values().chain(self.items.as_deref());
        self.strange || inner.into_iter().any(Self::is_strange)
    }

    /// The names of the types, for people.
    pub(super) fn kinds(&self) -> String {
        self.kinds.iter().copied().collect::<Vec<_>>().join(" and ")
    }

    /// Whether there are values of several types, which only a free one holds.
    pub(super) fn is_mixed(&self) -> bool {
        self.kinds.len() > 1 && matches!(self.kind(), FieldType::Any)
    }

    /// The narrowest type that reads all of it.
    pub(super) fn kind(&self) -> FieldType {
        let kinds: Vec<&str> = self.kinds.iter().copied().collect();
        match kinds[..] {
            ["int"] => FieldType::Int,
            ["float"] => FieldType::Float,
            ["float", "int"] if !self.inexact => FieldType::Float,
            ["decimal"] | ["decimal", "int"] => FieldType::Decimal,
            ["text"] => FieldType::Text,
            ["bytes"] => FieldType::Bytes,
            ["bool"] => FieldType::Bool,
            ["uuid"] => FieldType::Uuid,
            ["object_id"] => FieldType::ObjectId,
            ["datetime"] => FieldType::DateTime,
            ["list"] => FieldType::List(Arc::new(
                self.items.as_ref().map_or_else(free_field, |items| items.field("", items.seen)),
            )),
            ["map"] => self.map(),
            _ => FieldType::Any,
        }
    }

    /// A field of this shape among so many documents; one that some do not have may be null.
    pub(super) fn field(&self, name: &str, documents: usize) -> Field {
        Field { nullable: self.nulls > 0 || self.seen < documents, ..Field::new(name, self.kind()) }
    }

    /// A model where most documents have the same keys, else a map.
    fn map(&self) -> FieldType {
        let is_plain = |name: &str| !name.is_empty() && !name.contains('.') && !name.starts_with('$');
        let agrees = |(name, shape): (&String, &Self)| is_plain(name) && shape.seen * 2 >= self.documents;
        if !self.keys.is_empty() && self.keys.iter().all(agrees) {
            let fields = self.keys.iter().map(|(name, shape)| shape.field(name, self.documents)).collect();
            return FieldType::Model(Arc::new(Model { fields, extra: true }));
        }
        let mut values = Self::default();
        for shape in self.keys.values() {
            values.merge(shape);
        }
        FieldType::Map(Arc::new(if self.keys.is_empty() { free_field() } else { values.field("", values.seen) }))
    }

    /// Whether a field of this type reads all of it.
    pub(super) fn suits(&self, kind: &FieldType) -> bool {
        match kind {
            FieldType::Any => true,
            FieldType::Float => !self.inexact && self.kinds.iter().all(|kind| ["float", "int"].contains(kind)),
            FieldType::Decimal => self.kinds.iter().all(|kind| ["decimal", "int"].contains(kind)),
            FieldType::List(items) => {
                self.kinds.iter().all(|kind| *kind == "list")
                    && self.items.as_ref().is_none_or(|shape| shape.suits(&items.kind))
            }
            FieldType::Map(values) => {
                self.kinds.iter().all(|kind| *kind == "map")
                    && self.keys.values().all(|shape| shape.suits(&values.kind))
            }
            FieldType::Model(model) => {
                let suits =
                    |(name, shape): (&String, &Self)| model.field(name).is_none_or(|field| shape.suits(&field.kind));
                self.kinds.iter().all(|kind| *kind == "map") && self.keys.iter().all(suits)
            }
            kind => self.kinds.iter().all(|seen| *seen == kind.name()),
        }
    }
}

fn free_field() -> Field {
    Field { nullable: true, ..Field::new("", FieldType::Any) }
}

/// The BSON types that a schema names; `None` where it leaves them open.
fn types(schema: &Document) -> Option<Vec<&str>> {
    match (schema.get_str("bsonType"), schema.get_array("bsonType")) {
        (Ok(one), _) => Some(vec![one]),
        (_, Ok(several)) => several.iter().map(|one| one.as_str()).collect(),
        _ => None,
    }
}

/// Whether a schema refuses null.
pub(super) fn refuses_null(schema: &Document) -> bool {
    types(schema).is_some_and(|types| !types.contains(&"null"))
}

/// The field that a `$jsonSchema` describes; `None` where it leaves the type open.
pub(super) fn described(name: &str, schema: &Document, required: bool) -> Option<Field> {
    let types = types(schema)?;
    let nullable = !required || types.contains(&"null");
    let mut types: Vec<&str> = types.into_iter().filter(|name| *name != "null").collect();
    types.sort_unstable();
    let kind = match types[..] {
        ["int" | "long"] | ["int", "long"] => FieldType::Int,
        ["double", ..] if types[1..].iter().all(|name| ["int", "long"].contains(name)) => FieldType::Float,
        ["decimal", ..] if types[1..].iter().all(|name| ["int", "long"].contains(name)) => FieldType::Decimal,
        ["string"] => FieldType::Text,
        ["bool"] => FieldType::Bool,
        ["objectId"] => FieldType::ObjectId,
        ["date"] => FieldType::DateTime,
        ["array"] => {
            let items = schema.get_document("items").ok()?;
            FieldType::List(Arc::new(described("", items, true)?))
        }
        ["object"] => FieldType::Model(Arc::new(model(schema)?)),
        _ => return None,
    };
    Some(Field { nullable, ..Field::new(name, kind) })
}

/// The model that an object's schema describes, if it describes all that it names.
fn model(schema: &Document) -> Option<Model> {
    let properties = schema.get_document("properties").ok()?;
    let required = required(schema);
    let field = |(name, schema): (&String, &mongodb::bson::Bson)| {
        described(name, schema.as_document()?, required.contains(&name.as_str()))
    };
    let fields = properties.iter().map(field).collect::<Option<Vec<_>>>()?;
    Some(Model { fields, extra: !schema.get_bool("additionalProperties").is_ok_and(|free| !free) })
}

/// The names that a schema asks for.
pub(super) fn required(schema: &Document) -> Vec<&str> {
    let names = schema.get_array("required").map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(|name| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{doc, rawdoc};

    fn shape(documents: &[mongodb::bson::RawDocumentBuf]) -> Shape {
        let mut shape = Shape::default();
        for document in documents {
            shape.add_document(document);
        }
        shape
    }

    fn kind(values: &[mongodb::bson::RawDocumentBuf]) -> (&'static str, bool) {
        let all = shape(values);
        let field = all.keys["v"].field("v", all.documents);
        (field.kind.name(), field.nullable)
    }

    #[test]
    fn introspect_unites_what_it_sees() {
        assert_eq!(kind(&[rawdoc! { "v": 1 }, rawdoc! { "v": 2_i64 }]), ("int", false));
        assert_eq!(kind(&[rawdoc! { "v": 1 }, rawdoc! { "v": null }]), ("int", true));
        assert_eq!(kind(&[rawdoc! { "v": 1 }, rawdoc! {}]), ("int", true));
        assert_eq!(kind(&[rawdoc! { "v": 1 }, rawdoc! { "v": 0.5 }]), ("float", false));
        assert_eq!(kind(&[rawdoc! { "v": i64::MAX }, rawdoc! { "v": 0.5 }]), ("any", false));
        assert_eq!(kind(&[rawdoc! { "v": 1 }, rawdoc! { "v": "x" }]), ("any", false));
        assert_eq!(kind(&[rawdoc! { "v": [1, null] }]), ("list", false));
    }

    #[test]
    fn introspect_makes_models_of_documents_that_agree() {
        let all = shape(&[rawdoc! { "v": { "a": 1, "b": "x" } }, rawdoc! { "v": { "a": 2 } }]);
        let FieldType::Model(model) = all.keys["v"].kind() else { panic!("a model") };
        assert_eq!([model.fields[0].nullable, model.fields[1].nullable], [false, true]);
        let all = shape(&[rawdoc! { "v": { "k1": 1 } }, rawdoc! { "v": { "k2": 2 } }, rawdoc! { "v": { "k3": 2.5 } }]);
        let FieldType::Map(values) = all.keys["v"].kind() else { panic!("a map") };
        assert_eq!(values.kind.name(), "float");
    }

    #[test]
    fn introspect_knows_what_nothing_reads() {
        let all = shape(&[rawdoc! { "v": { "deep": [{ "a": mongodb::bson::RawBson::MinKey }] } }]);
        assert!(all.keys["v"].is_strange());
        assert!(!shape(&[rawdoc! { "v": 1 }]).keys["v"].is_strange());
    }

    #[test]
    fn introspect_reads_schemas() {
        let read = |schema: Document| described("v", &schema, true).map(|field| (field.kind.name(), field.nullable));
        assert_eq!(read(doc! { "bsonType": ["int", "long", "null"] }), Some(("int", true)));
        assert_eq!(read(doc! { "bsonType": ["double", "int", "long"] }), Some(("float", false)));
        assert_eq!(read(doc! { "bsonType": "array", "items": { "bsonType": "string" } }), Some(("list", false)));
        assert_eq!(read(doc! { "bsonType": ["string", "int"] }), None);
        assert_eq!(read(doc! { "minimum": 1 }), None);
        let all = shape(&[rawdoc! { "v": "x" }]);
        assert!(all.keys["v"].suits(&FieldType::Text) && !all.keys["v"].suits(&FieldType::Int));
    }
}
