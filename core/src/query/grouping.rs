//! [`Grouping`]: rows counted into groups, by arithmetic that does not depend on their order.
//!
//! Invariant: integer and decimal sums are exact, float sums are exact and rounded once; only `$first` and `$last` see the
//! order of the rows. What does not fit the type of the field is refused, where MongoDB turns integers into floats.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::BigDecimal;

use super::aggregate::{Aggregation, Measure, Operator};
use super::arithmetic::{Operation, compute};
use super::exact_sum::ExactSum;
use super::matcher::values_at;
use crate::error::{Error, Kind, Result};
use crate::schema::FieldType;
use crate::value::{MAX_DIGITS, Map, Value, canonical_order};

/// Groups, or values of `$countDistinct`, that are held in memory at most.
const MAX_HELD: usize = 1_000_000;

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

impl Measure {
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
