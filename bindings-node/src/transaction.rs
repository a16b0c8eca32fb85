//! Transactions and savepoints.

use farm_db_core::Transaction;
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;

use crate::completion::{Outcome, promise};

/// A transaction or, when made by `begin`, a savepoint inside one. Collected unfinished, it is rolled back.
#[napi]
pub struct NativeTransaction {
    inner: Transaction,
}

/// What a call may be part of.
pub(crate) type Tx<'a> = Option<&'a NativeTransaction>;

/// The core's transaction of a call.
pub(crate) fn transaction(tx: Tx<'_>) -> Option<Transaction> {
    tx.map(|tx| tx.inner.clone())
}

impl NativeTransaction {
    pub(crate) fn new(inner: Transaction) -> Self {
        Self { inner }
    }
}

#[napi]
impl NativeTransaction {
    /// Whether it is neither committed nor rolled back.
    #[napi(getter)]
    pub fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    /// Commits.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn commit(&self, env: Env) -> napi::Result<PromiseRaw<'static, ()>> {
        let inner = self.inner.clone();
        promise(&env, async move { inner.commit().await.map(|()| Outcome::nothing()) })
    }

    /// Rolls back.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn rollback(&self, env: Env) -> napi::Result<PromiseRaw<'static, ()>> {
        let inner = self.inner.clone();
        promise(&env, async move { inner.rollback().await.map(|()| Outcome::nothing()) })
    }

    /// Sets a savepoint.
    #[napi(ts_return_type = "Promise<NativeTransaction>", catch_unwind)]
    pub fn begin(&self, env: Env) -> napi::Result<PromiseRaw<'static, ()>> {
        let inner = self.inner.clone();
        promise(&env, async move { inner.begin().await.map(|inner| Outcome::Transaction(Self::new(inner))) })
    }
}
