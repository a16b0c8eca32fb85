//! Health and statistics of a SQLite file.

use std::time::Instant;

use super::dialect::quote;
use super::session::SqliteSession;
use crate::backend::Session;
use crate::document;
use crate::error::Result;
use crate::pool::PoolStats;
use crate::schema::Contract;
use crate::value::{Map, Value};

async fn number(session: &mut SqliteSession, sql: &str) -> Result<i64> {
    let rows = session.native(&Value::from(sql), &Value::Null).await?;
    let first = rows.as_list().and_then(|rows| rows.first()).and_then(Value::as_map);
    Ok(first.and_then(|row| row.get_index(0)).and_then(|(_, value)| value.as_int()).unwrap_or(0))
}

/// Version and uptime (seconds since this process opened the database: SQLite has no server).
pub(super) async fn server(session: &mut SqliteSession, started: Instant) -> Result<Map> {
    let encoding = session.native(&Value::from("PRAGMA journal_mode"), &Value::Null).await?;
    let journal = encoding.as_list().and_then(|rows| rows.first()).and_then(Value::as_map);
    let journal = journal.and_then(|row| row.get("journal_mode")).cloned().unwrap_or_default();
    Ok(document! {
        "version" => rusqlite::version(),
        "uptime" => started.elapsed().as_secs_f64(),
        "journal_mode" => journal,
    })
}

/// Sizes in bytes, counts of rows, and the page cache.
pub(super) async fn stats(session: &mut SqliteSession, contract: &Contract) -> Result<Map> {
    let page_size = number(session, "PRAGMA page_size").await?;
    let pages = number(session, "PRAGMA page_count").await?;
    let free = number(session, "PRAGMA freelist_count").await?;
    let tables =
        number(session, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").await?;
    let indexes = number(session, "SELECT count(*) FROM sqlite_schema WHERE type = 'index'").await?;
    let mut entities = Map::new();
    let mut objects = 0;
    for entity in contract.entities() {
        let exists = format!(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '{}'",
            entity.name.replace('\'', "''")
        );
        if number(session, &exists).await? == 1 {
            let rows = number(session, &format!("SELECT count(*) FROM {}", quote(&entity.name))).await?;
            objects += rows;
            entities.insert(entity.name.clone(), Value::Int(rows));
        }
    }
    let cache = number(session, "PRAGMA cache_size").await?;
    // A negative cache size is KiB, a positive one pages.
    let cache_bytes = if cache < 0 { -cache * 1024 } else { cache * page_size };
    Ok(document! {
        "database" => document! {
            "size" => pages * page_size, "data_size" => (pages - free) * page_size, "free_size" => free * page_size,
            "tables" => tables, "indexes" => indexes, "objects" => objects,
        },
        "entities" => entities,
        "page_cache" => document! { "page_size" => page_size, "pages" => pages, "limit" => cache_bytes },
    })
}

/// The figures of both pools, and their sums under the names that every backend has.
pub(super) fn pools(writer: &PoolStats, readers: Option<&PoolStats>) -> Map {
    let mut sums = writer.to_map();
    let Some(readers) = readers else { return sums };
    let reading = readers.to_map();
    for (name, sum) in &mut sums {
        if let (Value::Int(sum), Some(Value::Int(more))) = (sum, reading.get(name)) {
            if name.ends_with("_max_us") { *sum = (*sum).max(*more) } else { *sum += *more }
        }
    }
    sums.insert("writer".to_owned(), writer.to_map().into());
    sums.insert("readers".to_owned(), reading.into());
    sums
}
