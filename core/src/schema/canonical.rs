//! The canonical JSON of a contract: what is implied is left out, keys and names are sorted.

use sha2::{Digest, Sha256};

use super::entity::{Entity, Index, OnDelete, Relation, RelationKind};
use super::field::{Auto, Constraints, Field, FieldType, Generated};
use super::{Contract, Path};
use crate::value::{Map, Value};

/// Collects only what is said.
#[derive(Default)]
struct Writer(Map);

impl Writer {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, true);
        }
    }

    fn option(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn finish(mut self) -> Map {
        self.0.sort_keys();
        self.0
    }
}

/// The name of a variant in one of the `NAMES` tables.
pub(super) fn name_of<T: PartialEq + Copy>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(known, _)| *known == value).map_or("", |(_, name)| name)
}

pub(super) fn hash(json: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(json.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn contract(contract: &Contract) -> Map {
    let mut writer = Writer::default();
    writer.put("version", 1_i64);
    let entities = contract.entities().iter().map(|known| Value::Map(entity(known)));
    writer.put("entities", entities.collect::<Vec<_>>());
    writer.finish()
}

pub(super) fn entity(entity: &Entity) -> Map {
    let mut writer = Writer::default();
    writer.put("name", entity.name.as_str());
    writer.put("fields", fields(&entity.fields));
    let mut indexes: Vec<_> = entity.indexes.iter().map(index).collect();
    indexes.sort_by_key(crate::value::tagged::map_to_string);
    if !indexes.is_empty() {
        writer.put("indexes", indexes.into_iter().map(Value::Map).collect::<Vec<_>>());
    }
    let mut relations: Vec<_> = entity.relations.iter().map(relation).collect();
    relations.sort_by_key(crate::value::tagged::map_to_string);
    if !relations.is_empty() {
        writer.put("relations", relations.into_iter().map(Value::Map).collect::<Vec<_>>());
    }
    writer.finish()
}

fn fields(fields: &[Field]) -> Vec<Value> {
    let mut sorted: Vec<&Field> = fields.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted.into_iter().map(|known| Value::Map(field(known))).collect()
}

/// One field; `unique` and `index` are not here but among the entity's indexes.
pub(super) fn field(field: &Field) -> Map {
    let mut writer = Writer::default();
    if !field.name.is_empty() {
        writer.put("name", field.name.as_str());
    }
    writer.put("type", kind(&field.kind));
    writer.flag("nullable", field.nullable);
    writer.option("default", field.default.clone());
    writer.flag("primary_key", field.primary_key);
    writer.option("generated", field.generated.map(|generated| name_of(&Generated::NAMES, generated)));
    writer.option("auto", field.auto.map(|auto| name_of(&Auto::NAMES, auto)));
    if !field.search.is_empty() {
        writer.put("search", field.search.iter().map(|path| Value::from(path.as_str())).collect::<Vec<_>>());
    }
    constraints(&field.constraints, &mut writer);
    writer.finish()
}

fn constraints(constraints: &Constraints, writer: &mut Writer) {
    let int = |number: Option<u64>| number.map(|number| Value::Int(i64::try_from(number).unwrap_or(i64::MAX)));
    writer.option("min_length", int(constraints.min_length));
    writer.option("max_length", int(constraints.max_length));
    writer.option("pattern", constraints.pattern.as_ref().map(|pattern| pattern.source.as_str()));
    writer.option("enum", constraints.allowed.clone());
    writer.option("ge", constraints.ge.clone());
    writer.option("gt", constraints.gt.clone());
    writer.option("le", constraints.le.clone());
    writer.option("lt", constraints.lt.clone());
    writer.option("multiple_of", constraints.multiple_of.clone());
    writer.option("max_digits", int(constraints.max_digits));
    writer.option("decimal_places", int(constraints.decimal_places));
}

fn kind(kind: &FieldType) -> Map {
    let mut writer = Writer::default();
    writer.put("kind", kind.name());
    match kind {
        FieldType::List(items) => writer.put("items", field(items)),
        FieldType::Map(values) => writer.put("values", field(values)),
        FieldType::Model(model) => {
            writer.put("fields", fields(&model.fields));
            writer.flag("extra", model.extra);
        }
        _ => {}
    }
    writer.finish()
}

fn index(index: &Index) -> Map {
    let mut writer = Writer::default();
    writer.put("name", index.name.as_str());
    let part = |path: &Path, descending: bool| {
        let sign = if descending { "-" } else { "" };
        Value::Text(format!("{sign}{}", path.text))
    };
    let parts = index.fields.iter().map(|field| part(&field.path, field.descending));
    writer.put("fields", parts.collect::<Vec<_>>());
    writer.flag("unique", index.unique);
    writer.option("where", index.condition.clone());
    writer.finish()
}

fn relation(relation: &Relation) -> Map {
    let mut writer = Writer::default();
    writer.put("name", relation.name.as_str());
    writer.put("kind", name_of(&RelationKind::NAMES, relation.kind));
    writer.put("target", relation.target.as_str());
    writer.put("fields", relation.fields.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>());
    writer.flag("inverse", relation.inverse);
    writer.option("through", relation.through.as_deref());
    writer.option("on_delete", relation.on_delete.map(|action| name_of(&OnDelete::NAMES, action)));
    writer.finish()
}
