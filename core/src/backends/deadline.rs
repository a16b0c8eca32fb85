//! [`Deadline`]: this side of `statement_timeout`.
//!
//! A server stops a statement that runs for too long and says so. Where it says nothing, because the wire swallows what
//! is sent or the machine hangs, the caller is told a moment later.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Kind};
use crate::runtime;

/// How much longer than the server a caller waits, so that the server's own word comes first.
const GRACE: Duration = Duration::from_millis(250);

/// How long a look at a connection may take.
const LOOK: Duration = Duration::from_secs(1);

/// The moment by which the answer to a statement is there, or never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// That of a statement which begins now; none where there is no limit.
    pub(super) fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| Instant::now().checked_add(limit + GRACE)))
    }

    /// That of work which begins now and must be over in time.
    pub(super) fn within(limit: Duration) -> Self {
        Self(Instant::now().checked_add(limit))
    }

    /// Whether it is over.
    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }

    /// What `work` gives; nothing where that takes too long, and `work` is dropped then.
    pub(super) async fn bound<F: Future>(self, work: F) -> Option<F::Output> {
        let Some(at) = self.0 else { return Some(work.await) };
        let mut work = std::pin::pin!(work);
        // What is there already needs no timer.
        if let Poll::Ready(done) = poll!(work.as_mut()) {
            return Some(done);
        }
        let bounded = {
            let _runtime = runtime::handle().enter();
            timeout_at(at, work)
        };
        bounded.await.ok()
    }
}

/// How long a look at a connection may take before it counts as lost; a part of a statement's deadline.
pub(super) fn look_within(limit: Option<Duration>) -> Duration {
    limit.map_or(LOOK, |limit| LOOK.min(limit / 4))
}

/// The error of a statement whose answer did not come in time.
pub(super) fn no_answer(backend: &str) -> Error {
    Error::new(Kind::StatementTimeout, format!("{backend}: the server did not answer within the statement's deadline"))
}

/// The error of a write that was sent and whose answer is lost, for a reason.
pub(super) fn unknown(reason: &Error) -> Error {
    let message =
        format!("the answer to a write is lost, so it may or may not have taken effect: {}", reason.message());
    Error::new(Kind::OutcomeUnknown, message)
}
