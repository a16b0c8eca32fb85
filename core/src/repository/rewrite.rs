//! Writes that the engine cannot do in one statement: the rows are read for update, changed here, and written by their
//! keys, in one transaction.

use std::sync::Arc;

use super::arguments::{fields_equal, key_equals, living};
use super::modify::{Which, touch};
use super::references::Written;
use super::{Repository, RowSet, Verb};
use crate::backend::{Changes, Conflict, Operation, SetTo, Write};
use crate::error::{Kind, Result};
use crate::lease::Lease;
use crate::query::{Sort, identical, plus};
use crate::transaction::{Transaction, Unit, may_repeat};
use crate::value::{DateTime, Map, Value};

/// How often an upsert looks again for a row that was in the way of its insert.
const LOOKS: u32 = 3;

impl Repository {
    /// Changes columns of rows; returns the rows after it.
    pub(super) async fn rewrite(
        &self,
        which: &Which,
        changes: &Changes,
        tx: Option<&Transaction>,
        verb: Verb,
    ) -> Result<RowSet> {
        let mut attempt = 0;
        loop {
            let mut unit = Unit::begin(self.lease(verb, tx).await?).await?;
            let outcome = self.rewrite_inside(unit.lease(), which, changes).await;
            match unit.end(outcome).await {
                Err(error) if tx.is_none() && may_repeat(&error, &mut attempt).await => {}
                outcome => return outcome.map(|rows| self.row_set(rows)),
            }
        }
    }

    async fn rewrite_inside(&self, lease: &mut Lease, which: &Which, changes: &Changes) -> Result<Vec<Vec<Value>>> {
        let found = self.select_for_update(lease, &self.query_which(which)).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in 0..found.len() {
            rows.push(self.write_changes(lease, found.values(row)?, changes.clone()).await?);
        }
        Ok(rows)
    }

    /// Inserts a row, or changes the one that has its unique values.
    pub(super) async fn upsert_by_hand(&self, conflict: &Conflict, tx: Option<&Transaction>) -> Result<RowSet> {
        let (mut attempt, mut looks) = (0, 0);
        loop {
            let mut unit = Unit::begin(self.lease(Verb::Upsert, tx).await?).await?;
            let outcome = self.upsert_inside(unit.lease(), conflict).await;
            match unit.end(outcome).await {
                Err(error) if tx.is_none() && may_repeat(&error, &mut attempt).await => {}
                // Another may have inserted the row after we looked; or the row in the way has another unique value of ours.
                Err(error) if error.kind() == Kind::UniqueViolation && looks < LOOKS => looks += 1,
                outcome => return outcome.map(|row| self.row_set(vec![row])),
            }
        }
    }

    async fn upsert_inside(&self, lease: &mut Lease, conflict: &Conflict) -> Result<Vec<Value>> {
        let entity = &self.entity;
        let values: Vec<_> = conflict.on.iter().map(|position| conflict.row[*position].clone()).collect();
        let filter = living(fields_equal(entity, &conflict.on, &values)?, entity, conflict.on == entity.key)?;
        let which = Which { filter, sort: Sort::default(), one: true, by_key: false };
        let found = self.select_for_update(lease, &self.query_which(&which)).await?;
        if !found.is_empty() {
            return self.write_changes(lease, found.values(0)?, conflict.changes.clone()).await;
        }
        let mut row = conflict.row.clone();
        self.check_references(lease, &[Written { before: None, after: &row }]).await?;
        let keys = lease.session()?.insert(self.shared.insertion.clone(), Arc::new(vec![row.clone()].into())).await?;
        self.fill_counted_key(&mut row, keys.into_iter().next().flatten());
        Ok(row)
    }

    /// Writes what differs between a row and its changed document; returns the whole row as it is then.
    pub(super) async fn write_back(
        &self,
        lease: &mut Lease,
        before: Vec<Value>,
        mut document: Map,
        now: DateTime,
    ) -> Result<Vec<Value>> {
        let mut changes = Changes::default();
        for (position, field) in self.entity.fields.iter().enumerate() {
            let value = self.stored_value(position, document.shift_remove(&field.name).unwrap_or_default())?;
            if !identical(&value, &before[position]) {
                changes.0.push((position, SetTo::Value(value)));
            }
        }
        touch(&self.entity, &mut changes, now);
        self.write_changes(lease, before, self.stored_changes(changes)?).await
    }

    /// Writes changes of a row that nobody else can write now; returns the row as it is then.
    async fn write_changes(&self, lease: &mut Lease, before: Vec<Value>, changes: Changes) -> Result<Vec<Value>> {
        if changes.0.is_empty() {
            return Ok(before);
        }
        let entity = &self.entity;
        let searched = entity.automatic.search;
        let mut after = before.clone();
        let mut written = Changes::default();
        for (position, set) in changes.0 {
            let value = match set {
                // Its words are made of the row as it is then.
                _ if searched == Some(position) => continue,
                SetTo::Value(value) => value,
                SetTo::Plus(_) if before[position].is_null() => continue,
                SetTo::Plus(number) => self.stored_value(position, plus(&before[position], &number)?)?,
            };
            after[position] = value.clone();
            written.0.push((position, SetTo::Value(value)));
        }
        entity.fill_search(&mut after);
        if let Some(position) = searched.filter(|position| !identical(&before[*position], &after[*position])) {
            written.0.push((position, SetTo::Value(after[position].clone())));
        }
        if written.0.is_empty() {
            return Ok(after);
        }
        self.check_references(lease, &[Written { before: Some(&before), after: &after }]).await?;
        let filter = key_equals(entity, &entity.key_of(&before))?;
        let write = Write { entity, filter: &filter, sort: &Sort::default(), one: false, returning: false };
        let statement = self.database.backend().compile(&Operation::Update(write, written))?;
        lease.session()?.execute(statement).await?;
        Ok(after)
    }
}
