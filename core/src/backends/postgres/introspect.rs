//! Databases of others in PostgreSQL, read from its catalog.

use super::dialect::{Postgres, quote};
use super::session::PostgresSession;
use crate::backend::Introspection;
use crate::backends::sql::Dialect;
use crate::backends::sql::introspect::{
    Column, Questions, Reading, Table, finish, is_true, json, number, read, rows, text,
};
use crate::backends::sql::schema::Definitions;
use crate::error::Result;
use crate::schema::{Constraints, FieldType};
use crate::value::{MAX_DIGITS, Value};

/// Tables by themselves: partitions are read through their table.
const TABLES: &str = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace";
const ONLY_TABLES: &str = "c.relkind IN ('r', 'p') AND NOT c.relispartition";

impl Postgres {
    fn questions(&self) -> Questions {
        let schema = self.schema_expression();
        Questions {
            relations: format!(
                "SELECT c.relname::text AS name, CASE WHEN c.relispartition THEN 'a partition' \
                 WHEN c.relkind IN ('r', 'p') THEN 'table' WHEN c.relkind = 'v' THEN 'a view' \
                 WHEN c.relkind = 'm' THEN 'a materialized view' ELSE 'a foreign table' END AS kind \
                 FROM {TABLES} WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1"
            ),
            columns: self.table_columns(),
            indexes: self.table_indexes(),
            references: self.catalog_references(),
        }
    }

    /// `references` of [`Questions`].
    pub(super) fn catalog_references(&self) -> String {
        let schema = self.schema_expression();
        format!(
            "SELECT c.relname::text AS table, k.oid AS name, a.attname::text AS column, \
                 CASE WHEN f.relnamespace = c.relnamespace THEN f.relname::text ELSE f.oid::regclass::text END AS target, \
                 b.attname::text AS target_column, CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' \
                   WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END AS on_delete \
                 FROM {TABLES} JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' \
                 JOIN pg_class f ON f.oid = k.confrelid \
                 CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS p(ours, theirs, part) \
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.ours \
                 JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = p.theirs \
                 WHERE n.nspname = {schema} AND {ONLY_TABLES} ORDER BY c.relname, k.conname, p.part"
        )
    }

    /// `type` is made as in [`Definitions::columns`]; `base` is the type behind a domain.
    fn table_columns(&self) -> String {
        let stored = self.columns();
        let (start, end) = (stored.find("format_type(").unwrap_or(0), stored.find(" AS type").unwrap_or(0));
        let (stored, schema) = (&stored[start..end], self.schema_expression());
        format!(
            "SELECT c.relname::text AS table, a.attname::text AS name, {stored} AS type, \
             format_type(a.atttypid, a.atttypmod) AS declared, NOT a.attnotnull AS nullable, \
             CASE WHEN a.attgenerated = '' THEN pg_get_expr(e.adbin, e.adrelid) END AS default, \
             EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)) AS key, \
             (a.attidentity <> '' OR COALESCE(pg_get_expr(e.adbin, e.adrelid) LIKE 'nextval(%', false)) \
               AND pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) IS NOT NULL AS counted, \
             a.attidentity = 'a' AS always, a.attgenerated <> '' AS computed, \
             CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, NULL) ELSE format_type(a.atttypid, NULL) END AS base, \
             CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier, t.typtype = 'd' AS domain, \
             (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_enum l \
               WHERE l.enumtypid = a.atttypid) AS labels \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_type t ON t.oid = a.atttypid JOIN pg_database d ON d.datname = current_database() \
             LEFT JOIN pg_collation l ON l.oid = a.attcollation \
             LEFT JOIN pg_attrdef e ON e.adrelid = c.oid AND e.adnum = a.attnum \
             WHERE n.nspname = {schema} AND {ONLY_TABLES} AND a.attnum > 0 AND NOT a.attisdropped \
             ORDER BY c.relname, a.attnum"
        )
    }

    fn table_indexes(&self) -> String {
        let schema = self.schema_expression();
        format!(
            "SELECT c.relname::text AS table, x.relname::text AS name, a.attname::text AS column, \
             i.indoption[p.part - 1] & 1 = 1 AS descending, i.indisunique AS unique, false AS unnamed, CASE \
               WHEN i.indpred IS NOT NULL THEN 'covers only a part of the rows' \
               WHEN i.indexprs IS NOT NULL THEN 'is on an expression' WHEN i.indisexclusion THEN 'is an exclusion' \
               WHEN NOT i.indisvalid THEN 'is not valid' WHEN m.amname <> 'btree' THEN 'is of the kind ' || m.amname \
               WHEN to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' THEN 'takes nulls as equal' END AS why \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam \
             CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) AS p(part) \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[p.part - 1] AND a.attnum > 0 \
             WHERE n.nspname = {schema} AND {ONLY_TABLES} AND NOT i.indisprimary \
             ORDER BY c.relname, x.relname, p.part"
        )
    }
}

/// Reads the schema into a contract.
pub(super) async fn introspect(session: &mut PostgresSession, dialect: &Postgres) -> Result<Introspection> {
    let mut found = read(session, &dialect.questions()).await?;
    for table in &mut found.tables {
        table.columns.iter_mut().for_each(|column| column.reading = reading(column));
        doubt(session, dialect, table).await?;
    }
    for column in found.tables.iter_mut().flat_map(|table| &mut table.columns) {
        if column.counted && is_true(&column.facts, "always") {
            column
                .reading
                .notes
                .push("is always counted by the database: a row with a key of its own is refused".to_owned());
        }
    }
    finish(session, dialect, found).await
}

/// Looks, in one pass over the table, for values that rows could not give back.
async fn doubt(session: &mut PostgresSession, dialect: &Postgres, table: &mut Table) -> Result<()> {
    let doubts: Vec<(usize, String, &str)> = table
        .columns
        .iter()
        .enumerate()
        .filter_map(|(position, column)| {
            let name = quote(&column.name);
            let (condition, what) = match column.reading.kind.as_ref()? {
                FieldType::Decimal => (
                    format!("ltrim({name}::text, '-0.') ~* '[a-z]|([0-9][.]?){{{}}}'", MAX_DIGITS + 1),
                    "NaN, an infinity or more digits than a decimal has",
                ),
                FieldType::DateTime | FieldType::Date => {
                    (format!("{name} < '0001-01-01' OR {name} >= '10000-01-01'"), "days outside of the years 1 to 9999")
                }
                FieldType::Time => (format!("{name} = '24:00'"), "24:00, which is no time of day"),
                _ => return None,
            };
            Some((position, format!("COALESCE(bool_or({condition}), false) AS c{position}"), what))
        })
        .collect();
    if doubts.is_empty() {
        return Ok(());
    }
    let questions: Vec<&str> = doubts.iter().map(|(_, question, _)| question.as_str()).collect();
    let sql = format!("SELECT {} FROM {}", questions.join(", "), dialect.table(&table.name));
    let answers = rows(session, &sql).await?.into_iter().next().unwrap_or_default();
    for (position, _, what) in doubts.iter().filter(|(position, ..)| is_true(&answers, &format!("c{position}"))) {
        let column = &mut table.columns[*position];
        column.reading = Reading::default().noted(format!("{} holds {what}", column.declared));
    }
    Ok(())
}

/// What a column is in a contract.
fn reading(column: &Column) -> Reading {
    if let Some(labels) = column.facts.get("labels").and_then(Value::as_list) {
        let mut reading = Reading::of(FieldType::Text);
        reading.constraints.allowed = Some(labels.to_vec());
        let declared = &column.declared;
        return reading.noted(format!(
            "the enum {declared} is read as its labels; the server refuses text in filters and writes"
        ));
    }
    let (base, modifier) = (text(&column.facts, "base").unwrap_or_default(), number(&column.facts, "modifier"));
    let mut reading = match base {
        "bigint" | "integer" | "smallint" => Reading::of(FieldType::Int),
        "double precision" => Reading::of(FieldType::Float),
        "real" => Reading::of(FieldType::Float).noted("has 4 bytes, so a float that is written is rounded"),
        "numeric" => decimal(modifier),
        "text" | "name" => Reading::of(FieldType::Text),
        "character varying" => limited(modifier),
        "character" | "bpchar" => limited(modifier).noted("is filled up with blanks, which are read too"),
        "citext" => Reading::of(FieldType::Text).noted("is compared without case"),
        "bytea" => Reading::of(FieldType::Bytes),
        "boolean" => Reading::of(FieldType::Bool),
        "uuid" => Reading::of(FieldType::Uuid),
        "timestamp with time zone" => Reading::of(FieldType::DateTime),
        "timestamp without time zone" => Reading::of(FieldType::DateTime).noted("has no time zone, and is read as UTC"),
        "date" => Reading::of(FieldType::Date),
        "time without time zone" => Reading::of(FieldType::Time),
        "json" | "jsonb" => json(),
        _ => return Reading::default(),
    };
    if is_true(&column.facts, "domain") {
        reading = reading.noted(format!("the domain {} is read as {base}", column.declared));
    }
    reading
}

/// The length of `varchar(n)`: its modifier counts four bytes more.
fn limited(modifier: Option<i64>) -> Reading {
    let mut reading = Reading::of(FieldType::Text);
    reading.constraints.max_length = modifier.and_then(|modifier| u64::try_from(modifier - 4).ok());
    reading
}

/// `numeric(p, s)`: the modifier holds both.
fn decimal(modifier: Option<i64>) -> Reading {
    let Some(packed) = modifier.filter(|modifier| *modifier >= 4).map(|modifier| modifier - 4) else {
        return Reading::of(FieldType::Decimal);
    };
    let (digits, places) = (packed >> 16, packed & 0x7ff);
    if places >= 1024 || places > digits {
        return Reading::of(FieldType::Decimal).noted("has a scale that a contract cannot say");
    }
    let (digits, places) = (digits.unsigned_abs(), places.unsigned_abs());
    let constraints = Constraints { max_digits: Some(digits), decimal_places: Some(places), ..Constraints::default() };
    let reading = Reading { constraints, ..Reading::of(FieldType::Decimal) };
    if digits > MAX_DIGITS {
        return reading.noted(format!("may hold more than {MAX_DIGITS} digits, which cannot be read"));
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    fn read_as(base: &str, modifier: i64) -> Reading {
        reading(&Column { facts: document! { "base" => base, "modifier" => modifier }, ..Column::default() })
    }

    #[test]
    fn introspect_reads_types_with_their_limits() {
        for (base, expected) in [("smallint", "int"), ("numeric", "decimal"), ("jsonb", "any"), ("uuid", "uuid")] {
            assert_eq!(read_as(base, -1).kind.unwrap().name(), expected, "{base}");
        }
        assert!(read_as("point", -1).kind.is_none());
        assert_eq!(read_as("character varying", 24).constraints.max_length, Some(20));
        assert_eq!(read_as("character varying", -1).constraints.max_length, None);
        let money = read_as("numeric", ((10 << 16) | 2) + 4).constraints;
        assert_eq!((money.max_digits, money.decimal_places), (Some(10), Some(2)));
        assert_eq!(read_as("numeric", ((50 << 16) | 2) + 4).notes.len(), 1);
    }
}
