//! Tables of a catalog as entities of a contract. Pure. Whatever is not taken over has a note that names it.

use std::collections::HashSet;

use super::introspect::{Column, Found, FoundIndex, Reference, Table};
use super::literal;
use super::schema::Definitions;
use crate::backend::Introspection;
use crate::error::Result;
use crate::schema::{Contract, Entity, Field, FieldType, Generated, OnDelete, Relation, RelationKind, check_name};

/// The contract of what was found; entities of `stored` are kept where their tables still fit.
pub(super) fn contract(definitions: &dyn Definitions, found: Found, stored: &Contract) -> Result<Introspection> {
    let Found { mut tables, mut notes } = found;
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    for entity in stored.entities().iter().filter(|entity| tables.iter().all(|table| table.name != entity.name)) {
        notes.push(format!("{}: is in the stored contract, but there is no such table", entity.name));
    }
    let (mut entities, mut read) = (Vec::new(), HashSet::new());
    for table in &tables {
        if let Some(entity) = known(definitions, table, stored, &mut notes) {
            entities.push(entity);
        } else if let Some(entity) = entity(definitions, table, &mut notes) {
            read.insert(entity.name.clone());
            entities.push(entity);
        }
    }
    for table in tables.iter().filter(|table| read.contains(&table.name)) {
        relate(&mut entities, table, &mut notes);
    }
    Ok(Introspection { contract: Contract::new(entities)?, notes })
}

/// The stored entity of a table, if the table still has all of its columns and indexes.
fn known(definitions: &dyn Definitions, table: &Table, stored: &Contract, notes: &mut Vec<String>) -> Option<Entity> {
    let entity = stored.entity(&table.name).ok()?;
    let is_other = |field: &&Field| {
        let column = table.columns.iter().find(|column| column.name == field.name);
        !column.is_some_and(|column| definitions.fits(&field.kind, &column.stored))
    };
    if let Some(field) = entity.fields.iter().find(is_other) {
        let (table, field) = (&table.name, &field.name);
        notes.push(format!("{table}.{field}: is not what the stored contract says, so the table is read as it is"));
        return None;
    }
    let name = &table.name;
    for column in table.columns.iter().filter(|column| entity.field(&column.name).is_none()) {
        notes.push(format!("{name}.{}: is not in the stored contract, left out", column.name));
    }
    for index in &entity.indexes {
        if table.indexes.iter().all(|found| found.name != index.name) {
            notes.push(format!("{name}: the index {} of the stored contract is missing", index.name));
        }
    }
    Some(Entity::clone(entity))
}

/// A table as its columns say it; `None` where that is no entity.
fn entity(definitions: &dyn Definitions, table: &Table, notes: &mut Vec<String>) -> Option<Entity> {
    let name = &table.name;
    if table.columns.iter().all(|column| !column.key) {
        notes.push(format!("{name}: has no primary key, left out"));
        return None;
    }
    let mut fields = Vec::new();
    for column in &table.columns {
        match field(definitions, table, column, notes) {
            Some(field) => fields.push(field),
            None if column.key => {
                notes.push(format!("{name}: is left out with {}, which belongs to its key", column.name));
                return None;
            }
            None => {}
        }
    }
    match Entity::new(name.as_str(), fields, Vec::new()) {
        Ok(mut entity) => {
            for index in &table.indexes {
                add_index(&mut entity, index, notes);
            }
            Some(entity)
        }
        Err(error) => {
            notes.push(format!("{name}: left out: {}", error.message()));
            None
        }
    }
}

/// A column as a field; `None` where it is left out, which is noted.
fn field(definitions: &dyn Definitions, table: &Table, column: &Column, notes: &mut Vec<String>) -> Option<Field> {
    let place = format!("{}.{}", table.name, column.name);
    let needed = !column.nullable && column.default.is_none() && !column.computed && !column.counted;
    let needed = if needed { "; new rows need a value for it" } else { "" };
    let Some(kind) = column.reading.kind.clone().filter(|_| !column.computed) else {
        let why = match &column.reading.notes[..] {
            _ if column.computed => "is a generated column".to_owned(),
            [] => format!("has the type {}, for which a contract has no name", column.declared),
            notes => notes.join(", "),
        };
        notes.push(format!("{place}: {why}, left out{needed}"));
        return None;
    };
    if let Err(error) = check_name(&column.name, "field") {
        notes.push(format!("{place}: {}, left out{needed}", error.message()));
        return None;
    }
    let says = |note: &String| format!("{place}: {note}");
    notes.extend(column.reading.notes.iter().map(says));
    if !definitions.fits(&kind, &column.stored) {
        // The stored type has the collation, where that is another than ours.
        let is_collated = column.stored.contains(" collate ");
        let declared = if is_collated { &column.stored } else { &column.declared };
        let shown = kind.name();
        notes.push(format!(
            "{place}: {declared} is read as {shown}, but is not what farm-db makes: ensure_schema refuses it"
        ));
    }
    let mut field = Field::new(column.name.as_str(), kind);
    field.constraints = column.reading.constraints.clone();
    field.primary_key = column.key;
    field.nullable = column.nullable && !column.key;
    if column.nullable && column.key {
        notes.push(format!("{place}: the table lets this part of its key be null, a contract does not"));
    }
    fill(&mut field, column, &place, notes);
    Some(field)
}

/// Who makes the value of a field that a record does not have.
fn fill(field: &mut Field, column: &Column, place: &str, notes: &mut Vec<String>) {
    if column.counted {
        if column.key && matches!(field.kind, FieldType::Int) {
            field.generated = Some(Generated::AutoIncrement);
        } else {
            notes.push(format!("{place}: is counted by the database, which a contract says of keys only"));
        }
        return;
    }
    let Some(default) = &column.default else { return };
    if let Some(value) = literal::value(field, default) {
        // A default of null says no more than that null is allowed.
        field.default = Some(value).filter(|value| !value.is_null());
        return;
    }
    let needed = if field.nullable { "" } else { "; new rows need a value" };
    notes.push(format!("{place}: the default {default} is no constant that a contract can hold{needed}"));
}

fn add_index(entity: &mut Entity, index: &FoundIndex, notes: &mut Vec<String>) {
    let what = if index.unique { "unique index" } else { "index" };
    let (table, name, columns) = (entity.name.clone(), &index.name, index.parts.join(", "));
    if let Some(why) = &index.why {
        notes.push(format!("{table}: the {what} {name} ({columns}) {why}, left out"));
        return;
    }
    let given = (!index.unnamed).then_some(name.as_str());
    if let Err(error) = entity.add_index(given, &index.parts, index.unique, None) {
        notes.push(format!("{table}: the {what} {name} ({columns}) is left out: {}", error.message()));
    } else if index.unnamed {
        notes.push(format!(
            "{table}: the {what} on ({columns}) has no name that may be used again, so ensure_schema makes a second one"
        ));
    }
}

/// Adds the foreign keys of a table to its entity.
fn relate(entities: &mut [Entity], table: &Table, notes: &mut Vec<String>) {
    for reference in &table.references {
        let columns: Vec<&str> = reference.pairs.iter().map(|(column, _)| column.as_str()).collect();
        let place = format!("{}.{}", table.name, columns.join("+"));
        match relation(entities, table, reference) {
            Ok(relation) => {
                if relation.on_delete.is_none() {
                    let action = &reference.on_delete;
                    notes.push(format!("{place}: ON DELETE {action} has no name in a contract"));
                }
                if let Some(entity) = entities.iter_mut().find(|entity| entity.name == table.name) {
                    entity.relations.push(relation);
                }
            }
            Err(why) => notes.push(format!("{place}: the foreign key to {} is left out: {why}", reference.target)),
        }
    }
}

/// A foreign key as a relation, or why it is none.
fn relation(entities: &[Entity], table: &Table, reference: &Reference) -> std::result::Result<Relation, String> {
    let find = |name: &str| entities.iter().find(|entity| entity.name == name);
    let entity = find(&table.name).ok_or("its own table is left out")?;
    let target = find(&reference.target).ok_or("that table is not there, or left out")?;
    let key: Vec<&str> = target.key.iter().map(|position| target.fields[*position].name.as_str()).collect();
    let mut pairs = reference.pairs.clone();
    if pairs.iter().all(|(_, theirs)| theirs.is_some()) {
        let place = |theirs: &Option<String>| key.iter().position(|name| Some(*name) == theirs.as_deref());
        pairs.sort_by_key(|(_, theirs)| place(theirs));
        if !pairs.iter().map(|(_, theirs)| theirs.as_deref()).eq(key.iter().map(|name| Some(*name))) {
            return Err("it does not name that table's key".to_owned());
        }
    } else if pairs.len() != key.len() {
        return Err("it does not name that table's key".to_owned());
    }
    let fields: Vec<String> = pairs.into_iter().map(|(ours, _)| ours).collect();
    if let Some(missing) = fields.iter().find(|name| entity.field(name).is_none()) {
        return Err(format!("the column {missing} is left out"));
    }
    let held: Vec<&Field> = fields.iter().filter_map(|name| entity.field(name)).collect();
    let is_other = |(field, key): (&&Field, &usize)| field.kind.name() != target.fields[*key].kind.name();
    if held.iter().zip(&target.key).any(is_other) {
        return Err("its columns are read as other types than that key".to_owned());
    }
    let on_delete = match reference.on_delete.as_str() {
        "CASCADE" => Some(OnDelete::Cascade),
        "SET NULL" => Some(OnDelete::SetNull).filter(|_| held.iter().all(|field| field.nullable)),
        "RESTRICT" | "NO ACTION" => Some(OnDelete::Restrict),
        _ => None,
    };
    let kind = if is_unique(entity, &fields) { RelationKind::OneToOne } else { RelationKind::ManyToOne };
    let name = relation_name(entity, &fields, &target.name);
    Ok(Relation { name, kind, target: target.name.clone(), fields, inverse: false, through: None, on_delete })
}

/// Whether no two rows have the same values in these fields.
fn is_unique(entity: &Entity, fields: &[String]) -> bool {
    let wanted: HashSet<&str> = fields.iter().map(String::as_str).collect();
    let is_same = |columns: HashSet<&str>| columns == wanted;
    let key = entity.key.iter().map(|position| entity.fields[*position].name.as_str()).collect();
    let indexes = entity.indexes.iter().filter(|index| index.unique);
    is_same(key) || indexes.map(|index| index.fields.iter().map(|part| part.path.text.as_str()).collect()).any(is_same)
}

/// The column without `_id`, else the other table; with a number behind it where that name is taken.
fn relation_name(entity: &Entity, fields: &[String], target: &str) -> String {
    let is_free = |name: &str| entity.field(name).is_none() && entity.relations.iter().all(|other| other.name != name);
    let stem = match fields {
        [only] => only.strip_suffix("_id").filter(|stem| !stem.is_empty()),
        _ => None,
    };
    let names = stem.into_iter().chain([target]).map(str::to_owned);
    let numbered = (2..).map(|number| format!("{target}_{number}"));
    names.chain(numbered).find(|name| is_free(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Field {
        Field { primary_key: true, ..Field::new(name, FieldType::Int) }
    }

    #[test]
    fn introspect_names_relations_by_their_columns() {
        let fields = vec![key("id"), Field::new("author_id", FieldType::Int), Field::new("editor", FieldType::Int)];
        let mut entity = Entity::new("books", fields, Vec::new()).unwrap();
        let name = |entity: &Entity, field: &str| relation_name(entity, &[field.to_owned()], "people");
        assert_eq!(name(&entity, "author_id"), "author");
        assert_eq!(name(&entity, "editor"), "people");
        entity.relations.push(Relation {
            name: "people".to_owned(),
            kind: RelationKind::ManyToOne,
            target: "people".to_owned(),
            fields: vec!["editor".to_owned()],
            inverse: false,
            through: None,
            on_delete: None,
        });
        assert_eq!(name(&entity, "editor"), "people_2");
    }

    #[test]
    fn introspect_relates_unique_columns_one_to_one() {
        let fields = vec![key("id"), Field { unique: true, ..Field::new("user_id", FieldType::Int) }];
        let entities = [
            Entity::new("profiles", fields, Vec::new()).unwrap(),
            Entity::new("users", vec![key("id")], Vec::new()).unwrap(),
        ];
        let table = Table { name: "profiles".to_owned(), ..Table::default() };
        let mut reference = Reference {
            target: "users".to_owned(),
            on_delete: "CASCADE".to_owned(),
            pairs: vec![("user_id".to_owned(), Some("id".to_owned()))],
        };
        let found = relation(&entities, &table, &reference).unwrap();
        assert_eq!((found.kind, found.on_delete), (RelationKind::OneToOne, Some(OnDelete::Cascade)));
        reference.pairs = vec![("user_id".to_owned(), Some("name".to_owned()))];
        assert!(relation(&entities, &table, &reference).unwrap_err().contains("key"));
        reference.target = "nobody".to_owned();
        assert!(relation(&entities, &table, &reference).unwrap_err().contains("not there"));
    }
}
