//! The databases. Adding one is a folder here and a line in [`open`].

mod contract;
mod deadline;
mod mongodb;
mod mysql;
mod postgres;
mod search;
mod sql;
mod sqlite;

use std::sync::Arc;

pub(crate) use self::contract::REFERENCES;

use crate::backend::Backend;
use crate::config::{BackendKind, Config};
use crate::left;

/// The backend for a configuration; opens no connection.
pub(crate) fn open(config: &Arc<Config>) -> Arc<dyn Backend> {
    let backend: Arc<dyn Backend> = match config.backend() {
        BackendKind::Sqlite => Arc::new(sqlite::Sqlite::new(config)),
        BackendKind::Mongodb => Arc::new(mongodb::Mongodb::new(config)),
        BackendKind::Postgres => Arc::new(postgres::Postgres::new(config)),
        BackendKind::Mysql => Arc::new(mysql::Mysql::new(config)),
    };
    left::note(&backend);
    backend
}
