//! The row of a key: by far the most frequent call, whose way is as short as can be.

use farm_db_core::value::tagged;
use farm_db_core::{Repository, Value};
use napi::Env;
use napi::bindgen_prelude::{JsValue, Unknown};
use napi_derive::napi;

use crate::completion::{Outcome, finished, promise};
use crate::error::to_napi;
use crate::reply;

/// The gets of one entity outside transactions.
#[napi]
pub struct NativeGets {
    inner: Repository,
}

impl NativeGets {
    pub(crate) fn new(inner: Repository) -> Self {
        Self { inner }
    }
}

#[napi]
impl NativeGets {
    /// The JSON of a list of the row of this key, which is text or, where `is_json`, tagged JSON: itself where it can be read
    /// at once, else a promise of it.
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
}
