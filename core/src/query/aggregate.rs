//! Groups and measures: `group`, `$count $sum $avg $min $max $first $last $countDistinct`.
//!
//! Invariant: what was parsed fits the contract, and every name of the result has one type. Null and missing values are
//! one group and count for no measure but `$count` of rows. Not for: counting rows in (`grouping`). Source: MongoDB manual,
//! "$group".

use std::collections::BTreeSet;

use super::matcher::values_at;
use crate::error::{Error, Kind, Result};
use crate::schema::{Entity, Field, FieldType, Path};
use crate::value::{Map, Value};

/// What to compute, checked against the contract.
#[derive(Clone, Debug)]
pub struct Aggregation {
    pub(super) groups: Vec<(String, GroupBy)>,
    pub(super) measures: Vec<(String, Measure)>,
}

#[derive(Clone, Debug)]
pub(super) struct GroupBy {
    path: Path,
    part: Option<DatePart>,
}

/// A part of a moment (in UTC) or of a date.
#[derive(Clone, Copy, Debug)]
enum DatePart {
    Year,
    Month,
    DayOfMonth,
    DayOfYear,
    /// 1 is Sunday.
    DayOfWeek,
    Hour,
    Minute,
    Second,
    /// The whole day.
    Date,
}

#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub(super) operator: Operator,
    /// `None` for the number of rows.
    pub(super) path: Option<Path>,
    pub(super) kind: FieldType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Count,
    CountDistinct,
    Sum,
    Average,
    Min,
    Max,
    First,
    Last,
}

const PARTS: [(&str, DatePart); 9] = [
    ("$year", DatePart::Year),
    ("$month", DatePart::Month),
    ("$dayOfMonth", DatePart::DayOfMonth),
    ("$dayOfYear", DatePart::DayOfYear),
    ("$dayOfWeek", DatePart::DayOfWeek),
    ("$hour", DatePart::Hour),
    ("$minute", DatePart::Minute),
    ("$second", DatePart::Second),
    ("$date", DatePart::Date),
];

const OPERATORS: [(&str, Operator); 8] = [
    ("$count", Operator::Count),
    ("$countDistinct", Operator::CountDistinct),
    ("$sum", Operator::Sum),
    ("$avg", Operator::Average),
    ("$min", Operator::Min),
    ("$max", Operator::Max),
    ("$first", Operator::First),
    ("$last", Operator::Last),
];

fn wrong(name: &str, message: impl Into<String>) -> Error {
    Error::invalid_query(format!("aggregate: {}", message.into())).with("path", name)
}

/// `{"$operator": "path"}` taken apart.
fn single<'a>(name: &str, value: &'a Value) -> Result<(&'a str, &'a Value)> {
    let map = value.as_map().filter(|map| map.len() == 1);
    map.and_then(|map| map.get_index(0))
        .map(|(operator, operand)| (operator.as_str(), operand))
        .ok_or_else(|| wrong(name, format!("{name:?} is one operator with a path, such as {{\"$sum\": \"price\"}}")))
}

fn unknown(name: &str, operator: &str, known: impl Iterator<Item = &'static str>) -> Error {
    let known = known.collect::<Vec<_>>().join(", ");
    Error::new(Kind::UnknownOperator, format!("aggregate: there is no {operator} here, there are {known}"))
        .with("operator", operator)
        .with("path", name)
}

/// A path to one scalar; values inside lists belong to several groups.
fn scalar_path(entity: &Entity, name: &str, operand: &Value) -> Result<(Path, FieldType)> {
    let text = operand.as_text().ok_or_else(|| wrong(name, format!("{name:?} needs the path of a field")))?;
    let path = Path::resolve(entity, text.strip_prefix('$').unwrap_or(text))?;
    match path.single_scalar() {
        Some(kind) => {
            let kind = kind.clone();
            Ok((path, kind))
        }
        None => Err(wrong(text, format!("{text:?} is no single value of a declared type"))),
    }
}

impl Aggregation {
    /// Reads groups (`{"city": "address.city", "year": {"$year": "made_at"}}`) and measures
    /// (`{"total": {"$sum": "price"}, "rows": {"$count": true}}`).
    pub fn parse(groups: &Map, measures: &Map, entity: &Entity) -> Result<Self> {
        let groups = groups.iter().map(|(name, value)| Ok((name.clone(), GroupBy::parse(name, value, entity)?)));
        let measures = measures.iter().map(|(name, value)| Ok((name.clone(), Measure::parse(name, value, entity)?)));
        let plan =
            Self { groups: groups.collect::<Result<_>>()?, measures: measures.collect::<Result<Vec<(_, Measure)>>>()? };
        if let Some((name, _)) =
            plan.measures.iter().find(|(name, _)| plan.groups.iter().any(|(group, _)| group == name))
        {
            return Err(wrong(name, format!("{name:?} is the name of a group and of a measure")));
        }
        if plan.groups.is_empty() && plan.measures.is_empty() {
            return Err(Error::invalid_query("aggregate needs a group or a measure").with("path", "measures"));
        }
        Ok(plan)
    }

    /// Whether the order of the rows counts.
    pub fn needs_order(&self) -> bool {
        self.measures.iter().any(|(_, measure)| matches!(measure.operator, Operator::First | Operator::Last))
    }

    /// The positions of the columns that are looked at.
    pub fn columns(&self) -> BTreeSet<usize> {
        let groups = self.groups.iter().map(|(_, group)| group.path.column);
        groups.chain(self.measures.iter().filter_map(|(_, measure)| Some(measure.path.as_ref()?.column))).collect()
    }

    /// The rows of the result as an entity of their own, by which `having` and `sort` are read.
    pub fn result(&self) -> Result<Entity> {
        let groups = self.groups.iter().map(|(name, group)| (name, group.kind()));
        let measures = self.measures.iter().map(|(name, measure)| (name, measure.result_kind()));
        let mut fields: Vec<Field> = groups
            .chain(measures)
            .map(|(name, kind)| Field { nullable: true, ..Field::new(name.as_str(), kind) })
            .collect();
        // Every entity has a key; no name of a result may contain a space before it.
        fields.push(Field { primary_key: true, ..Field::new(" row", FieldType::Int) });
        Entity::new("result", fields, Vec::new())
    }
}

impl GroupBy {
    fn parse(name: &str, value: &Value, entity: &Entity) -> Result<Self> {
        if value.as_text().is_some() {
            let (path, _) = scalar_path(entity, name, value)?;
            return Ok(Self { path, part: None });
        }
        let (operator, operand) = single(name, value)?;
        let part = PARTS.iter().find(|(known, _)| *known == operator);
        let (_, part) = part.ok_or_else(|| unknown(name, operator, PARTS.iter().map(|(known, _)| *known)))?;
        let (path, kind) = scalar_path(entity, name, operand)?;
        let fits = match part {
            DatePart::Hour | DatePart::Minute | DatePart::Second => matches!(kind, FieldType::DateTime),
            _ => matches!(kind, FieldType::DateTime | FieldType::Date),
        };
        if !fits {
            return Err(wrong(&path.text, format!("{operator} cannot be taken of a field of type {}", kind.name())));
        }
        Ok(Self { path, part: Some(*part) })
    }

    fn kind(&self) -> FieldType {
        match self.part {
            Some(DatePart::Date) => FieldType::Date,
            Some(_) => FieldType::Int,
            None => self.path.single_scalar().cloned().unwrap_or(FieldType::Any),
        }
    }

    pub(super) fn value(&self, document: &Map) -> Value {
        let value = values_at(document, &self.path).first().map(|value| (*value).clone()).unwrap_or_default();
        self.part.map_or(value.clone(), |part| part.of(&value))
    }
}

impl DatePart {
    fn of(self, value: &Value) -> Value {
        let (date, clock) = match value {
            Value::DateTime(moment) => (moment.date(), moment.time().clock()),
            Value::Date(date) => (*date, (0, 0, 0, 0)),
            _ => return Value::Null,
        };
        let (year, month, day) = date.civil();
        // Days count from 1970-01-01, a Thursday.
        let weekday = (date.days() + 4).rem_euclid(7) + 1;
        Value::Int(match self {
            Self::Date => return Value::Date(date),
            Self::Year => i64::from(year),
            Self::Month => i64::from(month),
            Self::DayOfMonth => i64::from(day),
            Self::DayOfYear => {
                let first = crate::value::Date::from_civil(year, 1, 1).map_or(0, crate::value::Date::days);
                i64::from(date.days() - first + 1)
            }
            Self::DayOfWeek => i64::from(weekday),
            Self::Hour => i64::from(clock.0),
            Self::Minute => i64::from(clock.1),
            Self::Second => i64::from(clock.2),
        })
    }
}

impl Measure {
    fn parse(name: &str, value: &Value, entity: &Entity) -> Result<Self> {
        let (text, operand) = single(name, value)?;
        let found = OPERATORS.iter().find(|(known, _)| *known == text);
        let (_, operator) = *found.ok_or_else(|| unknown(name, text, OPERATORS.iter().map(|(known, _)| *known)))?;
        if operator == Operator::Count && operand == &Value::Bool(true) {
            return Ok(Self { operator, path: None, kind: FieldType::Int });
        }
        let (path, kind) = scalar_path(entity, name, operand)?;
        let numbers = matches!(kind, FieldType::Int | FieldType::Float | FieldType::Decimal);
        if matches!(operator, Operator::Sum | Operator::Average) && !numbers {
            return Err(wrong(&path.text, format!("{text} needs numbers, {:?} is {}", path.text, kind.name())));
        }
        Ok(Self { operator, path: Some(path), kind })
    }

    fn result_kind(&self) -> FieldType {
        match (self.operator, &self.kind) {
            (Operator::Count | Operator::CountDistinct, _) => FieldType::Int,
            (Operator::Average, FieldType::Int) => FieldType::Float,
            (_, kind) => kind.clone(),
        }
    }
}
