//! Whatever is asked, and whatever was asked before: the prepared statement is the one that compiling makes.

use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::schema::Contract;
use crate::value::{DateTime, ObjectId, Uuid, parse_decimal};
use crate::{Database, document};

/// Nothing is opened.
const URLS: [&str; 4] =
    ["sqlite::memory:", "postgres://localhost/app", "mysql://localhost/app", "mongodb://localhost/app"];

const CONTRACT: &str = r#"{"version": 1, "entities": [{"name": "things", "fields": [
  {"name": "id", "type": {"kind": "int"}, "primary_key": true},
  {"name": "text", "type": {"kind": "text"}, "nullable": true, "index": true},
  {"name": "int", "type": {"kind": "int"}},
  {"name": "float", "type": {"kind": "float"}, "nullable": true},
  {"name": "decimal", "type": {"kind": "decimal"}, "nullable": true},
  {"name": "bool", "type": {"kind": "bool"}, "nullable": true},
  {"name": "bytes", "type": {"kind": "bytes"}, "nullable": true},
  {"name": "uuid", "type": {"kind": "uuid"}, "nullable": true},
  {"name": "oid", "type": {"kind": "object_id"}, "nullable": true},
  {"name": "at", "type": {"kind": "datetime"}, "nullable": true},
  {"name": "day", "type": {"kind": "date"}, "nullable": true},
  {"name": "time", "type": {"kind": "time"}, "nullable": true},
  {"name": "tags", "type": {"kind": "list", "items": {"type": {"kind": "text"}}}, "nullable": true},
  {"name": "numbers", "type": {"kind": "list", "items": {"type": {"kind": "int"}, "nullable": true}}, "default": []},
  {"name": "inner", "nullable": true, "type": {"kind": "model", "fields": [
    {"name": "text", "type": {"kind": "text"}, "nullable": true},
    {"name": "int", "type": {"kind": "int"}, "nullable": true},
    {"name": "float", "type": {"kind": "float"}, "nullable": true},
    {"name": "at", "type": {"kind": "datetime"}, "nullable": true}]}},
  {"name": "any", "type": {"kind": "any"}, "nullable": true},
  {"name": "deleted_at", "type": {"kind": "datetime"}, "nullable": true, "auto": "deleted"}]}]}"#;

const PATHS: [&str; 20] = [
    "id",
    "text",
    "int",
    "float",
    "decimal",
    "bool",
    "bytes",
    "uuid",
    "oid",
    "at",
    "day",
    "time",
    "tags",
    "numbers",
    "inner.text",
    "inner.int",
    "inner.float",
    "inner.at",
    "any",
    "deleted_at",
];
const VERBS: [Verb; 4] = [Verb::Find, Verb::FindOne, Verb::Count, Verb::Exists];

fn repositories() -> &'static [Repository] {
    static ALL: OnceLock<Vec<Repository>> = OnceLock::new();
    ALL.get_or_init(|| URLS.iter().map(|url| fresh(url)).collect())
}

fn fresh(url: &str) -> Repository {
    let database = Database::new(url, &Map::new(), Contract::parse(CONTRACT).unwrap()).unwrap();
    database.repository("things").unwrap()
}

/// Values of every type, with those at which something could change.
fn values() -> Vec<Value> {
    let moment = |micros| Value::DateTime(DateTime::from_micros(micros).unwrap());
    let decimal = |text| Value::Decimal(parse_decimal(text).unwrap());
    let mut all: Vec<Value> =
        [0, 1, -1, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1, 1_000_004].into_iter().map(Value::Int).collect();
    let floats = [0.0, -0.0, 1.0, 1.5, -2.5, 1e300, 5e-324, f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0];
    all.extend(floats.map(Value::Float));
    all.extend(["", "a", "ü", "a\0b", "10", "another 1", "'; --", "2024-01-31", "12:00:00"].map(Value::from));
    all.push("6ba7b810-9dad-11d1-80b4-00c04fd430c8".into());
    all.push("2024-01-31T12:00:00Z".into());
    all.extend(["0", "1.10", "1e-30", "12345678901234567890123456789012"].map(decimal));
    all.extend([Value::Null, Value::Bool(true), Value::Bool(false)]);
    all.extend([vec![], vec![0], vec![255, 0]].map(Value::Bytes));
    all.extend([Uuid::nil(), Uuid::from_u128(7)].map(Value::from));
    all.extend([[0; 12], [9; 12]].map(|bytes| Value::from(ObjectId(bytes))));
    for micros in [0, -1, 1_000_000_000_000_001, -62_135_596_800_000_000, 253_402_300_799_999_999] {
        all.push(moment(micros));
        let Value::DateTime(at) = moment(micros) else { continue };
        all.extend([Value::Date(at.date()), Value::Time(at.time())]);
    }
    all
}

/// A value that such a place may hold, or any other.
fn value(path: &'static str) -> BoxedStrategy<Value> {
    let kind = path.trim_start_matches("inner.");
    let kind = match kind {
        "id" | "numbers" => "int",
        "tags" => "text",
        "oid" => "object_id",
        "at" | "deleted_at" => "datetime",
        "day" => "date",
        kind => kind,
    };
    let fitting: Vec<Value> = values().into_iter().filter(|value| value.type_name() == kind).collect();
    if fitting.is_empty() {
        return select(values()).boxed();
    }
    prop_oneof![6 => select(fitting), 1 => select(values())].boxed()
}

fn condition(path: &'static str) -> BoxedStrategy<Value> {
    let list = |name: &'static str| {
        prop::collection::vec(value(path), 0..4).prop_map(move |values| Value::Map(document! { name => values }))
    };
    let order = prop_oneof![Just("$eq"), Just("$ne"), Just("$gt"), Just("$gte"), Just("$lt"), Just("$lte")];
    let compare = (order.clone(), value(path)).prop_map(|(name, value)| Value::Map(document! { name => value }));
    let range =
        (value(path), value(path)).prop_map(|(low, high)| Value::Map(document! { "$gte" => low, "$lt" => high }));
    let not = (order, value(path))
        .prop_map(|(name, value)| Value::Map(document! { "$not" => Value::Map(document! { name => value }) }));
    let other = select(vec![
        Value::Map(document! { "$exists" => true }),
        Value::Map(document! { "$exists" => false }),
        Value::Map(document! { "$regex" => "^a" }),
        Value::Map(document! { "$regex" => "b" }),
        Value::Map(document! { "$size" => 1 }),
        Value::Map(document! { "$size" => 2 }),
        Value::Map(document! { "$type" => "string" }),
        Value::Map(document! { "$mod" => vec![Value::Int(3), Value::Int(1)] }),
        Value::Map(Map::new()),
        Value::List(Vec::new()),
    ]);
    prop_oneof![4 => value(path), 5 => compare, 2 => range, 2 => list("$in"), 1 => list("$nin"), 1 => not, 1 => other]
        .boxed()
}

fn filter() -> BoxedStrategy<Map> {
    let leaf = prop::collection::vec(select(&PATHS[..]).prop_flat_map(|path| (Just(path), condition(path))), 0..3)
        .prop_map(|parts| parts.into_iter().map(|(path, test)| (path.to_owned(), test)).collect::<Map>());
    leaf.prop_recursive(2, 6, 3, |inner| {
        (select(vec!["$and", "$or", "$nor"]), prop::collection::vec(inner, 1..3))
            .prop_map(|(name, parts)| document! { name => parts.into_iter().map(Value::Map).collect::<Vec<_>>() })
    })
    .boxed()
}

fn arguments() -> impl Strategy<Value = Map> {
    let sort = prop_oneof![
        4 => Just(Value::Null),
        1 => Just(Value::from("-at")),
        1 => Just(Value::List(vec!["text".into(), "-id".into()])),
        1 => Just(Value::List(vec!["bytes".into()])),
        1 => Just(Value::Map(document! { "at" => -1 })),
    ];
    let number = |values: Vec<Value>| prop_oneof![1 => Just(Value::Null), 1 => select(values)];
    let numbers = || vec![Value::Int(0), Value::Int(1), Value::Int(50), Value::Int(i64::MAX), Value::Int(-1)];
    let fields = prop_oneof![3 => Just(Value::Null), 1 => Just(Value::List(vec!["id".into(), "any".into()]))];
    let deleted = prop_oneof![3 => Just(Value::Null), 1 => any::<bool>().prop_map(Value::Bool)];
    (filter(), sort, number(numbers()), number(numbers()), fields, deleted).prop_map(
        |(filter, sort, limit, skip, fields, deleted)| {
            let all = document! {
                "filter" => filter, "sort" => sort, "limit" => limit, "skip" => skip, "fields" => fields, "deleted" => deleted,
            };
            all.into_iter().filter(|(_, value)| !value.is_null()).collect()
        },
    )
}

/// The same question about other values of the same types, chosen by `steps`.
fn varied(value: &mut Value, steps: &mut impl Iterator<Item = usize>) {
    match value {
        Value::Map(map) => map.values_mut().for_each(|inner| varied(inner, steps)),
        Value::List(items) => items.iter_mut().for_each(|inner| varied(inner, steps)),
        scalar => {
            let others: Vec<Value> =
                values().into_iter().filter(|other| other.type_name() == scalar.type_name()).collect();
            *scalar = others[steps.next().unwrap_or_default() % others.len()].clone();
        }
    }
}

/// What is prepared, which must be what is compiled; whether it came from a plan.
fn check(repository: &Repository, verb: Verb, arguments: &Map) -> Result<bool, TestCaseError> {
    let take = || Arguments::new(arguments.clone(), verb.name(), false);
    let shown = crate::value::tagged::map_to_string(arguments);
    match (repository.prepared(verb, take()), repository.compiled(verb, take())) {
        (Ok(prepared), Ok(compiled)) => {
            let (one, other) = (&prepared.statement, &compiled.statement);
            prop_assert_eq!(&one.text, &other.text, "{}", shown);
            // As text, in which NaN equals itself and -0.0 is not 0.0.
            let (bound, expected) = (format!("{:?}", one.parameters), format!("{:?}", other.parameters));
            prop_assert_eq!(bound, expected, "{} {}", one.text, shown);
            prop_assert_eq!(&one.columns, &other.columns);
            prop_assert_eq!(format!("{:?}", one.kinds), format!("{:?}", other.kinds));
            prop_assert_eq!((one.is_exact(), one.unsorted), (other.is_exact(), other.unsorted));
            prop_assert!(prepared.query.is_some() || other.is_exact());
            Ok(prepared.query.is_none())
        }
        (Err(one), Err(other)) => {
            prop_assert_eq!((one.kind(), one.message()), (other.kind(), other.message()));
            Ok(false)
        }
        (one, other) => {
            prop_assert_eq!(one.is_ok(), other.is_ok(), "{}", shown);
            Ok(false)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_statement_from_a_plan_is_the_compiled_one(
        arguments in arguments(),
        verb in select(&VERBS[..]),
        steps in prop::collection::vec(any::<usize>(), 24),
    ) {
        let mut other = arguments.clone();
        let mut steps = steps.into_iter();
        for name in ["filter", "limit", "skip"] {
            if let Some(value) = other.get_mut(name) {
                varied(value, &mut steps);
            }
        }
        for repository in repositories() {
            for arguments in [&arguments, &other, &arguments] {
                check(repository, verb, arguments)?;
            }
        }
    }
}

fn came_from_a_plan(repository: &Repository, arguments: &Map) -> bool {
    check(repository, Verb::Find, arguments).unwrap()
}

#[test]
fn what_was_asked_before_is_not_compiled_again() {
    for url in &URLS[..3] {
        let repository = fresh(url);
        let ask = |text: &str, low: Value, ids: Value, limit: i64| {
            document! {
                "filter" => document! {
                    "text" => text, "float" => document! { "$gte" => low }, "bool" => true, "inner.text" => Value::Null,
                    "$or" => vec![Value::Map(document! { "id" => ids })],
                },
                "sort" => "-at", "limit" => limit, "skip" => 1,
            }
        };
        assert!(!came_from_a_plan(&repository, &ask("a", 1.into(), 5.into(), 10)), "{url}");
        assert!(came_from_a_plan(&repository, &ask("b", 2.into(), 6.into(), 20)), "{url}");
        assert!(!came_from_a_plan(&repository, &ask("b", Value::Float(1.5), 6.into(), 20)), "{url}: a float, no int");
        assert!(!came_from_a_plan(&repository, &ask("b\0", 2.into(), 6.into(), 20)), "{url}: refused text");
        assert!(!came_from_a_plan(&repository, &ask("b", i64::MAX.into(), 6.into(), 20)), "{url}: no float");
        assert!(!came_from_a_plan(&repository, &ask("b", 2.into(), Value::Null, 20)), "{url}: null");
    }
}

#[test]
fn lists_of_every_length_share_a_plan_where_the_statement_does() {
    let ids = |count: i64| {
        let ids: Vec<Value> = (0..count).map(Value::Int).collect();
        document! { "filter" => document! { "id" => document! { "$in" => ids } } }
    };
    for (url, shares) in URLS.iter().zip([true, true, false, false]) {
        let repository = fresh(url);
        came_from_a_plan(&repository, &ids(2));
        assert_eq!(came_from_a_plan(&repository, &ids(3)), shares, "{url}");
        assert!(!came_from_a_plan(&repository, &ids(0)), "{url}");
    }
}

#[test]
fn plans_are_bounded() {
    let repository = fresh(URLS[0]);
    for count in 0..MAX_PLANS + 10 {
        let parts = (0..count % 40).map(|_| Value::Map(document! { "id" => 1 })).collect::<Vec<_>>();
        let mut arguments = document! { "fields" => vec![Value::from(PATHS[count / 40])] };
        if !parts.is_empty() {
            arguments.insert("filter".to_owned(), Value::Map(document! { "$or" => parts }));
        }
        let _ = repository.prepared(Verb::Find, Arguments::new(arguments, "find", false));
    }
    let plans = repository.shared.plans.0.read().unwrap().len();
    assert!((1..=MAX_PLANS).contains(&plans), "{plans}");
    let long = (0..500).map(|_| Value::Map(document! { "id" => 1 })).collect::<Vec<_>>();
    let arguments = document! { "filter" => document! { "$or" => long } };
    assert!(Shape::of(Verb::Find, &arguments).is_none(), "a query that a program made has no plan");
}
