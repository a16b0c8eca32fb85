//! Tables, indexes and references as MySQL and MariaDB spell them.
//!
//! Neither has indexes over a part of the rows, so a unique index with a condition is one over hidden generated columns,
//! which are null in the rows outside of it; and null never equals null there.

use super::dialect::{INDEXED_LENGTH, LONG_TEXT, Mysql, PREFIX as WORD_PREFIX, is_readable, quote, text_literal};
use crate::backends::contract::META;
use crate::backends::sql::filter::index_condition;
use crate::backends::sql::references;
use crate::backends::sql::schema::Definitions;
use crate::backends::sql::{Dialect, is_json};
use crate::error::{Error, Result};
use crate::schema::{Entity, Field, FieldType, Generated, Index, Reference};
use crate::value::Value;

/// Longer names are refused by the server.
const MAX_NAME: usize = 64;
/// Bytes of the columns of one index (`InnoDB`, `DYNAMIC` rows), and of one character.
const INDEX_BYTES: usize = 3072;
const CHARACTER_BYTES: usize = 4;
/// Bytes of a column of fixed size, at most: a decimal.
const FIXED_BYTES: usize = 32;
/// Characters of a text in an index that only speeds up.
const PREFIX: usize = 191;

/// By code point and without padding: in MariaDB, in MySQL.
pub(super) const COLLATIONS: [&str; 2] = ["utf8mb4_nopad_bin", "utf8mb4_0900_bin"];

fn check_name(entity: &Entity, name: &str) -> Result<()> {
    if name.chars().count() <= MAX_NAME {
        return Ok(());
    }
    Err(Error::invalid_schema(format!("mysql has names of up to {MAX_NAME} characters, not {name:?}"))
        .with("entity", entity.name.as_str()))
}

fn is_wide(field: &Field) -> bool {
    matches!(field.kind, FieldType::Text | FieldType::Bytes) || is_json(&field.kind)
}

/// The bytes of each wide column in an index over these columns.
fn share(entity: &Entity, columns: &[usize]) -> usize {
    let wide = columns.iter().filter(|position| is_wide(&entity.fields[**position])).count().max(1);
    let fixed = columns.len().saturating_sub(wide) * FIXED_BYTES;
    INDEX_BYTES.saturating_sub(fixed) / wide
}

fn columns_of(index: &Index) -> Vec<usize> {
    index.fields.iter().map(|part| part.path.column).collect()
}

/// The bytes that a wide column of the key, of a unique index or of a reference may have; `None` where it is in none.
fn limit(entity: &Entity, position: usize) -> Option<usize> {
    let unique = entity.indexes.iter().filter(|index| index.unique).map(columns_of);
    let held = entity.relations.iter().filter(|relation| relation.is_enforced());
    let held = held.map(|relation| relation.fields.iter().filter_map(|name| entity.position(name).ok()).collect());
    let keys = unique.chain(held).chain([entity.key.clone()]).filter(|columns| columns.contains(&position));
    keys.map(|columns| share(entity, &columns)).min()
}

/// The type of a column in its table.
fn placed_type(entity: &Entity, field: &Field) -> String {
    let position = entity.fields.iter().position(|other| other.name == field.name);
    match (&field.kind, position.and_then(|position| limit(entity, position))) {
        (FieldType::Text, Some(bytes)) => {
            let most = (bytes / CHARACTER_BYTES) as u64;
            format!("VARCHAR({})", field.constraints.max_length.unwrap_or(most).clamp(1, most))
        }
        (FieldType::Bytes, Some(bytes)) => format!("VARBINARY({bytes})"),
        (kind, _) => column_type(kind).to_owned(),
    }
}

/// The type of a column that no unique index holds. JSON lies in text, because MySQL's own type keeps neither the order of
/// keys nor the spelling of numbers; MariaDB's is text anyway.
fn column_type(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::Int => "BIGINT",
        FieldType::Float => "DOUBLE",
        FieldType::Decimal => "DECIMAL(65,30)",
        FieldType::Bytes => "LONGBLOB",
        FieldType::Bool => "TINYINT(1)",
        FieldType::Uuid => "BINARY(16)",
        FieldType::ObjectId => "BINARY(12)",
        FieldType::DateTime => "DATETIME(6)",
        FieldType::Date => "DATE",
        FieldType::Time => "TIME(6)",
        FieldType::List(items) if items.kind.is_scalar() && !matches!(items.kind, FieldType::Float) => "JSON",
        _ => "LONGTEXT",
    }
}

/// The hidden column of one part of a unique index with a condition.
fn hidden(index: &Index, part: usize) -> String {
    format!("{}_{part}", index.name)
}

impl Mysql {
    /// What an index has for one of its columns.
    fn index_part(&self, entity: &Entity, index: &Index, part: usize) -> Result<String> {
        let part = &index.fields[part];
        let field = &entity.fields[part.path.column];
        if !part.path.is_column() {
            return Err(Error::invalid_schema(format!("mysql cannot index the path {:?}", part.path.text))
                .with("entity", entity.name.as_str()));
        }
        let bytes = share(entity, &columns_of(index));
        // A column that fits into its own index whole may be too long for one with others.
        let is_short = limit(entity, part.path.column).is_some_and(|limit| index.unique || limit <= bytes);
        let column = if is_wide(field) && (is_json(&field.kind) || !is_short) {
            if index.unique {
                return Err(Error::invalid_schema(format!(
                    "mysql has no unique index on the list or map {:?}",
                    field.name
                ))
                .with("entity", entity.name.as_str()));
            }
            let size = if matches!(field.kind, FieldType::Bytes) { bytes } else { bytes / CHARACTER_BYTES };
            // No longer than the column itself.
            let most = field.constraints.max_length.and_then(|most| usize::try_from(most).ok()).unwrap_or(PREFIX);
            format!("{}({})", quote(&field.name), size.min(PREFIX).min(most.max(1)))
        } else {
            quote(&field.name)
        };
        Ok(self.ordered(&column, part.descending, field.nullable))
    }

    /// The hidden columns of a unique index with a condition, as `ADD COLUMN` clauses.
    fn hidden_columns(&self, entity: &Entity, index: &Index, condition: &str) -> Vec<String> {
        let column = |(part, field): (usize, &crate::schema::IndexField)| {
            let field = &entity.fields[field.path.column];
            let (name, kind) = (quote(&hidden(index, part)), self.typed(entity, field));
            let value = format!("IF({condition}, {}, NULL)", quote(&field.name));
            format!("ADD COLUMN {name} {kind} GENERATED ALWAYS AS ({value}) VIRTUAL INVISIBLE")
        };
        index.fields.iter().enumerate().map(column).collect()
    }

    /// The type of a column with the order of its text.
    fn typed(&self, entity: &Entity, field: &Field) -> String {
        let kind = placed_type(entity, field);
        let is_text = matches!(field.kind, FieldType::Text) || kind == "LONGTEXT";
        if is_text { format!("{kind} CHARACTER SET utf8mb4 COLLATE {}", self.collation()) } else { kind }
    }
}

impl Definitions for Mysql {
    /// Definitions cannot be rolled back here, so the lock is the session's.
    fn lock(&self) -> Option<String> {
        (!self.is_sharded())
            .then(|| "SELECT GET_LOCK(CONCAT('farm-db ', LEFT(DATABASE(), 48)), 60) AS locked".to_owned())
    }

    fn unlock(&self) -> Option<String> {
        (!self.is_sharded())
            .then(|| "SELECT RELEASE_LOCK(CONCAT('farm-db ', LEFT(DATABASE(), 48))) AS released".to_owned())
    }

    fn is_transactional(&self) -> bool {
        false
    }

    fn existing(&self) -> String {
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() UNION \
         SELECT index_name AS name FROM information_schema.statistics WHERE table_schema = DATABASE()"
            .to_owned()
    }

    /// The type of text is followed by its collation unless that is by code point.
    fn columns(&self) -> String {
        let exact = COLLATIONS.map(text_literal).join(", ");
        format!(
            "SELECT column_name AS name, CONCAT(column_type, IF(collation_name IS NULL OR collation_name IN ({exact}), '', \
             CONCAT(' collate ', collation_name))) AS type FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = ?"
        )
    }

    fn column_type(&self, kind: &FieldType) -> String {
        column_type(kind).to_owned()
    }

    fn fits(&self, kind: &FieldType, stored: &str) -> bool {
        let (base, rest) = stored.split_once(['(', ' ']).unwrap_or((stored, ""));
        match kind {
            FieldType::Int => {
                matches!(base, "bigint" | "int" | "mediumint" | "smallint" | "tinyint")
                    && !(base == "bigint" && rest.contains("unsigned"))
            }
            FieldType::Text => {
                matches!(base, "longtext" | "mediumtext" | "text" | "tinytext" | "varchar") && !rest.contains("collate")
            }
            FieldType::Bytes => matches!(base, "longblob" | "mediumblob" | "blob" | "tinyblob" | "varbinary"),
            FieldType::Bool => base == "tinyint",
            kind if is_json(kind) => matches!(base, "longtext" | "json"),
            kind => stored.eq_ignore_ascii_case(column_type(kind)),
        }
    }

    fn column(&self, entity: &Entity, field: &Field) -> Result<String> {
        check_name(entity, &field.name)?;
        let mut sql = format!("{} {}", quote(&field.name), self.typed(entity, field));
        if !field.nullable {
            sql += " NOT NULL";
        }
        if field.generated == Some(Generated::AutoIncrement) {
            sql += " AUTO_INCREMENT";
        }
        if let Some(default) = field.default.as_ref().filter(|default| !Value::is_null(default)) {
            sql += &format!(" DEFAULT ({})", self.literal(&field.kind, default)?);
        }
        if column_type(&field.kind) == "LONGTEXT" && is_json(&field.kind) && is_readable(&field.kind) {
            sql += &format!(" CHECK (JSON_VALID({}))", quote(&field.name));
        }
        Ok(sql)
    }

    fn create_table(&self, entity: &Entity, _references: &[&Reference]) -> Result<String> {
        check_name(entity, &entity.name)?;
        let mut parts = entity.fields.iter().map(|field| self.column(entity, field)).collect::<Result<Vec<_>>>()?;
        let key: Vec<_> = entity.key.iter().map(|position| quote(&entity.fields[*position].name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        // A counted column must be the first of some index.
        let counted = entity.key.iter().find(|key| entity.fields[**key].generated == Some(Generated::AutoIncrement));
        if let Some(counted) = counted.filter(|counted| entity.key.first() != Some(counted)) {
            parts.push(format!("KEY ({})", quote(&entity.fields[*counted].name)));
        }
        let collation = self.collation();
        let table = self.table(&entity.name);
        Ok(format!(
            "CREATE TABLE {table} ({}) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation}",
            parts.join(", ")
        ))
    }

    fn has_foreign_keys(&self) -> bool {
        !self.is_sharded()
    }

    fn references(&self) -> String {
        super::introspect::references()
    }

    fn column_reference(&self, _reference: &Reference) -> Option<String> {
        None
    }

    fn add_reference(&self, reference: &Reference) -> Result<Option<String>> {
        check_name(&reference.entity, &reference.name)?;
        Ok(Some(references::add(self, reference)))
    }

    fn create_index(&self, entity: &Entity, index: &Index) -> Result<String> {
        check_name(entity, &index.name)?;
        let (name, table) = (quote(&index.name), self.table(&entity.name));
        let parts =
            (0..index.fields.len()).map(|part| self.index_part(entity, index, part)).collect::<Result<Vec<_>>>()?;
        let condition = index_condition(self, entity, index)?;
        // An index over all rows finds those of the condition too.
        let Some(condition) = condition.filter(|_| index.unique) else {
            let unique = if index.unique { "UNIQUE " } else { "" };
            return Ok(format!("CREATE {unique}INDEX {name} ON {table} ({})", parts.join(", ")));
        };
        check_name(entity, &hidden(index, index.fields.len()))?;
        let columns = self.hidden_columns(entity, index, &condition).join(", ");
        let parts: Vec<_> = (0..index.fields.len()).map(|part| quote(&hidden(index, part))).collect();
        Ok(format!("ALTER TABLE {table} {columns}, ADD UNIQUE INDEX {name} ({})", parts.join(", ")))
    }

    fn why_no_search(&self) -> Option<String> {
        Some(
            "SELECT 'a full-text index here leaves words out: it needs innodb_ft_min_token_size = 3 and \
             innodb_ft_max_token_size = 84, which are the defaults' AS why FROM DUAL \
             WHERE @@innodb_ft_min_token_size > 3 OR @@innodb_ft_max_token_size < 84"
                .to_owned(),
        )
    }

    /// An index on a hidden column, in which every word has a prefix.
    fn create_search(&self, entity: &Entity, field: &Field) -> Result<Vec<String>> {
        let name = quote(&entity.search_name());
        let (table, column, collation) = (self.table(&entity.name), quote(&field.name), self.collation());
        let words = format!("CONCAT('{WORD_PREFIX}', REPLACE({column}, ' ', ' {WORD_PREFIX}'))");
        let value = format!("IF(CHAR_LENGTH({column}) > {INDEXED_LENGTH}, '{LONG_TEXT}', {words})");
        let hidden = format!(
            "{name} LONGTEXT CHARACTER SET utf8mb4 COLLATE {collation} GENERATED ALWAYS AS ({value}) STORED INVISIBLE"
        );
        Ok(vec![format!("ALTER TABLE {table} ADD COLUMN {hidden}, ADD FULLTEXT INDEX {name} ({name})")])
    }

    fn create_meta(&self) -> String {
        let collation = self.collation();
        format!(
            "CREATE TABLE IF NOT EXISTS {} (`key` VARCHAR(64) NOT NULL PRIMARY KEY, value LONGTEXT NOT NULL) \
             ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation}",
            self.table(META)
        )
    }

    fn put_meta(&self) -> String {
        format!("INSERT INTO {} VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)", self.table(META))
    }
}
