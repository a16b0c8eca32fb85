//! SQL as SQLite spells it.

use super::functions::DECIMAL;
pub(super) use crate::backends::sql::double_quoted as quote;
use crate::backends::sql::{Bound, Dialect, Elements, Place, hex, is_json, plain_text, tag, text_literal};
use crate::error::{Error, Result};
use crate::query::Words;
use crate::schema::{Entity, Field, FieldType, Path};
use crate::value::{Value, tagged};

/// SQLite's SQL, with the functions that we teach it.
pub(super) struct Sqlite;

/// `'$."a"."b"'`; `None` for names that SQLite's path grammar cannot quote.
pub(super) fn json_path(legs: &[String]) -> Option<String> {
    if legs.iter().any(|leg| leg.contains(['"', '\\'])) {
        return None;
    }
    let path: String = legs.iter().map(|leg| format!(".\"{}\"", leg.replace('\'', "''"))).collect();
    Some(format!("'${path}'"))
}

/// The value of a single scalar inside a JSON column, such that comparing it is comparing the value.
pub(super) fn path_expression(entity: &Entity, path: &Path) -> Option<String> {
    let tag = tag(path.single_scalar()?)?;
    let mut legs = path.legs.clone();
    legs.extend(tag.iter().map(|leg| (*leg).to_owned()));
    Some(format!("json_extract({}, {})", quote(&entity.fields[path.column].name), json_path(&legs)?))
}

/// The number of a row, by the one of its names that nobody gives a column.
pub(super) const ROW: &str = "_rowid_";
/// Words that the full-text index is asked for: its expressions are limited in depth.
const INDEXED_WORDS: usize = 32;

/// What the full-text index is asked for; `None` without words.
fn match_of(words: &Words) -> Option<Value> {
    let words: Vec<_> = words.words.iter().take(INDEXED_WORDS).map(|word| format!("\"{word}\"")).collect();
    (!words.is_empty()).then(|| words.join(" ").into())
}

impl Dialect for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
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

    fn mark(&self, _number: usize, _kind: &FieldType) -> String {
        "?".to_owned()
    }

    fn inserted(&self, _entity: &Entity, _field: &Field, mark: String) -> String {
        mark
    }

    fn after_insert(&self, _entity: &Entity) -> String {
        String::new()
    }

    fn returns_writes(&self) -> bool {
        true
    }

    fn limits_writes(&self) -> bool {
        false
    }

    fn place(&self, entity: &Entity, path: &Path) -> Option<Place> {
        let column = quote(&entity.fields[path.column].name);
        Some(Place {
            sql: path_expression(entity, path)?,
            json_type: format!("json_type({column}, {})", json_path(&path.legs)?),
            bound: Bound::Native,
        })
    }

    /// Decimals compare by value.
    fn collated(&self, sql: &str, kind: &FieldType) -> String {
        if matches!(kind, FieldType::Decimal) { format!("{sql} COLLATE {DECIMAL}") } else { sql.to_owned() }
    }

    fn byte_length(&self, sql: &str) -> String {
        format!("length({sql})")
    }

    fn same(&self, left: &str, right: &str) -> String {
        format!("{left} IS {right}")
    }

    fn one_of(&self, sql: &str, _kind: &FieldType, values: Vec<Value>, parameters: &mut Vec<Value>) -> String {
        parameters.push(Value::List(values));
        format!("{sql} IN rarray(?)")
    }

    fn holds(&self, _value: &Value) -> bool {
        true
    }

    fn regex(&self, sql: &str, mark: &str) -> Option<String> {
        Some(format!("farm_regexp({mark}, {sql})"))
    }

    fn contains(&self, _column: &str, _items: &FieldType, _mark: &str) -> Option<String> {
        None
    }

    /// Elements lie in JSON: text, int and bool as themselves, others tagged, with text forms of fixed width, so that
    /// comparing the tagged text is comparing the value.
    fn elements(&self, column: &str, items: &FieldType) -> Option<Elements> {
        let (value, bound) = match items {
            FieldType::Text | FieldType::Int => ("value", Bound::Native),
            FieldType::Bool => ("(CASE \"type\" WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)", Bound::Native),
            FieldType::Uuid | FieldType::ObjectId | FieldType::DateTime | FieldType::Date | FieldType::Time => {
                ("value", Bound::Tagged)
            }
            _ => return None,
        };
        Some(Elements { from: format!("json_each({column})"), value: value.to_owned(), bound })
    }

    fn list_length(&self, column: &str, _items: &FieldType) -> Option<String> {
        Some(format!("json_array_length({column})"))
    }

    fn search_index(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String> {
        let index = quote(&entity.search_name());
        parameters.push(match_of(words)?);
        Some(format!("{ROW} IN (SELECT rowid FROM {index} WHERE {index} MATCH ?)"))
    }

    fn search_join(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String> {
        let (index, table) = (quote(&entity.search_name()), quote(&entity.name));
        parameters.push(match_of(words)?);
        Some(format!(
            " JOIN (SELECT rowid AS _farm_row, rank AS _farm_rank FROM {index} WHERE {index} MATCH ?) \
             ON _farm_row = {table}.{ROW}"
        ))
    }

    fn search_rank(&self, _entity: &Entity, words: &Words, _parameters: &mut Vec<Value>) -> Option<String> {
        match_of(words).map(|_| "_farm_rank".to_owned())
    }

    fn has_word(&self, column: &str, mark: &str) -> String {
        format!("instr(' ' || {column} || ' ', {mark}) > 0")
    }

    fn ordered(&self, key: &str, descending: bool, _nullable: bool) -> String {
        format!("{key}{}", if descending { " DESC" } else { "" })
    }

    fn plus(&self, column: &str, _kind: &FieldType, mark: &str) -> Option<String> {
        Some(format!("farm_add({column}, {mark})"))
    }

    /// The one writer holds the file's lock.
    fn row_lock(&self) -> &'static str {
        ""
    }

    fn literal(&self, kind: &FieldType, value: &Value) -> Result<String> {
        if is_json(kind) {
            return Ok(text_literal(&tagged::to_string(value)));
        }
        Ok(match value {
            Value::Null => "NULL".to_owned(),
            Value::Bool(truth) => i64::from(*truth).to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) if number.is_finite() => zmij::Buffer::new().format_finite(*number).to_owned(),
            Value::Bytes(bytes) => format!("x'{}'", hex(bytes)),
            Value::Float(_) | Value::List(_) | Value::Map(_) => {
                let shown = tagged::to_string(value);
                return Err(Error::invalid_schema(format!("{shown} cannot stand in an index or default")));
            }
            other => text_literal(&plain_text(other)),
        })
    }
}
