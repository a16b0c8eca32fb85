//! The core of farm-db: one database layer for FastAPI and Node apps. `ARCHITECTURE.md` is the tour.

pub mod config;
pub mod error;
pub mod pool;
pub mod value;

pub use error::{Error, Kind, Result};
pub use value::{Map, Value};
