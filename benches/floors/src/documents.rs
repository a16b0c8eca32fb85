//! MongoDB by the `mongodb` crate: documents as they come, as raw BSON.

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::data::keys;
use crate::{Floor, Gets, Result, timing};

type Resources = Collection<RawDocumentBuf>;

pub(crate) struct Mongodb {
    runtime: Runtime,
    resources: Resources,
}

impl Mongodb {
    pub(crate) fn open(url: &str, database: &str, pool: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let resources = runtime.block_on(async {
            let mut options = ClientOptions::parse(url).await?;
            options.max_pool_size = u32::try_from(pool).ok();
            Ok::<_, mongodb::error::Error>(Client::with_options(options)?.database(database).collection("resources"))
        })?;
        Ok(Self { runtime, resources })
    }
}

async fn get(resources: &Resources, id: &str) -> Result<RawDocumentBuf> {
    let found = resources.find_one(doc! {"_id": id}).await?;
    found.ok_or_else(|| format!("{id} is not there").into())
}

async fn find(resources: &Resources, limit: i64, filtered: bool) -> Result<Vec<RawDocumentBuf>> {
    let filter = if filtered {
        doc! {"active": true, "rating": {"$gte": 4.0}}
    } else {
        doc! {}
    };
    let mut cursor = resources.find(filter).sort(doc! {"created_at": -1}).limit(limit).await?;
    let mut rows = Vec::new();
    while cursor.advance().await? {
        rows.push(cursor.current().to_owned());
    }
    Ok(rows)
}

fn as_json(row: &RawDocumentBuf) -> Result<Value> {
    let mut document = Document::try_from(row.as_ref())?;
    let mut out = json!({"id": document.remove("_id").and_then(|id| id.as_str().map(str::to_owned))});
    for name in ["created_at", "updated_at"] {
        let moment = document.get_datetime(name)?.try_to_rfc3339_string()?;
        document.insert(name, moment);
    }
    for (name, value) in document {
        out[name] = serde_json::to_value(value)?;
    }
    Ok(out)
}

impl Floor for Mongodb {
    fn got(&mut self, ids: &[String]) -> Result<Vec<Value>> {
        self.runtime.block_on(async {
            let mut rows = Vec::new();
            for id in ids {
                rows.push(as_json(&get(&self.resources, id).await?)?);
            }
            Ok(rows)
        })
    }

    fn found(&mut self, limit: i64, filtered: bool) -> Result<Vec<Value>> {
        self.runtime.block_on(find(&self.resources, limit, filtered))?.iter().map(as_json).collect()
    }

    fn get(&mut self, gets: Gets) -> Result<Value> {
        let (resources, keys) = (self.resources.clone(), std::sync::Arc::new(keys(gets.rows, gets.seed)));
        timing::tasks(&self.runtime, gets.seconds, gets.concurrency, move |_, i| {
            let (resources, keys) = (resources.clone(), std::sync::Arc::clone(&keys));
            async move { get(&resources, &keys[i % keys.len()]).await }
        })
    }

    fn find(&mut self, limit: i64, filtered: bool, seconds: f64) -> Result<Value> {
        let resources = self.resources.clone();
        timing::tasks(&self.runtime, seconds, 1, move |_, _| {
            let resources = resources.clone();
            async move { find(&resources, limit, filtered).await }
        })
    }
}
