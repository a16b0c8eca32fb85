//! PostgreSQL by tokio-postgres: prepared statements on as many connections as the pool has. Tasks that share a
//! connection are pipelined by the driver.

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use mongodb::bson::DateTime;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, NoTls, Statement};

use crate::data::{COLUMNS, Row, keys};
use crate::{Floor, Gets, Result, timing};

type Resource = Row<Vec<String>, SystemTime>;

/// The text of a `jsonb`, behind the byte of its version.
struct Jsonb(String);

impl<'a> FromSql<'a> for Jsonb {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(str::from_utf8(raw.get(1..).unwrap_or_default())?.to_owned()))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::JSONB
    }
}

struct Link {
    client: Client,
    get: Statement,
    page: Statement,
    some: Statement,
}

pub(crate) struct Postgres {
    runtime: Runtime,
    links: Arc<Vec<Link>>,
}

impl Postgres {
    pub(crate) fn open(url: &str, pool: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let links = runtime.block_on(async {
            let mut links = Vec::new();
            for _ in 0..pool {
                links.push(Link::open(url).await?);
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(links)
        })?;
        Ok(Self { runtime, links: Arc::new(links) })
    }
}

impl Link {
    async fn open(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let all = format!("SELECT {COLUMNS} FROM resources");
        let order = "ORDER BY created_at DESC LIMIT";
        Ok(Self {
            get: client.prepare(&format!("{all} WHERE id = $1")).await?,
            page: client.prepare(&format!("{all} {order} $1")).await?,
            some: client.prepare(&format!("{all} WHERE active = $2 AND rating >= $3 {order} $1")).await?,
            client,
        })
    }

    async fn get(&self, id: &str) -> Result<Resource> {
        read(&self.client.query_one(&self.get, &[&id]).await?)
    }

    async fn find(&self, limit: i64, filtered: bool) -> Result<Vec<Resource>> {
        let rows = if filtered {
            self.client.query(&self.some, &[&limit, &true, &4.0]).await?
        } else {
            self.client.query(&self.page, &[&limit]).await?
        };
        rows.iter().map(read).collect()
    }
}

fn read(row: &tokio_postgres::Row) -> Result<Resource> {
    Ok(Resource {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        description: row.try_get(2)?,
        dependencies: row.try_get(3)?,
        tags: row.try_get(4)?,
        metadata: row.try_get::<_, Jsonb>(5)?.0,
        rating: row.try_get(6)?,
        active: row.try_get(7)?,
        created_at: row.try_get(8)?,
        updated_at: row.try_get(9)?,
    })
}

fn as_json(row: &Resource) -> Result<Value> {
    // One crate that writes moments is enough.
    let moment = |time: &SystemTime| Ok(json!(DateTime::from_system_time(*time).try_to_rfc3339_string()?));
    row.json(|list| Ok(json!(list)), moment)
}

impl Floor for Postgres {
    fn got(&mut self, ids: &[String]) -> Result<Vec<Value>> {
        self.runtime.block_on(async {
            let mut rows = Vec::new();
            for id in ids {
                rows.push(as_json(&self.links[0].get(id).await?)?);
            }
            Ok(rows)
        })
    }

    fn found(&mut self, limit: i64, filtered: bool) -> Result<Vec<Value>> {
        self.runtime.block_on(self.links[0].find(limit, filtered))?.iter().map(as_json).collect()
    }

    fn get(&mut self, gets: Gets) -> Result<Value> {
        let (links, keys) = (Arc::clone(&self.links), Arc::new(keys(gets.rows, gets.seed)));
        timing::tasks(&self.runtime, gets.seconds, gets.concurrency, move |task, i| {
            let (links, keys) = (Arc::clone(&links), Arc::clone(&keys));
            async move { links[task % links.len()].get(&keys[i % keys.len()]).await }
        })
    }

    fn find(&mut self, limit: i64, filtered: bool, seconds: f64) -> Result<Value> {
        let links = Arc::clone(&self.links);
        timing::tasks(&self.runtime, seconds, 1, move |_, _| {
            let links = Arc::clone(&links);
            async move { links[0].find(limit, filtered).await }
        })
    }
}
