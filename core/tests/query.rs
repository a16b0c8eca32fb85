//! The query language where data cases do not reach: messages, limits and the clock.

use farm_db_core::document;
use farm_db_core::query::{Filter, Sort, Update, matches, values_at};
use farm_db_core::schema::{Contract, Entity, Path};
use farm_db_core::value::{DateTime, tagged};
use farm_db_core::{Kind, Map, Value};

fn entity() -> Entity {
    let json = r#"{"version":1,"entities":[{"name":"things","fields":[
        {"name":"id","type":{"kind":"int"},"primary_key":true},
        {"name":"age","type":{"kind":"int"},"nullable":true},
        {"name":"seen","type":{"kind":"datetime"},"nullable":true},
        {"name":"extra","type":{"kind":"any"},"nullable":true},
        {"name":"items","type":{"kind":"list","items":{"type":{"kind":"model","fields":[
            {"name":"price","type":{"kind":"decimal"},"nullable":true}]}}},"default":[]}]}]}"#;
    Contract::parse(json).unwrap().entity("things").unwrap().as_ref().clone()
}

fn map(json: &str) -> Map {
    tagged::read_map(json.as_bytes()).unwrap()
}

#[test]
fn an_error_names_the_path_the_expected_type_and_the_type_it_got() {
    let error =
        Filter::parse(&map(r#"{"$or":[{"items":{"$elemMatch":{"price":{"$gt":true}}}}]}"#), &entity()).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidValue);
    assert_eq!(error.context()["path"], "items.price".into());
    assert_eq!(error.context()["expected"], "decimal".into());
    assert_eq!(error.context()["got"], "bool".into());
    assert_eq!(error.context()["entity"], "things".into());
}

#[test]
fn a_misspelt_operator_is_told_the_right_one() {
    for (filter, wrong, right) in [(r#"{"age":{"$gte ":1}}"#, "$gte ", "$gte"), (r#"{"$nor2":[]}"#, "$nor2", "$nor")] {
        let error = Filter::parse(&map(filter), &entity()).unwrap_err();
        assert_eq!(error.kind(), Kind::UnknownOperator);
        assert_eq!(error.context()["operator"], wrong.into());
        assert_eq!(error.context()["did_you_mean"], right.into());
        assert!(error.message().contains("did you mean"), "{error}");
    }
    let error = Update::parse(&map(r#"{"$increment":{"age":1},"$sett":{"age":1}}"#), &entity()).unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownOperator);
    assert_eq!(error.context()["operator"], "$increment".into());
}

#[test]
fn a_filter_that_is_nested_too_deep_is_refused() {
    for operator in ["$and", "$nor"] {
        let mut filter = map(r#"{"age":1}"#);
        for _ in 0..150 {
            filter = Map::from_iter([(operator.to_owned(), Value::List(vec![Value::Map(filter)]))]);
        }
        assert_eq!(Filter::parse(&filter, &entity()).unwrap_err().kind(), Kind::InvalidQuery, "{operator}");
    }
    let mut test = map(r#"{"$gt":1}"#);
    for _ in 0..150 {
        test = Map::from_iter([("$not".to_owned(), Value::Map(test))]);
    }
    let error = Filter::parse(&document! { "age" => test }, &entity()).unwrap_err();
    assert_eq!((error.kind(), &error.context()["path"]), (Kind::InvalidQuery, &"age".into()));
}

#[test]
fn a_regular_expression_that_would_grow_too_large_is_refused() {
    for pattern in ["(a{1000}){1000}", "(((((x{200}){200}){200}){200}){200})"] {
        let filter = document! { "extra" => document! { "$regex" => pattern } };
        assert_eq!(Filter::parse(&filter, &entity()).unwrap_err().kind(), Kind::InvalidQuery, "{pattern}");
    }
    let deep = format!("{}a{}", "(".repeat(500), ")".repeat(500));
    let filter = document! { "extra" => document! { "$regex" => deep } };
    assert_eq!(Filter::parse(&filter, &entity()).unwrap_err().kind(), Kind::InvalidQuery);
}

#[test]
fn a_regular_expression_that_would_search_for_long_is_refused() {
    let parsed = |pattern: String| {
        let filter = document! { "extra" => document! { "$regex" => pattern } };
        Filter::parse(&filter, &entity()).map_err(|error| error.kind())
    };
    let long = "a".repeat(1900);
    for pattern in [
        "(?:a%?){3000}b".to_owned(),
        "(?:a?){2000}b".to_owned(),
        "[ab]".repeat(1500),
        "a?".repeat(1500),
        format!("{}b", "a".repeat(5000)),
        format!("{}b", "(a)".repeat(5000)),
        format!("{long}[bc]|{long}a[bd]|{long}aa[be]"),
        vec![long[..190].to_owned(); 160].join("|"),
    ] {
        assert_eq!(parsed(pattern.clone()).unwrap_err(), Kind::InvalidQuery, "{pattern}");
    }
    let words: Vec<_> = (0..1000).map(|number| format!("word{number}")).collect();
    for pattern in [".{0,1000}".to_owned(), "[^,]{1000}".to_owned(), long, words.join("|")] {
        assert!(parsed(pattern.clone()).is_ok(), "{pattern}");
    }
}

#[test]
fn a_path_with_a_nul_is_refused() {
    for filter in [r#"{"extra.a\u0000b":1}"#, r#"{"extra":{"$elemMatch":{"a\u0000":1}}}"#] {
        assert_eq!(Filter::parse(&map(filter), &entity()).unwrap_err().kind(), Kind::InvalidQuery, "{filter}");
    }
    let update = map(r#"{"$set":{"extra.\u0000":1}}"#);
    assert_eq!(Update::parse(&update, &entity()).unwrap_err().kind(), Kind::InvalidQuery);
    assert!(Sort::parse(&"extra.a\0".into(), &entity()).is_err());
}

#[test]
fn a_sort_has_as_many_parts_as_in_mongod() {
    let sort = |parts: usize| Value::List((0..parts).map(|part| format!("extra.k{part}").into()).collect());
    assert!(Sort::parse(&sort(32), &entity()).is_ok());
    assert_eq!(Sort::parse(&sort(33), &entity()).unwrap_err().kind(), Kind::InvalidQuery);
}

#[test]
fn a_name_of_any_length_is_refused_at_once_and_repeated_in_part() {
    let long = "x".repeat(2_000_000);
    let began = std::time::Instant::now();
    let error = Filter::parse(&document! { long => 1_i64 }, &entity()).unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownField);
    assert!(error.to_string().len() < 20_000);
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn current_date_sets_the_moment_of_the_call() {
    let now = DateTime::from_micros(1_700_000_000_123_456).unwrap();
    for update in [r#"{"$currentDate":{"seen":true}}"#, r#"{"$currentDate":{"seen":{"$type":"date"}}}"#] {
        let update = Update::parse(&map(update), &entity()).unwrap();
        let mut row = map(r#"{"id":1,"age":null,"seen":null,"extra":null,"items":[]}"#);
        assert!(update.apply(&mut row, &entity(), now).unwrap());
        assert_eq!(row["seen"], Value::DateTime(now));
    }
}

#[test]
fn a_failed_update_leaves_the_document_as_it_was() {
    let update = map(r#"{"$set":{"age":5,"items.0.price":{"$numberDecimal":"1"}},"$inc":{"extra":1}}"#);
    let update = Update::parse(&update, &entity()).unwrap();
    let before = map(r#"{"id":1,"age":1,"seen":null,"extra":"text","items":[{"price":null}]}"#);
    let mut after = before.clone();
    let error = update.apply(&mut after, &entity(), DateTime::from_micros(0).unwrap()).unwrap_err();
    assert_eq!((error.kind(), &error.context()["path"]), (Kind::InvalidValue, &"extra".into()));
    assert_eq!(tagged::map_to_string(&after), tagged::map_to_string(&before));
}

#[test]
fn errors_of_elements_name_their_position() {
    let update = map(r#"{"$set":{"items.$[i].price":null},"$inc":{"extra.$[].n":1}}"#);
    let filters = [Value::Map(map(r#"{"i.price":{"$gt":{"$numberDecimal":"1"}}}"#))];
    let update = Update::parse_filtered(&update, &filters, &entity()).unwrap();
    let mut row = map(r#"{"id":1,"age":1,"seen":null,"extra":[{"n":1},{"n":"text"}],"items":[]}"#);
    let error = update.apply(&mut row, &entity(), DateTime::from_micros(0).unwrap()).unwrap_err();
    assert_eq!((error.kind(), &error.context()["path"]), (Kind::InvalidValue, &"extra.1.n".into()));
}

#[test]
fn long_paths_and_array_filters_without_end_are_refused() {
    let update = document! { "$set" => document! { format!("extra{}", ".$[]".repeat(100_000)).as_str() => 1 } };
    assert_eq!(Update::parse(&update, &entity()).unwrap_err().kind(), Kind::InvalidQuery);
    for legs in [100_usize, 101, 100_000] {
        let filter = document! { format!("extra{}", ".a".repeat(legs)).as_str() => 1 };
        assert_eq!(Filter::parse(&filter, &entity()).is_ok(), legs == 100, "{legs}");
    }
    let deep = (0..100).fold(map(r#"{"e":1}"#), |inner, _| document! { "$or" => vec![Value::Map(inner)] });
    let deeper = document! { "$or" => vec![Value::Map(deep.clone())] };
    let update = map(r#"{"$set":{"extra.$[e]":1}}"#);
    assert!(Update::parse_filtered(&update, &[Value::Map(deep)], &entity()).is_ok());
    let error = Update::parse_filtered(&update, &[Value::Map(deeper)], &entity()).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidQuery);
}

#[test]
fn an_update_knows_the_columns_it_changes() {
    let update = map(r#"{"$set":{"extra.b":5},"$rename":{"extra.a":"extra.c"},"$unset":{"age":1}}"#);
    assert_eq!(Update::parse(&update, &entity()).unwrap().columns(), [1, 3]);
}

#[test]
fn values_at_a_path_are_those_that_distinct_counts() {
    let values = |json: &str, path: &str| {
        let path = Path::resolve(&entity(), path).unwrap();
        let document = map(json);
        let values = values_at(&document, &path);
        tagged::to_string(&Value::List(values.into_iter().cloned().collect()))
    };
    assert_eq!(values(r#"{"extra":[1,[2,3],null]}"#, "extra"), "[1,[2,3],null]");
    assert_eq!(values(r#"{"extra":[{"a":[1,2]},{"a":3},{"b":4},5]}"#, "extra.a"), "[1,2,3]");
    assert_eq!(values(r#"{"extra":[{"a":1},{"a":2}]}"#, "extra.1.a"), "[2]");
    assert_eq!(values(r#"{"extra":null}"#, "extra.a"), "[]");
    assert_eq!(values(r#"{"extra":null}"#, "extra"), "[null]");
    assert_eq!(values("{}", "extra"), "[]");
}

#[test]
fn a_sort_with_the_key_leaves_nothing_to_chance() {
    let sort = Sort::parse(&"-age".into(), &entity()).unwrap().with_key(&entity());
    assert_eq!(sort.to_text(), "-age,-id");
    let (one, other) = (map(r#"{"id":1,"age":3}"#), map(r#"{"id":2,"age":3}"#));
    assert!(sort.compare(&other, &one).is_lt());
    let key = |document| sort.key(document);
    assert!(sort.compare_keys(&key(&one), &key(&other)).is_gt());
}

#[test]
fn a_filter_of_nothing_is_all_and_joins_away() {
    let all = Filter::parse(&Map::new(), &entity()).unwrap();
    assert!(all.is_all());
    let some = Filter::parse(&map(r#"{"age":1}"#), &entity()).unwrap();
    assert!(matches(&all.and(some), &map(r#"{"age":1}"#)));
}
