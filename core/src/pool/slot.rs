//! [`Slot`]: the place where one waiter gets its answer.
//!
//! Invariant: a value that is put in is either taken out by the waiter, or given back to who put it in, or dropped by the
//! waiter's leaving; it is never lost. The slot's lock is held for moves only: no waker is called and nothing is dropped
//! under it.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The place where one waiter gets its answer.
pub(super) struct Slot<T>(Mutex<Stage<T>>);

enum Stage<T> {
    /// Nothing is there yet; the waker of the last poll.
    Empty(Option<Waker>),
    /// The answer is there.
    Filled(T),
    /// The answer was taken, or the waiter left.
    Over,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Stage::Empty(None)))
    }

    /// Puts the answer in and returns the waker to call; gives the answer back where the waiter has left.
    pub(super) fn fill(&self, value: T) -> Result<Option<Waker>, T> {
        let mut stage = self.lock();
        match &mut *stage {
            Stage::Empty(waker) => {
                let waker = waker.take();
                *stage = Stage::Filled(value);
                Ok(waker)
            }
            Stage::Filled(_) | Stage::Over => Err(value),
        }
    }

    /// Takes the answer, or leaves a waker.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<T> {
        let mut stage = self.lock();
        if let Stage::Empty(waker) = &mut *stage {
            if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
                let outdated = waker.replace(context.waker().clone());
                drop(stage);
                // A waker may run anything when it is dropped.
                drop(outdated);
            }
            return Poll::Pending;
        }
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Filled(value) => Poll::Ready(value),
            Stage::Empty(_) | Stage::Over => Poll::Pending,
        }
    }

    /// Leaves for good, and returns the answer if it came in time.
    pub(super) fn leave(&self) -> Option<T> {
        let last = mem::replace(&mut *self.lock(), Stage::Over);
        match last {
            Stage::Filled(value) => Some(value),
            Stage::Empty(_) | Stage::Over => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stage<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
