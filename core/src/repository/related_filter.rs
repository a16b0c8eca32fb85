//! Conditions on related rows (`{"author.name": "x"}`, `{"tags": {"$elemMatch": {..}}}`), put in words of the row's own
//! fields before the filter is parsed: `{"author_id": {"$in": [..]}}`.
//!
//! They mean what they would mean if the related row, or the list of them, stood inside the row (soft-deleted ones do
//! not): `$ne`, `$nin` and `$not` hold where no related row says otherwise, also where there is none. The keys are read
//! first, `residual_limit` of them at most; outside a transaction the two statements do not see one moment.

use std::sync::Arc;

use super::arguments::{Arguments, fields_in, living};
use super::include::{compare, keys_of};
use super::{Repository, Verb};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::query::{Filter, matches};
use crate::schema::{Entity, Link};
use crate::transaction::Transaction;
use crate::value::{Map, Value, tagged};

/// Filters inside filters at most.
const MAX_DEPTH: usize = tagged::MAX_DEPTH;

/// One condition on the rows at the other end of a relation.
struct Condition<'a> {
    link: &'a Link,
    /// The path on the other side; `None` where the related row itself is meant.
    path: Option<&'a str>,
    operator: &'a str,
    operand: &'a Value,
    /// `$options` of a `$regex`.
    options: Option<&'a Value>,
}

impl Repository {
    /// Puts conditions on related rows in words of the entity's own fields.
    pub(super) async fn resolve_related(&self, arguments: &mut Arguments, tx: Option<&Transaction>) -> Result<()> {
        if self.entity.relations.is_empty() {
            return Ok(());
        }
        let Some(written) = arguments.filter().filter(|filter| mentions(&self.entity, filter, 0)) else {
            return Ok(());
        };
        let resolved = Box::pin(self.resolved(written, 0, tx)).await?;
        arguments.rewrite_filter(resolved);
        Ok(())
    }

    async fn resolved(&self, filter: &Map, depth: usize, tx: Option<&Transaction>) -> Result<Map> {
        let mut plain = Map::new();
        let mut parts = Vec::new();
        for (key, value) in filter {
            if is_logic(key) && depth < MAX_DEPTH {
                plain.insert(key.clone(), Box::pin(self.resolved_list(value, depth + 1, tx)).await?);
            } else if let Some((name, path)) = relation_of(&self.entity, key) {
                let link = Link::resolve(&self.database.contract(), &self.entity, name)?;
                let related = Box::pin(self.related(&link, path, value, depth + 1, tx)).await;
                parts.push(Value::Map(related.map_err(|error| error.with("path", key.as_str()))?));
            } else {
                plain.insert(key.clone(), value.clone());
            }
        }
        if parts.is_empty() {
            return Ok(plain);
        }
        if !plain.is_empty() {
            parts.insert(0, Value::Map(plain));
        }
        Ok(document! { "$and" => parts })
    }

    async fn resolved_list(&self, value: &Value, depth: usize, tx: Option<&Transaction>) -> Result<Value> {
        let Some(list) = value.as_list() else { return Ok(value.clone()) };
        let mut parts = Vec::with_capacity(list.len());
        for part in list {
            parts.push(match part {
                Value::Map(map) => Value::Map(self.resolved(map, depth, tx).await?),
                other => other.clone(),
            });
        }
        Ok(Value::List(parts))
    }

    /// A condition beside a path through a relation: each operator for itself, as for the elements of a list.
    async fn related(
        &self,
        link: &Link,
        path: Option<&str>,
        value: &Value,
        depth: usize,
        tx: Option<&Transaction>,
    ) -> Result<Map> {
        if depth > MAX_DEPTH {
            return Err(Error::invalid_query(format!("a filter is nested deeper than {MAX_DEPTH} levels")));
        }
        let operators = match value {
            Value::Map(map) if map.keys().next().is_some_and(|key| key.starts_with('$')) => map.clone(),
            literal => document! { "$eq" => literal.clone() },
        };
        let mut parts = Vec::new();
        for (operator, operand) in operators.iter().filter(|(operator, _)| *operator != "$options") {
            let options = operators.get("$options").filter(|_| operator == "$regex");
            let condition = Condition { link, path, operator, operand, options };
            parts.push(Value::Map(Box::pin(self.condition(&condition, depth, tx)).await?));
        }
        match <[Value; 1]>::try_from(parts) {
            Ok([Value::Map(only)]) => Ok(only),
            Ok([other]) => Ok(document! { "$and" => vec![other] }),
            Err(parts) => Ok(document! { "$and" => parts }),
        }
    }

    async fn condition(&self, condition: &Condition<'_>, depth: usize, tx: Option<&Transaction>) -> Result<Map> {
        let Condition { link, path, operator, operand, .. } = *condition;
        let again = async |value: Map| self.related(link, path, &Value::Map(value), depth + 1, tx).await;
        match (operator, path) {
            ("$ne", _) => Ok(none_of(again(document! { "$eq" => operand.clone() }).await?)),
            ("$nin", Some(_)) => Ok(none_of(again(document! { "$in" => operand.clone() }).await?)),
            ("$not", _) => Ok(none_of(self.related(link, path, operand, depth + 1, tx).await?)),
            ("$exists", _) if *operand == Value::Bool(false) => {
                Ok(none_of(again(document! { "$exists" => true }).await?))
            }
            ("$exists", None) if *operand == Value::Bool(true) => self.having(link, Map::new(), depth, tx).await,
            ("$eq", None) if operand.is_null() && !link.many => {
                Ok(none_of(again(document! { "$exists" => true }).await?))
            }
            ("$elemMatch", None) if link.many => match operand {
                Value::Map(filter) => self.having(link, filter.clone(), depth, tx).await,
                _ => Err(Error::invalid_query("$elemMatch takes a filter of the related rows")),
            },
            (_, None) => Err(Error::invalid_query(format!(
                "{operator} does not compare related rows: give a path such as \"{}.{}\", or {}",
                link.name,
                link.target.fields[link.target.key[0]].name,
                if link.many { "$elemMatch or $exists" } else { "$exists" }
            ))
            .with("operator", operator)),
            ("$all", Some(_)) if link.many => {
                let list = operand.as_list().filter(|list| !list.is_empty());
                let list = list.ok_or_else(|| Error::invalid_query("$all takes a list of one or more values"))?;
                let mut parts = Vec::with_capacity(list.len());
                for item in list {
                    parts.push(Value::Map(self.related(link, path, item, depth + 1, tx).await?));
                }
                Ok(document! { "$and" => parts })
            }
            (_, Some(path)) => {
                let mut test = document! { operator => operand.clone() };
                if let Some(options) = condition.options {
                    test.insert("$options".to_owned(), options.clone());
                }
                self.having(link, document! { path => test }, depth, tx).await
            }
        }
    }

    /// Our rows with a related row that matches; where a row of nulls would match too, our rows without one that does
    /// not, as a missing document would match.
    async fn having(&self, link: &Link, filter: Map, depth: usize, tx: Option<&Transaction>) -> Result<Map> {
        let other = Self::new(self.database.clone(), Arc::clone(&link.target))?;
        let resolved = Box::pin(other.resolved(&filter, depth + 1, tx)).await?;
        let parsed = Filter::parse(&resolved, &link.target)?;
        if filter.is_empty() || !matches(&parsed, &nulls(&link.target)) {
            return self.ours(&other, link, parsed, tx).await;
        }
        if link.many {
            let message = "a condition that null fulfils is not asked of many related rows: use $elemMatch";
            return Err(Error::invalid_query(message));
        }
        Ok(none_of(self.ours(&other, link, Filter::Nor(vec![parsed]), tx).await?))
    }

    /// The condition on our own fields that they refer to one of the other side's rows that match.
    async fn ours(&self, other: &Self, link: &Link, filter: Filter, tx: Option<&Transaction>) -> Result<Map> {
        let mut keys = other.keys_where(filter, &link.to, tx).await?;
        let columns = match &link.through {
            None => &link.from,
            Some(through) => {
                let known: Vec<_> = keys.iter().flatten().cloned().collect();
                if !known.is_empty() {
                    let between = Self::new(self.database.clone(), Arc::clone(&through.entity))?;
                    let filter = fields_in(&through.entity, &through.theirs, &known)?;
                    keys = between.keys_where(filter, &through.ours, tx).await?;
                }
                &self.entity.key
            }
        };
        let mut keys: Vec<_> = keys.into_iter().flatten().collect();
        keys.sort_by(|a, b| compare(a, b));
        keys.dedup_by(|a, b| compare(a, b).is_eq());
        Ok(among(&self.entity, columns, keys))
    }

    /// The values of some columns of every living row that matches.
    async fn keys_where(
        &self,
        filter: Filter,
        columns: &[usize],
        tx: Option<&Transaction>,
    ) -> Result<Vec<Option<Vec<Value>>>> {
        let mut query = self.query_of(living(filter, &self.entity, false)?);
        query.columns = columns.into();
        query.limit = Some(self.database.residual_limit().saturating_add(1));
        let rows = self.select(&mut self.lease(Verb::Find, tx).await?, &query).await?;
        self.bounded(keys_of(&rows, columns)?)
    }

    fn bounded<T>(&self, keys: Vec<T>) -> Result<Vec<T>> {
        let limit = self.database.residual_limit();
        if keys.len() as u64 <= limit {
            return Ok(keys);
        }
        let message = format!(
            "more than {limit} related rows of {} match: add a condition on them, or raise residual_limit",
            self.entity.name
        );
        Err(Error::new(Kind::ResidualLimit, message).with("entity", self.entity.name.as_str()))
    }
}

fn is_logic(key: &str) -> bool {
    matches!(key, "$and" | "$or" | "$nor")
}

/// The relation that a path begins with, and the rest of it.
fn relation_of<'a>(entity: &Entity, path: &'a str) -> Option<(&'a str, Option<&'a str>)> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    entity.relation(name).map(|_| (name, rest))
}

fn mentions(entity: &Entity, filter: &Map, depth: usize) -> bool {
    depth <= MAX_DEPTH
        && filter.iter().any(|(key, value)| {
            if is_logic(key) {
                let parts = value.as_list().unwrap_or_default();
                return parts.iter().filter_map(Value::as_map).any(|part| mentions(entity, part, depth + 1));
            }
            relation_of(entity, key).is_some()
        })
}

fn none_of(filter: Map) -> Map {
    document! { "$nor" => vec![Value::Map(filter)] }
}

/// A row in which nothing is set.
fn nulls(entity: &Entity) -> Map {
    entity.fields.iter().map(|field| (field.name.clone(), Value::Null)).collect()
}

/// `columns` in `keys`.
fn among(entity: &Entity, columns: &[usize], keys: Vec<Vec<Value>>) -> Map {
    let name = |column: &usize| entity.fields[*column].name.clone();
    if columns.len() == 1 || keys.is_empty() {
        let values: Vec<Value> = keys.into_iter().flatten().collect();
        return Map::from_iter([(name(&columns[0]), document! { "$in" => values }.into())]);
    }
    let each = keys.into_iter().map(|key| Value::Map(columns.iter().map(name).zip(key).collect()));
    document! { "$or" => each.collect::<Vec<_>>() }
}
