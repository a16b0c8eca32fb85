//! The one error type of the core and the table of its kinds.
//!
//! Every failure that a user can see has a [`Kind`] with a stable code. The hosts build one exception class a kind
//! (Python) or one union member a kind (TypeScript) from [`TABLE`]; a test in each language holds them together.
//! Messages are lower-case, say what failed and on what, and never hold a secret.

use std::borrow::Cow;
use std::fmt;

use crate::value::{Map, Value};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $retryable:literal, $http:literal, $meaning:literal;)*) => {
        /// What went wrong, in the few classes that a caller may want to tell apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $meaning] $name,)* }

        /// Every kind with its facts, in the order in which the documentation lists them.
        pub const TABLE: &[Entry] = &[$(Entry {
            kind: Kind::$name, name: stringify!($name), code: $code, retryable: $retryable, http_status: $http, meaning: $meaning,
        },)*];
    };
}

/// One row of the error table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The kind itself.
    pub kind: Kind,
    /// The kind's name; the Python class is this name followed by `Error`.
    pub name: &'static str,
    /// The stable code, the same in every language.
    pub code: &'static str,
    /// Whether the same call may succeed when it is made again.
    pub retryable: bool,
    /// The HTTP status that the FastAPI error handlers answer with.
    pub http_status: u16,
    /// One line of meaning.
    pub meaning: &'static str,
}

kinds! {
    NotFound, "not_found", false, 404, "no row has this key";
    UniqueViolation, "unique_violation", false, 409, "a row with the same unique value exists";
    ForeignKeyViolation, "foreign_key_violation", false, 409, "a referenced row is missing or still referenced";
    ConstraintViolation, "constraint_violation", false, 422, "the database refused the row by another constraint";
    VersionConflict, "version_conflict", false, 409, "the row was changed by someone else since it was read";
    InvalidValue, "invalid_value", false, 422, "a value does not fit the contract or the database";
    UnknownField, "unknown_field", false, 422, "the entity has no such field";
    UnknownOperator, "unknown_operator", false, 422, "the query language has no such operator";
    InvalidQuery, "invalid_query", false, 422, "a filter, update, sort or page is malformed";
    EmptyFilter, "empty_filter", false, 422, "an empty filter would touch every row and was not asked to";
    InvalidCursor, "invalid_cursor", false, 422, "a page cursor is malformed or belongs to another query";
    Unsupported, "unsupported", false, 501, "this backend cannot do it with the same meaning and refuses";
    ResidualLimit, "residual_limit", false, 422, "too many rows would have to be filtered outside the database";
    InvalidSchema, "invalid_schema", false, 500, "a model or contract is defined wrongly";
    ContractMismatch, "contract_mismatch", false, 500, "the database was made for a different contract";
    InvalidConfiguration, "invalid_configuration", false, 500, "a URL or an option is wrong";
    ConnectionFailed, "connection_failed", true, 503, "the database cannot be reached or opened";
    DatabaseClosed, "database_closed", false, 503, "the database is not connected or is closed";
    PoolTimeout, "pool_timeout", true, 503, "no connection became free within the deadline";
    PoolQueueFull, "pool_queue_full", true, 503, "too many callers already wait for a connection";
    DatabaseBusy, "database_busy", true, 503, "another process holds the lock for too long";
    StatementTimeout, "statement_timeout", true, 504, "a statement ran longer than its deadline";
    Cancelled, "cancelled", false, 499, "the operation was cancelled by its caller";
    TransactionState, "transaction_state", false, 500, "the transaction is over, read-only or in use elsewhere";
    TransactionConflict, "transaction_conflict", true, 409, "the transaction lost against another and may be run again";
    OutcomeUnknown, "outcome_unknown", false, 500, "the answer to a write or a commit is lost: whether it took effect is unknown";
    Backend, "backend_error", false, 500, "the database reported an error of its own";
    Internal, "internal_error", false, 500, "a defect in farm-db";
}

impl Kind {
    /// The row of the table for this kind.
    pub fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    /// The stable code.
    pub fn code(self) -> &'static str {
        self.entry().code
    }
}

/// A failure: its kind, a message for people, and the facts behind it for programs.
///
/// Boxed inside so that `Result` stays one word.
#[derive(Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq)]
struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    context: Map,
}

/// Bytes of a message, and of a text beside it: they repeat what came from outside, which may be of any length.
const LONGEST: usize = 4_000;

/// A text up to its longest, cut between two letters.
fn shortened(text: &str) -> Option<String> {
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at))?;
    (text.len() > LONGEST).then(|| format!("{}...", &text[..end]))
}

fn short_fact(value: Value) -> Value {
    match &value {
        Value::Text(text) => shortened(text).map_or(value, Value::Text),
        _ => value,
    }
}

impl Error {
    /// A failure of `kind` with a lower-case message that says what failed and on what.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let message = shortened(&message).map_or(message, Cow::Owned);
        Self(Box::new(Inner { kind, message, context: Map::new() }))
    }

    /// Adds one fact, such as `field` or `path`; an earlier fact of the same name stays.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.context.entry(name.to_owned()).or_insert_with(|| short_fact(value.into()));
        self
    }

    /// Puts another fact in the place of one.
    #[must_use]
    pub(crate) fn replacing(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.context.insert(name.to_owned(), short_fact(value.into()));
        self
    }

    /// Puts `prefix` before the path in the context, for errors that travel outwards.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        let path = match self.0.context.get("path") {
            Some(Value::Text(inner)) if !inner.is_empty() => format!("{prefix}.{inner}"),
            _ => prefix.to_owned(),
        };
        self.0.context.insert("path".to_owned(), short_fact(Value::Text(path)));
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// Whether the same call may succeed when it is made again.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.entry().retryable
    }

    /// The message without the context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The facts: `entity`, `field`, `path`, `value` and others, as the kind has them.
    pub fn context(&self) -> &Map {
        &self.0.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(Value::Text(path)) = self.0.context.get("path") {
            write!(f, " (at {path})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.code())
    }
}

impl std::error::Error for Error {}

/// Short constructors, so that a call site reads as a sentence.
macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl Error { $(
            #[doc = concat!("A failure of kind [`Kind::", stringify!($kind), "`].")]
            pub fn $name(message: impl Into<Cow<'static, str>>) -> Self { Self::new(Kind::$kind, message) }
        )* }
    };
}

constructors! {
    invalid_value => InvalidValue, unknown_field => UnknownField, unknown_operator => UnknownOperator,
    invalid_query => InvalidQuery, invalid_schema => InvalidSchema, invalid_configuration => InvalidConfiguration,
    unsupported => Unsupported, connection_failed => ConnectionFailed, closed => DatabaseClosed, backend => Backend,
    internal => Internal, invalid_cursor => InvalidCursor, transaction_state => TransactionState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_indexed_by_kind_and_codes_are_unique() {
        let mut codes = std::collections::HashSet::new();
        for (index, entry) in TABLE.iter().enumerate() {
            assert_eq!(entry.kind as usize, index);
            assert!(codes.insert(entry.code), "{} stands twice", entry.code);
            assert!(entry.meaning.starts_with(|c: char| c.is_lowercase()));
        }
    }

    #[test]
    fn what_came_from_outside_is_repeated_in_part() {
        let long = "ü".repeat(1_000_000);
        let error = Error::invalid_query(format!("no {long}")).with("path", long.as_str()).under(&long);
        assert!(error.to_string().len() < 3 * LONGEST);
        assert!(error.message().starts_with("no üü") && error.message().ends_with("ü..."));
    }

    #[test]
    fn a_path_grows_outwards() {
        let error = Error::invalid_value("expected text").under("city").under("profile");
        assert_eq!(error.to_string(), "expected text (at profile.city)");
    }
}
