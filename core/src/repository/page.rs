//! Keyset pages: each page begins behind the last row of the one before, so that rows which come and go meanwhile shift
//! nothing. The order always ends with the key, so no two rows share a place.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};

use super::arguments::{Arguments, Query};
use super::{Reply, Repository, RowSet, Verb};
use crate::backend::{Operation, Select};
use crate::error::{Error, Result};
use crate::query::Sort;
use crate::schema::{Entity, coerce_operand};
use crate::transaction::Transaction;
use crate::value::{Map, Value, tagged};

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 1000;
/// Longer text is no cursor of ours: 8 sort fields of a kilobyte.
const MAX_CURSOR: usize = 16 * 1024;

impl Repository {
    pub(super) async fn page(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let cursor = arguments.text("after")?;
        let mut query = arguments.query(&self.entity)?;
        arguments.finish()?;
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 || limit > MAX_LIMIT {
            return Err(Error::invalid_query(format!("a page has 1 to {MAX_LIMIT} rows, got a limit of {limit}"))
                .with("argument", "limit"));
        }
        if query.skip > 0 {
            return Err(
                Error::invalid_query("a page begins behind a cursor and takes no skip").with("argument", "skip")
            );
        }
        // A place in the engine's own order is none that a cursor could keep.
        query.sort = Sort { ranked: false, ..query.sort.with_key(&self.entity) };
        let mark = mark(&self.entity, &query);
        let after = cursor.map(|cursor| read_cursor(&cursor, &self.entity, &query.sort, &mark)).transpose()?;
        let rows = self.page_rows(&query, after.as_deref(), limit, tx).await?;
        let shown = rows.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = (rows.len() > shown).then(|| self.cursor_at(&rows, shown - 1, &query.sort, &mark)).transpose()?;
        let rows = rows.pick((0..shown).collect(), &query.columns);
        Ok(Reply::Page { rows, next })
    }

    /// One row more than the page, with all columns, since the cursor needs those of the order.
    async fn page_rows(
        &self,
        query: &Query,
        after: Option<&[Value]>,
        limit: u64,
        tx: Option<&Transaction>,
    ) -> Result<RowSet> {
        let wide = Query { columns: self.all_columns(), limit: Some(limit + 1), ..query.clone() };
        let select = Select {
            entity: &self.entity,
            filter: &wide.filter,
            sort: &wide.sort,
            after,
            limit: wide.limit,
            skip: 0,
            scan: self.database.residual_limit().saturating_add(1),
            columns: Arc::clone(&wide.columns),
            for_update: false,
        };
        let statement = self.database.backend().compile(&Operation::Select(select))?;
        if statement.unsorted {
            return Err(Error::unsupported(format!(
                "{} cannot page in the order {}",
                self.database.backend().name(),
                query.sort.to_text()
            ))
            .with("operator", "page"));
        }
        self.run(&mut self.lease(Verb::Page, tx).await?, statement, &wide).await
    }

    fn cursor_at(&self, rows: &RowSet, row: usize, sort: &Sort, mark: &str) -> Result<String> {
        let document = rows.document(row)?;
        let place = |field: &crate::query::SortField| value_at(&document, &self.entity, field);
        let values: Vec<Value> = sort.fields.iter().map(place).collect();
        let text = tagged::to_string(&Value::List(vec![mark.into(), Value::List(values)]));
        Ok(BASE64.encode(text))
    }
}

/// The value of a single scalar path; missing is null.
fn value_at(document: &Map, entity: &Entity, field: &crate::query::SortField) -> Value {
    let mut value = document.get(&entity.fields[field.path.column].name);
    for leg in &field.path.legs {
        value = value.and_then(Value::as_map).and_then(|map| map.get(leg));
    }
    value.cloned().unwrap_or_default()
}

/// Eight hexadecimal digits that change with the entity, the order and the filter: a cursor of another query is refused.
fn mark(entity: &Entity, query: &Query) -> String {
    let text = format!("1 {} {} {}", entity.name, query.sort.to_text(), tagged::map_to_string(&query.document));
    Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn read_cursor(cursor: &str, entity: &Entity, sort: &Sort, mark: &str) -> Result<Vec<Value>> {
    let wrong =
        |what: &str| Error::invalid_cursor(format!("the page cursor {what}")).with("entity", entity.name.as_str());
    let bytes = (cursor.len() <= MAX_CURSOR).then(|| BASE64.decode(cursor).ok()).flatten();
    let value = bytes.and_then(|bytes| tagged::read(&bytes).ok()).ok_or_else(|| wrong("is malformed"))?;
    let [Value::Text(theirs), Value::List(values)] = value.as_list().unwrap_or_default() else {
        return Err(wrong("is malformed"));
    };
    if theirs != mark || values.len() != sort.fields.len() {
        return Err(wrong("belongs to another filter or order"));
    }
    let fields = sort.fields.iter().zip(values.clone());
    fields
        .map(|(field, value)| match &field.path.target.field {
            Some(declared) => coerce_operand(&declared.kind, value).map_err(|_| wrong("holds a value of another type")),
            None => Err(wrong("is malformed")),
        })
        .collect()
}
