//! Statements of reads, kept by the shape of the query, so that a read like one before is not compiled again.
//!
//! Invariant: a plan gives the statement that compiling would give. That a statement depends on values in no other way than
//! that they go unchanged to their places is tried, not believed: a shape has a plan only if compiling it with other
//! values, all different from each other, gives the same text with those values in the same places. Values that are
//! checked or changed on their way have no shape (`shape.rs`). Plans live as long as their repository, whose entity and
//! backend never change. Not for: what the core finishes by itself.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use super::arguments::{Arguments, Query};
use super::shape::{Shape, with_other_values};
use super::{Repository, Verb};
use crate::backend::{Operation, Statement};
use crate::error::Result;
use crate::query::Sort;
use crate::value::{Map, Value};

/// Shapes of one repository at most; then it begins anew.
const MAX_PLANS: usize = 512;

/// Ints up to this are floats too.
const MAX_WHOLE_FLOAT: u64 = 1 << 53;

/// The plans of a repository by the keys of their shapes.
#[derive(Default)]
pub(super) struct Plans(RwLock<HashMap<Vec<u8>, Known>>);

/// What is known of a shape.
#[derive(Clone)]
enum Known {
    Plan(Arc<Plan>),
    /// It cannot have one.
    Unfit,
}

/// A compiled statement, and where its parameters come from.
pub(super) struct Plan {
    statement: Statement,
    parameters: Vec<Parameter>,
}

enum Parameter {
    Constant(Value),
    /// The value of this number.
    Same(usize),
    /// The same for an int that is compared with floats.
    AsFloat(usize),
}

/// A statement, and the query where the core may have to finish its rows.
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) query: Option<Query>,
}

impl Plans {
    // Nobody waits for the lock: whoever does not get it compiles.

    fn get(&self, key: &[u8]) -> Option<Known> {
        self.0.try_read().ok()?.get(key).cloned()
    }

    fn keep(&self, key: Vec<u8>, plan: Option<Plan>) {
        if let Ok(mut plans) = self.0.try_write() {
            if plans.len() >= MAX_PLANS {
                plans.clear();
            }
            plans.insert(key, plan.map_or(Known::Unfit, |plan| Known::Plan(Arc::new(plan))));
        }
    }
}

fn as_float(value: &Value) -> Option<Value> {
    match value {
        Value::Int(number) if number.unsigned_abs() <= MAX_WHOLE_FLOAT => Some(Value::Float(*number as f64)),
        _ => None,
    }
}

impl Plan {
    /// `None` where the two statements, of one shape with these values, differ in more than values.
    fn new(statement: &Statement, values: &[&Value], other: &Statement, other_values: &[&Value]) -> Option<Self> {
        let alike = statement.text == other.text
            && statement.columns == other.columns
            && statement.parameters.len() == other.parameters.len()
            && [statement, other].iter().all(|statement| statement.is_exact() && statement.native.is_none());
        if !alike {
            return None;
        }
        let mut used = vec![false; values.len()];
        let mut parameters = Vec::with_capacity(statement.parameters.len());
        for (one, another) in statement.parameters.iter().zip(&other.parameters) {
            let is_same = |value: &&Value| *value == another;
            let parameter = if let Some(place) = other_values.iter().position(is_same) {
                Parameter::Same(place)
            } else if let Some(place) = other_values.iter().position(|value| as_float(value).as_ref() == Some(another))
            {
                Parameter::AsFloat(place)
            } else {
                Parameter::Constant(another.clone())
            };
            if let Parameter::Same(place) | Parameter::AsFloat(place) = parameter {
                used[place] = true;
            }
            if parameter.value(values).as_ref() != Some(one) {
                return None;
            }
            parameters.push(parameter);
        }
        let statement = Statement { parameters: Vec::new(), ..statement.clone() };
        used.into_iter().all(|used| used).then_some(Self { statement, parameters })
    }

    /// The statement with these values; `None` where one does not fit.
    fn with(&self, values: &[&Value]) -> Option<Statement> {
        let mut parameters = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            parameters.push(parameter.value(values)?);
        }
        Some(Statement { parameters, ..self.statement.clone() })
    }
}

impl Parameter {
    fn value(&self, values: &[&Value]) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Same(place) => Some(values[*place].clone()),
            Self::AsFloat(place) => as_float(values[*place]),
        }
    }
}

impl Repository {
    /// The statement of a read of rows or of their number.
    pub(super) fn prepared(&self, verb: Verb, arguments: Arguments) -> Result<Prepared> {
        let Some(shape) = self.shape(verb, arguments.document()) else { return self.compiled(verb, arguments) };
        match self.shared.plans.get(&shape.key) {
            Some(Known::Plan(plan)) => {
                if let Some(statement) = plan.with(&shape.values) {
                    return Ok(Prepared { statement, query: None });
                }
                return self.compiled(verb, arguments);
            }
            Some(Known::Unfit) => return self.compiled(verb, arguments),
            None => {}
        }
        let (key, document) = (shape.key, arguments.document().clone());
        let prepared = self.compiled(verb, arguments)?;
        let plan = self.plan(verb, &document, &prepared.statement);
        self.shared.plans.keep(key, plan);
        Ok(prepared)
    }

    /// A statement with something beside its text has values there: a command of MongoDB is a document.
    fn shape<'a>(&self, verb: Verb, arguments: &'a Map) -> Option<Shape<'a>> {
        if self.shared.by_key.native.is_some() { None } else { Shape::of(verb, arguments) }
    }

    fn plan(&self, verb: Verb, document: &Map, statement: &Statement) -> Option<Plan> {
        let other_document = with_other_values(document);
        let (shape, other_shape) = (Shape::of(verb, document)?, Shape::of(verb, &other_document)?);
        if shape.key != other_shape.key {
            return None;
        }
        let other = self.compiled(verb, Arguments::new(other_document.clone(), verb.name(), false)).ok()?;
        Plan::new(statement, &shape.values, &other.statement, &other_shape.values)
    }

    fn compiled(&self, verb: Verb, mut arguments: Arguments) -> Result<Prepared> {
        let mut query = arguments.query(&self.entity)?;
        arguments.finish()?;
        match verb {
            Verb::FindOne => query.limit = Some(query.limit.unwrap_or(1).min(1)),
            Verb::Exists => query.limit = Some(1),
            _ => {}
        }
        let is_count = matches!(verb, Verb::Count | Verb::Exists);
        if is_count {
            query.sort = Sort::default();
        }
        let select = self.operation(&query);
        let operation = if is_count { Operation::Count(select) } else { Operation::Select(select) };
        let statement = self.database.backend().compile(&operation)?;
        Ok(Prepared { statement, query: Some(query) })
    }
}

#[cfg(test)]
mod tests;
