//! Updates: one assignment a path.

use super::filter::Filter;
use super::filter::Test;
use super::positional::Positional;
use super::reach::Reach;
use super::sort::Sort;
use crate::schema::Path;
use crate::value::Value;

/// What to change in a document. Paths do not conflict (no path is another's beginning).
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// In the order in which they were written.
    pub assignments: Vec<(Path, Assignment)>,
    /// Which places of a document they are about.
    pub(super) reach: Reach,
    /// What tells the element that `$` stands for; the assignments are then those for the first one.
    pub(super) positional: Option<Box<Positional>>,
}

impl Update {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.assignments.is_empty()
    }
}

/// One change at one path.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "an update has few assignments, each beside a path of the same size")]
pub enum Assignment {
    /// `$set`
    Set(Value),
    /// `$unset`: removes a key inside JSON; a whole column becomes its default, else null.
    Unset,
    /// `$inc`
    Increment(Value),
    /// `$mul`
    Multiply(Value),
    /// `$min`
    Min(Value),
    /// `$max`
    Max(Value),
    /// `$currentDate`
    CurrentDate,
    /// `$rename` to another path of the same kind.
    Rename(Path),
    /// `$push`
    Push(Push),
    /// `$addToSet`, of one or (`$each`) several values.
    AddToSet(Vec<Value>),
    /// `$pull` of elements equal to a value or satisfying tests.
    PullTests(Vec<Test>),
    /// `$pull` of element documents that satisfy a filter (paths as in [`Test::ElementFilter`]).
    PullFilter(Box<Filter>),
    /// `$pullAll`
    PullAll(Vec<Value>),
    /// `$pop`: the last element, or the first.
    Pop {
        /// Whether the first goes.
        first: bool,
    },
}

/// `$push` with its modifiers.
#[derive(Clone, Debug)]
pub struct Push {
    /// `$each`, or the one value.
    pub values: Vec<Value>,
    /// `$position`
    pub position: Option<i64>,
    /// `$slice`
    pub slice: Option<i64>,
    /// `$sort`: of elements themselves (an empty path) or of documents by fields.
    pub sort: Option<Sort>,
}
