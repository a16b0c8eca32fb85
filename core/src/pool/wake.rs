//! Waking without recursion.
//!
//! An inline executor polls a task on the thread that wakes it. That task may give its connection back while it is
//! polled, which wakes the next waiter, and so on through a queue of thousands: on one stack. So a waker that is called
//! while another is being called on the same thread is put off until that one is done.
//!
//! Invariant: every waker is called once, on the thread that was asked to, in order, and soon.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

thread_local! {
    /// Wakers that were put off; `Some` while a waker is being called on this thread.
    static PUT_OFF: RefCell<Option<VecDeque<Waker>>> = const { RefCell::new(None) };
}

/// Calls the waker, now or when the one that is being called on this thread is done.
pub(super) fn wake(waker: Waker) {
    let mut next = Some(waker);
    // Without its thread local a thread is ending, and the waker is called at once.
    let outermost = PUT_OFF.try_with(|put_off| match &mut *put_off.borrow_mut() {
        Some(queue) => {
            queue.extend(next.take());
            false
        }
        queue => {
            *queue = Some(VecDeque::new());
            true
        }
    });
    let _turn = (outermost == Ok(true)).then(|| Turn);
    while let Some(waker) = next {
        waker.wake();
        next = PUT_OFF.try_with(|put_off| put_off.borrow_mut().as_mut().and_then(VecDeque::pop_front)).unwrap_or(None);
    }
}

/// The time during which this thread calls wakers; ends it even where a waker panics.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        let left = PUT_OFF.try_with(|put_off| put_off.borrow_mut().take());
        // Some are left only where a waker panicked; the others must not wait for ever.
        for waker in left.ok().flatten().into_iter().flatten() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Wakes the next of a chain from inside its own wake, as an inline executor does.
    struct Chain {
        left: usize,
        count: Arc<AtomicUsize>,
        depth: Arc<AtomicUsize>,
    }

    impl Wake for Chain {
        fn wake(self: Arc<Self>) {
            assert_eq!(self.depth.fetch_add(1, Ordering::Relaxed), 0, "wakers are nested");
            self.count.fetch_add(1, Ordering::Relaxed);
            if self.left > 0 {
                let next = Self { left: self.left - 1, count: Arc::clone(&self.count), depth: Arc::clone(&self.depth) };
                wake(Waker::from(Arc::new(next)));
            }
            self.depth.fetch_sub(1, Ordering::Relaxed);
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker panics");
        }
    }

    #[test]
    fn a_chain_of_wakes_does_not_nest() {
        let (count, depth) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        wake(Waker::from(Arc::new(Chain { left: 100_000, count: Arc::clone(&count), depth })));
        assert_eq!(count.load(Ordering::Relaxed), 100_001);
    }

    #[test]
    fn a_waker_that_panics_does_not_keep_later_ones_asleep() {
        let panicked = std::panic::catch_unwind(|| wake(Waker::from(Arc::new(Panics))));
        assert!(panicked.is_err());
        let (count, depth) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        wake(Waker::from(Arc::new(Chain { left: 2, count: Arc::clone(&count), depth })));
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }
}
