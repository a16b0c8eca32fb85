//! Errors on their way out: `{"code": .., "message": .., "context": .., "retryable": ..}` as the message of a JavaScript
//! error, from which the TypeScript package rebuilds its own.

use std::any::Any;

use farm_db_core::value::tagged;
use farm_db_core::{Error, Map, Value};

/// The JSON of an error.
pub(crate) fn to_json(error: &Error) -> String {
    let mut parts = Map::new();
    parts.insert("code".to_owned(), error.code().into());
    parts.insert("message".to_owned(), error.to_string().into());
    parts.insert("context".to_owned(), Value::Map(error.context().clone()));
    parts.insert("retryable".to_owned(), error.is_retryable().into());
    tagged::map_to_string(&parts)
}

/// An error to throw at once.
pub(crate) fn to_napi(error: &Error) -> napi::Error {
    napi::Error::from_reason(to_json(error))
}

/// What a panic becomes: the process lives.
pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("a defect in farm-db: {}", text.unwrap_or("it panicked")))
}
