//! The core of farm-db: one database layer for FastAPI and Node apps. `ARCHITECTURE.md` is the tour.

pub mod backend;
mod backends;
pub mod config;
mod database;
pub mod error;
pub mod fork;
mod lease;
pub mod left;
pub mod pool;
pub mod query;
mod replicas;
pub mod repository;
pub mod runtime;
pub mod schema;
mod transaction;
pub mod turn;
pub mod value;

pub use backend::TransactionOptions;
pub use database::{ConnectReport, ContractMode, Database};
pub use error::{Error, Kind, Result};
pub use repository::{Reply, Repository, RowSet, RowStream, Verb};
pub use schema::Contract;
pub use transaction::Transaction;
pub use value::{Map, Value};
