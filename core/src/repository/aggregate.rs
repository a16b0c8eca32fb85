//! `aggregate`: groups and measures over the rows that match.
//!
//! Rows are streamed through the core's own arithmetic, so the numbers and their types are the same on every backend;
//! memory holds the groups and not the rows.

use super::arguments::Arguments;
use super::{Reply, Repository};
use crate::error::{Error, Result};
use crate::query::{Aggregation, Filter, Grouping, Sort, matches};
use crate::transaction::Transaction;
use crate::value::{Map, Value};

/// Rows that are taken from the database at a time.
const BATCH: usize = 1000;

impl Repository {
    pub(super) async fn aggregate(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let (group, measures) = (arguments.map("group")?, arguments.map("measures")?);
        let (having, sort) = (arguments.map("having")?, arguments.take("sort"));
        let (limit, skip) = (arguments.int("limit")?, arguments.int("skip")?);
        let mut query = Map::new();
        for name in ["filter", "search", "deleted"] {
            query.insert(name.to_owned(), arguments.take(name));
        }
        let order = arguments.take("order");
        arguments.finish()?;
        let plan = Aggregation::parse(&group, &measures, &self.entity)?;
        if plan.needs_order() && order.is_null() {
            return Err(Error::invalid_query("$first and $last need an \"order\" of the rows").with("path", "order"));
        }
        let result = plan.result()?;
        let (having, sort) = (Filter::parse(&having, &result)?, Sort::parse(&sort, &result)?);
        query.insert("sort".to_owned(), self.unique_order(order)?);
        query.insert("fields".to_owned(), self.names_of(plan.columns()));

        let mut grouping = Grouping::new(&plan);
        let mut stream = self.stream(query, BATCH, tx).await?;
        while let Some(rows) = stream.next().await? {
            for row in 0..rows.len() {
                grouping.add(&rows.document(row)?)?;
            }
        }
        let mut rows = grouping.finish()?;
        rows.retain(|row| matches(&having, row));
        rows.sort_by(|left, right| sort.compare(left, right));
        let skip = bound("skip", skip)?.unwrap_or(0);
        let limit = bound("limit", limit)?.unwrap_or(usize::MAX);
        Ok(Reply::Values(rows.into_iter().skip(skip).take(limit).map(Value::Map).collect()))
    }

    /// An order in which no two rows are equal, where one is asked for.
    fn unique_order(&self, order: Value) -> Result<Value> {
        if order.is_null() {
            return Ok(order);
        }
        let order = Sort::parse(&order, &self.entity)?.with_key(&self.entity);
        Ok(Value::List(order.to_text().split(',').map(Value::from).collect()))
    }

    /// The names of columns; the key where none is needed.
    fn names_of(&self, mut columns: std::collections::BTreeSet<usize>) -> Value {
        if columns.is_empty() {
            columns.extend(&self.entity.key);
        }
        let names = columns.into_iter().map(|column| Value::from(self.entity.fields[column].name.as_str()));
        Value::List(names.collect())
    }
}

fn bound(name: &str, number: Option<i64>) -> Result<Option<usize>> {
    let wrong = |_| Error::invalid_query(format!("aggregate: {name:?} must be zero or more")).with("argument", name);
    number.map(|number| usize::try_from(number).map_err(wrong)).transpose()
}
