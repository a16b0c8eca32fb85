//! Routes: the reads of one call stay together.
//!
//! A verb may read several times: related rows, conditions on them, the row that it is about to write. On one replica and
//! then on another that is further behind, it would see rows whose related rows do not exist yet. So the first read of a
//! call chooses, and the others follow it; a verb that writes reads on the primary. The route is that of the thread while
//! it polls the call's future, so that nothing in between needs to pass it on.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Where the reads of a call go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Route {
    /// The first of them chooses.
    #[default]
    Open,
    /// To the replica of this number.
    Replica(usize),
    /// To the primary.
    Primary,
}

#[derive(Clone, Copy)]
struct Way {
    route: Route,
    /// Whether another read follows, so that this one must not be answered together with those of other calls.
    together: bool,
}

thread_local! {
    static WAY: RefCell<Option<Way>> = const { RefCell::new(None) };
}

/// A future whose reads go one way.
pub(crate) struct Routed<F> {
    way: Way,
    future: Pin<Box<F>>,
}

impl Route {
    /// Lets the reads of `future` go this way.
    pub(crate) fn with<F: Future>(self, future: F) -> Routed<F> {
        Routed { way: Way { route: self, together: false }, future: Box::pin(future) }
    }
}

/// Puts the thread's way back, also when the future panics.
struct Restore(Option<Way>);

impl Drop for Restore {
    fn drop(&mut self) {
        WAY.set(self.0);
    }
}

impl<F: Future> Future for Routed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = Restore(WAY.replace(Some(self.way)));
        let outcome = self.future.as_mut().poll(context);
        if let Some(way) = WAY.take() {
            self.way = way;
        }
        drop(before);
        outcome
    }
}

/// The replica of the call that runs, which `choose` gives where none was chosen yet; `None` for the primary.
pub(super) fn settled(choose: impl FnOnce() -> Option<usize>) -> Option<usize> {
    match WAY.with_borrow(|way| way.map(|way| way.route)) {
        None => choose(),
        Some(Route::Primary) => None,
        Some(Route::Replica(chosen)) => Some(chosen),
        Some(Route::Open) => {
            let chosen = choose();
            set(chosen.map_or(Route::Primary, Route::Replica));
            chosen
        }
    }
}

fn set(route: Route) {
    WAY.with_borrow_mut(|way| {
        if let Some(way) = way {
            way.route = route;
        }
    });
}

/// From now on the call that runs reads on the primary, which is behind nobody.
pub(super) fn to_primary() {
    set(Route::Primary);
}

/// Whether the call that runs must read on the primary.
pub(crate) fn is_primary() -> bool {
    WAY.with_borrow(|way| way.is_some_and(|way| way.route == Route::Primary))
}

/// Says that the call that runs will read again, which must be where it has read.
pub(crate) fn keep_together() {
    WAY.with_borrow_mut(|way| {
        if let Some(way) = way {
            way.together = true;
        }
    });
}

/// Whether it has said so.
pub(crate) fn is_kept_together() -> bool {
    WAY.with_borrow(|way| way.is_some_and(|way| way.together))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_chooses_once_and_others_do_not_follow_it() {
        let call = Route::Open.with(async {
            assert_eq!(settled(|| Some(1)), Some(1));
            tokio::task::yield_now().await;
            assert_eq!(settled(|| Some(2)), Some(1));
            to_primary();
            tokio::task::yield_now().await;
            assert!(is_primary());
            assert_eq!(settled(|| Some(2)), None);
        });
        let other = async {
            for _ in 0..3 {
                assert_eq!(settled(|| Some(7)), Some(7));
                assert!(!is_primary());
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(call, other);
    }
}
