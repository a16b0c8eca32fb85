//! Repositories on real SQLite files.

use farm_db_core::{
    Contract, ContractMode, Database, Kind, Map, Reply, Result, Transaction, TransactionOptions, Value, Verb, document,
};

const CONTRACT: &str = r#"{"version": 1, "entities": [
  {"name": "resources", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true},
    {"name": "name", "type": {"kind": "text"}, "max_length": 20},
    {"name": "rating", "type": {"kind": "float"}, "nullable": true},
    {"name": "count", "type": {"kind": "int"}, "default": 0},
    {"name": "price", "type": {"kind": "decimal"}, "nullable": true},
    {"name": "tags", "type": {"kind": "list", "items": {"type": {"kind": "text"}}}, "default": []},
    {"name": "profile", "nullable": true, "type": {"kind": "model", "fields": [
      {"name": "city", "type": {"kind": "text"}, "nullable": true},
      {"name": "since", "type": {"kind": "datetime"}, "nullable": true}]}},
    {"name": "meta", "type": {"kind": "map", "values": {"type": {"kind": "any"}, "nullable": true}}, "default": {}},
    {"name": "created_at", "type": {"kind": "datetime"}, "auto": "created"},
    {"name": "updated_at", "type": {"kind": "datetime"}, "auto": "updated"},
    {"name": "version", "type": {"kind": "int"}, "auto": "version", "default": 1},
    {"name": "deleted_at", "type": {"kind": "datetime"}, "nullable": true, "auto": "deleted"}],
   "indexes": [{"fields": ["name"], "unique": true}, {"fields": ["profile.city", "-created_at"]}]},
  {"name": "counters", "fields": [
    {"name": "id", "type": {"kind": "int"}, "primary_key": true, "generated": "auto_increment"},
    {"name": "label", "type": {"kind": "text"}, "nullable": true}]}]}"#;

struct Fixture {
    _folder: tempfile::TempDir,
    database: Database,
}

async fn open() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:///{}/app.db", folder.path().display());
    let database = Database::new(&url, &Map::new(), Contract::parse(CONTRACT).unwrap()).unwrap();
    let report = database.connect(ContractMode::Check, true).await.unwrap();
    assert_eq!(report.created.len(), 4, "{:?}", report.created);
    Fixture { _folder: folder, database }
}

impl Fixture {
    async fn call(&self, verb: Verb, arguments: Map) -> Result<Reply> {
        self.call_in(verb, arguments, None).await
    }

    async fn call_in(&self, verb: Verb, arguments: Map, tx: Option<&Transaction>) -> Result<Reply> {
        self.database.repository("resources").unwrap().call(verb, arguments, tx).await
    }

    async fn create(&self, record: Map) -> Result<Map> {
        Ok(row(self.call(Verb::Create, document! { "record" => record }).await?))
    }

    async fn ids(&self, query: Map) -> Vec<String> {
        let Reply::Rows(rows) = self.call(Verb::Find, query).await.unwrap() else { panic!("rows") };
        (0..rows.len()).map(|row| rows.document(row).unwrap()["id"].as_text().unwrap().to_owned()).collect()
    }
}

fn row(reply: Reply) -> Map {
    match reply {
        Reply::Row(Some(rows)) => rows.document(0).unwrap(),
        _ => panic!("expected a row"),
    }
}

fn json(text: &str) -> Map {
    farm_db_core::value::tagged::read_map(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn what_create_returns_is_what_get_returns() {
    let app = open().await;
    let created = app
        .create(json(
            r#"{"id": "a", "name": "x", "rating": -0.5, "price": {"$numberDecimal": "1.10"}, "tags": ["p", "ü"],
                "profile": {"city": "Bonn", "since": {"$date": "1969-01-01T00:00:00.000001Z"}},
                "meta": {"deep": [1, 1.0, {"$oid": "59a47286cfa9a3a73e51e72c"}, null]}}"#,
        ))
        .await
        .unwrap();
    let got = row(app.call(Verb::Get, document! { "id" => "a" }).await.unwrap());
    assert_eq!(created, got);
    assert_eq!(got["version"], Value::Int(1));
    assert_eq!(got["count"], Value::Int(0));
    assert_eq!(got["price"].type_name(), "decimal");
}

#[tokio::test]
async fn filters_are_pushed_down_and_agree_with_the_matcher() {
    let app = open().await;
    for (id, city, tags, count) in
        [("a", "Bonn", vec!["x", "y"], 1_i64), ("b", "Köln", vec![], 2), ("c", "Bonn", vec!["y"], 3)]
    {
        let tags: Vec<Value> = tags.into_iter().map(Value::from).collect();
        let record = document! { "id" => id, "name" => id, "tags" => tags, "count" => count, "profile" => document! { "city" => city } };
        app.create(record).await.unwrap();
    }
    for (filter, expected) in [
        (r#"{"profile.city": "Bonn"}"#, vec!["a", "c"]),
        (r#"{"tags": "y"}"#, vec!["a", "c"]),
        (r#"{"tags": {"$ne": "x"}}"#, vec!["b", "c"]),
        (r#"{"tags": {"$size": 0}}"#, vec!["b"]),
        (r#"{"tags": {"$all": ["x", "y"]}}"#, vec!["a"]),
        (r#"{"count": {"$gt": 1.5}}"#, vec!["b", "c"]),
        (r#"{"count": {"$in": [1, 3]}}"#, vec!["a", "c"]),
        (r#"{"name": {"$regex": "^[ab]$"}}"#, vec!["a", "b"]),
        (r#"{"$or": [{"count": 2}, {"tags": "x"}]}"#, vec!["a", "b"]),
        (r#"{"$nor": [{"count": 2}, {"tags": "x"}]}"#, vec!["c"]),
        (r#"{"rating": null}"#, vec!["a", "b", "c"]),
        (r#"{"rating": {"$gt": 1}}"#, vec![]),
        (r#"{"rating": {"$not": {"$gt": 1}}}"#, vec!["a", "b", "c"]),
    ] {
        let query = document! { "filter" => json(filter), "sort" => "id" };
        assert_eq!(app.ids(query.clone()).await, expected, "{filter}");
        let Reply::Map(plan) = app.call(Verb::Explain, query).await.unwrap() else { panic!("a map") };
        assert_eq!(plan["exact"], Value::Bool(true), "{filter}");
    }
    // The core does what SQLite cannot.
    assert_eq!(app.ids(document! { "filter" => json(r#"{"tags": ["y"]}"#) }).await, ["c"]);
    assert_eq!(app.ids(document! { "sort" => vec![Value::from("-tags"), Value::from("id")] }).await, ["a", "c", "b"]);
}

#[tokio::test]
async fn bad_input_is_refused_by_name_and_nothing_is_written() {
    let app = open().await;
    for (record, kind) in [
        (r#"{"id": "a"}"#, Kind::InvalidValue),
        (r#"{"id": "a", "name": "x", "nmae": 1}"#, Kind::UnknownField),
        (r#"{"id": "a", "name": 5}"#, Kind::InvalidValue),
        (r#"{"id": "a", "name": "123456789012345678901"}"#, Kind::InvalidValue),
        ("{\"id\": \"a\", \"name\": \"x\\u0000\"}", Kind::InvalidValue),
        (r#"{"id": "a", "name": "x", "rating": {"$numberDouble": "NaN"}}"#, Kind::InvalidValue),
        (r#"{"id": "a", "name": "x", "profile": {"town": "x"}}"#, Kind::UnknownField),
        (r#"{"id": "a", "name": "x", "meta": {"$bad": 1}}"#, Kind::InvalidValue),
    ] {
        assert_eq!(app.create(json(record)).await.unwrap_err().kind(), kind, "{record}");
    }
    let count = app.call(Verb::Count, Map::new()).await.unwrap();
    assert!(matches!(count, Reply::Count(0)));
    let error = app.call(Verb::Find, document! { "filter" => json(r#"{"count": "5"}"#) }).await.err().unwrap();
    assert_eq!((error.kind(), &error.context()["path"]), (Kind::InvalidValue, &Value::from("count")));
    let error = app.call(Verb::DeleteMany, Map::new()).await.err().unwrap();
    assert_eq!(error.kind(), Kind::EmptyFilter);
    let error = app.call(Verb::Page, document! { "after" => "nonsense" }).await.err().unwrap();
    assert_eq!(error.kind(), Kind::InvalidCursor);
}

#[tokio::test]
async fn unique_values_are_unique_among_living_rows() {
    let app = open().await;
    app.create(json(r#"{"id": "a", "name": "x"}"#)).await.unwrap();
    let error = app.create(json(r#"{"id": "b", "name": "x"}"#)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::UniqueViolation);
    app.call(Verb::Delete, document! { "id" => "a" }).await.unwrap();
    app.create(json(r#"{"id": "b", "name": "x"}"#)).await.unwrap();
    assert_eq!(app.ids(Map::new()).await, ["b"]);
    assert_eq!(app.ids(document! { "deleted" => true, "sort" => "id" }).await, ["a", "b"]);
    assert_eq!(app.call(Verb::Restore, document! { "id" => "a" }).await.err().unwrap().kind(), Kind::UniqueViolation);
}

#[tokio::test]
async fn pages_hold_their_place_while_rows_come_and_go() {
    let app = open().await;
    for number in 0..25_i64 {
        let record = document! { "id" => format!("{number:02}"), "name" => format!("n{number}"), "count" => number / 10, "rating" => (number % 3 == 0).then_some(1.0) };
        app.create(record).await.unwrap();
    }
    for sort in ["[\"-rating\", \"count\"]", "[\"rating\", \"-count\"]", "[\"count\"]", "[]"] {
        let sort = farm_db_core::value::tagged::read(sort.as_bytes()).unwrap();
        let all = app.ids(Map::new()).await.len();
        assert_eq!(all, 25);
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let query = document! { "sort" => sort.clone(), "limit" => 4_i64, "after" => after.clone() };
            let Reply::Page { rows, next } = app.call(Verb::Page, query).await.unwrap() else { panic!("a page") };
            seen.extend((0..rows.len()).map(|row| rows.document(row).unwrap()["id"].as_text().unwrap().to_owned()));
            match next {
                Some(cursor) => after = cursor.into(),
                None => break,
            }
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!((seen.len(), unique.len()), (25, 25), "{sort:?}");
    }
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let app = open().await;
    let tx = app.database.begin(TransactionOptions::default()).await.unwrap();
    let record = |id: &str| document! { "record" => document! { "id" => id, "name" => id } };
    app.call_in(Verb::Create, record("a"), Some(&tx)).await.unwrap();
    let savepoint = tx.begin().await.unwrap();
    app.call_in(Verb::Create, record("b"), Some(&savepoint)).await.unwrap();
    savepoint.rollback().await.unwrap();
    assert!(app.ids(Map::new()).await.is_empty(), "uncommitted rows are not seen outside");
    tx.commit().await.unwrap();
    assert_eq!(app.ids(Map::new()).await, ["a"]);
    assert_eq!(tx.commit().await.unwrap_err().kind(), Kind::TransactionState);
    let dropped = app.database.begin(TransactionOptions::default()).await.unwrap();
    app.call_in(Verb::Create, record("c"), Some(&dropped)).await.unwrap();
    drop(dropped);
    app.create(document! { "id" => "d", "name" => "d" }).await.unwrap();
    assert_eq!(app.ids(document! { "sort" => "id" }).await, ["a", "d"]);
    let reading =
        app.database.begin(TransactionOptions { read_only: true, ..TransactionOptions::default() }).await.unwrap();
    assert_eq!(
        app.call_in(Verb::Create, record("e"), Some(&reading)).await.err().unwrap().kind(),
        Kind::TransactionState
    );
}

#[tokio::test]
async fn the_database_counts_keys_and_upserts_by_them() {
    let app = open().await;
    let counters = app.database.repository("counters").unwrap();
    let reply = counters.call(
        Verb::CreateMany,
        document! { "records" => vec![Value::Map(Map::new()), Value::Map(Map::new())] },
        None,
    );
    let Reply::Rows(rows) = reply.await.unwrap() else { panic!("rows") };
    assert_eq!(
        (rows.document(0).unwrap()["id"].clone(), rows.document(1).unwrap()["id"].clone()),
        (Value::Int(1), Value::Int(2))
    );
    let record = document! { "id" => 2_i64, "label" => "two" };
    let reply = counters.call(Verb::Upsert, document! { "record" => record }, None).await.unwrap();
    assert_eq!(row(reply)["label"], Value::from("two"));
}

#[tokio::test]
async fn a_closed_database_says_so() {
    let app = open().await;
    app.database.close().await.unwrap();
    assert_eq!(app.call(Verb::Count, Map::new()).await.err().unwrap().kind(), Kind::DatabaseClosed);
    let health = app.database.health().await;
    assert_eq!(health["status"], Value::from("unhealthy"));
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let database = Database::new("sqlite:////nonexistent/x/app.db", &Map::new(), Contract::default()).unwrap();
    let error = database.connect(ContractMode::Check, true).await.err().unwrap();
    assert_eq!(error.kind(), Kind::ConnectionFailed);
    assert!(error.message().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn a_stream_gives_every_row_and_its_connection_back() {
    let app = open().await;
    for number in 0..10_i64 {
        app.create(document! { "id" => format!("{number:04}"), "name" => format!("{number}") }).await.unwrap();
    }
    let repository = app.database.repository("resources").unwrap();
    for _ in 0..50 {
        let mut stream = repository.stream(Map::new(), 3, None).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().len(), 3);
    }
    let mut stream = repository.stream(Map::new(), 3, None).await.unwrap();
    let mut total = 0;
    while let Some(rows) = stream.next().await.unwrap() {
        total += rows.len();
    }
    assert_eq!(total, 10);
}

#[tokio::test]
async fn nothing_is_opened_before_connect_and_nothing_after_close() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    let url = format!("sqlite:///{}", file.display());
    let database = Database::new(&url, &Map::new(), Contract::parse(CONTRACT).unwrap()).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!file.exists(), "a database that nobody connected has no file");
    database.connect(ContractMode::Check, true).await.unwrap();
    database.close().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    std::fs::remove_file(&file).unwrap();
    drop(database);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!file.exists());
}
