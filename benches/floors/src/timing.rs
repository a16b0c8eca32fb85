//! Timed windows, with the figures of `../../timing.py`.

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::Result;

/// What one worker did: the seconds of each call.
type Latencies = Vec<f64>;

/// A window that has begun.
struct Window {
    began: Instant,
    end: Instant,
    processor: f64,
}

impl Window {
    fn begin(seconds: f64) -> Self {
        let began = Instant::now();
        Self { began, end: began + Duration::from_secs_f64(seconds), processor: processor_seconds() }
    }

    fn end(self, workers: Vec<Latencies>) -> Value {
        let (elapsed, processor) = (self.began.elapsed().as_secs_f64(), processor_seconds() - self.processor);
        let at_once = workers.len() as f64;
        let fewest = workers.iter().map(Vec::len).min().unwrap_or_default() as f64;
        let mut all: Latencies = workers.into_iter().flatten().collect();
        all.sort_by(f64::total_cmp);
        let count = all.len();
        json!({
            "ops": count,
            "seconds": elapsed,
            "rate": count as f64 / elapsed,
            "cpu_us": processor / count as f64 * 1e6,
            "p50_us": all[count / 2] * 1e6,
            "p99_us": all[(count * 99 / 100).min(count - 1)] * 1e6,
            "max_us": all[count - 1] * 1e6,
            "least_share": fewest / (count as f64 / at_once),
        })
    }
}

fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and every system that this runs on has the clock.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// `call(i)` again and again on this thread.
pub(crate) fn alone<T>(seconds: f64, call: impl FnMut(usize) -> Result<T>) -> Result<Value> {
    let window = Window::begin(seconds);
    let done = repeat(&window, 0, call)?;
    Ok(window.end(vec![done]))
}

/// As [`alone`] with a thread for each of `workers`, which its calls are given.
pub(crate) fn threads<W: Send, T>(
    seconds: f64,
    workers: &mut [W],
    call: impl Fn(&mut W, usize) -> Result<T> + Sync,
) -> Result<Value> {
    let window = Window::begin(seconds);
    let done: Result<Vec<Latencies>> = thread::scope(|scope| {
        let (window, call) = (&window, &call);
        let mut running = Vec::new();
        for (number, worker) in workers.iter_mut().enumerate() {
            running.push(scope.spawn(move || repeat(window, number * 61, |i| call(worker, i))));
        }
        running.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
    });
    Ok(window.end(done?))
}

fn repeat<T>(window: &Window, first: usize, mut call: impl FnMut(usize) -> Result<T>) -> Result<Latencies> {
    let mut latencies = Vec::new();
    for i in first.. {
        let called = Instant::now();
        if called >= window.end && !latencies.is_empty() {
            break;
        }
        std::hint::black_box(call(i)?);
        latencies.push(called.elapsed().as_secs_f64());
    }
    Ok(latencies)
}

/// `at_once` tasks await `call(task, i)` again and again.
pub(crate) fn tasks<C, F, T>(runtime: &Runtime, seconds: f64, at_once: usize, call: C) -> Result<Value>
where
    C: Fn(usize, usize) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T>> + Send,
    T: Send,
{
    let call = Arc::new(call);
    runtime.block_on(async move {
        let window = Window::begin(seconds);
        let end = window.end;
        let task = |task: usize| {
            let call = Arc::clone(&call);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                for i in task * 61.. {
                    let called = Instant::now();
                    if called >= end && !latencies.is_empty() {
                        break;
                    }
                    std::hint::black_box(call(task, i).await?);
                    latencies.push(called.elapsed().as_secs_f64());
                }
                Ok::<Latencies, Box<dyn std::error::Error + Send + Sync>>(latencies)
            })
        };
        let running: Vec<_> = (0..at_once).map(task).collect();
        let mut done = Vec::new();
        for one in running {
            done.push(one.await??);
        }
        Ok(window.end(done))
    })
}
