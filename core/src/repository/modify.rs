//! Changing rows: `update`, `update_one`, `update_many`, `replace`, `find_one_and_update`.
//!
//! Changes that the engine can do exactly are one statement. All others are read, changed by the reference engine and
//! written back inside one transaction that holds the write lock, so that they are as atomic as a statement.

use super::arguments::{Arguments, Query, key_equals, living};
use super::{Reply, Repository, RowSet, Verb};
use crate::backend::{Changes, Operation, SetTo, Statement, Write};
use crate::error::{Error, Kind, Result};
use crate::lease::Lease;
use crate::query::{Assignment, Comparison, Filter, Sort, Test, Update};
use crate::schema::{Auto, Entity, FieldType, Path};
use crate::transaction::{Transaction, Unit, may_repeat};
use crate::value::{DateTime, Value, canonical_equal};

/// Adds what every write does by itself: the moment and the version.
pub(super) fn touch(entity: &Entity, changes: &mut Changes, now: DateTime) {
    if let Some(position) = entity.automatic.updated
        && !changes.0.iter().any(|(known, _)| *known == position)
    {
        changes.0.push((position, SetTo::Value(now.into())));
    }
    if let Some(position) = entity.automatic.version {
        changes.0.retain(|(known, _)| *known != position);
        changes.0.push((position, SetTo::Plus(Value::Int(1))));
    }
}

/// The update as column changes, where every assignment is one that engines do exactly.
fn as_changes(entity: &Entity, update: &Update, now: DateTime) -> Option<Changes> {
    let mut changes = Changes::default();
    for (path, assignment) in &update.assignments {
        let field = &entity.fields[path.column];
        if !path.is_column() {
            return None;
        }
        let set = match assignment {
            Assignment::Set(value) => SetTo::Value(value.clone()),
            Assignment::CurrentDate if matches!(field.kind, FieldType::DateTime) => SetTo::Value(now.into()),
            Assignment::Increment(number)
                if !field.nullable
                    && field.constraints.is_empty()
                    // Nothing changes then, not even a scale, which engines would add to.
                    && !canonical_equal(number, &Value::Int(0))
                    && matches!(
                        (&field.kind, number),
                        (FieldType::Int, Value::Int(_))
                            | (FieldType::Float, Value::Float(_))
                            | (FieldType::Decimal, Value::Decimal(_))
                    ) =>
            {
                SetTo::Plus(number.clone())
            }
            _ => return None,
        };
        changes.0.push((path.column, set));
    }
    search_with(entity, &mut changes)?;
    touch(entity, &mut changes, now);
    Some(changes)
}

/// Adds the words of the search field where the changes are about it; `None` where they are not all known before a row is
/// read.
pub(super) fn search_with(entity: &Entity, changes: &mut Changes) -> Option<()> {
    let Some(position) = entity.automatic.search else { return Some(()) };
    let is_changed = |column: usize| changes.0.iter().any(|(known, _)| *known == column);
    if is_changed(position) {
        return None;
    }
    if !entity.sources.iter().any(|path| is_changed(path.column)) {
        return Some(());
    }
    let value = |column: usize| {
        changes.0.iter().find_map(|(known, set)| match set {
            SetTo::Value(value) if *known == column => Some(value),
            _ => None,
        })
    };
    if !entity.sources.iter().all(|path| value(path.column).is_some()) {
        return None;
    }
    let text = entity.search_text(|column| value(column).unwrap_or(&Value::Null));
    changes.0.push((position, SetTo::Value(text)));
    Some(())
}

/// Rows before and after a change.
struct Changed {
    before: Vec<Vec<Value>>,
    after: Vec<Vec<Value>>,
}

/// Which rows a write is about.
pub(super) struct Which {
    pub(super) filter: Filter,
    pub(super) sort: Sort,
    pub(super) one: bool,
    /// See [`Statement::by_key`](crate::backend::Statement::by_key).
    pub(super) by_key: bool,
}

impl Repository {
    /// Refuses a filter that the caller left empty, unless all rows are meant.
    pub(super) fn which_many(&self, arguments: &mut Arguments, verb: Verb) -> Result<Which> {
        let all = arguments.flag("all", false)?;
        let query = arguments.query(&self.entity)?;
        if query.is_empty && !all {
            let message = format!("{} with an empty filter would touch every row of {}", verb.name(), self.entity.name);
            return Err(Error::new(Kind::EmptyFilter, message).with("entity", self.entity.name.as_str()));
        }
        refuse_paging(&query, verb)?;
        Ok(Which { filter: query.filter, sort: Sort::default(), one: false, by_key: false })
    }

    fn which_one(&self, arguments: &mut Arguments, verb: Verb) -> Result<Which> {
        let query = arguments.query(&self.entity)?;
        refuse_paging(&query, verb)?;
        // Which row is the first must not hang on an order that only some engines have for a write.
        Ok(Which { filter: query.filter, sort: Sort { ranked: false, ..query.sort }, one: true, by_key: false })
    }

    fn write<'a>(&'a self, which: &'a Which, returning: bool) -> Write<'a> {
        Write { entity: &self.entity, filter: &which.filter, sort: &which.sort, one: which.one, returning }
    }

    /// Changes to values as the database will give them back.
    pub(super) fn stored_changes(&self, changes: Changes) -> Result<Changes> {
        let stored = changes.0.into_iter().map(|(position, set)| match set {
            SetTo::Value(value) => Ok((position, SetTo::Value(self.stored_value(position, value)?))),
            plus @ SetTo::Plus(_) => Ok((position, plus)),
        });
        stored.collect::<Result<_>>().map(Changes)
    }

    /// Executes an update whose rows do not matter; `None` where the engine cannot do it alone.
    pub(super) async fn write_count(
        &self,
        which: &Which,
        changes: Changes,
        tx: Option<&Transaction>,
        verb: Verb,
    ) -> Result<Option<u64>> {
        if self.names_keys(&changes)? {
            return Ok(None);
        }
        let operation = Operation::Update(self.write(which, false), self.stored_changes(changes)?);
        let Some(statement) = supported(self.database.backend().compile(&operation))? else { return Ok(None) };
        let statement = Statement { by_key: which.by_key, ..statement };
        let mut lease = self.lease(verb, tx).await?;
        lease.session()?.execute(statement).await.map(Some)
    }

    /// Executes an update and returns the rows after it.
    pub(super) async fn write_rows(
        &self,
        which: &Which,
        changes: Changes,
        tx: Option<&Transaction>,
        verb: Verb,
    ) -> Result<RowSet> {
        let changes = self.stored_changes(changes)?;
        if self.names_keys(&changes)? {
            return self.rewrite(which, &changes, tx, verb).await;
        }
        let operation = Operation::Update(self.write(which, true), changes.clone());
        let Some(statement) = supported(self.database.backend().compile(&operation))? else {
            return self.rewrite(which, &changes, tx, verb).await;
        };
        let statement = Statement { by_key: which.by_key, ..statement };
        let mut lease = self.lease(verb, tx).await?;
        let columns = statement.columns.clone();
        let rows = lease.session()?.query(statement).await?;
        Ok(RowSet::new(&self.entity, columns, rows))
    }

    /// Reads, changes by the reference engine, writes back.
    async fn modify(
        &self,
        which: &Which,
        update: &Update,
        now: DateTime,
        tx: Option<&Transaction>,
        verb: Verb,
    ) -> Result<Changed> {
        let mut attempt = 0;
        loop {
            let mut unit = Unit::begin(self.lease(verb, tx).await?).await?;
            let outcome = self.modify_inside(unit.lease(), which, update, now).await;
            match unit.end(outcome).await {
                Err(error) if tx.is_none() && may_repeat(&error, &mut attempt).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn modify_inside(&self, lease: &mut Lease, which: &Which, update: &Update, now: DateTime) -> Result<Changed> {
        let found = self.select_for_update(lease, &self.query_which(which)).await?;
        let mut changed = Changed { before: Vec::new(), after: Vec::new() };
        for row in 0..found.len() {
            let before = found.values(row)?;
            let mut document = found.document(row)?;
            update.apply(&mut document, &self.entity, now)?;
            let after = self.write_back(lease, before.clone(), document, now).await?;
            changed.before.push(before);
            changed.after.push(after);
        }
        Ok(changed)
    }

    /// The row of a key, perhaps of a certain version.
    fn which_key(&self, key: &[Value], expected: Option<i64>) -> Result<Which> {
        let entity = &self.entity;
        let mut filter = living(key_equals(entity, key)?, entity, false)?;
        if let Some(expected) = expected {
            let position = entity.automatic.version.ok_or_else(|| {
                Error::invalid_query(format!("{} has no version field to expect a version of", entity.name))
            })?;
            let path = Path::resolve(entity, &entity.fields[position].name)?;
            filter = filter.and(Filter::At(path, Test::Compare(Comparison::Eq, Value::Int(expected))));
        }
        Ok(Which { filter, sort: Sort::default(), one: false, by_key: true })
    }

    /// Why a write by key touched nothing.
    async fn missed(&self, key: &[Value], expected: Option<i64>, tx: Option<&Transaction>) -> Error {
        let Some(expected) = expected else { return self.not_found(key) };
        match self.get_by_key(key, tx).await {
            Ok(_) => {
                let message = format!("the row of {} has another version than {expected}", self.entity.name);
                Error::new(Kind::VersionConflict, message)
                    .with("entity", self.entity.name.as_str())
                    .with("expected_version", expected)
            }
            Err(error) => error,
        }
    }

    pub(super) async fn update(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let key = self.checked_key(arguments.needed("id")?)?;
        let update = arguments.update("changes", &self.entity)?;
        let expected = arguments.int("expected_version")?;
        arguments.finish()?;
        let which = self.which_key(&key, expected)?;
        let now = DateTime::now();
        let rows = if update.is_empty() {
            self.select(&mut self.lease(Verb::Get, tx).await?, &self.query_of(which.filter)).await?
        } else {
            self.update_rows(&which, &update, now, tx, Verb::Update).await?
        };
        if rows.is_empty() { Err(self.missed(&key, expected, tx).await) } else { Ok(Reply::Row(Some(rows))) }
    }

    /// The rows after an update, by the engine where it can.
    async fn update_rows(
        &self,
        which: &Which,
        update: &Update,
        now: DateTime,
        tx: Option<&Transaction>,
        verb: Verb,
    ) -> Result<RowSet> {
        if let Some(changes) = as_changes(&self.entity, update, now) {
            return self.write_rows(which, changes, tx, verb).await;
        }
        let changed = self.modify(which, update, now, tx, verb).await?;
        Ok(self.row_set(changed.after))
    }

    pub(super) async fn update_one(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let update = arguments.update("update", &self.entity)?;
        let which = self.which_one(&mut arguments, Verb::UpdateOne)?;
        arguments.finish()?;
        self.update_count(&which, &update, tx, Verb::UpdateOne).await
    }

    pub(super) async fn update_many(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let update = arguments.update("update", &self.entity)?;
        let which = self.which_many(&mut arguments, Verb::UpdateMany)?;
        arguments.finish()?;
        self.update_count(&which, &update, tx, Verb::UpdateMany).await
    }

    /// The rows that a write is about, as they are.
    async fn select_which(&self, which: &Which, tx: Option<&Transaction>, verb: Verb) -> Result<RowSet> {
        self.select(&mut self.lease(verb, tx).await?, &self.query_which(which)).await
    }

    pub(super) fn query_which(&self, which: &Which) -> Query {
        let limit = which.one.then_some(1);
        Query { sort: which.sort.clone(), limit, ..self.query_of(which.filter.clone()) }
    }

    async fn update_count(
        &self,
        which: &Which,
        update: &Update,
        tx: Option<&Transaction>,
        verb: Verb,
    ) -> Result<Reply> {
        if update.is_empty() {
            // An update that says nothing changes nothing in the rows that match, as in MongoDB.
            return Ok(Reply::Count(self.select_which(which, tx, verb).await?.len() as u64));
        }
        let now = DateTime::now();
        if let Some(changes) = as_changes(&self.entity, update, now)
            && let Some(count) = self.write_count(which, changes, tx, verb).await?
        {
            return Ok(Reply::Count(count));
        }
        let changed = self.modify(which, update, now, tx, verb).await?;
        Ok(Reply::Count(changed.after.len() as u64))
    }

    pub(super) async fn find_one_and_update(
        &self,
        mut arguments: Arguments,
        tx: Option<&Transaction>,
    ) -> Result<Reply> {
        let update = arguments.update("update", &self.entity)?;
        let return_new = arguments.flag("return_new", true)?;
        let which = self.which_one(&mut arguments, Verb::FindOneAndUpdate)?;
        arguments.finish()?;
        let now = DateTime::now();
        let rows = if update.is_empty() {
            self.select_which(&which, tx, Verb::FindOneAndUpdate).await?
        } else if return_new {
            self.update_rows(&which, &update, now, tx, Verb::FindOneAndUpdate).await?
        } else {
            let changed = self.modify(&which, &update, now, tx, Verb::FindOneAndUpdate).await?;
            self.row_set(changed.before)
        };
        Ok(Reply::Row((!rows.is_empty()).then_some(rows)))
    }

    pub(super) async fn replace(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let entity = &self.entity;
        let key = self.checked_key(arguments.needed("id")?)?;
        let mut record = entity.record(arguments.map("record")?)?;
        let expected = arguments.int("expected_version")?;
        arguments.finish()?;
        for (position, value) in entity.key.iter().zip(&key) {
            let given = record[*position].replace(value.clone());
            if given.is_some_and(|given| !given.is_null() && given != *value) {
                return Err(
                    Error::invalid_query("replace cannot change the key of a row").with("entity", entity.name.as_str())
                );
            }
        }
        let now = DateTime::now();
        let row = self.as_stored(&*self.database.backend(), entity.check_insert(record, now)?)?;
        let kept = |position: usize| match entity.fields[position].auto {
            Some(Auto::Created | Auto::Updated | Auto::Version) => true,
            _ => entity.key.contains(&position),
        };
        let columns = row.into_iter().enumerate().filter(|(position, _)| !kept(*position));
        let mut changes = Changes(columns.map(|(position, value)| (position, SetTo::Value(value))).collect());
        touch(entity, &mut changes, now);
        let which = self.which_key(&key, expected)?;
        let rows = self.write_rows(&which, changes, tx, Verb::Replace).await?;
        if rows.is_empty() { Err(self.missed(&key, expected, tx).await) } else { Ok(Reply::Row(Some(rows))) }
    }
}

fn refuse_paging(query: &Query, verb: Verb) -> Result<()> {
    if query.limit.is_some() || query.skip > 0 {
        return Err(Error::invalid_query(format!("{} takes no limit and no skip", verb.name())));
    }
    Ok(())
}

/// `None` where the backend refused to do it in one statement.
pub(super) fn supported<T>(compiled: Result<T>) -> Result<Option<T>> {
    match compiled {
        Ok(statement) => Ok(Some(statement)),
        Err(error) if error.kind() == Kind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}
