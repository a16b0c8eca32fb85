//! Replies as JSON that JavaScript's own parser reads without loss.

use farm_db_core::value::tagged;
use farm_db_core::{Map, Reply, Result, RowSet, Value};

/// The JSON of a reply: a row or rows as a list, a page as `{"rows": .., "next": ..}`, the rest as it is.
/// `raw` JSON is not for JavaScript's parser: its integers stay numbers.
pub(crate) fn to_json(reply: Reply, raw: bool) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    match reply {
        Reply::Nothing | Reply::Row(None) => out.extend_from_slice(b"null"),
        Reply::Row(Some(rows)) | Reply::Rows(rows) => rows.write_tagged(&mut out)?,
        Reply::Page { rows, next } => {
            out.extend_from_slice(b"{\"rows\":");
            rows.write_tagged(&mut out)?;
            out.extend_from_slice(b",\"next\":");
            tagged::write(&next.into(), &mut out);
            out.push(b'}');
        }
        Reply::Count(count) => out.extend_from_slice(count.to_string().as_bytes()),
        Reply::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        Reply::Values(values) => tagged::write(&Value::List(values), &mut out),
        Reply::Map(map) => tagged::write_map(&map, &mut out),
    }
    Ok(if raw { out } else { exact(out) })
}

/// The JSON of a batch of rows; an empty list at the end.
pub(crate) fn batch(rows: Option<&RowSet>) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    match rows {
        Some(rows) => rows.write_tagged(&mut out)?,
        None => out.extend_from_slice(b"[]"),
    }
    Ok(exact(out))
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
    let mut wide: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = after_text(&json, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = after_number(&json, at);
                if is_wide(&json[at..end]) {
                    wide.push((at, end));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if wide.is_empty() { json } else { widened(&json, &wide) }
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

fn widened(json: &[u8], wide: &[(usize, usize)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + wide.len() * 20);
    let mut from = 0;
    for &(start, end) in wide {
        out.extend_from_slice(&json[from..start]);
        out.extend_from_slice(b"{\"$numberLong\":\"");
        out.extend_from_slice(&json[start..end]);
        out.extend_from_slice(b"\"}");
        from = end;
    }
    out.extend_from_slice(&json[from..]);
    out
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
