//! Native statements of the user.

use futures_util::TryStreamExt;
use sqlx_core::Either;
use sqlx_core::arguments::Arguments;
use sqlx_core::column::Column;
use sqlx_core::error::Error as SqlxError;
use sqlx_core::executor::Executor;
use sqlx_core::query::query_with;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_core::type_info::TypeInfo;
use sqlx_core::types::Type;
use sqlx_mysql::{MySql, MySqlArguments, MySqlConnection, MySqlRow};

use super::error::translate;
use super::rows::{is_unsigned, raw};
use super::session::{Answer, MysqlSession, Request};
use super::values::{Parameter, date, date_time, integer, time};
use crate::backends::sql::first_word;
use crate::error::{Error, Kind, Result};
use crate::value::{BigDecimal, Map, Value, parse_decimal, tagged};

/// Commands that would leave a pooled connection in a transaction that nobody ends.
const TRANSACTION_COMMANDS: [&str; 9] =
    ["begin", "start", "commit", "rollback", "savepoint", "release", "xa", "lock", "unlock"];
/// Commands that commit the transaction around them.
const DEFINITIONS: [&str; 10] =
    ["create", "alter", "drop", "truncate", "rename", "grant", "revoke", "analyze", "optimize", "repair"];

/// Commands that only ask.
const QUESTIONS: [&str; 5] = ["select", "show", "explain", "describe", "desc"];

/// The text of a statement and its parameters.
pub(super) fn read(statement: &Value, parameters: &Value) -> Result<(String, Vec<Value>)> {
    let text = statement.as_text().ok_or_else(|| Error::invalid_query("a statement for mysql is text"))?;
    let parameters = match parameters {
        Value::Null => Vec::new(),
        Value::List(list) => list.clone(),
        _ => return Err(Error::invalid_query("the parameters of a statement for mysql are a list, one for each ?")),
    };
    let first = first_word(text);
    if TRANSACTION_COMMANDS.contains(&first.as_str()) {
        let message = format!("{first:?} belongs to transactions: use the transaction of the database");
        return Err(Error::invalid_query(message));
    }
    if first == "load" {
        // The server could ask for any file of this machine.
        return Err(Error::unsupported("mysql: LOAD DATA is not served").with("backend", "mysql"));
    }
    Ok((text.to_owned(), parameters))
}

/// Whether a statement only asks.
pub(super) fn is_question(text: &str) -> bool {
    QUESTIONS.contains(&first_word(text).as_str())
}

/// Refuses what would commit the transaction around it.
pub(super) fn refuse_definitions(text: &str) -> Result<()> {
    let first = first_word(text);
    if !DEFINITIONS.contains(&first.as_str()) {
        return Ok(());
    }
    Err(Error::transaction_state(format!("mysql would commit the transaction before {first:?}: execute it outside")))
}

/// Executes text of the user; rows come as a list of maps, other statements as `{"affected": n}`.
pub(super) async fn execute(session: &mut MysqlSession, text: String, parameters: Vec<Value>) -> Result<Value> {
    let answer = session.ask(Request::Native(text, parameters)).await?;
    match answer.map_err(|error| translate(error, None)) {
        Ok(Answer::Native(value)) => value,
        Ok(Answer::Rows(_)) => Err(Error::internal("mysql: an answer of another kind")),
        Err(error) if error.kind() == Kind::Backend => {
            let context = error.context().clone();
            let error = Error::invalid_query(error.message().to_owned());
            Err(context.into_iter().fold(error, |error, (name, value)| error.with(&name, value)))
        }
        Err(error) => Err(error),
    }
}

/// Executes it on a connection. A statement without parameters is sent as it is; one that may be several is prepared,
/// which the server refuses for more than one.
pub(super) async fn run(
    connection: &mut MySqlConnection,
    text: String,
    parameters: &[Value],
) -> Result<Result<Value>, SqlxError> {
    let gives_rows = gives_rows(&text);
    let is_one = !text.trim_end().trim_end_matches(';').contains(';');
    if parameters.is_empty() && is_one {
        return collect(connection.fetch_many(raw_sql(AssertSqlSafe(text))), false, gives_rows).await;
    }
    let mut arguments = MySqlArguments::default();
    for value in parameters {
        let value = if matches!(value, Value::List(_) | Value::Map(_)) {
            &Value::Text(tagged::to_string(value))
        } else {
            value
        };
        arguments.add(Parameter(value)).map_err(SqlxError::Encode)?;
    }
    match collect(connection.fetch_many(query_with(AssertSqlSafe(text), arguments)), true, gives_rows).await {
        // The driver compares the numbers itself.
        Err(SqlxError::Protocol(message)) if message.contains("parameters were provided") => {
            Ok(Err(Error::invalid_query(message)))
        }
        outcome => outcome,
    }
}

/// Whether a statement answers with rows even if there are none.
fn gives_rows(text: &str) -> bool {
    const READS: [&str; 9] = ["select", "show", "with", "explain", "describe", "desc", "values", "table", "check"];
    READS.contains(&first_word(text).as_str()) || text.to_lowercase().contains("returning")
}

/// What the driver's streams give.
pub(super) type Items<'a> =
    futures_util::stream::BoxStream<'a, Result<Either<sqlx_mysql::MySqlQueryResult, MySqlRow>, SqlxError>>;

async fn collect(mut stream: Items<'_>, binary: bool, mut gives_rows: bool) -> Result<Result<Value>, SqlxError> {
    let (mut rows, mut affected, mut failure) = (Vec::new(), 0, None);
    while let Some(item) = stream.try_next().await? {
        match item {
            Either::Left(done) => affected += done.rows_affected(),
            Either::Right(row) => {
                gives_rows = true;
                match map(&row, binary) {
                    Ok(map) => rows.push(Value::Map(map)),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
    }
    if let Some(error) = failure {
        return Ok(Err(error));
    }
    let affected = usize::try_from(affected).unwrap_or(usize::MAX);
    Ok(Ok(if gives_rows { Value::List(rows) } else { Value::Map(crate::document! { "affected" => affected }) }))
}

fn map(row: &MySqlRow, binary: bool) -> Result<Map> {
    let cell = |column: &sqlx_mysql::MySqlColumn| {
        // The names of types take every binary collation for binary data.
        let is_text = <str as Type<MySql>>::compatible(column.type_info());
        let kind = if is_text { "TEXT" } else { column.type_info().name() };
        let value = match raw(row, column.ordinal())? {
            None => Value::Null,
            Some(bytes) => {
                let value = if binary { free_value(kind, bytes) } else { text_value(kind, bytes) };
                value.ok_or_else(|| {
                    Error::unsupported(format!("mysql: the column {:?} has type {kind}: cast it", column.name()))
                        .with("backend", "mysql")
                })?
            }
        };
        Ok((column.name().to_owned(), value))
    };
    row.columns().iter().map(cell).collect()
}

/// A cell of a type that the core knows, in the binary protocol.
fn free_value(kind: &str, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        "BOOLEAN" => Value::Bool(*bytes.first()? != 0),
        kind if kind.contains("INT") => match integer(bytes, is_unsigned(kind)) {
            Some(number) => Value::Int(number),
            None => Value::Decimal(BigDecimal::from(u64::from_le_bytes(bytes.try_into().ok()?))),
        },
        "YEAR" => Value::Int(integer(bytes, true)?),
        "DOUBLE" => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        "FLOAT" => Value::Float(f64::from(f32::from_le_bytes(bytes.try_into().ok()?))),
        "TIMESTAMP" | "DATETIME" => Value::DateTime(date_time(bytes)?),
        "DATE" => Value::Date(date(bytes)?),
        "TIME" => Value::Time(time(bytes)?),
        kind => return text_value(kind, bytes),
    })
}

/// A cell whose bytes are its text.
fn text_value(kind: &str, bytes: &[u8]) -> Option<Value> {
    let text = || std::str::from_utf8(bytes).ok();
    Some(match kind {
        "DECIMAL" => Value::Decimal(parse_decimal(text()?).ok()?),
        "JSON" => tagged::read(bytes).ok()?,
        "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" | "BINARY" | "VARBINARY" | "BIT" => {
            Value::Bytes(bytes.to_vec())
        }
        "BOOLEAN" => Value::Bool(text()? != "0"),
        kind if kind.contains("INT") || kind == "YEAR" => match text()?.parse() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Decimal(parse_decimal(text()?).ok()?),
        },
        "DOUBLE" => Value::Float(text()?.parse().ok()?),
        "FLOAT" => Value::Float(f64::from(text()?.parse::<f32>().ok()?)),
        "TIMESTAMP" | "DATETIME" => Value::DateTime(format!("{}Z", text()?.replace(' ', "T")).parse().ok()?),
        "DATE" => Value::Date(text()?.parse().ok()?),
        "TIME" => Value::Time(text()?.parse().ok()?),
        "TEXT" | "ENUM" | "SET" => Value::Text(text()?.to_owned()),
        _ => return None,
    })
}
