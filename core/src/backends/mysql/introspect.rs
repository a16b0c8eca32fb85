//! Databases of others in MySQL and MariaDB, read from their catalog, and from the data where a type says too little.

use super::definitions::COLLATIONS;
use super::dialect::{Mysql, quote, text_literal};
use super::session::MysqlSession;
use super::values::decimal_text;
use crate::backend::Introspection;
use crate::backends::sql::introspect::{
    Column, Questions, Reading, Table, finish, is_true, json, number, read, rows, text,
};
use crate::error::Result;
use crate::schema::{Constraints, FieldType};
use crate::value::MAX_DIGITS;

/// `BASE TABLE` only; MariaDB has other kinds of tables too.
const ONLY_TABLES: &str = "t.table_schema = DATABASE() AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')";
const JOIN: &str =
    "JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name";

fn questions(is_mariadb: bool) -> Questions {
    // MySQL writes constants without quotes.
    let default = if is_mariadb {
        "c.column_default"
    } else {
        "IF(c.extra LIKE '%DEFAULT_GENERATED%', c.column_default, QUOTE(c.column_default))"
    };
    let expression = if is_mariadb { "NULL" } else { "c.expression" };
    let exact = COLLATIONS.map(text_literal).join(", ");
    Questions {
        relations:
            "SELECT table_name AS name, CASE WHEN table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') THEN 'table' \
            WHEN table_type LIKE '%VIEW' THEN 'a view' ELSE CONCAT('a ', LOWER(table_type)) END AS kind \
            FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name"
                .to_owned(),
        columns: format!(
            "SELECT c.table_name AS `table`, c.column_name AS name, CONCAT(c.column_type, IF(c.collation_name IS NULL \
             OR c.collation_name IN ({exact}), '', CONCAT(' collate ', c.collation_name))) AS type, \
             c.column_type AS declared, c.data_type AS base, c.is_nullable = 'YES' AS nullable, {default} AS `default`, \
             c.column_key = 'PRI' AS `key`, c.extra LIKE '%auto_increment%' AS counted, \
             c.generation_expression <> '' AS computed, c.extra LIKE '%INVISIBLE%' AS invisible, \
             CAST(c.character_maximum_length AS SIGNED) AS length, CAST(c.numeric_precision AS SIGNED) AS digits, \
             CAST(c.numeric_scale AS SIGNED) AS places FROM information_schema.columns c {JOIN} WHERE {ONLY_TABLES} \
             ORDER BY c.table_name, c.ordinal_position"
        ),
        indexes: format!(
            "SELECT c.table_name AS `table`, c.index_name AS name, c.column_name AS `column`, \
             COALESCE(c.collation, 'A') = 'D' AS descending, c.non_unique = 0 AS `unique`, FALSE AS unnamed, CASE \
               WHEN {expression} IS NOT NULL THEN 'is on an expression' \
               WHEN c.index_type NOT IN ('BTREE', 'HASH') THEN CONCAT('is of the kind ', c.index_type) \
               WHEN c.sub_part IS NOT NULL AND c.non_unique = 0 THEN 'covers only the beginnings of texts' END AS why \
             FROM information_schema.statistics c {JOIN} WHERE {ONLY_TABLES} AND c.index_name <> 'PRIMARY' \
             ORDER BY c.table_name, c.index_name, c.seq_in_index"
        ),
        references: references(),
    }
}

/// `references` of [`Questions`].
pub(super) fn references() -> String {
    format!(
        "SELECT c.table_name AS `table`, c.constraint_name AS name, c.column_name AS `column`, \
             IF(c.referenced_table_schema = DATABASE(), c.referenced_table_name, \
               CONCAT(c.referenced_table_schema, '.', c.referenced_table_name)) AS target, \
             c.referenced_column_name AS target_column, r.delete_rule AS on_delete \
             FROM information_schema.key_column_usage c {JOIN} JOIN information_schema.referential_constraints r \
             ON r.constraint_schema = c.constraint_schema AND r.constraint_name = c.constraint_name \
             AND r.table_name = c.table_name WHERE {ONLY_TABLES} AND c.referenced_table_name IS NOT NULL \
             ORDER BY c.table_name, c.constraint_name, c.ordinal_position"
    )
}

/// Columns with the check that makes them JSON; MariaDB has no other JSON columns.
fn json_checks(is_mariadb: bool) -> &'static str {
    if is_mariadb {
        "SELECT table_name AS `table`, check_clause AS clause FROM information_schema.check_constraints \
         WHERE constraint_schema = DATABASE() AND LOWER(check_clause) LIKE 'json_valid(`%`)'"
    } else {
        "SELECT t.table_name AS `table`, TRIM(BOTH ')' FROM TRIM(LEADING '(' FROM c.check_clause)) AS clause \
         FROM information_schema.check_constraints c JOIN information_schema.table_constraints t \
         ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name \
         WHERE c.constraint_schema = DATABASE() AND LOWER(c.check_clause) LIKE '%json_valid(`%`)%'"
    }
}

/// Reads the database into a contract.
pub(super) async fn introspect(session: &mut MysqlSession, dialect: &Mysql) -> Result<Introspection> {
    let is_mariadb = session.link()?.is_mariadb;
    let mut found = read(session, &questions(is_mariadb)).await?;
    let checks = rows(session, json_checks(is_mariadb)).await?;
    for table in &mut found.tables {
        hide(table);
        let name = table.name.clone();
        for column in &mut table.columns {
            column.default = column.default.as_deref().map(|default| constant(column, default));
            let is_json = checks.iter().any(|check| {
                text(check, "table") == Some(&name)
                    && text(check, "clause").and_then(|clause| clause.split('`').nth(1)) == Some(&column.name)
            });
            column.reading = if is_json { json() } else { reading(column) };
            doubt(session, &name, column).await?;
        }
    }
    finish(session, dialect, found).await
}

/// A default as every database spells it; of a decimal without the zeros that rows do not show either.
fn constant(column: &Column, default: &str) -> String {
    match text(&column.facts, "base") {
        Some("decimal") => decimal_text(default.trim_matches('\'')).to_owned(),
        _ => unescaped(default),
    }
}

/// A constant without backslashes that escape.
fn unescaped(sql: &str) -> String {
    let (mut text, mut signs) = (String::new(), sql.chars());
    while let Some(sign) = signs.next() {
        match (sign, sign == '\\') {
            (_, true) => match signs.next() {
                Some('n') => text.push('\n'),
                Some('\'') => text.push_str("''"),
                other => text.extend(other),
            },
            (sign, false) => text.push(sign),
        }
    }
    text
}

/// Takes out the hidden columns that stand for the condition of one of our unique indexes.
fn hide(table: &mut Table) {
    let mut hidden = Vec::new();
    for index in table.indexes.iter_mut().filter(|index| index.unique && !index.parts.is_empty()) {
        let is_ours = |(part, name): (usize, &String)| {
            let column = table.columns.iter().find(|column| column.name == *name);
            let is_hidden = column.is_some_and(|column| column.computed && is_true(&column.facts, "invisible"));
            is_hidden && *name == format!("{}_{part}", index.name)
        };
        if index.parts.iter().enumerate().all(is_ours) {
            hidden.append(&mut index.parts.clone());
            index.why = Some("covers only a part of the rows".to_owned());
        }
    }
    table.columns.retain(|column| !hidden.contains(&column.name));
}

/// What a column is in a contract, as far as its type says it.
fn reading(column: &Column) -> Reading {
    let base = text(&column.facts, "base").unwrap_or_default().to_lowercase();
    let length = number(&column.facts, "length").and_then(|length| u64::try_from(length).ok());
    match (base.as_str(), length) {
        ("tinyint", _) if column.declared.starts_with("tinyint(1)") => Reading::of(FieldType::Bool),
        ("bit", _) if column.declared == "bit(1)" => Reading::of(FieldType::Bool),
        ("tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year", _) => Reading::of(FieldType::Int),
        ("double", _) => Reading::of(FieldType::Float),
        ("float", _) => Reading::of(FieldType::Float).noted("has 4 bytes, so a float that is written is rounded"),
        ("decimal", _) => decimal(column),
        ("char" | "varchar", length) => {
            let constraints = Constraints { max_length: length, ..Constraints::default() };
            Reading { constraints, ..Reading::of(FieldType::Text) }
        }
        ("tinytext" | "text" | "mediumtext" | "longtext", _) => Reading::of(FieldType::Text),
        ("enum" | "set", _) => Reading::of(FieldType::Text).noted(format!("{} is read as text", column.declared)),
        ("uuid" | "inet4" | "inet6", _) => Reading::of(FieldType::Text).noted(format!("{base} is read as its text")),
        ("binary", Some(16)) => Reading::of(FieldType::Uuid).noted("16 bytes are read as a uuid"),
        ("binary", Some(12)) => Reading::of(FieldType::ObjectId).noted("12 bytes are read as an object id"),
        ("binary" | "varbinary", length) => {
            let constraints = Constraints { max_length: length, ..Constraints::default() };
            Reading { constraints, ..Reading::of(FieldType::Bytes) }
        }
        ("tinyblob" | "blob" | "mediumblob" | "longblob", _) => Reading::of(FieldType::Bytes),
        ("datetime" | "timestamp", _) => Reading::of(FieldType::DateTime),
        ("date", _) => Reading::of(FieldType::Date),
        ("time", _) => Reading::of(FieldType::Time),
        ("json", _) => json(),
        _ => Reading::default(),
    }
}

/// `DECIMAL(p, s)`; the widest, which farm-db makes, limits nothing.
fn decimal(column: &Column) -> Reading {
    let fact = |key: &str| number(&column.facts, key).and_then(|number| u64::try_from(number).ok());
    let reading = Reading::of(FieldType::Decimal);
    match (fact("digits"), fact("places")) {
        (Some(65), Some(30)) | (None, _) => reading,
        (digits, places) => {
            let constraints = Constraints { max_digits: digits, decimal_places: places, ..Constraints::default() };
            let reading = Reading { constraints, ..reading };
            let is_wide = digits.is_some_and(|digits| digits > MAX_DIGITS);
            let wide = || format!("may hold more than {MAX_DIGITS} digits, which cannot be read");
            if is_wide { reading.noted(wide()) } else { reading }
        }
    }
}

/// Looks whether there are values that rows of the type could not give back.
async fn doubt(session: &mut MysqlSession, table: &str, column: &mut Column) -> Result<()> {
    let Some(kind) = &column.reading.kind else { return Ok(()) };
    let (name, declared) = (quote(&column.name), column.declared.clone());
    let (condition, instead, what) = match kind {
        FieldType::Bool if declared != "bit(1)" => {
            (format!("{name} NOT IN (0, 1)"), Some(FieldType::Int), "values other than 0 and 1")
        }
        FieldType::Int if declared.starts_with("bigint") && declared.contains("unsigned") => {
            (format!("{name} > 9223372036854775807"), None, "numbers beyond 64 bits with a sign")
        }
        FieldType::Date | FieldType::DateTime => {
            (format!("DAY({name}) = 0 OR MONTH({name}) = 0"), None, "dates with zeros")
        }
        FieldType::Time => {
            (format!("{name} < '00:00:00' OR {name} >= '24:00:00'"), None, "times that are none of a day")
        }
        _ => return Ok(()),
    };
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {condition}) AS found", quote(table));
    let found = rows(session, &sql).await?;
    if found.first().is_some_and(|row| is_true(row, "found")) {
        column.reading = Reading { kind: instead, ..Reading::default() }.noted(format!("{declared} holds {what}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::sql::introspect::FoundIndex;
    use crate::document;
    use crate::value::Value;

    fn column(name: &str, declared: &str) -> Column {
        let base = declared.split(['(', ' ']).next().unwrap_or_default();
        let facts = document! { "base" => base, "length" => 16_i64, "digits" => 10_i64, "places" => 2_i64 };
        Column { name: name.to_owned(), declared: declared.to_owned(), facts, ..Column::default() }
    }

    #[test]
    fn introspect_reads_types_with_their_limits() {
        for (declared, expected) in [
            ("tinyint(1)", "bool"),
            ("tinyint(4)", "int"),
            ("bigint unsigned", "int"),
            ("binary(16)", "uuid"),
            ("varchar(16)", "text"),
            ("json", "any"),
        ] {
            assert_eq!(reading(&column("c", declared)).kind.unwrap().name(), expected, "{declared}");
        }
        assert!(reading(&column("c", "geometry")).kind.is_none());
        assert_eq!(reading(&column("c", "varchar(16)")).constraints.max_length, Some(16));
        assert_eq!(reading(&column("c", "decimal(10,2)")).constraints.decimal_places, Some(2));
    }

    #[test]
    fn introspect_reads_escaped_constants() {
        assert_eq!(unescaped(r"'a\\b\'c'"), r"'a\b''c'");
        assert_eq!(unescaped("'it''s'"), "'it''s'");
    }

    #[test]
    fn introspect_hides_what_stands_for_a_condition() {
        let mut hidden = column("ux_0", "varchar(16)");
        hidden.computed = true;
        hidden.facts.insert("invisible".to_owned(), Value::Int(1));
        let index =
            FoundIndex { name: "ux".to_owned(), unique: true, parts: vec!["ux_0".to_owned()], ..FoundIndex::default() };
        let mut table = Table { columns: vec![column("a", "int"), hidden], indexes: vec![index], ..Table::default() };
        hide(&mut table);
        assert_eq!(table.columns.len(), 1);
        assert!(table.indexes[0].why.is_some());
    }
}
