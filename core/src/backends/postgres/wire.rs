//! Values in PostgreSQL's binary format, both ways (the types' `_send` and `_recv` functions in its source).

use sqlx_core::encode::{Encode, IsNull};
use sqlx_core::error::BoxDynError;
use sqlx_core::types::Type;
use sqlx_postgres::types::Oid;
use sqlx_postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};

use crate::error::{Error, Result};
use crate::value::{BigDecimal, Value};

/// Microseconds from 1970 to 2000, the zero of `timestamptz`.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000, the zero of `date`.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The most digits behind the point that `numeric` keeps.
const MAX_SCALE: i64 = 16_383;

/// A parameter whose type the statement's text says, so that the server is told none.
pub(super) struct Parameter<'a>(pub(super) &'a Value);

impl Type<Postgres> for Parameter<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }

    fn compatible(_: &PgTypeInfo) -> bool {
        true
    }
}

impl Encode<'_, Postgres> for Parameter<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        write(self.0, buffer)?;
        Ok(IsNull::No)
    }
}

/// Appends a value that is not null.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Bool(truth) => out.push(u8::from(*truth)),
        Value::Int(number) => out.extend_from_slice(&number.to_be_bytes()),
        // Zero has one sign everywhere; it is given up here, where it can be seen.
        Value::Float(number) => out.extend_from_slice(&(*number + 0.0).to_be_bytes()),
        Value::Decimal(number) => write_numeric(number, out)?,
        Value::Text(text) if text.contains('\0') => {
            return Err(Error::invalid_value("postgres holds no text with a NUL character"));
        }
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Uuid(uuid) => out.extend_from_slice(uuid.as_bytes()),
        Value::ObjectId(id) => out.extend_from_slice(id.to_string().as_bytes()),
        Value::DateTime(moment) => out.extend_from_slice(&(moment.micros() - EPOCH_MICROS).to_be_bytes()),
        Value::Date(date) => out.extend_from_slice(&(date.days() - EPOCH_DAYS).to_be_bytes()),
        Value::Time(time) => out.extend_from_slice(&time.micros().to_be_bytes()),
        Value::List(items) => write_array(items, out)?,
        Value::Null | Value::Map(_) => return Err(Error::internal("a value without a binary form")),
    }
    Ok(())
}

/// The type of array elements (`pg_type.dat`).
fn element_type(value: &Value) -> u32 {
    match value {
        Value::Bool(_) => 16,
        Value::Bytes(_) => 17,
        Value::Int(_) => 20,
        Value::Float(_) => 701,
        Value::Date(_) => 1082,
        Value::Time(_) => 1083,
        Value::DateTime(_) => 1184,
        Value::Decimal(_) => 1700,
        Value::Uuid(_) => 2950,
        _ => 25,
    }
}

/// One dimension of values of one type, not empty and without null.
fn write_array(items: &[Value], out: &mut Vec<u8>) -> Result<()> {
    let kind = items.first().map_or(25, element_type);
    let count = i32::try_from(items.len()).map_err(|_| Error::invalid_value("a list of too many values"))?;
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    items.iter().try_for_each(|item| write_sized(item, out))
}

/// Appends a value behind its length; null is the length -1.
pub(super) fn write_sized(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    if value.is_null() {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    sized(out, |out| write(value, out))
}

/// Puts the length of what `content` appends before it.
pub(super) fn sized(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    content(out)?;
    let length = i32::try_from(out.len() - start - 4).map_err(|_| Error::invalid_value("a value of 2 GiB or more"))?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Digits in groups of four, aligned at the point.
fn write_numeric(number: &BigDecimal, out: &mut Vec<u8>) -> Result<()> {
    let (digits, scale) = number.as_bigint_and_exponent();
    if scale > MAX_SCALE {
        return Err(Error::invalid_value("postgres keeps up to 16383 digits behind the point"));
    }
    let (negative, mut text) = match digits.to_string() {
        text if text.starts_with('-') => (true, text[1..].to_owned()),
        text => (false, text),
    };
    let places = usize::try_from(scale).unwrap_or(0);
    let zeros = usize::try_from(-scale).unwrap_or(0);
    text.extend(std::iter::repeat_n('0', zeros));
    let whole = text.len().saturating_sub(places);
    // At least one digit before the point, in full groups on both sides of it.
    let missing = places.saturating_sub(text.len());
    let before = (4 - whole % 4) % 4;
    let after = (4 - places % 4) % 4;
    let padded = format!("{}{}{text}{}", "0".repeat(before), "0".repeat(missing), "0".repeat(after));
    let group = |chunk: &[u8]| chunk.iter().fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0'));
    let groups: Vec<i16> = padded.as_bytes().chunks(4).map(group).collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|group| **group == 0).count();
    let kept = &groups[leading..groups.len() - trailing];
    let weight = (whole + before) as i64 / 4 - 1 - leading as i64;
    out.extend_from_slice(&(kept.len() as u16).to_be_bytes());
    out.extend_from_slice(&(if kept.is_empty() { 0 } else { weight as i16 }).to_be_bytes());
    out.extend_from_slice(&(if negative && !kept.is_empty() { 0x4000_u16 } else { 0 }).to_be_bytes());
    out.extend_from_slice(&(places as u16).to_be_bytes());
    for group in kept {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Ok(())
}

/// The text of a `numeric`, as [`crate::value::format_decimal`] writes it; `None` for NaN, infinities and broken bytes.
pub(super) fn numeric_text(bytes: &[u8]) -> Option<String> {
    let word = |index: usize| bytes.get(index * 2..index * 2 + 2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, scale) = (word(0)?, i32::from(word(1)?), word(2)?, i32::from(word(3)?));
    let negative = match sign {
        0 => false,
        0x4000 => true,
        _ => return None,
    };
    let group = |position: i32| {
        let index = weight - position;
        if (0..i32::from(count)).contains(&index) { word(4 + index as usize) } else { Some(0) }
    };
    let mut digits = String::new();
    for position in (0..=weight.max(0)).rev() {
        digits += &format!("{:04}", group(position)?);
    }
    let mut fraction = String::new();
    for position in 1..=(scale + 3) / 4 {
        fraction += &format!("{:04}", group(-position)?);
    }
    fraction.truncate(scale as usize);
    let whole = digits.trim_start_matches('0');
    let sign = if negative { "-" } else { "" };
    Some(if scale == 0 {
        format!("{sign}{}", if whole.is_empty() { "0" } else { whole })
    } else if scale <= 40 {
        format!("{sign}{}.{fraction}", if whole.is_empty() { "0" } else { whole })
    } else {
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        format!("{sign}{}E-{scale}", if digits.is_empty() { "0" } else { digits })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{format_decimal, parse_decimal};

    #[test]
    fn a_numeric_comes_back_with_its_scale() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "12345678",
            "0.1",
            "-0.0001",
            "0.00010",
            "1.10",
            "99999999.99999999",
            "1234567890123456789012345678901234",
            "-0.1234567890123456789012345678901234",
            "1E-50",
            "123E-6144",
            "100000000",
            "0.000000000000000000000000000000000000000001",
        ] {
            let number = parse_decimal(text).unwrap();
            let mut bytes = Vec::new();
            write_numeric(&number, &mut bytes).unwrap();
            assert_eq!(numeric_text(&bytes).unwrap(), format_decimal(&number), "{text}");
        }
    }

    #[test]
    fn exponents_are_written_out() {
        let number = parse_decimal("12E+5").unwrap();
        let mut bytes = Vec::new();
        write_numeric(&number, &mut bytes).unwrap();
        assert_eq!(numeric_text(&bytes).unwrap(), "1200000");
    }
}
