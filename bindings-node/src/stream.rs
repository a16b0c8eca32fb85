//! Rows in batches.

use std::sync::{Arc, Mutex, PoisonError};

use farm_db_core::{Error, RowStream, runtime};
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;

use crate::completion::{Outcome, promise};
use crate::reply;

/// Rows in batches; holds one connection until it ends, is closed or is collected.
#[napi]
pub struct NativeStream {
    /// Empty while a batch is read, and after the end.
    slot: Arc<Mutex<Slot>>,
}

enum Slot {
    Idle(Box<RowStream>),
    Reading,
    Closed,
}

fn swap(slot: &Mutex<Slot>, with: Slot) -> Slot {
    std::mem::replace(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner), with)
}

/// Gives the connection back; what is left of a transaction's stream must be ended before its next statement.
fn end(mut stream: Box<RowStream>) {
    runtime::spawn(async move { stream.close().await }).detach();
}

impl NativeStream {
    pub(crate) fn new(stream: RowStream) -> Self {
        Self { slot: Arc::new(Mutex::new(Slot::Idle(Box::new(stream)))) }
    }
}

impl Drop for NativeStream {
    fn drop(&mut self) {
        self.close();
    }
}

#[napi]
impl NativeStream {
    /// The next batch as a JSON list; an empty one at the end.
    #[napi(ts_return_type = "Promise<string | Buffer>", catch_unwind)]
    pub fn next(&self, env: Env) -> napi::Result<PromiseRaw<'static, ()>> {
        let slot = Arc::clone(&self.slot);
        promise(&env, async move {
            let mut stream = match swap(&slot, Slot::Reading) {
                Slot::Idle(stream) => stream,
                Slot::Reading => return Err(Error::invalid_query("the stream is being read already")),
                Slot::Closed => {
                    swap(&slot, Slot::Closed);
                    return reply::batch(None).map(Outcome::Json);
                }
            };
            let rows = stream.next().await;
            let json = rows.and_then(|rows| reply::batch(rows.as_ref()));
            // Closed meanwhile: the slot keeps saying so, and the stream ends here.
            match swap(&slot, Slot::Idle(stream)) {
                Slot::Closed => {
                    if let Slot::Idle(stream) = swap(&slot, Slot::Closed) {
                        end(stream);
                    }
                }
                Slot::Idle(_) | Slot::Reading => {}
            }
            json.map(Outcome::Json)
        })
    }

    /// Ends early.
    #[napi]
    pub fn close(&self) {
        if let Slot::Idle(stream) = swap(&self.slot, Slot::Closed) {
            end(stream);
        }
    }
}
