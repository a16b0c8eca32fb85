//! What we teach SQLite: the order of decimals, regular expressions and additions that do not overflow silently.

use std::cmp::Ordering;

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value as SqlValue, ValueRef};

use super::error::OWN_PREFIX;
use crate::value::{format_decimal, parse_decimal};

/// The collation of decimal columns, by value and not by text.
pub(super) const DECIMAL: &str = "farm_decimal";

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_collation(DECIMAL, compare_decimals)?;
    connection.create_scalar_function("farm_regexp", 2, pure, regexp)?;
    connection.create_scalar_function("farm_add", 2, pure, add)?;
    rusqlite::vtab::array::load_module(connection)
}

/// Text that is no decimal sorts behind all that is, so that the order is total whatever a column holds.
fn compare_decimals(left: &str, right: &str) -> Ordering {
    match (parse_decimal(left), parse_decimal(right)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => left.cmp(right),
    }
}

/// `farm_regexp(pattern, text)`: the pattern carries its flags inline and is compiled once a statement.
fn regexp(context: &Context<'_>) -> rusqlite::Result<Option<bool>> {
    let regex =
        context.get_or_create_aux(0, |pattern| -> Result<regex::Regex, Box<dyn std::error::Error + Send + Sync>> {
            Ok(regex::Regex::new(pattern.as_str()?)?)
        })?;
    Ok(match context.get_raw(1) {
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(|text| regex.is_match(text)),
        _ => None,
    })
}

/// `farm_add(old, number)`: exact, or an error; null stays null.
fn add(context: &Context<'_>) -> rusqlite::Result<SqlValue> {
    let refuse = |message: &str| Err(rusqlite::Error::UserFunctionError(format!("{OWN_PREFIX}{message}").into()));
    match (context.get_raw(0), context.get_raw(1)) {
        (ValueRef::Null, _) => refuse("cannot increment null"),
        (ValueRef::Integer(old), ValueRef::Integer(number)) => match old.checked_add(number) {
            Some(sum) => Ok(SqlValue::Integer(sum)),
            None => refuse("the sum does not fit a 64-bit integer"),
        },
        (ValueRef::Text(old), ValueRef::Text(number)) => {
            let read = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| parse_decimal(text).ok());
            match (read(old), read(number)) {
                (Some(old), Some(number)) => {
                    let sum = format_decimal(&(old + number));
                    if parse_decimal(&sum).is_ok() {
                        Ok(SqlValue::Text(sum))
                    } else {
                        refuse("the sum has too many digits")
                    }
                }
                _ => refuse("a decimal column holds something else"),
            }
        }
        (ValueRef::Real(old), ValueRef::Real(number)) => Ok(SqlValue::Real(old + number)),
        _ => refuse("a number column holds something else"),
    }
}
