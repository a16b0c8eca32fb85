//! The shared cases of pages, stored values and searches (`tests/cases/*.json`), replayed through every database.

mod backends;

use std::path::PathBuf;

use backends::Fresh;
use farm_db_core::value::{DateTime, MAX_DIGITS, tagged};
use farm_db_core::{Contract, Error, Map, Reply, Result, Value, Verb, document};

/// A file of cases, and a database with its contract.
struct Fixture {
    fresh: Fresh,
    contract: Contract,
    cases: Vec<Map>,
}

async fn open(backend: &'static str, file: &str, least: usize) -> Fixture {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases").join(file);
    let content = tagged::read_map(&std::fs::read(path).unwrap()).unwrap();
    let contract = Contract::parse(&tagged::to_string(&content["contract"])).unwrap();
    let fresh = Fresh::open(backend, contract.clone()).await;
    let facts = fresh.database.capabilities();
    let cases = content["cases"].as_list().unwrap().iter().map(|case| case.as_map().unwrap().clone());
    let cases: Vec<_> = cases.filter(|case| says_something(&facts, case)).collect();
    assert!(cases.len() >= least, "{file} has only {} cases", cases.len());
    Fixture { fresh, contract, cases }
}

/// Whether the backend declares what the case needs.
fn says_something(facts: &Map, case: &Map) -> bool {
    let needs = case.get("needs").and_then(Value::as_map).cloned().unwrap_or_default();
    needs.iter().all(|(fact, wanted)| facts[fact] == *wanted)
}

/// A value as a backend with these capabilities gives it back; `None` where it declares to refuse it.
fn held(facts: &Map, value: &Value, inside: bool) -> Option<Value> {
    Some(match value {
        Value::Decimal(number) if !inside && facts["decimal_scale"] == Value::Bool(false) => {
            let plain = number.normalized();
            let plain = if plain.fractional_digit_count() < 0 { plain.with_scale(0) } else { plain };
            let most = facts["decimal_places"].as_int().unwrap();
            let fits = plain.fractional_digit_count() <= most && plain.digits() <= MAX_DIGITS;
            return fits.then_some(Value::Decimal(plain));
        }
        Value::Float(number) if !inside && number.is_infinite() && facts["infinite_floats"] == Value::Bool(false) => {
            return None;
        }
        Value::Decimal(number) if !inside && facts["positive_exponents"] == Value::Bool(false) => {
            let plain = if number.fractional_digit_count() < 0 { number.with_scale(0) } else { number.clone() };
            return (plain.digits() <= MAX_DIGITS).then_some(Value::Decimal(plain));
        }
        Value::DateTime(moment) => {
            let step = facts["moment_precision"].as_int().unwrap();
            let micros = moment.micros();
            Value::DateTime(DateTime::from_micros(micros - micros.rem_euclid(step)).unwrap())
        }
        Value::Date(_) | Value::Time(_) if inside && facts["free_days"] == Value::Bool(false) => return None,
        Value::List(list) => Value::List(list.iter().map(|item| held(facts, item, true)).collect::<Option<_>>()?),
        Value::Map(map) => {
            let entry = |(name, value): (&String, &Value)| Some((name.clone(), held(facts, value, true)?));
            Value::Map(map.iter().map(entry).collect::<Option<Map>>()?)
        }
        value => value.clone(),
    })
}

impl Fixture {
    async fn call(&self, case: &Map, verb: Verb, arguments: Map) -> Result<Reply> {
        self.fresh.database.repository(case["entity"].as_text().unwrap()).unwrap().call(verb, arguments, None).await
    }

    /// What one case was to give and gave, where the two differ.
    async fn check(&self, case: &Map, got: Result<Value>, wanted: Value) -> Option<String> {
        self.call(case, Verb::DeleteMany, document! { "all" => true, "hard" => true }).await.unwrap();
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

    /// The ids that a search finds after the writes, ascending unless there is a sort.
    async fn found(&self, case: &Map) -> Result<Value> {
        for write in case.get("writes").and_then(Value::as_list).unwrap_or_default() {
            let [verb, arguments] = write.as_list().unwrap() else { panic!("a verb and its arguments") };
            let verb = Verb::parse(verb.as_text().unwrap()).unwrap();
            self.call(case, verb, arguments.as_map().unwrap().clone()).await.unwrap();
        }
        let mut query = case.clone();
        query.retain(|name, _| ["search", "filter", "sort", "limit", "skip"].contains(&name.as_str()));
        let Reply::Rows(rows) = self.call(case, Verb::Find, query).await? else { panic!("rows") };
        let mut ids: Vec<_> = (0..rows.len()).map(|row| rows.document(row).unwrap()["id"].as_int().unwrap()).collect();
        if !case.contains_key("sort") {
            ids.sort_unstable();
        }
        Ok(Value::List(ids.into_iter().map(Value::Int).collect()))
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

async fn pages_follow_each_other_as_the_cases_say(backend: &'static str) {
    let app = open(backend, "pages.json", 40).await;
    let mut failures = Vec::new();
    for case in &app.cases {
        app.call(case, Verb::CreateMany, document! { "records" => case["documents"].clone() }).await.unwrap();
        let pages = app.pages(case).await;
        failures.extend(app.check(case, pages, case["expect"].clone()).await);
    }
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), app.cases.len(), failures.join("\n"));
    app.fresh.end().await;
}

/// `expect` holds the columns that are stored differently from how they were given.
async fn values_are_stored_as_the_cases_say(backend: &'static str) {
    let app = open(backend, "values.json", 120).await;
    let facts = app.fresh.database.capabilities();
    let mut failures = Vec::new();
    for case in &app.cases {
        let names_a_path = |error: &Error| assert!(error.context().contains_key("path"), "{error:?} names no path");
        let stored = app.stored(case).await.inspect_err(names_a_path);
        let mut wanted = case["expect"].clone();
        if !is_error(&wanted) {
            let mut columns = case["document"].as_map().unwrap().clone();
            columns.extend(wanted.as_map().unwrap().clone());
            let entity = app.contract.entity(case["entity"].as_text().unwrap()).unwrap();
            let ordered = entity.fields.iter().map(|field| {
                let given = &columns[&field.name];
                Some((field.name.clone(), held(&facts, given, !field.kind.is_scalar())?))
            });
            wanted = match ordered.collect::<Option<Map>>() {
                Some(ordered) => Value::Map(ordered),
                None => Value::Map(document! { "error" => "invalid_value" }),
            };
        }
        failures.extend(app.check(case, stored, wanted).await);
    }
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), app.cases.len(), failures.join("\n"));
    app.fresh.end().await;
}

async fn searches_find_what_the_cases_say(backend: &'static str) {
    let app = open(backend, "search.json", 110).await;
    let mut failures = Vec::new();
    for case in &app.cases {
        app.call(case, Verb::CreateMany, document! { "records" => case["documents"].clone() }).await.unwrap();
        let found = app.found(case).await;
        failures.extend(app.check(case, found, case["expect"].clone()).await);
    }
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), app.cases.len(), failures.join("\n"));
    app.fresh.end().await;
}

on_every_backend!(
    pages_follow_each_other_as_the_cases_say,
    values_are_stored_as_the_cases_say,
    searches_find_what_the_cases_say,
);
