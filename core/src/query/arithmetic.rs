//! `$inc` and `$mul`: exact or refused.
//!
//! Invariant: ints never wrap, decimals are never rounded, nothing becomes NaN. Not for: deciding which operand a field
//! takes (`parse_update`). Source: MongoDB manual, "$inc", "$mul".

use std::mem::discriminant;

use crate::error::{Error, Result};
use crate::value::{BigDecimal, MAX_DIGITS, Value, canonical_equal, format_decimal};

/// What is computed.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    Add,
    Multiply,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "$inc",
            Self::Multiply => "$mul",
        }
    }
}

/// `left` and `right` are numbers, or the update is refused. As in mongod a result that is equal and of the same type
/// changes nothing: `1.1` plus `0.00` stays `1.1`.
pub(super) fn compute(operation: Operation, left: &Value, right: &Value) -> Result<Value> {
    let result = computed(operation, left, right)?;
    let stays = discriminant(&result) == discriminant(left) && canonical_equal(&result, left);
    Ok(if stays { left.clone() } else { result })
}

fn computed(operation: Operation, left: &Value, right: &Value) -> Result<Value> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => ints(operation, *left, *right),
        (Value::Float(left), Value::Float(right)) => floats(operation, *left, *right),
        (Value::Float(left), Value::Int(right)) => floats(operation, *left, *right as f64),
        (Value::Int(left), Value::Float(right)) => floats(operation, *left as f64, *right),
        (Value::Decimal(left), Value::Decimal(right)) => decimals(operation, left, right),
        (Value::Decimal(left), Value::Int(right)) => decimals(operation, left, &BigDecimal::from(*right)),
        (Value::Int(left), Value::Decimal(right)) => decimals(operation, &BigDecimal::from(*left), right),
        (Value::Float(_), Value::Decimal(_)) | (Value::Decimal(_), Value::Float(_)) => {
            Err(refused(operation, "a float and a decimal have no exact result"))
        }
        (other, _) => {
            let message = format!("cannot apply {} to a value of type {}", operation.name(), other.type_name());
            Err(Error::invalid_value(message).with("expected", "a number").with("got", other.type_name()))
        }
    }
}

/// The sum of two numbers.
pub(crate) fn plus(left: &Value, right: &Value) -> Result<Value> {
    compute(Operation::Add, left, right)
}

fn refused(operation: Operation, why: &str) -> Error {
    Error::invalid_value(format!("{} was refused: {why}", operation.name())).with("operator", operation.name())
}

fn ints(operation: Operation, left: i64, right: i64) -> Result<Value> {
    let result = match operation {
        Operation::Add => left.checked_add(right),
        Operation::Multiply => left.checked_mul(right),
    };
    result.map(Value::Int).ok_or_else(|| refused(operation, &format!("{left} and {right} exceed 64 bits")))
}

fn floats(operation: Operation, left: f64, right: f64) -> Result<Value> {
    let result = match operation {
        Operation::Add => left + right,
        Operation::Multiply => left * right,
    };
    if result.is_nan() { Err(refused(operation, "the result is not a number")) } else { Ok(Value::Float(result)) }
}

/// Computed on the digits, because the scale counts: an int times `1.00` has it.
fn decimals(operation: Operation, left: &BigDecimal, right: &BigDecimal) -> Result<Value> {
    let scale = left.fractional_digit_count().max(right.fractional_digit_count());
    let apart = left.fractional_digit_count().abs_diff(right.fractional_digit_count());
    let result = match operation {
        // Numbers far apart would be written out in full when they are added.
        Operation::Add if apart > 4 * MAX_DIGITS => None,
        Operation::Add => {
            let (left, right) = (left.with_scale(scale), right.with_scale(scale));
            Some(BigDecimal::new(left.as_bigint_and_exponent().0 + right.as_bigint_and_exponent().0, scale))
        }
        Operation::Multiply => {
            let ((left, one), (right, other)) = (left.as_bigint_and_exponent(), right.as_bigint_and_exponent());
            Some(BigDecimal::new(left * right, one + other))
        }
    };
    let held = result.and_then(fitted).map(Value::Decimal);
    held.ok_or_else(|| {
        let message =
            format!("{} and {} need more than {MAX_DIGITS} digits", format_decimal(left), format_decimal(right));
        refused(operation, &message)
    })
}

/// The number with as many zeros at its end as a decimal holds; `None` where digits would be lost.
fn fitted(number: BigDecimal) -> Option<BigDecimal> {
    let scale = number.fractional_digit_count();
    let fitted = match number.digits().checked_sub(MAX_DIGITS) {
        None | Some(0) => number,
        Some(_) if number.normalized().digits() > MAX_DIGITS => return None,
        Some(excess) => number.with_scale(scale - excess as i64),
    };
    (fitted.fractional_digit_count().abs() <= 6144).then_some(fitted)
}
