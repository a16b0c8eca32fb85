//! MySQL's and MariaDB's errors as ours (numbers: MySQL documentation, "Server Error Message Reference"; from 1900 on
//! those of MariaDB).

use sqlx_core::error::Error as SqlxError;
use sqlx_mysql::MySqlDatabaseError;

use super::insert::WritePlan;
use crate::backends::sql::references::violation;
use crate::error::{Error, Kind};
use crate::value::Value;

/// The number of the server's error.
pub(super) fn number(error: &SqlxError) -> Option<u16> {
    let SqlxError::Database(error) = error else { return None };
    Some(error.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// Translates an error of a statement; the plan names what was written.
pub(super) fn translate(error: SqlxError, plan: Option<&WritePlan>) -> Error {
    match error {
        SqlxError::Database(error) => match error.try_downcast::<MySqlDatabaseError>() {
            Ok(error) => of_server(&error, plan),
            Err(error) => Error::backend(format!("mysql: {error}")),
        },
        SqlxError::Io(error) => Error::connection_failed(format!("mysql: the connection was lost: {error}")),
        // What we refused to encode keeps its own kind.
        SqlxError::Encode(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::invalid_value(format!("mysql: {error}")),
        },
        SqlxError::Tls(error) => Error::connection_failed(format!("mysql: TLS failed: {error}")),
        SqlxError::Protocol(message) => Error::connection_failed(format!("mysql: {message}")),
        SqlxError::Configuration(error) => Error::invalid_configuration(format!("mysql: {error}")),
        error => Error::backend(format!("mysql: {error}")),
    }
}

/// Whether the connection may be used after this error.
pub(super) fn is_survivable(error: &SqlxError) -> bool {
    match error {
        // Killed, shutting down, packet too large: the socket goes with them.
        SqlxError::Database(_) => !matches!(number(error), Some(1053 | 1152..=1161 | 1927 | 3169 | 4031)),
        SqlxError::Encode(_) => true,
        _ => false,
    }
}

/// Whether the answer is lost with this error, so that nobody knows whether the statement took effect.
pub(super) fn is_lost(error: &SqlxError) -> bool {
    !matches!(error, SqlxError::Database(_) | SqlxError::Encode(_))
}

/// Whether the server has rolled the whole transaction back with this error.
pub(super) fn ends_transaction(error: &SqlxError) -> bool {
    matches!(number(error), Some(1213 | 1020))
}

/// Whether a prepared statement no longer fits its table.
pub(super) fn is_stale_plan(error: &SqlxError) -> bool {
    matches!(number(error), Some(1615 | 1243))
}

/// Whether a statement names an index that is not there.
pub(super) fn is_missing_index(error: &SqlxError) -> bool {
    number(error) == Some(1176)
}

fn kind(number: u16, state: &str) -> Kind {
    match number {
        1062 | 1586 => Kind::UniqueViolation,
        // 3008: a cascade of more levels than the server follows; MariaDB has no number for it.
        1216 | 1217 | 1451 | 1452 | 3008 => Kind::ForeignKeyViolation,
        1213 | 1020 => Kind::TransactionConflict,
        1205 | 3572 => Kind::DatabaseBusy,
        1969 | 3024 => Kind::StatementTimeout,
        1792 | 1568 => Kind::TransactionState,
        1040 | 1044 | 1045 | 1049 | 1053 | 1129 | 1130 | 1203 | 1226 | 1927 | 4031 => Kind::ConnectionFailed,
        // Out of range, bad text, too many digits ...
        1264 | 1292 | 1366 | 1411 | 1690 | 1153 | 3903 => Kind::InvalidValue,
        1048 | 1364 | 1406 | 3819 | 4025 => Kind::ConstraintViolation,
        _ if state.starts_with("08") => Kind::ConnectionFailed,
        _ => Kind::Backend,
    }
}

fn of_server(error: &MySqlDatabaseError, plan: Option<&WritePlan>) -> Error {
    let (number, state) = (error.number(), error.code().unwrap_or_default());
    let is_too_deep = number == 1296 && error.message().starts_with("Got error 193 ");
    let kind = if is_too_deep { Kind::ForeignKeyViolation } else { kind(number, state) };
    let entity = plan.map_or("", |plan| plan.entity.as_str());
    let translated = match kind {
        Kind::UniqueViolation => {
            let index = index_name(error.message());
            let fields = plan.and_then(|plan| plan.fields_of(index)).unwrap_or_default();
            let message = if fields.is_empty() {
                format!("a row with the same values in index {index} exists")
            } else {
                format!("a row of {entity} with the same {} exists", fields.join(", "))
            };
            let error = Error::new(kind, message).with("index", index);
            if fields.is_empty() {
                error
            } else {
                error.with("fields", fields.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>())
            }
        }
        Kind::ForeignKeyViolation => {
            let (table, constraint) = foreign_key(error.message());
            violation(format!("mysql: {}", error.message()), table, constraint)
        }
        Kind::StatementTimeout => Error::new(kind, "the statement ran longer than its deadline"),
        _ => Error::new(kind, format!("mysql: {}", error.message())),
    };
    let translated = if entity.is_empty() { translated } else { translated.with("entity", entity) };
    translated.with("sqlstate", state).with("number", i64::from(number))
}

/// The index in `Duplicate entry 'x' for key 'things.ix_name'`, without the value and without the table.
fn index_name(message: &str) -> &str {
    let name = message.rsplit_once(" for key '").map_or("", |(_, rest)| rest.trim_end_matches('\''));
    name.rsplit_once('.').map_or(name, |(_, name)| name)
}

/// The table that has the foreign key, and its name: ``... (`app`.`posts`, CONSTRAINT `fk_posts_author` FOREIGN KEY ...)``.
fn foreign_key(message: &str) -> (&str, &str) {
    let Some((before, after)) = message.split_once("`, CONSTRAINT `") else { return ("", "") };
    let table = before.rsplit_once("`.`").map_or("", |(_, table)| table);
    (table, after.split('`').next().unwrap_or_default())
}

/// The position, from 0, in `... at row 3`.
pub(super) fn failed_row(message: &str) -> Option<usize> {
    message.rsplit_once(" at row ")?.1.trim_end_matches('.').parse::<usize>().ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_read_without_its_value() {
        assert_eq!(index_name("Duplicate entry 'it''s for key 'x'' for key 'PRIMARY'"), "PRIMARY");
        assert_eq!(index_name("Duplicate entry 'a' for key 'users.ix_users_email'"), "ix_users_email");
        assert_eq!(failed_row("Data too long for column 'name' at row 3"), Some(2));
        assert_eq!(failed_row("Data too long"), None);
    }

    #[test]
    fn the_foreign_key_is_read_with_its_table() {
        let message = "Cannot add or update a child row: a foreign key constraint fails (`app`.`posts`, CONSTRAINT \
            `fk_posts_author` FOREIGN KEY (`author_id`) REFERENCES `authors` (`id`))";
        assert_eq!(foreign_key(message), ("posts", "fk_posts_author"));
        assert_eq!(foreign_key("something else"), ("", ""));
    }
}
