//! What a SQL database has, read from its catalog: the rows of four queries, which each backend spells in its own words,
//! become tables. What a column is in a contract says the backend; [`super::adopt`] makes the entities.

use crate::backend::{Introspection, Session};
use crate::error::Result;
use crate::schema::{Constraints, FieldType};
use crate::value::{Map, Value};

use super::adopt;
use super::schema::Definitions;

/// What begins so is ours: tables, hidden columns and full-text indexes.
const OURS: &str = "_farm_";

/// The questions to a catalog; truth values may be numbers.
pub(in crate::backends) struct Questions {
    /// `name` and `kind`: `table`, or what else it is, with its article.
    pub(in crate::backends) relations: String,
    /// In order: `table`, `name`, `type` (as [`Definitions::columns`] says it), `declared` (for people), `nullable`,
    /// `default`, `key`, `counted`, `computed`, and what the backend wants to know beside.
    pub(in crate::backends) columns: String,
    /// A row a part, in order: `table`, `name`, `column`, `descending`, `unique`, `unnamed`, and `why` a contract cannot
    /// say it. Without the primary key.
    pub(in crate::backends) indexes: String,
    /// A row a part, in order: `table`, `name`, `column`, `target`, `target_column`, `on_delete` in capitals.
    pub(in crate::backends) references: String,
}

/// A table of the database.
#[derive(Debug, Default)]
pub(in crate::backends) struct Table {
    pub(in crate::backends) name: String,
    pub(in crate::backends) facts: Map,
    pub(in crate::backends) columns: Vec<Column>,
    pub(in crate::backends) indexes: Vec<FoundIndex>,
    pub(in crate::backends) references: Vec<Reference>,
}

/// A column of a table.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts of the catalog")]
pub(in crate::backends) struct Column {
    pub(in crate::backends) name: String,
    pub(in crate::backends) stored: String,
    pub(in crate::backends) declared: String,
    pub(in crate::backends) nullable: bool,
    pub(in crate::backends) key: bool,
    pub(in crate::backends) counted: bool,
    pub(in crate::backends) computed: bool,
    pub(in crate::backends) default: Option<String>,
    pub(in crate::backends) facts: Map,
    pub(in crate::backends) reading: Reading,
}

/// What a column is in a contract.
#[derive(Debug, Default)]
pub(in crate::backends) struct Reading {
    /// The type that holds every value of the column, if there is one.
    pub(in crate::backends) kind: Option<FieldType>,
    pub(in crate::backends) constraints: Constraints,
    /// What is to be said about it.
    pub(in crate::backends) notes: Vec<String>,
}

impl Reading {
    /// A column that is read as this type.
    pub(in crate::backends) fn of(kind: FieldType) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// The same, with something to be said.
    pub(in crate::backends) fn noted(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// A column of JSON that may be anybody's.
pub(in crate::backends) fn json() -> Reading {
    Reading::of(FieldType::Any).noted("is read as tagged JSON, in which keys that begin with $ have a meaning")
}

/// An index of a table.
#[derive(Debug, Default)]
pub(in crate::backends) struct FoundIndex {
    pub(in crate::backends) name: String,
    /// Whether the database made the name up.
    pub(in crate::backends) unnamed: bool,
    pub(in crate::backends) unique: bool,
    /// The columns, those in descending order with `-` before them.
    pub(in crate::backends) parts: Vec<String>,
    /// Why a contract cannot say it.
    pub(in crate::backends) why: Option<String>,
}

/// A foreign key of a table.
#[derive(Debug, Default)]
pub(in crate::backends) struct Reference {
    pub(in crate::backends) target: String,
    pub(in crate::backends) on_delete: String,
    /// Our column, and the other table's where it is named.
    pub(in crate::backends) pairs: Vec<(String, Option<String>)>,
}

/// What was found, before it is a contract.
#[derive(Debug, Default)]
pub(in crate::backends) struct Found {
    pub(in crate::backends) tables: Vec<Table>,
    pub(in crate::backends) notes: Vec<String>,
}

/// The rows of a query.
pub(in crate::backends) async fn rows(session: &mut dyn Session, sql: &str) -> Result<Vec<Map>> {
    let rows = session.native(&Value::from(sql), &Value::Null).await?;
    Ok(rows.as_list().unwrap_or_default().iter().filter_map(|row| row.as_map().cloned()).collect())
}

/// A text of a row, where it is not null.
pub(in crate::backends) fn text<'a>(row: &'a Map, key: &str) -> Option<&'a str> {
    row.get(key).and_then(Value::as_text)
}

/// A number of a row.
pub(in crate::backends) fn number(row: &Map, key: &str) -> Option<i64> {
    row.get(key).and_then(Value::as_int)
}

/// Whether a fact of a row is true; numbers are where they are not zero.
pub(in crate::backends) fn is_true(row: &Map, key: &str) -> bool {
    match row.get(key) {
        Some(Value::Bool(truth)) => *truth,
        Some(Value::Int(number)) => *number != 0,
        _ => false,
    }
}

fn owned(row: &Map, key: &str) -> String {
    text(row, key).unwrap_or_default().to_owned()
}

/// Asks the catalog. What is no table is noted, our own tables are passed over.
pub(in crate::backends) async fn read(session: &mut dyn Session, questions: &Questions) -> Result<Found> {
    let mut found = Found::default();
    for row in rows(session, &questions.relations).await? {
        let (name, kind) = (owned(&row, "name"), owned(&row, "kind"));
        if name.starts_with(OURS) {
            continue;
        }
        if kind == "table" {
            found.tables.push(Table { name, facts: row, ..Table::default() });
        } else {
            found.notes.push(format!("{name}: is {kind}, left out"));
        }
    }
    found.add_columns(&rows(session, &questions.columns).await?);
    found.add_indexes(&rows(session, &questions.indexes).await?);
    found.add_references(&rows(session, &questions.references).await?);
    Ok(found)
}

/// Makes the contract, once the backend has said what the columns are. Entities that farm-db made are those that it
/// stored, as long as their tables still fit.
pub(in crate::backends) async fn finish(
    session: &mut dyn Session,
    definitions: &dyn Definitions,
    found: Found,
) -> Result<Introspection> {
    let stored = super::schema::stored(session, definitions).await?;
    adopt::contract(definitions, found, &stored.unwrap_or_default())
}

impl Found {
    fn table(&mut self, row: &Map) -> Option<&mut Table> {
        let name = text(row, "table")?;
        self.tables.iter_mut().find(|table| table.name == name)
    }

    fn add_columns(&mut self, rows: &[Map]) {
        for row in rows.iter().filter(|row| !owned(row, "name").starts_with(OURS)) {
            let Some(table) = self.table(row) else { continue };
            table.columns.push(Column {
                name: owned(row, "name"),
                stored: owned(row, "type"),
                declared: owned(row, "declared"),
                nullable: is_true(row, "nullable"),
                key: is_true(row, "key"),
                counted: is_true(row, "counted"),
                computed: is_true(row, "computed"),
                default: text(row, "default").map(str::to_owned),
                facts: row.clone(),
                reading: Reading::default(),
            });
        }
    }

    fn add_indexes(&mut self, rows: &[Map]) {
        for row in rows.iter().filter(|row| !owned(row, "name").starts_with(OURS)) {
            let Some(table) = self.table(row) else { continue };
            let name = owned(row, "name");
            if table.indexes.last().is_none_or(|last| last.name != name) {
                table.indexes.push(FoundIndex {
                    name,
                    unnamed: is_true(row, "unnamed"),
                    unique: is_true(row, "unique"),
                    ..FoundIndex::default()
                });
            }
            let Some(index) = table.indexes.last_mut() else { continue };
            if let Some(why) = text(row, "why") {
                index.why = Some(why.to_owned());
            }
            match text(row, "column") {
                Some(column) => {
                    let sign = if is_true(row, "descending") { "-" } else { "" };
                    index.parts.push(format!("{sign}{column}"));
                }
                None => index.why = index.why.take().or_else(|| Some("is on an expression".to_owned())),
            }
        }
    }

    /// Foreign keys alone, with the tables that have them.
    pub(in crate::backends) fn add_referencing(&mut self, rows: &[Map]) {
        for row in rows.iter().filter(|row| text(row, "table").is_some()) {
            if self.table(row).is_none() {
                self.tables.push(Table { name: owned(row, "table"), ..Table::default() });
            }
        }
        self.add_references(rows);
    }

    fn add_references(&mut self, rows: &[Map]) {
        let mut last = None;
        for row in rows {
            let Some(table) = self.table(row) else { continue };
            let this = (table.name.clone(), row.get("name").cloned());
            if last.as_ref() != Some(&this) {
                let (target, on_delete) = (owned(row, "target"), owned(row, "on_delete"));
                table.references.push(Reference { target, on_delete, pairs: Vec::new() });
                last = Some(this);
            }
            if let Some(reference) = table.references.last_mut() {
                reference.pairs.push((owned(row, "column"), text(row, "target_column").map(str::to_owned)));
            }
        }
    }
}
