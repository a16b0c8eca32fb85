//! The pool over a manager in memory that can be told to be slow, to fail, to panic and to hang.

mod cancel;
mod close;
mod failures;
mod lifecycle;
mod order;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::BackendKind;
use crate::error::{Error, Kind};

/// What the tests tell the manager and what they ask it.
#[derive(Default)]
struct World {
    attempts: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    closed: AtomicUsize,
    latency_ms: AtomicU64,
    close_latency_ms: AtomicU64,
    fails: AtomicBool,
    panics: AtomicBool,
}

struct FakeManager(Arc<World>);

struct FakeConnection {
    id: usize,
    world: Arc<World>,
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.world.open.fetch_sub(1, SeqCst);
    }
}

/// Counts an attempt as under way until it ends in whatever way.
struct UnderWay(Arc<World>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}

#[async_trait]
impl Manager for FakeManager {
    type Connection = FakeConnection;

    async fn connect(&self) -> Result<FakeConnection> {
        let world = Arc::clone(&self.0);
        let id = world.attempts.fetch_add(1, SeqCst);
        world.most_under_way.fetch_max(world.under_way.fetch_add(1, SeqCst) + 1, SeqCst);
        let _under_way = UnderWay(Arc::clone(&world));
        pause(world.latency_ms.load(SeqCst)).await;
        assert!(!world.panics.load(SeqCst), "the manager panics");
        if world.fails.load(SeqCst) {
            return Err(Error::connection_failed("the server is away"));
        }
        world.most_open.fetch_max(world.open.fetch_add(1, SeqCst) + 1, SeqCst);
        Ok(FakeConnection { id, world })
    }

    async fn close(&self, connection: FakeConnection) {
        pause(self.0.close_latency_ms.load(SeqCst)).await;
        self.0.closed.fetch_add(1, SeqCst);
        drop(connection);
    }
}

/// Not even a yield for 0, so that tests can count turns.
async fn pause(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(ms(milliseconds)).await;
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A pool of `max_size` with nothing that ends by itself.
fn options(max_size: usize) -> PoolOptions {
    PoolOptions {
        min_size: 0,
        max_size,
        max_idle: max_size,
        idle_timeout: None,
        max_lifetime: None,
        ..PoolOptions::defaults(BackendKind::Postgres)
    }
}

fn pool(options: PoolOptions) -> (Pool<FakeManager>, Arc<World>) {
    let world = Arc::new(World::default());
    (Pool::new(FakeManager(Arc::clone(&world)), options, Handle::current()), world)
}

/// Polls a future once with a waker that does nothing.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets every task that is ready run, without moving the paused clock.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
