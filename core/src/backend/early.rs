//! Rows of an answer that are handed over while others are still on their way.

use std::fmt;
use std::sync::Arc;

use super::rows::Rows;

/// Whoever takes rows early: `Some` are the next ones, `None` says that the statement is sent, perhaps again, and that
/// nothing counts that came before.
type Taker = dyn Fn(Option<Box<dyn Rows>>) + Send + Sync;

/// Takes the first rows of a statement. What the session gives in the end are the rows behind them, and only then, without an
/// error, does anything count.
#[derive(Clone)]
pub struct Early(Arc<Taker>);

impl Early {
    /// So many rows are handed over together; an answer of no more comes as a whole.
    pub const PART: usize = 500;

    /// Rows are handed to `taker`.
    pub fn new(taker: impl Fn(Option<Box<dyn Rows>>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(taker))
    }

    /// The statement is sent.
    pub(crate) fn begin(early: Option<&Self>) {
        if let Some(Self(taker)) = early {
            taker(None);
        }
    }

    /// Hands `rows` over if they are enough and somebody takes them; `rows` then begin anew. For before one more is read.
    pub(crate) fn offer<R: Rows + 'static>(early: Option<&Self>, rows: &mut R, new: impl FnOnce() -> R) {
        if let Some(Self(taker)) = early
            && rows.len() >= Self::PART
        {
            taker(Some(Box::new(std::mem::replace(rows, new()))));
        }
    }
}

impl fmt::Debug for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Early")
    }
}
