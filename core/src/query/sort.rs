//! Orders of results.
//!
//! Invariant: no path stands twice, and no two paths lead into different declared lists: mongod refuses to sort by
//! parallel arrays. Not for: comparing documents (`sort_key`).

use super::matcher::index;
use crate::error::{Error, Result};
use crate::schema::{Entity, FieldType, Path, Target};
use crate::value::Value;

/// Parts of an order at most, as in mongod.
const MOST: usize = 32;

/// One part of an order.
#[derive(Clone, Debug)]
pub struct SortField {
    /// By what.
    pub path: Path,
    /// Whether from large to small.
    pub descending: bool,
}

/// An order: by the first field, then by the second, and so on.
#[derive(Clone, Debug, Default)]
pub struct Sort {
    /// The parts; empty for no order.
    pub fields: Vec<SortField>,
    /// Whether the rows that a full-text search finds come in the engine's own order, and only equal ones in this one.
    pub ranked: bool,
}

impl Sort {
    /// Reads `["-created_at", "name"]`, `"-created_at"`, `{"created_at": -1}` or `[["created_at", -1]]`.
    pub fn parse(value: &Value, entity: &Entity) -> Result<Self> {
        let mut fields: Vec<SortField> = Vec::new();
        for (text, descending) in parts(value)? {
            let path = Path::resolve(entity, text)?;
            if fields.len() == MOST {
                return Err(Error::invalid_query(format!("a sort has up to {MOST} parts")).with("path", text));
            }
            if fields.iter().any(|field| field.path.text == path.text) {
                return Err(Error::invalid_query(format!("the sort names {text:?} twice")).with("path", text));
            }
            fields.push(SortField { path, descending });
        }
        refuse_parallel(&fields, entity)?;
        Ok(Self { fields, ranked: false })
    }

    /// This order, then the key where it is not part of it already: no two rows are equal.
    #[must_use]
    pub fn with_key(mut self, entity: &Entity) -> Self {
        let descending = self.fields.last().is_some_and(|field| field.descending);
        for position in &entity.key {
            if !self.fields.iter().any(|field| field.path.is_column() && field.path.column == *position) {
                let field = &entity.fields[*position];
                let target = Target { field: Some(field.clone()), through_list: false };
                let path = Path { text: field.name.clone(), column: *position, legs: Vec::new(), target };
                self.fields.push(SortField { path, descending });
            }
        }
        self
    }

    /// The order as people write it, for cursors and `explain`.
    pub fn to_text(&self) -> String {
        let parts =
            self.fields.iter().map(|field| format!("{}{}", if field.descending { "-" } else { "" }, field.path.text));
        parts.collect::<Vec<_>>().join(",")
    }
}

/// The paths with their directions, as they were written.
fn parts(value: &Value) -> Result<Vec<(&str, bool)>> {
    match value {
        Value::Null => Ok(Vec::new()),
        text @ Value::Text(_) => Ok(vec![part(text)?]),
        Value::List(list) => list.iter().map(part).collect(),
        Value::Map(map) => map.iter().map(|(text, order)| Ok((text.as_str(), direction(order)?))).collect(),
        _ => Err(malformed()),
    }
}

fn part(item: &Value) -> Result<(&str, bool)> {
    match item {
        Value::Text(text) => match text.strip_prefix(['-', '+']) {
            Some(path) => Ok((path, text.starts_with('-'))),
            None => Ok((text, false)),
        },
        Value::List(pair) => match pair.as_slice() {
            [Value::Text(text), order] => Ok((text, direction(order)?)),
            _ => Err(malformed()),
        },
        _ => Err(malformed()),
    }
}

/// 1 or -1, as any number type; true where it is descending.
pub(super) fn direction(value: &Value) -> Result<bool> {
    match super::parse_test::whole_number(value) {
        Some(1) => Ok(false),
        Some(-1) => Ok(true),
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::invalid_query("expected a sort such as [\"-created_at\", \"name\"] or {\"created_at\": -1}")
        .with("path", "sort")
}

/// Paths into different lists have one key an element each, which mongod cannot combine ("parallel arrays").
fn refuse_parallel(fields: &[SortField], entity: &Entity) -> Result<()> {
    let mut deepest: Vec<String> = Vec::new();
    for SortField { path, .. } in fields {
        let lists = lists_on(path, entity);
        if let Some((one, other)) = deepest.iter().zip(&lists).find(|(one, other)| one != other) {
            let message = format!("cannot sort by two lists, {one:?} and {other:?}");
            return Err(Error::invalid_query(message).with("path", path.text.as_str()));
        }
        if lists.len() > deepest.len() {
            deepest = lists;
        }
    }
    Ok(())
}

/// The declared lists that a path leads through and to, by their paths.
fn lists_on(path: &Path, entity: &Entity) -> Vec<String> {
    let mut field = &entity.fields[path.column];
    let mut at = field.name.clone();
    let mut legs = path.legs.iter().peekable();
    let mut lists = Vec::new();
    loop {
        field = match &field.kind {
            FieldType::List(items) => {
                lists.push(at.clone());
                if legs.peek().is_none() {
                    return lists;
                }
                if let Some(leg) = legs.next_if(|leg| index(leg).is_some()) {
                    at = format!("{at}.{leg}");
                }
                items
            }
            kind => {
                let Some(leg) = legs.next() else { return lists };
                at = format!("{at}.{leg}");
                match kind {
                    FieldType::Map(values) => values,
                    FieldType::Model(model) => match model.field(leg) {
                        Some(inner) => inner,
                        None => return lists,
                    },
                    _ => return lists,
                }
            }
        };
    }
}
