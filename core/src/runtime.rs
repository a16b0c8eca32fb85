//! Where futures of the core run.
//!
//! One tokio runtime a process, started when first asked for, for timers and for drivers that need it. Operations
//! themselves are polled inline: first on the caller's thread, then on whichever thread wakes them, which for SQLite is
//! the thread that has the answer. That saves a switch of threads an operation. After a fork the child makes a runtime of
//! its own; the parent's is left alone, because its threads do not exist in the child.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_task::Runnable;
pub use async_task::Task;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Sleep;

use crate::fork;

/// Threads that drive timers and sockets.
const WORKER_THREADS: usize = 2;

static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// The runtime of this process.
pub fn handle() -> Handle {
    let pid = fork::process();
    let mut slot = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match *slot {
        Some((owner, runtime)) if owner == pid => runtime.handle().clone(),
        _ => {
            let runtime = Builder::new_multi_thread()
                .worker_threads(WORKER_THREADS)
                .thread_name("farm-db")
                .enable_all()
                .build()
                .expect("the operating system gives two threads and an event queue");
            // Never dropped: dropping would join threads, which must not happen while a host shuts down.
            let runtime: &'static Runtime = Box::leak(Box::new(runtime));
            *slot = Some((pid, runtime));
            runtime.handle().clone()
        }
    }
}

/// A timer of the runtime, whatever thread polls it.
pub(crate) fn sleep(span: Duration) -> Sleep {
    let _runtime = handle().enter();
    tokio::time::sleep(span)
}

thread_local! {
    /// Tasks woken while this thread polls another one; polling them at once would nest without bound.
    static WOKEN: RefCell<Option<VecDeque<Runnable>>> = const { RefCell::new(None) };
}

/// Polls a woken task on this thread, after the one that this thread polls now.
fn run_here(runnable: Runnable) {
    let mut next = WOKEN.with_borrow_mut(|woken| {
        if let Some(queue) = woken {
            queue.push_back(runnable);
            None
        } else {
            *woken = Some(VecDeque::new());
            Some(runnable)
        }
    });
    while let Some(runnable) = next {
        runnable.run();
        next = WOKEN.with_borrow_mut(|woken| {
            let next = woken.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *woken = None;
            }
            next
        });
    }
}

/// Starts a task on this thread and goes on with it wherever it is woken. Dropping the handle cancels it, which is safe at
/// every point; [`Task::detach`] lets it end by itself.
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (runnable, task) = async_task::spawn(future, run_here);
    run_here(runnable);
    task
}

/// What [`start`] gives.
pub enum Started<T> {
    /// The output: it was there before `start` returned.
    Done(T),
    /// The handle of the task that delivers it.
    UnderWay(Task<()>),
}

/// Where an output goes.
enum Destination<T> {
    /// `start` has not returned.
    Start,
    Done(T),
    Deliver,
}

/// Starts a task as [`spawn`] does. What is done at once is returned, anything later is handed to `deliver`, on whichever
/// thread ends it.
pub fn start<F, D>(future: F, deliver: D) -> Started<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    D: FnOnce(F::Output) + Send + 'static,
{
    let place = Arc::new(Mutex::new(Destination::Start));
    let shared = Arc::clone(&place);
    let task = spawn(async move {
        let output = future.await;
        let mut place = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Destination::Start = *place {
            *place = Destination::Done(output);
        } else {
            drop(place);
            deliver(output);
        }
    });
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    match std::mem::replace(&mut *place, Destination::Deliver) {
        Destination::Done(output) => {
            task.detach();
            Started::Done(output)
        }
        _ => Started::UnderWay(task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_at_once_is_not_delivered() {
        let started = start(async { 1 }, |_| panic!("it was returned"));
        assert!(matches!(started, Started::Done(1)));
    }

    #[test]
    fn what_is_done_later_is_delivered() {
        let (send, wait) = tokio::sync::oneshot::channel();
        let (deliver, delivered) = std::sync::mpsc::channel();
        let started = start(async { wait.await.unwrap() }, move |output| deliver.send(output).unwrap());
        let Started::UnderWay(_task) = started else { panic!("nothing was sent yet") };
        assert!(delivered.try_recv().is_err());
        send.send(7).unwrap();
        assert_eq!(delivered.recv().unwrap(), 7);
    }

    #[test]
    fn a_chain_of_wakes_does_not_nest() {
        let (mut send, mut tasks) = (Vec::new(), Vec::new());
        let (first, mut receive) = tokio::sync::oneshot::channel::<()>();
        for _ in 0..100_000 {
            let (next, wait) = tokio::sync::oneshot::channel();
            let previous = std::mem::replace(&mut receive, wait);
            tasks.push(spawn(async move {
                let _ = previous.await;
                let _ = next.send(());
            }));
        }
        send.push(first);
        send.pop().unwrap().send(()).unwrap();
        receive.try_recv().unwrap();
    }
}
