//! What can be asked without a database.
#![expect(clippy::needless_pass_by_value, reason = "napi hands arguments over by value")]

use farm_db_core::error::TABLE;
use farm_db_core::{Contract, Map, Value};
use napi_derive::napi;

use crate::error::to_napi;
use crate::reply::map_text;

/// Every kind of error as a JSON object by code: retryable, HTTP status, meaning.
#[napi(catch_unwind)]
pub fn error_table() -> String {
    let rows = TABLE.iter().map(|entry| {
        let mut row = Map::new();
        row.insert("retryable".to_owned(), entry.retryable.into());
        row.insert("httpStatus".to_owned(), i64::from(entry.http_status).into());
        row.insert("meaning".to_owned(), entry.meaning.into());
        (entry.code.to_owned(), Value::Map(row))
    });
    map_text(&rows.collect())
}

/// The canonical JSON of a contract and its sha-256.
#[napi(catch_unwind)]
pub fn normalise_contract(contract: String) -> napi::Result<Vec<String>> {
    let contract = Contract::parse(&contract).map_err(|error| to_napi(&error))?;
    Ok(vec![contract.to_json(), contract.hash()])
}
