//! The in-memory matcher.
use super::Filter;
use crate::schema::Entity;
use crate::value::{Map, Value};

/// Whether `document` satisfies `filter`.
pub fn matches(_filter: &Filter, _document: &Map) -> bool {
    unimplemented!()
}
/// Values at a path.
pub fn values_at<'a>(_document: &'a Map, _path: &[String]) -> Vec<&'a Value> {
    let _ = |_: &Entity| ();
    unimplemented!()
}
