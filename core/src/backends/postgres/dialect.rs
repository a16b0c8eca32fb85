//! SQL as PostgreSQL spells it. Every placeholder carries its type, so that a statement means the same for every value.

pub(super) use crate::backends::sql::double_quoted as quote;
use crate::backends::sql::{Bound, Dialect, Elements, Place, hex, is_json, plain_text, tag, text_literal};
use crate::error::{Error, Result};
use crate::query::Words;
use crate::schema::{Entity, Field, FieldType, Generated, Path};
use crate::value::{Value, tagged};

/// Ends a select whose rows nobody else may change meanwhile.
pub(super) const ROW_LOCK: &str = " FOR UPDATE";

/// PostgreSQL's SQL, in a schema or on the search path.
pub(super) struct Postgres {
    pub(super) schema: Option<String>,
}

/// The type of a column. `jsonb` keeps neither the order of keys nor the spelling of floats, so only lists of scalars that
/// have neither are `jsonb`; everything else nested is `json`, which keeps its text.
pub(super) fn column_type(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::Int => "bigint",
        FieldType::Float => "double precision",
        FieldType::Decimal => "numeric",
        FieldType::Text | FieldType::ObjectId => "text",
        FieldType::Bytes => "bytea",
        FieldType::Bool => "boolean",
        FieldType::Uuid => "uuid",
        FieldType::DateTime => "timestamp with time zone",
        FieldType::Date => "date",
        FieldType::Time => "time without time zone",
        FieldType::List(items) if is_indexable(&items.kind) => "jsonb",
        FieldType::List(_) | FieldType::Map(_) | FieldType::Model(_) | FieldType::Any => "json",
    }
}

/// Whether a list of these is `jsonb`.
fn is_indexable(items: &FieldType) -> bool {
    items.is_scalar() && !matches!(items, FieldType::Float)
}

/// The text at a place as a value of the type, and how operands are handed over.
fn typed(text: &str, kind: &FieldType) -> (String, Bound) {
    match kind {
        FieldType::Int | FieldType::Bool | FieldType::Decimal => {
            (format!("({text})::{}", column_type(kind)), Bound::Native)
        }
        _ => (format!("({text}) COLLATE \"C\""), Bound::Text),
    }
}

/// `'{a,b}'`, every leg in quotes.
fn path_literal(legs: &[&str]) -> String {
    let leg = |leg: &&str| format!("\"{}\"", leg.replace('\\', "\\\\").replace('"', "\\\""));
    text_literal(&format!("{{{}}}", legs.iter().map(leg).collect::<Vec<_>>().join(",")))
}

/// Longer words are in no index, because a lexeme has 2,046 bytes at most.
const INDEXED_CHARACTERS: usize = 499;
/// Longer texts are in the index as one that may have every word, because a `tsvector` has 1 MB at most.
const INDEXED_BYTES: usize = 1_000_000;

/// The words of the search field as a `tsvector`, without a parser; also what the index is on.
pub(super) fn vector(entity: &Entity) -> Option<String> {
    let column = quote(&entity.fields[entity.automatic.search?].name);
    // A regular expression counts to 255 only.
    let short = format!("regexp_replace({column}, '[^ ]{{250}}[^ ]{{250}}[^ ]*', '', 'g')");
    Some(format!(
        "(CASE WHEN octet_length({column}) > {INDEXED_BYTES} THEN array_to_tsvector(ARRAY[' ']) \
         ELSE array_to_tsvector(array_remove(string_to_array({short}, ' '), '')) END)"
    ))
}

impl Postgres {
    /// The words as a `tsquery` parameter; `None` where the index knows none of them.
    fn search_mark(&self, words: &Words, parameters: &mut Vec<Value>) -> Option<String> {
        let indexed = words.words.iter().filter(|word| word.chars().count() <= INDEXED_CHARACTERS);
        let lexemes: Vec<_> = indexed.map(|word| text_literal(word)).collect();
        if lexemes.is_empty() {
            return None;
        }
        parameters.push(format!("' ' | ({})", lexemes.join(" & ")).into());
        Some(format!("{}::tsquery", self.mark(parameters.len(), &FieldType::Text)))
    }

    /// The sequence behind the counted key of an entity, as an expression.
    pub(super) fn sequence(&self, entity: &Entity, field: &Field) -> String {
        let (table, column) = (text_literal(&self.table(&entity.name)), text_literal(&field.name));
        format!("pg_get_serial_sequence({table}, {column})")
    }
}

/// Whether the database counts this field.
pub(super) fn is_counted(field: &Field) -> bool {
    field.generated == Some(Generated::AutoIncrement)
}

impl Dialect for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn most_parameters(&self) -> i64 {
        super::CAPABILITIES.max_bind_parameters
    }

    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn table(&self, name: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(name)),
            None => quote(name),
        }
    }

    fn mark(&self, number: usize, kind: &FieldType) -> String {
        match kind {
            kind if is_json(kind) => format!("${number}::text::{}", column_type(kind)),
            FieldType::DateTime => format!("${number}::timestamptz"),
            FieldType::Time => format!("${number}::time"),
            FieldType::Float => format!("${number}::float8"),
            kind => format!("${number}::{}", column_type(kind)),
        }
    }

    fn inserted(&self, entity: &Entity, field: &Field, mark: String) -> String {
        if is_counted(field) {
            return format!("COALESCE({mark}, nextval({}))", self.sequence(entity, field));
        }
        mark
    }

    fn after_insert(&self, entity: &Entity) -> String {
        let counted = entity.fields.iter().find(|field| is_counted(field));
        counted.map_or_else(String::new, |field| format!(" RETURNING {}", quote(&field.name)))
    }

    fn returns_writes(&self) -> bool {
        true
    }

    fn limits_writes(&self) -> bool {
        false
    }

    fn place(&self, entity: &Entity, path: &Path) -> Option<Place> {
        let kind = path.single_scalar()?;
        let field = &entity.fields[path.column];
        let column = quote(&field.name);
        let mut legs: Vec<&str> = path.legs.iter().map(String::as_str).collect();
        let of_place = path_literal(&legs);
        legs.extend(tag(kind)?);
        let (sql, bound) = typed(&format!("{column} #>> {}", path_literal(&legs)), kind);
        let family = column_type(&field.kind);
        Some(Place { sql, json_type: format!("{family}_typeof({column} #> {of_place})"), bound })
    }

    fn collated(&self, sql: &str, _kind: &FieldType) -> String {
        sql.to_owned()
    }

    fn byte_length(&self, sql: &str) -> String {
        format!("octet_length({sql})")
    }

    fn same(&self, left: &str, right: &str) -> String {
        format!("{left} IS NOT DISTINCT FROM {right}")
    }

    fn one_of(&self, sql: &str, kind: &FieldType, values: Vec<Value>, parameters: &mut Vec<Value>) -> String {
        parameters.push(Value::List(values));
        format!("{sql} = ANY({}[])", self.mark(parameters.len(), kind))
    }

    fn holds(&self, _value: &Value) -> bool {
        true
    }

    fn regex(&self, _sql: &str, _mark: &str) -> Option<String> {
        None
    }

    /// What a GIN index answers; equal decimals may differ in text.
    fn contains(&self, column: &str, items: &FieldType, mark: &str) -> Option<String> {
        (!matches!(items, FieldType::Decimal)).then(|| format!("{column} @> {mark}::jsonb"))
    }

    fn elements(&self, column: &str, items: &FieldType) -> Option<Elements> {
        let (value, bound) = typed(&format!("element #>> {}", path_literal(tag(items)?)), items);
        Some(Elements { from: format!("jsonb_array_elements({column}) AS elements(element)"), value, bound })
    }

    fn list_length(&self, column: &str, _items: &FieldType) -> Option<String> {
        // Both JSON types have the function; a list column that is `json` is rare enough for the cast.
        Some(format!("jsonb_array_length({column}::jsonb)"))
    }

    fn search_index(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String> {
        let mark = self.search_mark(words, parameters)?;
        Some(format!("{} @@ {mark}", vector(entity)?))
    }

    fn search_join(&self, _entity: &Entity, _words: &Words, _parameters: &mut Vec<Value>) -> Option<String> {
        None
    }

    /// Rows with fewer other words come first.
    fn search_rank(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String> {
        let mark = self.search_mark(words, parameters)?;
        Some(format!("ts_rank({}, {mark}, 1) DESC", vector(entity)?))
    }

    fn has_word(&self, column: &str, mark: &str) -> String {
        format!("strpos(' ' || {column} || ' ', {mark}) > 0")
    }

    fn ordered(&self, key: &str, descending: bool, nullable: bool) -> String {
        let direction = match (descending, nullable) {
            (false, false) => "",
            (true, false) => " DESC",
            (false, true) => " NULLS FIRST",
            (true, true) => " DESC NULLS LAST",
        };
        format!("{key}{direction}")
    }

    /// `numeric` has no bound of 34 digits, so sums of decimals are left to the core.
    fn plus(&self, column: &str, kind: &FieldType, mark: &str) -> Option<String> {
        matches!(kind, FieldType::Int | FieldType::Float).then(|| format!("{column} + {mark}"))
    }

    fn row_lock(&self) -> &'static str {
        ROW_LOCK
    }

    fn literal(&self, kind: &FieldType, value: &Value) -> Result<String> {
        if value.is_null() {
            return Ok("NULL".to_owned());
        }
        let text = match (kind, value) {
            (kind, value) if is_json(kind) => tagged::to_string(value),
            (_, Value::Bytes(bytes)) => format!("\\x{}", hex(bytes)),
            (_, Value::List(_) | Value::Map(_)) => {
                let shown = tagged::to_string(value);
                return Err(Error::invalid_schema(format!("{shown} cannot stand in an index or default")));
            }
            (_, Value::Float(number)) => float_text(*number),
            (_, value) => plain_text(value),
        };
        Ok(format!("{}::{}", text_literal(&text), column_type(kind)))
    }
}

fn float_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    zmij::Buffer::new().format_finite(number).to_owned()
}
