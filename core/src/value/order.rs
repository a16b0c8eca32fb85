//! The one order and equality of the query language: MongoDB's canonical BSON comparison, proved against mongod.
//!
//! Types come first (null, numbers, text, map, list, bytes, object id, bool, datetime), values second. Numbers of
//! different types compare by their exact mathematical value. Dates and times of day compare as their text.
//! Source: MongoDB manual, "Comparison/Sort Order".

use std::cmp::Ordering;

use bigdecimal::BigDecimal;

use super::{Map, Value};

/// The place of a value's type in the order; comparisons such as `$gt` stay within one rank.
pub fn type_rank(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => 2,
        Value::Text(_) | Value::Date(_) | Value::Time(_) => 3,
        Value::Map(_) => 4,
        Value::List(_) => 5,
        Value::Bytes(_) | Value::Uuid(_) => 6,
        Value::ObjectId(_) => 7,
        Value::Bool(_) => 8,
        Value::DateTime(_) => 9,
    }
}

/// Orders any two values.
pub fn canonical_order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::DateTime(a), Value::DateTime(b)) => a.cmp(b),
        (Value::ObjectId(a), Value::ObjectId(b)) => a.cmp(b),
        (Value::Map(a), Value::Map(b)) => order_maps(a, b),
        (Value::List(a), Value::List(b)) => order_lists(a, b),
        _ => type_rank(left).cmp(&type_rank(right)).then_with(|| order_mixed(left, right)),
    }
}

/// Equality as the query language means it: `1`, `1.0` and decimal `1.00` are equal, maps compare in order.
pub fn canonical_equal(left: &Value, right: &Value) -> bool {
    canonical_order(left, right) == Ordering::Equal
}

/// Values of one rank and different types, or of a rank with several types.
fn order_mixed(left: &Value, right: &Value) -> Ordering {
    match type_rank(left) {
        2 => order_numbers(left, right),
        3 => as_sortable_text(left).cmp(&as_sortable_text(right)),
        // BinData compares by length, then subtype (0 for bytes, 4 for uuid), then content.
        6 => as_binary(left).cmp(&as_binary(right)),
        _ => Ordering::Equal,
    }
}

fn as_sortable_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Date(date) => date.to_string(),
        Value::Time(time) => time.to_string(),
        _ => String::new(),
    }
}

fn as_binary(value: &Value) -> (usize, u8, &[u8]) {
    match value {
        Value::Bytes(bytes) => (bytes.len(), 0, bytes),
        Value::Uuid(uuid) => (16, 4, uuid.as_bytes()),
        _ => (0, 0, &[]),
    }
}

fn order_numbers(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Float(a), Value::Float(b)) => order_floats(*a, *b),
        (Value::Int(a), Value::Float(b)) => order_int_float(*a, *b),
        (Value::Float(a), Value::Int(b)) => order_int_float(*b, *a).reverse(),
        (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
        (Value::Decimal(a), Value::Int(b)) => a.cmp(&BigDecimal::from(*b)),
        (Value::Int(a), Value::Decimal(b)) => BigDecimal::from(*a).cmp(b),
        (Value::Decimal(a), Value::Float(b)) => order_decimal_float(a, *b),
        (Value::Float(a), Value::Decimal(b)) => order_decimal_float(b, *a).reverse(),
        _ => Ordering::Equal,
    }
}

/// NaN equals itself and is smaller than every other number, as in MongoDB.
fn order_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

fn order_int_float(int: i64, float: f64) -> Ordering {
    // 2^63 is exact as a float; every float in [-2^63, 2^63) truncates to an i64 exactly.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return Ordering::Greater;
    }
    if float >= LIMIT {
        return Ordering::Less;
    }
    if float < -LIMIT {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    int.cmp(&(whole as i64)).then_with(|| 0.0.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal))
}

fn order_decimal_float(decimal: &BigDecimal, float: f64) -> Ordering {
    match BigDecimal::try_from(float) {
        Ok(exact) => decimal.cmp(&exact),
        Err(_) if float == f64::INFINITY => Ordering::Less,
        Err(_) => Ordering::Greater,
    }
}

/// Field by field: type of the value, then name, then value; the shorter map is smaller.
fn order_maps(left: &Map, right: &Map) -> Ordering {
    for ((left_name, left_value), (right_name, right_value)) in left.iter().zip(right) {
        let order = type_rank(left_value)
            .cmp(&type_rank(right_value))
            .then_with(|| left_name.as_bytes().cmp(right_name.as_bytes()))
            .then_with(|| canonical_order(left_value, right_value));
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

fn order_lists(left: &[Value], right: &[Value]) -> Ordering {
    let unequal = left.iter().zip(right).map(|(a, b)| canonical_order(a, b)).find(|order| *order != Ordering::Equal);
    unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::parse_decimal;

    #[test]
    fn numbers_compare_by_exact_value_across_types() {
        let nine = 9_007_199_254_740_993_i64;
        assert_eq!(canonical_order(&Value::Int(nine), &Value::Float(9_007_199_254_740_992.0)), Ordering::Greater);
        assert!(canonical_equal(&Value::Int(1), &Value::Decimal(parse_decimal("1.00").unwrap())));
        assert_eq!(canonical_order(&Value::Decimal(parse_decimal("0.1").unwrap()), &Value::Float(0.1)), Ordering::Less);
        assert_eq!(canonical_order(&Value::Int(i64::MAX), &Value::Float(9.3e18)), Ordering::Less);
        assert_eq!(canonical_order(&Value::Int(-5), &Value::Float(-5.5)), Ordering::Greater);
        assert_eq!(canonical_order(&Value::Float(f64::NAN), &Value::Int(i64::MIN)), Ordering::Less);
    }

    #[test]
    fn types_come_first() {
        let ascending = [
            Value::Null,
            Value::Int(1),
            Value::from("a"),
            Value::Map(Map::new()),
            Value::List(vec![]),
            Value::Bytes(vec![1]),
            Value::ObjectId(crate::value::ObjectId([0; 12])),
            Value::Bool(false),
            Value::DateTime(crate::value::DateTime::now()),
        ];
        assert!(ascending.windows(2).all(|pair| canonical_order(&pair[0], &pair[1]) == Ordering::Less));
    }
}
