//! Dotted paths, resolved against an entity: which column, which legs inside it, what is declared there.

use super::entity::Entity;
use super::field::{Field, FieldType};
use crate::error::{Error, Result};
use crate::value::tagged::MAX_DEPTH;

/// A path such as `profile.city` or `tags`, whose column exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// As it was written.
    pub text: String,
    /// The position of the column.
    pub column: usize,
    /// The legs behind the column; empty for a plain field.
    pub legs: Vec<String>,
    /// What stands at the end.
    pub target: Target,
}

/// What the contract knows about the end of a path.
#[derive(Clone, Debug)]
pub struct Target {
    /// The declared definition at the end; `None` where the path leads into a free map or `any`.
    pub field: Option<Field>,
    /// Whether a list lies before the end, so that the path stands for several values.
    pub through_list: bool,
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.through_list == other.through_list
            && self.field.as_ref().map(|f| f.kind.name()) == other.field.as_ref().map(|f| f.kind.name())
    }
}

impl Path {
    /// Resolves `text`; `unknown_field` where the contract knows that nothing can be there.
    pub fn resolve(entity: &Entity, text: &str) -> Result<Self> {
        Self::resolve_as(entity, text, text)
    }

    /// Resolves `text` for a path that is written `written`, with as many legs: a positional path of an update is declared
    /// what the path to one element is.
    pub fn resolve_as(entity: &Entity, text: &str, written: &str) -> Result<Self> {
        let column = text.split('.').next().unwrap_or_default();
        let column = entity.position(column).map_err(|error| error.with("path", written))?;
        let legs = |path: &str| path.split('.').skip(1).map(str::to_owned).collect::<Vec<_>>();
        let declared = legs(text);
        check_legs(&declared, written)?;
        let target = walk(&entity.fields[column], &declared).ok_or_else(|| {
            Error::unknown_field(format!("{} has nothing at {written:?}", entity.name))
                .with("entity", entity.name.as_str())
                .with("path", written)
        })?;
        Ok(Self { text: written.to_owned(), column, legs: legs(written), target })
    }

    /// Resolves `text` inside an element of a list or a free document (`$elemMatch`, `$pull`): all legs are in `legs`,
    /// `column` means nothing.
    pub fn resolve_in(definition: &Field, text: &str) -> Result<Self> {
        let legs: Vec<String> = text.split('.').map(str::to_owned).collect();
        check_legs(&legs, text)?;
        let target = walk(definition, &legs)
            .ok_or_else(|| Error::unknown_field(format!("an element has nothing at {text:?}")).with("path", text))?;
        Ok(Self { text: text.to_owned(), column: 0, legs, target })
    }

    /// Whether this is a whole column.
    pub fn is_column(&self) -> bool {
        self.legs.is_empty()
    }

    /// The declared scalar type at the end, where exactly one value stands there.
    pub fn single_scalar(&self) -> Option<&FieldType> {
        let field = self.target.field.as_ref()?;
        (!self.target.through_list && field.kind.is_scalar()).then_some(&field.kind)
    }
}

/// No document is deeper, no key is empty or has a NUL, and in a statement a NUL would be its end.
fn check_legs(legs: &[String], text: &str) -> Result<()> {
    if legs.len() > MAX_DEPTH {
        return Err(Error::invalid_query(format!("a path has more than {MAX_DEPTH} legs")).with("path", text));
    }
    let wrong = match legs.iter().find(|leg| leg.is_empty() || leg.contains('\0')) {
        None => return Ok(()),
        Some(leg) if leg.is_empty() => "an empty part",
        Some(_) => "the character NUL",
    };
    Err(Error::invalid_query(format!("the path {text:?} has {wrong}")).with("path", text))
}

/// Follows `legs` from `field`; `None` where the contract excludes the path.
fn walk(field: &Field, legs: &[String]) -> Option<Target> {
    let Some((leg, rest)) = legs.split_first() else {
        return Some(Target { field: Some(field.clone()), through_list: false });
    };
    let through = |target: Option<Target>| target.map(|target| Target { through_list: true, ..target });
    match &field.kind {
        FieldType::Any => Some(Target { field: None, through_list: true }),
        FieldType::Map(values) => walk(values, rest),
        FieldType::Model(model) => match model.field(leg) {
            Some(inner) => walk(inner, rest),
            None => model.extra.then_some(Target { field: None, through_list: true }),
        },
        // `tags.0` is an element; `items.name` stands for the names of all elements.
        FieldType::List(items) if leg.bytes().all(|byte| byte.is_ascii_digit()) => through(walk(items, rest)),
        FieldType::List(items) => through(walk(items, legs)),
        _ => None,
    }
}
