//! Tables, indexes and references as SQLite spells them.

use super::dialect::{ROW, Sqlite, json_path, path_expression, quote};
use super::functions::DECIMAL;
use crate::backends::contract::META;
use crate::backends::sql::filter::index_condition;
use crate::backends::sql::references;
use crate::backends::sql::schema::Definitions;
use crate::backends::sql::{Dialect, is_json, text_literal};
use crate::error::{Error, Result};
use crate::schema::{Entity, Field, FieldType, Generated, Index, IndexField, Reference};
use crate::value::Value;

fn key_part(field: &Field) -> String {
    Sqlite.collated(&quote(&field.name), &field.kind)
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
    Ok(Sqlite.ordered(&sql, part.descending, true))
}

impl Definitions for Sqlite {
    /// The one writer holds the file's lock.
    fn lock(&self) -> Option<String> {
        None
    }

    fn unlock(&self) -> Option<String> {
        None
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn existing(&self) -> String {
        "SELECT name FROM sqlite_schema".to_owned()
    }

    fn columns(&self) -> String {
        "SELECT name, upper(type) AS type FROM pragma_table_info(?)".to_owned()
    }

    fn column_type(&self, kind: &FieldType) -> String {
        match kind {
            FieldType::Int | FieldType::Bool => "INTEGER",
            FieldType::Float => "REAL",
            FieldType::Bytes => "BLOB",
            _ => "TEXT",
        }
        .to_owned()
    }

    fn fits(&self, kind: &FieldType, stored: &str) -> bool {
        stored == self.column_type(kind) || stored == "ANY"
    }

    fn column(&self, entity: &Entity, field: &Field) -> Result<String> {
        let name = quote(&field.name);
        let mut sql = format!("{name} {}", self.column_type(&field.kind));
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
        if let Some(default) = field.default.as_ref().filter(|default| !Value::is_null(default)) {
            sql += &format!(" DEFAULT {}", self.literal(&field.kind, default)?);
        }
        if is_json(&field.kind) {
            sql += &format!(" CHECK ({name} IS NULL OR json_valid({name}))");
        } else if matches!(field.kind, FieldType::Bool) {
            sql += &format!(" CHECK ({name} IN (0, 1))");
        }
        Ok(sql)
    }

    fn create_table(&self, entity: &Entity, references: &[&Reference]) -> Result<String> {
        let mut parts = entity.fields.iter().map(|field| self.column(entity, field)).collect::<Result<Vec<_>>>()?;
        if entity.key.len() > 1 {
            let key: Vec<_> = entity.key.iter().map(|position| key_part(&entity.fields[*position])).collect();
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        parts.extend(references.iter().map(|reference| references::constraint(self, reference)));
        Ok(format!("CREATE TABLE {} ({}) STRICT", quote(&entity.name), parts.join(", ")))
    }

    fn has_foreign_keys(&self) -> bool {
        true
    }

    fn references(&self) -> String {
        super::introspect::references()
    }

    /// Rows that exist get null, so that none of them names a row.
    fn column_reference(&self, reference: &Reference) -> Option<String> {
        let field = &reference.entity.fields[*reference.columns.first()?];
        field.default.is_none().then(|| references::target(self, reference))
    }

    fn add_reference(&self, _reference: &Reference) -> Result<Option<String>> {
        Ok(None)
    }

    fn create_index(&self, entity: &Entity, index: &Index) -> Result<String> {
        let parts = index.fields.iter().map(|part| index_part(entity, part)).collect::<Result<Vec<_>>>()?;
        let unique = if index.unique { "UNIQUE " } else { "" };
        let condition = index_condition(self, entity, index)?.map_or_else(String::new, |sql| format!(" WHERE {sql}"));
        let (name, table) = (quote(&index.name), quote(&entity.name));
        Ok(format!("CREATE {unique}INDEX {name} ON {table} ({}){condition}", parts.join(", ")))
    }

    fn why_no_search(&self) -> Option<String> {
        None
    }

    /// An index whose text is the table's, kept by triggers. Its tokenizer divides at ASCII characters that are no letters
    /// or digits, of which our words have none, so its tokens are our words.
    fn create_search(&self, entity: &Entity, field: &Field) -> Result<Vec<String>> {
        let (name, table, column) = (entity.search_name(), quote(&entity.name), quote(&field.name));
        let index = quote(&name);
        let content = text_literal(&entity.name);
        let trigger = |event: &str| quote(&format!("{name}_{event}"));
        let put = format!("INSERT INTO {index} (rowid, {column}) VALUES (new.{ROW}, new.{column});");
        let take =
            format!("INSERT INTO {index} ({index}, rowid, {column}) VALUES ('delete', old.{ROW}, old.{column});");
        Ok(vec![
            format!(
                "CREATE VIRTUAL TABLE {index} USING fts5({column}, content={content}, content_rowid='{ROW}', \
                 tokenize='ascii')"
            ),
            format!("CREATE TRIGGER {} AFTER INSERT ON {table} BEGIN {put} END", trigger("insert")),
            format!("CREATE TRIGGER {} AFTER DELETE ON {table} BEGIN {take} END", trigger("delete")),
            format!("CREATE TRIGGER {} AFTER UPDATE OF {column} ON {table} BEGIN {take} {put} END", trigger("update")),
            format!("INSERT INTO {index} ({index}) VALUES ('rebuild')"),
        ])
    }

    fn create_meta(&self) -> String {
        format!("CREATE TABLE IF NOT EXISTS {META} (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT")
    }

    fn put_meta(&self) -> String {
        format!("INSERT INTO {META} VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
    }
}
