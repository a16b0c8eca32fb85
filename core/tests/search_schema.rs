//! Full-text search over random words, over rows that are older than their search field, and beside introspection.

mod backends;

use backends::Fresh;
use farm_db_core::query::{has_words, words};
use farm_db_core::{Contract, ContractMode, Database, Map, Reply, Value, Verb, document};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The contract of notes with an int or a text key, whose words are taken from these fields.
fn contract(key: &str, sources: &str) -> Contract {
    let search = if sources.is_empty() {
        String::new()
    } else {
        format!(
            r#", {{"name": "words", "type": {{"kind": "text"}}, "nullable": true, "auto": "search", "search": [{sources}]}}"#
        )
    };
    let json = format!(
        r#"{{"version": 1, "entities": [{{"name": "notes", "fields": [
        {{"name": "id", "type": {{"kind": "{key}"}}, "primary_key": true}},
        {{"name": "title", "type": {{"kind": "text"}}}},
        {{"name": "text", "type": {{"kind": "text"}}, "default": ""}},
        {{"name": "deleted_at", "type": {{"kind": "datetime"}}, "nullable": true, "auto": "deleted"}},
        {{"name": "version", "type": {{"kind": "int"}}, "auto": "version", "default": 1}}{search}]}}]}}"#
    );
    Contract::parse(&json).unwrap()
}

async fn call(database: &Database, verb: Verb, arguments: Map) -> Reply {
    database.repository("notes").unwrap().call(verb, arguments, None).await.unwrap()
}

async fn rows(database: &Database, query: Map) -> Vec<Map> {
    let Reply::Rows(rows) = call(database, Verb::Find, query).await else { panic!("expected rows") };
    (0..rows.len()).map(|row| rows.document(row).unwrap()).collect()
}

/// The keys that a text finds, ascending.
async fn found(database: &Database, text: &str) -> Vec<Value> {
    let query = document! { "search" => text, "sort" => "id", "deleted" => true };
    rows(database, query).await.into_iter().map(|row| row["id"].clone()).collect()
}

/// Words that meet again, made of letters that tokenizers, stopwords and foldings are known to stumble over.
fn word() -> BoxedStrategy<String> {
    let known = prop::sample::select(vec![
        "the", "a", "i", "und", "is", "of", "to", "x1", "42", "e", "é", "e\u{301}", "E", "É", "ss", "ß", "ı", "İ", "I",
        "σ", "ς", "Σ", "и", "й", "ё", "東", "京", "東京", "ー", "가", "\u{301}", "ʼ", "ʰ", "ａ", "ﬁ", "٣", "½", "ñ",
        "ø", "कि", "กำ", "ת", "ـ", "𐐀", "𝒜", "Ⅷ", "ǅ", "zz", "zza", "or", "and", "not",
    ]);
    let letter = prop_oneof![known.clone(), prop::sample::select(vec!["a", "b"])];
    let made = prop::collection::vec(letter, 1..4).prop_map(|parts| parts.concat());
    prop_oneof![
        4 => known.prop_map(str::to_owned),
        4 => made,
        1 => proptest::char::any().prop_map(String::from),
        1 => "[\\p{L}\\p{M}\\p{N}]{1,3}",
        1 => (prop::sample::select(vec![79_usize, 80, 81, 84, 100, 499, 500, 3000]), "[ab]").prop_map(|(n, c)| c.repeat(n)),
    ]
    .boxed()
}

fn text(most: usize) -> BoxedStrategy<String> {
    let between =
        prop::sample::select(vec![" ", "  ", "-", "'", "\u{2019}", "_", ".", "@", "\"", "\\", "*", "+", "、", "\n"]);
    prop::collection::vec((word(), between), 1..most)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, between)| [word, between.to_owned()]).collect())
        .prop_map(|text: String| text.replace('\0', " "))
        .boxed()
}

async fn random_searches_find_what_the_matcher_finds(backend: &'static str) {
    let fresh = Fresh::open(backend, contract("int", r#""title", "text""#)).await;
    let cases: u32 = std::env::var("FARM_ORACLE_CASES").map_or(3000, |cases| cases.parse().unwrap());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut sample = |strategy: &BoxedStrategy<String>| strategy.new_tree(&mut runner).unwrap().current();
    let texts: Vec<String> = (0..400).map(|_| sample(&text(8))).collect();
    let records = texts.iter().enumerate().map(|(id, text)| {
        // Half of the words in each source.
        let (title, rest) = text.split_at(text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at));
        Value::from(document! { "id" => id, "title" => title, "text" => rest })
    });
    let stored: Vec<String> = records
        .clone()
        .map(|record| {
            let record = record.as_map().unwrap().clone();
            let both = ["text", "title"].iter().flat_map(|name| words(record[*name].as_text().unwrap()));
            both.collect::<Vec<_>>().join(" ")
        })
        .collect();
    call(&fresh.database, Verb::CreateMany, document! { "records" => records.collect::<Vec<_>>() }).await;
    let mut hits = 0;
    for case in 0..cases {
        // Often the words of a row, so that something is found.
        let asked = match case % 3 {
            0 => stored[case as usize % stored.len()]
                .split(' ')
                .take(1 + case as usize % 4)
                .collect::<Vec<_>>()
                .join("-"),
            1 => sample(&word()),
            _ => sample(&text(3)),
        };
        let mut wanted: Vec<String> = words(&asked).collect();
        wanted.dedup();
        let expected: Vec<Value> =
            (0..stored.len()).filter(|id| has_words(&stored[*id], &wanted)).map(Value::from).collect();
        hits += expected.len();
        assert_eq!(found(&fresh.database, &asked).await, expected, "{asked:?}");
    }
    assert!(hits > cases as usize, "the searches find too little to say something");
    fresh.end().await;
}

/// Connects another app to the same database.
async fn reconnected(fresh: &Fresh, contract: Contract) -> Database {
    let database = fresh.another(contract);
    database.connect(ContractMode::Check, true).await.unwrap();
    database
}

async fn older_rows_are_found(backend: &'static str) {
    for key in ["int", "text"] {
        let fresh = Fresh::open(backend, contract(key, "")).await;
        // More than one batch, with a deleted row.
        let id = |number: i64| if key == "int" { Value::Int(number) } else { format!("k{number:04}").into() };
        let records = (0..1101).map(|number| {
            Value::from(document! { "id" => id(number), "title" => format!("old n{number}"), "text" => "the Ümläut" })
        });
        call(&fresh.database, Verb::CreateMany, document! { "records" => records.collect::<Vec<_>>() }).await;
        call(&fresh.database, Verb::Delete, document! { "id" => id(3) }).await;

        let searched = reconnected(&fresh, contract(key, r#""title""#)).await;
        assert_eq!(found(&searched, "old").await.len(), 1101);
        for number in [0, 3, 499, 500, 501, 1100] {
            assert_eq!(found(&searched, &format!("N{number}")).await, [id(number)]);
        }
        assert!(found(&searched, "ümläut").await.is_empty());
        let row = rows(&searched, document! { "search" => "n7" }).await.remove(0);
        assert_eq!(row["version"], Value::Int(1), "nobody has changed the row");

        // Other sources: the words are made again, and nothing is created anew.
        let wider = reconnected(&fresh, contract(key, r#""text", "title""#)).await;
        assert_eq!(found(&wider, "ümläut n1100").await, [id(1100)]);
        assert!(wider.ensure_schema().await.unwrap().is_empty());
        call(&wider, Verb::Update, document! { "id" => id(5), "changes" => document! { "title" => "new" } }).await;
        assert_eq!(found(&wider, "new").await, [id(5)]);
        for database in [searched, wider] {
            database.close().await.unwrap();
        }
        fresh.end().await;
    }
}

/// A contract where another field is searched, or none; the one before stays as a column.
fn moved(auto: &str) -> Contract {
    let field = |name: &str| {
        let search = if name == auto { r#", "auto": "search", "search": ["title"]"# } else { "" };
        format!(r#"{{"name": "{name}", "type": {{"kind": "text"}}, "nullable": true{search}}}"#)
    };
    let json = format!(
        r#"{{"version": 1, "entities": [{{"name": "notes_{}", "fields": [
        {{"name": "id", "type": {{"kind": "int"}}, "primary_key": true}},
        {{"name": "title", "type": {{"kind": "text"}}}}, {}, {}]}}]}}"#,
        "x".repeat(55),
        field("one"),
        field("two"),
    );
    Contract::parse(&json).unwrap()
}

async fn another_field_can_become_the_one_that_is_searched(backend: &'static str) {
    let fresh = Fresh::open(backend, moved("one")).await;
    let name = moved("").entities()[0].name.clone();
    let write = async |database: &Database, id: i64| {
        let record = document! { "id" => id, "title" => format!("word n{id}") };
        let arguments = document! { "record" => record };
        database.repository(&name).unwrap().call(Verb::Create, arguments, None).await.unwrap();
    };
    let count = async |database: &Database| {
        let arguments = document! { "search" => "word" };
        match database.repository(&name).unwrap().call(Verb::Count, arguments, None).await.unwrap() {
            Reply::Count(count) => count,
            _ => panic!("expected a count"),
        }
    };
    write(&fresh.database, 1).await;
    assert_eq!(count(&fresh.database).await, 1);
    let none = reconnected(&fresh, moved("")).await;
    write(&none, 2).await;
    none.close().await.unwrap();
    let other = fresh.another(moved("two"));
    if backend == "mongodb" {
        // A collection has one text index; the old one is in the way, and that is said.
        assert!(other.connect(ContractMode::Check, true).await.is_err());
    } else {
        other.connect(ContractMode::Check, true).await.unwrap();
        assert_eq!(count(&other).await, 2);
        other.close().await.unwrap();
    }
    let back = reconnected(&fresh, moved("one")).await;
    assert_eq!(count(&back).await, 2);
    back.close().await.unwrap();
    fresh.end().await;
}

async fn introspection_leaves_the_index_out(backend: &'static str) {
    let fresh = Fresh::open(backend, contract("text", r#""title""#)).await;
    call(&fresh.database, Verb::Create, document! { "record" => document! { "id" => "a", "title" => "b" } }).await;
    let found = fresh.database.introspect().await.unwrap();
    let names: Vec<_> = found.contract.entities().iter().map(|entity| entity.name.clone()).collect();
    assert_eq!(names, ["notes"], "{:?}", found.notes);
    let fields: Vec<_> = found.contract.entities()[0].fields.iter().map(|field| field.name.clone()).collect();
    assert!(fields.contains(&"words".to_owned()) && fields.len() == 6, "{fields:?} {:?}", found.notes);
    let strange = found.notes.iter().filter(|note| note.contains("_farm_"));
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<&String>::new());
    fresh.end().await;
}

on_every_backend!(
    random_searches_find_what_the_matcher_finds,
    older_rows_are_found,
    another_field_can_become_the_one_that_is_searched,
    introspection_leaves_the_index_out,
);

#[tokio::test]
async fn a_vacuum_of_sqlite_keeps_the_index() {
    let fresh = Fresh::open("sqlite", contract("text", r#""title""#)).await;
    for number in 0..50 {
        let record = document! { "id" => format!("k{number}"), "title" => format!("word n{number}") };
        call(&fresh.database, Verb::Create, document! { "record" => record }).await;
    }
    for number in 0..25 {
        call(&fresh.database, Verb::Delete, document! { "id" => format!("k{number}"), "hard" => true }).await;
    }
    fresh.database.execute(&Value::from("VACUUM"), &Value::Null, None).await.unwrap();
    assert_eq!(found(&fresh.database, "word").await.len(), 25);
    assert_eq!(found(&fresh.database, "n40").await, [Value::from("k40")]);
    fresh.end().await;
}

#[test]
fn contracts_with_wrong_sources_are_refused() {
    for sources in [r#""nothing""#, r#""version""#, r#""words""#, r#""title.deeper""#, r#""deleted_at""#] {
        let json = contract("int", r#""title""#)
            .to_json()
            .replace(r#""search":["title"]"#, &format!(r#""search":[{sources}]"#));
        let error = Contract::parse(&json).err().unwrap();
        assert_eq!(error.code(), "invalid_schema", "{sources}");
    }
    let valid = contract("int", r#""title""#).to_json();
    for (part, other) in [
        (r#","search":["title"]"#, ""),
        (r#""auto":"search","#, ""),
        (r#""nullable":true,"search""#, r#""search""#),
        (r#""name":"words""#, r#""name":"rank""#),
    ] {
        assert!(valid.contains(part), "{valid}");
        assert_eq!(Contract::parse(&valid.replace(part, other)).err().unwrap().code(), "invalid_schema", "{part}");
    }
}

#[test]
fn the_order_of_sources_does_not_change_the_contract() {
    assert_eq!(contract("int", r#""title", "text""#).hash(), contract("int", r#""text", "title""#).hash());
}
