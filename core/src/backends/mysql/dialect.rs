//! SQL as MySQL and MariaDB spell it.

use std::sync::{Arc, OnceLock};

use super::definitions::COLLATIONS;
use super::hint::order_hint;
use super::values::{server_text, stored_decimal};
use crate::backend::Select;
use crate::backends::sql::{Bound, Dialect, Elements, Place, hex, is_json, tag};
use crate::error::{Error, Result};
use crate::query::Words;
use crate::schema::{Entity, Field, FieldType, Path};
use crate::value::{Value, tagged};

/// Values of one list that are parameters; a statement has 65,535 at most, so those of a longer list are constants.
const MARKS: usize = 1_000;
/// MariaDB reads JSON to this depth (`JSON_DEPTH_LIMIT`); what lies deeper makes its functions answer null.
const JSON_DEPTH: usize = 32;

/// The SQL that both databases understand.
pub(super) struct Mysql {
    /// Whether it is a cluster of Vitess, such as `PlanetScale`.
    pub(super) sharded: bool,
    /// Whether the server is MariaDB; known since the first connection.
    pub(super) is_mariadb: Arc<OnceLock<bool>>,
}

impl Mysql {
    /// The collation by code point, without padding.
    pub(super) fn collation(&self) -> &'static str {
        COLLATIONS[usize::from(!self.is_mariadb.get().copied().unwrap_or(true))]
    }

    /// Whether the database is a cluster without locks and foreign keys.
    pub(super) fn is_sharded(&self) -> bool {
        self.sharded
    }
}

pub(super) fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('`');
    for part in name.split_inclusive('`') {
        quoted.push_str(part);
        if part.ends_with('`') {
            quoted.push('`');
        }
    }
    quoted.push('`');
    quoted
}

/// Text in quotes, where a backslash escapes.
pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// `'$."a"."b"'`; `None` for names that the path grammar cannot quote.
fn json_path(legs: &[&str]) -> Option<String> {
    if legs.iter().any(|leg| leg.contains(|c: char| c.is_control() || matches!(c, '"' | '\\' | '*'))) {
        return None;
    }
    let path: String = legs.iter().map(|leg| format!(".\"{leg}\"")).collect();
    Some(text_literal(&format!("${path}")))
}

/// How deep the JSON of a value of this type nests, tags included; `None` where the contract leaves that open.
fn depth(kind: &FieldType) -> Option<usize> {
    match kind {
        FieldType::Any => None,
        FieldType::List(items) | FieldType::Map(items) => Some(1 + depth(&items.kind)?),
        FieldType::Model(model) if model.extra => None,
        FieldType::Model(model) => {
            model.fields.iter().try_fold(1, |most: usize, field| Some(most.max(1 + depth(&field.kind)?)))
        }
        _ => Some(1),
    }
}

/// Whether the server's JSON functions read every value of a column.
pub(super) fn is_readable(kind: &FieldType) -> bool {
    depth(kind).is_some_and(|depth| depth < JSON_DEPTH)
}

/// A scalar's text from JSON as a value of the type, and how operands are handed over. Text is compared as bytes, which no
/// collation of the server can change.
fn typed(text: &str, kind: &FieldType) -> Option<(String, Bound)> {
    Some(match kind {
        FieldType::Int => (format!("CAST({text} AS SIGNED)"), Bound::Native),
        FieldType::Bool => (format!("(CASE {text} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"), Bound::Native),
        // A decimal in JSON may have more digits than `DECIMAL`.
        FieldType::Decimal => return None,
        _ => (format!("CAST({text} AS BINARY)"), Bound::Text),
    })
}

/// A value in a statement, so that no mode of the session can read it differently.
pub(super) fn constant(value: &Value) -> String {
    let mut text = String::new();
    write_constant(value, &mut text);
    text
}

/// Appends a constant.
pub(super) fn write_constant(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("NULL"),
        Value::Int(number) => *out += &number.to_string(),
        Value::Bool(truth) => out.push(if *truth { '1' } else { '0' }),
        // With an exponent it is a double, without one a decimal; and zero has one sign.
        Value::Float(number) => *out += &format!("{:e}", *number + 0.0),
        Value::Bytes(bytes) => write_bytes("x'", bytes, out),
        Value::Uuid(uuid) => write_bytes("x'", uuid.as_bytes(), out),
        Value::ObjectId(id) => write_bytes("x'", &id.0, out),
        Value::Text(text) => write_constant_text(text, out),
        other => write_constant_text(&server_text(other), out),
    }
}

/// Appends text: as it is where nothing in it could mean something else to the server, whatever its `sql_mode`.
pub(super) fn write_constant_text(text: &str, out: &mut String) {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\'' && byte != b'\\') {
        out.push_str("_utf8mb4'");
        out.push_str(text);
        out.push('\'');
    } else {
        write_bytes("_utf8mb4 x'", text.as_bytes(), out);
    }
}

fn write_bytes(sign: &str, bytes: &[u8], out: &mut String) {
    out.push_str(sign);
    out.push_str(&hex(bytes));
    out.push('\'');
}

/// Before every word in a full-text index, which leaves out words of one or two characters and some common ones.
pub(super) const PREFIX: &str = "zz";
/// Longer words are in no index, with the prefix.
const INDEXED_CHARACTERS: usize = 80;
/// A text of more characters is in the index as one that may have every word: the server takes a time for prefixes that
/// grows with the square of the length.
pub(super) const INDEXED_LENGTH: usize = 20_000;
/// What such a text has in the index; no word, because words have the prefix.
pub(super) const LONG_TEXT: &str = "yyy";

/// Whether the server's tokenizer takes a character for one of a word, beyond doubt: its table of letters is older than some
/// of them.
fn is_of_word(character: char) -> bool {
    match character {
        '\u{c0}'..='\u{233}' | '\u{388}'..='\u{3ce}' | '\u{400}'..='\u{481}' | '\u{48a}'..='\u{4f9}' => {
            character.is_alphabetic()
        }
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}' => true,
        _ => character.is_ascii_alphanumeric(),
    }
}

/// What the full-text index is asked for; `None` where it surely knows none of the words, or not all of the rows.
fn match_of(words: &Words) -> Option<Value> {
    let indexed = words.words.iter().filter(|word| word.chars().count() <= INDEXED_CHARACTERS);
    let indexed: Vec<_> = indexed
        .filter(|word| word.chars().all(is_of_word))
        .map(|word| format!("+({LONG_TEXT} {PREFIX}{word})"))
        .collect();
    (!words.uncommitted && !indexed.is_empty()).then(|| indexed.join(" ").into())
}

impl Dialect for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn most_parameters(&self) -> i64 {
        super::CAPABILITIES.max_bind_parameters
    }

    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn table(&self, name: &str) -> String {
        quote(name)
    }

    fn order_hint(&self, select: &Select<'_>) -> String {
        // Vitess has a grammar of its own.
        if self.sharded { String::new() } else { order_hint(select) }
    }

    fn mark(&self, _number: usize, kind: &FieldType) -> String {
        match kind {
            FieldType::Decimal => "CAST(? AS DECIMAL(65,30))",
            FieldType::DateTime => "CAST(? AS DATETIME(6))",
            FieldType::Date => "CAST(? AS DATE)",
            FieldType::Time => "CAST(? AS TIME(6))",
            _ => "?",
        }
        .to_owned()
    }

    fn inserted(&self, _entity: &Entity, _field: &Field, mark: String) -> String {
        mark
    }

    fn after_insert(&self, _entity: &Entity) -> String {
        String::new()
    }

    fn returns_writes(&self) -> bool {
        false
    }

    fn limits_writes(&self) -> bool {
        true
    }

    fn place(&self, entity: &Entity, path: &Path) -> Option<Place> {
        let kind = path.single_scalar()?;
        let field = &entity.fields[path.column];
        if !is_readable(&field.kind) {
            return None;
        }
        let column = quote(&field.name);
        let mut legs: Vec<&str> = path.legs.iter().map(String::as_str).collect();
        let json_type = format!("LOWER(JSON_TYPE(JSON_EXTRACT({column}, {})))", json_path(&legs)?);
        legs.extend(tag(kind)?);
        // What is null in JSON has the text 'null', but so has a text.
        let found = format!("JSON_EXTRACT({column}, {})", json_path(&legs)?);
        let text = format!("IF(JSON_TYPE({found}) = 'NULL', NULL, JSON_UNQUOTE({found}))");
        let (sql, bound) = typed(&text, kind)?;
        Some(Place { sql, json_type, bound })
    }

    fn collated(&self, sql: &str, _kind: &FieldType) -> String {
        sql.to_owned()
    }

    fn byte_length(&self, sql: &str) -> String {
        format!("length({sql})")
    }

    fn same(&self, left: &str, right: &str) -> String {
        format!("{left} <=> {right}")
    }

    fn one_of(&self, sql: &str, kind: &FieldType, values: Vec<Value>, parameters: &mut Vec<Value>) -> String {
        let mark = self.mark(0, kind);
        let list = if values.len() <= MARKS {
            let marks = vec![mark; values.len()];
            parameters.extend(values);
            marks
        } else {
            values.iter().map(|value| mark.replace('?', &constant(value))).collect()
        };
        format!("{sql} IN ({})", list.join(", "))
    }

    /// Decimals beyond `DECIMAL(65,30)` would be rounded, and there are no infinities.
    fn holds(&self, value: &Value) -> bool {
        match value {
            Value::Decimal(number) => stored_decimal(number).is_ok(),
            Value::Float(number) => number.is_finite(),
            _ => true,
        }
    }

    fn regex(&self, _sql: &str, _mark: &str) -> Option<String> {
        None
    }

    fn contains(&self, _column: &str, _items: &FieldType, _mark: &str) -> Option<String> {
        None
    }

    fn elements(&self, column: &str, items: &FieldType) -> Option<Elements> {
        let legs = tag(items)?;
        let path = if legs.is_empty() { "'$'".to_owned() } else { json_path(legs)? };
        let (value, bound) = typed("elements.element", items)?;
        let from = format!(
            "JSON_TABLE({column}, '$[*]' COLUMNS (element LONGTEXT CHARACTER SET utf8mb4 PATH {path})) AS elements"
        );
        Some(Elements { from, value, bound })
    }

    fn list_length(&self, column: &str, items: &FieldType) -> Option<String> {
        is_readable(items).then(|| format!("JSON_LENGTH({column})"))
    }

    /// Only committed rows are in such an index (`InnoDB`).
    fn search_index(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String> {
        parameters.push(match_of(words)?);
        Some(format!("MATCH ({}) AGAINST (? IN BOOLEAN MODE)", quote(&entity.search_name())))
    }

    fn search_join(&self, _entity: &Entity, _words: &Words, _parameters: &mut Vec<Value>) -> Option<String> {
        None
    }

    fn search_rank(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String> {
        self.search_index(entity, words, parameters).map(|score| format!("{score} DESC"))
    }

    fn has_word(&self, column: &str, mark: &str) -> String {
        format!("LOCATE({mark}, CONCAT(' ', {column}, ' ')) > 0")
    }

    fn ordered(&self, key: &str, descending: bool, _nullable: bool) -> String {
        format!("{key}{}", if descending { " DESC" } else { "" })
    }

    /// A sum of decimals is left to the core: `DECIMAL` would round what does not fit.
    fn plus(&self, column: &str, kind: &FieldType, mark: &str) -> Option<String> {
        matches!(kind, FieldType::Int | FieldType::Float).then(|| format!("{column} + {mark}"))
    }

    fn row_lock(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn literal(&self, kind: &FieldType, value: &Value) -> Result<String> {
        if is_json(kind) {
            return Ok(text_literal(&tagged::to_string(value)));
        }
        Ok(match value {
            Value::Null => "NULL".to_owned(),
            Value::Text(_) | Value::Decimal(_) | Value::DateTime(_) | Value::Date(_) | Value::Time(_) => {
                text_literal(&server_text(value))
            }
            Value::List(_) | Value::Map(_) => {
                let shown = tagged::to_string(value);
                return Err(Error::invalid_schema(format!("{shown} cannot stand in an index or default")));
            }
            value => constant(value),
        })
    }
}
