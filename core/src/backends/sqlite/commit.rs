//! Inserts of one row that share a commit.
//!
//! Whoever waits for the writer's connection meanwhile offers its row. Whoever gets the connection inserts all that are
//! offered by then in one transaction, each behind a savepoint.
//!
//! Invariants: an insert by itself is a transaction of its own, as everywhere; one that fails undoes its own row alone;
//! nobody hears of a success before the commit; answers come in the order of the offers; an offer is either withdrawn or
//! answered. Nobody waits longer than it would in the queue: its place there stays its own, and rows that would take long
//! are not offered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::translate;
use super::session::{SqliteSession, batch, insert_rows};
use super::worker::Interrupt;
use crate::backend::{Batch, Statement};
use crate::error::{Error, Kind, Result};
use crate::runtime;

/// Rows of one commit at most.
const MOST: usize = 256;
/// No further row is added to a commit after this.
const BOUND: Duration = Duration::from_millis(5);

/// What an insert answers: the generated keys.
pub(super) type Keys = Vec<Option<i64>>;

/// One row and its insert.
pub(super) struct Insertion {
    pub(super) statement: Statement,
    pub(super) rows: Arc<Batch>,
}

struct Offer {
    number: u64,
    insertion: Insertion,
    answer: oneshot::Sender<Result<Keys>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Offer>,
    next: u64,
}

/// The rows that wait for the writer.
#[derive(Default)]
pub(super) struct Offers(Mutex<State>);

/// A place among them, given up when it is dropped.
pub(super) struct Offered<'a> {
    offers: &'a Offers,
    number: u64,
    answer: oneshot::Receiver<Result<Keys>>,
}

impl Offers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, insertion: Insertion) -> Offered<'_> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(Offer { number, insertion, answer });
        Offered { offers: self, number, answer: answered }
    }

    fn take(&self) -> Option<Offer> {
        self.lock().waiting.pop_front()
    }

    fn remove(&self, number: u64) -> Option<Offer> {
        let mut state = self.lock();
        let place = state.waiting.binary_search_by_key(&number, |offer| offer.number).ok()?;
        state.waiting.remove(place)
    }

    fn has(&self, number: u64) -> bool {
        self.lock().waiting.binary_search_by_key(&number, |offer| offer.number).is_ok()
    }
}

impl Offered<'_> {
    /// The answer of whoever took it.
    pub(super) async fn answer(&mut self) -> Result<Keys> {
        (&mut self.answer).await.unwrap_or_else(|_| Err(Error::internal("the database thread ended in a commit")))
    }

    /// Takes it back; `None` where somebody has it, who will answer.
    pub(super) fn withdraw(&self) -> Option<Insertion> {
        self.offers.remove(self.number).map(|offer| offer.insertion)
    }

    /// Takes it back where it is the only one.
    pub(super) fn withdraw_alone(&self) -> Option<Insertion> {
        let mut state = self.offers.lock();
        let is_alone = state.waiting.len() == 1 && state.waiting[0].number == self.number;
        if is_alone { state.waiting.pop_front().map(|offer| offer.insertion) } else { None }
    }

    /// Has all that are offered inserted by this session, until this one is. It goes on without its caller, because it does
    /// so for others.
    pub(super) fn serve(&self, session: SqliteSession, offers: &Arc<Offers>) {
        let (number, offers) = (self.number, Arc::clone(offers));
        let serving = async move {
            while offers.has(number) {
                let (interrupt, shared) = (session.interrupt(), Arc::clone(&offers));
                let served = session.finish(move |connection| serve(connection, &shared, &interrupt)).await;
                if let (Err(error), Some(offer)) = (served, offers.remove(number)) {
                    drop(offer.answer.send(Err(error)));
                }
            }
        };
        runtime::spawn(serving).detach();
    }
}

impl Drop for Offered<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// Inserts what is offered in one transaction; fails where that cannot be begun.
fn serve(connection: &Connection, offers: &Offers, interrupt: &Interrupt) -> Result<()> {
    batch(connection, "BEGIN IMMEDIATE", interrupt)?;
    let started = Instant::now();
    let mut taken = Vec::new();
    while !connection.is_autocommit() && taken.len() < MOST && started.elapsed() < BOUND {
        let Some(offer) = offers.take() else { break };
        let outcome = insert_behind_savepoint(connection, &offer.insertion, interrupt);
        taken.push((offer, outcome));
    }
    if let Err(error) = commit(connection, interrupt) {
        // A fault that shows at the commit, such as a reference that is looked at then: each by itself, as if alone.
        let is_of_one = matches!(error.kind(), Kind::ForeignKeyViolation | Kind::ConstraintViolation);
        for (Offer { insertion, .. }, outcome) in taken.iter_mut().filter(|(_, outcome)| outcome.is_ok()) {
            *outcome = if is_of_one {
                insert_rows(connection, &insertion.statement, &insertion.rows, interrupt)
            } else {
                Err(error.clone())
            };
        }
    }
    for (offer, outcome) in taken {
        // Whoever has gone away hears nothing.
        drop(offer.answer.send(outcome));
    }
    Ok(())
}

/// Undoes what the insert did where it fails.
fn insert_behind_savepoint(connection: &Connection, one: &Insertion, interrupt: &Interrupt) -> Result<Keys> {
    let command = |text: &str| {
        let mut prepared = connection.prepare_cached(text).map_err(|error| translate(&error, interrupt))?;
        prepared.raw_execute().map(drop).map_err(|error| translate(&error, interrupt))
    };
    command("SAVEPOINT farm_one")?;
    match insert_rows(connection, &one.statement, &one.rows, interrupt) {
        Ok(keys) => command("RELEASE farm_one").map(|()| keys),
        Err(error) => {
            // A full disk, or an interruption, has ended the transaction by itself, which `commit` tells the others.
            if !connection.is_autocommit() {
                command("ROLLBACK TO farm_one")?;
                command("RELEASE farm_one")?;
            }
            Err(error)
        }
    }
}

/// Commits, or undoes everything.
fn commit(connection: &Connection, interrupt: &Interrupt) -> Result<()> {
    if connection.is_autocommit() {
        return Err(Error::backend("sqlite: the transaction was rolled back by a statement in it"));
    }
    let outcome = batch(connection, "COMMIT", interrupt);
    if outcome.is_err() && !connection.is_autocommit() {
        batch(connection, "ROLLBACK", interrupt)?;
    }
    outcome
}
