//! Databases of others in SQLite: what the catalog says, and, because columns of ordinary tables hold anything, what is in
//! them.

use super::dialect::{Sqlite, quote};
use super::functions::DECIMAL;
use super::session::SqliteSession;
use crate::backend::Introspection;
use crate::backends::sql::introspect::{Column, Questions, Reading, Table, finish, is_true, number, read, rows, text};
use crate::error::Result;
use crate::schema::FieldType;
use crate::value::Map;

/// Columns that are looked at in one pass over a table.
const AT_ONCE: usize = 200;

const TABLES: &str = "pragma_table_list t";
const ONLY_TABLES: &str = "t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

fn questions() -> Questions {
    Questions {
        relations: "SELECT name, CASE type WHEN 'view' THEN 'a view' WHEN 'virtual' THEN 'a virtual table' \
            WHEN 'shadow' THEN 'a part of a virtual table' ELSE type END AS kind, wr AS rowless, strict, \
            (SELECT s.sql FROM sqlite_schema s WHERE s.type = 'table' AND s.name = t.name) AS sql \
            FROM pragma_table_list t WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
            .to_owned(),
        columns: format!(
            "SELECT t.name AS \"table\", c.name, upper(c.type) AS type, c.type AS declared, c.\"notnull\" = 0 AS nullable, \
             c.dflt_value AS \"default\", c.pk AS key, c.hidden IN (2, 3) AS computed \
             FROM {TABLES} JOIN pragma_table_xinfo(t.name) c WHERE {ONLY_TABLES} AND c.hidden <> 1 \
             ORDER BY t.name, c.cid"
        ),
        indexes: format!(
            "SELECT t.name AS \"table\", i.name, x.name AS \"column\", x.\"desc\" AS descending, \
             i.\"unique\" AS \"unique\", i.origin = 'u' AS unnamed, CASE \
               WHEN i.partial THEN 'covers only a part of the rows' WHEN x.cid = -2 THEN 'is on an expression' \
               WHEN x.coll NOT IN ('BINARY', '{DECIMAL}') THEN 'has the order ' || x.coll END AS why \
             FROM {TABLES} JOIN pragma_index_list(t.name) i JOIN pragma_index_xinfo(i.name) x \
             WHERE {ONLY_TABLES} AND i.origin <> 'pk' AND x.key = 1 ORDER BY t.name, i.name, x.seqno"
        ),
        references: references(),
    }
}

/// `references` of [`Questions`].
pub(super) fn references() -> String {
    format!(
        "SELECT t.name AS \"table\", f.id AS name, f.\"from\" AS \"column\", f.\"table\" AS target, \
             f.\"to\" AS target_column, upper(f.on_delete) AS on_delete \
             FROM {TABLES} JOIN pragma_foreign_key_list(t.name) f WHERE {ONLY_TABLES} ORDER BY t.name, f.id, f.seq"
    )
}

/// Reads the database into a contract.
pub(super) async fn introspect(session: &mut SqliteSession) -> Result<Introspection> {
    let mut found = read(session, &questions()).await?;
    for table in &mut found.tables {
        let definition = text(&table.facts, "sql").unwrap_or_default().to_owned();
        let facts = contents(session, table).await?;
        let rowless = is_true(&table.facts, "rowless");
        let keys = table.columns.iter().filter(|column| column.key).count();
        for (position, column) in table.columns.iter_mut().enumerate() {
            column.reading = ours(&definition, column).unwrap_or_else(|| match &facts {
                None => strict(column),
                Some(facts) => ordinary(column, &Contents::new(facts, position)),
            });
            // This column is the number of the row, and so never null.
            if column.key && keys == 1 && column.stored == "INTEGER" && !rowless {
                (column.counted, column.nullable) = (true, false);
            } else if column.key && rowless {
                column.nullable = false;
            }
        }
        let upper = definition.to_uppercase();
        for order in ["NOCASE", "RTRIM"] {
            if upper.contains(&format!("COLLATE {order}")) {
                found.notes.push(format!("{}: has columns of the order {order}, which filters would use", table.name));
            }
        }
    }
    finish(session, &Sqlite, found).await
}

/// What the values in each column are; `None` for a strict table, which knows.
async fn contents(session: &mut SqliteSession, table: &Table) -> Result<Option<Map>> {
    if is_true(&table.facts, "strict") {
        return Ok(None);
    }
    let mut facts = Map::new();
    let columns: Vec<(usize, &Column)> = table.columns.iter().enumerate().collect();
    for part in columns.chunks(AT_ONCE) {
        let questions: Vec<String> = part
            .iter()
            .map(|(position, column)| {
                let name = quote(&column.name);
                format!(
                    "group_concat(DISTINCT typeof({name})) AS t{position}, min({name}) AS a{position}, \
                     max({name}) AS z{position}, max(length({name})) AS l{position}"
                )
            })
            .collect();
        let sql = format!("SELECT {} FROM {}", questions.join(", "), quote(&table.name));
        facts.extend(rows(session, &sql).await?.into_iter().flatten());
    }
    Ok(Some(facts))
}

/// What the values of one column are.
struct Contents {
    kinds: Vec<String>,
    is_truth: bool,
    /// Whether a float holds the least and the largest.
    is_exact: bool,
    longest: i64,
}

impl Contents {
    fn new(facts: &Map, position: usize) -> Self {
        let kinds = text(facts, &format!("t{position}")).unwrap_or_default().split(',');
        let kinds = kinds.filter(|kind| !kind.is_empty() && *kind != "null").map(str::to_owned);
        let within = |key: &str| number(facts, &format!("{key}{position}")).is_some_and(|end| (0..=1).contains(&end));
        let exact =
            |key: &str| number(facts, &format!("{key}{position}")).is_none_or(|end| end.unsigned_abs() <= 1 << 53);
        Self {
            kinds: kinds.collect(),
            is_truth: within("a") && within("z"),
            is_exact: exact("a") && exact("z"),
            longest: number(facts, &format!("l{position}")).unwrap_or(0),
        }
    }

    fn are(&self, expected: &[&str]) -> bool {
        !self.kinds.is_empty() && self.kinds.iter().all(|kind| expected.contains(&kind.as_str()))
    }
}

/// What farm-db wrote into the definition of a table about a column whose type says less.
fn ours(definition: &str, column: &Column) -> Option<Reading> {
    let name = quote(&column.name);
    let has = |part: String| definition.contains(&part);
    let null = ["", " NOT NULL"];
    if has(format!("CHECK ({name} IN (0, 1))")) {
        Some(Reading::of(FieldType::Bool))
    } else if has(format!("CHECK ({name} IS NULL OR json_valid({name}))")) {
        Some(Reading::of(FieldType::Any))
    } else if null.iter().any(|null| has(format!("{name} TEXT{null} COLLATE {DECIMAL}"))) {
        Some(Reading::of(FieldType::Decimal))
    } else {
        None
    }
}

/// A column of a strict table.
fn strict(column: &Column) -> Reading {
    match column.stored.as_str() {
        "INTEGER" | "INT" => Reading::of(FieldType::Int),
        "REAL" => Reading::of(FieldType::Float),
        "TEXT" => Reading::of(FieldType::Text),
        "BLOB" => Reading::of(FieldType::Bytes),
        _ => Reading::default(),
    }
}

/// A column of an ordinary table: what its values are, or, where there are none, what its declared type makes likely.
fn ordinary(column: &Column, contents: &Contents) -> Reading {
    let expected = likely(&column.stored);
    let truth = matches!(expected, FieldType::Bool);
    let numeric = matches!(expected, FieldType::Float);
    let kind = if contents.kinds.is_empty() || (truth && contents.are(&["integer"]) && contents.is_truth) {
        expected.clone()
    } else if contents.are(&["integer"]) && !(numeric && contents.is_exact) {
        FieldType::Int
    } else if contents.are(&["integer", "real"]) && contents.is_exact {
        FieldType::Float
    } else if contents.are(&["text"]) {
        FieldType::Text
    } else if contents.are(&["blob"]) {
        FieldType::Bytes
    } else {
        let note = format!("declared {:?}, holds {}", column.declared, contents.kinds.join(" and "));
        return Reading::default().noted(note);
    };
    let surprising = kind.name() != expected.name();
    let mut reading = Reading::of(kind);
    if surprising {
        let (kinds, shown) = (contents.kinds.join(" and "), expected.name());
        reading = reading.noted(format!("declared {:?}, which makes {shown} likely, holds {kinds}", column.declared));
    } else if contents.kinds.is_empty() {
        reading =
            reading.noted(format!("declared {:?}, holds no values yet that would show its type", column.declared));
    }
    limited(column, contents, reading)
}

/// The length of `VARCHAR(20)`, which SQLite does not keep to.
fn limited(column: &Column, contents: &Contents, mut reading: Reading) -> Reading {
    let length = column.stored.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')?.trim().parse::<u64>().ok());
    let Some(length) = length.filter(|_| matches!(reading.kind, Some(FieldType::Text))) else { return reading };
    if u64::try_from(contents.longest).is_ok_and(|longest| longest > length) {
        let longest = contents.longest;
        return reading.noted(format!("declared {}, holds a text of {longest} characters", column.declared));
    }
    reading.constraints.max_length = Some(length);
    reading
}

/// What a declared type of an ordinary table makes likely, by SQLite's rules of affinity.
fn likely(declared: &str) -> FieldType {
    let has = |part: &str| declared.contains(part);
    if declared.starts_with("BOOL") {
        FieldType::Bool
    } else if has("INT") {
        FieldType::Int
    } else if has("CHAR") || has("CLOB") || has("TEXT") || has("DATE") || has("TIME") || has("JSON") || has("UUID") {
        FieldType::Text
    } else if has("BLOB") || declared.is_empty() {
        FieldType::Bytes
    } else {
        FieldType::Float
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    fn column(declared: &str) -> Column {
        Column {
            name: "c".to_owned(),
            stored: declared.to_uppercase(),
            declared: declared.to_owned(),
            ..Column::default()
        }
    }

    fn kind(declared: &str, kinds: &str) -> (&'static str, usize) {
        let facts = document! { "t0" => kinds, "a0" => 0_i64, "z0" => 1_i64, "l0" => 3_i64 };
        let reading = ordinary(&column(declared), &Contents::new(&facts, 0));
        (reading.kind.map_or("none", |kind| kind.name()), reading.notes.len())
    }

    #[test]
    fn introspect_believes_values_more_than_declared_types() {
        for (declared, kinds, expected) in [
            ("INTEGER", "integer,null", ("int", 0)),
            ("INTEGER", "text", ("text", 1)),
            ("INTEGER", "integer,text", ("none", 1)),
            ("BOOLEAN", "integer", ("bool", 0)),
            ("DATETIME", "text", ("text", 0)),
            ("DATETIME", "integer", ("int", 1)),
            ("DECIMAL(10,2)", "integer,real", ("float", 0)),
            ("VARCHAR(20)", "", ("text", 1)),
            ("VARCHAR(2)", "text", ("text", 1)),
            ("", "blob", ("bytes", 0)),
            ("", "null", ("bytes", 1)),
        ] {
            assert_eq!(kind(declared, kinds), expected, "{declared} {kinds}");
        }
    }

    #[test]
    fn introspect_knows_what_farm_db_wrote() {
        let definition =
            r#"CREATE TABLE "t" ("c" TEXT NOT NULL COLLATE farm_decimal, "b" INTEGER CHECK ("b" IN (0, 1)))"#;
        assert!(matches!(ours(definition, &column("TEXT")).and_then(|reading| reading.kind), Some(FieldType::Decimal)));
        assert!(ours(definition, &Column { name: "other".to_owned(), ..Column::default() }).is_none());
    }
}
