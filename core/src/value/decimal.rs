//! Decimal numbers as text: the bounds of IEEE 754 decimal128, which MongoDB and every SQL `numeric` can hold.

use bigdecimal::BigDecimal;

use crate::error::{Error, Result};

/// Significant digits of a decimal, as in decimal128.
pub const MAX_DIGITS: u64 = 34;
/// The largest distance of the point from the digits, as in decimal128.
const MAX_EXPONENT: i64 = 6144;

/// Reads a finite decimal number, keeping its scale (`1.10` has two decimal places).
pub fn parse_decimal(text: &str) -> Result<BigDecimal> {
    let wrong = || Error::invalid_value(format!("expected a decimal number, got {text:?}"));
    // Checked before parsing: an exponent of a billion must not allocate a billion digits.
    if text.len() > 8192 || !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return Err(wrong());
    }
    if let Some((_, exponent)) = text.split_once(['e', 'E']) {
        let exponent: i64 = exponent.parse().map_err(|_| wrong())?;
        if exponent.abs() > MAX_EXPONENT {
            return Err(out_of_range(text));
        }
    }
    let number: BigDecimal = text.parse().map_err(|_| wrong())?;
    if number.digits() > MAX_DIGITS || number.fractional_digit_count().abs() > MAX_EXPONENT {
        return Err(out_of_range(text));
    }
    Ok(number)
}

fn out_of_range(text: &str) -> Error {
    let shown: String = text.chars().take(60).collect();
    Error::invalid_value(format!("a decimal holds up to {MAX_DIGITS} significant digits, got {shown:?}"))
}

/// The text of a decimal: plain where it is short, with an exponent where it would be long; the scale is kept.
pub fn format_decimal(number: &BigDecimal) -> String {
    let scale = number.fractional_digit_count();
    if (0..=40).contains(&scale) {
        return number.to_plain_string();
    }
    let (digits, scale) = number.as_bigint_and_exponent();
    format!("{digits}E{:+}", -scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_kept() {
        for text in ["1.10", "0.00", "-12.5", "1E+50", "123456789012345678901234567890.1234"] {
            assert_eq!(format_decimal(&parse_decimal(text).unwrap()), text);
        }
    }

    #[test]
    fn what_decimal128_cannot_hold_is_refused() {
        for text in ["12345678901234567890123456789012345", "1e999999999", "NaN", "Infinity", "", "1_0", "--1"] {
            assert!(parse_decimal(text).is_err(), "{text}");
        }
    }
}
