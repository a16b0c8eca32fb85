//! Inserts: one row by a prepared statement, more by COPY.

use std::sync::Arc;
use std::time::Duration;

use sqlx_core::error::Error as SqlxError;
use sqlx_postgres::PgConnection;

use super::dialect::{Postgres, column_type, is_counted, quote};
use super::rows::PostgresRows;
use super::session::PostgresSession;
use super::wire::{sized, write_sized};
use crate::backend::{Batch, Cell, More, Rows, Span, Statement};
use crate::backends::deadline::unknown;
use crate::backends::sql::{Dialect, is_json, parameter, written};
use crate::error::{Error, Result};
use crate::schema::{Entity, FieldType};
use crate::value::Value;

/// The first bytes of COPY's binary format.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How much is sent to the server at once.
const CHUNK: usize = 1 << 18;
/// The last bytes.
const END: &[u8] = &(-1_i16).to_be_bytes();
/// How long a COPY stays open for rows that are still to be made; a quarter of the statement's deadline, if that is less.
const OPEN: Duration = Duration::from_millis(100);
/// A COPY of so many rows takes no more: what the server has not come to yet must fit into the deadline too, and an error is
/// only seen at the end.
const MOST: usize = 8192;

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
        by_key: false,
    }
}

/// Inserts rows, all or none, and of `more` what comes in time; the key of each where the database counts it. Keys are drawn
/// for rows that are there, so that counted rows are a COPY for each batch.
pub(super) async fn insert(
    session: &mut PostgresSession,
    statement: &Statement,
    rows: Arc<Batch>,
    more: Option<&mut More>,
) -> Result<Vec<Option<i64>>> {
    let plan = statement.native.clone().and_then(|native| native.downcast::<InsertPlan>().ok());
    let plan = plan.ok_or_else(|| Error::internal("an insert without its plan"))?;
    let Some(counted) = &plan.counted else {
        if rows.len() > 1 {
            return Ok(vec![None; copy(session, &plan, &rows, &Arc::default(), more).await?]);
        }
        return insert_one(session, &plan, statement, &rows).await.map(|_| vec![None]);
    };
    let given: Vec<_> = (0..rows.len()).map(|row| rows.cell(row, counted.position).as_int()).collect();
    let largest = given.iter().flatten().copied().max();
    let keys = if rows.len() > 1 {
        let keys: Arc<[_]> = reserve(session, counted, given).await?.into();
        copy(session, &plan, &rows, &keys, None).await?;
        keys.to_vec()
    } else {
        let found = insert_one(session, &plan, statement, &rows).await?;
        vec![found.cell(0, 0)?.to_value()?.as_int()]
    };
    if let Some(largest) = largest {
        let advanced = session.rows(&of_number(&counted.advance, largest)).await;
        // The rows are in the table, so that inserting them again would not do.
        let is_alone = !session.is_in_transaction();
        advanced.map_err(|error| if is_alone && error.is_retryable() { unknown(&error) } else { error })?;
    }
    Ok(keys)
}

/// Inserts one row; gives its key where the database counts it.
async fn insert_one(
    session: &mut PostgresSession,
    plan: &InsertPlan,
    statement: &Statement,
    rows: &Batch,
) -> Result<PostgresRows> {
    let row = plan.columns.iter().zip(rows.row(0));
    let parameters = row.map(|((_, kind), cell)| parameter(kind, cell)).collect::<Result<_>>()?;
    let kinds: Arc<[FieldType]> = if plan.counted.is_some() { Arc::new([FieldType::Int]) } else { Arc::new([]) };
    session.rows(&Statement { parameters, kinds, ..statement.clone() }).await
}

/// The keys of rows, those that are not given drawn from the sequence.
async fn reserve(
    session: &mut PostgresSession,
    counted: &Counted,
    mut keys: Vec<Option<i64>>,
) -> Result<Vec<Option<i64>>> {
    let missing = keys.iter().filter(|key| key.is_none()).count();
    if missing > 0 {
        let drawn = session.rows(&of_number(&counted.reserve, missing as i64)).await?;
        for (index, key) in keys.iter_mut().filter(|key| key.is_none()).enumerate() {
            *key = drawn.cell(index, 0)?.as_int();
        }
    }
    Ok(keys)
}

/// Sends rows by COPY, which takes all or none, with these keys where the database counts them; and of `more` what comes while
/// it is open. How many rows it took.
async fn copy(
    session: &mut PostgresSession,
    plan: &Arc<InsertPlan>,
    rows: &Arc<Batch>,
    keys: &Arc<[Option<i64>]>,
    more: Option<&mut More>,
) -> Result<usize> {
    let data = data_of(plan, rows, keys, 0).await?;
    // The server counts what it waits for rows as the statement's time.
    let open = session.limit().map_or(OPEN, |limit| OPEN.min(limit / 4));
    // The driver cannot go on with a connection whose COPY was left in the middle, so until its end it counts as dirty.
    session.mark_dirty(true);
    let (connection, deadline) = session.started()?;
    let more = more.map(|more| (more, Span::new(open)));
    let outcome = deadline.bound(send(connection, plan, data, rows.len(), more)).await;
    session.mark_dirty(false);
    let row = outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).and_then(failed_row);
    let sent = session.ended(outcome).map_err(|error| match row {
        Some(row) => error.with("row", row),
        None => error,
    })?;
    sent.refused.map_or(Ok(sent.count), Err)
}

/// Rows in COPY's binary format, behind `before` others of the same COPY.
async fn data_of(
    plan: &Arc<InsertPlan>,
    rows: &Arc<Batch>,
    keys: &Arc<[Option<i64>]>,
    before: usize,
) -> Result<Vec<u8>> {
    let (plan, keys) = (Arc::clone(plan), Arc::clone(keys));
    written(rows, move |rows| copy_data(&plan, rows, &keys, before)).await
}

fn copy_data(plan: &InsertPlan, rows: &Batch, keys: &[Option<i64>], before: usize) -> Result<Vec<u8>> {
    let mut data = if before == 0 { SIGNATURE.to_vec() } else { Vec::new() };
    let width = i16::try_from(plan.columns.len()).map_err(|_| Error::invalid_schema("too many columns"))?;
    let counted = plan.counted.as_ref().map(|counted| counted.position);
    for row in 0..rows.len() {
        data.extend_from_slice(&width.to_be_bytes());
        for (position, ((name, kind), cell)) in plan.columns.iter().zip(rows.row(row)).enumerate() {
            let key = keys.get(row).copied().flatten().filter(|_| counted == Some(position));
            let written = write_column(kind, key.map_or(cell, Cell::Int), &mut data);
            written.map_err(|error| error.under(name).with("row", before + row))?;
        }
    }
    Ok(data)
}

/// One column; `jsonb` begins with its version.
fn write_column(kind: &FieldType, cell: Cell<'_>, out: &mut Vec<u8>) -> Result<()> {
    if is_json(kind) && !cell.is_null() {
        return sized(out, |out| {
            if column_type(kind) == "jsonb" {
                out.push(1);
            }
            cell.write_tagged(out);
            Ok(())
        });
    }
    match cell {
        Cell::Text(text) => sized(out, |out| {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }),
        cell => write_sized(&cell.to_value()?, out),
    }
}

/// What a COPY took.
struct Sent {
    count: usize,
    /// Why the row behind that has no binary form.
    refused: Option<Error>,
}

/// Sends the data of `count` rows, and more rows as long as they come within a span.
async fn send(
    connection: &mut PgConnection,
    plan: &Arc<InsertPlan>,
    mut data: Vec<u8>,
    mut count: usize,
    mut more: Option<(&mut More, Span)>,
) -> Result<Sent, SqlxError> {
    let mut copy = connection.copy_in_raw(&plan.copy).await?;
    let mut refused = None;
    let is_all = more.is_none();
    if is_all {
        data.extend_from_slice(END);
    }
    loop {
        for chunk in data.chunks(CHUNK) {
            copy.send(chunk).await?;
        }
        let Some((more, span)) = more.as_mut().filter(|_| count < MOST) else { break };
        let Some(rows) = more.within(span).await.map(Arc::new) else { break };
        match data_of(plan, &rows, &Arc::default(), count).await {
            Ok(next) => data = next,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        count += rows.len();
    }
    if !is_all {
        copy.send(END).await?;
    }
    copy.finish().await?;
    Ok(Sent { count, refused })
}

/// The position of the row that COPY failed on: its error says `COPY things, line 3`, from 1.
fn failed_row(error: &SqlxError) -> Option<usize> {
    let SqlxError::Database(error) = error else { return None };
    let place = error.try_downcast_ref::<sqlx_postgres::PgDatabaseError>()?.r#where()?;
    let line = place.split_once(", line ")?.1;
    let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<usize>().ok()?.checked_sub(1)
}
