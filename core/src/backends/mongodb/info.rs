//! Health and statistics of a MongoDB deployment.

use mongodb::bson::{Bson, Document, doc};

use super::client::Store;
use super::error::translate;
use crate::document;
use crate::error::Result;
use crate::schema::Contract;
use crate::value::{Map, Value};

async fn ask(store: &Store, database: &str, command: Document) -> Result<Document> {
    let answer = store.client.database(database).run_command(command).await;
    answer.map_err(|error| translate(&error, None))
}

/// A number of any type at a path; null where there is none.
fn number(document: &Document, path: &[&str]) -> Value {
    let Some((last, before)) = path.split_last() else { return Value::Null };
    let mut at = document;
    for leg in before {
        let Ok(inner) = at.get_document(leg) else { return Value::Null };
        at = inner;
    }
    match at.get(last) {
        Some(Bson::Int32(number)) => Value::Int(i64::from(*number)),
        Some(Bson::Int64(number)) => Value::Int(*number),
        Some(Bson::Double(number)) if number.fract() == 0.0 && number.abs() < 1e15 => Value::Int(*number as i64),
        Some(Bson::Double(number)) => Value::Float(*number),
        _ => Value::Null,
    }
}

/// Version, uptime in seconds, connections of the server, and its role with the lag in seconds where it is a secondary.
pub(super) async fn server(store: &Store) -> Result<Map> {
    let hello = ask(store, "admin", doc! { "hello": 1 }).await?;
    let build = ask(store, "admin", doc! { "buildInfo": 1 }).await?;
    // A user without the right to look at the server still gets what everybody may know.
    let status = ask(store, "admin", doc! { "serverStatus": 1, "repl": 1 }).await.unwrap_or_default();
    let is = |name: &str| hello.get_bool(name).unwrap_or(false);
    let role = match (hello.get_str("msg"), hello.contains_key("setName")) {
        (Ok("isdbgrid"), _) => "router",
        (_, false) => "standalone",
        _ if is("isWritablePrimary") => "primary",
        _ if is("secondary") => "secondary",
        _ => "other",
    };
    let moment = |name: &str| {
        hello
            .get_document("lastWrite")
            .ok()
            .and_then(|write| write.get_datetime(name).ok())
            .map(|at| at.timestamp_millis())
    };
    // A secondary's last majority write is what it has behind its own last write.
    let lag = match (role, moment("lastWriteDate"), moment("majorityWriteDate")) {
        ("secondary", Some(own), Some(majority)) => Value::Float((majority - own).max(0) as f64 / 1000.0),
        _ => Value::Null,
    };
    let set = hello.get_str("setName").map_or(Value::Null, Value::from);
    Ok(document! {
        "version" => build.get_str("version").unwrap_or_default(),
        "uptime" => number(&status, &["uptime"]),
        "server" => document! {
            "current" => number(&status, &["connections", "current"]),
            "active" => number(&status, &["connections", "active"]),
            "available" => number(&status, &["connections", "available"]),
        },
        "replication" => document! { "role" => role, "set" => set, "lag" => lag },
    })
}

/// Sizes in bytes, counts of documents, operations since the server started, memory.
pub(super) async fn stats(store: &Store, contract: &Contract) -> Result<Map> {
    let sizes = ask(store, store.database.name(), doc! { "dbStats": 1 }).await?;
    let status = ask(store, "admin", doc! { "serverStatus": 1 }).await.unwrap_or_default();
    let mut entities = Map::new();
    for entity in contract.entities() {
        let documents = store.database.collection::<Document>(&entity.name);
        let count = documents.estimated_document_count().await.map_err(|error| translate(&error, None))?;
        entities.insert(entity.name.clone(), Value::Int(i64::try_from(count).unwrap_or(i64::MAX)));
    }
    let counter = |name: &str| number(&status, &["opcounters", name]);
    let cache = |name: &str| number(&status, &["wiredTiger", "cache", name]);
    Ok(document! {
        "database" => document! {
            "size" => number(&sizes, &["totalSize"]), "data_size" => number(&sizes, &["dataSize"]),
            "storage_size" => number(&sizes, &["storageSize"]), "index_size" => number(&sizes, &["indexSize"]),
            "tables" => number(&sizes, &["collections"]), "indexes" => number(&sizes, &["indexes"]),
            "objects" => number(&sizes, &["objects"]),
        },
        "entities" => entities,
        "operations" => document! {
            "query" => counter("query"), "insert" => counter("insert"), "update" => counter("update"),
            "delete" => counter("delete"), "getmore" => counter("getmore"), "command" => counter("command"),
        },
        "page_cache" => document! {
            "size" => cache("bytes currently in the cache"), "limit" => cache("maximum bytes configured"),
        },
        "memory" => document! { "resident_mib" => number(&status, &["mem", "resident"]) },
    })
}
