//! Gets that gather: those that are asked for in one turn of the host's loop, and those that come while every connection
//! is busy, are answered by one statement.
//!
//! Invariants: a get goes at once and alone when no other is under way and a connection is free; nobody waits longer than
//! for the end of the turn or for a connection; whoever goes away takes only its own answer with it; where the one
//! statement fails, each of its gets is tried alone, so that no failure is another's.
//! Not for: reads inside transactions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::arguments::{fields_in, living};
use super::{Repository, RowSet, Verb};
use crate::error::{Error, Kind, Result};
use crate::fork;
use crate::lease::Lease;
use crate::runtime::{self, Task};
use crate::schema::FieldType;
use crate::turn::Turn;
use crate::value::Value;

/// Keys of one statement at most.
const MOST: usize = 256;
/// How long past its members' deadline a group waits, so that the pool, whose error says more, is the first to give up.
const GRACE: Duration = Duration::from_millis(20);
/// Between two attempts to join the queue again when it is full.
const PAUSE: Duration = Duration::from_millis(5);

type Answer = oneshot::Sender<Result<RowSet>>;

/// A get that waits for its group.
struct Asked {
    number: u64,
    key: Vec<Value>,
    since: Instant,
    answer: Answer,
}

#[derive(Default)]
struct State {
    /// The process that gathers; a fork's child has none of its parent's threads, and nobody who would answer.
    process: u32,
    asked: Vec<Asked>,
    next: u64,
    /// Waits for a connection; present from the first get that asks until they are taken.
    leader: Option<Task<()>>,
    /// The turn whose end the leader waits for; only gets of that loop may join until then, for another's turn may be long.
    turn: Option<Turn>,
    /// Counts the leaders, so that one that is over is not mistaken for the next.
    generation: u64,
}

/// The gets of one entity.
#[derive(Default)]
pub(super) struct Group {
    state: Mutex<State>,
    under_way: AtomicUsize,
}

/// Counts a get as under way until it is dropped.
pub(super) struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // It may have begun before a fork, after which only what begins is counted.
        let less = |count: usize| Some(count.saturating_sub(1));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a get; `true` where no other is under way.
    pub(super) fn begin(&self) -> (UnderWay<'_>, bool) {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (UnderWay(&self.under_way), before == 0)
    }

    /// Adds a get, and says whether it is the first; `None` where too many wait, or the turn of another loop.
    fn join(&self, key: Vec<Value>, answer: Answer, limit: usize) -> Option<(u64, bool)> {
        let mut state = self.lock();
        let process = fork::process();
        if state.process != process {
            let before = std::mem::replace(&mut *state, State { process, ..State::default() });
            if before.process != 0 {
                // Those of the parent do not end here; this one is under way.
                self.under_way.store(1, Ordering::Relaxed);
            }
            std::mem::forget(before);
        }
        if state.asked.len() >= limit {
            return None;
        }
        let turn = Turn::current();
        if state.asked.is_empty() {
            state.turn = turn;
        } else if let Some(waited_for) = &state.turn
            && !turn.is_some_and(|turn| turn.is_of_same_loop(waited_for))
        {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.asked.push(Asked { number, key, since: Instant::now(), answer });
        Some((number, state.asked.len() == 1))
    }

    /// From now on they wait for a connection, and gets of other loops may join.
    fn end_turn(&self) {
        let mut state = self.lock();
        state.turn = None;
        let now = Instant::now();
        for one in &mut state.asked {
            one.since = now;
        }
    }

    /// Takes the next ones for one statement. `true` where others are left, who need another leader.
    fn take(&self) -> (Vec<Asked>, bool) {
        let mut state = self.lock();
        let count = state.asked.len().min(MOST);
        let taken = state.asked.drain(..count).collect();
        let leader = state.end_leader();
        let rest = !state.asked.is_empty();
        drop(state);
        if let Some(leader) = leader {
            leader.detach();
        }
        (taken, rest)
    }

    /// Takes those who have waited for `patience`, and says how long the next one may. Where none is left, whoever comes
    /// next begins anew.
    fn take_overdue(&self, patience: Duration) -> (Vec<Asked>, Option<Duration>) {
        let now = Instant::now();
        let mut state = self.lock();
        // They stand in the order in which they came.
        let count = state.asked.partition_point(|one| now.duration_since(one.since) >= patience);
        let overdue = state.asked.drain(..count).collect();
        let left = state.asked.first().map(|one| patience.saturating_sub(now.duration_since(one.since)));
        let leader = if left.is_none() { state.end_leader() } else { None };
        drop(state);
        if let Some(leader) = leader {
            leader.detach();
        }
        (overdue, left)
    }

    /// Takes the first of them, who was the cause of what has failed.
    fn take_first(&self) -> Vec<Asked> {
        let mut state = self.lock();
        let count = state.asked.len().min(1);
        state.asked.drain(..count).collect()
    }
}

impl State {
    /// The leader's task, which is over as soon as the caller, who is that leader, returns.
    fn end_leader(&mut self) -> Option<Task<()>> {
        self.generation += 1;
        self.leader.take()
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
        let Ok(place) = state.asked.binary_search_by_key(&self.number, |one| one.number) else { return };
        let gone = state.asked.remove(place);
        // Nobody is left to be answered.
        let leader = if state.asked.is_empty() { state.leader.take() } else { None };
        let turn = if leader.is_some() { state.turn.take() } else { None };
        drop(state);
        drop((gone, leader, turn));
    }
}

impl Repository {
    /// The row of a key, gathered with others'.
    pub(super) async fn gathered(&self, key: Vec<Value>) -> Result<RowSet> {
        let (answer, answered) = oneshot::channel();
        let Some((number, is_first)) = self.shared.group.join(key.clone(), answer, self.database.queue_limit().max(1))
        else {
            return self.fetch_alone(key, None).await;
        };
        let _place = Place { group: &self.shared.group, number };
        if is_first {
            self.lead(true);
        }
        match answered.await {
            Ok(answer) => answer,
            // The statement for all has failed. This one may succeed, or fail for a reason of its own.
            Err(_) => self.fetch_alone(key, None).await,
        }
    }

    /// Begins to wait for a connection for those who gather; `fresh` where nobody of them has waited yet.
    fn lead(&self, fresh: bool) {
        let generation = self.shared.group.lock().generation;
        let repository = self.clone();
        let leader = runtime::spawn(async move { repository.answer_gathered(fresh).await });
        let mut state = self.shared.group.lock();
        if state.generation == generation && !state.asked.is_empty() {
            let before = state.leader.replace(leader);
            drop(state);
            drop(before);
        } else {
            drop(state);
            leader.detach();
        }
    }

    async fn answer_gathered(&self, fresh: bool) {
        let turn = self.shared.group.lock().turn.clone();
        if let Some(turn) = turn {
            turn.end().await;
            self.shared.group.end_turn();
        }
        let Some(lease) = self.lease_for_gathered(fresh).await else { return };
        let (mut asked, rest) = self.shared.group.take();
        if rest {
            self.lead(false);
        }
        asked.retain(|one| !one.answer.is_closed());
        if asked.is_empty() {
            return;
        }
        self.database.count_grouped(asked.len());
        // Where it fails, the answers are dropped, which sends each on its own way.
        let Ok(rows) = self.fetch_together(lease, &asked).await else { return };
        for (one, found) in asked.into_iter().zip(rows) {
            if let Some(found) = found {
                drop(one.answer.send(Ok(found)));
            }
        }
    }

    /// A connection for those who gather; `None` where nobody is left: each was told why it gets none.
    async fn lease_for_gathered(&self, mut fresh: bool) -> Option<Lease> {
        let patience = self.database.acquire_timeout();
        loop {
            let (overdue, left) = self.shared.group.take_overdue(patience);
            if !overdue.is_empty() {
                let waited = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
                let message = format!("no connection became free within {patience:?}");
                tell(overdue, &Error::new(Kind::PoolTimeout, message).with("waited_ms", waited));
            }
            let error = match self.lease_within(left? + GRACE).await {
                Ok(Some(lease)) => return Some(lease),
                Ok(None) => continue,
                Err(error) => error,
            };
            match error.kind() {
                // As the first of them would have been told alone; the others are told in the next turn, each in its time.
                Kind::PoolTimeout => tell(self.shared.group.take_overdue(patience).0, &error),
                // Who has been let in once is not turned away.
                Kind::PoolQueueFull if !fresh => runtime::sleep(PAUSE).await,
                Kind::ConnectionFailed if self.database.has_connections() => {
                    tell(self.shared.group.take_first(), &error);
                }
                _ => {
                    let (asked, rest) = self.shared.group.take();
                    tell(asked, &error);
                    if rest {
                        self.lead(fresh);
                    }
                    return None;
                }
            }
            fresh = false;
        }
    }

    /// A connection; `None` where there was none within `span`.
    async fn lease_within(&self, span: Duration) -> Result<Option<Lease>> {
        tokio::select! {
            acquired = self.lease(Verb::Get, None) => acquired.map(Some),
            () = runtime::sleep(span) => Ok(None),
        }
    }

    /// The rows of all keys, in their order: an empty one for a key that is not there, none for a key that must be asked
    /// for alone.
    async fn fetch_together(&self, mut lease: Lease, asked: &[Asked]) -> Result<Vec<Option<RowSet>>> {
        if let [one] = asked {
            return Ok(vec![Some(self.fetch_alone(one.key.clone(), Some(lease)).await?)]);
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
        // A database that others have made may take more texts and moments for equal than we do, and finds them alone.
        let mut kinds = self.entity.key.iter().map(|position| &self.entity.fields[*position].kind);
        let is_wide = kinds.any(|kind| matches!(kind, FieldType::Text | FieldType::DateTime));
        let row = |place: Option<usize>| (place.is_some() || !is_wide).then(|| RowSet::one_of(&found, place));
        Ok(places.into_iter().map(row).collect())
    }
}
