//! Laws that hold for every filter, update and document, checked with random ones.

use proptest::prelude::*;

use super::{Comparison, Filter, Sort, Test, Update, matches, values_at};
use crate::schema::{Contract, Entity, Path};
use crate::value::tagged::tests::any_value;
use crate::value::{DateTime, Map, Value};

/// An entity with a field of every kind.
fn entity() -> Entity {
    let field = |name: &str, kind: &str| format!(r#"{{"name":"{name}","nullable":true,"type":{kind}}}"#);
    let part = r#"{"kind":"model","fields":[{"name":"x","nullable":true,"type":{"kind":"int"}},{"name":"y","default":[],"type":{"kind":"list","items":{"type":{"kind":"text"}}}}]}"#;
    let fields = [
        r#"{"name":"id","primary_key":true,"type":{"kind":"int"}}"#.to_owned(),
        field("a", r#"{"kind":"any"}"#),
        field("b", r#"{"kind":"map","values":{"type":{"kind":"any"}}}"#),
        r#"{"name":"i","nullable":true,"ge":-5,"le":50,"type":{"kind":"int"}}"#.to_owned(),
        r#"{"name":"t","nullable":true,"max_length":3,"type":{"kind":"text"}}"#.to_owned(),
        field("d", r#"{"kind":"decimal"}"#),
        field("f", r#"{"kind":"float"}"#),
        r#"{"name":"l","default":[],"max_length":3,"type":{"kind":"list","items":{"ge":0,"type":{"kind":"int"}}}}"#
            .to_owned(),
        field("p", part),
        field("q", &format!(r#"{{"kind":"list","items":{{"type":{part}}}}}"#)),
    ];
    let json = format!(r#"{{"version":1,"entities":[{{"name":"e","fields":[{}]}}]}}"#, fields.join(","));
    Contract::parse(&json).unwrap().entity("e").unwrap().as_ref().clone()
}

/// Small values that are often equal to each other.
fn small_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2_i64..4).prop_map(Value::Int),
        prop_oneof![Just(1.0), Just(2.5), Just(-0.0)].prop_map(Value::Float),
        (-20_i64..30, 0_i64..2)
            .prop_map(|(digits, scale)| Value::Decimal(bigdecimal::BigDecimal::new(digits.into(), scale))),
        "[ab]{0,2}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::vec(("[xy0]", inner), 0..3).prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    "(a|b|i|t|d|f|l|p|q)(\\.(x|y|0|1)){0,2}"
}

/// Operators, right and wrong.
const OPERATORS: &[&str] = &[
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$and",
    "$or",
    "$nor",
    "$not",
    "$exists",
    "$all",
    "$elemMatch",
    "$size",
    "$regex",
    "$options",
    "$type",
    "$mod",
    "$set",
    "$unset",
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$currentDate",
    "$rename",
    "$push",
    "$each",
    "$slice",
    "$sort",
    "$position",
    "$addToSet",
    "$pull",
    "$pullAll",
    "$pop",
    "$where",
    "$",
    "",
    ".",
    "$[]",
    "id",
    "x",
];

/// Documents whose keys are operators or paths: mostly wrong, sometimes right.
fn wild_document() -> impl Strategy<Value = Map> {
    let key = prop_oneof![prop::sample::select(OPERATORS).prop_map(str::to_owned), path()];
    let leaf = prop_oneof![small_value(), any_value(), path().prop_map(Value::Text)];
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        let key = key.clone();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((key, inner), 0..4).prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    });
    let key = prop_oneof![prop::sample::select(OPERATORS).prop_map(str::to_owned), path()];
    prop::collection::vec((key, value), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

/// Operators on one path that are right in form.
fn tests() -> impl Strategy<Value = Value> {
    let one = |name: &'static str, value: Value| Value::Map(Map::from_iter([(name.to_owned(), value)]));
    let compare = prop::sample::select(vec!["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]);
    let list = || prop::collection::vec(small_value(), 0..3).prop_map(Value::List);
    let leaf = prop_oneof![
        (compare, small_value()).prop_map(move |(name, value)| one(name, value)),
        list().prop_map(move |value| one("$in", value)),
        list().prop_map(move |value| one("$nin", value)),
        list().prop_map(move |value| one("$all", value)),
        any::<bool>().prop_map(move |value| one("$exists", Value::Bool(value))),
        (0_i64..3).prop_map(move |value| one("$size", Value::Int(value))),
        prop::sample::select(vec!["null", "number", "array", "object", "string"])
            .prop_map(move |value| one("$type", value.into())),
        "\\^?[ab.]{0,2}\\$?".prop_map(move |value| one("$regex", value.into())),
        (1_i64..3, 0_i64..2).prop_map(move |(by, rest)| one("$mod", Value::List(vec![by.into(), rest.into()]))),
    ];
    leaf.prop_recursive(2, 4, 1, move |inner| {
        prop_oneof![
            inner.clone().prop_map(move |value| one("$not", value)),
            inner.prop_map(move |value| one("$elemMatch", value)),
        ]
    })
}

/// Filters of the free fields, which fit every operand.
fn filter_document() -> impl Strategy<Value = Map> {
    let leaf = ("(a|b)(\\.(x|y|0|1)){1,2}", tests()).prop_map(|(path, value)| Map::from_iter([(path, value)]));
    leaf.prop_recursive(2, 6, 3, |inner| {
        let name = prop::sample::select(vec!["$and", "$or", "$nor"]);
        (name, prop::collection::vec(inner, 1..3)).prop_map(|(name, parts)| {
            Map::from_iter([(name.to_owned(), Value::List(parts.into_iter().map(Value::Map).collect()))])
        })
    })
}

fn free_document() -> impl Strategy<Value = Map> {
    let map = prop::collection::vec(("[xy01]", small_value()), 0..3);
    (small_value(), map)
        .prop_map(|(a, b)| Map::from_iter([("a".to_owned(), a), ("b".to_owned(), Value::Map(b.into_iter().collect()))]))
}

fn with(name: &str, parts: Vec<Map>) -> Map {
    Map::from_iter([(name.to_owned(), Value::List(parts.into_iter().map(Value::Map).collect()))])
}

fn answer(document: &Map, filter: &Map, entity: &Entity) -> bool {
    matches(&Filter::parse(filter, entity).unwrap(), document)
}

/// A row that fits the entity, from whatever values fit.
fn row(entity: &Entity, values: &Map) -> Map {
    let fields = entity.fields.iter().map(|field| {
        let given = values.get(&field.name).and_then(|value| entity.check_field(field, value.clone()).ok());
        let value = given.or_else(|| field.default.clone()).unwrap_or(if field.primary_key {
            Value::Int(1)
        } else {
            Value::Null
        });
        (field.name.clone(), value)
    });
    fields.collect()
}

fn row_values() -> impl Strategy<Value = Map> {
    prop::collection::vec((path(), small_value()), 0..12).prop_map(|pairs| {
        pairs.into_iter().map(|(path, value)| (path.split('.').next().unwrap_or_default().to_owned(), value)).collect()
    })
}

/// Updates that are right in form, with operands that may not fit.
fn update_document() -> impl Strategy<Value = Map> {
    let names = vec![
        "$set",
        "$unset",
        "$inc",
        "$mul",
        "$min",
        "$max",
        "$push",
        "$addToSet",
        "$pull",
        "$pullAll",
        "$pop",
        "$rename",
    ];
    let operand = prop_oneof![
        small_value(),
        tests(),
        path().prop_map(Value::Text),
        prop::collection::vec(small_value(), 0..3)
            .prop_map(|list| Value::Map(Map::from_iter([("$each".to_owned(), Value::List(list))]))),
    ];
    let one = (prop::sample::select(names), path(), operand);
    prop::collection::vec(one, 1..3).prop_map(|parts| {
        let mut update = Map::new();
        for (name, path, operand) in parts {
            let fields = update.entry(name.to_owned()).or_insert_with(|| Value::Map(Map::new()));
            if let Value::Map(fields) = fields {
                fields.insert(path, operand);
            }
        }
        update
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parsing_and_matching_never_panic(wild in wild_document(), document in free_document()) {
        let entity = entity();
        if let Ok(filter) = Filter::parse(&wild, &entity) {
            let _ = matches(&filter, &document);
        }
        if let Ok(update) = Update::parse(&wild, &entity) {
            let _ = update.apply(&mut document.clone(), &entity, DateTime::now());
        }
        let _ = Sort::parse(&Value::Map(wild), &entity).map(|sort| sort.compare(&document, &document));
    }

    #[test]
    fn regular_expressions_never_panic(source in "[ab^$.|()\\[\\]\\\\*+?{},0-9dswbBzZA:=!<>#Pi-]{0,16}", options in "[imsx]{0,2}", text in "[ab \n]{0,6}") {
        if let Ok(regex) = super::pattern::compile(&source, &options) {
            let _ = regex.is_match(&text);
            prop_assert!(regex::Regex::new(regex.as_str()).is_ok(), "the text of an expression needs no flags");
        }
    }

    #[test]
    fn the_negation_is_the_complement(filter in filter_document(), document in free_document()) {
        let entity = entity();
        let held = answer(&document, &filter, &entity);
        prop_assert_eq!(answer(&document, &with("$nor", vec![filter]), &entity), !held);
    }

    #[test]
    fn the_negation_of_a_test_is_the_complement(path in "(a|b)(\\.(x|y|0|1)){1,2}", test in tests(), document in free_document()) {
        let entity = entity();
        let negated = Value::Map(Map::from_iter([("$not".to_owned(), test.clone())]));
        let held = answer(&document, &Map::from_iter([(path.clone(), test)]), &entity);
        prop_assert_eq!(answer(&document, &Map::from_iter([(path, negated)]), &entity), !held);
    }

    #[test]
    fn de_morgan_holds(left in filter_document(), right in filter_document(), document in free_document()) {
        let entity = entity();
        let neither = answer(&document, &with("$nor", vec![left.clone(), right.clone()]), &entity);
        let nots = vec![with("$nor", vec![left]), with("$nor", vec![right])];
        prop_assert_eq!(neither, answer(&document, &with("$and", nots), &entity));
    }

    #[test]
    fn in_of_one_value_is_equality(path in "(a|b)(\\.(x|y|0|1)){1,2}", value in small_value(), document in free_document()) {
        let path = Path::resolve(&entity(), &path).unwrap();
        let one = Filter::At(path.clone(), Test::In(vec![value.clone()]));
        let equal = Filter::At(path, Test::Compare(Comparison::Eq, value));
        prop_assert_eq!(matches(&one, &document), matches(&equal, &document));
    }

    #[test]
    fn an_order_is_antisymmetric_and_transitive(
        path in "(a|b)(\\.(x|y|0|1)){0,2}", descending in any::<bool>(), documents in prop::collection::vec(free_document(), 3)
    ) {
        let text = if descending { format!("-{path}") } else { path };
        let sort = Sort::parse(&Value::Text(text), &entity()).unwrap();
        let order = |left: usize, right: usize| sort.compare(&documents[left], &documents[right]);
        prop_assert_eq!(order(0, 1), order(1, 0).reverse());
        if order(0, 1).is_le() && order(1, 2).is_le() {
            prop_assert!(order(0, 2).is_le());
        }
    }

    // Not for positions: `distinct` enters a list at a position, a filter does not.
    #[test]
    fn a_distinct_value_is_found_by_equality(path in "(a|b)(\\.(x|y)){0,2}", document in free_document()) {
        let path = Path::resolve(&entity(), &path).unwrap();
        for value in values_at(&document, &path) {
            let filter = Filter::At(path.clone(), Test::Compare(Comparison::Eq, value.clone()));
            prop_assert!(matches(&filter, &document), "{:?}", value);
        }
    }

    #[test]
    fn an_update_stores_only_what_fits(update in update_document(), values in row_values()) {
        let entity = entity();
        let before = row(&entity, &values);
        let Ok(update) = Update::parse(&update, &entity) else { return Ok(()) };
        let mut after = before.clone();
        match update.apply(&mut after, &entity, DateTime::now()) {
            Err(error) => {
                prop_assert_eq!(format!("{after:?}"), format!("{before:?}"));
                prop_assert!(error.context().contains_key("path"), "{:?} names no path", error);
            }
            Ok(_) => {
                for field in &entity.fields {
                    let again = entity.check_field(field, after[&field.name].clone());
                    prop_assert!(again.is_ok(), "{:?}", again);
                }
            }
        }
    }
}
