//! What of one entity goes another way than `call`: the row of a key, by far the most frequent call, and new rows.

use std::sync::Arc;

use farm_db_core::value::tagged;
use farm_db_core::{Repository, Value};
use napi::Env;
use napi::bindgen_prelude::{JsValue, PromiseRaw, Unknown};
use napi_derive::napi;

use crate::completion::{Outcome, finished, promise};
use crate::creation::NativeCreation;
use crate::error::to_napi;
use crate::intake::Intake;
use crate::reply;
use crate::transaction::{Tx, transaction};

/// The rows of one entity.
#[napi]
pub struct NativeRepository {
    inner: Repository,
}

impl NativeRepository {
    pub(crate) fn new(inner: Repository) -> Self {
        Self { inner }
    }
}

#[napi]
impl NativeRepository {
    /// Outside transactions: the JSON of a list of the row of this key, which is text or, where `is_json`, tagged JSON: itself
    /// where it can be read at once, else a promise of it.
    #[napi(ts_return_type = "string | Promise<string>", catch_unwind)]
    pub fn get(&self, env: Env, id: String, is_json: bool) -> napi::Result<Unknown<'static>> {
        let id = if is_json { tagged::read(id.as_bytes()) } else { Ok(Value::Text(id)) };
        let key = id.and_then(|id| self.inner.key(id)).map_err(|error| to_napi(&error))?;
        if let Some(found) = self.inner.get_at_once(&key).transpose() {
            return finished(&env, found.and_then(|rows| reply::rows(&rows)).map(Outcome::Text));
        }
        let inner = self.inner.clone();
        let later = promise(&env, async move { reply::rows(&inner.get(key, None).await?).map(Outcome::Text) })?;
        Ok(later.to_unknown())
    }

    /// Inserts the few rows of a JSON list, all or none; resolves to what the core has made of them (`NativeCreation::made`).
    #[napi(ts_return_type = "Promise<string>", catch_unwind)]
    pub fn create(&self, env: Env, rows: String, tx: Tx<'_>) -> napi::Result<PromiseRaw<'static, ()>> {
        let (inner, tx) = (self.inner.clone(), transaction(tx));
        promise(&env, async move {
            let mut intake = Intake::new(&inner);
            let mut batch = intake.batch(1);
            let made = intake.take(&rows, false, &mut batch)?;
            drop(rows);
            let keys = inner.insert_for_keys(Arc::new(batch), tx.as_ref()).await?;
            Ok(Outcome::Text(made.tell(&inner, &keys)))
        })
    }

    /// Begins to insert rows of which others are still to come.
    #[napi(catch_unwind)]
    pub fn creation(&self, tx: Tx<'_>) -> NativeCreation {
        NativeCreation::new(&self.inner, transaction(tx))
    }
}
