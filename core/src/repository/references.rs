//! References that engines do not look after: rows that name a key are written only while the row of that key is there.
//!
//! Invariant: who writes a reference and who deletes its target hold the same key, the one until its row is written and
//! the other until the target is gone, so that no reference is left dangling. Where rows can be locked the target's row is
//! held; elsewhere it is a mark that both change, for which transactions conflict.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use super::arguments::fields_in;
use super::{Repository, Verb};
use crate::backend::{Batch, Changes, Conflict, Insert, Operation, SetTo, Statement, Write};
use crate::backends::REFERENCES;
use crate::database::Database;
use crate::error::{Error, Kind, Result};
use crate::lease::Lease;
use crate::query::Sort;
use crate::schema::{Entity, Field, FieldType, Reference, References, Relation, identity};
use crate::transaction::{Transaction, Unit, may_repeat};
use crate::value::{Value, tagged};

/// Keys of one statement.
pub(super) const CHUNK: usize = 500;

/// The entity of the marks: `id` says which key, `writes` is what both sides change.
static MARKS: LazyLock<Result<Entity>> = LazyLock::new(|| {
    let id = Field { primary_key: true, ..Field::new("id", FieldType::Text) };
    let mut entity = Entity::new("references", vec![id, Field::new("writes", FieldType::Int)], Vec::new())?;
    REFERENCES.clone_into(&mut entity.name);
    Ok(entity)
});

/// Marks of one key: a writer changes one of them, so that few writers meet, and who deletes the row takes all.
const MARKS_OF_KEY: usize = 8;

fn mark(target: &Entity, key: &[Value], number: usize) -> Value {
    Value::Text(format!("{} {} {number}", target.name, identity(key)))
}

/// All marks of keys.
fn marks(target: &Entity, keys: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let each = keys.iter().flat_map(|key| (0..MARKS_OF_KEY).map(move |number| (key, number)));
    each.map(|(key, number)| vec![mark(target, key, number)]).collect()
}

/// Two that write the same mark for the first time.
fn met(error: Error) -> Error {
    match error.kind() {
        Kind::UniqueViolation => Error::new(
            Kind::TransactionConflict,
            "another transaction writes references to the same row, or deletes it",
        ),
        _ => error,
    }
}

/// Keeps others from deleting the rows of these keys until the transaction ends, whether they are there or not.
async fn hold(database: &Database, lease: &mut Lease, target: &Entity, keys: &[Vec<Value>]) -> Result<()> {
    let backend = database.backend();
    if backend.capabilities().row_locks {
        return Ok(());
    }
    let entity = MARKS.as_ref().map_err(Error::clone)?;
    let number = usize::from(rand::random::<u8>()) % MARKS_OF_KEY;
    for key in keys {
        let row = vec![mark(target, key, number), Value::Int(1)];
        let changes = Changes(vec![(1, SetTo::Plus(Value::Int(1)))]);
        let insert = Insert { entity, conflict: Some(Conflict { on: vec![0], row, changes }) };
        let statement = backend.compile(&Operation::Insert(insert))?;
        lease.session()?.query(statement).await.map_err(met)?;
    }
    Ok(())
}

/// Keeps others from naming these keys until the transaction ends, in which their rows are deleted.
pub(super) async fn seize(database: &Database, lease: &mut Lease, target: &Entity, keys: &[Vec<Value>]) -> Result<()> {
    let backend = database.backend();
    if backend.capabilities().row_locks {
        return Ok(());
    }
    let entity = MARKS.as_ref().map_err(Error::clone)?;
    for chunk in marks(target, keys).chunks(CHUNK) {
        let filter = fields_in(entity, &entity.key, chunk)?;
        let write = Write { entity, filter: &filter, sort: &Sort::default(), one: false, returning: false };
        let removal = backend.compile(&Operation::Delete(write))?;
        // Whoever has one of them changes it, whoever has not inserts it: each meets one of these.
        lease.session()?.execute(removal.clone()).await?;
        let rows: Vec<_> = chunk.iter().map(|mark| vec![mark[0].clone(), Value::Int(0)]).collect();
        let insert = backend.compile(&Operation::Insert(Insert { entity, conflict: None }))?;
        lease.session()?.insert(insert, Arc::new(rows.into())).await.map_err(met)?;
        // Nobody needs the marks of a row that is gone.
        lease.session()?.execute(removal).await?;
    }
    Ok(())
}

/// A row that is about to be written.
pub(super) struct Written<'a> {
    /// As it is in the database; `None` where it is new.
    pub(super) before: Option<&'a [Value]>,
    pub(super) after: &'a [Value],
}

impl Written<'_> {
    /// The key that a reference names anew.
    fn names(&self, reference: &Reference) -> Option<Vec<Value>> {
        let key = reference.named_by(self.after)?;
        let known = self.before.and_then(|before| reference.named_by(before));
        known.is_none_or(|known| identity(&known) != identity(&key)).then_some(key)
    }
}

impl Repository {
    /// The references of this entity, where the core enforces them.
    pub(super) fn checked_references(&self) -> Result<Option<Arc<References>>> {
        let holds = self.entity.relations.iter().any(Relation::is_enforced);
        if !holds || self.database.backend().capabilities().foreign_keys {
            return Ok(None);
        }
        self.database.contract().references().map(Some)
    }

    /// Whether changes let rows name a key, which the core has to check.
    pub(super) fn names_keys(&self, changes: &Changes) -> Result<bool> {
        let Some(references) = self.checked_references()? else { return Ok(false) };
        let is_given = |(position, set): &(usize, SetTo)| {
            let is_null = matches!(set, SetTo::Value(Value::Null));
            !is_null && references.from(&self.entity.name).any(|reference| reference.columns.contains(position))
        };
        Ok(changes.0.iter().any(is_given))
    }

    /// Refuses rows that name a key without a row, and holds the keys that they name.
    pub(super) async fn check_references(&self, lease: &mut Lease, rows: &[Written<'_>]) -> Result<()> {
        let Some(references) = self.checked_references()? else { return Ok(()) };
        let new = rows.iter().filter(|row| row.before.is_none());
        let new: HashSet<String> = new.map(|row| identity(&self.entity.key_of(row.after))).collect();
        for reference in references.from(&self.entity.name) {
            let mut wanted = BTreeMap::new();
            for (index, row) in rows.iter().enumerate() {
                if let Some(key) = row.names(reference) {
                    wanted.entry(identity(&key)).or_insert((index, key));
                }
            }
            if reference.target.name == self.entity.name {
                wanted.retain(|name, _| !new.contains(name));
            }
            let keys: Vec<_> = wanted.values().map(|(_, key)| key.clone()).collect();
            hold(&self.database, lease, &reference.target, &keys).await?;
            for name in self.found_keys(lease, &reference.target, &keys).await? {
                wanted.remove(&name);
            }
            if let Some((index, key)) = wanted.into_values().next() {
                let error = missing(reference, &key);
                return Err(if rows.len() > 1 { error.with("row", index) } else { error });
            }
        }
        Ok(())
    }

    /// Which of these keys have rows, soft-deleted ones too.
    async fn found_keys(&self, lease: &mut Lease, target: &Arc<Entity>, keys: &[Vec<Value>]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let targets = Self::new(self.database.clone(), Arc::clone(target))?;
        for chunk in keys.chunks(CHUNK) {
            let query = targets.query_of(fields_in(target, &target.key, chunk)?);
            let found = targets.select_for_update(lease, &query).await?;
            for row in 0..found.len() {
                names.push(identity(&target.key_of(&found.values(row)?)));
            }
        }
        Ok(names)
    }

    /// Inserts rows by one compiled insert, all or none, each behind the one that it names.
    pub(super) async fn insert_rows(
        &self,
        statement: Statement,
        rows: &Arc<Batch>,
        tx: Option<&Transaction>,
    ) -> Result<Vec<Option<i64>>> {
        let Some(order) = parents_first(&self.entity, rows)? else {
            return self.insert_in_order(statement, Arc::clone(rows), tx).await;
        };
        let values = rows.to_values()?;
        let sorted: Vec<_> = order.iter().map(|index| values[*index].clone()).collect();
        let given = |error: Error| match error.context().get("row").and_then(Value::as_int) {
            Some(row) => error.replacing("row", usize::try_from(row).ok().and_then(|row| order.get(row).copied())),
            None => error,
        };
        let keys = self.insert_in_order(statement, Arc::new(sorted.into()), tx).await.map_err(given)?;
        let mut placed: Vec<_> = order.into_iter().zip(keys).collect();
        placed.sort_by_key(|(index, _)| *index);
        Ok(placed.into_iter().map(|(_, key)| key).collect())
    }

    async fn insert_in_order(
        &self,
        statement: Statement,
        rows: Arc<Batch>,
        tx: Option<&Transaction>,
    ) -> Result<Vec<Option<i64>>> {
        if self.checked_references()?.is_none() {
            if tx.is_none()
                && rows.len() == 1
                && let Some(keys) = self.database.insert_alone(&statement, &rows).await?
            {
                return Ok(keys);
            }
            return self.lease(Verb::CreateMany, tx).await?.session()?.insert(statement, rows).await;
        }
        let values = rows.to_values()?;
        let written: Vec<_> = values.iter().map(|after| Written { before: None, after }).collect();
        let mut attempt = 0;
        loop {
            let mut unit = Unit::begin(self.lease(Verb::CreateMany, tx).await?).await?;
            let outcome = match self.check_references(unit.lease(), &written).await {
                Ok(()) => unit.lease().session()?.insert(statement.clone(), Arc::clone(&rows)).await,
                Err(error) => Err(error),
            };
            match unit.end(outcome).await {
                Err(error) if tx.is_none() && may_repeat(&error, &mut attempt).await => {}
                outcome => return outcome,
            }
        }
    }
}

fn missing(reference: &Reference, key: &[Value]) -> Error {
    let (entity, relation, target) = (&reference.entity.name, &reference.relation, &reference.target.name);
    let shown: Vec<_> = key.iter().map(tagged::to_string).collect();
    let message = format!("{entity}.{relation}: there is no row of {target} with key {}", shown.join(", "));
    reference.explain(Error::new(Kind::ForeignKeyViolation, message))
}

/// The order in which rows of one batch can be inserted: each behind those that it names. `None` where it is the order
/// that they have.
fn parents_first(entity: &Entity, rows: &Batch) -> Result<Option<Vec<usize>>> {
    let own = entity.relations.iter().filter(|relation| relation.is_enforced() && relation.target == entity.name);
    let own: Vec<Vec<usize>> =
        own.map(|relation| relation.fields.iter().filter_map(|name| entity.position(name).ok()).collect()).collect();
    if own.is_empty() || rows.len() < 2 {
        return Ok(None);
    }
    let rows = rows.to_values()?;
    let places: HashMap<_, _> =
        rows.iter().enumerate().map(|(index, row)| (identity(&entity.key_of(row)), index)).collect();
    let parents: Vec<Vec<usize>> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let named = own.iter().map(|columns| columns.iter().map(|column| row[*column].clone()).collect::<Vec<_>>());
            named.filter_map(|key| places.get(&identity(&key)).copied()).filter(|parent| *parent != index).collect()
        })
        .collect();
    let Some(order) = behind(&parents) else {
        let message = format!("rows of {} that name each other in a circle cannot be created at once", entity.name);
        return Err(Error::new(Kind::ForeignKeyViolation, message).with("entity", entity.name.as_str()));
    };
    Ok((!order.iter().copied().eq(0..rows.len())).then_some(order))
}

/// Every number behind those of its list, else in order; `None` where they go in a circle.
fn behind(lists: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut order = Vec::with_capacity(lists.len());
    let (mut entered, mut done) = (vec![false; lists.len()], vec![false; lists.len()]);
    for start in 0..lists.len() {
        let mut stack = if done[start] { Vec::new() } else { vec![start] };
        while let Some(number) = stack.last().copied() {
            let waiting = lists[number].iter().copied().filter(|other| !done[*other]);
            if entered[number] || lists[number].is_empty() {
                stack.pop();
                if !done[number] {
                    if waiting.count() > 0 {
                        return None;
                    }
                    done[number] = true;
                    order.push(number);
                }
                continue;
            }
            entered[number] = true;
            for other in waiting {
                if entered[other] {
                    return None;
                }
                stack.push(other);
            }
        }
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn numbers_come_behind_those_that_they_wait_for() {
        assert_eq!(behind(&[vec![], vec![0], vec![1]]).unwrap(), [0, 1, 2]);
        assert_eq!(behind(&[vec![2], vec![], vec![3], vec![]]).unwrap(), [3, 2, 0, 1]);
        assert_eq!(behind(&[vec![1, 2], vec![2], vec![]]).unwrap(), [2, 1, 0]);
        assert_eq!(behind(&[vec![1, 2], vec![], vec![1]]).unwrap(), [1, 2, 0]);
        assert!(behind(&[vec![1], vec![0]]).is_none());
        assert!(behind(&[vec![], vec![2], vec![3], vec![1]]).is_none());
    }
}
