//! Health and statistics of a MySQL or MariaDB server.

use super::dialect::Mysql;
use super::session::MysqlSession;
use crate::backend::Session;
use crate::backends::sql::Dialect;
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::schema::Contract;
use crate::value::{Map, Value};

/// Tables beyond so many estimated rows are not counted row by row.
const COUNTED_EXACTLY: i64 = 1_000_000;

async fn rows(session: &mut MysqlSession, sql: &str, parameters: Vec<Value>) -> Result<Vec<Map>> {
    let rows = session.native(&Value::from(sql), &Value::List(parameters)).await?;
    Ok(rows.as_list().unwrap_or_default().iter().filter_map(|row| row.as_map().cloned()).collect())
}

async fn row(session: &mut MysqlSession, sql: &str, parameters: Vec<Value>) -> Result<Map> {
    let first = rows(session, sql, parameters).await?.into_iter().next();
    first.ok_or_else(|| Error::internal("mysql: a question about the server has no answer"))
}

/// Counters of the server, by name.
async fn counters(session: &mut MysqlSession) -> Result<Map> {
    let found = rows(session, "SHOW GLOBAL STATUS", Vec::new()).await?;
    let pair = |row: Map| {
        let mut values = row.into_values();
        let name = values.next()?.as_text()?.to_owned();
        let value = values.next()?;
        Some((name, value.as_text().and_then(|text| text.parse().ok()).map_or(value, Value::Int)))
    };
    Ok(found.into_iter().filter_map(pair).collect())
}

fn int(map: &Map, name: &str) -> i64 {
    map.get(name).and_then(Value::as_int).unwrap_or(0)
}

/// Version, uptime in seconds, connections of the server, and its role with the lag in seconds where it is a replica.
pub(super) async fn server(session: &mut MysqlSession) -> Result<Map> {
    let known = "SELECT VERSION() AS version, CAST(@@max_connections AS SIGNED) AS most";
    let facts = row(session, known, Vec::new()).await?;
    let counters = counters(session).await?;
    let (current, most) = (int(&counters, "Threads_connected"), int(&facts, "most"));
    Ok(document! {
        "version" => facts.get("version").cloned().unwrap_or_default(),
        "uptime" => int(&counters, "Uptime") as f64,
        "server" => document! {
            "current" => current, "active" => int(&counters, "Threads_running"), "max" => most,
            "available" => most - current,
        },
        "replication" => replication(session).await?,
    })
}

/// The role of the server; without the right to ask for more, only that.
async fn replication(session: &mut MysqlSession) -> Result<Map> {
    let is_mariadb = session.link()?.is_mariadb;
    let (sql, lag) = if is_mariadb {
        ("SHOW SLAVE STATUS", "Seconds_Behind_Master")
    } else {
        ("SHOW REPLICA STATUS", "Seconds_Behind_Source")
    };
    match rows(session, sql, Vec::new()).await {
        Ok(found) => {
            let role = if found.is_empty() { "primary" } else { "replica" };
            let lag = found.first().and_then(|state| state.get(lag).cloned()).unwrap_or_default();
            Ok(document! { "role" => role, "lag" => lag })
        }
        // 1227: the user lacks the privilege.
        Err(error) if error.kind() == Kind::InvalidQuery => {
            let mode = row(session, "SELECT CAST(@@global.read_only AS SIGNED) AS fixed", Vec::new()).await?;
            let role = if int(&mode, "fixed") == 0 { "primary" } else { "replica" };
            Ok(document! { "role" => role, "lag" => Value::Null })
        }
        Err(error) => Err(error),
    }
}

/// Sizes in bytes, counts of rows (`estimated` for large tables), operations since the server's start, memory.
pub(super) async fn stats(session: &mut MysqlSession, dialect: &Mysql, contract: &Contract) -> Result<Map> {
    let sizes = "SELECT CAST(COALESCE(SUM(data_length), 0) AS SIGNED) AS data_size, \
        CAST(COALESCE(SUM(index_length), 0) AS SIGNED) AS index_size, COUNT(*) AS tables, \
        (SELECT COUNT(DISTINCT table_name, index_name) FROM information_schema.statistics \
            WHERE table_schema = DATABASE()) AS indexes \
        FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'";
    let mut database = row(session, sizes, Vec::new()).await?;
    let size = int(&database, "data_size") + int(&database, "index_size");
    database.insert("size".to_owned(), Value::Int(size));
    let counters = counters(session).await?;
    let limit = row(session, "SELECT CAST(@@innodb_buffer_pool_size AS SIGNED) AS size", Vec::new()).await?;
    let (mut entities, mut objects) = (Map::new(), 0);
    for entity in contract.entities() {
        let known = "SELECT CAST(table_rows AS SIGNED) AS found FROM information_schema.tables \
            WHERE table_schema = DATABASE() AND table_name = ?";
        let estimate = rows(session, known, vec![entity.name.as_str().into()]).await?;
        let Some(estimate) = estimate.first() else { continue };
        let mut count = int(estimate, "found");
        if count < COUNTED_EXACTLY {
            let sql = format!("SELECT COUNT(*) AS found FROM {}", dialect.table(&entity.name));
            count = int(&row(session, &sql, Vec::new()).await?, "found");
        }
        objects += count;
        entities.insert(entity.name.clone(), Value::Int(count));
    }
    database.insert("objects".to_owned(), Value::Int(objects));
    Ok(document! {
        "database" => database,
        "entities" => entities,
        "operations" => document! {
            "commits" => int(&counters, "Com_commit"), "rollbacks" => int(&counters, "Com_rollback"),
            "rows_read" => int(&counters, "Innodb_rows_read"), "rows_inserted" => int(&counters, "Innodb_rows_inserted"),
            "rows_updated" => int(&counters, "Innodb_rows_updated"),
            "rows_deleted" => int(&counters, "Innodb_rows_deleted"), "deadlocks" => int(&counters, "Innodb_deadlocks"),
        },
        "page_cache" => document! {
            "hits" => int(&counters, "Innodb_buffer_pool_read_requests"),
            "misses" => int(&counters, "Innodb_buffer_pool_reads"), "limit" => int(&limit, "size"),
        },
    })
}
