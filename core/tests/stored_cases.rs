//! The shared cases of pages and stored values (`tests/cases/*.json`), replayed through a real SQLite file.

use std::path::PathBuf;

use farm_db_core::value::tagged;
use farm_db_core::{Contract, ContractMode, Database, Error, Map, Reply, Result, Value, Verb, document};

/// A file of cases, and a database with its contract.
struct Fixture {
    _folder: tempfile::TempDir,
    database: Database,
    contract: Contract,
    cases: Vec<Map>,
}

async fn open(file: &str, least: usize) -> Fixture {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases").join(file);
    let content = tagged::read_map(&std::fs::read(path).unwrap()).unwrap();
    let contract = Contract::parse(&tagged::to_string(&content["contract"])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:///{}/cases.db", folder.path().display());
    let database = Database::new(&url, &Map::new(), contract.clone()).unwrap();
    database.connect(ContractMode::Check, true).await.unwrap();
    let cases: Vec<_> = content["cases"].as_list().unwrap().iter().map(|case| case.as_map().unwrap().clone()).collect();
    assert!(cases.len() >= least, "{file} has only {} cases", cases.len());
    Fixture { _folder: folder, database, contract, cases }
}

impl Fixture {
    async fn call(&self, case: &Map, verb: Verb, arguments: Map) -> Result<Reply> {
        self.database.repository(case["entity"].as_text().unwrap()).unwrap().call(verb, arguments, None).await
    }

    /// What one case was to give and gave, where the two differ.
    async fn check(&self, case: &Map, got: Result<Value>, wanted: Value) -> Option<String> {
        self.call(case, Verb::DeleteMany, document! { "all" => true }).await.unwrap();
        let got = tagged::to_string(&got.unwrap_or_else(|error| Value::Map(document! { "error" => error.code() })));
        let wanted = tagged::to_string(&wanted);
        let name = case["name"].as_text().unwrap();
        (got != wanted).then(|| format!("{name}: expected {wanted}, got {got}"))
    }

    /// The ids of page after page; those of a composite key are lists.
    async fn pages(&self, case: &Map) -> Result<Value> {
        let entity = self.contract.entity(case["entity"].as_text().unwrap()).unwrap();
        let key: Vec<_> = entity.fields.iter().filter(|field| field.primary_key).map(|field| &field.name).collect();
        let mut query = case.clone();
        query.retain(|name, _| ["filter", "sort", "limit", "after"].contains(&name.as_str()));
        let mut pages = Vec::new();
        loop {
            let Reply::Page { rows, next } = self.call(case, Verb::Page, query.clone()).await? else {
                panic!("a page")
            };
            let ids = (0..rows.len()).map(|row| {
                let row = rows.document(row).unwrap();
                match key.as_slice() {
                    [name] => row[*name].clone(),
                    names => Value::List(names.iter().map(|name| row[*name].clone()).collect()),
                }
            });
            pages.push(Value::List(ids.collect()));
            let Some(next) = next else { return Ok(Value::List(pages)) };
            query.insert("after".to_owned(), next.into());
        }
    }

    /// The row that `create` returns, which `get` must return too.
    async fn stored(&self, case: &Map) -> Result<Value> {
        let created = row(self.call(case, Verb::Create, document! { "record" => case["document"].clone() }).await?);
        let id = case["document"].as_map().unwrap()["id"].clone();
        let got = row(self.call(case, Verb::Get, document! { "id" => id }).await?);
        assert_eq!(tagged::map_to_string(&created), tagged::map_to_string(&got), "{}", tagged::map_to_string(case));
        Ok(Value::Map(got))
    }
}

fn row(reply: Reply) -> Map {
    match reply {
        Reply::Row(Some(rows)) => rows.document(0).unwrap(),
        _ => panic!("expected a row"),
    }
}

fn is_error(expected: &Value) -> bool {
    expected.as_map().is_some_and(|map| map.len() == 1 && map.contains_key("error"))
}

#[tokio::test]
async fn pages_follow_each_other_as_the_cases_say() {
    let app = open("pages.json", 40).await;
    let mut failures = Vec::new();
    for case in &app.cases {
        app.call(case, Verb::CreateMany, document! { "records" => case["documents"].clone() }).await.unwrap();
        let pages = app.pages(case).await;
        failures.extend(app.check(case, pages, case["expect"].clone()).await);
    }
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), app.cases.len(), failures.join("\n"));
}

/// `expect` holds the columns that are stored differently from how they were given.
#[tokio::test]
async fn values_are_stored_as_the_cases_say() {
    let app = open("values.json", 120).await;
    let mut failures = Vec::new();
    for case in &app.cases {
        let names_a_path = |error: &Error| assert!(error.context().contains_key("path"), "{error:?} names no path");
        let stored = app.stored(case).await.inspect_err(names_a_path);
        let mut wanted = case["expect"].clone();
        if !is_error(&wanted) {
            let mut columns = case["document"].as_map().unwrap().clone();
            columns.extend(wanted.as_map().unwrap().clone());
            let entity = app.contract.entity(case["entity"].as_text().unwrap()).unwrap();
            let ordered = entity.fields.iter().map(|field| (field.name.clone(), columns[&field.name].clone()));
            wanted = Value::Map(ordered.collect());
        }
        failures.extend(app.check(case, stored, wanted).await);
    }
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), app.cases.len(), failures.join("\n"));
}
