//! Filters from operator documents: what stands between conditions, and which path a condition is about.
//!
//! Invariant: every error names the path. Not for: the operators on a path (`parse_test`).
//! Source: MongoDB manual, "Query and Projection Operators".

use super::filter::{Filter, Test};
use super::operators;
use super::parse_test::{self, Target};
use crate::error::{Error, Result};
use crate::schema::{Entity, Field, Path};
use crate::value::{Map, Value, tagged};

/// What paths are resolved against.
#[derive(Clone, Copy)]
pub(super) enum Scope<'a> {
    /// The columns of an entity.
    Entity(&'a Entity),
    /// The inside of an element with this definition.
    Element(&'a Field),
}

impl Scope<'_> {
    fn resolve(self, text: &str) -> Result<Path> {
        match self {
            Self::Entity(entity) => Path::resolve(entity, text),
            Self::Element(field) => Path::resolve_in(field, text),
        }
    }
}

impl Filter {
    /// Reads an operator document such as `{"tags": "a", "rating": {"$gte": 4}}`; the empty document is [`Filter::All`].
    pub fn parse(document: &Map, entity: &Entity) -> Result<Self> {
        parse_document(Scope::Entity(entity), document, 0).map_err(|error| error.with("entity", entity.name.as_str()))
    }
}

/// Refuses conditions that are nested deeper than a document may be.
pub(super) fn check_depth(depth: usize) -> Result<()> {
    if depth > tagged::MAX_DEPTH {
        return Err(Error::invalid_query(format!("a filter is nested deeper than {} levels", tagged::MAX_DEPTH)));
    }
    Ok(())
}

pub(super) fn parse_document(scope: Scope<'_>, document: &Map, depth: usize) -> Result<Filter> {
    check_depth(depth)?;
    let mut parts = Vec::with_capacity(document.len());
    for (key, value) in document {
        parts.push(if key.starts_with('$') {
            parse_logic(scope, key, value, depth)?
        } else {
            let path = scope.resolve(key)?;
            let test = parse_condition(&path, value, depth).map_err(|error| error.under(key))?;
            Filter::At(path, test)
        });
    }
    Ok(joined(parts, Filter::And))
}

/// One part is itself, none is everything.
fn joined(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.len() {
        0 => Filter::All,
        1 => parts.remove(0),
        _ => join(parts),
    }
}

fn parse_logic(scope: Scope<'_>, operator: &str, value: &Value, depth: usize) -> Result<Filter> {
    let join: fn(Vec<Filter>) -> Filter = match operator {
        "$and" => Filter::And,
        "$or" => Filter::Or,
        "$nor" => Filter::Nor,
        _ => return Err(operators::refuse_logic(operator).with("path", operator)),
    };
    let wrong = || {
        Error::invalid_query(format!("{operator} needs a list of one or more filters"))
            .with("operator", operator)
            .with("path", operator)
    };
    let list = value.as_list().filter(|list| !list.is_empty()).ok_or_else(wrong)?;
    let parts = list.iter().map(|part| parse_document(scope, part.as_map().ok_or_else(wrong)?, depth + 1));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    Ok(match operator {
        "$nor" => Filter::Nor(parts),
        _ => joined(parts, join),
    })
}

/// The value beside a path: operators, or a literal to be equal to.
fn parse_condition(path: &Path, value: &Value, depth: usize) -> Result<Test> {
    let target = Target { definition: path.target.field.as_ref(), through_list: path.target.through_list };
    match value {
        Value::Map(map) if parse_test::is_operators(map) => parse_test::operators(target, map, depth),
        literal => target.equal_to(literal),
    }
}
