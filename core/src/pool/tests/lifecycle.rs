//! How long connections live: poison, checks, idleness, age, the smallest size.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dirty_connection_is_closed_and_never_used_again() {
    let (pool, world) = pool(options(1));
    let mut connection = pool.acquire().await.unwrap();
    connection.poison();
    assert!(connection.is_poisoned());
    drop(connection);
    assert!(pool.try_acquire().is_none());
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    settle().await;
    assert_eq!((world.closed.load(SeqCst), world.open.load(SeqCst), pool.stats().recycled_total), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_clean_again_is_kept() {
    let (pool, _) = pool(options(1));
    let mut connection = pool.acquire().await.unwrap();
    connection.poison();
    connection.clear_poison();
    drop(connection);
    assert_eq!(pool.acquire().await.unwrap().id, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_connection_is_out_makes_it_dirty() {
    let (pool, _) = pool(options(1));
    let connection = pool.acquire().await.unwrap();
    let task = tokio::spawn(async move {
        let _connection = connection;
        panic!("the work panics");
    });
    assert!(task.await.is_err());
    assert_eq!(pool.acquire().await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_lent_for_a_moment() {
    let (pool, _) = pool(PoolOptions { max_lifetime: Some(ms(10_000)), ..options(1) });
    assert_eq!(pool.with_idle(|connection, _| connection.id), None, "none is open");
    drop(pool.acquire().await.unwrap());
    let lent =
        pool.with_idle(|connection, _| (connection.id, pool.stats().in_use, pool.with_idle(|_, _| ()).is_some()));
    assert_eq!(lent, Some((0, 1, false)));
    assert_eq!((pool.stats().idle, pool.stats().in_use, pool.stats().acquires_total), (1, 0, 2));
    tokio::time::sleep(ms(10_000)).await;
    assert_eq!(pool.with_idle(|connection, _| connection.id), None, "it is too old");
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    pool.close(ms(1000)).await;
    assert_eq!(pool.with_idle(|connection, _| connection.id), None, "the pool is closed");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_connection_is_lent_makes_it_dirty() {
    let (pool, _) = pool(options(1));
    drop(pool.acquire().await.unwrap());
    let work = || pool.with_idle(|_, _| panic!("the work panics"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
    assert_eq!(pool.acquire().await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_a_new_connection_when_a_dirty_one_comes_back() {
    let (pool, _) = pool(options(1));
    let mut held = pool.acquire().await.unwrap();
    let mut waiter = Box::pin(pool.acquire());
    assert!(poll_once(waiter.as_mut()).is_pending());
    held.poison();
    drop(held);
    assert_eq!(waiter.await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_doubtful_only_after_it_has_idled() {
    let (pool, _) = pool(PoolOptions { check_after: ms(1000), ..options(1) });
    drop(pool.acquire().await.unwrap());
    tokio::time::sleep(ms(900)).await;
    assert!(!pool.acquire().await.unwrap().is_doubtful());
    tokio::time::sleep(ms(1000)).await;
    assert!(pool.acquire().await.unwrap().is_doubtful());
    assert!(!pool.acquire().await.unwrap().is_doubtful());
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_down_to_the_smallest_size() {
    let (pool, world) = pool(PoolOptions { min_size: 2, idle_timeout: Some(ms(1000)), ..options(6) });
    drop(futures_util::future::join_all((0..6).map(|_| pool.acquire())).await);
    assert_eq!(pool.stats().idle, 6);
    tokio::time::sleep(ms(800)).await;
    assert_eq!(pool.stats().idle, 6);
    tokio::time::sleep(ms(700)).await;
    assert_eq!((pool.stats().idle, world.open.load(SeqCst)), (2, 2));
    tokio::time::sleep(ms(5000)).await;
    assert_eq!((pool.stats().idle, pool.stats().recycled_total, world.attempts.load(SeqCst)), (2, 4, 6));
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_idle_size_are_closed_after_a_grace() {
    let (pool, world) = pool(PoolOptions { max_idle: 2, ..options(6) });
    drop(futures_util::future::join_all((0..6).map(|_| pool.acquire())).await);
    settle().await;
    assert_eq!(pool.stats().idle, 6);
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!((pool.stats().idle, world.open.load(SeqCst)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_replaced_when_it_comes_back_and_while_it_idles() {
    let (pool, world) = pool(PoolOptions { min_size: 1, max_lifetime: Some(ms(1000)), ..options(1) });
    let held = pool.acquire().await.unwrap();
    tokio::time::sleep(ms(1001)).await;
    assert_eq!(held.id, 0);
    drop(held);
    settle().await;
    let held = pool.acquire().await.unwrap();
    assert_eq!(held.id, 1);
    drop(held);
    tokio::time::sleep(ms(1300)).await;
    assert_eq!(pool.acquire().await.unwrap().id, 2);
    assert_eq!((pool.stats().recycled_total, world.open.load(SeqCst)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn lifetimes_are_jittered_so_that_a_pool_is_not_replaced_at_one_moment() {
    let (_pool, world) = pool(PoolOptions { min_size: 50, max_lifetime: Some(ms(100_000)), ..options(50) });
    settle().await;
    tokio::time::sleep(ms(90_000 - 1)).await;
    assert_eq!(world.attempts.load(SeqCst), 50);
    let mut steps = Vec::new();
    for _ in 0..30 {
        tokio::time::sleep(ms(1000)).await;
        steps.push(world.attempts.load(SeqCst));
    }
    steps.dedup();
    // The housekeeping looks every 15 s, and uses find the expired ones in between.
    assert!(steps.len() >= 2 && *steps.last().unwrap() >= 100, "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn the_smallest_size_is_opened_at_once_and_kept() {
    let (pool, world) = pool(PoolOptions { min_size: 3, ..options(5) });
    settle().await;
    assert_eq!((pool.stats().idle, world.attempts.load(SeqCst)), (3, 3));
    let mut connection = pool.try_acquire().unwrap();
    connection.poison();
    drop(connection);
    settle().await;
    assert_eq!((pool.stats().idle, world.attempts.load(SeqCst)), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn the_smallest_size_is_restored_when_a_server_comes_back_though_nobody_asks() {
    let (pool, world) = pool(PoolOptions { min_size: 2, ..options(5) });
    world.fails.store(true, SeqCst);
    tokio::time::sleep(ms(3000)).await;
    assert_eq!(pool.stats().size, 0);
    world.fails.store(false, SeqCst);
    tokio::time::sleep(ms(1100)).await;
    assert_eq!(pool.stats().idle, 2);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_nobody_has_any_more_closes_its_connections_and_ends_its_tasks() {
    let (pool, world) = pool(PoolOptions { min_size: 2, idle_timeout: Some(ms(1000)), ..options(3) });
    settle().await;
    let held = pool.acquire().await.unwrap();
    drop(pool);
    settle().await;
    assert_eq!(world.open.load(SeqCst), 2);
    drop(held);
    settle().await;
    assert_eq!((world.open.load(SeqCst), world.closed.load(SeqCst)), (0, 2));
    // The test, and nobody else: manager and tasks are gone.
    assert_eq!(Arc::strong_count(&world), 1);
}
