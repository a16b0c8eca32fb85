//! Values as SQLite stores them: text for decimals, uuids, object ids, moments, days and times (of fixed width, so that
//! text order is value order), tagged JSON for lists, maps and free values.

use std::rc::Rc;

use rusqlite::Statement;
use rusqlite::types::{Null, ToSqlOutput, Value as SqlValue, ValueRef};

use crate::backend::Cell;
use crate::backends::sql::{is_json, plain_text};
use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::value::{Value, tagged};

/// Binds parameter `index` (from 1); a list becomes a table for `rarray`.
pub(super) fn bind(statement: &mut Statement<'_>, index: usize, value: &Value) -> rusqlite::Result<()> {
    match value {
        Value::Null => statement.raw_bind_parameter(index, Null),
        Value::Bool(truth) => statement.raw_bind_parameter(index, *truth),
        Value::Int(number) => statement.raw_bind_parameter(index, *number),
        // Zero has one sign in SQLite's records; it is given up here, where it can be seen.
        Value::Float(number) => statement.raw_bind_parameter(index, *number + 0.0),
        Value::Text(text) => statement.raw_bind_parameter(index, text.as_str()),
        Value::Bytes(bytes) => statement.raw_bind_parameter(index, bytes.as_slice()),
        Value::Uuid(uuid) => statement.raw_bind_parameter(index, &*uuid.hyphenated().encode_lower(&mut [0; 36])),
        Value::List(list) => {
            let table: Vec<SqlValue> = list.iter().map(owned).collect();
            statement.raw_bind_parameter(index, Rc::new(table))
        }
        other => statement.raw_bind_parameter(index, plain_text(other)),
    }
}

/// Binds a cell of a row; `json` is room for the text of what has not been written yet.
pub(super) fn bind_cell(
    statement: &mut Statement<'_>,
    index: usize,
    kind: &FieldType,
    cell: Cell<'_>,
    json: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    let bind_text = |statement: &mut Statement<'_>, text: &[u8]| {
        statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(ValueRef::Text(text)))
    };
    match cell {
        Cell::Null => statement.raw_bind_parameter(index, Null),
        Cell::Json(text) => bind_text(statement, text.as_bytes()),
        cell if is_json(kind) => {
            json.clear();
            cell.write_tagged(json);
            bind_text(statement, json)
        }
        Cell::Text(text) | Cell::Decimal(text) => bind_text(statement, text.as_bytes()),
        Cell::Bytes(bytes) => statement.raw_bind_parameter(index, bytes),
        Cell::Bool(truth) => statement.raw_bind_parameter(index, truth),
        Cell::Int(number) => statement.raw_bind_parameter(index, number),
        Cell::Float(number) => statement.raw_bind_parameter(index, number + 0.0),
        Cell::Uuid(uuid) => bind_text(statement, uuid.hyphenated().encode_lower(&mut [0; 36]).as_bytes()),
        Cell::ObjectId(id) => statement.raw_bind_parameter(index, id.to_string()),
        Cell::DateTime(moment) => bind_text(statement, &moment.ascii()),
        Cell::Date(date) => statement.raw_bind_parameter(index, date.to_string()),
        Cell::Time(time) => bind_text(statement, &time.ascii()),
        Cell::Value(value) => bind(statement, index, value),
    }
}

fn owned(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Bool(truth) => SqlValue::Integer(i64::from(*truth)),
        Value::Int(number) => SqlValue::Integer(*number),
        Value::Float(number) => SqlValue::Real(*number + 0.0),
        Value::Text(text) => SqlValue::Text(text.clone()),
        Value::Bytes(bytes) => SqlValue::Blob(bytes.clone()),
        other => SqlValue::Text(plain_text(other)),
    }
}

/// Parameters of native statements: a list by position or a map by name.
pub(super) fn bind_native(statement: &mut Statement<'_>, parameters: &Value) -> Result<()> {
    let failed = |error: rusqlite::Error| Error::invalid_query(format!("sqlite: cannot bind a parameter: {error}"));
    let count = statement.parameter_count();
    let given = match parameters {
        Value::Null => 0,
        Value::List(list) => {
            for (index, value) in list.iter().enumerate().take(count) {
                bind_free(statement, index + 1, value).map_err(failed)?;
            }
            list.len()
        }
        Value::Map(map) => {
            for (name, value) in map {
                let position = [":", "@", "$"]
                    .iter()
                    .find_map(|sign| statement.parameter_index(&format!("{sign}{name}")).ok().flatten());
                let position = position.ok_or_else(|| {
                    Error::invalid_query(format!("the statement has no parameter {name:?}"))
                        .with("parameter", name.as_str())
                })?;
                bind_free(statement, position, value).map_err(failed)?;
            }
            map.len()
        }
        _ => return Err(Error::invalid_query("parameters are a list, or a map by name")),
    };
    if given != count {
        return Err(Error::invalid_query(format!("the statement has {count} parameters, {given} were given")));
    }
    Ok(())
}

/// A free parameter: lists and maps are bound as tagged JSON, since there is no `rarray` around them.
fn bind_free(statement: &mut Statement<'_>, index: usize, value: &Value) -> rusqlite::Result<()> {
    match value {
        Value::List(_) | Value::Map(_) => statement.raw_bind_parameter(index, tagged::to_string(value)),
        other => bind(statement, index, other),
    }
}
