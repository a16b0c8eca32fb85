//! The turns of a host's event loop: what is asked for in one turn can go to the database together.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long a turn may last for the sake of the core.
pub const BUDGET: Duration = Duration::from_micros(500);

/// The event loop of a host.
pub trait EventLoop: Send + Sync {
    /// Wakes `waker` on the loop's thread after the turn that runs now; called on that thread.
    fn wake_after_turn(&self, waker: Waker);

    /// The time of its turns.
    fn clock(&self) -> &Clock;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn EventLoop>>> = const { RefCell::new(None) };
}

/// Does what belongs to the turn of `event_loop` that runs now on this thread, such as starting an operation.
pub fn within<T>(event_loop: Arc<dyn EventLoop>, work: impl FnOnce() -> T) -> T {
    /// Puts the one before back, also when `work` panics.
    struct Before(Option<Arc<dyn EventLoop>>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _before = Before(CURRENT.replace(Some(event_loop)));
    work()
}

/// How long the turn of a loop has lasted, as far as its host says when one begins.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    /// When the last turn began, in microseconds since `started`.
    began: AtomicU64,
    /// How many of them work that could have been left to another thread has taken since.
    worked: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), began: AtomicU64::new(0), worked: AtomicU64::new(0) }
    }
}

impl Clock {
    /// A turn begins.
    pub fn begin(&self) {
        self.began.store(self.started.elapsed().as_micros() as u64, Ordering::Relaxed);
        self.worked.store(0, Ordering::Relaxed);
    }

    /// Whether a result may be given at once, so that its caller goes on in this turn. A caller that only gets such results
    /// would keep the others out: after [`BUDGET`] the next one is given in another turn.
    pub fn has_time(&self) -> bool {
        self.started.elapsed() < Duration::from_micros(self.began.load(Ordering::Relaxed)) + BUDGET
    }
}

/// Does work on this thread that could be left to another, which hands over twice for it: only where a turn of a host's loop
/// runs here, and as long as such work has not taken [`BUDGET`] of it. `None` where it is not to be done here.
pub(crate) fn work_here<T>(work: impl FnOnce() -> T) -> Option<T> {
    let turn = Turn::current()?;
    let worked = &turn.0.clock().worked;
    if worked.load(Ordering::Relaxed) >= BUDGET.as_micros() as u64 {
        // Some hosts say that a turn begins only where one was asked for.
        turn.0.wake_after_turn(Waker::noop().clone());
        return None;
    }
    let started = Instant::now();
    let done = work();
    // Never nothing, however short: a turn has an end.
    worked.fetch_add(started.elapsed().as_micros() as u64 + 1, Ordering::Relaxed);
    Some(done)
}

/// The turn that runs now on this thread, if a host has said so.
#[derive(Clone)]
pub(crate) struct Turn(Arc<dyn EventLoop>);

impl Turn {
    pub(crate) fn current() -> Option<Self> {
        CURRENT.with_borrow(|current| current.clone().map(Self))
    }

    /// Whether both are turns of one loop.
    pub(crate) fn is_of_same_loop(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> impl Future<Output = ()> + Send {
        End { turn: self, asked: false }
    }
}

struct End {
    turn: Turn,
    asked: bool,
}

impl Future for End {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.asked {
            return Poll::Ready(());
        }
        self.asked = true;
        self.turn.0.wake_after_turn(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::runtime;

    #[derive(Default)]
    struct Loop(Mutex<Vec<Waker>>, Clock);

    impl EventLoop for Loop {
        fn wake_after_turn(&self, waker: Waker) {
            self.0.lock().unwrap().push(waker);
        }

        fn clock(&self) -> &Clock {
            &self.1
        }
    }

    #[test]
    fn a_turn_ends_when_its_loop_says_so() {
        let host = Arc::new(Loop::default());
        assert!(Turn::current().is_none());
        let work = async { Turn::current().expect("polled within").end().await };
        let task = within(Arc::clone(&host) as Arc<dyn EventLoop>, || runtime::spawn(work));
        assert!(Turn::current().is_none());
        assert!(!task.is_finished());
        host.0.lock().unwrap().drain(..).for_each(Waker::wake);
        assert!(task.is_finished());
    }

    #[test]
    fn a_turn_has_time_until_its_budget_is_used() {
        let clock = Clock::default();
        assert!(clock.has_time());
        std::thread::sleep(BUDGET);
        assert!(!clock.has_time());
        clock.begin();
        assert!(clock.has_time());
    }

    #[test]
    fn a_turn_takes_work_until_its_budget_is_used() {
        let host = Arc::new(Loop::default());
        let here = |work: fn()| within(Arc::clone(&host) as Arc<dyn EventLoop>, || work_here(work));
        assert_eq!(work_here(|| ()), None, "nobody has said that a turn runs here");
        assert_eq!(here(|| ()), Some(()));
        assert_eq!(here(|| std::thread::sleep(BUDGET)), Some(()));
        assert!(host.0.lock().unwrap().is_empty());
        assert_eq!(here(|| ()), None);
        assert_eq!(host.0.lock().unwrap().len(), 1, "a turn is asked for, which takes work again");
        host.clock().begin();
        assert_eq!(here(|| ()), Some(()));
    }

    #[test]
    fn loops_are_told_apart() {
        let here = || within(Arc::new(Loop::default()), || Turn::current().expect("within"));
        let one = here();
        assert!(one.is_of_same_loop(&one.clone()));
        assert!(!one.is_of_same_loop(&here()));
    }
}
