//! Contracts as hosts write them, checked key by key.

use std::sync::Arc;

use super::check::coerce_scalar;
use super::entity::{Entity, OnDelete, Relation, RelationKind};
use super::field::{Auto, Constraints, Field, FieldType, Generated, Model, Pattern};
use super::{Contract, check_element};
use crate::error::{Error, Result};
use crate::value::{Map, Value, tagged};

/// Reads the keys of one object and refuses those that nobody asked for.
struct Reader {
    map: Map,
    what: String,
}

impl Reader {
    fn new(value: Value, what: impl Into<String>) -> Result<Self> {
        let what = what.into();
        match value {
            Value::Map(map) => Ok(Self { map, what }),
            other => Err(Error::invalid_schema(format!("{what}: expected an object, got {}", other.type_name()))),
        }
    }

    fn wrong(&self, key: &str, wanted: &str) -> Error {
        Error::invalid_schema(format!("{}: {key:?} must be {wanted}", self.what))
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "text")),
        }
    }

    fn needed(&mut self, key: &str) -> Result<String> {
        self.text(key)?.ok_or_else(|| self.wrong(key, "given"))
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    fn length(&mut self, key: &str) -> Result<Option<u64>> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Int(number)) if number >= 0 => Ok(Some(number as u64)),
            Some(_) => Err(self.wrong(key, "a number from 0")),
        }
    }

    fn number(&mut self, key: &str) -> Result<Option<Value>> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(number @ (Value::Int(_) | Value::Float(_) | Value::Decimal(_))) => Ok(Some(number)),
            Some(day @ (Value::Date(_) | Value::DateTime(_) | Value::Time(_))) => Ok(Some(day)),
            Some(_) => Err(self.wrong(key, "a number or a date")),
        }
    }

    fn list(&mut self, key: &str) -> Result<Vec<Value>> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::List(list)) => Ok(list),
            Some(_) => Err(self.wrong(key, "a list")),
        }
    }

    fn texts(&mut self, key: &str) -> Result<Vec<String>> {
        let list = self.list(key)?;
        list.into_iter()
            .map(|item| item.as_text().map(str::to_owned).ok_or_else(|| self.wrong(key, "a list of text")))
            .collect()
    }

    fn variant<T: Copy>(&mut self, key: &str, names: &[(T, &'static str)]) -> Result<Option<T>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let found = names.iter().find(|(_, name)| *name == text).map(|(variant, _)| *variant);
        let known: Vec<_> = names.iter().map(|(_, name)| *name).collect();
        found.map(Some).ok_or_else(|| self.wrong(key, &format!("one of {}", known.join(", "))))
    }

    fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::invalid_schema(format!("{}: unknown key {key:?}", self.what))),
        }
    }
}

pub(super) fn contract(json: &str) -> Result<Contract> {
    let value = tagged::read(json.as_bytes()).map_err(|error| Error::invalid_schema(error.message().to_owned()))?;
    let mut reader = Reader::new(value, "contract")?;
    match reader.take("version") {
        Some(Value::Int(1)) => {}
        _ => return Err(reader.wrong("version", "1")),
    }
    if !reader.map.contains_key("entities") {
        return Err(reader.wrong("entities", "a list"));
    }
    let entities = reader.list("entities")?.into_iter().map(entity).collect::<Result<Vec<_>>>()?;
    reader.finish()?;
    Contract::new(entities)
}

fn entity(value: Value) -> Result<Entity> {
    let mut reader = Reader::new(value, "entity")?;
    let name = reader.needed("name")?;
    reader.what = format!("entity {name:?}");
    let fields = fields(reader.list("fields")?, &name)?;
    let relations = reader.list("relations")?.into_iter().map(relation).collect::<Result<Vec<_>>>()?;
    let mut entity = Entity::new(name, fields, relations)?;
    for index in reader.list("indexes")? {
        let mut part = Reader::new(index, format!("{}, index", reader.what))?;
        let name = part.text("name")?;
        let fields = part.texts("fields")?;
        let unique = part.flag("unique")?;
        let condition = match part.take("where") {
            None | Some(Value::Null) => None,
            Some(Value::Map(map)) => Some(map),
            Some(_) => return Err(part.wrong("where", "a filter")),
        };
        part.finish()?;
        entity.add_index(name.as_deref(), &fields, unique, condition).map_err(|error| as_schema_error(&error))?;
    }
    reader.finish()?;
    Ok(entity)
}

/// A wrong path in a definition is a mistake of the definition, not of a query.
fn as_schema_error(error: &Error) -> Error {
    Error::invalid_schema(error.message().to_owned())
}

fn fields(list: Vec<Value>, owner: &str) -> Result<Vec<Field>> {
    list.into_iter().map(|value| field(value, owner, true)).collect()
}

fn field(value: Value, owner: &str, named: bool) -> Result<Field> {
    let mut reader = Reader::new(value, format!("{owner}, field"))?;
    let name = if named { reader.needed("name")? } else { String::new() };
    let what = if named { format!("{owner}.{name}") } else { format!("{owner}[]") };
    reader.what.clone_from(&what);
    let kind = reader.take("type").ok_or_else(|| reader.wrong("type", "given"))?;
    let mut field = Field::new(name, field_type(kind, &what)?);
    // Null is any value too.
    field.nullable = reader.flag("nullable")? || matches!(field.kind, FieldType::Any);
    field.primary_key = reader.flag("primary_key")?;
    field.unique = reader.flag("unique")?;
    field.index = reader.flag("index")?;
    field.generated = reader.variant("generated", &Generated::NAMES)?;
    field.auto = reader.variant("auto", &Auto::NAMES)?;
    field.search = reader.texts("search")?;
    field.search.sort();
    field.search.dedup();
    let default = reader.take("default");
    field.constraints = constraints(&mut reader)?;
    for bound in field.constraints.numbers_mut() {
        // `ge: 0` and `ge: 0.0` of a float are one bound, whichever a host can say.
        if let Ok(exact) = coerce_scalar(&field.kind, bound.clone()) {
            *bound = exact;
        }
    }
    reader.finish()?;
    let fits = |value: Value| {
        check_element(&field, value).map_err(|error| {
            Error::invalid_schema(format!("{what}: the default or an enum value does not fit: {error}"))
        })
    };
    let default = default.map(fits).transpose()?;
    // What may be null and is absent is null anyway.
    field.default = default.filter(|default| !(field.nullable && default.is_null()));
    Ok(field)
}

fn constraints(reader: &mut Reader) -> Result<Constraints> {
    let pattern = reader.text("pattern")?;
    let allowed = match reader.take("enum") {
        None | Some(Value::Null) => None,
        Some(Value::List(list)) => Some(list),
        Some(_) => return Err(reader.wrong("enum", "a list of values")),
    };
    Ok(Constraints {
        min_length: reader.length("min_length")?,
        max_length: reader.length("max_length")?,
        pattern: pattern.map(|source| Pattern::new(&source)).transpose()?,
        allowed,
        ge: reader.number("ge")?,
        gt: reader.number("gt")?,
        le: reader.number("le")?,
        lt: reader.number("lt")?,
        multiple_of: reader.number("multiple_of")?,
        max_digits: reader.length("max_digits")?,
        decimal_places: reader.length("decimal_places")?,
    })
}

fn field_type(value: Value, what: &str) -> Result<FieldType> {
    let mut reader = Reader::new(value, what)?;
    let kind = reader.needed("kind")?;
    let simple = match kind.as_str() {
        "int" => FieldType::Int,
        "float" => FieldType::Float,
        "decimal" => FieldType::Decimal,
        "text" => FieldType::Text,
        "bytes" => FieldType::Bytes,
        "bool" => FieldType::Bool,
        "uuid" => FieldType::Uuid,
        "object_id" => FieldType::ObjectId,
        "datetime" => FieldType::DateTime,
        "date" => FieldType::Date,
        "time" => FieldType::Time,
        "any" => FieldType::Any,
        "list" => FieldType::List(inner(&mut reader, "items", what)?),
        "map" => FieldType::Map(inner(&mut reader, "values", what)?),
        "model" => {
            let fields = fields(reader.list("fields")?, what)?;
            FieldType::Model(Arc::new(Model { fields, extra: reader.flag("extra")? }))
        }
        _ => return Err(Error::invalid_schema(format!("{what}: unknown type {kind:?}"))),
    };
    reader.finish()?;
    Ok(simple)
}

fn inner(reader: &mut Reader, key: &str, what: &str) -> Result<Arc<Field>> {
    let value = reader.take(key).ok_or_else(|| reader.wrong(key, "given"))?;
    Ok(Arc::new(field(value, what, false)?))
}

fn relation(value: Value) -> Result<Relation> {
    let mut reader = Reader::new(value, "relation")?;
    let relation = Relation {
        name: reader.needed("name")?,
        kind: reader
            .variant("kind", &RelationKind::NAMES)?
            .ok_or_else(|| Error::invalid_schema("a relation needs a kind"))?,
        target: reader.needed("target")?,
        fields: reader.texts("fields")?,
        inverse: reader.flag("inverse")?,
        through: reader.text("through")?,
        on_delete: reader.variant("on_delete", &OnDelete::NAMES)?,
    };
    reader.finish()?;
    Ok(relation)
}
