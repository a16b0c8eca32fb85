//! Portable operations and the native statements that they become.

use std::any::Any;
use std::sync::Arc;

use crate::query::{Filter, Sort};
use crate::schema::Entity;
use crate::value::Value;

/// What a repository asks of a backend.
#[derive(Clone, Debug)]
pub enum Operation<'a> {
    /// Rows.
    Select(Select<'a>),
    /// The number of rows that a select without order would return.
    Count(Select<'a>),
    /// The different values of one scalar field, sorted.
    Distinct(Select<'a>),
    /// New rows; executed by [`super::Session::insert`] or, with a conflict rule, as a query that returns the row.
    Insert(Insert<'a>),
    /// Changes of existing rows, where every change can be said to the engine exactly.
    Update(Write<'a>, Changes),
    /// Removal of rows.
    Delete(Write<'a>),
}

/// Which rows, in which order, with which columns.
#[derive(Clone, Debug)]
pub struct Select<'a> {
    /// The entity.
    pub entity: &'a Entity,
    /// Which rows.
    pub filter: &'a Filter,
    /// In which order.
    pub sort: &'a Sort,
    /// Only rows behind this position of the order, one value a sort field.
    pub after: Option<&'a [Value]>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Without the first ones.
    pub skip: u64,
    /// Where the core must filter or sort itself: at most so many rows from the engine.
    pub scan: u64,
    /// Which columns, by position.
    pub columns: Arc<[usize]>,
    /// Whether the rows are about to be written, so that others must not change them in between.
    pub for_update: bool,
}

/// New rows.
#[derive(Clone, Debug)]
pub struct Insert<'a> {
    /// The entity.
    pub entity: &'a Entity,
    /// What to do about a row with the same unique value.
    pub conflict: Option<Conflict>,
}

/// Turns an insert into an upsert of one row.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The unique fields.
    pub on: Vec<usize>,
    /// The row to insert.
    pub row: Vec<Value>,
    /// What to change in an existing row.
    pub changes: Changes,
}

/// Which rows to write.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// The entity.
    pub entity: &'a Entity,
    /// Which rows; compiled exactly or refused.
    pub filter: &'a Filter,
    /// Which row is the first, for `one`.
    pub sort: &'a Sort,
    /// Only the first row.
    pub one: bool,
    /// Return the rows as they are afterwards, all columns.
    pub returning: bool,
}

/// Column changes that an engine can do by itself.
#[derive(Clone, Debug, Default)]
pub struct Changes(pub Vec<(usize, SetTo)>);

/// What a column becomes.
#[derive(Clone, Debug)]
pub enum SetTo {
    /// This value.
    Value(Value),
    /// The old value plus this number (same type as the field); null stays null.
    Plus(Value),
}

/// A native statement, ready for a session.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The statement's text.
    pub text: Arc<str>,
    /// Its parameters, encoded as the engine stores them.
    pub parameters: Vec<Value>,
    /// The field positions of the columns it returns.
    pub columns: Arc<[usize]>,
    /// The filter that the core must still apply to the rows.
    pub residual: Option<Filter>,
    /// Whether the core must still sort (and then skip and limit) the rows.
    pub unsorted: bool,
    /// What the backend's own sessions need beside the text, and nobody else reads.
    pub native: Option<Arc<dyn Any + Send + Sync>>,
    /// The entity's field types by returned column, for decoding; empty where nothing is returned.
    pub kinds: Arc<[crate::schema::FieldType]>,
    /// Who takes rows while others are still on their way.
    pub early: Option<super::Early>,
    /// Whether it is about one row, which is found by its key, and about no row of others that refer to it.
    pub by_key: bool,
}

impl Statement {
    /// Whether the engine answers alone.
    pub fn is_exact(&self) -> bool {
        self.residual.is_none() && !self.unsorted
    }
}
