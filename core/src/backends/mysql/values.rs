//! Values in the binary protocol, both ways (MySQL documentation, "Binary Protocol Value").

use sqlx_core::encode::{Encode, IsNull};
use sqlx_core::error::BoxDynError;
use sqlx_core::types::Type;
use sqlx_mysql::{MySql, MySqlTypeInfo};

use crate::backends::sql::plain_text;
use crate::error::{Error, Result};
use crate::value::{BigDecimal, Date, DateTime, MAX_DIGITS, Time, Value};

/// Digits behind the point of a decimal column: `DECIMAL(65,30)`.
const SCALE: i64 = 30;

/// A parameter.
pub(super) struct Parameter<'a>(pub(super) &'a Value);

impl Type<MySql> for Parameter<'_> {
    fn type_info() -> MySqlTypeInfo {
        <str as Type<MySql>>::type_info()
    }

    fn compatible(_: &MySqlTypeInfo) -> bool {
        true
    }
}

impl Encode<'_, MySql> for Parameter<'_> {
    fn encode_by_ref(&self, buffer: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        fn put<'a, T: Encode<'a, MySql>>(value: T, buffer: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
            value.encode(buffer)
        }
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Bool(truth) => put(i64::from(*truth), buffer),
            Value::Int(number) => put(*number, buffer),
            // Zero has one sign everywhere; it is given up here, where it can be seen.
            Value::Float(number) => put(*number + 0.0, buffer),
            Value::Bytes(bytes) => put(bytes.as_slice(), buffer),
            Value::Uuid(uuid) => put(uuid.as_bytes().as_slice(), buffer),
            Value::ObjectId(id) => put(id.0.as_slice(), buffer),
            Value::Text(text) => put(text.as_str(), buffer),
            other => put(server_text(other), buffer),
        }
    }

    fn produces(&self) -> Option<MySqlTypeInfo> {
        Some(match self.0 {
            Value::Bool(_) | Value::Int(_) => <i64 as Type<MySql>>::type_info(),
            Value::Float(_) => <f64 as Type<MySql>>::type_info(),
            Value::Bytes(_) | Value::Uuid(_) | Value::ObjectId(_) => <[u8] as Type<MySql>>::type_info(),
            _ => <str as Type<MySql>>::type_info(),
        })
    }
}

/// About how many bytes a value takes as a parameter.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 9,
        Value::Bytes(bytes) => bytes.len() + 9,
        _ => 48,
    }
}

/// The text that the server reads as this value.
pub(super) fn server_text(value: &Value) -> String {
    match value {
        Value::DateTime(moment) => format!("{} {}", moment.date(), moment.time()),
        other => plain_text(other),
    }
}

/// The number as a decimal column gives it back: without zeros at its end.
pub(super) fn stored_decimal(number: &BigDecimal) -> Result<BigDecimal> {
    let plain = trimmed(number);
    let scale = plain.fractional_digit_count();
    if !(0..=SCALE).contains(&scale) || plain.digits() > MAX_DIGITS {
        return Err(Error::invalid_value(format!(
            "mysql writes every digit: up to {MAX_DIGITS} of them, up to {SCALE} behind the point"
        )));
    }
    Ok(plain)
}

/// Without zeros behind the point, and without a positive exponent.
fn trimmed(number: &BigDecimal) -> BigDecimal {
    let plain = number.normalized();
    // A scale below zero is an exponent; 60 digits are beyond what will be kept, so nothing larger need be written out.
    if (-60..0).contains(&plain.fractional_digit_count()) { plain.with_scale(0) } else { plain }
}

/// The text of a `DECIMAL` without zeros at its end.
pub(super) fn decimal_text(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A `DATE`, behind its length.
pub(super) fn date(bytes: &[u8]) -> Option<Date> {
    let year = i32::try_from(u16_at(bytes, 1)?).ok()?;
    Date::from_civil(year, u32::from(*bytes.get(3)?), u32::from(*bytes.get(4)?)).ok()
}

/// A `DATETIME`, behind its length, which leaves out what is zero at its end.
pub(super) fn date_time(bytes: &[u8]) -> Option<DateTime> {
    let clock = |at: usize| u32::from(bytes.get(at).copied().unwrap_or(0));
    let micro = if bytes.len() >= 12 { u32_at(bytes, 8)? } else { 0 };
    Some(DateTime::from_parts(date(bytes)?, Time::from_clock(clock(5), clock(6), clock(7), micro).ok()?))
}

/// A `TIME`, behind its length; `None` where it is no time of day.
pub(super) fn time(bytes: &[u8]) -> Option<Time> {
    if *bytes.first()? == 0 {
        return Time::from_clock(0, 0, 0, 0).ok();
    }
    let (negative, days) = (*bytes.get(1)? != 0, u32_at(bytes, 2)?);
    let clock = |at: usize| bytes.get(at).copied().map(u32::from);
    let micro = if bytes.len() >= 13 { u32_at(bytes, 9)? } else { 0 };
    if negative || days > 0 {
        return None;
    }
    Time::from_clock(clock(6)?, clock(7)?, clock(8)?, micro).ok()
}

/// A `DATETIME`, `DATE` or `TIME` of the text protocol as the binary one has it; `None` for what is no time of day.
pub(super) fn binary_moment(text: &str) -> Option<Vec<u8>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let micro: u32 = format!("{fraction:0<6}").parse().ok()?;
    let mut binary = match whole.split_once('-') {
        Some((year, _)) => [&[11], year.parse::<u16>().ok()?.to_le_bytes().as_slice()].concat(),
        None => vec![12, 0, 0, 0, 0, 0],
    };
    let parts = whole.split(['-', ' ', ':']).skip(usize::from(binary.len() == 3));
    for part in parts {
        binary.push(part.parse().ok()?);
    }
    binary.extend(micro.to_le_bytes());
    Some(binary)
}

/// An integer of any size, its sign as its type says; `None` beyond 64 bits with a sign.
pub(super) fn integer(bytes: &[u8], unsigned: bool) -> Option<i64> {
    Some(match (bytes.len(), unsigned) {
        (8, true) => i64::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()?,
        (8, false) => i64::from_le_bytes(bytes.try_into().ok()?),
        (4, true) => i64::from(u32::from_le_bytes(bytes.try_into().ok()?)),
        (4, false) => i64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        (2, true) => i64::from(u16::from_le_bytes(bytes.try_into().ok()?)),
        (2, false) => i64::from(i16::from_le_bytes(bytes.try_into().ok()?)),
        (1, true) => i64::from(bytes[0]),
        (1, false) => i64::from(i8::from_le_bytes(bytes.try_into().ok()?)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{format_decimal, parse_decimal};

    #[test]
    fn moments_are_the_same_in_both_protocols() {
        let binary = |text| binary_moment(text).unwrap();
        for text in ["2024-01-31 12:00:07.000001", "0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999"] {
            let expected = format!("{}Z", text.replace(' ', "T")).parse().ok();
            assert_eq!(date_time(&binary(text)), expected, "{text}");
        }
        assert_eq!(date_time(&binary("2024-01-31 12:00:07.25")), "2024-01-31T12:00:07.250000Z".parse().ok());
        assert_eq!(date_time(&binary("2024-01-31 12:00:07")), "2024-01-31T12:00:07Z".parse().ok());
        assert_eq!(date(&binary("2024-02-29")), "2024-02-29".parse().ok());
        assert_eq!(time(&binary("23:59:59.5")), "23:59:59.500000".parse().ok());
        assert_eq!([date(&binary("0000-00-00")), date(&binary("2023-02-29"))], [None, None]);
        assert_eq!(time(&binary("24:00:00")), None);
        for text in ["", "x", "-10:00:00", "838:59:59", "2024-01-31 12:00:07.x"] {
            assert_eq!(binary_moment(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_lose_their_zeros_or_are_refused() {
        let stored = |text| stored_decimal(&parse_decimal(text).unwrap()).map(|number| format_decimal(&number));
        for (text, expected) in [("1.10", "1.1"), ("1E+2", "100"), ("100", "100"), ("-0.00", "0"), ("1E-30", "1E-30")] {
            let expected = format_decimal(&parse_decimal(expected).unwrap());
            assert_eq!(stored(text).unwrap(), expected, "{text}");
        }
        for text in ["1E-31", "1E+36", "1E+100"] {
            assert!(stored(text).is_err(), "{text}");
        }
        assert_eq!([decimal_text("1.100"), decimal_text("100"), decimal_text("0.000")], ["1.1", "100", "0"]);
    }
}
