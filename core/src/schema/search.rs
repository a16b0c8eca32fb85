//! The search field: which fields its words come from, and the words of a row.

use super::entity::Entity;
use super::field::{Auto, Field, FieldType};
use super::path::Path;
use crate::error::{Error, Result};
use crate::query::{values_below, words};
use crate::value::Value;

/// Names that the column of a full-text index cannot have in SQLite.
const TAKEN: [&str; 2] = ["rank", "rowid"];

/// Bytes of a name that every database takes.
const LONGEST_NAME: usize = 63;

/// Whether a field can hold the words of others: nullable text that nobody else has a say in.
pub(super) fn fits(field: &Field) -> bool {
    matches!(field.kind, FieldType::Text)
        && field.nullable
        && field.default.is_none()
        && field.constraints.is_empty()
        && !(field.primary_key || field.unique || field.index)
        && !TAKEN.contains(&field.name.to_lowercase().as_str())
}

/// The resolved sources of the entity's search field, where it has one.
pub(super) fn sources(entity: &Entity) -> Result<Vec<Path>> {
    for field in &entity.fields {
        if field.search.is_empty() == (field.auto == Some(Auto::Search)) {
            let message = format!("field {:?} needs both \"auto\": \"search\" and \"search\", or neither", field.name);
            return Err(Error::invalid_schema(message).with("field", field.name.as_str()));
        }
    }
    let Some(position) = entity.automatic.search else { return Ok(Vec::new()) };
    let field = &entity.fields[position];
    let wrong = |path: &str, why: &str| {
        Error::invalid_schema(format!("field {:?} cannot search {path:?}: {why}", field.name))
            .with("field", field.name.as_str())
            .with("path", path)
    };
    let source = |text: &String| {
        let path = Path::resolve(entity, text).map_err(|error| wrong(text, error.message()))?;
        let is_text = |field: &Field| match &field.kind {
            FieldType::Text => true,
            FieldType::List(items) => matches!(items.kind, FieldType::Text),
            _ => false,
        };
        if path.column == position || !path.target.field.as_ref().is_some_and(is_text) {
            return Err(wrong(text, "it is neither another text nor a list of text"));
        }
        Ok(path)
    };
    field.search.iter().map(source).collect()
}

impl Entity {
    /// The name of the full-text index, one for each field that may be searched; a hash where it would be too long.
    pub fn search_name(&self) -> String {
        let field = self.automatic.search.map_or("", |position| &self.fields[position].name);
        let name = format!("_farm_search_{}_{field}", self.name);
        if name.len() <= LONGEST_NAME {
            return name;
        }
        format!("_farm_search_{}", &super::canonical::hash(&name)[..32])
    }

    /// Whether a column is one that the words come from.
    pub fn is_source(&self, position: usize) -> bool {
        self.sources.iter().any(|path| path.column == position)
    }

    /// The words of a row, divided by one blank each, in the order of the sources; null without any. A word that stands
    /// several times in the row does so here, since that is what engines rank by. `value` gives a column's value.
    pub(crate) fn search_text<'a>(&self, value: impl Fn(usize) -> &'a Value) -> Value {
        let mut text = String::new();
        for path in &self.sources {
            for found in values_below(value(path.column), &path.legs) {
                for word in found.as_text().into_iter().flat_map(words) {
                    if !text.is_empty() {
                        text.push(' ');
                    }
                    text += &word;
                }
            }
        }
        if text.is_empty() { Value::Null } else { Value::Text(text) }
    }

    /// Puts the words of a row into its search field, where it has one.
    pub(crate) fn fill_search(&self, row: &mut [Value]) {
        if let Some(position) = self.automatic.search {
            row[position] = self.search_text(|column| &row[column]);
        }
    }
}
