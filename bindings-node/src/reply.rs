//! Replies as JSON that JavaScript's own parser reads without loss.

use farm_db_core::backend::Cell;
use farm_db_core::schema::{Field, FieldType};
use farm_db_core::value::tagged;
use farm_db_core::{Map, Reply, Result, RowSet, Value};

/// The JSON of a reply: a row or rows as a list, a page as `{"rows": .., "next": ..}`, the rest as it is.
/// `raw` JSON is not for JavaScript's parser: it is tagged JSON as the core writes it, and its integers stay numbers.
pub(crate) fn to_json(reply: Reply, raw: bool) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    let write =
        |rows: RowSet, out: &mut _| if raw { rows.write_tagged(out) } else { rows.write_objects(write_cell, out) };
    match reply {
        Reply::Nothing | Reply::Row(None) => out.extend_from_slice(b"null"),
        Reply::Row(Some(rows)) | Reply::Rows(rows) => write(rows, &mut out)?,
        Reply::Page { rows, next } => {
            out.extend_from_slice(b"{\"rows\":");
            write(rows, &mut out)?;
            out.extend_from_slice(b",\"next\":");
            tagged::write(&next.into(), &mut out);
            out.push(b'}');
        }
        Reply::Count(count) => out.extend_from_slice(count.to_string().as_bytes()),
        Reply::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        Reply::Values(values) => out = value(&Value::List(values)),
        Reply::Map(map) => out = value(&Value::Map(map)),
    }
    Ok(out)
}

/// The JSON of rows: a list.
pub(crate) fn rows(rows: &RowSet) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    rows.write_objects(write_cell, &mut out)?;
    Ok(out)
}

/// The JSON of a batch of rows; an empty list at the end.
pub(crate) fn batch(found: Option<&RowSet>) -> Result<Vec<u8>> {
    found.map_or_else(|| Ok(b"[]".to_vec()), rows)
}

/// A cell as JavaScript reads it by the type of its field: a moment of whole milliseconds, which nearly all are, is their
/// number since 1970; anything else is tagged JSON.
pub(crate) fn write_cell(field: &Field, cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::DateTime(moment) if matches!(field.kind, FieldType::DateTime) && moment.micros() % 1000 == 0 => {
            tagged::write(&Value::Int(moment.micros() / 1000), out);
        }
        Cell::Json(json) => extend_exact(json.as_bytes(), out),
        Cell::Int(_) | Cell::Value(_) => {
            let mut json = Vec::with_capacity(32);
            cell.write_tagged(&mut json);
            extend_exact(&json, out);
        }
        _ => cell.write_tagged(out),
    }
}

/// The JSON of a value.
pub(crate) fn value(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    tagged::write(value, &mut out);
    exact(out)
}

/// The JSON of facts, as text.
pub(crate) fn map_text(map: &Map) -> String {
    let mut out = Vec::with_capacity(256);
    tagged::write_map(map, &mut out);
    String::from_utf8(exact(out)).unwrap_or_default()
}

/// Digits of the smallest integer that may not be safe (2^53 - 1 has 16).
const UNSAFE_DIGITS: usize = 16;
const MAX_SAFE: u64 = (1 << 53) - 1;

/// The same JSON with integers beyond JavaScript's safe ones written as `{"$numberLong": "..."}`.
fn exact(json: Vec<u8>) -> Vec<u8> {
    let wide = wide(&json);
    if wide.is_empty() {
        return json;
    }
    let mut out = Vec::with_capacity(json.len() + wide.len() * 20);
    extend_widened(&json, &wide, &mut out);
    out
}

/// Appends what [`exact`] makes of JSON.
fn extend_exact(json: &[u8], out: &mut Vec<u8>) {
    extend_widened(json, &wide(json), out);
}

/// Where the integers beyond the safe ones stand.
fn wide(json: &[u8]) -> Vec<(usize, usize)> {
    let mut wide: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = after_text(json, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = after_number(json, at);
                if is_wide(&json[at..end]) {
                    wide.push((at, end));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    wide
}

fn after_text(json: &[u8], mut at: usize) -> usize {
    while at < json.len() {
        match json[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn after_number(json: &[u8], start: usize) -> usize {
    let rest = &json[start..];
    start
        + rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len())
}

fn is_wide(number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    digits.len() >= UNSAFE_DIGITS
        && digits.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .is_none_or(|number: u64| number > MAX_SAFE)
}

fn extend_widened(json: &[u8], wide: &[(usize, usize)], out: &mut Vec<u8>) {
    let mut from = 0;
    for &(start, end) in wide {
        out.extend_from_slice(&json[from..start]);
        out.extend_from_slice(b"{\"$numberLong\":\"");
        out.extend_from_slice(&json[start..end]);
        out.extend_from_slice(b"\"}");
        from = end;
    }
    out.extend_from_slice(&json[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        String::from_utf8(exact(json.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn only_integers_beyond_the_safe_ones_are_wrapped() {
        let same =
            r#"[9007199254740991,-9007199254740991,1e300,12345678901234567.5,"9007199254740993","\"9007199254740993"]"#;
        assert_eq!(text(same), same);
        assert_eq!(
            text(r#"{"a":9007199254740992,"b":[-9223372036854775808]}"#),
            r#"{"a":{"$numberLong":"9007199254740992"},"b":[{"$numberLong":"-9223372036854775808"}]}"#
        );
    }
}
