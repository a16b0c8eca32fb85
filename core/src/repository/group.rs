//! Gets that gather: while every connection is busy, the keys that are asked for come together, and the next connection
//! that is free answers all of them in one statement.
//!
//! Invariants: a get that finds a connection free goes at once and alone; whoever goes away takes only its own answer
//! with it; where the one statement fails, each of its gets is tried alone, so that no failure is another's.
//! Not for: reads inside transactions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::arguments::{fields_in, living};
use super::{Repository, RowSet, Verb};
use crate::error::{Error, Kind, Result};
use crate::lease::Lease;
use crate::runtime::{self, Task};
use crate::value::Value;

/// Keys of one statement at most.
const MOST: usize = 256;
/// Gets that may gather; more wait in the pool's own queue, and are bounded by its limit.
const LIMIT: usize = 10_000;

/// A get that waits for its group.
struct Asked {
    number: u64,
    key: Vec<Value>,
    since: Instant,
    answer: oneshot::Sender<Result<RowSet>>,
}

#[derive(Default)]
struct State {
    /// The process that gathers; a fork's child has none of its parent's threads, and nobody who would answer.
    process: u32,
    asked: Vec<Asked>,
    next: u64,
    /// Waits for a connection; present from the first get that asks until they are taken.
    leader: Option<Task<()>>,
    /// Counts the leaders, so that one that is over is not mistaken for the next.
    generation: u64,
}

/// The gets of one entity that wait for a connection.
#[derive(Default)]
pub(super) struct Group(Mutex<State>);

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a get, and says whether it is the first; `None` where too many wait.
    fn join(&self, key: Vec<Value>, answer: oneshot::Sender<Result<RowSet>>) -> Option<(u64, bool)> {
        let mut state = self.lock();
        let process = std::process::id();
        if state.process != process {
            std::mem::forget(std::mem::replace(&mut *state, State { process, ..State::default() }));
        }
        if state.asked.len() >= LIMIT {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.asked.push(Asked { number, key, since: Instant::now(), answer });
        Some((number, state.asked.len() == 1))
    }

    /// Takes the next ones for one statement. `true` where others are left, who need another leader.
    fn take(&self) -> (Vec<Asked>, bool) {
        let mut state = self.lock();
        let count = state.asked.len().min(MOST);
        let taken = state.asked.drain(..count).collect();
        state.generation += 1;
        let leader = state.leader.take();
        let rest = !state.asked.is_empty();
        drop(state);
        if let Some(leader) = leader {
            // It is the caller.
            leader.detach();
        }
        (taken, rest)
    }

    /// Takes those who have waited for `patience`, and says how long the next one may.
    fn take_overdue(&self, patience: Duration) -> (Vec<Asked>, Option<Duration>) {
        let now = Instant::now();
        let mut state = self.lock();
        // They stand in the order in which they came.
        let count = state.asked.partition_point(|one| now.duration_since(one.since) >= patience);
        let overdue = state.asked.drain(..count).collect();
        let left = state.asked.first().map(|one| patience.saturating_sub(now.duration_since(one.since)));
        (overdue, left)
    }
}

/// Tells each of them that it fails; those who have gone away hear nothing.
fn tell(asked: Vec<Asked>, error: &Error) {
    for one in asked {
        drop(one.answer.send(Err(error.clone())));
    }
}

/// A get's place among those who gather, until it is dropped.
struct Place<'a> {
    group: &'a Group,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        let Some(place) = state.asked.iter().position(|one| one.number == self.number) else { return };
        let gone = state.asked.remove(place);
        // Nobody is left to be answered.
        let leader = if state.asked.is_empty() { state.leader.take() } else { None };
        drop(state);
        drop((gone, leader));
    }
}

impl Repository {
    /// The row of a key, gathered with others'. No connection was free a moment ago.
    pub(super) async fn gathered(&self, key: Vec<Value>) -> Result<RowSet> {
        let (answer, answered) = oneshot::channel();
        let Some((number, is_first)) = self.group.join(key.clone(), answer) else {
            return self.fetch_alone(key, None).await;
        };
        let _place = Place { group: &self.group, number };
        if is_first {
            self.lead();
        }
        match answered.await {
            Ok(answer) => answer,
            // The statement for all has failed. This one may succeed, or fail for a reason of its own.
            Err(_) => self.fetch_alone(key, None).await,
        }
    }

    /// Begins to wait for a connection for those who gather.
    fn lead(&self) {
        let generation = self.group.lock().generation;
        let repository = self.clone();
        let leader = runtime::spawn(async move { repository.answer_gathered().await });
        let mut state = self.group.lock();
        if state.generation == generation && !state.asked.is_empty() {
            let before = state.leader.replace(leader);
            drop(state);
            drop(before);
        } else {
            drop(state);
            leader.detach();
        }
    }

    async fn answer_gathered(&self) {
        let lease = match self.lease_for_gathered().await {
            Ok(Some(lease)) => lease,
            Ok(None) => return,
            Err(error) => {
                // Alone, each of them would be told the same.
                let (asked, rest) = self.group.take();
                tell(asked, &error);
                if rest {
                    self.lead();
                }
                return;
            }
        };
        let (mut asked, rest) = self.group.take();
        if rest {
            self.lead();
        }
        asked.retain(|one| !one.answer.is_closed());
        if asked.is_empty() {
            return;
        }
        self.database.count_grouped(asked.len());
        // Where it fails, the answers are dropped, which sends each on its own way.
        let Ok(rows) = self.fetch_together(lease, &asked).await else { return };
        for (one, found) in asked.into_iter().zip(rows) {
            drop(one.answer.send(Ok(found)));
        }
    }

    /// A connection for those who gather; `None` where all of them have waited too long and were told so.
    async fn lease_for_gathered(&self) -> Result<Option<Lease>> {
        let patience = self.database.acquire_timeout();
        let mut acquired = self.lease(Verb::Get, None).await;
        loop {
            let error = match acquired {
                Err(error) if error.kind() == Kind::PoolTimeout => error,
                acquired => return acquired.map(Some),
            };
            let (overdue, left) = self.group.take_overdue(patience);
            tell(overdue, &error);
            let Some(left) = left else {
                // Whoever came since then has begun nothing: it was not the first, or it is in the list.
                return Ok(None);
            };
            acquired = self.lease_within(left, error).await;
        }
    }

    async fn lease_within(&self, span: Duration, late: Error) -> Result<Lease> {
        let sleep = {
            let _runtime = runtime::handle().enter();
            tokio::time::sleep(span)
        };
        tokio::select! {
            acquired = self.lease(Verb::Get, None) => acquired,
            () = sleep => Err(late),
        }
    }

    /// The rows of all keys, in their order; none for a key that is not there.
    async fn fetch_together(&self, mut lease: Lease, asked: &[Asked]) -> Result<Vec<RowSet>> {
        if let [one] = asked {
            return Ok(vec![self.fetch_alone(one.key.clone(), Some(lease)).await?]);
        }
        let mut keys: Vec<Vec<Value>> = asked.iter().map(|one| one.key.clone()).collect();
        if let Some(last) = keys.last().cloned() {
            // Few lengths are few statements where a list of parameters is a part of the text.
            keys.resize(keys.len().next_power_of_two(), last);
        }
        let filter = living(fields_in(&self.entity, &self.entity.key, &keys)?, &self.entity, false)?;
        let found = self.select(&mut lease, &self.query_of(filter)).await?;
        drop(lease);
        let places = self.places_of(&found, &keys[..asked.len()])?;
        let found = Arc::new(found);
        Ok(places.into_iter().map(|place| RowSet::one_of(&found, place)).collect())
    }
}
