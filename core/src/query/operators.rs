//! The names of the operator language: what there is, what MongoDB has and we refuse, what was probably meant.
//!
//! Invariant: a key that starts with `$` is either handled by a parser or refused by an error that names it.
//! Not for: what an operator means.

use crate::error::Error;
use crate::schema::distance;

/// Operators between conditions.
const LOGIC: &[&str] = &["$and", "$or", "$nor"];

/// Operators on the value at a path.
pub(super) const TESTS: &[&str] = &[
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$not",
    "$exists",
    "$all",
    "$elemMatch",
    "$size",
    "$regex",
    "$options",
    "$type",
    "$mod",
];

/// Operators of an update.
pub(super) const UPDATES: &[&str] = &[
    "$set",
    "$unset",
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$currentDate",
    "$rename",
    "$push",
    "$addToSet",
    "$pull",
    "$pullAll",
    "$pop",
];

/// What MongoDB has and this language refuses, because no other database can answer it with the same meaning.
const REFUSED: &[&str] = &[
    "$where",
    "$expr",
    "$text",
    "$near",
    "$nearSphere",
    "$geoWithin",
    "$geoIntersects",
    "$geoNear",
    "$within",
    "$box",
    "$center",
    "$centerSphere",
    "$polygon",
    "$geometry",
    "$maxDistance",
    "$minDistance",
    "$jsonSchema",
    "$bitsAllSet",
    "$bitsAllClear",
    "$bitsAnySet",
    "$bitsAnyClear",
    "$comment",
    "$rand",
    "$sampleRate",
    "$setOnInsert",
    "$bit",
    "$natural",
    "$meta",
];

/// The error for a key that starts with `$` and is none of `known`.
pub(super) fn refuse(operator: &str, known: &[&str]) -> Error {
    if REFUSED.contains(&operator) {
        return Error::unsupported(format!("the operator {operator} is not supported on any backend"))
            .with("operator", operator);
    }
    let elsewhere = if known == LOGIC {
        TESTS.contains(&operator).then_some("on a field, as in {\"name\": {\"$eq\": 1}}")
    } else if LOGIC.contains(&operator) {
        Some("between conditions, not on a field")
    } else if TESTS.contains(&operator) || UPDATES.contains(&operator) {
        Some("elsewhere")
    } else {
        None
    };
    let shown: String = operator.chars().take(60).collect();
    if let Some(place) = elsewhere {
        return Error::unknown_operator(format!("the operator {shown} cannot stand here; it stands {place}"))
            .with("operator", operator);
    }
    let near = known.iter().map(|name| (distance(name, &shown), *name)).min();
    let hint = near.filter(|(far, _)| *far <= 3).map(|(_, name)| name);
    let words = hint.map_or(String::new(), |name| format!(", did you mean {name}?"));
    let error = Error::unknown_operator(format!("there is no operator {shown}{words}")).with("operator", shown);
    match hint {
        Some(name) => error.with("did_you_mean", name),
        None => error,
    }
}

/// The error for a key that starts with `$` where conditions are joined.
pub(super) fn refuse_logic(operator: &str) -> Error {
    refuse(operator, LOGIC)
}
