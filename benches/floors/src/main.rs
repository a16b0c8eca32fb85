//! Bare drivers as contenders of the benchmark: what no library on top of them can beat.
//!
//! `farm-db-floors NAME` reads a JSON command a line and answers with one, as `../worker.py` does; NAME is a driver.
//! Rows are fetched and their columns read into plain values. JSON stays text and documents stay BSON: what is built of
//! them is a library's own work.

use std::io::{self, BufRead as _, Write as _};

use serde_json::{Value, json};

mod data;
mod documents;
mod postgres;
mod sqlite;
mod timing;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How a get is repeated.
#[derive(Clone, Copy)]
pub(crate) struct Gets {
    pub(crate) concurrency: usize,
    pub(crate) seconds: f64,
    pub(crate) rows: u64,
    pub(crate) seed: u64,
}

/// A driver that is connected to a database of the benchmark.
pub(crate) trait Floor {
    /// These rows, in the order of `ids`, as JSON.
    fn got(&mut self, ids: &[String]) -> Result<Vec<Value>>;

    /// Newest first, as JSON; `filtered` is active ones with a rating from 4.
    fn found(&mut self, limit: i64, filtered: bool) -> Result<Vec<Value>>;

    /// Gets by random keys until the time is up.
    fn get(&mut self, gets: Gets) -> Result<Value>;

    /// Fetches the newest rows again and again until the time is up.
    fn find(&mut self, limit: i64, filtered: bool, seconds: f64) -> Result<Value>;
}

fn open(name: &str, target: &Value, pool: usize) -> Result<Box<dyn Floor>> {
    let text = |key: &str| target[key].as_str().unwrap_or_default();
    Ok(match name {
        "rusqlite" => Box::new(sqlite::Sqlite::open(text("database"), pool)?),
        "tokio-postgres" => Box::new(postgres::Postgres::open(text("url"), pool)?),
        "mongodb-rust" => Box::new(documents::Mongodb::open(text("url"), text("database"), pool)?),
        _ => return Err(format!("no driver is called {name}").into()),
    })
}

/// What is answered to a command.
fn perform(name: &str, floor: &mut Option<Box<dyn Floor>>, command: &Value) -> Result<Value> {
    let number = |key: &str| command[key].as_u64().unwrap_or_default();
    let seconds = command["seconds"].as_f64().unwrap_or_default();
    let (limit, filtered) = (number("limit").cast_signed(), command["filtered"] == true);
    if command["op"] == "open" {
        *floor = None;
        *floor = Some(open(name, &command["target"], number("pool") as usize)?);
        return Ok(json!({}));
    }
    let floor = floor.as_mut().ok_or("not open")?;
    match command["op"].as_str() {
        Some("check_reads") => {
            let ids = command["ids"].as_array().ok_or("no ids")?;
            let ids: Vec<String> = ids.iter().filter_map(Value::as_u64).map(data::resource_id).collect();
            let parts =
                json!({"get": floor.got(&ids)?, "filtered": floor.found(50, true)?, "page": floor.found(1000, false)?});
            Ok(json!({"parts": parts, "kind": "columns"}))
        }
        Some("get") => {
            let concurrency = number("concurrency") as usize;
            floor.get(Gets { concurrency, seconds, rows: number("rows"), seed: number("seed") })
        }
        Some("find") => floor.find(limit, filtered, seconds),
        other => Err(format!("unknown command {other:?}").into()),
    }
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).ok_or("farm-db-floors NAME")?;
    let mut floor = None;
    for line in io::stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        if command["op"] == "quit" {
            break;
        }
        let mut answer = match perform(&name, &mut floor, &command) {
            Ok(answer) => answer,
            Err(error) => json!({"error": error.to_string(), "code": "", "trace": ""}),
        };
        answer["ok"] = json!(answer.get("error").is_none());
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
