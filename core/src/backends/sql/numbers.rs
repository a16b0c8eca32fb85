//! Numbers of one type against a column of another. Databases round one of the two; here the question is put so that both
//! sides are of the column's type and the answer is exact.

use crate::query::Comparison;
use crate::value::{BigDecimal, Value};

/// A comparison with a number, said in the column's own type.
pub(super) enum Question {
    /// Compare with this.
    Compare(Comparison, Value),
    /// True for every number.
    Always,
    /// True for none.
    Never,
}

use Comparison::{Eq, Gt, Gte, Lt, Lte};

/// `column (of ints) comparison number`.
pub(super) fn of_int(comparison: Comparison, number: f64) -> Question {
    let below = number.floor();
    // 2^63 is the first float beyond the largest int; -2^63 is an int itself.
    if below >= 9_223_372_036_854_775_808.0 {
        return if matches!(comparison, Lt | Lte) { Question::Always } else { Question::Never };
    }
    if below < -9_223_372_036_854_775_808.0 {
        return if matches!(comparison, Gt | Gte) { Question::Always } else { Question::Never };
    }
    let whole = Value::Int(below as i64);
    match comparison {
        _ if number.fract() == 0.0 => Question::Compare(comparison, whole),
        Eq => Question::Never,
        Gt | Gte => Question::Compare(Gt, whole),
        Lt | Lte => Question::Compare(Lte, whole),
    }
}

/// `column (of floats) comparison number`.
pub(super) fn of_float(comparison: Comparison, number: i64) -> Question {
    let near = number as f64;
    let (rounded, exact) = (near as i128, i128::from(number));
    let comparison = match comparison {
        comparison if rounded == exact => comparison,
        Eq => return Question::Never,
        // The nearest float lies on one side, and no float lies between it and the number.
        Gt | Gte => {
            if rounded > exact {
                Gte
            } else {
                Gt
            }
        }
        Lt | Lte => {
            if rounded > exact {
                Lt
            } else {
                Lte
            }
        }
    };
    Question::Compare(comparison, Value::Float(near))
}

/// `column (of decimals) comparison number`.
pub(super) fn of_decimal(comparison: Comparison, number: i64) -> Question {
    Question::Compare(comparison, Value::Decimal(BigDecimal::from(number)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::canonical_order;

    const ALL: [Comparison; 5] = [Eq, Gt, Gte, Lt, Lte];

    fn holds(comparison: Comparison, left: &Value, right: &Value) -> bool {
        let order = canonical_order(left, right);
        match comparison {
            Eq => order.is_eq(),
            Gt => order.is_gt(),
            Gte => order.is_ge(),
            Lt => order.is_lt(),
            Lte => order.is_le(),
        }
    }

    fn answer(question: &Question, column: &Value) -> bool {
        match question {
            Question::Always => true,
            Question::Never => false,
            Question::Compare(comparison, value) => {
                assert_eq!(column.type_name(), value.type_name());
                holds(*comparison, column, value)
            }
        }
    }

    fn int() -> impl Strategy<Value = i64> {
        let edge = prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(1 << 53), Just(0)];
        prop_oneof![any::<i64>(), (edge, -3_i64..4).prop_map(|(edge, step)| edge.saturating_add(step))]
    }

    fn float() -> impl Strategy<Value = f64> {
        let special =
            prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(0.5), Just(-0.5), Just(2f64.powi(63))];
        prop_oneof![
            any::<f64>().prop_filter("a number", |number| !number.is_nan()),
            special,
            int().prop_map(|i| i as f64)
        ]
    }

    proptest! {
        #[test]
        fn an_int_column_is_compared_exactly(column in int(), number in float()) {
            for comparison in ALL {
                let expected = holds(comparison, &Value::Int(column), &Value::Float(number));
                prop_assert_eq!(answer(&of_int(comparison, number), &Value::Int(column)), expected);
            }
        }

        #[test]
        fn a_float_column_is_compared_exactly(column in float(), number in int()) {
            for comparison in ALL {
                let expected = holds(comparison, &Value::Float(column), &Value::Int(number));
                prop_assert_eq!(answer(&of_float(comparison, number), &Value::Float(column)), expected);
            }
        }
    }
}
