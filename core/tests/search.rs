//! Full-text search: the same rows on every backend, whichever way they were written.

mod backends;

use backends::Fresh;
use farm_db_core::backend::TransactionOptions;
use farm_db_core::{Contract, Map, Reply, Result, Transaction, Value, Verb, document};

const PEOPLE: &str = r#"{"version": 1, "entities": [{"name": "people", "fields": [
    {"name": "id", "type": {"kind": "int"}, "primary_key": true, "generated": "auto_increment"},
    {"name": "email", "type": {"kind": "text"}, "nullable": true, "unique": true},
    {"name": "name", "type": {"kind": "text"}, "nullable": true},
    {"name": "age", "type": {"kind": "int"}, "default": 0},
    {"name": "tags", "type": {"kind": "list", "items": {"type": {"kind": "text"}}}, "default": []},
    {"name": "profile", "nullable": true, "type": {"kind": "model", "fields": [
        {"name": "bio", "type": {"kind": "text"}, "nullable": true}]}},
    {"name": "jobs", "default": [], "type": {"kind": "list", "items": {"type": {"kind": "model", "fields": [
        {"name": "title", "type": {"kind": "text"}}]}}}},
    {"name": "language", "type": {"kind": "text"}, "default": "german"},
    {"name": "deleted_at", "type": {"kind": "datetime"}, "nullable": true, "auto": "deleted"},
    {"name": "version", "type": {"kind": "int"}, "auto": "version", "default": 1},
    {"name": "found_by", "type": {"kind": "text"}, "nullable": true, "auto": "search",
     "search": ["name", "tags", "profile.bio", "jobs.title"]}]}]}"#;

fn contract() -> Contract {
    Contract::parse(PEOPLE).unwrap()
}

/// The people of one database.
struct People<'a> {
    fresh: &'a Fresh,
    tx: Option<&'a Transaction>,
}

impl People<'_> {
    async fn call(&self, verb: Verb, arguments: Map) -> Result<Reply> {
        self.fresh.database.repository("people").unwrap().call(verb, arguments, self.tx).await
    }

    async fn create(&self, record: Map) -> i64 {
        match self.call(Verb::Create, document! { "record" => record }).await.unwrap() {
            Reply::Row(Some(rows)) => rows.document(0).unwrap()["id"].as_int().unwrap(),
            _ => panic!("expected a row"),
        }
    }

    /// The ids that a query finds, in its order.
    async fn ids(&self, query: Map) -> Vec<i64> {
        let Reply::Rows(rows) = self.call(Verb::Find, query).await.unwrap() else { panic!("expected rows") };
        (0..rows.len()).map(|row| rows.document(row).unwrap()["id"].as_int().unwrap()).collect()
    }

    /// The ids that a text finds, ascending; every verb that reads must agree.
    async fn found(&self, text: &str) -> Vec<i64> {
        let mut ranked = self.ids(document! { "search" => text }).await;
        ranked.sort_unstable();
        let ids = self.ids(document! { "search" => text, "sort" => "id" }).await;
        assert_eq!(ranked, ids, "{text:?}");
        let Reply::Count(count) = self.call(Verb::Count, document! { "search" => text }).await.unwrap() else {
            panic!("expected a count")
        };
        assert_eq!(count, ids.len() as u64, "{text:?}");
        ids
    }
}

fn people(fresh: &Fresh) -> People<'_> {
    People { fresh, tx: None }
}

async fn every_write_keeps_the_words(backend: &'static str) {
    let fresh = Fresh::open(backend, contract()).await;
    let all = people(&fresh);
    let ada = all.create(document! { "name" => "Ada Lovelace", "email" => "a", "found_by" => "nonsense" }).await;
    let records = vec![
        Value::from(document! { "name" => "Bob", "email" => "b", "tags" => vec![Value::from("Blue Moon")] }),
        document! { "email" => "c", "profile" => document! { "bio" => "Likes moons" },
        "jobs" => vec![Value::from(document! { "title" => "Cook" }), document! { "title" => "Moon Pilot" }.into()] }
        .into(),
    ];
    all.call(Verb::CreateMany, document! { "records" => records }).await.unwrap();
    let (bob, cid) = (ada + 1, ada + 2);
    assert_eq!(all.found("lovelace ADA").await, [ada]);
    assert_eq!(all.found("moon").await, [bob, cid]);
    assert_eq!(all.found("moon cook").await, [cid]);
    assert!(all.found("nonsense").await.is_empty());

    let update = |id: i64, changes: Map| document! { "id" => id, "changes" => changes };
    // One source of several; what is no source; all of them; an operator; a path; the search field itself.
    all.call(Verb::Update, update(ada, document! { "name" => "Ada King" })).await.unwrap();
    assert!(all.found("lovelace").await.is_empty());
    all.call(Verb::Update, update(ada, document! { "age" => 36 })).await.unwrap();
    assert_eq!(all.found("king").await, [ada]);
    let push = document! { "$push" => document! { "tags" => "Analytical Engine" } };
    all.call(Verb::Update, update(ada, push)).await.unwrap();
    assert_eq!(all.found("engine king").await, [ada]);
    let path = document! { "$set" => document! { "profile.bio" => "Chef" } };
    all.call(Verb::Update, update(cid, path)).await.unwrap();
    assert_eq!(all.found("chef").await, [cid]);
    all.call(Verb::Update, update(ada, document! { "found_by" => "wrong" })).await.unwrap();
    assert!(all.found("wrong").await.is_empty());
    assert_eq!(all.found("king").await, [ada]);
    let whole = document! { "name" => "Countess", "tags" => Vec::<Value>::new(), "profile" => Value::Null,
    "jobs" => Vec::<Value>::new() };
    all.call(Verb::UpdateMany, document! { "filter" => document! { "id" => ada }, "update" => whole }).await.unwrap();
    assert_eq!(all.found("countess").await, [ada]);
    assert!(all.found("king").await.is_empty());

    let named = |name: &str| document! { "name" => name };
    let email = |email: &str| document! { "email" => email };
    all.call(Verb::UpdateMany, document! { "filter" => document! { "age" => 0 }, "update" => named("Anyone") })
        .await
        .unwrap();
    assert_eq!(all.found("anyone").await, [bob, cid]);
    all.call(Verb::UpdateOne, document! { "filter" => email("b"), "update" => named("Bobby") }).await.unwrap();
    assert_eq!(all.found("bobby moon").await, [bob]);
    for (name, new) in [("Robert", true), ("Bert", false)] {
        let arguments = document! { "filter" => email("b"), "update" => named(name), "return_new" => new };
        all.call(Verb::FindOneAndUpdate, arguments).await.unwrap();
        assert_eq!(all.found(name).await, [bob]);
    }
    let record = document! { "email" => "b", "name" => "Replaced", "tags" => vec![Value::from("new")] };
    all.call(Verb::Replace, document! { "id" => bob, "record" => record }).await.unwrap();
    assert_eq!(all.found("replaced new").await, [bob]);
    assert!(all.found("bert").await.is_empty());
    fresh.end().await;
}

async fn upserts_keep_the_words(backend: &'static str) {
    let fresh = Fresh::open(backend, contract()).await;
    let all = people(&fresh);
    let upsert = |record: Map| document! { "record" => record, "on" => vec![Value::from("email")] };
    let first = document! { "email" => "u", "name" => "Una", "tags" => vec![Value::from("north")] };
    all.call(Verb::Upsert, upsert(first)).await.unwrap();
    let una = all.found("una").await;
    // Only a part of the sources: the others stay as the row has them.
    all.call(Verb::Upsert, upsert(document! { "email" => "u", "name" => "Ona" })).await.unwrap();
    assert_eq!(all.found("ona north").await, una);
    assert!(all.found("una").await.is_empty());
    all.call(Verb::Upsert, upsert(document! { "email" => "u", "age" => 3, "found_by" => "wrong" })).await.unwrap();
    assert_eq!(all.found("ona north").await, una);
    let whole = document! { "email" => "u", "name" => "Ina", "tags" => vec![Value::from("south")],
    "profile" => Value::Null, "jobs" => Vec::<Value>::new() };
    all.call(Verb::Upsert, upsert(whole)).await.unwrap();
    assert_eq!(all.found("ina south").await, una);
    assert!(all.found("north").await.is_empty());
    let key = document! { "id" => una[0], "email" => "u", "name" => "Una" };
    all.call(Verb::Upsert, document! { "record" => key }).await.unwrap();
    assert_eq!(all.found("una south").await, una);
    fresh.end().await;
}

async fn deleted_rows_are_not_found(backend: &'static str) {
    let fresh = Fresh::open(backend, contract()).await;
    let all = people(&fresh);
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(all.create(document! { "name" => format!("{name} word") }).await);
    }
    all.call(Verb::Delete, document! { "id" => ids[0] }).await.unwrap();
    assert_eq!(all.found("word").await, ids[1..]);
    assert_eq!(all.ids(document! { "search" => "word", "sort" => "id", "deleted" => true }).await, ids);
    all.call(Verb::Restore, document! { "id" => ids[0] }).await.unwrap();
    assert_eq!(all.found("word").await, ids);
    all.call(Verb::Delete, document! { "id" => ids[1], "hard" => true }).await.unwrap();
    assert_eq!(all.found("word").await, [ids[0], ids[2]]);
    // A search is a condition of a write too.
    let renamed = document! { "search" => "three", "update" => document! { "name" => "four word" } };
    all.call(Verb::UpdateMany, renamed).await.unwrap();
    assert_eq!(all.found("four").await, [ids[2]]);
    all.call(Verb::DeleteMany, document! { "search" => "word", "hard" => true }).await.unwrap();
    assert!(all.found("word").await.is_empty());
    let fresh_row = all.create(document! { "name" => "five word" }).await;
    assert_eq!(all.found("word").await, [fresh_row]);
    fresh.end().await;
}

async fn transactions_find_their_own_rows(backend: &'static str) {
    let fresh = Fresh::open(backend, contract()).await;
    let old = people(&fresh).create(document! { "name" => "old word" }).await;
    for kept in [false, true] {
        let tx = fresh.database.begin(TransactionOptions::default()).await.unwrap();
        let inside = People { fresh: &fresh, tx: Some(&tx) };
        let new = inside.create(document! { "name" => "new word" }).await;
        assert_eq!(inside.found("word").await, [old, new]);
        let renamed = document! { "search" => "new word", "update" => document! { "name" => "changed word" } };
        inside.call(Verb::UpdateMany, renamed).await.unwrap();
        assert_eq!(inside.found("changed").await, [new]);
        assert!(inside.found("new").await.is_empty());
        inside.call(Verb::Delete, document! { "id" => old, "hard" => true }).await.unwrap();
        assert_eq!(inside.found("word").await, [new]);
        if kept {
            tx.commit().await.unwrap();
            assert_eq!(people(&fresh).found("word").await, [new]);
        } else {
            tx.rollback().await.unwrap();
            assert_eq!(people(&fresh).found("word").await, [old]);
        }
    }
    fresh.end().await;
}

async fn narrowed_searches_agree(backend: &'static str) {
    let fresh = Fresh::open(backend, contract()).await;
    let all = people(&fresh);
    let mut ids = Vec::new();
    for number in 0..30 {
        let name = format!("word {}", "filler ".repeat(number % 5));
        ids.push(all.create(document! { "name" => name, "age" => number }).await);
    }
    let old = document! { "age" => document! { "$gte" => 10 } };
    let mut query = document! { "search" => "word", "filter" => old };
    let ranked = all.ids(query.clone()).await;
    assert_eq!(ranked.len(), 20);
    assert_eq!(all.ids(query.clone()).await, ranked, "the order is the same again");
    for (skip, limit) in [(0, 7), (7, 7), (14, 7)] {
        query.extend(document! { "skip" => skip, "limit" => limit });
        let part: Vec<i64> = ranked.iter().copied().skip(skip as usize).take(limit as usize).collect();
        assert_eq!(all.ids(query.clone()).await, part);
    }
    let Reply::Count(7) = all.call(Verb::Count, document! { "search" => "word", "limit" => 7 }).await.unwrap() else {
        panic!("expected 7")
    };
    let sorted =
        all.ids(document! { "search" => "word", "sort" => "-age", "limit" => 3, "fields" => vec![Value::from("id")] });
    assert_eq!(sorted.await, [ids[29], ids[28], ids[27]]);
    let grouped = document! { "measures" => document! { "n" => document! { "$count" => true } }, "search" => "filler" };
    let Reply::Values(groups) = all.call(Verb::Aggregate, grouped).await.unwrap() else { panic!("expected groups") };
    assert_eq!(groups[0].as_map().unwrap()["n"], Value::Int(24));
    let one = document! { "search" => "word", "filter" => document! { "id" => ids[4] } };
    assert_eq!(all.ids(one).await, [ids[4]]);
    let distinct = document! { "field" => "language", "search" => "word" };
    let Reply::Values(values) = all.call(Verb::Distinct, distinct).await.unwrap() else { panic!("expected values") };
    assert_eq!(values, [Value::from("german")]);

    let mut paged = Vec::new();
    let mut page = document! { "search" => "filler", "limit" => 7 };
    loop {
        let Reply::Page { rows, next } = all.call(Verb::Page, page.clone()).await.unwrap() else { panic!("a page") };
        paged.extend((0..rows.len()).map(|row| rows.document(row).unwrap()["id"].as_int().unwrap()));
        let Some(next) = next else { break };
        page.insert("after".to_owned(), next.into());
    }
    assert_eq!(paged, all.found("filler").await, "pages come in the order of the key");
    page.insert("search".to_owned(), "word".into());
    let error = all.call(Verb::Page, page).await.err().unwrap();
    assert_eq!(error.code(), "invalid_cursor", "a cursor of another search");

    let mut stream = all
        .fresh
        .database
        .repository("people")
        .unwrap()
        .stream(
            document! { "search" => "word", "filter" => document! { "age" => document! { "$gte" => 10 } } },
            3,
            None,
        )
        .await
        .unwrap();
    let mut streamed = Vec::new();
    while let Some(rows) = stream.next().await.unwrap() {
        streamed.extend((0..rows.len()).map(|row| rows.document(row).unwrap()["id"].as_int().unwrap()));
    }
    assert_eq!(streamed, ranked);
    let Reply::Map(facts) = all.call(Verb::Explain, document! { "search" => "word" }).await.unwrap() else {
        panic!("expected facts")
    };
    assert_eq!(facts["exact"], Value::Bool(true));
    let asks = match backend {
        "postgres" => "@@",
        "mongodb" => "$text",
        _ => " MATCH ",
    };
    let statement = facts["statement"].as_text().unwrap();
    assert!(statement.replace('(', " ").contains(asks), "the engine's index is not asked: {statement}");
    fresh.end().await;
}

async fn searches_that_make_no_sense_are_refused(backend: &'static str) {
    let fresh = Fresh::open(backend, contract()).await;
    let all = people(&fresh);
    all.create(document! { "name" => "word" }).await;
    assert!(all.found("").await.is_empty());
    assert!(all.found(" -?! ").await.is_empty());
    let many = (0..101).map(|number| format!("w{number} ")).collect::<String>();
    for query in [document! { "search" => 1 }, document! { "search" => many }] {
        assert_eq!(all.call(Verb::Find, query).await.err().unwrap().code(), "invalid_query");
    }
    // The words are no place for other searches to begin with.
    let hundred = (0..100).map(|number| format!("w{number} ")).collect::<String>();
    let row = all.create(document! { "name" => hundred.clone() }).await;
    assert_eq!(all.found(&hundred).await, [row]);
    // Longer than any index takes: 1.2 MB of different words, and one word of 200 kB.
    let long = (0..150_000).map(|number| format!("L{number}x ")).collect::<String>();
    let long = all.create(document! { "name" => long, "age" => 1 }).await;
    assert_eq!(all.found("l149999x l0x").await, [long]);
    assert!(all.found("l150000x").await.is_empty());
    let wide = all.create(document! { "name" => format!("wide {}", "q".repeat(200_000)) }).await;
    assert_eq!(all.found("wide").await, [wide]);
    assert_eq!(all.found(&format!("wide {}", "Q".repeat(200_000))).await, [wide]);
    assert!(all.found(&"q".repeat(199_999)).await.is_empty());
    fresh.end().await;
}

on_every_backend!(
    every_write_keeps_the_words,
    upserts_keep_the_words,
    deleted_rows_are_not_found,
    transactions_find_their_own_rows,
    narrowed_searches_agree,
    searches_that_make_no_sense_are_refused,
);
