//! The shared cases of the query language (`tests/cases/*.json`), replayed in memory.
//!
//! The expectations are what mongod 6.0 answers (`tests/cases/README.md`); the hosts replay the same files through a
//! database.

use std::path::PathBuf;

use farm_db_core::query::{Filter, Sort, Update, matches};
use farm_db_core::schema::{Contract, Entity};
use farm_db_core::value::{DateTime, tagged};
use farm_db_core::{Error, Map, Value};

/// Calls `check` with every case of a file and lists the failures by name.
fn replay(file: &str, least: usize, check: impl Fn(&Map, &Entity) -> Result<(), String>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases").join(file);
    let content = tagged::read_map(&std::fs::read(path).unwrap()).unwrap();
    let contract = Contract::parse(&tagged::to_string(&content["contract"])).unwrap();
    let cases = content["cases"].as_list().unwrap();
    assert!(cases.len() >= least, "{file} has only {} cases", cases.len());
    let failures = cases.iter().filter_map(|case| {
        let case = case.as_map().unwrap();
        let entity = contract.entity(case["entity"].as_text().unwrap()).unwrap();
        check(case, entity).err().map(|failure| format!("{}: {failure}", case["name"].as_text().unwrap()))
    });
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// A document as it is after it was created: a value a column.
fn created(document: &Value, entity: &Entity) -> Map {
    let record = entity.record(document.as_map().unwrap().clone()).unwrap();
    let row = entity.check_insert(record, DateTime::from_micros(0).unwrap()).unwrap();
    entity.fields.iter().map(|field| field.name.clone()).zip(row).collect()
}

fn documents(case: &Map, entity: &Entity) -> Vec<Map> {
    case["documents"].as_list().unwrap().iter().map(|document| created(document, entity)).collect()
}

/// Compares a result, or the code of a failure, with the case's expectation.
fn expect(case: &Map, result: Result<Value, Error>) -> Result<(), String> {
    let got = match result {
        Ok(value) => tagged::to_string(&value),
        Err(error) => {
            let names_a_path = error.context().contains_key("path");
            assert!(names_a_path, "{error:?} names no path in {case:?}");
            format!("{{\"error\":\"{}\"}}", error.code())
        }
    };
    let wanted = tagged::to_string(&case["expect"]);
    if got == wanted { Ok(()) } else { Err(format!("expected {wanted}, got {got}")) }
}

#[test]
fn filters_answer_what_mongod_answers() {
    replay("filters.json", 120, |case, entity| {
        let documents = documents(case, entity);
        let filter = Filter::parse(case["filter"].as_map().unwrap(), entity);
        let ids = filter.map(|filter| {
            let found = documents.iter().filter(|document| matches(&filter, document));
            let mut ids: Vec<_> = found.map(|document| document["id"].as_int().unwrap()).collect();
            ids.sort_unstable();
            Value::List(ids.into_iter().map(Value::Int).collect())
        });
        expect(case, ids)
    });
}

#[test]
fn sorts_order_as_mongod_orders() {
    replay("sorts.json", 30, |case, entity| {
        let mut documents = documents(case, entity);
        let ids = Sort::parse(&case["sort"], entity).map(|sort| {
            documents.sort_by(|left, right| sort.compare(left, right));
            Value::List(documents.iter().map(|document| document["id"].clone()).collect())
        });
        expect(case, ids)
    });
}

/// `expect` holds the columns that are different afterwards.
#[test]
fn updates_do_what_mongod_does() {
    replay("updates.json", 250, |case, entity| {
        let before = created(&case["document"], entity);
        let mut after = before.clone();
        let filters = case.get("array_filters").and_then(Value::as_list).unwrap_or_default();
        let update = Update::parse_filtered(case["update"].as_map().unwrap(), filters, entity);
        let result = update.and_then(|update| update.apply(&mut after, entity, DateTime::from_micros(1).unwrap()));
        let text = |value: Option<&Value>| value.map(tagged::to_string);
        let different = after.iter().filter(|(name, value)| text(Some(value)) != text(before.get(*name)));
        let different: Map = different.map(|(name, value)| (name.clone(), value.clone())).collect();
        if result.clone().unwrap_or(false) == different.is_empty() {
            return Err(format!("the reply was {result:?}, changed were {different:?}"));
        }
        expect(case, result.map(|_| Value::Map(different)))
    });
}
