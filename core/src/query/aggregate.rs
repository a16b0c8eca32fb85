//! Groups and measures: `group`, `$count $sum $avg $min $max $first $last $countDistinct`.
//!
//! Invariant: the result does not depend on the order in which rows come (but for `$first` and `$last`, which have an
//! order of their own): integer and decimal sums are exact, float sums are exact and rounded once. What does not fit the
//! type of the field is refused. Null and missing values are one group and count for no measure but `$count` of rows.
//! Source: MongoDB manual, "$group", whose sums of integers turn into floats where ours are refused.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::BigDecimal;

use super::arithmetic::{Operation, compute};
use super::exact_sum::ExactSum;
use super::matcher::values_at;
use crate::error::{Error, Kind, Result};
use crate::schema::{Entity, Field, FieldType, Path};
use crate::value::{MAX_DIGITS, Map, Value, canonical_order, type_rank};

/// Groups, or values of `$countDistinct`, that are held in memory at most.
const MAX_HELD: usize = 1_000_000;

/// What to compute, checked against the contract.
#[derive(Clone, Debug)]
pub struct Aggregation {
    groups: Vec<(String, GroupBy)>,
    measures: Vec<(String, Measure)>,
}

#[derive(Clone, Debug)]
struct GroupBy {
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
struct Measure {
    operator: Operator,
    /// `None` for the number of rows.
    path: Option<Path>,
    kind: FieldType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
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

    fn value(&self, document: &Map) -> Value {
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

    fn start(&self) -> State {
        match (self.operator, &self.kind) {
            (Operator::Count, _) => State::Count(0),
            (Operator::CountDistinct, _) => State::Distinct(BTreeSet::new()),
            (Operator::Sum | Operator::Average, FieldType::Int) => State::Ints(0, 0),
            (Operator::Sum | Operator::Average, FieldType::Float) => State::Floats(ExactSum::default(), 0),
            (Operator::Sum | Operator::Average, _) => State::Decimals(BigDecimal::from(0), 0),
            _ => State::Kept(None),
        }
    }
}

/// A value in the canonical order.
#[derive(Debug)]
struct Ordered(Value);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        canonical_order(&self.0, &other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ordered {}

/// A measure of one group so far; the second number counts the values.
#[derive(Debug)]
enum State {
    Count(i64),
    Distinct(BTreeSet<Ordered>),
    Ints(i128, i64),
    Floats(ExactSum, i64),
    Decimals(BigDecimal, i64),
    Kept(Option<Value>),
}

/// Groups while rows come in.
#[derive(Debug)]
pub struct Grouping<'a> {
    plan: &'a Aggregation,
    groups: BTreeMap<Vec<Ordered>, Vec<State>>,
    held: usize,
}

impl<'a> Grouping<'a> {
    /// No rows yet. Without groups there is one row of totals, also of no rows.
    pub fn new(plan: &'a Aggregation) -> Self {
        let mut groups = BTreeMap::new();
        if plan.groups.is_empty() {
            groups.insert(Vec::new(), plan.start());
        }
        Self { plan, groups, held: 0 }
    }

    /// Counts a row in.
    pub fn add(&mut self, document: &Map) -> Result<()> {
        let key = self.plan.groups.iter().map(|(_, group)| Ordered(group.value(document))).collect();
        let plan = self.plan;
        let states = self.groups.entry(key).or_insert_with(|| {
            self.held += 1;
            plan.start()
        });
        for ((_, measure), state) in plan.measures.iter().zip(states) {
            let value = measure.path.as_ref().map(|path| values_at(document, path).first().copied());
            match value {
                None => state.count_row(),
                Some(None | Some(Value::Null)) => {}
                Some(Some(value)) => self.held += usize::from(state.add(measure.operator, value)?),
            }
        }
        if self.held > MAX_HELD {
            let message = format!("more than {MAX_HELD} groups and distinct values would have to be held in memory");
            return Err(Error::new(Kind::ResidualLimit, message).with("limit", MAX_HELD));
        }
        Ok(())
    }

    /// The rows of the result, ordered by their groups.
    pub fn finish(self) -> Result<Vec<Map>> {
        let plan = self.plan;
        let row = |(key, states): (Vec<Ordered>, Vec<State>)| {
            let groups = plan.groups.iter().zip(key).map(|((name, _), value)| Ok((name.clone(), value.0)));
            let measures = plan.measures.iter().zip(states);
            let measures = measures.map(|((name, measure), state)| {
                let value = state.finish(measure).map_err(|error| error.with("path", name.as_str()))?;
                Ok((name.clone(), value))
            });
            groups.chain(measures).collect()
        };
        self.groups.into_iter().map(row).collect()
    }
}

impl Aggregation {
    fn start(&self) -> Vec<State> {
        self.measures.iter().map(|(_, measure)| measure.start()).collect()
    }
}

impl State {
    fn count_row(&mut self) {
        if let Self::Count(count) = self {
            *count += 1;
        }
    }

    /// Counts a value in; whether one more value is held for it.
    fn add(&mut self, operator: Operator, value: &Value) -> Result<bool> {
        match (self, value) {
            (Self::Count(count), _) => *count += 1,
            (Self::Distinct(values), value) => return Ok(values.insert(Ordered(value.clone()))),
            (Self::Ints(sum, count), Value::Int(number)) => {
                *sum += i128::from(*number);
                *count += 1;
            }
            (Self::Floats(sum, count), Value::Float(number)) => {
                sum.add(*number);
                *count += 1;
            }
            (Self::Decimals(sum, count), number @ Value::Decimal(_)) => {
                if let Value::Decimal(next) = compute(Operation::Add, &Value::Decimal(sum.clone()), number)? {
                    *sum = next;
                }
                *count += 1;
            }
            (Self::Kept(kept), value) => {
                let better = kept.as_ref().is_none_or(|kept| match operator {
                    Operator::Min => canonical_order(value, kept).is_lt(),
                    Operator::Max => canonical_order(value, kept).is_gt(),
                    Operator::Last => true,
                    _ => false,
                });
                if better {
                    *kept = Some(value.clone());
                }
            }
            (_, other) => {
                debug_assert_eq!(type_rank(other), 2);
                return Err(Error::internal(format!("a measure met a value of type {}", other.type_name())));
            }
        }
        Ok(false)
    }

    fn finish(self, measure: &Measure) -> Result<Value> {
        let average = measure.operator == Operator::Average;
        Ok(match self {
            Self::Count(count) => Value::Int(count),
            Self::Distinct(values) => Value::Int(values.len() as i64),
            Self::Kept(value) => value.unwrap_or_default(),
            Self::Ints(_, 0) | Self::Floats(_, 0) | Self::Decimals(_, 0) if average => Value::Null,
            Self::Ints(sum, count) if average => Value::Float(sum as f64 / count as f64),
            Self::Ints(sum, _) => Value::Int(i64::try_from(sum).map_err(|_| {
                Error::invalid_value(format!("$sum was refused: {sum} exceeds 64 bits")).with("operator", "$sum")
            })?),
            Self::Floats(sum, count) => {
                let sum = sum.value().ok_or_else(|| {
                    Error::invalid_value("the sum of both infinities is not a number").with("operator", "$sum")
                })?;
                Value::Float(if average { sum / count as f64 } else { sum })
            }
            Self::Decimals(sum, count) if average => {
                Value::Decimal((sum / BigDecimal::from(count)).with_prec(MAX_DIGITS).normalized())
            }
            Self::Decimals(sum, _) => Value::Decimal(sum),
        })
    }
}
