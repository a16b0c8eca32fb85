//! An update of one row that comes back: `UPDATE ..; SELECT ..`, sent as one message, because there is no `RETURNING`.
//!
//! The row is locked from the update on, so what is read behind it in the same transaction is what this write made. The
//! values stand in the text as constants, which no mode of the session can read differently: a prepared statement cannot
//! be two.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx_core::Either;
use sqlx_core::error::Error as SqlxError;
use sqlx_core::executor::Executor;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_mysql::MySqlConnection;

use super::dialect::{Mysql, quote, write_constant};
use super::rows::MysqlRows;
use super::session::Fetched;
use super::values::size;
use crate::backend::{Changes, Operation, Select, Statement, Write};
use crate::backends::sql::Dialect;
use crate::backends::sql::compile::{all_columns, compile};
use crate::error::{Error, Result};
use crate::query::{Comparison, Filter, Sort, Test};
use crate::schema::{Entity, FieldType};

/// Bytes of values beyond which parameters of statements one after another are better than constants of twice the length.
const MOST_BYTES: usize = 64 << 10;

/// The two statements, the parameters of both and the columns of the second; refused where not exactly one key is meant.
pub(super) fn update_and_read(dialect: &Mysql, write: &Write<'_>, changes: &Changes) -> Result<Statement> {
    let entity = write.entity;
    let refused = || Error::unsupported("mysql cannot do this write in one message").with("backend", "mysql");
    let key = key_of(entity, write.filter).filter(|_| !write.one && !dialect.is_sharded()).ok_or_else(refused)?;
    let mut pair = compile(dialect, &Operation::Update(Write { returning: false, ..write.clone() }, changes.clone()))?;
    let sort = Sort::default();
    let select = Select {
        entity,
        filter: &key,
        sort: &sort,
        after: None,
        limit: None,
        skip: 0,
        scan: 0,
        columns: entity.key.clone().into(),
        for_update: false,
    };
    let read = compile(dialect, &Operation::Select(select))?;
    if !read.is_exact() {
        return Err(refused());
    }
    pair.parameters.extend(read.parameters);
    if pair.parameters.iter().map(size).sum::<usize>() > MOST_BYTES {
        return Err(refused());
    }
    let from = read.text.find(&format!(" FROM {} ", dialect.table(&entity.name))).ok_or_else(refused)?;
    pair.text = format!("{}; SELECT 1, {}{}", pair.text, columns(entity), &read.text[from..]).into();
    pair.columns = all_columns(entity);
    pair.kinds = entity.fields.iter().map(|field| field.kind.clone()).collect();
    Ok(pair)
}

/// The part of a filter that names one key; `None` where it need not be one.
fn key_of(entity: &Entity, filter: &Filter) -> Option<Filter> {
    let parts = match filter {
        Filter::And(parts) => parts.as_slice(),
        part => std::slice::from_ref(part),
    };
    let equal = |position: &usize| {
        let is_equal = |part: &&Filter| match part {
            Filter::At(path, Test::Compare(Comparison::Eq, value)) => {
                path.is_column() && path.column == *position && !value.is_null()
            }
            _ => false,
        };
        parts.iter().find(is_equal).cloned()
    };
    entity.key.iter().map(equal).collect::<Option<_>>().map(Filter::And)
}

/// The columns for text: single precision would be written with six digits, and is none as a sum.
fn columns(entity: &Entity) -> String {
    let column = |field: &crate::schema::Field| match field.kind {
        FieldType::Float => format!("{} + 0e0", quote(&field.name)),
        _ => quote(&field.name),
    };
    entity.fields.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The text with its values in the places of their marks.
pub(super) fn with_constants(statement: &Statement) -> Result<String> {
    let mut values = statement.parameters.iter();
    let mut text = String::with_capacity(statement.text.len() + statement.parameters.iter().map(size).sum::<usize>());
    // A quote inside quotes is written twice, so that each one changes sides.
    let mut inside = None;
    for sign in statement.text.chars() {
        match (sign, inside) {
            ('?', None) => match values.next() {
                Some(value) => write_constant(value, &mut text),
                None => return Err(Error::internal("mysql: a statement with more marks than values")),
            },
            ('\'' | '`', None) => {
                inside = Some(sign);
                text.push(sign);
            }
            _ => {
                inside = inside.filter(|quote| *quote != sign);
                text.push(sign);
            }
        }
    }
    match values.next() {
        Some(_) => Err(Error::internal("mysql: a statement with more values than marks")),
        None => Ok(text),
    }
}

/// Executes the two, perhaps in a transaction of their own; the row where there is one.
pub(super) async fn run(
    connection: &mut MySqlConnection,
    text: String,
    kinds: &Arc<[FieldType]>,
    alone: bool,
) -> Result<Fetched, SqlxError> {
    let mut rows = MysqlRows::new(kinds);
    let (mut affected, mut answers, mut malformed) = (0, 0, None);
    let mut stream = connection.fetch_many(raw_sql(AssertSqlSafe(text)));
    loop {
        match stream.try_next().await {
            Ok(Some(Either::Left(done))) => {
                affected += done.rows_affected();
                answers += 1;
            }
            // Another version than the expected one has no row to return.
            Ok(Some(Either::Right(row))) if affected > 0 => malformed = malformed.or(rows.push_text(&row).err()),
            Ok(Some(Either::Right(_))) => {}
            Ok(None) => break,
            // The caller's transaction must not go on with an update of which the caller knows nothing.
            Err(SqlxError::Database(error)) if !alone && answers > 0 => {
                return Err(SqlxError::Protocol(format!("an updated row could not be read: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Fetched { rows: malformed.map_or(Ok(rows), Err), affected, last_id: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn statement(text: &str, parameters: Vec<Value>) -> Statement {
        let (columns, kinds): (Arc<[usize]>, Arc<[FieldType]>) = (Arc::new([]), Arc::new([]));
        let (text, residual, native, early) = (text.into(), None, None, None);
        Statement { text, parameters, columns, residual, unsorted: false, native, kinds, early, by_key: true }
    }

    #[test]
    fn values_stand_where_their_marks_are_and_nowhere_else() {
        let text = "UPDATE `a?``?` SET `b` = ?, `c` = CAST(? AS DATE) WHERE JSON(`d`, '$.\"e''?\"') = ?";
        let told = with_constants(&statement(text, vec![Value::Int(1), "it's ?".into(), "?".into()])).unwrap();
        let expected = "UPDATE `a?``?` SET `b` = 1, `c` = CAST(_utf8mb4 x'69742773203F' AS DATE) WHERE \
            JSON(`d`, '$.\"e''?\"') = _utf8mb4'?'";
        assert_eq!(told.to_lowercase(), expected.to_lowercase());
        for parameters in [vec![], vec![Value::Int(1), Value::Int(2)]] {
            assert!(with_constants(&statement("SELECT ?", parameters)).is_err());
        }
    }
}
