//! A server that is away, slow, or hangs up; a manager that panics.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failure_to_connect_reaches_the_waiter_at_once() {
    let (pool, world) = pool(options(4));
    world.fails.store(true, SeqCst);
    let started = tokio::time::Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::ConnectionFailed, "the server is away"));
    assert!(started.elapsed() < ms(5));
    let stats = pool.stats();
    assert_eq!((stats.size, stats.connecting, stats.waiting, stats.connect_errors_total), (0, 0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_left_that_could_serve_them_all_waiters_learn_of_the_failure() {
    let (pool, world) = pool(options(2));
    world.fails.store(true, SeqCst);
    world.latency_ms.store(10, SeqCst);
    let waiters = futures_util::future::join_all((0..50).map(|_| pool.acquire())).await;
    assert!(waiters.iter().all(|waiter| waiter.as_ref().is_err_and(|error| error.kind() == Kind::ConnectionFailed)));
    assert!(world.attempts.load(SeqCst) <= 4);
}

#[tokio::test(start_paused = true)]
async fn while_others_are_out_one_failure_reaches_one_waiter() {
    let (pool, world) = pool(options(2));
    let held = pool.acquire().await.unwrap();
    world.fails.store(true, SeqCst);
    let (mut first, mut second) = (Box::pin(pool.acquire()), Box::pin(pool.acquire()));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    settle().await;
    assert!(matches!(poll_once(first.as_mut()), Poll::Ready(Err(_))));
    assert!(poll_once(second.as_mut()).is_pending());
    drop(held);
    assert!(matches!(poll_once(second.as_mut()), Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn reconnecting_to_a_server_that_is_away_is_rate_limited_and_one_by_one() {
    let (pool, world) = pool(options(10));
    world.fails.store(true, SeqCst);
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let pool = pool.clone();
        tasks.spawn(async move {
            while tokio::time::Instant::now() < until {
                assert!(pool.acquire().await.is_err());
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    // At first as many as there are places; then waits from half a second to one.
    let attempts = world.attempts.load(SeqCst);
    assert!((25..=85).contains(&attempts), "{attempts} attempts in 30 s");
    world.fails.store(false, SeqCst);
    let started = tokio::time::Instant::now();
    while pool.acquire().await.is_err() {}
    assert!(started.elapsed() <= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn once_the_server_is_back_everybody_gets_a_connection_of_their_own_again() {
    let (pool, world) = pool(options(4));
    world.fails.store(true, SeqCst);
    assert!(pool.acquire().await.is_err());
    world.fails.store(false, SeqCst);
    let all = futures_util::future::join_all((0..4).map(|_| pool.acquire())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(pool.stats().in_use, 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_hangs_up_is_not_stormed() {
    let (pool, world) = pool(options(2));
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        let mut connection = pool.acquire().await.unwrap();
        connection.poison();
        tokio::time::sleep(ms(1)).await;
    }
    let attempts = world.attempts.load(SeqCst);
    assert!(attempts <= 90, "{attempts} attempts in 30 s");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_ends_by_its_own_deadline() {
    let (pool, world) = pool(PoolOptions { connect_timeout: ms(500), ..options(1) });
    world.latency_ms.store(3_600_000, SeqCst);
    let started = tokio::time::Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectionFailed);
    assert!(error.message().contains("500ms"), "{error}");
    assert!(started.elapsed() < ms(550));
    world.latency_ms.store(0, SeqCst);
    assert!(pool.acquire().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_deadline_names_the_last_failure_to_connect() {
    let (pool, world) = pool(PoolOptions { acquire_timeout: ms(20), ..options(2) });
    let _held = pool.acquire().await.unwrap();
    world.fails.store(true, SeqCst);
    assert_eq!(pool.acquire().await.unwrap_err().kind(), Kind::ConnectionFailed);
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), Kind::PoolTimeout);
    assert_eq!(error.context()["last_connect_error"].as_text(), Some("the server is away"));
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_panics_while_it_connects_costs_no_place() {
    let (pool, world) = pool(options(1));
    world.panics.store(true, SeqCst);
    assert_eq!(pool.acquire().await.unwrap_err().kind(), Kind::ConnectionFailed);
    world.panics.store(false, SeqCst);
    assert!(pool.acquire().await.is_ok());
}

#[test]
fn a_pool_whose_runtime_has_ended_fails_and_does_not_hang() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let world = Arc::new(World::default());
    let options = PoolOptions { min_size: 1, ..options(2) };
    let pool = Pool::new(FakeManager(Arc::clone(&world)), options, runtime.handle().clone());
    let mut held = runtime.block_on(pool.acquire()).unwrap();
    drop(runtime);
    held.poison();
    drop(held);
    assert_eq!(pool.stats().size, 0);
    assert_eq!(world.open.load(SeqCst), 0);
    assert!(pool.try_acquire().is_none());
}
