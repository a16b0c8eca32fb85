//! Reading: `get`, `get_many`, `find`, `find_one`, `count`, `exists`, `distinct`, `explain`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arguments::{Arguments, Query, fields_in, key_equals, key_values, living};
use super::include::compare;
use super::plan::Prepared;
use super::{EarlyRows, Reply, Repository, RowSet, Verb};
use crate::backend::{Early, Operation, Select, Statement};
use crate::database::Database;
use crate::error::{Error, Kind, Result};
use crate::lease::Lease;
use crate::query::{Filter, Sort, matches, values_at};
use crate::replicas::route;
use crate::schema::{Entity, Field, FieldType, Path, coerce_operand, is_exact};
use crate::transaction::Transaction;
use crate::turn::Turn;
use crate::value::{BigDecimal, DateTime, ObjectId, Uuid, Value, canonical_equal, canonical_order, tagged};

/// Keys of one `get_many` at most; more would be many statements, which the caller should see.
const MAX_KEYS: usize = 10_000;

/// `get`, compiled once: its parameters are the key's values in order.
pub(super) fn statement_by_key(database: &Database, entity: &Arc<Entity>) -> Result<Statement> {
    let samples: Vec<Value> = entity.key.iter().map(|position| sample(&entity.fields[*position].kind)).collect();
    let filter = living(key_equals(entity, &samples)?, entity, false)?;
    let select = Select {
        entity,
        filter: &filter,
        sort: &Sort::default(),
        after: None,
        limit: None,
        skip: 0,
        scan: 0,
        columns: (0..entity.fields.len()).collect(),
        for_update: false,
    };
    Ok(Statement { by_key: true, ..database.backend().compile(&Operation::Select(select))? })
}

/// A value of a key's type, for compiling only.
fn sample(kind: &FieldType) -> Value {
    match kind {
        FieldType::Int => Value::Int(0),
        FieldType::Uuid => Uuid::nil().into(),
        FieldType::ObjectId => ObjectId([0; 12]).into(),
        FieldType::DateTime => DateTime::now().into(),
        FieldType::Date => DateTime::now().date().into(),
        FieldType::Decimal => BigDecimal::from(0).into(),
        _ => "x".into(),
    }
}

/// A key that was checked: its values in the order of the entity's key.
pub struct Key(Vec<Value>);

impl Repository {
    /// The key that an id of a host stands for.
    pub fn key(&self, id: Value) -> Result<Key> {
        self.checked_key(id).map(Key)
    }

    /// The row of a key, or `not_found`, on this thread; `None` where it must be waited for. For a host that says when the
    /// turns of its loop end: it sees to it that they do.
    pub fn get_at_once(&self, key: &Key) -> Result<Option<RowSet>> {
        self.fetch_at_once(&key.0)?.map(|rows| self.found(&key.0, rows)).transpose()
    }

    /// The row of a key, or `not_found`; waits for a connection.
    pub async fn get(&self, key: Key, tx: Option<&Transaction>) -> Result<RowSet> {
        let rows = self.wait_for_key(key.0.clone(), tx).await?;
        self.found(&key.0, rows)
    }

    pub(super) async fn get_by_key(&self, key: &[Value], tx: Option<&Transaction>) -> Result<RowSet> {
        let rows = self.fetch_by_key(key.to_vec(), tx).await?;
        self.found(key, rows)
    }

    fn found(&self, key: &[Value], rows: RowSet) -> Result<RowSet> {
        if rows.is_empty() { Err(self.not_found(key)) } else { Ok(rows) }
    }

    pub(super) fn checked_key(&self, id: Value) -> Result<Vec<Value>> {
        let entity = &self.entity;
        let mut values = key_values(entity, id)?;
        for (position, value) in entity.key.iter().zip(&mut values) {
            let field = &entity.fields[*position];
            if !is_exact(&field.kind, value) {
                *value = self.checked_key_part(field, std::mem::take(value))?;
            }
        }
        Ok(values)
    }

    /// Only the type counts: a key that breaks a constraint is simply not there.
    fn checked_key_part(&self, field: &Field, value: Value) -> Result<Value> {
        let checked = if value.is_null() {
            Err(Error::invalid_value(format!("expected {}, got null", field.kind.name())))
        } else {
            coerce_operand(&field.kind, value)
        };
        checked.map_err(|error| error.under(&field.name).with("entity", self.entity.name.as_str()))
    }

    async fn fetch_by_key(&self, key: Vec<Value>, tx: Option<&Transaction>) -> Result<RowSet> {
        // Only where the host says when its loop's turns end: it sees to it that they do.
        if tx.is_none()
            && Turn::current().is_some()
            && let Some(rows) = self.fetch_at_once(&key)?
        {
            return Ok(rows);
        }
        // In a box, so that what is there at once need not move all that waiting takes.
        Box::pin(self.wait_for_key(key, tx)).await
    }

    fn fetch_at_once(&self, key: &[Value]) -> Result<Option<RowSet>> {
        let rows = self.database.query_at_once(&self.shared.by_key, key)?;
        Ok(rows.map(|rows| RowSet::new(&self.entity, self.all_columns(), rows)))
    }

    async fn wait_for_key(&self, key: Vec<Value>, tx: Option<&Transaction>) -> Result<RowSet> {
        if tx.is_some() || !self.database.groups_reads() || route::is_kept_together() || route::is_primary() {
            let lease = self.lease(Verb::Get, tx).await?;
            return self.fetch_alone(key, Some(lease)).await;
        }
        let (_under_way, is_only) = self.shared.group.begin();
        // A host whose turns are not known would not say when the others are there.
        let goes_alone = is_only || Turn::current().is_none();
        match if goes_alone { self.database.idle_lease(Verb::Get.access())? } else { None } {
            None => self.gathered(key).await,
            lease => self.fetch_alone(key, lease).await,
        }
    }

    /// The row of a key by a statement of its own; without a lease it waits for one.
    pub(super) async fn fetch_alone(&self, key: Vec<Value>, lease: Option<Lease>) -> Result<RowSet> {
        let statement = Statement { parameters: key, ..self.shared.by_key.clone() };
        let mut lease = match lease {
            Some(lease) => lease,
            None => self.lease(Verb::Get, None).await?,
        };
        let rows = lease.session()?.query(statement).await?;
        Ok(RowSet::new(&self.entity, self.all_columns(), rows))
    }

    pub(super) async fn get_by_arguments(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let key = self.checked_key(arguments.needed("id")?)?;
        arguments.finish()?;
        Ok(Reply::Row(Some(self.get_by_key(&key, tx).await?)))
    }

    pub(super) async fn get_or_none(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let key = self.checked_key(arguments.needed("id")?)?;
        arguments.finish()?;
        let rows = self.fetch_by_key(key, tx).await?;
        Ok(Reply::Row((!rows.is_empty()).then_some(rows)))
    }

    pub(super) async fn get_many(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let ids = arguments.list("ids")?;
        arguments.finish()?;
        if ids.len() > MAX_KEYS {
            return Err(Error::invalid_query(format!("get_many takes up to {MAX_KEYS} keys, got {}", ids.len())));
        }
        let keys = ids.into_iter().map(|id| self.checked_key(id)).collect::<Result<Vec<_>>>()?;
        let filter = living(fields_in(&self.entity, &self.entity.key, &keys)?, &self.entity, false)?;
        let found = self.select(&mut self.lease(Verb::GetMany, tx).await?, &self.query_of(filter)).await?;
        let rows = self.places_of(&found, &keys)?.into_iter().flatten().collect();
        Ok(Reply::Rows(found.pick(rows, &self.all_columns())))
    }

    /// The row of each key among rows with all columns.
    pub(super) fn places_of(&self, found: &RowSet, keys: &[Vec<Value>]) -> Result<Vec<Option<usize>>> {
        let key_of = |row: usize| {
            let parts = self.entity.key.iter().map(|position| found.rows().cell(row, *position)?.to_value());
            parts.collect::<Result<Vec<Value>>>()
        };
        let found_keys = (0..found.len()).map(key_of).collect::<Result<Vec<_>>>()?;
        let equal = |a: &[Value], b: &[Value]| a.iter().zip(b).all(|(a, b)| canonical_equal(a, b));
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|a, b| compare(&found_keys[*a], &found_keys[*b]));
        let place = |key: &Vec<Value>| {
            let at = order.binary_search_by(|row| compare(&found_keys[*row], key)).ok()?;
            Some(order[at]).filter(|row| equal(&found_keys[*row], key))
        };
        Ok(keys.iter().map(place).collect())
    }

    /// A query for all columns without order.
    pub(super) fn query_of(&self, filter: Filter) -> Query {
        Query {
            document: crate::value::Map::new(),
            is_empty: false,
            filter,
            sort: Sort::default(),
            limit: None,
            skip: 0,
            columns: self.all_columns(),
        }
    }

    pub(super) fn operation<'a>(&'a self, query: &'a Query) -> Select<'a> {
        Select {
            entity: &self.entity,
            filter: &query.filter,
            sort: &query.sort,
            after: None,
            limit: query.limit,
            skip: query.skip,
            scan: self.database.residual_limit().saturating_add(1),
            columns: Arc::clone(&query.columns),
            for_update: false,
        }
    }

    /// The rows of a query, whatever the engine leaves to the core.
    pub(super) async fn select(&self, lease: &mut Lease, query: &Query) -> Result<RowSet> {
        let statement = self.database.backend().compile(&Operation::Select(self.operation(query)))?;
        self.run(lease, statement, query).await
    }

    /// The rows of a query, which the caller is about to write in the same transaction.
    pub(super) async fn select_for_update(&self, lease: &mut Lease, query: &Query) -> Result<RowSet> {
        let select = Select { for_update: true, ..self.operation(query) };
        let statement = self.database.backend().compile(&Operation::Select(select))?;
        self.run(lease, statement, query).await
    }

    /// Executes a select that the engine answers alone.
    async fn run_exact(&self, lease: &mut Lease, statement: Statement) -> Result<RowSet> {
        let columns = Arc::clone(&statement.columns);
        let rows = lease.session()?.query(statement).await?;
        Ok(RowSet::new(&self.entity, columns, rows))
    }

    /// Executes a compiled select and does the rest of it.
    pub(super) async fn run(&self, lease: &mut Lease, statement: Statement, query: &Query) -> Result<RowSet> {
        if statement.is_exact() {
            return self.run_exact(lease, statement).await;
        }
        let columns = Arc::clone(&statement.columns);
        let unsorted = statement.unsorted;
        // Not the query's filter: what the engine has checked may look at columns that are not here.
        let residual = statement.residual.clone().unwrap_or(Filter::All);
        let limit = self.database.residual_limit();
        let rows = RowSet::new(&self.entity, columns, lease.session()?.query(statement).await?);
        self.database.count_residual(rows.len());
        let kept = finish(&rows, &residual, &query.sort, unsorted)?;
        let wanted = query.limit.map(|limit| limit.saturating_add(query.skip));
        let complete =
            rows.len() as u64 <= limit || (!unsorted && wanted.is_some_and(|wanted| kept.len() as u64 >= wanted));
        if !complete {
            return Err(self.residual_limit(limit, query));
        }
        let skip = usize::try_from(query.skip).unwrap_or(usize::MAX);
        let take = query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let picked = kept.into_iter().skip(skip).take(take).collect();
        Ok(rows.pick(picked, &query.columns))
    }

    fn residual_limit(&self, limit: u64, query: &Query) -> Error {
        let message = format!(
            "{} cannot answer this query by itself, and more than {limit} rows would have to be filtered outside it; \
             add a condition or an index field, or raise residual_limit",
            self.database.backend().name()
        );
        Error::new(Kind::ResidualLimit, message)
            .with("entity", self.entity.name.as_str())
            .with("filter", tagged::map_to_string(&query.document))
            .with("limit", limit as usize)
    }

    /// The rows of a prepared select.
    async fn rows_of(&self, lease: &mut Lease, prepared: Prepared) -> Result<RowSet> {
        match prepared.query {
            Some(query) => self.run(lease, prepared.statement, &query).await,
            None => self.run_exact(lease, prepared.statement).await,
        }
    }

    /// What hands rows of a statement over with the names of their columns.
    fn early(&self, taker: Arc<EarlyRows>, columns: &Arc<[usize]>) -> Early {
        let (entity, columns) = (Arc::clone(&self.entity), Arc::clone(columns));
        Early::new(move |rows| taker(rows.map(|rows| RowSet::new(&entity, Arc::clone(&columns), rows))))
    }

    pub(super) async fn find(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let early = arguments.early.take();
        let mut prepared = self.prepared(Verb::Find, arguments)?;
        let statement = &mut prepared.statement;
        if statement.is_exact() {
            statement.early = early.map(|early| self.early(early, &statement.columns));
        }
        Ok(Reply::Rows(self.rows_of(&mut self.lease(Verb::Find, tx).await?, prepared).await?))
    }

    pub(super) async fn find_one(&self, arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let prepared = self.prepared(Verb::FindOne, arguments)?;
        let rows = self.rows_of(&mut self.lease(Verb::FindOne, tx).await?, prepared).await?;
        Ok(Reply::Row((!rows.is_empty()).then_some(rows)))
    }

    pub(super) async fn count(&self, arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        Ok(Reply::Count(self.count_rows(Verb::Count, arguments, tx).await?))
    }

    pub(super) async fn exists(&self, arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        Ok(Reply::Bool(self.count_rows(Verb::Exists, arguments, tx).await? > 0))
    }

    async fn count_rows(&self, verb: Verb, arguments: Arguments, tx: Option<&Transaction>) -> Result<u64> {
        let prepared = self.prepared(verb, arguments)?;
        let mut lease = self.lease(Verb::Count, tx).await?;
        if !prepared.statement.is_exact() {
            return Ok(self.rows_of(&mut lease, prepared).await?.len() as u64);
        }
        let rows = lease.session()?.query(prepared.statement).await?;
        match rows.cell(0, 0)?.to_value()? {
            Value::Int(count) => Ok(count as u64),
            other => Err(Error::internal(format!("a count came back as {}", other.type_name()))),
        }
    }

    pub(super) async fn distinct(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let name = arguments.text("field")?.ok_or_else(|| Error::invalid_query("distinct: \"field\" must be given"))?;
        let mut query = arguments.query(&self.entity)?;
        arguments.finish()?;
        query.sort = Sort::default();
        let path = Path::resolve(&self.entity, &name)?;
        query.columns = Arc::new([path.column]);
        let statement = if path.is_column() {
            self.database.backend().compile(&Operation::Distinct(self.operation(&query)))?
        } else {
            let compiled = self.database.backend().compile(&Operation::Select(self.operation(&query)))?;
            Statement { residual: compiled.residual.clone().or(Some(Filter::All)), ..compiled }
        };
        let mut lease = self.lease(Verb::Distinct, tx).await?;
        let rows = self.run(&mut lease, statement, &query).await?;
        let mut values = Vec::new();
        for row in 0..rows.len() {
            let document = rows.document(row)?;
            values.extend(values_at(&document, &path).into_iter().cloned());
        }
        values.sort_by(canonical_order);
        values.dedup_by(|a, b| canonical_equal(a, b));
        Ok(Reply::Values(values))
    }

    pub(super) async fn explain(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let query = arguments.query(&self.entity)?;
        arguments.finish()?;
        let statement = self.database.backend().compile(&Operation::Select(self.operation(&query)))?;
        let residual = statement.residual.as_ref().map(|_| Value::Map(query.document.clone()));
        let mut facts = crate::document! {
            "backend" => self.database.backend().name(),
            "statement" => &*statement.text,
            "parameters" => statement.parameters.clone(),
            "exact" => statement.is_exact(),
            "residual" => residual,
            "sorted_by" => if statement.unsorted { "core" } else { "database" },
        };
        let columns: BTreeSet<_> =
            statement.columns.iter().map(|column| self.entity.fields[*column].name.clone()).collect();
        facts.insert("columns".to_owned(), columns.into_iter().map(Value::from).collect::<Vec<_>>().into());
        let mut lease = self.lease(Verb::Explain, tx).await?;
        let plan = lease.session()?.explain(statement).await?;
        facts.insert("plan".to_owned(), plan);
        Ok(Reply::Map(facts))
    }
}

/// The rows that match, sorted where the engine could not.
fn finish(rows: &RowSet, residual: &Filter, sort: &Sort, unsorted: bool) -> Result<Vec<usize>> {
    let mut kept = Vec::new();
    for row in 0..rows.len() {
        let document = rows.document(row)?;
        if matches(residual, &document) {
            kept.push((row, document));
        }
    }
    if !unsorted {
        return Ok(kept.into_iter().map(|(row, _)| row).collect());
    }
    let mut keyed: Vec<_> = kept.iter().map(|(row, document)| (*row, sort.key(document))).collect();
    keyed.sort_by(|(_, a), (_, b)| sort.compare_keys(a, b));
    Ok(keyed.into_iter().map(|(row, _)| row).collect())
}
