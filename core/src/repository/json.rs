//! Rows as plain JSON for HTTP bodies, straight from the cells: what Pydantic's `model_dump_json` prints for the same
//! values (moments as RFC 3339 with `Z` and no empty fraction, decimals, uuids and ids as strings, bytes as text).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::RowSet;
use super::related::Related;
use crate::backend::Cell;
use crate::error::{Error, Result};
use crate::value::{BigDecimal, DateTime, Map, Time, Value, parse_decimal, tagged};

/// Under which keys the fields of an entity or nested model appear.
#[derive(Clone, Debug, Default)]
pub struct JsonShape {
    /// In the order of the output. Fields that are not named here are left out.
    pub fields: Vec<JsonField>,
    /// Whether undeclared keys of a nested model follow.
    pub extra: bool,
    /// The shapes of related rows by relation, for those that are included.
    pub related: HashMap<String, Arc<JsonShape>>,
}

/// One field of the output.
#[derive(Clone, Debug)]
pub struct JsonField {
    /// The stored name.
    pub stored: String,
    /// The key in the output.
    pub key: String,
    /// What is inside.
    pub inner: JsonInner,
}

/// What a field holds, as far as keys inside it are concerned.
#[derive(Clone, Debug)]
pub enum JsonInner {
    /// Nothing to rename.
    Plain,
    /// A nested model.
    Model(Arc<JsonShape>),
    /// A list of such.
    List(Box<JsonInner>),
    /// A map of such.
    Map(Box<JsonInner>),
}

impl JsonInner {
    /// Whether stored JSON can be copied as it is, tags aside: names and order are the same.
    fn is_copy(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Model(shape) => {
                shape.fields.iter().all(|field| field.stored == field.key && field.inner.is_copy()) && shape.extra
            }
            Self::List(inner) | Self::Map(inner) => inner.is_copy(),
        }
    }
}

/// The columns of an answer as its JSON has them.
struct Columns<'a> {
    /// Place among the columns, `{"key":` or `,"key":`, what is inside, whether that can be copied.
    fields: Vec<(usize, Vec<u8>, &'a JsonInner, bool)>,
    related: Vec<Related<'a>>,
}

impl RowSet {
    /// Appends all rows as a JSON array of objects.
    pub fn write_json(&self, shape: &JsonShape, out: &mut Vec<u8>) -> Result<()> {
        let columns = self.json_columns(shape)?;
        out.push(b'[');
        for row in 0..self.len() {
            if row > 0 {
                out.push(b',');
            }
            self.write_json_row(row, &columns, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn json_columns<'a>(&'a self, shape: &'a JsonShape) -> Result<Columns<'a>> {
        let names = self.names();
        let mut fields = Vec::with_capacity(shape.fields.len());
        for field in &shape.fields {
            if let Some(column) = names.iter().position(|name| *name == field.stored) {
                let mut prefix = vec![if fields.is_empty() { b'{' } else { b',' }];
                tagged::write_text(&field.key, &mut prefix);
                prefix.push(b':');
                fields.push((column, prefix, &field.inner, field.inner.is_copy()));
            }
        }
        let related = self.included().iter().map(|included| {
            let shape = shape.related.get(&included.name);
            let shape = shape.ok_or_else(|| Error::internal(format!("no shape for relation {:?}", included.name)))?;
            let columns = included.rows.json_columns(shape)?;
            Related::new(included, |row, out| included.rows.write_json_row(row, &columns, out))
        });
        Ok(Columns { fields, related: related.collect::<Result<_>>()? })
    }

    fn write_json_row(&self, row: usize, columns: &Columns<'_>, out: &mut Vec<u8>) -> Result<()> {
        for (column, prefix, inner, copy) in &columns.fields {
            out.extend_from_slice(prefix);
            write_cell(self.rows().cell(row, *column)?, inner, *copy, out)?;
        }
        if columns.fields.is_empty() {
            out.push(b'{');
        }
        for related in &columns.related {
            related.write(row, out);
        }
        out.push(b'}');
        Ok(())
    }
}

fn write_cell(cell: Cell<'_>, inner: &JsonInner, copy: bool, out: &mut Vec<u8>) -> Result<()> {
    match cell {
        Cell::Text(text) => tagged::write_text(text, out),
        // A tag begins with `"$`; without one tagged JSON is plain JSON.
        Cell::Json(json) if copy && !json.contains("\"$") => out.extend_from_slice(json.as_bytes()),
        Cell::Json(json) => write_value(&tagged::read(json.as_bytes())?, inner, out)?,
        Cell::Value(value) => write_value(value, inner, out)?,
        Cell::Decimal(text) => write_decimal(&parse_decimal(text)?, out),
        Cell::Bytes(bytes) => write_bytes(bytes, out)?,
        Cell::DateTime(moment) => write_datetime(moment, out),
        Cell::Time(time) => write_time(time, out),
        Cell::Float(number) => write_float(number, out),
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Bool(truth) => tagged::write(&Value::Bool(truth), out),
        Cell::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        Cell::Uuid(uuid) => write_quoted(&uuid, out),
        Cell::ObjectId(id) => write_quoted(&id, out),
        Cell::Date(date) => write_quoted(&date, out),
    }
    Ok(())
}

fn write_value(value: &Value, inner: &JsonInner, out: &mut Vec<u8>) -> Result<()> {
    match (value, inner) {
        (Value::List(list), inner) => {
            let inner = if let JsonInner::List(inner) = inner { inner } else { &JsonInner::Plain };
            out.push(b'[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, inner, out)?;
            }
            out.push(b']');
        }
        (Value::Map(map), JsonInner::Model(shape)) => write_model(map, shape, out)?,
        (Value::Map(map), inner) => {
            let inner = if let JsonInner::Map(inner) = inner { inner } else { &JsonInner::Plain };
            write_entries(map.iter().map(|(key, item)| (key.as_str(), item, inner)), out)?;
        }
        (Value::Text(text), _) => tagged::write_text(text, out),
        (Value::Float(number), _) => write_float(*number, out),
        (Value::Decimal(number), _) => write_decimal(number, out),
        (Value::Bytes(bytes), _) => write_bytes(bytes, out)?,
        (Value::DateTime(moment), _) => write_datetime(*moment, out),
        (Value::Time(time), _) => write_time(*time, out),
        (Value::Uuid(uuid), _) => write_quoted(uuid, out),
        (Value::ObjectId(id), _) => write_quoted(id, out),
        (Value::Date(date), _) => write_quoted(date, out),
        (Value::Null | Value::Bool(_) | Value::Int(_), _) => tagged::write(value, out),
    }
    Ok(())
}

fn write_model(map: &Map, shape: &JsonShape, out: &mut Vec<u8>) -> Result<()> {
    let declared =
        shape.fields.iter().filter_map(|field| Some((field.key.as_str(), map.get(&field.stored)?, &field.inner)));
    let known = |key: &str| shape.fields.iter().any(|field| field.stored == key);
    let extra = map.iter().filter(|(key, _)| shape.extra && !known(key));
    write_entries(declared.chain(extra.map(|(key, item)| (key.as_str(), item, &JsonInner::Plain))), out)
}

fn write_entries<'a>(
    entries: impl Iterator<Item = (&'a str, &'a Value, &'a JsonInner)>,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'{');
    for (index, (key, item, inner)) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        tagged::write_text(key, out);
        out.push(b':');
        write_value(item, inner, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_quoted(value: &dyn std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to memory does not fail.
    let _ = write!(out, "\"{value}\"");
}

/// Infinities and NaN are null, as Pydantic writes them unless told otherwise.
fn write_float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::invalid_value("bytes that are not UTF-8 cannot stand in JSON: leave the field out"))?;
    tagged::write_text(text, out);
    Ok(())
}

fn write_datetime(moment: DateTime, out: &mut Vec<u8>) {
    let text = moment.ascii();
    out.push(b'"');
    match text.strip_suffix(b".000000Z") {
        Some(whole) => {
            out.extend_from_slice(whole);
            out.push(b'Z');
        }
        None => out.extend_from_slice(&text),
    }
    out.push(b'"');
}

fn write_time(time: Time, out: &mut Vec<u8>) {
    let text = time.ascii();
    out.push(b'"');
    out.extend_from_slice(text.strip_suffix(b".000000").unwrap_or(&text));
    out.push(b'"');
}

/// The `to-scientific-string` of the General Decimal Arithmetic specification, which is Python's `str(Decimal)`.
fn write_decimal(number: &BigDecimal, out: &mut Vec<u8>) {
    let (digits, scale) = number.as_bigint_and_exponent();
    let text = digits.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let length = digits.len() as i64;
    let adjusted = length - 1 - scale;
    let mut shown = String::from(sign);
    if scale >= 0 && adjusted >= -6 {
        if scale == 0 {
            shown += digits;
        } else if length > scale {
            let (whole, fraction) = digits.split_at((length - scale) as usize);
            let _ = write!(shown, "{whole}.{fraction}");
        } else {
            let _ = write!(shown, "0.{}{digits}", "0".repeat((scale - length) as usize));
        }
    } else {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let _ = write!(shown, "{first}{point}{rest}E{adjusted:+}");
    }
    write_quoted(&shown, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_printed_as_python_prints_them() {
        for (text, expected) in [
            ("1.10", "1.10"),
            ("1E+2", "1E+2"),
            ("12E+2", "1.2E+3"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1E-7"),
            ("-0.5", "-0.5"),
            ("100", "100"),
            ("0.00", "0.00"),
        ] {
            let mut out = Vec::new();
            write_decimal(&parse_decimal(text).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}\""));
        }
    }
}
