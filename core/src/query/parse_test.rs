//! The operators on a path, such as `{"$gte": 4}`.
//!
//! Invariant: operands fit what the contract declares at the path; what mongod refuses is refused.
//! Not for: resolving paths (`parse_filter`). Source: MongoDB manual, "Query and Projection Operators".

use super::filter::{Comparison, Expression, Filter, Test, TypeName};
use super::operand::operand;
use super::parse_filter::{Scope, check_depth, parse_document};
use super::{operators as names, pattern};
use crate::error::{Error, Result};
use crate::schema::{Field, FieldType};
use crate::value::{Map, Value};

/// What the contract knows about the values that a test looks at.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The definition; `None` where nothing is declared.
    pub(super) definition: Option<&'a Field>,
    /// Whether a list lies before them.
    pub(super) through_list: bool,
}

impl<'a> Target<'a> {
    /// Equality with a literal.
    pub(super) fn equal_to(self, literal: &Value) -> Result<Test> {
        Ok(Test::Compare(Comparison::Eq, self.operand(literal)?))
    }

    fn operand(self, value: &Value) -> Result<Value> {
        operand(self.definition, self.through_list, value)
    }

    /// The definition of the elements, for operators that look at lists only.
    pub(super) fn elements(self, operator: &str) -> Result<Option<&'a Field>> {
        match self.definition.map(|field| &field.kind) {
            None | Some(FieldType::Any) => Ok(None),
            Some(FieldType::List(items)) => Ok(Some(items)),
            Some(other) => Err(unfit(operator, "a list", other)),
        }
    }

    /// Refuses an operator on scalars that it can never match.
    fn needs(self, operator: &str, wanted: &str, fits: fn(&FieldType) -> bool) -> Result<()> {
        let mut kind = self.definition.map(|field| &field.kind);
        while let Some(FieldType::List(items)) = kind {
            kind = Some(&items.kind);
        }
        match kind {
            Some(scalar) if scalar.is_scalar() && !fits(scalar) => Err(unfit(operator, wanted, scalar)),
            _ => Ok(()),
        }
    }
}

fn unfit(operator: &str, wanted: &str, kind: &FieldType) -> Error {
    Error::invalid_query(format!("{operator} needs {wanted}, this is declared as {}", kind.name()))
        .with("operator", operator)
        .with("expected", wanted)
        .with("got", kind.name())
}

fn malformed(operator: &str, wanted: &str) -> Error {
    Error::invalid_query(format!("{operator} needs {wanted}")).with("operator", operator)
}

/// Whether a document holds operators: as in mongod the first key decides.
pub(super) fn is_operators(map: &Map) -> bool {
    map.get_index(0).is_some_and(|(key, _)| key.starts_with('$'))
}

/// All operators of one document, which must all hold.
pub(super) fn operators(target: Target<'_>, map: &Map, depth: usize) -> Result<Test> {
    let mut tests = parse_all(target, map, depth)?;
    Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Both(tests) })
}

fn parse_all(target: Target<'_>, map: &Map, depth: usize) -> Result<Vec<Test>> {
    check_depth(depth)?;
    let mut tests = Vec::with_capacity(map.len());
    for (operator, value) in map {
        if !operator.starts_with('$') {
            let message = format!("{operator:?} stands beside operators: operators and fields cannot be mixed");
            return Err(Error::invalid_query(message));
        }
        match operator.as_str() {
            "$options" if map.contains_key("$regex") => {}
            "$options" => return Err(malformed("$options", "a $regex beside it")),
            "$regex" => tests.push(parse_regex(target, value, map.get("$options"))?),
            _ => tests.push(parse_one(target, operator, value, depth)?),
        }
    }
    Ok(tests)
}

fn parse_one(target: Target<'_>, operator: &str, value: &Value, depth: usize) -> Result<Test> {
    let compare = |comparison| Ok(Test::Compare(comparison, target.operand(value)?));
    let not = |test: Test| Test::Not(Box::new(test));
    match operator {
        "$eq" => compare(Comparison::Eq),
        "$ne" => compare(Comparison::Eq).map(not),
        "$gt" => compare(Comparison::Gt),
        "$gte" => compare(Comparison::Gte),
        "$lt" => compare(Comparison::Lt),
        "$lte" => compare(Comparison::Lte),
        "$in" => parse_in(target, operator, value),
        "$nin" => parse_in(target, operator, value).map(not),
        "$not" => match value {
            Value::Map(map) if is_operators(map) => operators(target, map, depth + 1).map(not),
            _ => Err(malformed("$not", "a document of operators")),
        },
        "$exists" => parse_exists(value),
        "$all" => parse_every(target, value, depth),
        "$elemMatch" => parse_element(target, value, depth),
        "$size" => parse_size(target, value),
        "$type" => parse_types(value),
        "$mod" => parse_modulo(target, value),
        _ => Err(names::refuse(operator, names::TESTS)),
    }
}

fn parse_in(target: Target<'_>, operator: &str, value: &Value) -> Result<Test> {
    let list = value.as_list().ok_or_else(|| malformed(operator, "a list"))?;
    let one = |item: &Value| match item {
        Value::Map(map) if map.contains_key("$regex") => {
            Err(Error::unsupported(format!("a $regex inside {operator} is not supported; use $or"))
                .with("operator", "$regex"))
        }
        other => target.operand(other),
    };
    let values = list.iter().enumerate().map(|(index, item)| one(item).map_err(|error| error.with("index", index)));
    values.collect::<Result<Vec<_>>>().map(Test::In)
}

/// Numbers count as their truth, as in mongod; what has none is refused.
fn parse_exists(value: &Value) -> Result<Test> {
    match value {
        Value::Bool(wanted) => Ok(Test::Exists(*wanted)),
        Value::Int(number) => Ok(Test::Exists(*number != 0)),
        Value::Float(number) => Ok(Test::Exists(*number != 0.0)),
        _ => Err(malformed("$exists", "true or false")),
    }
}

/// `$all`: as in mongod either values or `$elemMatch` documents, never both.
fn parse_every(target: Target<'_>, value: &Value, depth: usize) -> Result<Test> {
    let list = value.as_list().ok_or_else(|| malformed("$all", "a list"))?;
    let of_elements = |item: &Value| item.as_map().is_some_and(is_operators);
    if !list.first().is_some_and(of_elements) {
        if list.iter().any(of_elements) {
            return Err(malformed("$all", "either values or $elemMatch documents"));
        }
        return list.iter().map(|item| target.equal_to(item)).collect::<Result<Vec<_>>>().map(Test::AllOf);
    }
    let wrong = || malformed("$all", "either values or $elemMatch documents");
    let tests = list.iter().map(|item| {
        let map = item.as_map().filter(|map| map.len() == 1).ok_or_else(wrong)?;
        parse_element(target, map.get("$elemMatch").ok_or_else(wrong)?, depth + 1)
    });
    tests.collect::<Result<Vec<_>>>().map(Test::AllOf)
}

/// `$elemMatch`: operators on the element itself, or a filter of element documents.
fn parse_element(target: Target<'_>, value: &Value, depth: usize) -> Result<Test> {
    let map = value.as_map().ok_or_else(|| malformed("$elemMatch", "a document"))?;
    let free = Field::new("", FieldType::Any);
    let definition = target.elements("$elemMatch")?.unwrap_or(&free);
    match map.get_index(0) {
        Some((first, _)) if first.starts_with('$') && !matches!(first.as_str(), "$and" | "$or" | "$nor") => {
            let target = Target { definition: Some(definition), through_list: true };
            Ok(Test::ElementTests(parse_all(target, map, depth + 1)?))
        }
        _ => parse_element_filter(definition, map, depth + 1).map(|filter| Test::ElementFilter(Box::new(filter))),
    }
}

/// A filter of documents that are elements with this definition.
pub(super) fn parse_element_filter(definition: &Field, map: &Map, depth: usize) -> Result<Filter> {
    parse_document(Scope::Element(definition), map, depth)
}

/// A whole number, written as any number type.
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Float(number) if number.fract() != 0.0 => None,
        Value::Decimal(number) if !number.is_integer() => None,
        other => super::matcher::truncated(other),
    }
}

fn parse_size(target: Target<'_>, value: &Value) -> Result<Test> {
    target.elements("$size")?;
    let size = whole_number(value).and_then(|size| u64::try_from(size).ok());
    size.map(Test::Size).ok_or_else(|| malformed("$size", "a whole number from 0"))
}

fn parse_types(value: &Value) -> Result<Test> {
    let list = value.as_list().unwrap_or(std::slice::from_ref(value));
    if list.is_empty() {
        return Err(malformed("$type", "at least one type"));
    }
    list.iter().map(parse_type).collect::<Result<Vec<_>>>().map(Test::Type)
}

/// Names and numbers of BSON types. Source: MongoDB manual, "BSON Types".
fn parse_type(value: &Value) -> Result<TypeName> {
    let code = value.as_text().is_none().then(|| whole_number(value)).flatten();
    let found = match (value.as_text().unwrap_or_default(), code) {
        ("null", _) | (_, Some(10)) => TypeName::Null,
        ("bool", _) | (_, Some(8)) => TypeName::Bool,
        ("int" | "long", _) | (_, Some(16 | 18)) => TypeName::Int,
        ("float" | "double", _) | (_, Some(1)) => TypeName::Float,
        ("decimal", _) | (_, Some(19)) => TypeName::Decimal,
        ("number", _) => TypeName::Number,
        ("text" | "string", _) | (_, Some(2)) => TypeName::Text,
        ("bytes" | "binData", _) | (_, Some(5)) => TypeName::Bytes,
        ("object_id" | "objectId", _) | (_, Some(7)) => TypeName::ObjectId,
        ("datetime" | "date", _) | (_, Some(9)) => TypeName::DateTime,
        ("list" | "array", _) | (_, Some(4)) => TypeName::List,
        ("map" | "object", _) | (_, Some(3)) => TypeName::Map,
        (
            "undefined"
            | "dbPointer"
            | "regex"
            | "symbol"
            | "javascript"
            | "javascriptWithScope"
            | "timestamp"
            | "minKey"
            | "maxKey",
            _,
        )
        | (_, Some(-1 | 6 | 11..=15 | 17 | 127)) => {
            return Err(Error::unsupported("$type of a type that values never have here").with("operator", "$type"));
        }
        _ => return Err(malformed("$type", "the name or number of a type, such as \"string\"")),
    };
    Ok(found)
}

fn parse_modulo(target: Target<'_>, value: &Value) -> Result<Test> {
    target.needs("$mod", "a number", |kind| matches!(kind, FieldType::Int | FieldType::Float | FieldType::Decimal))?;
    let wrong = || malformed("$mod", "a list of a divisor, which is not 0, and a remainder");
    let Some([divisor, remainder]) = value.as_list() else { return Err(wrong()) };
    // mongod truncates both, so `[4.7, 0]` divides by 4.
    let number = |value| super::matcher::truncated(value).ok_or_else(wrong);
    match (number(divisor)?, number(remainder)?) {
        (0, _) => Err(wrong()),
        (divisor, remainder) => Ok(Test::Modulo(divisor, remainder)),
    }
}

fn parse_regex(target: Target<'_>, value: &Value, options: Option<&Value>) -> Result<Test> {
    target.needs("$regex", "text", |kind| matches!(kind, FieldType::Text))?;
    let source = value.as_text().ok_or_else(|| malformed("$regex", "text"))?;
    let options = match options {
        None => "",
        Some(options) => options.as_text().ok_or_else(|| malformed("$options", "text"))?,
    };
    let regex = pattern::compile(source, options)?;
    Ok(Test::Regex(regex, Expression { source: source.to_owned(), options: options.to_owned() }))
}
