//! Inserts: one row by a prepared statement, more by COPY.

use std::sync::Arc;

use sqlx_core::error::Error as SqlxError;
use sqlx_postgres::PgConnection;

use super::dialect::{Postgres, column_type, is_counted, quote};
use super::session::PostgresSession;
use super::wire::{sized, write_sized};
use crate::backend::{Rows, Statement};
use crate::backends::deadline::unknown;
use crate::backends::sql::{Dialect, for_column, is_json, written};
use crate::error::{Error, Result};
use crate::schema::{Entity, FieldType};
use crate::value::{Value, tagged};

/// The first bytes of COPY's binary format.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How much is sent to the server at once.
const CHUNK: usize = 1 << 16;

/// What inserts of an entity need beside the statement of one row.
pub(super) struct InsertPlan {
    /// `COPY ... FROM STDIN`.
    copy: String,
    columns: Vec<(String, FieldType)>,
    counted: Option<Counted>,
}

/// The key that the database counts.
struct Counted {
    position: usize,
    /// Takes `$1` numbers from the sequence.
    reserve: Arc<str>,
    /// Moves the sequence to `$1` or beyond.
    advance: Arc<str>,
}

/// Gaps up to this are closed by drawing numbers, which never sets a sequence back; a larger one by setting it.
const SMALL_GAP: i64 = 10_000;

impl InsertPlan {
    pub(super) fn new(dialect: &Postgres, entity: &Entity) -> Self {
        let names: Vec<_> = entity.fields.iter().map(|field| quote(&field.name)).collect();
        let counted = entity.fields.iter().position(is_counted).map(|position| {
            let sequence = dialect.sequence(entity, &entity.fields[position]);
            let advance = format!(
                "SELECT CASE WHEN gap > {SMALL_GAP} THEN setval(sequence, $1::bigint) WHEN gap > 0 THEN \
                 (SELECT max(number) FROM (SELECT nextval(sequence) AS number FROM generate_series(1, gap)) AS drawn) END \
                 FROM (SELECT sequence, $1::bigint - COALESCE(pg_sequence_last_value(sequence), 0) AS gap \
                 FROM (SELECT {sequence}::regclass AS sequence) AS named) AS measured"
            );
            let reserve = format!("SELECT nextval({sequence}) FROM generate_series(1, $1::bigint)");
            Counted { position, reserve: reserve.into(), advance: advance.into() }
        });
        Self {
            copy: format!("COPY {} ({}) FROM STDIN (FORMAT binary)", dialect.table(&entity.name), names.join(", ")),
            columns: entity.fields.iter().map(|field| (field.name.clone(), field.kind.clone())).collect(),
            counted,
        }
    }
}

/// A statement of one number that gives numbers.
fn of_number(text: &Arc<str>, number: i64) -> Statement {
    Statement {
        text: Arc::clone(text),
        parameters: vec![Value::Int(number)],
        columns: Arc::new([]),
        residual: None,
        unsorted: false,
        native: None,
        kinds: Arc::new([FieldType::Int]),
        early: None,
    }
}

/// Inserts rows, all or none; the key of each where the database counts it.
pub(super) async fn insert(
    session: &mut PostgresSession,
    statement: &Statement,
    mut rows: Arc<Vec<Vec<Value>>>,
) -> Result<Vec<Option<i64>>> {
    let plan = statement.native.clone().and_then(|native| native.downcast::<InsertPlan>().ok());
    let plan = plan.ok_or_else(|| Error::internal("an insert without its plan"))?;
    let many = rows.len() > 1;
    let count = rows.len();
    let largest =
        plan.counted.as_ref().and_then(|counted| rows.iter().filter_map(|row| row[counted.position].as_int()).max());
    let keys = if many {
        let keys = reserve(session, &plan, &mut rows).await?;
        copy(session, &plan, &rows).await?;
        keys
    } else {
        let row = plan.columns.iter().zip(rows.iter().flatten());
        let parameters = row.map(|((_, kind), value)| for_column(kind, value).into_owned()).collect();
        let kinds: Arc<[FieldType]> = if plan.counted.is_some() { Arc::new([FieldType::Int]) } else { Arc::new([]) };
        let found = session.rows(&Statement { parameters, kinds, ..statement.clone() }).await?;
        vec![if plan.counted.is_some() { found.cell(0, 0)?.to_value()?.as_int() } else { None }; count]
    };
    if let (Some(counted), Some(largest)) = (&plan.counted, largest) {
        let advanced = session.rows(&of_number(&counted.advance, largest)).await;
        // The rows are in the table, so that inserting them again would not do.
        let is_alone = !session.is_in_transaction();
        advanced.map_err(|error| if is_alone && error.is_retryable() { unknown(&error) } else { error })?;
    }
    Ok(keys)
}

/// Gives keys to the rows without one.
async fn reserve(
    session: &mut PostgresSession,
    plan: &InsertPlan,
    rows: &mut Arc<Vec<Vec<Value>>>,
) -> Result<Vec<Option<i64>>> {
    let Some(counted) = &plan.counted else { return Ok(vec![None; rows.len()]) };
    let position = counted.position;
    let missing = rows.iter().filter(|row| row[position].is_null()).count();
    if missing > 0 {
        let drawn = session.rows(&of_number(&counted.reserve, missing as i64)).await?;
        for (index, row) in Arc::make_mut(rows).iter_mut().filter(|row| row[position].is_null()).enumerate() {
            row[position] = drawn.cell(index, 0)?.to_value()?;
        }
    }
    Ok(rows.iter().map(|row| row[position].as_int()).collect())
}

/// Sends rows by COPY, which takes all or none.
async fn copy(session: &mut PostgresSession, plan: &Arc<InsertPlan>, rows: &Arc<Vec<Vec<Value>>>) -> Result<()> {
    let data = written(rows, {
        let plan = Arc::clone(plan);
        move |rows| copy_data(&plan, rows)
    });
    let data = data.await?;
    // The driver cannot go on with a connection whose COPY was left in the middle, so until its end it counts as dirty.
    session.mark_dirty(true);
    let (connection, deadline) = session.started()?;
    let outcome = deadline.bound(send(connection, &plan.copy, &data)).await;
    session.mark_dirty(false);
    let row = outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).and_then(failed_row);
    let outcome = session.ended(outcome);
    outcome.map_err(|error| match row {
        Some(row) => error.with("row", row),
        None => error,
    })
}

/// Rows in COPY's binary format.
fn copy_data(plan: &InsertPlan, rows: &[Vec<Value>]) -> Result<Vec<u8>> {
    let mut data = SIGNATURE.to_vec();
    let width = i16::try_from(plan.columns.len()).map_err(|_| Error::invalid_schema("too many columns"))?;
    for (index, row) in rows.iter().enumerate() {
        data.extend_from_slice(&width.to_be_bytes());
        for ((name, kind), value) in plan.columns.iter().zip(row) {
            let written = write_column(kind, value, &mut data);
            written.map_err(|error| error.under(name).with("row", index))?;
        }
    }
    data.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(data)
}

/// One column; `jsonb` begins with its version.
fn write_column(kind: &FieldType, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    if !is_json(kind) || value.is_null() {
        return write_sized(value, out);
    }
    sized(out, |out| {
        if column_type(kind) == "jsonb" {
            out.push(1);
        }
        tagged::write(value, out);
        Ok(())
    })
}

async fn send(connection: &mut PgConnection, command: &str, data: &[u8]) -> Result<(), SqlxError> {
    let mut copy = connection.copy_in_raw(command).await?;
    for chunk in data.chunks(CHUNK) {
        copy.send(chunk).await?;
    }
    copy.finish().await.map(|_| ())
}

/// The position of the row that COPY failed on: its error says `COPY things, line 3`, from 1.
fn failed_row(error: &SqlxError) -> Option<usize> {
    let SqlxError::Database(error) = error else { return None };
    let place = error.try_downcast_ref::<sqlx_postgres::PgDatabaseError>()?.r#where()?;
    let line = place.split_once(", line ")?.1;
    let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<usize>().ok()?.checked_sub(1)
}
