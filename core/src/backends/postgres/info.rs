//! Health and statistics of a PostgreSQL server.

use super::dialect::Postgres;
use super::session::PostgresSession;
use crate::backend::{Position, Session};
use crate::backends::sql::Dialect;
use crate::document;
use crate::error::{Error, Result};
use crate::schema::Contract;
use crate::value::{Map, Value};

/// Tables beyond so many estimated rows are not counted row by row.
const COUNTED_EXACTLY: i64 = 1_000_000;

async fn row(session: &mut PostgresSession, sql: &str, parameters: Vec<Value>) -> Result<Map> {
    let rows = session.native(&Value::from(sql), &Value::List(parameters)).await?;
    let first = rows.as_list().and_then(|rows| rows.first()).and_then(Value::as_map).cloned();
    first.ok_or_else(|| Error::internal("postgres: a question about the server has no answer"))
}

/// Moves the entries whose names begin with `prefix` into a map of their own.
fn part(map: &mut Map, prefix: &str) -> Map {
    let names: Vec<String> = map.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    let take = |name: String| (name[prefix.len()..].to_owned(), map.shift_remove(&name).unwrap_or_default());
    names.into_iter().map(take).collect()
}

/// Version, uptime in seconds, connections of the server, and its role with the lag in seconds where it is a standby.
pub(super) async fn server(session: &mut PostgresSession) -> Result<Map> {
    let sql = "SELECT split_part(current_setting('server_version'), ' ', 1) AS version, \
        extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS uptime, \
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS server_current, \
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle') \
            AS server_active, \
        current_setting('max_connections')::int8 AS server_max, \
        CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS replication_role, \
        CASE WHEN pg_is_in_recovery() \
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END \
            AS replication_lag, \
        (SELECT count(*) FROM pg_stat_replication) AS replication_standbys";
    let mut facts = row(session, sql, Vec::new()).await?;
    let mut server = part(&mut facts, "server_");
    let figure = |name: &str| server.get(name).and_then(Value::as_int).unwrap_or(0);
    let available = figure("max") - figure("current");
    server.insert("available".to_owned(), Value::Int(available));
    let replication = part(&mut facts, "replication_");
    facts.insert("server".to_owned(), server.into());
    facts.insert("replication".to_owned(), replication.into());
    Ok(facts)
}

/// How far a standby has replayed, or where the next record of a primary goes. At the beginning of a page the latter stands
/// behind the page's header (of 24 bytes, in the first page of a file 40), where no record can end: before the header then,
/// or a standby that has replayed everything would seem to be behind.
pub(super) async fn position(session: &mut PostgresSession) -> Result<Position> {
    let sql = "SELECT follows, CASE WHEN follows THEN replayed \
            WHEN next % pg_size_bytes(current_setting('wal_segment_size')) = 40 THEN next - 40 \
            WHEN next % current_setting('wal_block_size')::int8 = 24 THEN next - 24 ELSE next END AS log \
        FROM (SELECT pg_is_in_recovery() AS follows, \
            pg_wal_lsn_diff(COALESCE(pg_last_wal_replay_lsn(), '0/0'), '0/0')::int8 AS replayed, \
            CASE WHEN NOT pg_is_in_recovery() \
                THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8 END AS next) AS places";
    let facts = row(session, sql, Vec::new()).await?;
    let log = facts.get("log").and_then(Value::as_int).and_then(|log| u64::try_from(log).ok());
    let log = log.ok_or_else(|| Error::internal("postgres: a server without a position in its log"))?;
    Ok(Position { log, follows: matches!(facts.get("follows"), Some(Value::Bool(true))) })
}

/// Sizes in bytes, counts of rows (`estimated` for large tables), operations since the statistics were reset, memory.
pub(super) async fn stats(session: &mut PostgresSession, dialect: &Postgres, contract: &Contract) -> Result<Map> {
    let schema = dialect.schema_expression();
    let sql = format!(
        "SELECT pg_database_size(current_database()) AS database_size, \
         COALESCE((SELECT sum(pg_table_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p')), 0)::int8 AS database_data_size, \
         COALESCE((SELECT sum(pg_indexes_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p')), 0)::int8 AS database_index_size, \
         (SELECT count(*) FROM pg_tables WHERE schemaname = {schema}) AS database_tables, \
         (SELECT count(*) FROM pg_indexes WHERE schemaname = {schema}) AS database_indexes, \
         s.xact_commit AS operations_commits, s.xact_rollback AS operations_rollbacks, \
         s.tup_returned AS operations_rows_read, s.tup_inserted AS operations_rows_inserted, \
         s.tup_updated AS operations_rows_updated, s.tup_deleted AS operations_rows_deleted, \
         s.deadlocks AS operations_deadlocks, \
         s.blks_hit AS page_cache_hits, s.blks_read AS page_cache_misses, \
         pg_size_bytes(current_setting('shared_buffers')) AS page_cache_limit \
         FROM pg_stat_database s WHERE s.datname = current_database()"
    );
    let mut facts = row(session, &sql, Vec::new()).await?;
    let mut database = part(&mut facts, "database_");
    let operations = part(&mut facts, "operations_");
    let page_cache = part(&mut facts, "page_cache_");
    let (mut entities, mut objects) = (Map::new(), 0);
    for entity in contract.entities() {
        let table = dialect.table(&entity.name);
        let known = "SELECT c.reltuples::int8 AS rows FROM pg_class c WHERE c.oid = to_regclass($1::text)";
        let Ok(estimate) = row(session, known, vec![table.as_str().into()]).await else { continue };
        let mut count = estimate.get("rows").and_then(Value::as_int).unwrap_or(0);
        if count < COUNTED_EXACTLY {
            let exact = row(session, &format!("SELECT count(*) AS rows FROM {table}"), Vec::new()).await?;
            count = exact.get("rows").and_then(Value::as_int).unwrap_or(0);
        }
        objects += count;
        entities.insert(entity.name.clone(), Value::Int(count));
    }
    database.insert("objects".to_owned(), Value::Int(objects));
    Ok(document! {
        "database" => database, "entities" => entities, "operations" => operations, "page_cache" => page_cache,
    })
}
