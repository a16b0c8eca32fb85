//! SQLite's errors as ours.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::worker::Interrupt;
use crate::error::{Error, Kind};
use crate::value::Value;

/// Translates an error of a statement.
pub(super) fn translate(error: &rusqlite::Error, interrupt: &Interrupt) -> Error {
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return Error::backend(format!("sqlite: {error}"));
    };
    let message = message.as_deref().unwrap_or("no message");
    let extended = Value::Int(i64::from(code.extended_code));
    let kind = match (code.code, code.extended_code) {
        (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID) => {
            return unique_violation(message).with("sqlite_code", extended);
        }
        (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Kind::ForeignKeyViolation,
        // RESTRICT, in a table that others have made, is a trigger inside.
        (_, ffi::SQLITE_CONSTRAINT_TRIGGER) if message.starts_with("FOREIGN KEY") => Kind::ForeignKeyViolation,
        (ErrorCode::ConstraintViolation, _) => Kind::ConstraintViolation,
        (ErrorCode::OperationInterrupted, _) if interrupt.is_late() => {
            return Error::new(Kind::StatementTimeout, "the statement ran longer than its deadline");
        }
        (ErrorCode::OperationInterrupted, _) => return Error::new(Kind::Cancelled, "the statement was cancelled"),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Kind::DatabaseBusy,
        (ErrorCode::CannotOpen | ErrorCode::NotADatabase, _) => Kind::ConnectionFailed,
        (ErrorCode::ReadOnly, _) => Kind::TransactionState,
        // Our own functions report an overflow or a bad pattern this way.
        (ErrorCode::Unknown, ffi::SQLITE_ERROR) if message.starts_with(OWN_PREFIX) => {
            return Error::invalid_value(message[OWN_PREFIX.len()..].to_owned());
        }
        _ => Kind::Backend,
    };
    Error::new(kind, format!("sqlite: {message}")).with("sqlite_code", extended)
}

/// The beginning of messages that our own SQL functions raise.
pub(super) const OWN_PREFIX: &str = "farm-db: ";

/// `UNIQUE constraint failed: users.email, users.name` or `... failed: index 'ux_users_email_partial'`.
fn unique_violation(message: &str) -> Error {
    let names = message.rsplit_once("failed: ").map_or("", |(_, names)| names);
    if let Some(index) = names.strip_prefix("index '") {
        let index = index.trim_end_matches('\'');
        return Error::new(Kind::UniqueViolation, format!("a row with the same values in index {index} exists"))
            .with("index", index);
    }
    let columns: Vec<&str> = names.split(", ").collect();
    let fields: Vec<&str> =
        columns.iter().map(|name| name.rsplit_once('.').map_or(*name, |(_, field)| field)).collect();
    let entity = columns.first().and_then(|name| name.rsplit_once('.')).map_or("", |(table, _)| table);
    Error::new(Kind::UniqueViolation, format!("a row of {entity} with the same {} exists", fields.join(", ")))
        .with("entity", entity)
        .with("fields", fields.iter().map(|name| Value::from(*name)).collect::<Vec<_>>())
}
