//! Deleting, softly where the entity says so, and bringing back.

use super::arguments::{Arguments, key_equals, living};
use super::modify::{Which, supported, touch};
use super::{Reply, Repository, Verb};
use crate::backend::{Changes, Operation, SetTo, Statement, Write};
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::query::{Comparison, Filter, Sort, Test};
use crate::schema::Path;
use crate::transaction::{Transaction, Unit, may_repeat};
use crate::value::{DateTime, Value};

impl Repository {
    pub(super) async fn delete(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let key = self.checked_key(arguments.needed("id")?)?;
        let hard = arguments.flag("hard", false)?;
        arguments.finish()?;
        // A hard delete also reaches rows that are soft-deleted already.
        let filter = living(key_equals(&self.entity, &key)?, &self.entity, hard)?;
        // What refers to it may be many rows, with which it goes: outside a transaction that can be given up and left for later.
        let by_key = tx.is_none() || (self.entity.is_soft_deleted() && !hard);
        let which = Which { filter, sort: Sort::default(), one: false, by_key };
        if self.remove(&which, hard, tx, Verb::Delete).await? == 0 {
            Err(self.not_found(&key))
        } else {
            Ok(Reply::Nothing)
        }
    }

    pub(super) async fn delete_many(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let hard = arguments.flag("hard", false)?;
        let which = self.which_many(&mut arguments, Verb::DeleteMany)?;
        arguments.finish()?;
        Ok(Reply::Count(self.remove(&which, hard, tx, Verb::DeleteMany).await?))
    }

    async fn remove(&self, which: &Which, hard: bool, tx: Option<&Transaction>, verb: Verb) -> Result<u64> {
        let soft = self.entity.is_soft_deleted() && !hard;
        if !soft && let Some(references) = self.walked_references()? {
            return self.remove_walking(which, &references, tx, verb).await;
        }
        let done = if soft {
            self.write_count(which, self.deletion(Some(DateTime::now())), tx, verb).await?
        } else {
            self.delete_count(which, tx, verb).await?
        };
        match done {
            Some(count) => Ok(count),
            None => self.remove_by_key(which, soft, tx, verb).await,
        }
    }

    fn deletion(&self, at: Option<DateTime>) -> Changes {
        let automatic = &self.entity.automatic;
        let moment = automatic.deleted.map(|position| (position, SetTo::Value(at.into())));
        let flag = automatic.deleted_flag.map(|position| (position, SetTo::Value(at.is_some().into())));
        let mut changes = Changes(moment.into_iter().chain(flag).collect());
        touch(&self.entity, &mut changes, at.unwrap_or_else(DateTime::now));
        changes
    }

    async fn delete_count(&self, which: &Which, tx: Option<&Transaction>, verb: Verb) -> Result<Option<u64>> {
        let write =
            Write { entity: &self.entity, filter: &which.filter, sort: &which.sort, one: which.one, returning: false };
        let Some(statement) = supported(self.database.backend().compile(&Operation::Delete(write)))? else {
            return Ok(None);
        };
        let statement = Statement { by_key: which.by_key, ..statement };
        let mut lease = self.lease(verb, tx).await?;
        lease.session()?.execute(statement).await.map(Some)
    }

    /// Finds the rows with the matcher, then removes them by key, in one transaction.
    async fn remove_by_key(&self, which: &Which, soft: bool, tx: Option<&Transaction>, verb: Verb) -> Result<u64> {
        let mut attempt = 0;
        loop {
            let mut unit = Unit::begin(self.lease(verb, tx).await?).await?;
            let outcome = self.remove_inside(unit.lease(), which, soft).await;
            match unit.end(outcome).await {
                Err(error) if tx.is_none() && may_repeat(&error, &mut attempt).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn remove_inside(&self, lease: &mut Lease, which: &Which, soft: bool) -> Result<u64> {
        let found = self.select_for_update(lease, &self.query_of(which.filter.clone())).await?;
        for row in 0..found.len() {
            let filter = key_equals(&self.entity, &self.entity.key_of(&found.values(row)?))?;
            let write =
                Write { entity: &self.entity, filter: &filter, sort: &Sort::default(), one: false, returning: false };
            let operation = if soft {
                Operation::Update(write, self.deletion(Some(DateTime::now())))
            } else {
                Operation::Delete(write)
            };
            let statement = self.database.backend().compile(&operation)?;
            lease.session()?.execute(statement).await?;
        }
        Ok(found.len() as u64)
    }

    pub(super) async fn restore(&self, mut arguments: Arguments, tx: Option<&Transaction>) -> Result<Reply> {
        let entity = &self.entity;
        let key = self.checked_key(arguments.needed("id")?)?;
        arguments.finish()?;
        let deleted = entity.automatic.deleted.ok_or_else(|| {
            Error::invalid_query(format!("{} has no soft delete, so there is nothing to restore", entity.name))
        })?;
        let path = Path::resolve(entity, &entity.fields[deleted].name)?;
        let is_deleted = Filter::At(path, Test::Not(Box::new(Test::Compare(Comparison::Eq, Value::Null))));
        let which = Which {
            filter: key_equals(entity, &key)?.and(is_deleted),
            sort: Sort::default(),
            one: false,
            by_key: true,
        };
        let rows = self.write_rows(&which, self.deletion(None), tx, Verb::Restore).await?;
        if rows.is_empty() { Err(self.not_found(&key)) } else { Ok(Reply::Row(Some(rows))) }
    }
}
