//! Waiters that are dropped: in the queue, at hand-off, and in a crowd on real threads.

use rand::RngExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_dropped_leaves_the_queue() {
    let (pool, _) = pool(options(1));
    let held = pool.acquire().await.unwrap();
    let (mut first, mut second) = (Box::pin(pool.acquire()), Box::pin(pool.acquire()));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    drop(first);
    assert_eq!(pool.stats().waiting, 1);
    drop(held);
    assert!(poll_once(second.as_mut()).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_with_the_connection_in_its_hands_passes_it_on() {
    let (pool, world) = pool(options(1));
    let held = pool.acquire().await.unwrap();
    let mut waiters: Vec<_> = (0..1_000).map(|_| Box::pin(pool.acquire())).collect();
    for waiter in &mut waiters {
        assert!(poll_once(waiter.as_mut()).is_pending());
    }
    let mut last = waiters.pop().unwrap();
    drop(held);
    // Each of them has been given the connection when it is dropped, and has not looked yet.
    for waiter in waiters {
        assert_eq!(pool.stats().in_use, 1);
        drop(waiter);
    }
    assert!(poll_once(last.as_mut()).is_ready());
    drop(last);
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.in_use, stats.waiting, stats.connects_total), (1, 0, 0, 1));
    assert_eq!(world.open.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_arrives_with_the_deadline_is_taken_or_passed_on() {
    let (pool, _) = pool(PoolOptions { acquire_timeout: ms(100), ..options(1) });
    let held = pool.acquire().await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(|connection| connection.id) }
    });
    tokio::time::sleep(ms(100)).await;
    drop(held);
    let _ = waiter.await.unwrap();
    assert_eq!((pool.stats().idle, pool.stats().in_use, pool.stats().waiting), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_dropped_does_not_stop_the_connection_that_was_opened_for_it() {
    let (pool, world) = pool(options(1));
    world.latency_ms.store(100, SeqCst);
    let mut waiter = Box::pin(pool.acquire());
    assert!(poll_once(waiter.as_mut()).is_pending());
    drop(waiter);
    tokio::time::sleep(ms(150)).await;
    assert!(pool.try_acquire().is_some());
}

/// The scenario of the reliability design: waiters of ten times the pool's size, cancelled around hand-off.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_that_is_cancelled_at_hand_off_leaves_the_full_capacity() {
    let (pool, world) = pool(options(4));
    for _ in 0..200 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let pool = pool.clone();
            let patience = Duration::from_micros(rand::rng().random_range(0..400));
            tasks.spawn(async move {
                let hold = async {
                    let mut connection = pool.acquire().await.unwrap();
                    connection.poison();
                    tokio::task::yield_now().await;
                    connection.clear_poison();
                };
                let _ = tokio::time::timeout(patience, hold).await;
            });
            if rand::rng().random_bool(0.1) {
                tasks.abort_all();
            }
        }
        while tasks.join_next().await.is_some() {}
    }
    let all = async { futures_util::future::join_all((0..4).map(|_| pool.acquire())).await };
    let all = tokio::time::timeout(Duration::from_secs(3), all).await.expect("full capacity within seconds");
    assert!(all.iter().all(Result::is_ok));
    assert_eq!((pool.stats().in_use, pool.stats().waiting, pool.stats().connecting), (4, 0, 0));
    assert!(pool.try_acquire().is_none());
    assert!(world.most_open.load(SeqCst) >= 4);
    drop(all);
    assert!(pool.close(Duration::from_secs(1)).await.is_clean());
    assert_eq!(world.open.load(SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_times_as_many_waiters_as_connections_are_all_served_under_cancellation() {
    let (pool, world) = pool(options(8));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..80_u64 {
        let pool = pool.clone();
        tasks.spawn(async move {
            for round in 0..200_u64 {
                let cut = Duration::from_micros((number * 31 + round * 17) % 300);
                let _ = tokio::time::timeout(cut, pool.acquire()).await;
                drop(pool.acquire().await.unwrap());
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.in_use, stats.waiting), (stats.size, 0, 0));
    assert!(stats.size <= 8 && world.most_open.load(SeqCst) <= 8 && world.attempts.load(SeqCst) <= 8);
    assert_eq!(stats.acquire_timeouts_total, 0);
}
