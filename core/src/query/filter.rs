//! Filters.

use crate::schema::Path;
use crate::value::Value;

/// A condition on a document.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every filter is a test at a path")]
pub enum Filter {
    /// Every document.
    All,
    /// Every part holds.
    And(Vec<Filter>),
    /// At least one part holds.
    Or(Vec<Filter>),
    /// No part holds.
    Nor(Vec<Filter>),
    /// A test of what stands at a path.
    At(Path, Test),
}

impl Filter {
    /// Whether this matches every document by construction.
    pub fn is_all(&self) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(Self::is_all),
            Self::Or(parts) => parts.iter().any(Self::is_all),
            _ => false,
        }
    }

    /// Both conditions; an all-matching side disappears.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if other.is_all() => one,
            (one, other) if one.is_all() => other,
            (Self::And(mut parts), other) => {
                parts.push(other);
                Self::And(parts)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `$eq`
    Eq,
    /// `$gt`
    Gt,
    /// `$gte`
    Gte,
    /// `$lt`
    Lt,
    /// `$lte`
    Lte,
}

/// A regular expression as it was written.
#[derive(Clone, Debug)]
pub struct Expression {
    /// `$regex`
    pub source: String,
    /// `$options`
    pub options: String,
}

/// A test of the value or values at a path. `$ne` is `Not(Compare(Eq, ..))`, `$nin` is `Not(In(..))`.
#[derive(Clone, Debug)]
pub enum Test {
    /// A comparison; equality with null also matches what is missing.
    Compare(Comparison, Value),
    /// Equal to one of the values.
    In(Vec<Value>),
    /// The path exists (or does not).
    Exists(bool),
    /// The value or an element has one of these types.
    Type(Vec<TypeName>),
    /// Text, or an element that is text, in which the expression is found.
    Regex(regex::Regex, Expression),
    /// A list of this length.
    Size(u64),
    /// Every test holds, as `$all` means it (each by the value or by one element).
    AllOf(Vec<Test>),
    /// One element satisfies all these tests (`$elemMatch` with operators).
    ElementTests(Vec<Test>),
    /// One element is a document that satisfies the filter (`$elemMatch` with fields). Paths inside are resolved against
    /// the element: `Path::column` is unused and every leg is in `legs`.
    ElementFilter(Box<Filter>),
    /// `number % divisor == remainder`, after truncation, as `$mod` means it.
    Modulo(i64, i64),
    /// Several tests of the same path, all of which hold (`{$gt: 1, $lt: 5}`).
    Both(Vec<Test>),
    /// Text in which each of these words stands between blanks, as the search field has them; no words match nothing.
    Words(Words),
    /// The test does not hold (also when the path is missing).
    Not(Box<Test>),
}

/// What a full-text search looks for.
#[derive(Clone, Debug)]
pub struct Words {
    /// Different words, in small letters; see [`super::words`].
    pub words: Vec<String>,
    /// Whether rows may be among the answers that the transaction itself has written, and which an index that knows
    /// committed rows only does not have.
    pub uncommitted: bool,
}

/// The names of `$type`: our own names and MongoDB's aliases (`string`, `long`, `double`, `objectId`, `number` ...).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeName {
    /// Null.
    Null,
    /// Bool.
    Bool,
    /// 64-bit integer (`int` and `long` are one type here).
    Int,
    /// Float (`double`).
    Float,
    /// Decimal.
    Decimal,
    /// Any of the three number types.
    Number,
    /// Text (`string`), dates and times of day too.
    Text,
    /// Bytes and UUIDs (`binData`).
    Bytes,
    /// Object id.
    ObjectId,
    /// Moment (`date`).
    DateTime,
    /// List (`array`).
    List,
    /// Map (`object`).
    Map,
}
