//! Operations as MongoDB's commands. Pure: takes no connection.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};

use super::filter::condition;
use super::layout::{ID, Layout};
use super::rows::Reading;
use super::values::{column, encode};
use crate::backend::{Changes, Insert, Operation, Select, SetTo, Statement, Write};
use crate::backends::sql::compile::all_columns;
use crate::error::{Error, Result};
use crate::query::{Comparison, Filter, Sort, Test};
use crate::schema::{Entity, FieldType, Generated};
use crate::value::Value;

/// A command, ready for a session.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) reading: Arc<Reading>,
    pub(super) command: Command,
}

/// What is asked of a collection.
#[derive(Debug)]
pub(super) enum Command {
    /// Documents. With `keyed` the statement's parameters are the key's values, and the filter is the rest.
    Find { filter: Document, keyed: bool, sort: Document, projection: Option<Document>, limit: Option<u64>, skip: u64 },
    /// Their number.
    Count { filter: Document, limit: Option<u64>, skip: u64 },
    /// The different values of one column.
    Distinct { filter: Document, name: String },
    /// New documents; `counted`: the column whose key the database counts.
    Insert { counted: Option<usize> },
    /// An update of the document with the same unique values, or a new one.
    Upsert { filter: Document, update: Document, row: Vec<Value>, counted: Option<usize> },
    /// Changes of all documents, or of the first; `keyed`: there is one at most.
    Update { filter: Document, update: Document, one: bool, keyed: bool, sort: Document },
    /// Removal of all documents, or of the first; `keyed`: there is one at most.
    Delete { filter: Document, one: bool, keyed: bool, sort: Document },
}

impl Command {
    /// Whether it changes documents.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Self::Find { .. } | Self::Count { .. } | Self::Distinct { .. })
    }

    /// Whether it writes several documents, which are one only inside a transaction.
    pub(super) fn touches_several(&self) -> bool {
        matches!(self, Self::Update { one: false, keyed: false, .. } | Self::Delete { one: false, keyed: false, .. })
    }
}

pub(super) fn compile(operation: &Operation<'_>) -> Result<Statement> {
    match operation {
        Operation::Select(select) => select_statement(select),
        Operation::Count(select) => count(select),
        Operation::Distinct(select) => distinct(select),
        Operation::Insert(insert) => insert_statement(insert),
        Operation::Update(write, changes) => update(write, changes),
        Operation::Delete(write) => delete(write),
    }
}

fn statement(entity: &Entity, layout: Layout, columns: &Arc<[usize]>, command: Command) -> Statement {
    let kinds = columns.iter().map(|column| entity.fields[*column].kind.clone()).collect();
    let reading = Arc::new(Reading::new(entity, &layout, columns));
    Statement {
        text: text(&layout, &command).into(),
        parameters: Vec::new(),
        columns: Arc::clone(columns),
        residual: None,
        unsorted: false,
        kinds,
        native: Some(Arc::new(Plan { layout, reading, command })),
        early: None,
        by_key: false,
    }
}

/// The command as it would be typed into a shell, without its values, for `explain` and logs.
fn text(layout: &Layout, command: &Command) -> String {
    let name = &layout.collection;
    match command {
        Command::Find { filter, sort, .. } if sort.is_empty() => format!("db.{name}.find({})", shape(filter)),
        Command::Find { filter, sort, .. } => format!("db.{name}.find({}).sort({sort})", shape(filter)),
        Command::Count { filter, .. } => format!("db.{name}.countDocuments({})", shape(filter)),
        Command::Distinct { filter, name: field } => format!("db.{name}.distinct(\"{field}\", {})", shape(filter)),
        Command::Insert { .. } => format!("db.{name}.insertMany(?)"),
        Command::Upsert { filter, update, .. } | Command::Update { filter, update, one: true, .. } => {
            format!("db.{name}.findOneAndUpdate({}, {})", shape(filter), shape(update))
        }
        Command::Update { filter, update, .. } => format!("db.{name}.updateMany({}, {})", shape(filter), shape(update)),
        Command::Delete { filter, one: true, .. } => format!("db.{name}.findOneAndDelete({})", shape(filter)),
        Command::Delete { filter, .. } => format!("db.{name}.deleteMany({})", shape(filter)),
    }
}

/// A document with a question mark in place of every value.
fn shape(document: &Document) -> String {
    let entry = |(name, value): (&String, &Bson)| format!("\"{name}\": {}", shape_of(value));
    format!("{{{}}}", document.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn shape_of(value: &Bson) -> String {
    match value {
        Bson::Document(document) => shape(document),
        // The parts of `$and` and its like; a list of values is one value.
        Bson::Array(parts) if !parts.is_empty() && parts.iter().all(|part| part.as_document().is_some()) => {
            format!("[{}]", parts.iter().map(shape_of).collect::<Vec<_>>().join(", "))
        }
        _ => "?".to_owned(),
    }
}

/// Takes the equality with the whole key out of a filter: its values in order, and what is left.
fn keyed(entity: &Entity, filter: &Filter) -> Option<(Vec<Value>, Filter)> {
    let parts = match filter {
        Filter::And(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let of_key = |position: usize| {
        parts.iter().position(|part| match part {
            Filter::At(path, Test::Compare(Comparison::Eq, _)) => path.is_column() && path.column == position,
            _ => false,
        })
    };
    let places = entity.key.iter().map(|position| of_key(*position)).collect::<Option<Vec<_>>>()?;
    let value = |place: &usize| match &parts[*place] {
        Filter::At(_, Test::Compare(_, value)) => value.clone(),
        _ => Value::Null,
    };
    let values: Vec<Value> = places.iter().map(value).collect();
    let rest = parts.iter().enumerate().filter(|(place, _)| !places.contains(place)).map(|(_, part)| part.clone());
    let is_finer =
        |value: &Value| matches!(value, Value::DateTime(moment) if !super::values::is_in_milliseconds(*moment));
    (!values.iter().any(is_finer)).then(|| (values, Filter::And(rest.collect())))
}

/// The order as MongoDB sorts; a path through two lists is refused before.
fn order(layout: &Layout, sort: &Sort) -> Document {
    sort.fields
        .iter()
        .map(|field| (layout.name(&field.path), Bson::Int32(if field.descending { -1 } else { 1 })))
        .collect()
}

/// Documents behind a position: by the first field, or equal there and by the second, and so on. Null sorts first.
fn after_condition(entity: &Entity, layout: &Layout, sort: &Sort, after: &[Value]) -> Result<Document> {
    let mut alternatives = Vec::new();
    for (index, field) in sort.fields.iter().enumerate() {
        if field.path.single_scalar().is_none() {
            let path = field.path.text.as_str();
            return Err(Error::unsupported(format!("mongodb cannot page by {path:?}"))
                .with("operator", "page")
                .with("path", path)
                .with("backend", "mongodb"));
        }
        let mut parts = Vec::new();
        for (equal, value) in sort.fields[..index].iter().zip(after) {
            parts.push(doc! { layout.name(&equal.path): { "$eq": encode(value)? } });
        }
        let name = layout.name(&field.path);
        let nullable = !field.path.is_column() || entity.fields[field.path.column].nullable;
        let value = encode(&after[index])?;
        parts.push(match (after[index].is_null(), field.descending) {
            (true, false) => doc! { name: { "$ne": null } },
            (true, true) => continue,
            (false, false) => doc! { name: { "$gt": value } },
            (false, true) if nullable => doc! { "$or": [{ &name: { "$lt": value } }, { &name: null }] },
            (false, true) => doc! { name: { "$lt": value } },
        });
        alternatives.push(doc! { "$and": parts });
    }
    Ok(if alternatives.is_empty() {
        doc! { "$nor": [{}] }
    } else {
        doc! { "$or": alternatives }
    })
}

fn both(one: Document, other: Document) -> Document {
    if one.is_empty() {
        other
    } else {
        doc! { "$and": [one, other] }
    }
}

fn select_statement(select: &Select<'_>) -> Result<Statement> {
    let entity = select.entity;
    let layout = Layout::new(entity);
    let taken = if select.after.is_none() { keyed(entity, select.filter) } else { None };
    let (parameters, filter) = taken.clone().unwrap_or_else(|| (Vec::new(), select.filter.clone()));
    let found = condition(&layout, &filter);
    let mut filter = found.document;
    if let Some(after) = select.after {
        filter = both(filter, after_condition(entity, &layout, select.sort, after)?);
    }
    // The matcher needs every column that it looks at; the simplest that is right is all of them.
    let columns = if found.exact { Arc::clone(&select.columns) } else { all_columns(entity) };
    let (limit, skip) = if found.exact { (select.limit, select.skip) } else { (Some(select.scan), 0) };
    let mut sort = order(&layout, select.sort);
    if select.sort.ranked && asks_text(&filter) {
        let keys = std::mem::take(&mut sort);
        sort.insert("_farm_score", doc! { "$meta": "textScore" });
        sort.extend(keys);
    }
    let projection = (columns.len() < entity.fields.len()).then(|| projection(&layout, &columns));
    let command = Command::Find { filter, keyed: taken.is_some(), sort, projection, limit, skip };
    let mut compiled = statement(entity, layout, &columns, command);
    compiled.parameters = parameters;
    compiled.residual = (!found.exact).then(|| select.filter.clone());
    Ok(compiled)
}

/// Whether a filter asks the text index, which ranks.
fn asks_text(filter: &Document) -> bool {
    filter.iter().any(|(name, value)| match value {
        Bson::Array(parts) if name == "$and" => parts.iter().filter_map(Bson::as_document).any(asks_text),
        _ => name == "$text",
    })
}

fn projection(layout: &Layout, columns: &[usize]) -> Document {
    let with_key = columns.iter().any(|column| layout.key.contains(column));
    let others = columns.iter().filter(|column| !layout.key.contains(column));
    let mut projection: Document = others.map(|position| (layout.column(*position), Bson::Int32(1))).collect();
    if with_key || projection.is_empty() {
        projection.insert(ID, 1);
    } else {
        projection.insert(ID, 0);
    }
    projection
}

fn count(select: &Select<'_>) -> Result<Statement> {
    let layout = Layout::new(select.entity);
    let found = condition(&layout, select.filter);
    if !found.exact {
        return select_statement(select);
    }
    let nothing: Arc<[usize]> = Arc::new([]);
    let command = Command::Count { filter: found.document, limit: select.limit, skip: select.skip };
    Ok(Statement { kinds: Arc::new([FieldType::Int]), ..statement(select.entity, layout, &nothing, command) })
}

fn distinct(select: &Select<'_>) -> Result<Statement> {
    let layout = Layout::new(select.entity);
    let found = condition(&layout, select.filter);
    let position = select.columns[0];
    let kind = &select.entity.fields[position].kind;
    // Equal decimals may differ in text, so the core must see them all.
    let alone = kind.is_scalar() && !matches!(kind, FieldType::Decimal);
    if !found.exact || !alone || select.limit.is_some() || select.skip > 0 {
        let mut compiled = select_statement(select)?;
        compiled.residual.get_or_insert(Filter::All);
        return Ok(compiled);
    }
    let command = Command::Distinct { filter: found.document, name: layout.column(position) };
    Ok(statement(select.entity, layout, &select.columns, command))
}

fn counted(entity: &Entity) -> Option<usize> {
    entity.fields.iter().position(|field| field.generated == Some(Generated::AutoIncrement))
}

fn insert_statement(insert: &Insert<'_>) -> Result<Statement> {
    let entity = insert.entity;
    let layout = Layout::new(entity);
    let columns = all_columns(entity);
    let Some(conflict) = &insert.conflict else {
        return Ok(statement(entity, layout, &columns, Command::Insert { counted: counted(entity) }));
    };
    let mut filter = if conflict.on == entity.key {
        let key: Vec<Value> = entity.key.iter().map(|position| conflict.row[*position].clone()).collect();
        Document::from_iter([(ID.to_owned(), layout.id(&key)?)])
    } else {
        let each = conflict.on.iter().map(|position| {
            Ok((layout.column(*position), Bson::Document(doc! { "$eq": column(&conflict.row[*position])? })))
        });
        each.collect::<Result<Document>>()?
    };
    if let Some(deleted) = entity.automatic.deleted.filter(|_| conflict.on != entity.key) {
        filter.insert(layout.column(deleted), Bson::Null);
    }
    let update = changes_document(entity, &layout, &conflict.changes)?;
    let command = Command::Upsert { filter, update, row: conflict.row.clone(), counted: counted(entity) };
    Ok(statement(entity, layout, &columns, command))
}

fn refuse_write() -> Error {
    Error::unsupported("mongodb cannot do this write in one command").with("backend", "mongodb")
}

/// Changes as `$set` and `$inc`. Sums of decimals would be rounded silently, so they are left to the core.
fn changes_document(entity: &Entity, layout: &Layout, changes: &Changes) -> Result<Document> {
    let (mut set, mut plus) = (Document::new(), Document::new());
    for (position, change) in &changes.0 {
        if entity.key.contains(position) {
            if let SetTo::Value(_) = change
                && changes.0.len() == 1
            {
                // An upsert that has nothing to change sets what it was found by.
                continue;
            }
            return Err(Error::unsupported(format!("mongodb cannot change the key of {}", entity.name))
                .with("field", entity.fields[*position].name.as_str())
                .with("backend", "mongodb"));
        }
        let name = layout.column(*position);
        match change {
            SetTo::Value(value) => {
                set.insert(name, column(value)?);
            }
            SetTo::Plus(Value::Decimal(_)) => return Err(refuse_write()),
            SetTo::Plus(number) => {
                plus.insert(name, column(number)?);
            }
        }
    }
    let mut update = Document::new();
    if !set.is_empty() {
        update.insert("$set", set);
    }
    if !plus.is_empty() {
        update.insert("$inc", plus);
    }
    Ok(update)
}

/// The exact filter of a write; with the key where the filter names it whole.
fn write_filter(write: &Write<'_>, layout: &Layout) -> Result<(Document, bool)> {
    let Some((key, rest)) = keyed(write.entity, write.filter) else {
        let found = condition(layout, write.filter);
        return if found.exact { Ok((found.document, false)) } else { Err(refuse_write()) };
    };
    let found = condition(layout, &rest);
    if !found.exact {
        return Err(refuse_write());
    }
    let by_key = Document::from_iter([(ID.to_owned(), layout.id(&key)?)]);
    Ok((if found.document.is_empty() { by_key } else { both(by_key, found.document) }, true))
}

fn update(write: &Write<'_>, changes: &Changes) -> Result<Statement> {
    let entity = write.entity;
    let layout = Layout::new(entity);
    let update = changes_document(entity, &layout, changes)?;
    let (filter, keyed) = write_filter(write, &layout)?;
    // Only a command of one document gives it back.
    let one = write.one || (keyed && write.returning);
    if (write.returning && !one) || update.is_empty() {
        return Err(refuse_write());
    }
    let sort = order(&layout, write.sort);
    Ok(write_statement(write, layout, Command::Update { filter, update, one, keyed, sort }))
}

fn delete(write: &Write<'_>) -> Result<Statement> {
    let layout = Layout::new(write.entity);
    let (filter, keyed) = write_filter(write, &layout)?;
    let one = write.one || (keyed && write.returning);
    if write.returning && !one {
        return Err(refuse_write());
    }
    let sort = order(&layout, write.sort);
    Ok(write_statement(write, layout, Command::Delete { filter, one, keyed, sort }))
}

fn write_statement(write: &Write<'_>, layout: Layout, command: Command) -> Statement {
    let columns = if write.returning { all_columns(write.entity) } else { Arc::new([]) };
    statement(write.entity, layout, &columns, command)
}
