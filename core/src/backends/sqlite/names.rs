//! Columns and paths as SQL expressions.

use crate::schema::{Entity, FieldType, Path};

/// An identifier in quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'$."a"."b"'`; `None` for names that SQLite's path grammar cannot quote.
pub(super) fn json_path(legs: &[String]) -> Option<String> {
    if legs.iter().any(|leg| leg.contains(['"', '\\'])) {
        return None;
    }
    let path: String = legs.iter().map(|leg| format!(".\"{}\"", leg.replace('\'', "''"))).collect();
    Some(format!("'${path}'"))
}

/// The value of a single scalar inside a JSON column, such that comparing it is comparing the value; `None` where it is
/// not (floats, whose text SQLite reads by its own rounding, and bytes, whose base64 has another order).
pub(super) fn path_expression(entity: &Entity, path: &Path) -> Option<String> {
    let tag = match path.single_scalar()? {
        FieldType::Int | FieldType::Text | FieldType::Bool => None,
        FieldType::Decimal => Some("$numberDecimal"),
        FieldType::Uuid => Some("$uuid"),
        FieldType::ObjectId => Some("$oid"),
        FieldType::DateTime => Some("$date"),
        FieldType::Date => Some("$day"),
        FieldType::Time => Some("$time"),
        _ => return None,
    };
    let mut legs = path.legs.clone();
    legs.extend(tag.map(str::to_owned));
    Some(format!("json_extract({}, {})", quote(&entity.fields[path.column].name), json_path(&legs)?))
}
