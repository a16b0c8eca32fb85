//! Inserts: one row by a prepared statement, more by statements with their values inside. Those are one message each,
//! while a statement that is prepared for one use waits for the peer's acknowledgement when it is closed, because the
//! driver leaves Nagle's algorithm on.

use std::sync::Arc;

use super::dialect::{Mysql, quote, write_constant, write_constant_text};
use super::error::{failed_row, translate};
use super::session::{Answer, MysqlSession, Request};
use super::values::size;
use crate::backend::{Batch, Cell, Rows, Session, Statement, TransactionOptions};
use crate::backends::deadline::unknown;
use crate::backends::sql::{Dialect, is_json, parameter, written};
use crate::error::{Error, Result};
use crate::schema::{Entity, FieldType, Generated};
use crate::value::Value;

/// Bytes of one statement, about: beyond this nothing is won.
const MOST_BYTES: usize = 1 << 20;
/// Bytes around the values of a statement.
const FRAME: usize = 4_096;
/// The savepoint around several statements inside the caller's transaction.
const INSERT: &str = "farm_insert";

/// What writes of an entity need beside their text.
pub(super) struct WritePlan {
    pub(super) entity: String,
    /// Whether the statement is an update and a select.
    pub(super) is_pair: bool,
    /// The fields of each unique index, by its name.
    indexes: Vec<(String, Vec<String>)>,
    columns: Vec<(String, FieldType)>,
    /// Up to VALUES.
    into: String,
    /// The position of the key that the database counts, and its name in quotes.
    counted: Option<(usize, String)>,
}

impl WritePlan {
    /// What an insert needs.
    pub(super) fn new(dialect: &Mysql, entity: &Entity) -> Self {
        let quoted: Vec<_> = entity.fields.iter().map(|field| quote(&field.name)).collect();
        let counted = entity.fields.iter().position(|field| field.generated == Some(Generated::AutoIncrement));
        Self {
            columns: entity.fields.iter().map(|field| (field.name.clone(), field.kind.clone())).collect(),
            into: format!("INSERT INTO {} ({}) VALUES ", dialect.table(&entity.name), quoted.join(", ")),
            counted: counted.map(|position| (position, quote(&entity.fields[position].name))),
            ..Self::of_update(entity, false)
        }
    }

    /// What an update needs, which is made for each.
    pub(super) fn of_update(entity: &Entity, is_pair: bool) -> Self {
        let name = |position: usize| entity.fields[position].name.clone();
        let names = |positions: &[usize]| positions.iter().map(|position| name(*position)).collect::<Vec<_>>();
        let key = ("PRIMARY".to_owned(), names(&entity.key));
        let unique = entity.indexes.iter().filter(|index| index.unique).map(|index| {
            let columns: Vec<_> = index.fields.iter().map(|part| part.path.column).collect();
            (index.name.clone(), names(&columns))
        });
        Self {
            entity: entity.name.clone(),
            is_pair,
            indexes: [key].into_iter().chain(unique).collect(),
            columns: Vec::new(),
            into: String::new(),
            counted: None,
        }
    }

    /// The plan of a statement that writes.
    pub(super) fn of(statement: &Statement) -> Option<Arc<Self>> {
        statement.native.clone().and_then(|native| native.downcast::<Self>().ok())
    }

    pub(super) fn fields_of(&self, index: &str) -> Option<&[String]> {
        self.indexes.iter().find(|(name, _)| name == index).map(|(_, fields)| fields.as_slice())
    }
}

/// Inserts rows, all or none; the key of each where the database counts it.
pub(super) async fn insert(
    session: &mut MysqlSession,
    statement: &Statement,
    rows: &Arc<Batch>,
) -> Result<Vec<Option<i64>>> {
    let plan = WritePlan::of(statement).ok_or_else(|| Error::internal("an insert without its plan"))?;
    let (is_mariadb, packet) = session.link().map(|link| (link.is_mariadb, link.packet))?;
    if rows.len() == 1 {
        return insert_one(session, &plan, statement, rows).await;
    }
    let chunks = written(rows, {
        let plan = Arc::clone(&plan);
        move |rows| chunks(&plan, rows, is_mariadb, packet)
    });
    let chunks = chunks.await?;
    if chunks.len() == 1 {
        return insert_chunks(session, &plan, chunks).await;
    }
    let own = !session.is_in_transaction();
    if own {
        session.begin(&TransactionOptions::default()).await?;
    } else {
        session.command(format!("SAVEPOINT {INSERT}")).await?;
    }
    let outcome = insert_chunks(session, &plan, chunks).await;
    match (&outcome, own) {
        (Ok(_), true) => session.commit().await?,
        (Err(_), true) => session.rollback().await?,
        (Ok(_), false) => session.command(format!("RELEASE SAVEPOINT {INSERT}")).await?,
        // Where the server has rolled the whole transaction back, there is no savepoint any more.
        (Err(_), false) if session.check().is_err() => {}
        (Err(_), false) => session.command(format!("ROLLBACK TO SAVEPOINT {INSERT}")).await?,
    }
    outcome
}

/// Refuses a row that is larger than a message may be.
fn check_size(plan: &WritePlan, bytes: usize, packet: usize) -> Result<()> {
    if bytes + FRAME <= packet {
        return Ok(());
    }
    let message = format!("a row of {bytes} bytes is larger than the server takes (max_allowed_packet is {packet})");
    Err(Error::invalid_value(message).with("entity", plan.entity.as_str()))
}

async fn insert_one(
    session: &mut MysqlSession,
    plan: &WritePlan,
    statement: &Statement,
    rows: &Batch,
) -> Result<Vec<Option<i64>>> {
    let (is_mariadb, packet) = session.link().map(|link| (link.is_mariadb, link.packet))?;
    let counted = plan.counted.as_ref().filter(|(position, _)| rows.cell(0, *position).is_null());
    let row = plan.columns.iter().zip(rows.row(0));
    let parameters = row.map(|((_, kind), cell)| parameter(kind, cell)).collect::<Result<Vec<_>>>()?;
    check_size(plan, parameters.iter().map(size).sum(), packet)?;
    let mut statement = Statement { parameters, kinds: Arc::new([]), ..statement.clone() };
    if let Some((_, name)) = counted.filter(|_| is_mariadb) {
        statement.text = format!("{} RETURNING {name}", statement.text).into();
        statement.kinds = Arc::new([FieldType::Int]);
        let rows = session.fetch(statement, true).await?.rows?;
        return Ok(vec![rows.cell(0, 0)?.to_value()?.as_int()]);
    }
    let fetched = session.fetch(statement, true).await?;
    Ok(vec![counted.and_then(|_| i64::try_from(fetched.last_id).ok())])
}

/// Rows that one statement inserts.
struct Chunk {
    /// The position of the first of them among all rows.
    first: usize,
    text: String,
    /// The counted keys that were given.
    keys: Vec<Option<i64>>,
    /// The name of the counted key that the statement returns.
    returned: Option<String>,
}

/// A row as a list of constants.
fn row_text(plan: &WritePlan, rows: &Batch, row: usize) -> Result<String> {
    let mut text = String::new();
    for (index, ((_, kind), cell)) in plan.columns.iter().zip(rows.row(row)).enumerate() {
        text.push(if index == 0 { '(' } else { ',' });
        match cell {
            Cell::Json(json) => write_constant_text(json, &mut text),
            Cell::Text(constant) if !is_json(kind) => write_constant_text(constant, &mut text),
            cell => write_constant(&parameter(kind, cell)?, &mut text),
        }
    }
    text.push(')');
    Ok(text)
}

/// The rows in the statements that will insert them. Where keys cannot be returned, a statement has either all of its
/// counted keys or none, because the server tells the first of its own only.
fn chunks(plan: &WritePlan, rows: &Batch, is_mariadb: bool, packet: usize) -> Result<Vec<Chunk>> {
    let most = MOST_BYTES.min(packet.saturating_sub(FRAME));
    let mut chunks: Vec<Chunk> = Vec::new();
    for index in 0..rows.len() {
        let key = plan.counted.as_ref().and_then(|(position, _)| rows.cell(index, *position).as_int());
        let row = row_text(plan, rows, index).map_err(|error| error.with("row", index))?;
        check_size(plan, row.len(), packet).map_err(|error| error.with("row", index))?;
        match chunks.last_mut() {
            Some(chunk)
                if chunk.text.len() + row.len() < most
                    && (is_mariadb || chunk.keys.last().is_some_and(|last| last.is_some() == key.is_some())) =>
            {
                chunk.text.push(',');
                chunk.text += &row;
                chunk.keys.push(key);
            }
            _ => chunks.push(Chunk { first: index, text: plan.into.clone() + &row, keys: vec![key], returned: None }),
        }
    }
    if let Some((_, name)) = plan.counted.as_ref().filter(|_| is_mariadb) {
        for chunk in chunks.iter_mut().filter(|chunk| chunk.keys.contains(&None)) {
            chunk.returned = Some(name.clone());
            chunk.text += &format!(" RETURNING {name}");
        }
    }
    Ok(chunks)
}

async fn insert_chunks(
    session: &mut MysqlSession,
    plan: &Arc<WritePlan>,
    chunks: Vec<Chunk>,
) -> Result<Vec<Option<i64>>> {
    let mut keys = Vec::new();
    for chunk in chunks {
        let first = chunk.first;
        let inserted = insert_chunk(session, plan, chunk).await;
        keys.extend(inserted.map_err(|error| match failed_row(error.message()) {
            Some(row) => error.with("row", first + row),
            None => error,
        })?);
    }
    Ok(keys)
}

async fn insert_chunk(session: &mut MysqlSession, plan: &Arc<WritePlan>, chunk: Chunk) -> Result<Vec<Option<i64>>> {
    let answer = session.ask(Request::Native(chunk.text, Vec::new())).await?;
    let Answer::Native(answer) = answer.map_err(|error| translate(error, Some(plan)))? else {
        return Err(Error::internal("mysql: an answer of another kind"));
    };
    let answer = answer?;
    if chunk.returned.is_some() {
        let key = |row: &Value| row.as_map().and_then(|row| row.values().next()?.as_int());
        return Ok(answer.as_list().unwrap_or_default().iter().map(key).collect());
    }
    if plan.counted.is_none() || !chunk.keys.contains(&None) {
        return Ok(chunk.keys);
    }
    let keys = counted(session, chunk.keys.len()).await;
    // The rows are in the table, so that inserting them again would not do.
    let is_alone = !session.is_in_transaction();
    keys.map_err(|error| if is_alone && error.is_retryable() { unknown(&error) } else { error })
}

/// The keys that MySQL has given to the rows of the last statement: from the first in steps, without a gap.
async fn counted(session: &mut MysqlSession, rows: usize) -> Result<Vec<Option<i64>>> {
    let question =
        "SELECT CAST(LAST_INSERT_ID() AS SIGNED) AS first, CAST(@@auto_increment_increment AS SIGNED) AS step";
    let answer = session.native(&Value::from(question), &Value::Null).await?;
    let row = answer.as_list().and_then(|rows| rows.first()?.as_map());
    let number = |name: &str| row.and_then(|row| row.get(name)?.as_int());
    let (Some(first), Some(step)) = (number("first"), number("step")) else {
        return Err(Error::internal("mysql: the counted keys are unknown"));
    };
    Ok((0..rows as i64).map(|row| Some(first + row * step)).collect())
}
