//! SQLite by rusqlite: a thread for each connection, at most as many as the pool has.

use rusqlite::{Connection, OptionalExtension as _, Params};
use serde_json::{Value, json};

use crate::data::{COLUMNS, Row, keys};
use crate::{Floor, Gets, Result, timing};

/// Lists are JSON and moments are text in SQLite.
type Resource = Row<String, String>;

pub(crate) struct Sqlite {
    connections: Vec<Connection>,
    get: String,
}

impl Sqlite {
    pub(crate) fn open(path: &str, pool: usize) -> Result<Self> {
        let connections: rusqlite::Result<Vec<_>> = (0..pool).map(|_| Connection::open(path)).collect();
        Ok(Self { connections: connections?, get: format!("SELECT {COLUMNS} FROM resources WHERE id = ?") })
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Resource> {
    Ok(Resource {
        id: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        dependencies: row.get(3)?,
        tags: row.get(4)?,
        metadata: row.get(5)?,
        rating: row.get(6)?,
        active: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}

fn get(connection: &Connection, statement: &str, id: &str) -> Result<Resource> {
    let found = connection.prepare_cached(statement)?.query_row([id], read).optional()?;
    found.ok_or_else(|| format!("{id} is not there").into())
}

fn find(connection: &Connection, limit: i64, filtered: bool) -> Result<Vec<Resource>> {
    fn all(connection: &Connection, statement: &str, parameters: impl Params) -> rusqlite::Result<Vec<Resource>> {
        connection.prepare_cached(statement)?.query_map(parameters, read)?.collect()
    }
    let order = "ORDER BY created_at DESC LIMIT ?";
    Ok(if filtered {
        let statement = format!("SELECT {COLUMNS} FROM resources WHERE active = ? AND rating >= ? {order}");
        all(connection, &statement, (true, 4.0, limit))?
    } else {
        all(connection, &format!("SELECT {COLUMNS} FROM resources {order}"), [limit])?
    })
}

fn as_json(row: &Resource) -> Result<Value> {
    row.json(|list| Ok(serde_json::from_str(list)?), |moment| Ok(json!(moment)))
}

impl Floor for Sqlite {
    fn got(&mut self, ids: &[String]) -> Result<Vec<Value>> {
        ids.iter().map(|id| as_json(&get(&self.connections[0], &self.get, id)?)).collect()
    }

    fn found(&mut self, limit: i64, filtered: bool) -> Result<Vec<Value>> {
        find(&self.connections[0], limit, filtered)?.iter().map(as_json).collect()
    }

    fn get(&mut self, gets: Gets) -> Result<Value> {
        let keys = keys(gets.rows, gets.seed);
        let key = |i: usize| &keys[i % keys.len()];
        if gets.concurrency == 1 {
            return timing::alone(gets.seconds, |i| get(&self.connections[0], &self.get, key(i)));
        }
        let threads = gets.concurrency.min(self.connections.len());
        timing::threads(gets.seconds, &mut self.connections[..threads], |connection, i| {
            get(connection, &self.get, key(i))
        })
    }

    fn find(&mut self, limit: i64, filtered: bool, seconds: f64) -> Result<Value> {
        timing::alone(seconds, |_| find(&self.connections[0], limit, filtered))
    }
}
