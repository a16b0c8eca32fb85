//! What the SQL databases share: one compiler of operations and one of filters, spelled by a [`Dialect`].
//!
//! Invariant: a condition that is called exact holds for exactly the rows that the matcher matches, in every dialect. What
//! a dialect cannot say so is `None` there, and stays with the residual. Not for: executing anything.

mod adopt;
pub(super) mod compile;
pub(super) mod connecting;
pub(super) mod filter;
pub(super) mod introspect;
mod literal;
mod numbers;
pub(super) mod references;
pub(super) mod register;
pub(super) mod schema;
mod search;
pub(super) mod socket;

use std::borrow::Cow;
use std::sync::Arc;

use crate::backend::{Batch, Cell, Select};
use crate::error::{Error, Result};
use crate::query::Words;
use crate::runtime;
use crate::schema::{Entity, Field, FieldType, Path};
use crate::value::{Value, format_decimal, tagged};

/// How the value of an operand is handed over, beside what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// As a column of its type holds it.
    Native,
    /// As its plain text, without a tag.
    Text,
    /// As tagged JSON.
    Tagged,
}

/// A single value inside a JSON column.
pub(super) struct Place {
    /// The value; null where it is missing or null.
    pub(super) sql: String,
    /// The JSON type of the place, null where it is missing and `'null'` where it is null.
    pub(super) json_type: String,
    pub(super) bound: Bound,
}

/// The elements of a list column as rows.
pub(super) struct Elements {
    /// What stands behind FROM.
    pub(super) from: String,
    /// One element; null where it is null.
    pub(super) value: String,
    pub(super) bound: Bound,
}

/// How one database spells what the compiler means.
pub(super) trait Dialect: Send + Sync {
    /// The backend's name, for messages.
    fn name(&self) -> &'static str;

    /// How many parameters a statement may have.
    fn most_parameters(&self) -> i64;

    /// An identifier in quotes.
    fn quote(&self, name: &str) -> String;

    /// A table, in its schema where it has one.
    fn table(&self, name: &str) -> String;

    /// What stands behind a table whose rows are selected, where the engine must be told by which index they are in order.
    fn order_hint(&self, _select: &Select<'_>) -> String {
        String::new()
    }

    /// The placeholder of parameter `number` (from 1), a value for a column of type `kind`.
    fn mark(&self, number: usize, kind: &FieldType) -> String;

    /// What an insert puts into a column, given the placeholder.
    fn inserted(&self, entity: &Entity, field: &Field, mark: String) -> String;

    /// What stands behind an insert that is no upsert.
    fn after_insert(&self, entity: &Entity) -> String;

    /// Whether writes return the rows that they wrote, and inserts can become updates of the row in their way.
    fn returns_writes(&self) -> bool;

    /// Whether updates and deletes take an order and a limit.
    fn limits_writes(&self) -> bool;

    /// The single declared scalar at a path, such that comparing it is comparing the value.
    fn place(&self, entity: &Entity, path: &Path) -> Option<Place>;

    /// A scalar as it is compared and sorted by one key.
    fn collated(&self, sql: &str, kind: &FieldType) -> String;

    /// The number of bytes.
    fn byte_length(&self, sql: &str) -> String;

    /// Equality under which null equals null.
    fn same(&self, left: &str, right: &str) -> String;

    /// Membership in values that are not null and are encoded already; never called without values.
    fn one_of(&self, sql: &str, kind: &FieldType, values: Vec<Value>, parameters: &mut Vec<Value>) -> String;

    /// Whether the engine takes an operand without rounding it.
    fn holds(&self, value: &Value) -> bool;

    /// Whether a text matches a pattern of the `regex` crate, if the engine has that crate.
    fn regex(&self, sql: &str, mark: &str) -> Option<String>;

    /// Whether a list column contains the one element of a list given as tagged JSON, where an index can tell.
    fn contains(&self, column: &str, items: &FieldType, mark: &str) -> Option<String>;

    /// The elements of a list column of scalars.
    fn elements(&self, column: &str, items: &FieldType) -> Option<Elements>;

    /// The number of elements of a list column, if the engine can count them in every row.
    fn list_length(&self, column: &str, items: &FieldType) -> Option<String>;

    /// A condition that the full-text index of the entity answers and that holds at least in the rows with all these words;
    /// `None` where it can be asked for none of them, or must not be asked here.
    fn search_index(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String>;

    /// What is joined to a table whose rows are ranked, where that answers [`Dialect::search_index`] too.
    fn search_join(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String>;

    /// The sort key of the engine's own order, the best first; not where a join was possible and was not made.
    fn search_rank(&self, entity: &Entity, words: &Words, parameters: &mut Vec<Value>) -> Option<String>;

    /// Whether a text of words stands for a word that comes as a parameter, a blank on either side.
    fn has_word(&self, column: &str, mark: &str) -> String;

    /// A sort key with its direction; null sorts before everything.
    fn ordered(&self, key: &str, descending: bool, nullable: bool) -> String;

    /// The sum of a column and a number, exact or an error of the engine.
    fn plus(&self, column: &str, kind: &FieldType, mark: &str) -> Option<String>;

    /// What stands behind a select whose rows are about to be written.
    fn row_lock(&self) -> &'static str;

    /// A constant of this column's type inside DDL, where parameters are not allowed.
    fn literal(&self, kind: &FieldType, value: &Value) -> Result<String>;
}

/// Whether columns of this type hold tagged JSON.
pub(super) fn is_json(kind: &FieldType) -> bool {
    !kind.is_scalar()
}

/// A value of a row as a parameter: what belongs into a JSON column becomes text here.
pub(super) fn for_column<'a>(kind: &FieldType, value: &'a Value) -> Cow<'a, Value> {
    if is_json(kind) && !value.is_null() {
        Cow::Owned(Value::Text(tagged::to_string(value)))
    } else {
        Cow::Borrowed(value)
    }
}

/// A cell of a row as a parameter of a statement.
pub(super) fn parameter(kind: &FieldType, cell: Cell<'_>) -> Result<Value> {
    if is_json(kind) && !cell.is_null() {
        let mut text = Vec::new();
        cell.write_tagged(&mut text);
        return Ok(Value::Text(String::from_utf8(text).expect("only UTF-8 is written")));
    }
    cell.to_value()
}

/// Rows of about as many bytes are written as text or bytes by a thread of the runtime, so that the host's goes on meanwhile;
/// fewer take less than a tenth of a millisecond, and another thread would take the processor from the server.
const MUCH: usize = 1 << 18;

/// What `write` makes of rows.
pub(super) async fn written<T: Send + 'static>(
    rows: &Arc<Batch>,
    write: impl FnOnce(&Batch) -> Result<T> + Send + 'static,
) -> Result<T> {
    if rows.weight() < MUCH {
        return write(rows);
    }
    let rows = Arc::clone(rows);
    let outcome = runtime::handle().spawn_blocking(move || write(&rows)).await;
    outcome.map_err(|_| Error::internal("the rows of an insert could not be written"))?
}

/// The first word of a statement of the user, in small letters.
pub(super) fn first_word(text: &str) -> String {
    text.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase()
}

/// An identifier in double quotes, as the standard has it.
pub(super) fn double_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text in quotes, where a backslash stands for itself.
pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// The legs that lead to a scalar from its place in JSON: its tag, or none; `None` for what does not compare there as its
/// value (floats, whose text databases read by their own rounding, bytes, whose base64 has another order) and for no scalar.
pub(super) fn tag(kind: &FieldType) -> Option<&'static [&'static str]> {
    Some(match kind {
        FieldType::Int | FieldType::Text | FieldType::Bool => &[],
        FieldType::Decimal => &["$numberDecimal"],
        FieldType::Uuid => &["$uuid"],
        FieldType::ObjectId => &["$oid"],
        FieldType::DateTime => &["$date"],
        FieldType::Date => &["$day"],
        FieldType::Time => &["$time"],
        _ => return None,
    })
}

/// The plain text of a value: of fixed width for moments, days and times, so that text order is value order.
pub(super) fn plain_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Decimal(number) => format_decimal(number),
        Value::Uuid(uuid) => uuid.hyphenated().to_string(),
        Value::ObjectId(id) => id.to_string(),
        Value::DateTime(moment) => moment.to_string(),
        Value::Date(date) => date.to_string(),
        Value::Time(time) => time.to_string(),
        other => tagged::to_string(other),
    }
}

/// Appends JSON without the blanks between its parts.
pub(super) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let (mut inside, mut escaped) = (false, false);
    for &byte in json {
        if !inside && byte == b' ' {
            continue;
        }
        inside ^= byte == b'"' && !escaped;
        escaped = inside && byte == b'\\' && !escaped;
        out.push(byte);
    }
}
