//! Closing: the intake stops, what is out comes back, what does not is reported.

use super::*;

#[tokio::test(start_paused = true)]
async fn closing_waits_for_connections_that_are_out() {
    let (pool, world) = pool(options(3));
    let held = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    world.close_latency_ms.store(20, SeqCst);
    let working = tokio::spawn(async move {
        tokio::time::sleep(ms(200)).await;
        drop(held);
    });
    let started = tokio::time::Instant::now();
    assert!(pool.close(ms(1000)).await.is_clean());
    assert!(started.elapsed() >= ms(220) && started.elapsed() < ms(300), "{:?}", started.elapsed());
    assert_eq!((world.open.load(SeqCst), world.closed.load(SeqCst), pool.stats().size), (0, 2, 0));
    working.await.unwrap();
    assert!(pool.is_closed());
}

#[tokio::test(start_paused = true)]
async fn closing_reports_what_did_not_come_back_by_the_deadline_and_closes_it_later() {
    let (pool, world) = pool(options(2));
    let held = pool.acquire().await.unwrap();
    let report = pool.close(ms(100)).await;
    assert_eq!(report, CloseReport { in_use: 1, connecting: 0, closing: 0 });
    drop(held);
    settle().await;
    assert_eq!((world.open.load(SeqCst), world.closed.load(SeqCst)), (0, 1));
    assert!(pool.close(ms(100)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_or_comes_is_told_that_the_pool_is_closed() {
    let (pool, _) = pool(options(1));
    let held = pool.acquire().await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop) }
    });
    settle().await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close(ms(500)).await }
    });
    settle().await;
    assert_eq!(waiter.await.unwrap().unwrap_err().kind(), Kind::DatabaseClosed);
    assert_eq!(pool.acquire().await.unwrap_err().kind(), Kind::DatabaseClosed);
    assert!(pool.try_acquire().is_none());
    drop(held);
    assert!(closing.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_handshake_under_way_is_waited_for_and_its_connection_closed() {
    let (pool, world) = pool(PoolOptions { min_size: 1, ..options(1) });
    world.latency_ms.store(100, SeqCst);
    settle().await;
    assert!(pool.close(ms(1000)).await.is_clean());
    assert_eq!((world.attempts.load(SeqCst), world.open.load(SeqCst), world.closed.load(SeqCst)), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_its_turn_does_not_hold_up_closing() {
    let (pool, world) = pool(PoolOptions { min_size: 1, ..options(1) });
    world.fails.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let started = tokio::time::Instant::now();
    assert!(pool.close(ms(5000)).await.is_clean());
    assert!(started.elapsed() < ms(10));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_hangs_while_it_is_closed_is_let_go() {
    let (pool, world) = pool(options(1));
    drop(pool.acquire().await.unwrap());
    world.close_latency_ms.store(3_600_000, SeqCst);
    assert_eq!(pool.close(ms(100)).await, CloseReport { in_use: 0, connecting: 0, closing: 1 });
    assert!(pool.close(Duration::from_secs(6)).await.is_clean());
    assert_eq!(world.open.load(SeqCst), 0);
}
