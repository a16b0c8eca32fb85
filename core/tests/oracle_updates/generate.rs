//! Random documents, updates and array filters. Moments have milliseconds, because mongod has no more.

use farm_db_core::value::DateTime;
use farm_db_core::{Map, Value, document};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{decimal, float, int, list, text, truth};

pub(super) const CONTRACT: &str = r#"{"version": 1, "entities": [{"name": "things", "fields": [
  {"name": "id", "type": {"kind": "int"}, "primary_key": true},
  {"name": "text", "type": {"kind": "text"}, "nullable": true},
  {"name": "int", "type": {"kind": "int"}, "nullable": true},
  {"name": "float", "type": {"kind": "float"}, "nullable": true},
  {"name": "decimal", "type": {"kind": "decimal"}, "nullable": true},
  {"name": "bool", "type": {"kind": "bool"}, "nullable": true},
  {"name": "at", "type": {"kind": "datetime"}, "nullable": true},
  {"name": "tags", "type": {"kind": "list", "items": {"type": {"kind": "text"}, "nullable": true}}, "nullable": true},
  {"name": "numbers", "type": {"kind": "list", "items": {"type": {"kind": "int"}, "nullable": true}}, "default": []},
  {"name": "moments", "type": {"kind": "list", "items": {"type": {"kind": "datetime"}, "nullable": true}}, "default": []},
  {"name": "grid", "default": [], "type": {"kind": "list", "items": {"nullable": true, "type":
    {"kind": "list", "items": {"type": {"kind": "int"}, "nullable": true}}}}},
  {"name": "parts", "default": [], "type": {"kind": "list", "items": {"nullable": true, "type": {"kind": "model", "fields": [
    {"name": "name", "type": {"kind": "text"}, "nullable": true},
    {"name": "qty", "type": {"kind": "int"}, "nullable": true},
    {"name": "labels", "nullable": true, "type":
      {"kind": "list", "items": {"type": {"kind": "text"}, "nullable": true}}}]}}}},
  {"name": "inner", "nullable": true, "type": {"kind": "model", "fields": [
    {"name": "text", "type": {"kind": "text"}, "nullable": true},
    {"name": "int", "type": {"kind": "int"}, "nullable": true},
    {"name": "float", "type": {"kind": "float"}, "nullable": true},
    {"name": "decimal", "type": {"kind": "decimal"}, "nullable": true},
    {"name": "at", "type": {"kind": "datetime"}, "nullable": true}]}},
  {"name": "map", "type": {"kind": "map", "values": {"type": {"kind": "int"}}}, "default": {}},
  {"name": "any", "type": {"kind": "any"}, "nullable": true}]}]}"#;

/// One case: the row, what is done to it, and what stands beside it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) row: Map,
    pub(super) update: Map,
    pub(super) array_filters: Vec<Value>,
}

/// What stands at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Int,
    Float,
    Decimal,
    Bool,
    At,
    Texts,
    Ints,
    Grid,
    Part,
    Parts,
    Any,
}

const PATHS: [(&str, Kind); 62] = [
    ("text", Kind::Text),
    ("inner.text", Kind::Text),
    ("tags.0", Kind::Text),
    ("tags.$[]", Kind::Text),
    ("tags.$[t]", Kind::Text),
    ("tags.$[u]", Kind::Text),
    ("parts.0.name", Kind::Text),
    ("parts.$[].name", Kind::Text),
    ("parts.$[p].name", Kind::Text),
    ("parts.$[p].labels.$[t]", Kind::Text),
    ("parts.$[].labels.$[]", Kind::Text),
    ("parts.$[q].labels.1", Kind::Text),
    ("int", Kind::Int),
    ("inner.int", Kind::Int),
    ("map.x", Kind::Int),
    ("map.y", Kind::Int),
    ("numbers.0", Kind::Int),
    ("numbers.4", Kind::Int),
    ("numbers.$[]", Kind::Int),
    ("numbers.$[n]", Kind::Int),
    ("numbers.$[m]", Kind::Int),
    ("grid.$[].$[]", Kind::Int),
    ("grid.$[g].0", Kind::Int),
    ("grid.$[].$[n]", Kind::Int),
    ("grid.1.$[n]", Kind::Int),
    ("parts.1.qty", Kind::Int),
    ("parts.$[].qty", Kind::Int),
    ("parts.$[p].qty", Kind::Int),
    ("parts.$[q].qty", Kind::Int),
    ("float", Kind::Float),
    ("inner.float", Kind::Float),
    ("decimal", Kind::Decimal),
    ("inner.decimal", Kind::Decimal),
    ("bool", Kind::Bool),
    ("at", Kind::At),
    ("inner.at", Kind::At),
    ("moments.0", Kind::At),
    ("moments.$[]", Kind::At),
    ("tags", Kind::Texts),
    ("parts.0.labels", Kind::Texts),
    ("parts.$[].labels", Kind::Texts),
    ("parts.$[p].labels", Kind::Texts),
    ("numbers", Kind::Ints),
    ("grid.0", Kind::Ints),
    ("grid.$[]", Kind::Ints),
    ("grid.$[g]", Kind::Ints),
    ("grid", Kind::Grid),
    ("parts", Kind::Parts),
    ("parts.0", Kind::Part),
    ("parts.$[p]", Kind::Part),
    ("any", Kind::Any),
    ("any.a", Kind::Any),
    ("any.b", Kind::Any),
    ("any.0", Kind::Any),
    ("any.2", Kind::Any),
    ("any.$[]", Kind::Any),
    ("any.$[a]", Kind::Any),
    ("any.$[a].b", Kind::Any),
    ("any.$[b].a", Kind::Any),
    ("any.$[].$[]", Kind::Any),
    ("any.a.$[a]", Kind::Any),
    ("any.$[b].a.$[]", Kind::Any),
];

const RENAMES: [(&str, &str); 9] = [
    ("text", "inner.text"),
    ("inner.int", "map.x"),
    ("map.x", "map.y"),
    ("map.y", "int"),
    ("any.a", "any.b"),
    ("any.b", "any.c"),
    ("any.a.b", "any.b"),
    ("tags", "parts.0.labels"),
    ("any.a", "text"),
];

fn moment() -> impl Strategy<Value = Value> {
    (-2_i64..3).prop_map(|step| Value::DateTime(DateTime::from_micros(step * 1_001_000).unwrap()))
}

/// Most updates of null are refused.
fn rarely_null(inner: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 14 => inner].boxed()
}

fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Mostly small, so that sums rarely leave 64 bits.
fn number() -> impl Strategy<Value = Value> {
    prop_oneof![6 => (-3_i64..4).prop_map(Value::Int), 1 => int()]
}

fn part() -> impl Strategy<Value = Value> {
    (rarely_null(text()), rarely_null(number()), rarely_null(list(rarely_null(text()))))
        .prop_map(|(name, qty, labels)| map([("name", name), ("qty", qty), ("labels", labels)]))
}

fn free() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![number(), rarely_null(text()), float(), decimal(), truth(), moment()];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let entries = prop::collection::vec((select(&["a", "b", "c", "0"][..]), inner.clone()), 0..3);
        prop_oneof![
            2 => prop::collection::vec(inner, 0..4).prop_map(Value::List),
            1 => entries.prop_map(map),
        ]
    })
    .boxed()
}

/// What most paths into a free field find something in.
fn nested() -> BoxedStrategy<Value> {
    let entries = |inner: BoxedStrategy<Value>| (inner.clone(), inner).prop_map(|(a, b)| map([("a", a), ("b", b)]));
    let lists = prop_oneof![list(number()), list(entries(free())), list(free()), list(list(number()))].boxed();
    prop_oneof![4 => lists.clone(), 2 => entries(lists), 1 => free()].boxed()
}

/// A value that may stand there.
fn held(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Text => rarely_null(text()),
        Kind::Int => rarely_null(number()),
        Kind::Float => rarely_null(float()),
        Kind::Decimal => rarely_null(decimal()),
        Kind::Bool => rarely_null(truth()),
        Kind::At => rarely_null(moment()),
        Kind::Texts => list(rarely_null(text())),
        Kind::Ints => list(rarely_null(number())),
        Kind::Grid => list(rarely_null(list(rarely_null(number())))),
        Kind::Part => rarely_null(part()),
        Kind::Parts => list(prop_oneof![1 => Just(Value::Null), 9 => part()]),
        Kind::Any => free(),
    }
}

/// What the elements of a list are.
fn items(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::Texts => Some(Kind::Text),
        Kind::Ints => Some(Kind::Int),
        Kind::Grid => Some(Kind::Ints),
        Kind::Parts => Some(Kind::Part),
        Kind::Any => Some(Kind::Any),
        _ => None,
    }
}

fn a_row() -> impl Strategy<Value = Map> {
    let inner = (held(Kind::Text), held(Kind::Int), held(Kind::Float), held(Kind::Decimal), held(Kind::At)).prop_map(
        |(text, int, float, decimal, at)| {
            map([("text", text), ("int", int), ("float", float), ("decimal", decimal), ("at", at)])
        },
    );
    let keys = (prop::option::of(number()), prop::option::of(number())).prop_map(|(y, x)| {
        let entries = [y.map(|y| ("y", y)), x.map(|x| ("x", x))];
        map(entries.into_iter().flatten())
    });
    let scalars = (held(Kind::Text), held(Kind::Int), held(Kind::Float), held(Kind::Decimal), held(Kind::Bool));
    let lists =
        (rarely_null(held(Kind::Texts)), held(Kind::Ints), list(held(Kind::At)), held(Kind::Grid), held(Kind::Parts));
    (scalars, held(Kind::At), lists, rarely_null(inner), keys, nested()).prop_map(|(s, at, l, inner, keys, any)| {
        document! {
            "id" => 1, "text" => s.0, "int" => s.1, "float" => s.2, "decimal" => s.3, "bool" => s.4, "at" => at,
            "tags" => l.0, "numbers" => l.1, "moments" => l.2, "grid" => l.3, "parts" => l.4,
            "inner" => inner, "map" => keys, "any" => any,
        }
    })
}

/// Operators on a value, as in filters.
fn test(kind: Kind) -> BoxedStrategy<Value> {
    let compare = (select(&["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"][..]), held(kind));
    let compare = compare.prop_map(|(name, value)| map([(name, value)]));
    let among = (select(&["$in", "$nin"][..]), prop::collection::vec(held(kind), 0..3))
        .prop_map(|(name, values)| map([(name, Value::List(values))]));
    let exists = truth().prop_map(|wanted| map([("$exists", wanted)]));
    let both = (held(kind), held(kind)).prop_map(|(low, high)| map([("$gte", low), ("$lt", high)]));
    let simple = prop_oneof![4 => compare, 2 => among, 1 => exists, 2 => both];
    match items(kind) {
        Some(inner) => prop_oneof![
            3 => simple,
            1 => (0_i64..3).prop_map(|size| map([("$size", Value::Int(size))])),
            1 => held(inner).prop_map(|value| map([("$elemMatch", map([("$gte", value)]))])),
            2 => prop::collection::vec(held(inner), 0..3).prop_map(|values| map([("$all", Value::List(values))])),
        ]
        .boxed(),
        None => simple.boxed(),
    }
}

/// A value to be equal to, or operators.
fn condition(kind: Kind) -> BoxedStrategy<Value> {
    prop_oneof![1 => held(kind), 2 => test(kind)].boxed()
}

/// A condition on a field of an element, and its name.
fn field_condition(kind: Kind) -> BoxedStrategy<(&'static str, Value)> {
    let named = |name: &'static str, kind| condition(kind).prop_map(move |value| (name, value));
    match kind {
        Kind::Part => prop_oneof![
            named("name", Kind::Text),
            named("qty", Kind::Int),
            named("labels", Kind::Texts),
            named("labels.0", Kind::Text)
        ]
        .boxed(),
        _ => prop_oneof![named("a", Kind::Any), named("b", Kind::Any), named("0", Kind::Any)].boxed(),
    }
}

/// A filter of the elements that a name stands for.
fn array_filter(name: &'static str, kind: Kind) -> BoxedStrategy<Value> {
    let whole = condition(kind).prop_map(move |value| (name.to_owned(), value));
    let one = match kind {
        Kind::Part | Kind::Any => {
            let field = field_condition(kind).prop_map(move |(field, value)| (format!("{name}.{field}"), value));
            prop_oneof![1 => whole, 3 => field].boxed()
        }
        _ => whole.boxed(),
    };
    let several = prop::collection::vec(one, 1..3).prop_map(|entries| Value::Map(entries.into_iter().collect()));
    several
        .prop_recursive(2, 4, 2, |inner| {
            let parts = prop::collection::vec(inner, 1..3).prop_map(Value::List);
            (select(&["$and", "$or", "$nor"][..]), parts).prop_map(|(name, parts)| map([(name, parts)]))
        })
        .boxed()
}

/// The operators of lists.
fn list_change(items: Kind) -> BoxedStrategy<(&'static str, Value)> {
    let order = match items {
        Kind::Part => prop_oneof![
            Just(map([("qty", Value::Int(-1)), ("name", Value::Int(1))])),
            Just(map([("labels", Value::Int(1))]))
        ]
        .boxed(),
        Kind::Any => prop_oneof![Just(map([("b", Value::Int(1))])), Just(Value::Int(1))].boxed(),
        _ => prop_oneof![Just(Value::Int(1)), Just(Value::Int(-1))].boxed(),
    };
    let each = prop::collection::vec(held(items), 0..4).prop_map(Value::List).boxed();
    let modifiers = (prop::option::of(-3_i64..4), prop::option::of(-3_i64..4), prop::option::weighted(0.3, order));
    let push = (each.clone(), modifiers).prop_map(|(each, (position, slice, sort))| {
        let modifiers = [
            position.map(|number| ("$position", Value::Int(number))),
            slice.map(|number| ("$slice", Value::Int(number))),
            sort.map(|order| ("$sort", order)),
        ];
        ("$push", map([("$each", each)].into_iter().chain(modifiers.into_iter().flatten())))
    });
    let pulled = match items {
        Kind::Part | Kind::Any => {
            prop_oneof![prop::collection::vec(field_condition(items), 0..3).prop_map(map), test(items), held(items)]
                .boxed()
        }
        _ => condition(items),
    };
    prop_oneof![
        1 => held(items).prop_map(|value| ("$push", value)),
        3 => push,
        1 => held(items).prop_map(|value| ("$addToSet", value)),
        1 => each.clone().prop_map(|each| ("$addToSet", map([("$each", each)]))),
        3 => pulled.prop_map(|value| ("$pull", value)),
        1 => each.prop_map(|values| ("$pullAll", values)),
        1 => select(&[1_i64, -1][..]).prop_map(|end| ("$pop", Value::Int(end))),
    ]
    .boxed()
}

/// An operator and its operand for a place.
fn change(kind: Kind) -> BoxedStrategy<(&'static str, Value)> {
    let every = prop_oneof![
        4 => held(kind).prop_map(|value| ("$set", value)),
        1 => Just(("$unset", Value::from(""))),
        1 => held(kind).prop_map(|value| ("$min", value)),
        1 => held(kind).prop_map(|value| ("$max", value)),
    ];
    let step = match kind {
        Kind::Int => Some(number().boxed()),
        Kind::Float => Some(prop_oneof![number(), float()].boxed()),
        Kind::Decimal => Some(prop_oneof![number(), decimal()].boxed()),
        Kind::Any => Some(prop_oneof![2 => number(), 1 => float(), 1 => decimal()].boxed()),
        _ => None,
    };
    let sum = step.map(|step| (select(&["$inc", "$mul"][..]), step).boxed());
    let date = matches!(kind, Kind::At | Kind::Any).then(|| Just(("$currentDate", Value::Bool(true))).boxed());
    let special = [sum, date, items(kind).map(list_change)];
    special.into_iter().flatten().fold(every.boxed(), |one, other| prop_oneof![1 => one, 1 => other].boxed())
}

/// A change at a path, now and then one that does not fit.
fn a_change() -> BoxedStrategy<(&'static str, &'static str, Value)> {
    let fitting = select(&PATHS[..])
        .prop_flat_map(|(path, kind)| change(kind).prop_map(move |(operator, value)| (operator, path, value)));
    let other = (select(&PATHS[..]), select(&PATHS[..])).prop_flat_map(|((path, _), (_, kind))| {
        change(kind).prop_map(move |(operator, value)| (operator, path, value))
    });
    let rename = select(&RENAMES[..]).prop_map(|(source, target)| ("$rename", source, Value::from(target)));
    prop_oneof![40 => fitting, 1 => other, 2 => rename].boxed()
}

const NAMES: [(&str, Kind); 9] = [
    ("t", Kind::Text),
    ("u", Kind::Text),
    ("n", Kind::Int),
    ("m", Kind::Int),
    ("g", Kind::Ints),
    ("p", Kind::Part),
    ("q", Kind::Part),
    ("a", Kind::Any),
    ("b", Kind::Any),
];

pub(super) fn a_case() -> impl Strategy<Value = Case> {
    let filters: Vec<BoxedStrategy<Value>> = NAMES.iter().map(|(name, kind)| array_filter(name, *kind)).collect();
    // One in fifty lacks a filter or has one too many, which must be refused.
    let wrong = prop::option::weighted(0.02, 0..NAMES.len());
    (a_row(), prop::collection::vec(a_change(), 1..3), filters, wrong).prop_map(|(row, changes, filters, wrong)| {
        let used = |name: &str| changes.iter().any(|(_, path, _)| path.contains(&format!("$[{name}]")));
        let chosen = NAMES.iter().zip(filters).enumerate();
        let chosen = chosen.filter(|(at, ((name, _), _))| used(name) != (wrong == Some(*at)));
        let array_filters = chosen.map(|(_, (_, filter))| filter).collect();
        let mut update = Map::new();
        for (operator, path, value) in changes {
            let fields = update.entry(operator.to_owned()).or_insert_with(|| Value::Map(Map::new()));
            if let Value::Map(fields) = fields {
                fields.insert(path.to_owned(), value);
            }
        }
        Case { row, update, array_filters }
    })
}
