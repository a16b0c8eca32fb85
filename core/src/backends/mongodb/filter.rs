//! Filters as MongoDB's own: the language is its language, so nearly everything is said as it is. What is not goes to the
//! residual.

use mongodb::bson::{Bson, Document, doc};

use super::layout::Layout;
use super::values::{encode, in_milliseconds, is_in_milliseconds};
use crate::query::{Comparison, Filter, Test, TypeName};
use crate::value::Value;

/// A condition, and whether it holds for no document that the filter does not match.
pub(super) struct Condition {
    pub(super) document: Document,
    pub(super) exact: bool,
}

/// A condition that no document satisfies.
fn never(name: &str) -> Document {
    doc! { name: { "$in": [] } }
}

/// The condition of a filter; an empty document for every document.
pub(super) fn condition(layout: &Layout, filter: &Filter) -> Condition {
    if let Some(document) = whole(&|path| layout.name(path), filter) {
        return Condition { document, exact: true };
    }
    let document = match filter {
        // Some of the parts narrow the scan at least.
        Filter::And(parts) => {
            let pushed = parts.iter().filter_map(|part| whole(&|path| layout.name(path), part)).map(Bson::Document);
            all(pushed.collect())
        }
        _ => Document::new(),
    };
    Condition { document, exact: false }
}

fn all(parts: Vec<Bson>) -> Document {
    let is_something = |part: &Bson| part.as_document().is_some_and(|part| !part.is_empty());
    let mut parts: Vec<Bson> = parts.into_iter().filter(is_something).collect();
    match (parts.len(), parts.pop()) {
        (1, Some(Bson::Document(only))) => only,
        (_, None) => Document::new(),
        (_, Some(last)) => {
            parts.push(last);
            doc! { "$and": parts }
        }
    }
}

/// The exact condition, if there is one. `name` gives the stored name of a path.
fn whole(name: &dyn Fn(&crate::schema::Path) -> String, filter: &Filter) -> Option<Document> {
    let each =
        |parts: &[Filter]| parts.iter().map(|part| whole(name, part).map(Bson::Document)).collect::<Option<Vec<_>>>();
    Some(match filter {
        Filter::All => Document::new(),
        Filter::And(parts) => all(each(parts)?),
        Filter::Or(parts) if parts.is_empty() => doc! { "$nor": [{}] },
        Filter::Or(parts) => doc! { "$or": each(parts)? },
        Filter::Nor(parts) if parts.is_empty() => Document::new(),
        Filter::Nor(parts) => doc! { "$nor": each(parts)? },
        Filter::At(path, test) => at(&name(path), test)?,
    })
}

fn at(name: &str, test: &Test) -> Option<Document> {
    let each = |tests: &[Test]| tests.iter().map(|test| at(name, test).map(Bson::Document)).collect::<Option<Vec<_>>>();
    Some(match test {
        Test::AllOf(tests) if tests.is_empty() => never(name),
        Test::AllOf(tests) | Test::Both(tests) => all(each(tests)?),
        Test::Not(inner) => match at(name, inner)? {
            inner if inner.is_empty() => doc! { "$nor": [{}] },
            inner => doc! { "$nor": [inner] },
        },
        Test::Words(words) => with_words(name, &words.words)?,
        test => doc! { name: operators(test)? },
    })
}

/// Longer words are left to the core: expressions have a largest size.
const LONGEST_WORD: usize = 8_000;

/// The text index finds the documents, and expressions decide: the index does not tell accents.
fn with_words(name: &str, words: &[String]) -> Option<Document> {
    if words.is_empty() {
        return Some(never(name));
    }
    if words.iter().any(|word| word.len() > LONGEST_WORD) {
        return None;
    }
    // A word of nothing but marks is none for the index.
    let is_indexed = |word: &&String| word.chars().any(|letter| letter.is_ascii_alphanumeric() || is_plain(letter));
    let indexed: Vec<_> = words.iter().filter(is_indexed).map(|word| format!("\"{word}\"")).collect();
    let mut parts = Vec::new();
    if !indexed.is_empty() {
        parts.push(Bson::Document(doc! { "$text": { "$search": indexed.join(" ") } }));
    }
    parts.extend(words.iter().map(|word| Bson::Document(doc! { name: { "$regex": format!("(?:^| ){word}(?: |$)") } })));
    Some(all(parts))
}

/// Letters that are surely more than a sign on another one.
fn is_plain(letter: char) -> bool {
    matches!(letter, '\u{c0}'..='\u{24f}' | '\u{388}'..='\u{481}' | '\u{48a}'..='\u{52f}' | '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
        && letter.is_alphabetic()
}

/// A test as operators, for a path or for the elements of a list.
fn operators(test: &Test) -> Option<Document> {
    Some(match test {
        Test::Compare(comparison, value) => compare(*comparison, value)?,
        Test::In(values) => doc! { "$in": candidates(values)? },
        Test::Exists(wanted) => doc! { "$exists": *wanted },
        Test::Type(names) => doc! { "$type": names.iter().flat_map(|name| aliases(*name)).collect::<Vec<_>>() },
        Test::Regex(_, expression) => doc! { "$regex": &expression.source, "$options": &expression.options },
        Test::Size(length) => {
            i64::try_from(*length).map_or_else(|_| doc! { "$in": [] }, |length| doc! { "$size": length })
        }
        Test::ElementTests(tests) => doc! { "$elemMatch": together(tests)? },
        Test::ElementFilter(filter) => doc! { "$elemMatch": whole(&|path| path.text.clone(), filter)? },
        Test::Modulo(divisor, remainder) => doc! { "$mod": [*divisor, *remainder] },
        Test::Not(inner) => doc! { "$not": operators(inner)? },
        Test::Both(tests) => together(tests)?,
        Test::AllOf(_) | Test::Words(_) => return None,
    })
}

/// Several tests in one document; `None` where two of them use the same operator.
fn together(tests: &[Test]) -> Option<Document> {
    let mut found = Document::new();
    for test in tests {
        for (operator, operand) in operators(test)? {
            if found.insert(operator, operand).is_some() {
                return None;
            }
        }
    }
    // `{$elemMatch: {}}` would ask for documents.
    (!found.is_empty()).then_some(found)
}

/// A moment between two milliseconds is compared with the one before it, since nothing is stored in between.
fn compare(comparison: Comparison, value: &Value) -> Option<Document> {
    if let Value::DateTime(moment) = value
        && !is_in_milliseconds(*moment)
    {
        let before = encode(&Value::DateTime(in_milliseconds(*moment))).ok()?;
        return Some(match comparison {
            Comparison::Eq => doc! { "$in": [] },
            Comparison::Gt | Comparison::Gte => doc! { "$gt": before },
            Comparison::Lt | Comparison::Lte => doc! { "$lte": before },
        });
    }
    if holds_finer_moment(value) {
        return (comparison == Comparison::Eq).then(|| doc! { "$in": [] });
    }
    let operator = match comparison {
        Comparison::Eq => "$eq",
        Comparison::Gt => "$gt",
        Comparison::Gte => "$gte",
        Comparison::Lt => "$lt",
        Comparison::Lte => "$lte",
    };
    Some(doc! { operator: encode(value).ok()? })
}

fn holds_finer_moment(value: &Value) -> bool {
    match value {
        Value::DateTime(moment) => !is_in_milliseconds(*moment),
        Value::List(list) => list.iter().any(holds_finer_moment),
        Value::Map(map) => map.values().any(holds_finer_moment),
        _ => false,
    }
}

fn candidates(values: &[Value]) -> Option<Vec<Bson>> {
    values.iter().filter(|value| !holds_finer_moment(value)).map(|value| encode(value).ok()).collect()
}

fn aliases(name: TypeName) -> Vec<&'static str> {
    match name {
        TypeName::Null => vec!["null"],
        TypeName::Bool => vec!["bool"],
        TypeName::Int => vec!["int", "long"],
        TypeName::Float => vec!["double"],
        TypeName::Decimal => vec!["decimal"],
        TypeName::Number => vec!["number"],
        TypeName::Text => vec!["string"],
        TypeName::Bytes => vec!["binData"],
        TypeName::ObjectId => vec!["objectId"],
        TypeName::DateTime => vec!["date"],
        TypeName::List => vec!["array"],
        TypeName::Map => vec!["object"],
    }
}
