//! Deletes that the core carries from row to row: where the engine has no foreign keys, and where engines would differ
//! ([`References::is_walked`]). All that is found is deleted, let go of or in the way before anything is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::arguments::fields_in;
use super::modify::Which;
use super::references::{CHUNK, seize};
use super::{Repository, Verb};
use crate::backend::{Changes, Operation, SetTo, Write};
use crate::error::{Error, Kind, Result};
use crate::lease::Lease;
use crate::query::Sort;
use crate::schema::{Entity, OnDelete, Reference, References, Relation, identity};
use crate::transaction::{Transaction, Unit, may_repeat};
use crate::value::Value;

/// A row that will be deleted, and the places of those that name it.
struct Doomed {
    entity: Arc<Entity>,
    key: Vec<Value>,
    named_by: Vec<usize>,
}

/// A row that names a doomed one and is not deleted by that.
struct Naming<'a> {
    reference: &'a Reference,
    key: Vec<Value>,
    target: usize,
}

struct Walk<'a> {
    repository: &'a Repository,
    references: &'a References,
    doomed: Vec<Doomed>,
    /// By entity and key.
    places: HashMap<(String, String), usize>,
    naming: Vec<Naming<'a>>,
}

impl Repository {
    /// The references that a hard delete of rows of this entity follows here, if it is not the engine that does it.
    pub(super) fn walked_references(&self) -> Result<Option<Arc<References>>> {
        let (contract, name) = (self.database.contract(), &self.entity.name);
        let names = |relation: &Relation| relation.target == *name && relation.is_enforced();
        if !contract.entities().iter().any(|entity| entity.relations.iter().any(names)) {
            return Ok(None);
        }
        let references = contract.references()?;
        let is_ours = !self.database.backend().capabilities().foreign_keys || references.is_walked(name);
        Ok(is_ours.then_some(references))
    }

    /// Deletes rows with all that follows from it, in one transaction.
    pub(super) async fn remove_walking(
        &self,
        which: &Which,
        references: &References,
        tx: Option<&Transaction>,
        verb: Verb,
    ) -> Result<u64> {
        let mut attempt = 0;
        loop {
            let mut unit = Unit::begin(self.lease(verb, tx).await?).await?;
            let outcome = Walk::new(self, references).run(unit.lease(), which).await;
            match unit.end(outcome).await {
                Err(error) if tx.is_none() && may_repeat(&error, &mut attempt).await => {}
                outcome => return outcome,
            }
        }
    }
}

impl<'a> Walk<'a> {
    fn new(repository: &'a Repository, references: &'a References) -> Self {
        Self { repository, references, doomed: Vec::new(), places: HashMap::new(), naming: Vec::new() }
    }

    async fn run(mut self, lease: &mut Lease, which: &Which) -> Result<u64> {
        let found = self.repository.select_for_update(lease, &self.repository.query_which(which)).await?;
        let mut level = Vec::new();
        for row in 0..found.len() {
            let key = self.repository.entity.key_of(&found.values(row)?);
            level.extend(self.doom(&self.repository.entity, key).1);
        }
        while !level.is_empty() {
            level = self.follow(lease, &level).await?;
        }
        self.let_go(lease).await?;
        self.delete(lease).await?;
        Ok(found.len() as u64)
    }

    /// The place of a row among the doomed, twice where it is new there.
    fn doom(&mut self, entity: &Arc<Entity>, key: Vec<Value>) -> (usize, Option<usize>) {
        let place = self.doomed.len();
        let known = *self.places.entry((entity.name.clone(), identity(&key))).or_insert(place);
        if known < place {
            return (known, None);
        }
        self.doomed.push(Doomed { entity: Arc::clone(entity), key, named_by: Vec::new() });
        (place, Some(place))
    }

    fn by_entity(&self, places: impl Iterator<Item = usize>) -> Vec<(Arc<Entity>, Vec<Vec<Value>>)> {
        let mut groups: BTreeMap<&str, (Arc<Entity>, Vec<Vec<Value>>)> = BTreeMap::new();
        for place in places {
            let Doomed { entity, key, .. } = &self.doomed[place];
            let group = groups.entry(&entity.name).or_insert_with(|| (Arc::clone(entity), Vec::new()));
            group.1.push(key.clone());
        }
        groups.into_values().collect()
    }

    fn rows_of(&self, entity: &Arc<Entity>) -> Result<Repository> {
        Repository::new(self.repository.database.clone(), Arc::clone(entity))
    }

    /// Finds what names the rows of one level; those that are deleted with them are the next.
    async fn follow(&mut self, lease: &mut Lease, level: &[usize]) -> Result<Vec<usize>> {
        let (mut next, references) = (Vec::new(), self.references);
        for (target, keys) in self.by_entity(level.iter().copied()) {
            let naming: Vec<_> =
                references.all().iter().filter(|reference| reference.target.name == target.name).collect();
            if naming.is_empty() {
                continue;
            }
            seize(&self.repository.database, lease, &target, &keys).await?;
            for reference in naming {
                let rows = self.rows_of(&reference.entity)?;
                for chunk in keys.chunks(CHUNK) {
                    let query = rows.query_of(fields_in(&reference.entity, &reference.columns, chunk)?);
                    let found = rows.select_for_update(lease, &query).await?;
                    for row in 0..found.len() {
                        next.extend(self.meet(reference, &found.values(row)?));
                    }
                }
            }
        }
        Ok(next)
    }

    /// Notes a row that names a doomed one; its place where it is doomed by that now.
    fn meet(&mut self, reference: &'a Reference, row: &[Value]) -> Option<usize> {
        let named = reference.named_by(row)?;
        let target = *self.places.get(&(reference.target.name.clone(), identity(&named)))?;
        let key = reference.entity.key_of(row);
        if reference.on_delete != OnDelete::Cascade {
            self.naming.push(Naming { reference, key, target });
            return None;
        }
        let (place, new) = self.doom(&reference.entity, key);
        self.doomed[target].named_by.push(place);
        new
    }

    /// Refuses where a row stays that must not lose its target; takes the names from all that may.
    async fn let_go(&mut self, lease: &mut Lease) -> Result<()> {
        let has_engine = self.repository.database.backend().capabilities().foreign_keys;
        let mut released: BTreeMap<&str, (&Reference, Vec<Vec<Value>>)> = BTreeMap::new();
        for Naming { reference, key, target } in std::mem::take(&mut self.naming) {
            let place = self.places.get(&(reference.entity.name.clone(), identity(&key))).copied();
            match (reference.on_delete, place) {
                (OnDelete::Restrict, None) => return Err(restricted(reference)),
                (OnDelete::Restrict, Some(place)) => {
                    self.doomed[target].named_by.push(place);
                    // The engine would mind where rows name each other in a circle.
                    if !has_engine || !can_be_null(reference) {
                        continue;
                    }
                }
                (_, Some(_)) => continue,
                (_, None) => {}
            }
            released.entry(&reference.name).or_insert_with(|| (reference, Vec::new())).1.push(key);
        }
        for (reference, keys) in released.into_values() {
            self.set_null(lease, reference, &keys).await?;
        }
        Ok(())
    }

    async fn set_null(&self, lease: &mut Lease, reference: &Reference, keys: &[Vec<Value>]) -> Result<()> {
        let entity = &reference.entity;
        let columns = reference.columns.iter().filter(|position| entity.fields[**position].nullable);
        let changes = Changes(columns.map(|position| (*position, SetTo::Value(Value::Null))).collect());
        for chunk in keys.chunks(CHUNK) {
            let filter = fields_in(entity, &entity.key, chunk)?;
            let write = Write { entity, filter: &filter, sort: &Sort::default(), one: false, returning: false };
            let statement = self.repository.database.backend().compile(&Operation::Update(write, changes.clone()))?;
            lease.session()?.execute(statement).await?;
        }
        Ok(())
    }

    /// Deletes the doomed rows: one by one behind those that name them where the engine looks.
    async fn delete(&self, lease: &mut Lease) -> Result<()> {
        let database = &self.repository.database;
        if database.backend().capabilities().foreign_keys {
            for place in self.behind_those_that_name() {
                let Doomed { entity, key, .. } = &self.doomed[place];
                self.delete_keys(lease, entity, std::slice::from_ref(key)).await?;
            }
            return Ok(());
        }
        for (entity, keys) in self.by_entity(0..self.doomed.len()) {
            for chunk in keys.chunks(CHUNK) {
                self.delete_keys(lease, &entity, chunk).await?;
            }
        }
        Ok(())
    }

    async fn delete_keys(&self, lease: &mut Lease, entity: &Entity, keys: &[Vec<Value>]) -> Result<()> {
        let filter = fields_in(entity, &entity.key, keys)?;
        let write = Write { entity, filter: &filter, sort: &Sort::default(), one: false, returning: false };
        let statement = self.repository.database.backend().compile(&Operation::Delete(write))?;
        lease.session()?.execute(statement).await.map(|_| ())
    }

    /// All places, each behind those that name it, but for circles.
    fn behind_those_that_name(&self) -> Vec<usize> {
        let (mut order, mut entered) = (Vec::new(), vec![false; self.doomed.len()]);
        for start in 0..self.doomed.len() {
            let mut stack = vec![(start, false)];
            while let Some((place, is_left)) = stack.pop() {
                if is_left {
                    order.push(place);
                } else if !std::mem::replace(&mut entered[place], true) {
                    stack.push((place, true));
                    stack.extend(self.doomed[place].named_by.iter().map(|other| (*other, false)));
                }
            }
        }
        order
    }
}

fn can_be_null(reference: &Reference) -> bool {
    reference.columns.iter().any(|position| reference.entity.fields[*position].nullable)
}

fn restricted(reference: &Reference) -> Error {
    let (entity, relation, target) = (&reference.entity.name, &reference.relation, &reference.target.name);
    let message = format!("{entity}.{relation}: a row of {entity} still names the row of {target}");
    reference.explain(Error::new(Kind::ForeignKeyViolation, message))
}
