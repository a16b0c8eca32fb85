//! An empty database of each backend, for tests that hold for all of them. The servers' URLs come from the environment,
//! into which `scripts/servers.py` puts them; a missing one is a failure, so that no backend goes untested unnoticed.

use farm_db_core::{Contract, ContractMode, Database, Map, Value, document};

/// A database of its own, open; to be ended by [`Fresh::end`].
pub(crate) struct Fresh {
    pub(crate) database: Database,
    backend: &'static str,
    name: String,
    url: String,
    _folder: tempfile::TempDir,
}

fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run the tests by `make test` or `scripts/servers.py -- COMMAND`")
    })
}

impl Fresh {
    /// An empty database of this backend with the tables of the contract.
    pub(crate) async fn open(backend: &'static str, contract: Contract) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("farm_{}", farm_db_core::value::Uuid::new_v4().simple());
        let url = match backend {
            "sqlite" => format!("sqlite:///{}/test.db", folder.path().display()),
            "postgres" => format!("{}?schema={name}", server("FARM_TEST_POSTGRES_URL")),
            "mysql" => {
                execute_on_mysql(&format!("CREATE DATABASE {name}")).await;
                server("FARM_TEST_MYSQL_URL").trim_end_matches("farm").to_owned() + &name
            }
            "mongodb" => server("FARM_TEST_MONGODB_URL").replacen("/?", &format!("/{name}?"), 1),
            other => panic!("{other} is no backend"),
        };
        let database = Database::new(&url, &Map::new(), contract).unwrap();
        database.connect(ContractMode::Check, true).await.unwrap();
        Self { database, backend, name, url, _folder: folder }
    }

    /// The same database for another app; to be connected and closed.
    #[allow(dead_code, reason = "not every test has two apps")]
    pub(crate) fn another(&self, contract: Contract) -> Database {
        Database::new(&self.url, &Map::new(), contract).unwrap()
    }

    /// Removes the database.
    pub(crate) async fn end(self) {
        let statement = match self.backend {
            "sqlite" => return self.database.close().await.unwrap(),
            "postgres" => Value::from(format!("DROP SCHEMA {} CASCADE", self.name)),
            "mysql" => Value::from(format!("DROP DATABASE {}", self.name)),
            _ => Value::Map(document! { "dropDatabase" => 1 }),
        };
        self.database.execute(&statement, &Value::Null, None).await.unwrap();
        self.database.close().await.unwrap();
    }
}

async fn execute_on_mysql(statement: &str) {
    let contract = Contract::parse("{\"version\": 1, \"entities\": []}").unwrap();
    let database = Database::new(&server("FARM_TEST_MYSQL_URL"), &Map::new(), contract).unwrap();
    database.connect(ContractMode::Off, false).await.unwrap();
    database.execute(&Value::from(statement), &Value::Null, None).await.unwrap();
    database.close().await.unwrap();
}

/// Makes a test of each function for each backend, which it takes by name.
#[macro_export]
macro_rules! on_every_backend {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name("sqlite").await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name("postgres").await; })* }
        mod mysql { $(#[tokio::test] async fn $name() { super::$name("mysql").await; })* }
        mod mongodb { $(#[tokio::test] async fn $name() { super::$name("mongodb").await; })* }
    };
}
