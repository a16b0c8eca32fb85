//! What is left of the arguments of a read when its values are taken out.
//!
//! Invariant: arguments with equal keys differ in nothing but their values, which have the same types in the same order.
//! The key says everything else: the verb, each argument, path and operator, where null stands, true or false. Whatever
//! else a query may have makes no shape: it is compiled anew each time.

use super::Verb;
use crate::value::{Date, DateTime, Map, ObjectId, Time, Uuid, Value};

/// Longer keys are of queries that are made by programs, hardly twice.
const MAX_KEY: usize = 2048;

/// The key of a read, and its values.
pub(super) struct Shape<'a> {
    pub(super) key: Vec<u8>,
    pub(super) values: Vec<&'a Value>,
}

impl<'a> Shape<'a> {
    /// `None` for what is no shape.
    pub(super) fn of(verb: Verb, arguments: &'a Map) -> Option<Self> {
        let mut shape = Self { key: Vec::with_capacity(128), values: Vec::with_capacity(8) };
        shape.key.push(verb as u8);
        for (name, value) in arguments {
            shape.argument(name, value)?;
        }
        Some(shape)
    }

    fn argument(&mut self, name: &str, value: &'a Value) -> Option<()> {
        match (name, value) {
            ("filter", Value::Map(filter)) => {
                self.key.push(b'f');
                self.filter(filter)
            }
            ("sort", text @ Value::Text(_)) => self.texts(b's', std::slice::from_ref(text)),
            ("sort", Value::List(parts)) => self.texts(b's', parts),
            ("fields", Value::List(names)) => self.texts(b'c', names),
            ("limit", Value::Int(0..)) => self.slot(b'l', value),
            ("skip", Value::Int(1..)) => self.slot(b'k', value),
            ("deleted", Value::Bool(flag)) => {
                self.key.extend([b'd', u8::from(*flag)]);
                Some(())
            }
            _ => None,
        }
    }

    fn filter(&mut self, filter: &'a Map) -> Option<()> {
        self.count(filter.len())?;
        for (path, condition) in filter {
            self.text(path)?;
            match condition {
                Value::List(parts) if matches!(path.as_str(), "$and" | "$or" | "$nor") => {
                    self.key.push(b'[');
                    self.count(parts.len())?;
                    parts.iter().try_for_each(|part| self.filter(part.as_map()?))?;
                }
                _ if path.starts_with('$') => return None,
                Value::Map(tests) => self.tests(tests)?,
                value => self.operand(b'=', value)?,
            }
        }
        Some(())
    }

    fn tests(&mut self, tests: &'a Map) -> Option<()> {
        self.key.push(b'{');
        self.count(tests.len())?;
        for (operator, operand) in tests {
            self.text(operator)?;
            match (operator.as_str(), operand) {
                ("$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte", operand) => self.operand(b'o', operand)?,
                ("$in" | "$nin", Value::List(items)) => {
                    let kind = tag(items.first()?)?;
                    if !items.iter().all(|item| tag(item) == Some(kind)) {
                        return None;
                    }
                    self.key.push(b'i');
                    self.slot(kind, operand)?;
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn operand(&mut self, before: u8, value: &'a Value) -> Option<()> {
        self.key.push(before);
        match value {
            Value::Null => self.key.push(b'0'),
            // With two values only there is no other one to try a plan with.
            Value::Bool(truth) => self.key.push(if *truth { b'T' } else { b'F' }),
            value => self.slot(tag(value)?, value)?,
        }
        Some(())
    }

    fn slot(&mut self, tag: u8, value: &'a Value) -> Option<()> {
        self.key.push(tag);
        self.values.push(value);
        (self.key.len() <= MAX_KEY).then_some(())
    }

    fn texts(&mut self, tag: u8, parts: &[Value]) -> Option<()> {
        self.key.push(tag);
        self.count(parts.len())?;
        parts.iter().try_for_each(|part| self.text(part.as_text()?))
    }

    fn text(&mut self, text: &str) -> Option<()> {
        self.count(text.len())?;
        self.key.extend_from_slice(text.as_bytes());
        Some(())
    }

    /// What follows has this length, so that no two shapes have one key.
    fn count(&mut self, count: usize) -> Option<()> {
        self.key.extend(u16::try_from(count).ok()?.to_le_bytes());
        (self.key.len() + count <= MAX_KEY).then_some(())
    }
}

/// The types whose values go into statements as they are; `None` for others and for values that are refused or changed on
/// their way.
fn tag(value: &Value) -> Option<u8> {
    Some(match value {
        Value::Int(_) => b'1',
        Value::Float(number) if number.is_finite() && !(*number == 0.0 && number.is_sign_negative()) => b'2',
        Value::Text(text) if !text.as_bytes().contains(&0) => b'3',
        Value::Uuid(_) => b'4',
        Value::ObjectId(_) => b'5',
        Value::DateTime(_) => b'6',
        Value::Date(_) => b'7',
        Value::Time(_) => b'8',
        _ => return None,
    })
}

/// Arguments of the same shape whose values are all different from each other, and lists longer by one; to be used only
/// where there is a shape.
pub(super) fn with_other_values(arguments: &Map) -> Map {
    let mut other = arguments.clone();
    let mut number = 0;
    for name in ["filter", "limit", "skip"] {
        if let Some(value) = other.get_mut(name) {
            change(value, &mut number);
        }
    }
    other
}

fn change(value: &mut Value, number: &mut u32) {
    match value {
        Value::Map(map) => map.values_mut().for_each(|inner| change(inner, number)),
        Value::List(items) => {
            if let Some(scalar) = items.last().filter(|item| !matches!(item, Value::Map(_))).cloned() {
                items.push(scalar);
            }
            for inner in items {
                change(inner, number);
            }
        }
        scalar => {
            *number += 1;
            if let Some(other) = example(scalar, *number) {
                *scalar = other;
            }
        }
    }
}

/// A value of the same type, another one for each number.
fn example(like: &Value, number: u32) -> Option<Value> {
    let moment =
        DateTime::from_micros((1_000_000_000_000_001 + 86_400_000_001 * i64::from(number)) % (1 << 57)).ok()?;
    Some(match like {
        Value::Int(_) => Value::Int(1_000_003 + i64::from(number)),
        Value::Float(_) => Value::Float(0.5 + f64::from(number)),
        Value::Text(_) => Value::Text(format!("another {number}")),
        Value::Uuid(_) => Uuid::from_u128(u128::from(number)).into(),
        Value::ObjectId(_) => {
            let mut bytes = [7; 12];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            ObjectId(bytes).into()
        }
        Value::DateTime(_) => moment.into(),
        Value::Date(_) => Date::into(moment.date()),
        Value::Time(_) => Time::into(moment.time()),
        _ => return None,
    })
}
