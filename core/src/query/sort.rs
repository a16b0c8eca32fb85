//! Orders of results.

use crate::error::{Error, Result};
use crate::schema::{Entity, Path};
use crate::value::Value;

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
}

impl Sort {
    /// Reads `["-created_at", "name"]`, `"-created_at"`, `{"created_at": -1}` or `[["created_at", -1]]`.
    pub fn parse(value: &Value, entity: &Entity) -> Result<Self> {
        let mut fields: Vec<SortField> = Vec::new();
        for (text, descending) in parts(value)? {
            let path = Path::resolve(entity, text)?;
            if fields.iter().any(|field| field.path.text == path.text) {
                return Err(Error::invalid_query(format!("the sort names {text:?} twice")).with("path", text));
            }
            fields.push(SortField { path, descending });
        }
        Ok(Self { fields })
    }

    /// This order, then the key where it is not part of it already: no two rows are equal.
    #[must_use]
    pub fn with_key(mut self, entity: &Entity) -> Self {
        let descending = self.fields.last().is_some_and(|field| field.descending);
        for position in &entity.key {
            if !self.fields.iter().any(|field| field.path.is_column() && field.path.column == *position) {
                let path = Path::resolve(entity, &entity.fields[*position].name).expect("a key is a field");
                self.fields.push(SortField { path, descending });
            }
        }
        self
    }

    /// The order as people write it, for cursors and `explain`.
    pub fn to_text(&self) -> String {
        let parts = self.fields.iter().map(|field| format!("{}{}", if field.descending { "-" } else { "" }, field.path.text));
        parts.collect::<Vec<_>>().join(",")
    }
}

fn parts(value: &Value) -> Result<Vec<(&str, bool)>> {
    let wrong = || Error::invalid_query("expected a sort such as [\"-created_at\", \"name\"]").with("path", "sort");
    let signed = |text: &'_ Value| -> Option<(usize, bool)> {
        let text = text.as_text()?;
        Some((usize::from(text.starts_with(['-', '+'])), text.starts_with('-')))
    };
    let direction = |value: &Value| match value {
        Value::Int(1) => Some(false),
        Value::Int(-1) => Some(true),
        Value::Float(number) if *number == 1.0 => Some(false),
        Value::Float(number) if *number == -1.0 => Some(true),
        _ => None,
    };
    let one = |item| match item {
        text @ Value::Text(_) => {
            let (start, descending) = signed(text).ok_or_else(wrong)?;
            Ok((&text.as_text().unwrap_or_default()[start..], descending))
        }
        Value::List(pair) => match pair.as_slice() {
            [Value::Text(text), order] => Ok((text.as_str(), direction(order).ok_or_else(wrong)?)),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        text @ Value::Text(_) => Ok(vec![one(text)?]),
        Value::List(list) => list.iter().map(one).collect(),
        Value::Map(map) => {
            map.iter().map(|(text, order)| Ok((text.as_str(), direction(order).ok_or_else(wrong)?))).collect()
        }
        _ => Err(wrong()),
    }
}
