//! Tables and indexes from the contract: creates what is missing, refuses what is different, never drops.

use std::collections::{HashMap, HashSet};

use super::dialect::{Sqlite, json_path, path_expression, quote};
use super::functions::DECIMAL;
use super::session::SqliteSession;
use crate::backend::{Session, TransactionOptions};
use crate::backends::contract::{META, refuse_changes};
use crate::backends::sql::filter::index_condition;
use crate::backends::sql::{Dialect, is_json};
use crate::error::{Error, Kind, Result};
use crate::schema::{Contract, Entity, Field, FieldType, Generated, Index, IndexField};
use crate::value::{Map, Value};

async fn rows(session: &mut SqliteSession, sql: &str, parameters: Vec<Value>) -> Result<Vec<Map>> {
    let rows = session.native(&Value::from(sql), &Value::List(parameters)).await?;
    Ok(rows.as_list().unwrap_or_default().iter().filter_map(|row| row.as_map().cloned()).collect())
}

async fn command(session: &mut SqliteSession, sql: &str, parameters: Vec<Value>) -> Result<()> {
    session.native(&Value::from(sql), &Value::List(parameters)).await.map(|_| ())
}

fn text(row: &Map, key: &str) -> String {
    row.get(key).and_then(Value::as_text).unwrap_or_default().to_owned()
}

/// The stored contract; a database without `_farm_meta` has none.
pub(super) async fn stored(session: &mut SqliteSession) -> Result<Option<Contract>> {
    let exists =
        rows(session, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?", vec![META.into()]).await?;
    if exists.is_empty() {
        return Ok(None);
    }
    let found = rows(session, &format!("SELECT value FROM {META} WHERE key = 'contract'"), vec![]).await?;
    found.first().map(|row| Contract::parse(&text(row, "value"))).transpose()
}

/// Creates what is missing, in one transaction.
pub(super) async fn ensure(session: &mut SqliteSession, contract: &Contract) -> Result<Vec<String>> {
    session.begin(&TransactionOptions::default()).await?;
    let outcome = create_missing(session, contract).await;
    match outcome {
        Ok(created) => session.commit().await.map(|()| created),
        Err(error) => {
            session.rollback().await?;
            Err(error)
        }
    }
}

async fn create_missing(session: &mut SqliteSession, contract: &Contract) -> Result<Vec<String>> {
    let known = stored(session).await?;
    refuse_changes(contract, known.as_ref())?;
    let existing: HashSet<String> =
        rows(session, "SELECT name FROM sqlite_schema", vec![]).await?.iter().map(|row| text(row, "name")).collect();
    let mut created = Vec::new();
    for entity in contract.entities() {
        if existing.contains(&entity.name) {
            add_columns(session, entity, &mut created).await?;
        } else {
            command(session, &create_table(entity)?, vec![]).await?;
            created.push(format!("table {}", entity.name));
        }
        for index in &entity.indexes {
            if !existing.contains(&index.name) {
                command(session, &create_index(entity, index)?, vec![]).await?;
                created.push(format!("index {} on {}", index.name, entity.name));
            }
        }
    }
    store(session, contract, known).await?;
    Ok(created)
}

async fn store(session: &mut SqliteSession, contract: &Contract, known: Option<Contract>) -> Result<()> {
    let merged = known.map_or_else(|| contract.clone(), |known| known.merged_with(contract));
    let table =
        format!("CREATE TABLE IF NOT EXISTS {META} (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT");
    command(session, &table, vec![]).await?;
    for (key, value) in [("contract", merged.to_json()), ("contract_hash", merged.hash())] {
        let upsert = format!("INSERT INTO {META} VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value");
        command(session, &upsert, vec![key.into(), value.into()]).await?;
    }
    Ok(())
}

/// Adds columns that the table does not have, where old rows can have a value for them.
async fn add_columns(session: &mut SqliteSession, entity: &Entity, created: &mut Vec<String>) -> Result<()> {
    let columns: HashMap<String, String> =
        rows(session, "SELECT name, type FROM pragma_table_info(?)", vec![entity.name.as_str().into()])
            .await?
            .iter()
            .map(|row| (text(row, "name"), text(row, "type").to_uppercase()))
            .collect();
    for field in &entity.fields {
        match columns.get(&field.name) {
            Some(kind) if kind == column_type(&field.kind) || kind == "ANY" => {}
            Some(kind) => {
                let message = format!(
                    "{}.{} is declared {}, stored as {}, but the table has {kind}",
                    entity.name,
                    field.name,
                    field.kind.name(),
                    column_type(&field.kind)
                );
                return Err(mismatch(entity, field, message));
            }
            None if field.primary_key || (!field.nullable && field.default.is_none()) => {
                let message = format!(
                    "{}.{} is new and has no value for the rows that exist: write a migration",
                    entity.name, field.name
                );
                return Err(mismatch(entity, field, message));
            }
            None => {
                let definition = column(field, entity)?;
                command(session, &format!("ALTER TABLE {} ADD COLUMN {definition}", quote(&entity.name)), vec![])
                    .await?;
                created.push(format!("column {}.{}", entity.name, field.name));
            }
        }
    }
    Ok(())
}

fn mismatch(entity: &Entity, field: &Field, message: String) -> Error {
    Error::new(Kind::ContractMismatch, message).with("entity", entity.name.as_str()).with("field", field.name.as_str())
}

fn column_type(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::Int | FieldType::Bool => "INTEGER",
        FieldType::Float => "REAL",
        FieldType::Bytes => "BLOB",
        _ => "TEXT",
    }
}

fn create_table(entity: &Entity) -> Result<String> {
    let mut parts = entity.fields.iter().map(|field| column(field, entity)).collect::<Result<Vec<_>>>()?;
    if entity.key.len() > 1 {
        let key: Vec<_> = entity.key.iter().map(|position| key_part(&entity.fields[*position])).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    Ok(format!("CREATE TABLE {} ({}) STRICT", quote(&entity.name), parts.join(", ")))
}

fn key_part(field: &Field) -> String {
    let collation =
        if matches!(field.kind, FieldType::Decimal) { format!(" COLLATE {DECIMAL}") } else { String::new() };
    format!("{}{collation}", quote(&field.name))
}

fn column(field: &Field, entity: &Entity) -> Result<String> {
    let mut sql = format!("{} {}", quote(&field.name), column_type(&field.kind));
    if field.primary_key && entity.key.len() == 1 {
        sql += " PRIMARY KEY";
        if field.generated == Some(Generated::AutoIncrement) {
            // Without the word SQLite would give the number of a deleted row again.
            sql += " AUTOINCREMENT";
        }
    }
    if !field.nullable {
        sql += " NOT NULL";
    }
    if matches!(field.kind, FieldType::Decimal) {
        sql += &format!(" COLLATE {DECIMAL}");
    }
    if let Some(default) = field.default.as_ref().filter(|default| !default.is_null()) {
        sql += &format!(" DEFAULT {}", Sqlite.literal(&field.kind, default)?);
    }
    if is_json(&field.kind) {
        let name = quote(&field.name);
        sql += &format!(" CHECK ({name} IS NULL OR json_valid({name}))");
    } else if matches!(field.kind, FieldType::Bool) {
        sql += &format!(" CHECK ({} IN (0, 1))", quote(&field.name));
    }
    Ok(sql)
}

fn create_index(entity: &Entity, index: &Index) -> Result<String> {
    let parts = index.fields.iter().map(|part| index_part(entity, part)).collect::<Result<Vec<_>>>()?;
    let unique = if index.unique { "UNIQUE " } else { "" };
    let filter = index_condition(&Sqlite, entity, index)?;
    Ok(format!("CREATE {unique}INDEX {} ON {} ({}){filter}", quote(&index.name), quote(&entity.name), parts.join(", ")))
}

fn index_part(entity: &Entity, part: &IndexField) -> Result<String> {
    let field = &entity.fields[part.path.column];
    let sql = if part.path.is_column() {
        key_part(field)
    } else {
        let plain = path_expression(entity, &part.path);
        let any = || Some(format!("json_extract({}, {})", quote(&field.name), json_path(&part.path.legs)?));
        plain.or_else(any).ok_or_else(|| {
            Error::invalid_schema(format!("sqlite cannot index the path {:?}", part.path.text))
                .with("entity", entity.name.as_str())
        })?
    };
    Ok(sql + if part.descending { " DESC" } else { "" })
}
