//! `createMany` under way: the host hands slices of records over; a task reads and checks them, and from [`FIRST`] rows on
//! the database inserts those before meanwhile.
//!
//! Invariant: all or none. The rows stay only where `insert` was called and has ended well; `undo`, and the drop before that,
//! leave none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use farm_db_core::backend::Batch;
use farm_db_core::repository::Feed;
use farm_db_core::{Error, Kind, Repository, Result, Transaction, runtime};
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::completion::{Outcome, promise};
use crate::intake::Intake;
use crate::made::Made;

/// So many rows are one statement of their own; from more on they are inserted while others are still to come.
const FIRST: usize = 512;
/// Rows of the batches after that, about.
const BATCH: usize = 256;
/// Slices that wait to be read at most.
const AHEAD: usize = 8;

type Promise = napi::Result<PromiseRaw<'static, ()>>;
type Done = JoinHandle<Result<Vec<Told>>>;

type Inserting = runtime::Task<Result<Vec<Option<i64>>>>;

/// What is known of a slice once it is there: its [`Made`] and the keys that the database has counted for it.
type Told = (Made, Vec<Option<i64>>);

/// Rows on their way into the database.
#[napi]
pub struct NativeCreation {
    repository: Repository,
    slices: Option<mpsc::Sender<String>>,
    ended: Arc<AtomicBool>,
    task: Arc<Mutex<Option<Done>>>,
    told: Arc<OnceLock<Vec<Told>>>,
}

impl NativeCreation {
    pub(crate) fn new(repository: &Repository, tx: Option<Transaction>) -> Self {
        let (send, receive) = mpsc::channel(AHEAD);
        let ended = Arc::new(AtomicBool::new(false));
        let insertion = Insertion::new(repository, tx);
        // On the runtime, because it reads and checks: neither the event loop nor a database's thread is to wait for that.
        let task = runtime::handle().spawn(insertion.run(receive, Arc::clone(&ended)));
        Self {
            repository: repository.clone(),
            slices: Some(send),
            ended,
            task: Arc::new(Mutex::new(Some(task))),
            told: Arc::default(),
        }
    }

    /// No more slices come. What waits for the task's end.
    fn end(&mut self) -> impl Future<Output = Result<Vec<Told>>> + Send + 'static {
        self.slices = None;
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let task = task.ok_or_else(|| Error::invalid_query("the rows were inserted already"))?;
            task.await.unwrap_or_else(|_| Err(Error::internal("an insertion panicked")))
        }
    }
}

#[napi]
impl NativeCreation {
    /// Hands the rows of a JSON list over; whether there is room for more.
    #[napi(catch_unwind)]
    pub fn take(&self, rows: String) -> bool {
        let Some(slices) = &self.slices else { return false };
        slices.try_send(rows).is_ok() && slices.capacity() > 0
    }

    /// Waits for room; resolves to whether to go on, which is not so where the insertion has failed.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn room(&self, env: Env) -> Promise {
        let slices = self.slices.clone();
        promise(&env, async move {
            let is_open = match &slices {
                Some(slices) => slices.reserve().await.is_ok(),
                None => false,
            };
            Ok(Outcome::Json(if is_open { b"true".to_vec() } else { b"false".to_vec() }))
        })
    }

    /// Ends well, once all were taken: the rows are there.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn insert(&mut self, env: Env) -> Promise {
        self.ended.store(true, Ordering::Release);
        let (end, told) = (self.end(), Arc::clone(&self.told));
        promise(&env, async move {
            let _ = told.set(end.await?);
            Ok(Outcome::nothing())
        })
    }

    /// Of a slice that is there: a JSON object of the fields that are not as they were handed over, a list of the values of
    /// each; or nothing.
    #[napi(catch_unwind)]
    pub fn made(&self, slice: u32) -> String {
        let told = self.told.get().and_then(|told| told.get(slice as usize));
        let json = told.map(|(made, keys)| made.tell(&self.repository, keys));
        json.and_then(|json| String::from_utf8(json).ok()).unwrap_or_default()
    }

    /// Ends badly; resolves when no row is there.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn undo(&mut self, env: Env) -> Promise {
        let end = self.end();
        promise(&env, async move {
            // Why it failed, which it was to do, is of no interest.
            drop(end.await);
            Ok(Outcome::nothing())
        })
    }
}

/// The task's side.
struct Insertion {
    repository: Repository,
    tx: Option<Transaction>,
    intake: Intake,
    /// What is checked and not handed over.
    rows: Batch,
    made: Vec<Made>,
    fed: Option<(Feed, Inserting)>,
}

impl Insertion {
    fn new(repository: &Repository, tx: Option<Transaction>) -> Self {
        let intake = Intake::new(repository);
        let rows = intake.batch(FIRST);
        Self { repository: repository.clone(), tx, intake, rows, made: Vec::new(), fed: None }
    }

    async fn run(mut self, mut slices: mpsc::Receiver<String>, ended: Arc<AtomicBool>) -> Result<Vec<Told>> {
        let taken = self.take_all(&mut slices).await;
        let is_whole = ended.load(Ordering::Acquire);
        let keys = match (taken, self.fed.take()) {
            (Ok(()), None) if is_whole => {
                let rows = Arc::new(std::mem::take(&mut self.rows));
                self.repository.insert_for_keys(rows, self.tx.as_ref()).await?
            }
            // Where it has failed, it says why.
            (Ok(()), Some((feed, inserting))) if is_whole || feed.is_over() => {
                push(&feed, std::mem::take(&mut self.rows)).await;
                feed.end();
                inserting.await?
            }
            (taken, fed) => {
                if let Some((feed, inserting)) = fed {
                    drop(feed);
                    // Undone, which is its error.
                    drop(inserting.await);
                }
                taken?;
                return Err(Error::new(Kind::Cancelled, "the records did not come to their end"));
            }
        };
        let mut keys = keys.into_iter();
        Ok(self
            .made
            .into_iter()
            .map(|made| {
                let keys = keys.by_ref().take(made.len()).collect();
                (made, keys)
            })
            .collect())
    }

    /// Takes all slices; leaves off where the insertion has failed.
    async fn take_all(&mut self, slices: &mut mpsc::Receiver<String>) -> Result<()> {
        while let Some(slice) = slices.recv().await {
            self.hand_over().await;
            if self.fed.as_ref().is_some_and(|(feed, _)| feed.is_over()) {
                return Ok(());
            }
            self.made.push(self.intake.take(&slice, true, &mut self.rows)?);
        }
        Ok(())
    }

    /// Hands the rows over if there are enough of them, now that more have come.
    async fn hand_over(&mut self) {
        if self.intake.has_key() || self.rows.len() < if self.fed.is_some() { BATCH } else { FIRST } {
            return;
        }
        if self.fed.is_none() {
            let Some((feed, fed)) = self.repository.feed(self.tx.as_ref()) else { return };
            let (repository, tx) = (self.repository.clone(), self.tx.clone());
            self.fed = Some((feed, runtime::spawn(async move { repository.insert_fed(fed, tx.as_ref()).await })));
        }
        if let Some((feed, _)) = &self.fed {
            let next = self.intake.batch(BATCH);
            push(feed, std::mem::replace(&mut self.rows, next)).await;
        }
    }
}

/// Hands rows over as soon as there is room.
async fn push(feed: &Feed, rows: Batch) {
    let mut next = Some(rows).filter(|rows| !rows.is_empty());
    while let Some(rows) = next {
        next = feed.push(rows);
        if next.is_some() {
            feed.room().await;
        }
    }
}
