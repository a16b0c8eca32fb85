//! Fields: their types and constraints.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::value::Value;

/// What a field may hold.
#[derive(Clone, Debug)]
pub enum FieldType {
    /// 64-bit signed integer.
    Int,
    /// 64-bit float.
    Float,
    /// Decimal number.
    Decimal,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// Bool.
    Bool,
    /// UUID.
    Uuid,
    /// Object id.
    ObjectId,
    /// Moment in UTC.
    DateTime,
    /// Day.
    Date,
    /// Time of day.
    Time,
    /// Any value at all.
    Any,
    /// A list whose elements fit the inner definition.
    List(Arc<Field>),
    /// A map with free keys whose values fit the inner definition.
    Map(Arc<Field>),
    /// A nested model.
    Model(Arc<Model>),
}

impl FieldType {
    /// The name in the contract.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Decimal => "decimal",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Bool => "bool",
            Self::Uuid => "uuid",
            Self::ObjectId => "object_id",
            Self::DateTime => "datetime",
            Self::Date => "date",
            Self::Time => "time",
            Self::Any => "any",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Model(_) => "model",
        }
    }

    /// Whether values are single, and so live in a native column.
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Self::Any | Self::List(_) | Self::Map(_) | Self::Model(_))
    }
}

/// The fields of a nested model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The declared fields, in the order of declaration.
    pub fields: Vec<Field>,
    /// Whether undeclared keys are kept.
    pub extra: bool,
}

impl Model {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A field that the core fills in by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// The moment of creation.
    Created,
    /// The moment of the last write.
    Updated,
    /// The optimistic version.
    Version,
    /// The moment of the soft delete.
    Deleted,
    /// A bool that follows [`Auto::Deleted`].
    DeletedFlag,
    /// The words of other fields, for full-text search.
    Search,
}

impl Auto {
    /// Every kind with its name in the contract.
    pub const NAMES: [(Self, &'static str); 6] = [
        (Self::Created, "created"),
        (Self::Updated, "updated"),
        (Self::Version, "version"),
        (Self::Deleted, "deleted"),
        (Self::DeletedFlag, "deleted_flag"),
        (Self::Search, "search"),
    ];
}

/// Who makes a key that the record does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// The database counts.
    AutoIncrement,
    /// The core makes a random UUID.
    Uuid,
    /// The core makes an object id.
    ObjectId,
}

impl Generated {
    /// Every kind with its name in the contract.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::AutoIncrement, "auto_increment"), (Self::Uuid, "uuid"), (Self::ObjectId, "object_id")];
}

/// A regular expression with its source.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was written.
    pub source: String,
    /// Ready to search; linear in the length of the text.
    pub regex: regex::Regex,
}

impl Pattern {
    /// Compiles `source`; refused where it is not a regular expression of the `regex` crate's syntax.
    pub fn new(source: &str) -> Result<Self> {
        let regex = regex::Regex::new(source)
            .map_err(|_| Error::invalid_schema(format!("the pattern {source:?} is not a regular expression")))?;
        Ok(Self { source: source.to_owned(), regex })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// What the values of a field must satisfy beside their type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// Shortest text (characters), bytes or list (elements).
    pub min_length: Option<u64>,
    /// Longest text (characters), bytes or list (elements).
    pub max_length: Option<u64>,
    /// Searched in the text.
    pub pattern: Option<Pattern>,
    /// The only values allowed.
    pub allowed: Option<Vec<Value>>,
    /// At least.
    pub ge: Option<Value>,
    /// More than.
    pub gt: Option<Value>,
    /// At most.
    pub le: Option<Value>,
    /// Less than.
    pub lt: Option<Value>,
    /// A whole multiple of.
    pub multiple_of: Option<Value>,
    /// Significant digits of a decimal.
    pub max_digits: Option<u64>,
    /// Digits behind the point of a decimal.
    pub decimal_places: Option<u64>,
}

impl Constraints {
    /// The bounds that are numbers or moments.
    pub(super) fn numbers_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        [&mut self.ge, &mut self.gt, &mut self.le, &mut self.lt, &mut self.multiple_of].into_iter().flatten()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.min_length.is_none() && self.max_length.is_none() && self.pattern.is_none() && self.is_of_text()
    }

    /// Whether nothing is asked but what is asked of text only, and of lengths.
    pub(crate) fn is_of_text(&self) -> bool {
        let Self { min_length: _, max_length: _, pattern: _, allowed, ge, gt, le, lt, multiple_of, .. } = self;
        let bounds = [ge, gt, le, lt, multiple_of];
        allowed.is_none()
            && bounds.iter().all(|bound| bound.is_none())
            && self.max_digits.is_none()
            && self.decimal_places.is_none()
    }
}

/// One declared field, or the definition of a list's elements or a map's values (then without a name).
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts of the contract")]
pub struct Field {
    /// The stored name.
    pub name: String,
    /// The type.
    pub kind: FieldType,
    /// Whether null is allowed.
    pub nullable: bool,
    /// What an absent value becomes; `Some(Null)` is a default of null.
    pub default: Option<Value>,
    /// The constraints.
    pub constraints: Constraints,
    /// Whether it belongs to the primary key.
    pub primary_key: bool,
    /// Whether values are unique.
    pub unique: bool,
    /// Whether it has an index of its own.
    pub index: bool,
    /// Who makes an absent key.
    pub generated: Option<Generated>,
    /// What the core fills in.
    pub auto: Option<Auto>,
    /// The paths whose words a field with [`Auto::Search`] has, sorted.
    pub search: Vec<String>,
}

impl Field {
    /// A field of this name and type that asks nothing more.
    pub fn new(name: impl Into<String>, kind: FieldType) -> Self {
        Self {
            name: name.into(),
            kind,
            nullable: false,
            default: None,
            constraints: Constraints::default(),
            primary_key: false,
            unique: false,
            index: false,
            generated: None,
            auto: None,
            search: Vec::new(),
        }
    }
}
