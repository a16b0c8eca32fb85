//! Entities with their keys, indexes, relations and automatic fields.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::field::{Auto, Field, FieldType, Generated};
use super::path::Path;
use super::search;
use crate::error::{Error, Result};
use crate::value::{Map, Value};

/// A table or collection.
#[derive(Clone, Debug)]
pub struct Entity {
    /// The name of the table or collection.
    pub name: String,
    /// The fields in the order of declaration.
    pub fields: Vec<Field>,
    /// The positions of the primary key's fields; never empty.
    pub key: Vec<usize>,
    /// The indexes, those of single fields included.
    pub indexes: Vec<Index>,
    /// The declared relations.
    pub relations: Vec<Relation>,
    /// The positions of the fields that the core fills in.
    pub automatic: Automatic,
    /// What the words of the search field are taken from.
    pub sources: Vec<Path>,
    positions: HashMap<String, usize>,
}

/// Positions of automatic fields, where the entity has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Automatic {
    /// Moment of creation.
    pub created: Option<usize>,
    /// Moment of the last write.
    pub updated: Option<usize>,
    /// Optimistic version.
    pub version: Option<usize>,
    /// Moment of the soft delete.
    pub deleted: Option<usize>,
    /// Bool beside it.
    pub deleted_flag: Option<usize>,
    /// Words of other fields.
    pub search: Option<usize>,
}

/// An index.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its name in the database.
    pub name: String,
    /// What it covers, in order.
    pub fields: Vec<IndexField>,
    /// Whether it forbids equal rows.
    pub unique: bool,
    /// The operator-language filter of the rows it covers, as it was written.
    pub condition: Option<Map>,
}

/// One part of an index.
#[derive(Clone, Debug)]
pub struct IndexField {
    /// The field or path.
    pub path: Path,
    /// Whether the order is from large to small.
    pub descending: bool,
}

/// How two entities belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// This side holds the key of one other row.
    ManyToOne,
    /// This side holds the key of one other row, which no other row has; or, inverse, the other side holds ours.
    OneToOne,
    /// The other side holds our key.
    OneToMany,
    /// A third entity holds both keys.
    ManyToMany,
}

impl RelationKind {
    /// Every kind with its name in the contract.
    pub const NAMES: [(Self, &'static str); 4] = [
        (Self::ManyToOne, "many_to_one"),
        (Self::OneToOne, "one_to_one"),
        (Self::OneToMany, "one_to_many"),
        (Self::ManyToMany, "many_to_many"),
    ];
}

/// What happens to this row when the other is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// It is deleted too.
    Cascade,
    /// Its reference becomes null.
    SetNull,
    /// The delete is refused.
    Restrict,
}

impl OnDelete {
    /// Every kind with its name in the contract.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Cascade, "cascade"), (Self::SetNull, "set_null"), (Self::Restrict, "restrict")];
}

/// A declared relation: what `include` loads and a filter's path may lead through; with `on_delete` a reference that is
/// enforced ([`super::Reference`]).
#[derive(Clone, Debug)]
pub struct Relation {
    /// The name on this side.
    pub name: String,
    /// The kind.
    pub kind: RelationKind,
    /// The other entity.
    pub target: String,
    /// The fields that hold the reference: ours; theirs for one-to-many and the inverse of one-to-one; for many-to-many
    /// those of the entity between, the ones that refer to us first.
    pub fields: Vec<String>,
    /// Whether the other side of a one-to-one holds the reference.
    pub inverse: bool,
    /// The entity between, for many-to-many.
    pub through: Option<String>,
    /// What a delete of the other row does.
    pub on_delete: Option<OnDelete>,
}

impl Entity {
    /// Checks the fields and works out what follows from them; indexes come later by [`Entity::add_index`].
    pub fn new(name: impl Into<String>, fields: Vec<Field>, relations: Vec<Relation>) -> Result<Self> {
        let name = name.into();
        if RESERVED.iter().any(|prefix| name.to_lowercase().starts_with(prefix)) {
            let message = format!("{name:?} is no name for an entity: {} are taken", RESERVED.join(" and "));
            return Err(Error::invalid_schema(message).with("entity", name.as_str()));
        }
        check_name(&name, "entity").map_err(|error| error.with("entity", name.as_str()))?;
        let mut entity = Self {
            name,
            fields,
            key: Vec::new(),
            indexes: Vec::new(),
            relations,
            automatic: Automatic::default(),
            sources: Vec::new(),
            positions: HashMap::new(),
        };
        entity.index_fields().map_err(|error| error.with("entity", entity.name.as_str()))?;
        entity.check_relations().map_err(|error| error.with("entity", entity.name.as_str()))?;
        entity.sources = search::sources(&entity).map_err(|error| error.with("entity", entity.name.as_str()))?;
        for position in 0..entity.fields.len() {
            let Field { name, unique, index, primary_key, .. } = &entity.fields[position];
            if (*unique || *index) && !primary_key {
                let (name, unique) = (name.clone(), *unique);
                entity.add_index(None, &[name], unique, None)?;
            }
        }
        Ok(entity)
    }

    fn index_fields(&mut self) -> Result<()> {
        for (position, field) in self.fields.iter().enumerate() {
            check_name(&field.name, "field")?;
            match self.positions.entry(field.name.clone()) {
                Entry::Occupied(_) => {
                    return Err(Error::invalid_schema(format!("two fields are named {:?}", field.name)));
                }
                Entry::Vacant(free) => free.insert(position),
            };
            if field.primary_key {
                self.key.push(position);
                check_key(field)?;
            }
            if let Some(auto) = field.auto {
                let (slot, fits) = match auto {
                    Auto::Created => (&mut self.automatic.created, matches!(field.kind, FieldType::DateTime)),
                    Auto::Updated => (&mut self.automatic.updated, matches!(field.kind, FieldType::DateTime)),
                    Auto::Version => (&mut self.automatic.version, matches!(field.kind, FieldType::Int)),
                    Auto::Deleted => {
                        (&mut self.automatic.deleted, matches!(field.kind, FieldType::DateTime) && field.nullable)
                    }
                    Auto::DeletedFlag => (&mut self.automatic.deleted_flag, matches!(field.kind, FieldType::Bool)),
                    Auto::Search => (&mut self.automatic.search, search::fits(field)),
                };
                if !fits || slot.is_some() {
                    let message =
                        format!("field {:?} cannot have this \"auto\": wrong type, or a second one", field.name);
                    return Err(Error::invalid_schema(message).with("field", field.name.as_str()));
                }
                *slot = Some(position);
            }
        }
        if self.key.is_empty() {
            return Err(Error::invalid_schema(format!("entity {:?} has no primary key", self.name)));
        }
        Ok(())
    }

    /// Names only: what a relation refers to may be registered later.
    fn check_relations(&self) -> Result<()> {
        for (position, relation) in self.relations.iter().enumerate() {
            check_name(&relation.name, "relation")?;
            let before = &self.relations[..position];
            if self.field(&relation.name).is_some() || before.iter().any(|other| other.name == relation.name) {
                let message = format!("a field or another relation is named {:?} too", relation.name);
                return Err(Error::invalid_schema(message).with("relation", relation.name.as_str()));
            }
            if relation.inverse && relation.kind != RelationKind::OneToOne {
                let message = format!("relation {:?}: only a one_to_one is \"inverse\"", relation.name);
                return Err(Error::invalid_schema(message).with("relation", relation.name.as_str()));
            }
        }
        Ok(())
    }

    /// Adds an index; fields are names or paths, a leading `-` is descending. An equal index is not added twice.
    pub fn add_index(
        &mut self,
        name: Option<&str>,
        fields: &[String],
        unique: bool,
        condition: Option<Map>,
    ) -> Result<()> {
        let mut parts = Vec::with_capacity(fields.len());
        for text in fields {
            let (descending, path) = text.strip_prefix('-').map_or((false, text.as_str()), |path| (true, path));
            parts.push(IndexField { path: Path::resolve(self, path)?, descending });
        }
        if parts.is_empty() {
            return Err(Error::invalid_schema("an index needs at least one field").with("entity", self.name.as_str()));
        }
        let named = name.map_or_else(|| self.index_name(fields, unique, condition.is_some()), str::to_owned);
        check_name(&named, "index")?;
        if !self.indexes.iter().any(|index| index.name == named) {
            self.indexes.push(Index { name: named, fields: parts, unique, condition });
        }
        Ok(())
    }

    fn index_name(&self, fields: &[String], unique: bool, partial: bool) -> String {
        let parts: Vec<_> = fields.iter().map(|field| field.replace('-', "desc_").replace('.', "_")).collect();
        let prefix = if unique { "ux" } else { "ix" };
        let suffix = if partial { "_partial" } else { "" };
        format!("{prefix}_{}_{}{suffix}", self.name, parts.join("_"))
    }

    /// The position of a field, or `unknown_field` with the nearest name.
    pub fn position(&self, name: &str) -> Result<usize> {
        self.positions.get(name).copied().ok_or_else(|| self.unknown_field(name))
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.positions.get(name).map(|position| &self.fields[*position])
    }

    /// The error for a field that does not exist; names a near one.
    pub fn unknown_field(&self, name: &str) -> Error {
        let near = self.fields.iter().map(|field| (distance(&field.name, name), &field.name)).min();
        let hint =
            near.filter(|(far, _)| *far <= 2).map_or(String::new(), |(_, name)| format!(", did you mean {name:?}?"));
        Error::unknown_field(format!("{} has no field {name:?}{hint}", self.name))
            .with("entity", self.name.as_str())
            .with("field", name)
    }

    /// Whether deletes only mark rows.
    pub fn is_soft_deleted(&self) -> bool {
        self.automatic.deleted.is_some()
    }

    /// The values of the key in `row`, which has a value a field.
    pub fn key_of(&self, row: &[Value]) -> Vec<Value> {
        self.key.iter().map(|position| row[*position].clone()).collect()
    }
}

/// Beginnings of names that farm-db and databases keep for themselves.
const RESERVED: [&str; 4] = ["_farm_", "sqlite_", "pg_", "system."];

/// Bytes of a name at most.
const LONGEST_NAME: usize = 63;

/// Names are quoted everywhere; this refuses what no database can quote or what would hide something.
pub(crate) fn check_name(name: &str, what: &str) -> Result<()> {
    let fits = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('$')
        && !name.contains(['.', '\0'])
        && !name.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(Error::invalid_schema(format!(
            "{name:?} is no name for an {what}: 1 to {LONGEST_NAME} bytes, without dots and control characters, not starting with $"
        )))
    }
}

fn check_key(field: &Field) -> Result<()> {
    let fits = match field.generated {
        None => matches!(
            field.kind,
            FieldType::Int
                | FieldType::Text
                | FieldType::Uuid
                | FieldType::ObjectId
                | FieldType::Date
                | FieldType::DateTime
                | FieldType::Decimal
        ),
        Some(Generated::AutoIncrement) => matches!(field.kind, FieldType::Int),
        Some(Generated::Uuid) => matches!(field.kind, FieldType::Uuid | FieldType::Text),
        Some(Generated::ObjectId) => matches!(field.kind, FieldType::ObjectId | FieldType::Text),
    };
    if fits && !field.nullable {
        return Ok(());
    }
    let message = format!("field {:?} of type {} cannot be a primary key this way", field.name, field.kind.name());
    Err(Error::invalid_schema(message).with("field", field.name.as_str()))
}

/// Edit distance, for "did you mean".
pub(crate) fn distance(left: &str, right: &str) -> usize {
    // What is longer than any name is near to none, however long it is.
    let right: Vec<char> = right.chars().take(2 * LONGEST_NAME).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}
