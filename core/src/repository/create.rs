//! New rows: `create`, `create_many`, `upsert`.

use std::sync::Arc;

use super::arguments::Arguments;
use super::modify::{supported, touch};
use super::{Reply, Repository, RowSet, Verb};
use crate::backend::{Backend, Batch, Changes, Conflict, Insert, Operation, SetTo};
use crate::error::{Error, Result};
use crate::schema::{Entity, Field, FieldType, Generated, Record, has_exact_json};
use crate::transaction::Transaction;
use crate::value::{DateTime, Map, Value};

/// Makes rows of records that are inserted together.
pub struct Check {
    repository: Repository,
    backend: Arc<dyn Backend>,
    now: DateTime,
}

/// How a value that is of exactly the declared type gets into a [`Batch`]: as it is, where no rule, no default and no database
/// changes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// A text that is [allowed](Check::allows_text).
    Text,
    /// The tagged JSON of a list, a map or a free value in which nothing is of another type than declared, and no zero has a
    /// sign.
    Json,
    /// A finite number, but no zero with a sign; a truth value; a moment that is [kept](Check::keeps_moment).
    Scalar,
    /// It does not: its row has what [`Check::value`] makes of it.
    Value,
}

impl Way {
    /// For each field of the entity.
    pub(super) fn all(entity: &Entity) -> Vec<Self> {
        (0..entity.fields.len()).map(|position| Self::new(entity, position)).collect()
    }

    fn new(entity: &Entity, position: usize) -> Self {
        let field = &entity.fields[position];
        match &field.kind {
            // The words come from values.
            _ if field.auto.is_some() || entity.is_source(position) => Self::Value,
            FieldType::Text if field.constraints.is_of_text() => Self::Text,
            _ if !field.constraints.is_empty() => Self::Value,
            FieldType::Int | FieldType::Float | FieldType::Bool | FieldType::DateTime => Self::Scalar,
            kind if !kind.is_scalar() && has_exact_json(kind) => Self::Json,
            _ => Self::Value,
        }
    }
}

impl Check {
    /// The row that the database will give back of a record: defaults and automatic fields filled in, everything checked.
    pub fn row(&self, record: Record) -> Result<Vec<Value>> {
        let checked = self.repository.entity.check_insert(record, self.now)?;
        self.repository.as_stored(&*self.backend, checked)
    }

    /// The value of one field in that row; the search field's is null until [`Self::words`] are there.
    pub fn value(&self, position: usize, given: Option<Value>) -> Result<Value> {
        let checked = self.repository.entity.check_new(position, given, self.now)?;
        self.repository.stored_by(&*self.backend, position, checked)
    }

    /// How values of one field go into the row.
    pub fn way(&self, position: usize) -> Way {
        self.repository.shared.ways[position]
    }

    /// Whether the row may have this text where the way is [`Way::Text`].
    pub fn allows_text(&self, position: usize, text: &str) -> bool {
        self.field(position).allows_text(text)
    }

    /// Whether the database keeps a moment just as it is.
    pub fn keeps_moment(&self, moment: DateTime) -> bool {
        moment.micros() % self.backend.capabilities().moment_precision == 0
    }

    /// One field.
    pub fn field(&self, position: usize) -> &Field {
        &self.repository.entity.fields[position]
    }

    /// Whether words of the search field come from this one.
    pub fn is_source(&self, position: usize) -> bool {
        self.repository.entity.is_source(position)
    }

    /// The position of the search field and what stands there, by the values of its sources.
    pub fn words(&self, sources: &[(usize, Value)]) -> Option<(usize, Value)> {
        let entity = &self.repository.entity;
        let value =
            |position| sources.iter().find(|(known, _)| *known == position).map_or(&Value::Null, |(_, value)| value);
        entity.automatic.search.map(|position| (position, entity.search_text(value)))
    }
}

impl Repository {
    /// Inserts records, all or none; returns the rows as they are stored.
    pub async fn create_many(&self, records: Vec<Record>, tx: Option<&Transaction>) -> Result<RowSet> {
        let many = records.len() > 1;
        let check = self.check();
        let placed = |(index, record): (usize, Record)| {
            check.row(record).map_err(|error| if many { error.with("row", index) } else { error })
        };
        let rows = records.into_iter().enumerate().map(placed).collect::<Result<Vec<_>>>()?;
        self.insert(Arc::new(rows.into()), tx).await
    }

    /// Begins to check records that will be inserted together.
    pub fn check(&self) -> Check {
        Check { repository: self.clone(), backend: self.database.backend(), now: DateTime::now() }
    }

    /// Inserts rows that a [`Check`] has made, all or none; returns them as they are stored.
    pub async fn insert(&self, mut rows: Arc<Batch>, tx: Option<&Transaction>) -> Result<RowSet> {
        if rows.is_empty() {
            return Ok(self.row_set_of(rows));
        }
        let keys = self.insert_checked(&rows, tx).await?;
        if let Some(position) = self.counted_key() {
            let filled = Arc::make_mut(&mut rows);
            for (row, key) in keys.into_iter().enumerate() {
                if let (true, Some(key)) = (filled.cell(row, position).is_null(), key) {
                    filled.set(row, position, key.into());
                }
            }
        }
        Ok(self.row_set_of(rows))
    }

    /// Inserts rows that a [`Check`] has made, all or none; the key of each where the database counts it.
    pub async fn insert_for_keys(&self, rows: Arc<Batch>, tx: Option<&Transaction>) -> Result<Vec<Option<i64>>> {
        if rows.is_empty() { Ok(Vec::new()) } else { self.insert_checked(&rows, tx).await }
    }

    async fn insert_checked(&self, rows: &Arc<Batch>, tx: Option<&Transaction>) -> Result<Vec<Option<i64>>> {
        self.insert_rows(self.shared.insertion.clone(), rows, tx).await
    }

    /// A checked row as the database will give it back.
    pub(super) fn as_stored(&self, backend: &dyn Backend, row: Vec<Value>) -> Result<Vec<Value>> {
        row.into_iter().enumerate().map(|(position, value)| self.stored_by(backend, position, value)).collect()
    }

    /// A checked value of one field as the database will give it back.
    pub(super) fn stored_value(&self, position: usize, value: Value) -> Result<Value> {
        self.stored_by(&*self.database.backend(), position, value)
    }

    fn stored_by(&self, backend: &dyn Backend, position: usize, value: Value) -> Result<Value> {
        let field = &self.entity.fields[position];
        let stored = backend.stored(&field.kind, value);
        stored.map_err(|error| error.under(&field.name).with("field", field.name.as_str()))
    }

    /// The position of the key that the database counts.
    pub fn counted_key(&self) -> Option<usize> {
        let is_counted = |position: &usize| self.entity.fields[*position].generated == Some(Generated::AutoIncrement);
        self.entity.key.iter().copied().find(is_counted)
    }

    /// Puts the key that the database has counted into a row that had none.
    pub(super) fn fill_counted_key(&self, row: &mut [Value], key: Option<i64>) {
        if let Some(position) = self.counted_key() {
            row[position] = row[position].as_int().or(key).into();
        }
    }

    pub(super) async fn create(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let record = self.entity.record(arguments.map("record")?)?;
        arguments.finish()?;
        Ok(Reply::Row(Some(self.create_many(vec![record], tx).await?)))
    }

    pub(super) async fn create_from_maps(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let maps = arguments.maps("records")?;
        arguments.finish()?;
        let read = |(index, map): (usize, Map)| self.entity.record(map).map_err(|error| error.with("row", index));
        let records = maps.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Reply::Rows(self.create_many(records, tx).await?))
    }

    pub(super) async fn upsert(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let record = self.entity.record(arguments.map("record")?)?;
        let on = arguments.list("on")?;
        arguments.finish()?;
        let on = self.unique_fields(&on)?;
        let now = DateTime::now();
        let given: Vec<bool> = record.iter().map(Option::is_some).collect();
        let row = self.as_stored(&*self.database.backend(), self.entity.check_insert(record, now)?)?;
        if let Some(missing) = on.iter().find(|position| row[**position].is_null()) {
            let name = &self.entity.fields[*missing].name;
            return Err(Error::invalid_query(format!("upsert needs a value of {name:?}, by which the row is found"))
                .with("field", name.as_str()));
        }
        let (changes, alone) = self.changes_on_conflict(&row, &given, &on, now);
        let conflict = Conflict { on, row, changes: self.stored_changes(changes)? };
        let alone = alone && self.checked_references()?.is_none();
        let insert = Insert { entity: &self.entity, conflict: Some(conflict.clone()) };
        let compiled =
            if alone { supported(self.database.backend().compile(&Operation::Insert(insert)))? } else { None };
        let Some(statement) = compiled else {
            return Ok(Reply::Row(Some(self.upsert_by_hand(&conflict, tx).await?)));
        };
        let mut lease = self.lease(Verb::Upsert, tx).await?;
        let columns = statement.columns.clone();
        let rows = lease.session()?.query(statement).await?;
        Ok(Reply::Row(Some(RowSet::new(&self.entity, columns, rows))))
    }

    /// The positions of the fields of `on`, which must be the key or a unique index.
    fn unique_fields(&self, on: &[Value]) -> Result<Vec<usize>> {
        let entity = &self.entity;
        if on.is_empty() {
            return Ok(entity.key.clone());
        }
        let names = on
            .iter()
            .map(|name| name.as_text().ok_or_else(|| Error::invalid_query("upsert: \"on\" must be a list of fields")));
        let positions = names.map(|name| entity.position(name?)).collect::<Result<Vec<_>>>()?;
        let same = |other: &[usize]| {
            other.len() == positions.len() && positions.iter().all(|position| other.contains(position))
        };
        let is_unique = same(&entity.key)
            || entity.indexes.iter().any(|index| {
                let plain = index.unique
                    && index.condition.is_none()
                    && index.fields.iter().all(|field| field.path.is_column());
                plain && same(&index.fields.iter().map(|field| field.path.column).collect::<Vec<_>>())
            });
        if is_unique {
            return Ok(positions);
        }
        let names: Vec<_> = positions.iter().map(|position| entity.fields[*position].name.as_str()).collect();
        Err(Error::invalid_query(format!(
            "{} has no unique index on {}, so a row cannot be found by it",
            entity.name,
            names.join(", ")
        ))
        .with("entity", entity.name.as_str()))
    }

    /// What an existing row gets: the fields that the caller gave, beside its key and its creation; and whether the engine
    /// can do it alone, because the words of the search field follow from the caller's fields.
    fn changes_on_conflict(&self, row: &[Value], given: &[bool], on: &[usize], now: DateTime) -> (Changes, bool) {
        let entity = &self.entity;
        let automatic = &entity.automatic;
        let kept = |position: usize| {
            entity.key.contains(&position)
                || on.contains(&position)
                || [automatic.created, automatic.updated, automatic.version, automatic.search].contains(&Some(position))
        };
        let positions = (0..row.len()).filter(|position| given[*position] && !kept(*position));
        let mut changes = Changes(positions.map(|position| (position, SetTo::Value(row[position].clone()))).collect());
        // A row that is found by its key may be a deleted one: it lives again.
        if on == entity.key {
            for position in [automatic.deleted, automatic.deleted_flag].into_iter().flatten() {
                if !changes.0.iter().any(|(known, _)| *known == position) {
                    changes.0.push((position, SetTo::Value(row[position].clone())));
                }
            }
        }
        let is_new = |position: usize| changes.0.iter().any(|(known, _)| *known == position);
        let mut sources = entity.sources.iter().map(|path| path.column);
        let touched = sources.clone().any(is_new);
        let alone = !touched || sources.all(|position| is_new(position) || on.contains(&position));
        if let Some(position) = automatic.search.filter(|_| touched && alone) {
            changes.0.push((position, SetTo::Value(row[position].clone())));
        }
        touch(entity, &mut changes, now);
        if changes.0.is_empty() {
            // There must be something to set for the row to be returned.
            changes.0.push((on[0], SetTo::Value(row[on[0]].clone())));
        }
        (changes, alone)
    }
}
