//! PostgreSQL's errors as ours (SQLSTATE codes: PostgreSQL documentation, appendix A).

use sqlx_core::error::{DatabaseError, Error as SqlxError};
use sqlx_postgres::{PgDatabaseError, PgSeverity};

use crate::backends::sql::references::violation;
use crate::error::{Error, Kind};
use crate::value::Value;

/// Translates an error of a statement.
pub(super) fn translate(error: SqlxError) -> Error {
    match error {
        SqlxError::Database(error) => match error.try_downcast::<PgDatabaseError>() {
            Ok(error) => of_server(&error),
            Err(error) => Error::backend(format!("postgres: {error}")),
        },
        SqlxError::Io(error) => Error::connection_failed(format!("postgres: the connection was lost: {error}")),
        // What we refused to encode keeps its own kind.
        SqlxError::Encode(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::invalid_value(format!("postgres: {error}")),
        },
        SqlxError::Tls(error) => Error::connection_failed(format!("postgres: TLS failed: {error}")),
        SqlxError::Protocol(message) => Error::connection_failed(format!("postgres: {message}")),
        SqlxError::Configuration(error) => Error::invalid_configuration(format!("postgres: {error}")),
        error => Error::backend(format!("postgres: {error}")),
    }
}

/// Whether the connection may be used after this error.
pub(super) fn is_survivable(error: &SqlxError) -> bool {
    match error {
        // Administrators end connections with these, and the socket with them.
        SqlxError::Database(error) => !error.code().is_some_and(|code| code.starts_with("57P")) && !is_fatal(&**error),
        SqlxError::Encode(_) => true,
        _ => false,
    }
}

/// Whether the server, or the proxy before it, closes the connection with this error.
fn is_fatal(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether the answer is lost with this error, so that nobody knows whether the statement took effect.
pub(super) fn is_lost(error: &SqlxError) -> bool {
    match error {
        // The server's own word, but for a crash, which may have come after the commit, and for a proxy that has lost its
        // server.
        SqlxError::Database(error) => {
            let code = error.code().unwrap_or_default();
            code == "57P02" || (code.starts_with("08") && is_fatal(&**error))
        }
        SqlxError::Encode(_) => false,
        _ => true,
    }
}

/// Whether a cached statement no longer fits the table, so that preparing it anew helps.
pub(super) fn is_stale_plan(error: &SqlxError) -> bool {
    let SqlxError::Database(error) = error else { return false };
    // 0A000 "cached plan must not change result type"; 26000: a proxy gave us a session without our statement.
    match error.code().as_deref() {
        Some("0A000") => error.message().contains("cached plan"),
        Some("26000") => true,
        _ => false,
    }
}

fn kind(code: &str) -> Kind {
    match code {
        "23505" => Kind::UniqueViolation,
        // 23001 is what RESTRICT says since PostgreSQL 18.
        "23503" | "23001" => Kind::ForeignKeyViolation,
        "40001" | "40P01" => Kind::TransactionConflict,
        "57014" => Kind::StatementTimeout,
        "55P03" => Kind::DatabaseBusy,
        "25006" | "25P01" | "25P02" | "25P03" => Kind::TransactionState,
        "3D000" | "53300" | "28000" | "28P01" => Kind::ConnectionFailed,
        // Out of range, bad text, too many digits ...
        "22003" | "22008" | "22021" | "22P05" => Kind::InvalidValue,
        code if code.starts_with("23") || code == "22001" => Kind::ConstraintViolation,
        code if code.starts_with("08") || code.starts_with("57P") => Kind::ConnectionFailed,
        _ => Kind::Backend,
    }
}

fn of_server(error: &PgDatabaseError) -> Error {
    let code = error.code();
    let kind = kind(code);
    let entity = error.table().unwrap_or_default();
    let translated = match kind {
        Kind::UniqueViolation => {
            let fields = key_fields(error.detail().unwrap_or_default());
            let constraint = error.constraint().unwrap_or_default();
            let message = if fields.is_empty() {
                format!("a row with the same values in index {constraint} exists")
            } else {
                format!("a row of {entity} with the same {} exists", fields.join(", "))
            };
            let error = Error::new(kind, message).with("index", constraint);
            if fields.is_empty() {
                error
            } else {
                error.with("fields", fields.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>())
            }
        }
        Kind::ForeignKeyViolation => {
            violation(format!("postgres: {}", error.message()), entity, error.constraint().unwrap_or_default())
        }
        Kind::StatementTimeout => Error::new(kind, "the statement ran longer than its deadline"),
        _ => Error::new(kind, format!("postgres: {}", error.message())),
    };
    let translated = if entity.is_empty() { translated } else { translated.with("entity", entity) };
    translated.with("sqlstate", code)
}

/// The fields of `Key (email, name)=(x, y) already exists.`; none where the index is over an expression.
fn key_fields(detail: &str) -> Vec<String> {
    let names = detail.strip_prefix("Key (").and_then(|rest| rest.split_once(")=(")).map_or("", |(names, _)| names);
    if names.is_empty() || names.contains('(') {
        return Vec::new();
    }
    names.split(", ").map(|name| name.trim_matches('"').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_key_are_read_without_its_values() {
        assert_eq!(key_fields("Key (email, \"User\")=(a, b) already exists."), ["email", "User"]);
        assert!(key_fields("Key (lower(email))=(a) already exists.").is_empty());
        assert!(key_fields("").is_empty());
    }
}
