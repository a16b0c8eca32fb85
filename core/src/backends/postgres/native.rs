//! Native statements of the user: the server says the types of their parameters and columns.

use sqlx_core::arguments::Arguments;
use sqlx_core::column::Column;
use sqlx_core::encode::{Encode, IsNull};
use sqlx_core::error::{BoxDynError, Error as SqlxError};
use sqlx_core::executor::Executor;
use sqlx_core::row::Row;
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr};
use sqlx_core::statement::Statement as _;
use sqlx_core::type_info::TypeInfo;
use sqlx_core::types::Type;
use sqlx_core::value::ValueRef;
use sqlx_core::{Either, query::query_with};
use sqlx_postgres::types::Oid;
use sqlx_postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgRow, PgTypeInfo, Postgres};

use futures_util::TryStreamExt;

use super::rows::{integer, time};
use super::session::PostgresSession;
use super::wire::{EPOCH_DAYS, EPOCH_MICROS, numeric_text, sized, write};
use crate::backends::sql::{first_word, plain_text};
use crate::error::{Error, Kind, Result};
use crate::value::{BigDecimal, Date, DateTime, Map, Uuid, Value, parse_decimal, tagged};

/// Commands that would leave a pooled connection in a transaction that nobody ends.
const TRANSACTION_COMMANDS: [&str; 9] =
    ["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"];

/// Refuses what begins or ends transactions behind the core's back.
pub(super) fn refuse_transaction_commands(text: &str) -> Result<()> {
    let first = first_word(text);
    if !TRANSACTION_COMMANDS.contains(&first.as_str()) {
        return Ok(());
    }
    Err(Error::invalid_query(format!("{first:?} belongs to transactions: use the transaction of the database")))
}

/// A value for a parameter whose type the server has named.
struct Free<'a>(&'a Value, String);

impl Type<Postgres> for Free<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Free<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        write_as(self.0, &self.1, buffer)?;
        Ok(IsNull::No)
    }
}

fn write_as(value: &Value, wanted: &str, out: &mut Vec<u8>) -> Result<()> {
    let refuse = || Error::invalid_query(format!("a parameter of type {wanted} was given {}", value.type_name()));
    let fits = || Error::invalid_value(format!("a number does not fit the parameter's type {wanted}"));
    match (wanted, value) {
        ("INT2", Value::Int(number)) => {
            out.extend_from_slice(&i16::try_from(*number).map_err(|_| fits())?.to_be_bytes());
        }
        ("INT4", Value::Int(number)) => {
            out.extend_from_slice(&i32::try_from(*number).map_err(|_| fits())?.to_be_bytes());
        }
        ("FLOAT4", Value::Float(number)) => out.extend_from_slice(&(*number as f32).to_be_bytes()),
        ("FLOAT8", Value::Int(number)) => out.extend_from_slice(&(*number as f64).to_be_bytes()),
        ("NUMERIC", Value::Int(number)) => write(&Value::Decimal(BigDecimal::from(*number)), out)?,
        ("NUMERIC", Value::Float(number)) => {
            write(&Value::Decimal(parse_decimal(&number.to_string())?), out)?;
        }
        ("JSON", value) => out.extend_from_slice(tagged::to_string(value).as_bytes()),
        ("JSONB", value) => {
            out.push(1);
            out.extend_from_slice(tagged::to_string(value).as_bytes());
        }
        ("TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN", value) => {
            write(&Value::Text(plain_text(value)), out)?;
        }
        (wanted, Value::List(items)) if wanted.ends_with("[]") => write_list(items, &wanted[..wanted.len() - 2], out)?,
        ("INT8", Value::Int(_))
        | ("FLOAT8", Value::Float(_))
        | ("NUMERIC", Value::Decimal(_))
        | ("BOOL", Value::Bool(_))
        | ("BYTEA", Value::Bytes(_))
        | ("UUID", Value::Uuid(_))
        | ("TIMESTAMPTZ" | "TIMESTAMP", Value::DateTime(_))
        | ("DATE", Value::Date(_))
        | ("TIME", Value::Time(_)) => write(value, out)?,
        _ => return Err(refuse()),
    }
    Ok(())
}

/// The numbers of array elements' types (`pg_type.dat`).
const ELEMENTS: [(&str, u32); 12] = [
    ("BOOL", 16),
    ("BYTEA", 17),
    ("INT8", 20),
    ("INT2", 21),
    ("INT4", 23),
    ("TEXT", 25),
    ("FLOAT8", 701),
    ("VARCHAR", 1043),
    ("DATE", 1082),
    ("TIMESTAMPTZ", 1184),
    ("NUMERIC", 1700),
    ("UUID", 2950),
];

fn write_list(items: &[Value], element: &str, out: &mut Vec<u8>) -> Result<()> {
    let refuse = || Error::invalid_query(format!("parameters that are lists of {element} are not supported"));
    let (_, number) = ELEMENTS.iter().find(|(name, _)| *name == element).ok_or_else(refuse)?;
    let count = i32::try_from(items.len()).map_err(|_| refuse())?;
    out.extend_from_slice(&i32::from(count > 0).to_be_bytes());
    out.extend_from_slice(&i32::from(items.iter().any(Value::is_null)).to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    if count > 0 {
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    for item in items {
        if item.is_null() {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            sized(out, |out| write_as(item, element, out))?;
        }
    }
    Ok(())
}

/// Executes text of the user; rows come as a list of maps, other statements as `{"affected": n}`.
pub(super) async fn execute(session: &mut PostgresSession, text: &str, parameters: &Value) -> Result<Value> {
    let parameters = match parameters {
        Value::Null => &[][..],
        Value::List(list) => list,
        _ => return Err(Error::invalid_query("the parameters of a statement for postgres are a list, for $1, $2 ...")),
    };
    if session.is_proxied() {
        // To learn the types a statement is named, and a session of the proxy may have one of that name from another client.
        session.command("DEALLOCATE ALL").await?;
    }
    let (connection, deadline) = session.started()?;
    let outcome = deadline.bound(run(connection, text, parameters)).await;
    match session.ended(outcome) {
        Ok(outcome) => outcome,
        Err(error) if error.kind() == Kind::Backend => {
            let code = error.context().get("sqlstate").cloned().unwrap_or_default();
            Err(Error::invalid_query(error.message().to_owned()).with("sqlstate", code))
        }
        Err(error) => Err(error),
    }
}

async fn run(connection: &mut PgConnection, text: &str, parameters: &[Value]) -> Result<Result<Value>, SqlxError> {
    let prepared = connection.prepare(AssertSqlSafe(text.to_owned()).into_sql_str()).await?;
    let types: Vec<String> = match prepared.parameters() {
        Some(Either::Left(types)) => types.iter().map(|kind| kind.name().to_owned()).collect(),
        _ => Vec::new(),
    };
    if types.len() != parameters.len() {
        let message = format!("the statement has {} parameters, {} were given", types.len(), parameters.len());
        return Ok(Err(Error::invalid_query(message)));
    }
    let mut arguments = PgArguments::default();
    for (value, kind) in parameters.iter().zip(types) {
        arguments.add(Free(value, kind)).map_err(SqlxError::Encode)?;
    }
    let gives_rows = !prepared.columns().is_empty();
    let mut stream = connection.fetch_many(query_with(AssertSqlSafe(text.to_owned()), arguments).persistent(false));
    let (mut rows, mut affected, mut failure) = (Vec::new(), 0, None);
    while let Some(item) = stream.try_next().await? {
        match item {
            Either::Left(done) => affected += done.rows_affected(),
            Either::Right(row) => match map(&row) {
                Ok(map) => rows.push(Value::Map(map)),
                Err(error) => failure = failure.or(Some(error)),
            },
        }
    }
    if let Some(error) = failure {
        return Ok(Err(error));
    }
    let affected = usize::try_from(affected).unwrap_or(usize::MAX);
    Ok(Ok(if gives_rows { Value::List(rows) } else { Value::Map(crate::document! { "affected" => affected }) }))
}

fn map(row: &PgRow) -> Result<Map> {
    let cell = |column: &sqlx_postgres::PgColumn| {
        let cell = row.try_get_raw(column.ordinal()).map_err(|error| Error::internal(error.to_string()))?;
        let value = if cell.is_null() {
            Value::Null
        } else {
            let bytes = cell.as_bytes().map_err(|error| Error::internal(error.to_string()))?;
            let kind = column.type_info().name();
            free_value(kind, bytes).ok_or_else(|| {
                Error::unsupported(format!("postgres: the column {:?} has type {kind}: cast it", column.name()))
                    .with("backend", "postgres")
            })?
        };
        Ok((column.name().to_owned(), value))
    };
    row.columns().iter().map(cell).collect()
}

/// A cell of a type that the core knows.
fn free_value(kind: &str, bytes: &[u8]) -> Option<Value> {
    let text = || std::str::from_utf8(bytes).ok().map(str::to_owned);
    if let Some(element) = kind.strip_suffix("[]") {
        return free_list(element, bytes);
    }
    Some(match kind {
        "INT2" | "INT4" | "INT8" => Value::Int(integer(bytes)?),
        "OID" | "XID" => Value::Int(i64::from(u32::from_be_bytes(bytes.try_into().ok()?))),
        "FLOAT8" => Value::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        "FLOAT4" => Value::Float(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        "NUMERIC" => Value::Decimal(parse_decimal(&numeric_text(bytes)?).ok()?),
        "BOOL" => Value::Bool(*bytes.first()? == 1),
        "BYTEA" => Value::Bytes(bytes.to_vec()),
        "UUID" => Value::Uuid(Uuid::from_slice(bytes).ok()?),
        "TIMESTAMPTZ" | "TIMESTAMP" => {
            Value::DateTime(DateTime::from_micros(integer(bytes)?.checked_add(EPOCH_MICROS)?).ok()?)
        }
        "DATE" => Value::Date(Date::from_days(i32::try_from(integer(bytes)?).ok()?.checked_add(EPOCH_DAYS)?).ok()?),
        "TIME" => Value::Time(time(bytes)?),
        "JSON" => tagged::read(bytes).ok()?,
        "JSONB" => tagged::read(bytes.get(1..)?).ok()?,
        "VOID" => Value::Null,
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "\"CHAR\"" | "CITEXT" | "citext" => Value::Text(text()?),
        _ => return None,
    })
}

/// An array of one dimension.
fn free_list(element: &str, bytes: &[u8]) -> Option<Value> {
    let word = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match word(0)? {
        0 => return Some(Value::List(Vec::new())),
        1 => {}
        _ => return None,
    }
    let (mut items, mut at) = (Vec::new(), 20);
    for _ in 0..word(12)? {
        let length = word(at)?;
        at += 4;
        let Ok(length) = usize::try_from(length) else {
            items.push(Value::Null);
            continue;
        };
        items.push(free_value(element, bytes.get(at..at + length)?)?);
        at += length;
    }
    Some(Value::List(items))
}
