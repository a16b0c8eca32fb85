//! MongoDB's errors as ours (codes: `src/mongo/base/error_codes.yml` of the server).

use mongodb::bson::{Bson, Document};
use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};

use super::layout::Layout;
use crate::error::{Error, Kind, Result};
use crate::value::Value;

/// Labels of the driver's transactions specification.
const TRANSIENT: &str = "TransientTransactionError";
pub(super) const UNKNOWN_COMMIT: &str = "UnknownTransactionCommitResult";

/// Translates an error of a command on a collection.
pub(super) fn translate(error: &DriverError, layout: Option<&Layout>) -> Error {
    if error.contains_label(TRANSIENT) {
        return Error::new(Kind::TransactionConflict, format!("mongodb: {}", message(error)));
    }
    match error.kind.as_ref() {
        ErrorKind::Command(failure) => of_code(failure.code, &failure.message, layout),
        ErrorKind::Write(WriteFailure::WriteError(failure)) => of_code(failure.code, &failure.message, layout),
        ErrorKind::Write(WriteFailure::WriteConcernError(failure)) => of_code(failure.code, &failure.message, layout),
        ErrorKind::Authentication { message, .. } => {
            Error::connection_failed(format!("mongodb refused the user: {message}"))
        }
        ErrorKind::ServerSelection { .. }
        | ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. } => Error::connection_failed(format!("mongodb: {}", message(error))),
        ErrorKind::InvalidTlsConfig { message, .. } | ErrorKind::InvalidArgument { message, .. } => {
            Error::invalid_configuration(format!("mongodb: {message}"))
        }
        ErrorKind::Transaction { message, .. } => Error::transaction_state(format!("mongodb: {message}")),
        ErrorKind::BsonSerialization(error) => Error::invalid_value(format!("mongodb: {error}")),
        ErrorKind::Shutdown => Error::closed("the database was closed while this was under way"),
        _ => Error::backend(format!("mongodb: {}", message(error))),
    }
}

/// The error that the answer to a write of several rows tells, the first of which is row `start`.
pub(super) fn refused(answer: &Document, layout: &Layout, start: usize) -> Result<()> {
    let errors = answer.get_array("writeErrors").ok();
    let Some(failure) = errors.and_then(|errors| errors.first()).and_then(Bson::as_document) else { return Ok(()) };
    let message = failure.get_str("errmsg").unwrap_or_default();
    if answer.get_array("errorLabels").is_ok_and(|labels| labels.contains(&TRANSIENT.into())) {
        return Err(Error::new(Kind::TransactionConflict, format!("mongodb: {message}")));
    }
    let error = of_code(failure.get_i32("code").unwrap_or_default(), message, Some(layout));
    let index = failure.get_i32("index").ok().and_then(|index| usize::try_from(index).ok());
    Err(match index {
        Some(index) => error.with("row", start + index),
        None => error,
    })
}

/// Whether the answer to a write is lost with this error, or says that the members may yet undo it.
pub(super) fn is_lost(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Io(_) | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
        // The driver tells of its second try alone, where the first may have been done and not answered.
        ErrorKind::Command(_) => {
            error.contains_label("RetryableWriteError") && !error.contains_label("NoWritesPerformed")
        }
        _ => false,
    }
}

/// The driver's text without its labels and topology.
fn message(error: &DriverError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("Kind: ").unwrap_or(&text);
    text.split(", labels: {").next().unwrap_or(text).to_owned()
}

fn of_code(code: i32, message: &str, layout: Option<&Layout>) -> Error {
    let kind = match code {
        11000 | 11001 | 12582 => return unique_violation(message, layout).with("mongodb_code", i64::from(code)),
        121 => Kind::ConstraintViolation,
        112 | 251 | 246 => Kind::TransactionConflict,
        50 | 262 => return Error::new(Kind::StatementTimeout, "the statement ran longer than its deadline"),
        11601 => Kind::Cancelled,
        // A regular expression that its engine does not take.
        51091 => Kind::InvalidQuery,
        // An increment beyond 64 bits, a document beyond 16 MiB, a key name that cannot be stored.
        10334 | 17280 | 52 | 57 => Kind::InvalidValue,
        2 if message.contains("$inc") => {
            return Error::invalid_value("the sum does not fit a 64-bit integer").with("mongodb_code", i64::from(code));
        }
        2 if message.contains("parallel arrays") => {
            return Error::invalid_query("cannot sort by two lists").with("mongodb_code", i64::from(code));
        }
        6 | 7 | 13 | 18 | 89 | 91 | 189 | 9001 | 10107 | 11600 | 11602 | 13435 | 13436 => Kind::ConnectionFailed,
        _ => Kind::Backend,
    };
    Error::new(kind, format!("mongodb: {message}")).with("mongodb_code", i64::from(code))
}

/// `E11000 duplicate key error collection: app.users index: ux_users_email dup key: { email: "x" }`.
fn unique_violation(message: &str, layout: Option<&Layout>) -> Error {
    let index = message.split_once(" index: ").map_or("", |(_, rest)| rest.split(' ').next().unwrap_or_default());
    let fields = layout.and_then(|layout| layout.indexes.get(index));
    let (Some(layout), Some(fields)) = (layout, fields) else {
        return Error::new(Kind::UniqueViolation, format!("a row with the same values in index {index} exists"))
            .with("index", index);
    };
    let entity = layout.collection.as_str();
    let text = format!("a row of {entity} with the same {} exists", fields.join(", "));
    Error::new(Kind::UniqueViolation, text)
        .with("entity", entity)
        .with("index", index)
        .with("fields", fields.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>())
}
