//! Defaults as catalogs write them, read back as values. What is no constant is not read.

use crate::schema::{Field, FieldType, check_element};
use crate::value::{Value, parse_decimal, tagged};

/// A constant, before it is known of which type its column is.
#[derive(Debug, PartialEq)]
enum Literal {
    Null,
    Truth(bool),
    Text(String),
    Number(String),
    Bytes(Vec<u8>),
}

/// The value of a constant in a column of this field; `None` for what is no constant, or none of this type.
pub(super) fn value(field: &Field, sql: &str) -> Option<Value> {
    let value = fitted(&field.kind, literal(sql)?)?;
    // A default of null says no more than that there is none.
    let nullable = Field { nullable: true, ..field.clone() };
    check_element(&nullable, value).ok()
}

/// Reads a constant, in brackets or with casts behind it.
fn literal(sql: &str) -> Option<Literal> {
    let sql = sql.trim();
    if sql.starts_with('(') {
        let end = closing(sql)?;
        return is_cast(&sql[end + 1..]).then(|| literal(&sql[1..end]))?;
    }
    if let Some(rest) = sql.strip_prefix('\'') {
        let (text, rest) = quoted(rest)?;
        return is_cast(rest).then_some(Literal::Text(text));
    }
    if let Some(digits) = sql.strip_prefix(['x', 'X']).and_then(|rest| rest.strip_prefix('\'')) {
        return unhex(digits.strip_suffix('\'')?).map(Literal::Bytes);
    }
    let (word, cast) = sql.split_once("::").map_or((sql, ""), |(word, _)| (word, &sql[word.len()..]));
    if !is_cast(cast) {
        return None;
    }
    match word.to_lowercase().as_str() {
        "null" => Some(Literal::Null),
        "true" => Some(Literal::Truth(true)),
        "false" => Some(Literal::Truth(false)),
        number => number.parse::<f64>().is_ok_and(f64::is_finite).then(|| Literal::Number(number.to_owned())),
    }
}

/// Where the bracket at the beginning is closed.
fn closing(sql: &str) -> Option<usize> {
    let (mut depth, mut inside) = (0_usize, false);
    for (at, sign) in sql.char_indices() {
        match sign {
            '\'' => inside = !inside,
            '(' if !inside => depth += 1,
            ')' if !inside => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The text up to the quote that ends it, and what follows. Databases differ in what a backslash means.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut signs = rest.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\'' if signs.peek().is_some_and(|(_, next)| *next == '\'') => {
                signs.next();
                text.push('\'');
            }
            '\'' => return Some((text, &rest[at + 1..])),
            sign => text.push(sign),
        }
    }
    None
}

/// Whether nothing but casts is left.
fn is_cast(rest: &str) -> bool {
    let rest = rest.trim();
    let plain = |sign: char| sign.is_alphanumeric() || " _(),\":.[]".contains(sign);
    rest.is_empty() || (rest.starts_with("::") && rest.chars().all(plain))
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let bytes = digits.as_bytes().chunks(2);
    bytes
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok())
        .collect()
}

/// The constant as a value of the type, as far as that is more than what a check of the value does.
fn fitted(kind: &FieldType, literal: Literal) -> Option<Value> {
    Some(match (kind, literal) {
        (_, Literal::Null) => Value::Null,
        (FieldType::Bytes, Literal::Bytes(bytes)) => Value::Bytes(bytes),
        (FieldType::Bytes, Literal::Text(text)) => Value::Bytes(unhex(text.strip_prefix("\\x")?)?),
        (_, Literal::Bytes(_)) => return None,
        (_, Literal::Truth(truth)) => Value::Bool(truth),
        (FieldType::Int, Literal::Text(text) | Literal::Number(text)) => Value::Int(text.trim().parse().ok()?),
        (FieldType::Float, Literal::Text(text) | Literal::Number(text)) => Value::Float(text.trim().parse().ok()?),
        (FieldType::Decimal, Literal::Text(text) | Literal::Number(text)) => {
            Value::Decimal(parse_decimal(text.trim()).ok()?)
        }
        (FieldType::Bool, Literal::Text(text) | Literal::Number(text)) => match text.as_str() {
            "0" | "f" | "false" => Value::Bool(false),
            "1" | "t" | "true" => Value::Bool(true),
            _ => return None,
        },
        (FieldType::DateTime, Literal::Text(text)) => moment(&text)?,
        (kind, Literal::Text(text) | Literal::Number(text)) if !kind.is_scalar() => {
            tagged::read(text.as_bytes()).ok()?
        }
        (_, Literal::Text(text) | Literal::Number(text)) => Value::Text(text),
    })
}

/// A moment, whose offset PostgreSQL writes without minutes.
fn moment(text: &str) -> Option<Value> {
    let hours_only =
        text.len() > 19 && text.as_bytes()[text.len() - 3..].first().is_some_and(|sign| b"+-".contains(sign));
    let text = if hours_only { format!("{text}:00") } else { text.to_owned() };
    text.parse().ok().map(Value::DateTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: FieldType, sql: &str) -> Option<String> {
        value(&Field::new("field", kind), sql).map(|value| tagged::to_string(&value))
    }

    #[test]
    fn introspect_reads_constants_of_every_spelling() {
        let cases = [
            (FieldType::Text, "'it''s'::character varying", "\"it's\""),
            (FieldType::Text, "('x'::text)::character varying(20)", "\"x\""),
            (FieldType::Text, "''", "\"\""),
            (FieldType::Int, "'-1'::integer", "-1"),
            (FieldType::Int, "(-7)", "-7"),
            (FieldType::Float, "1", "1.0"),
            (FieldType::Decimal, "1.50", r#"{"$numberDecimal":"1.50"}"#),
            (FieldType::Bool, "true", "true"),
            (FieldType::Bool, "0", "false"),
            (FieldType::Bytes, "x'00ff'", r#"{"$binary":{"base64":"AP8=","subType":"00"}}"#),
            (FieldType::Bytes, r"'\x00ff'::bytea", r#"{"$binary":{"base64":"AP8=","subType":"00"}}"#),
            (FieldType::Date, "'2024-01-31'::date", r#"{"$day":"2024-01-31"}"#),
            (
                FieldType::DateTime,
                "'2024-01-31 12:00:00+00'::timestamp with time zone",
                r#"{"$date":"2024-01-31T12:00:00.000000Z"}"#,
            ),
            (FieldType::Any, "'[]'::jsonb", "[]"),
            (FieldType::Int, "NULL::integer", "null"),
        ];
        for (kind, sql, expected) in cases {
            assert_eq!(read(kind, sql).as_deref(), Some(expected), "{sql}");
        }
    }

    #[test]
    fn introspect_reads_no_expression_as_a_constant() {
        let cases = [
            (FieldType::DateTime, "now()"),
            (FieldType::DateTime, "CURRENT_TIMESTAMP"),
            (FieldType::Text, "'a'::text || 'b'::text"),
            (FieldType::Text, "upper('a'::text)"),
            (FieldType::Int, "nextval('a_seq'::regclass)"),
            (FieldType::Int, "1 + 1"),
            (FieldType::Int, "'x'"),
            (FieldType::Int, "1.5"),
            (FieldType::Text, "'open"),
            (FieldType::Text, "('open'"),
            (FieldType::Bytes, "x'0'"),
            (FieldType::Date, "('now'::text)::date"),
        ];
        for (kind, sql) in cases {
            assert_eq!(read(kind, sql), None, "{sql}");
        }
    }
}
