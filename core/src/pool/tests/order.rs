//! Who gets a connection when: order, bounds, deadlines, the fast path.

use std::pin::pin;
use std::sync::Mutex;
use std::task::Wake;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_handed_out_again() {
    let (pool, world) = pool(options(4));
    let first = pool.acquire().await.unwrap().id;
    let second = pool.acquire().await.unwrap();
    assert_eq!((first, second.id), (0, 0));
    assert!(pool.try_acquire().is_none());
    drop(second);
    assert_eq!(pool.try_acquire().unwrap().id, 0);
    assert_eq!(world.attempts.load(SeqCst), 1);
    let stats = pool.stats();
    assert_eq!((stats.size, stats.idle, stats.in_use, stats.acquires_total, stats.connects_total), (1, 1, 0, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn the_uncontended_path_is_ready_at_the_first_poll() {
    let (pool, _) = pool(options(1));
    drop(pool.acquire().await.unwrap());
    for _ in 0..3 {
        assert!(poll_once(pin!(pool.acquire())).is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_and_a_newcomer_never_overtakes() {
    let (pool, _) = pool(options(1));
    let held = pool.acquire().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..100 {
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let connection = pool.acquire().await.unwrap();
            order.lock().unwrap().push(number);
            tokio::task::yield_now().await;
            drop(connection);
        }));
        settle().await;
    }
    drop(held);
    // The connection is promised to the first waiter, who has not run yet.
    assert!(pool.try_acquire().is_none());
    assert!(poll_once(pin!(pool.acquire())).is_pending());
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
    assert_eq!((pool.stats().waiting, pool.stats().idle), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_of_the_queue_a_caller_is_refused_at_once() {
    let (pool, _) = pool(PoolOptions { queue_limit: 2, ..options(1) });
    let held = pool.acquire().await.unwrap();
    let (mut first, mut second) = (Box::pin(pool.acquire()), Box::pin(pool.acquire()));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), Kind::PoolQueueFull);
    assert_eq!((error.context()["waiting"].as_int(), error.context()["max_size"].as_int()), (Some(2), Some(1)));
    drop(first);
    assert!(poll_once(pin!(pool.acquire())).is_pending());
    drop(held);
    assert!(second.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_those_are_still_served_for_whom_a_connection_can_be_opened() {
    let (pool, _) = pool(PoolOptions { queue_limit: 0, ..options(2) });
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert_eq!(pool.acquire().await.unwrap_err().kind(), Kind::PoolQueueFull);
    drop(held);
    assert!(pool.acquire().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_waiting_gives_an_error_with_figures_and_leaves_the_queue() {
    let (pool, _) = pool(PoolOptions { acquire_timeout: ms(250), ..options(1) });
    let held = pool.acquire().await.unwrap();
    let started = tokio::time::Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), Kind::PoolTimeout);
    assert!(error.is_retryable());
    assert!(started.elapsed() >= ms(250) && started.elapsed() < ms(300));
    for (name, value) in [("size", 1), ("in_use", 1), ("max_size", 1), ("waiting", 0), ("idle", 0)] {
        assert_eq!(error.context()[name].as_int(), Some(value), "{name}");
    }
    assert!(error.message().contains("1 of 1 in use"), "{error}");
    assert_eq!((pool.stats().waiting, pool.stats().acquire_timeouts_total), (0, 1));
    drop(held);
    assert!(pool.try_acquire().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_waiting_does_not_kill_a_handshake() {
    let (pool, world) = pool(PoolOptions { acquire_timeout: ms(100), ..options(1) });
    world.latency_ms.store(300, SeqCst);
    assert_eq!(pool.acquire().await.unwrap_err().kind(), Kind::PoolTimeout);
    assert_eq!((pool.stats().connecting, world.under_way.load(SeqCst)), (1, 1));
    tokio::time::sleep(ms(250)).await;
    assert_eq!(pool.try_acquire().unwrap().id, 0);
    assert_eq!(world.attempts.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn five_thousand_waiters_on_ten_connections_open_no_more_than_ten() {
    let (pool, world) = pool(options(10));
    world.latency_ms.store(20, SeqCst);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..5_000 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let _connection = pool.acquire().await.unwrap();
            tokio::time::sleep(ms(10)).await;
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.size, stats.idle, stats.waiting, stats.acquires_total), (10, 10, 0, 5_000));
    assert_eq!((world.attempts.load(SeqCst), world.most_open.load(SeqCst)), (10, 10));
    assert!(stats.wait_max_us >= 4_900_000 && stats.wait_max_us < 6_000_000, "{stats:?}");
    assert!(stats.wait_total_us > stats.wait_max_us);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_of_the_pool_can_be_polled_on_a_thread_without_tokio() {
    let (pool, world) = pool(PoolOptions { acquire_timeout: ms(80), ..options(1) });
    world.latency_ms.store(5, SeqCst);
    let elsewhere = std::thread::spawn(move || {
        assert!(Handle::try_current().is_err());
        let held = block_on(pool.acquire()).unwrap();
        assert_eq!(block_on(pool.acquire()).unwrap_err().kind(), Kind::PoolTimeout);
        drop(held);
        assert!(block_on(pool.acquire()).is_ok());
        assert!(block_on(pool.close(ms(1000))).is_clean());
    });
    tokio::task::spawn_blocking(move || elsewhere.join()).await.unwrap().unwrap();
}

/// The simplest executor: this thread, parked between wakes.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// A task that is polled on the thread that wakes it, as the bindings do.
struct Inline(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Inline {
    fn start(future: impl Future<Output = ()> + Send + 'static) {
        Arc::new(Self(Mutex::new(Some(Box::pin(future))))).wake();
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let mut future = self.0.lock().unwrap();
        let waker = Waker::from(Arc::clone(&self));
        if let Some(running) = &mut *future
            && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *future = None;
        }
    }
}

#[tokio::test]
async fn tasks_polled_inline_by_their_waker_pass_a_connection_on_without_nesting() {
    let (pool, _) = pool(options(1));
    let held = pool.acquire().await.unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    for _ in 0..9_000 {
        let (pool, served) = (pool.clone(), Arc::clone(&served));
        Inline::start(async move {
            let _connection = pool.acquire().await.unwrap();
            served.fetch_add(1, SeqCst);
        });
    }
    // Nested, 9,000 polls would not fit on the stack of a test's thread.
    drop(held);
    assert_eq!(served.load(SeqCst), 9_000);
    assert_eq!((pool.stats().idle, pool.stats().waiting), (1, 0));
}
