//! Configuration from environment variables: `DATABASE_URL`, or the split variables of the founding documents.
//!
//! | variable | meaning |
//! |---|---|
//! | `DATABASE_URL` | the URL; it wins over everything below |
//! | `DATABASE_TYPE` | `mongodb`, `postgresql`, `mysql`, `mariadb` or `sqlite`: which of the families below is meant |
//! | `MONGO_URI` | the URL of a `MongoDB`; without `DATABASE_TYPE` it is looked at first, as the founding documents do |
//! | `POSTGRES_HOST`, `_PORT`, `_DATABASE` (or `_DB`), `_USERNAME` (or `_USER`), `_PASSWORD` | the server |
//! | `POSTGRES_SSL` | true: encrypted with a verified certificate; false: not encrypted |
//! | `POSTGRES_MAX_CONNECTIONS` | `max_size` |
//! | `POSTGRES_CONNECTION_TIMEOUT` | milliseconds, both `acquire_timeout` and `connect_timeout`, as node-postgres has it |
//! | `MYSQL_*` | the same for `MySQL` |
//! | `SQLITE_PATH` | the file, or `:memory:`; `farm.db` where only the type is set |
//! | `DB_POOL_SIZE`, `DB_MAX_OVERFLOW` | `pool_size` and `max_overflow`, also beside `DATABASE_URL` |
//!
//! Variables that are empty count as not set. Parameters of a URL win over variables, options of the host over both.
//! Not for: `.env` files; who has one reads it and passes a `get` that knows it.

use super::Config;
use super::backend_kind::BackendKind;
use super::endpoint::{self, Endpoint};
use super::secret::Secret;
use super::settings::{Layer, Settings};
use super::url::{DatabaseUrl, Location, Server};
use crate::error::{Error, Result};
use crate::value::Map;

/// One variable, the option that it sets, its text.
type Variable = (&'static str, &'static str, String);

/// Reads the configuration; nothing where no variable names a database.
pub(super) fn read(get: &dyn Fn(&str) -> Option<String>, options: &Map) -> Result<Option<Config>> {
    let get = |name: &str| get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let Some((url, mut variables)) = find(&get)? else {
        return Ok(None);
    };
    let sized = variables.iter().any(|(_, option, _)| *option == "max_size");
    let sizes = [("DB_POOL_SIZE", "pool_size"), ("DB_MAX_OVERFLOW", "max_overflow")];
    if !sized {
        variables.extend(sizes.into_iter().filter_map(|(name, option)| Some((name, option, get(name)?))));
    }
    let mut settings = Settings::default();
    settings.overlay(Layer::of_variables(url.backend(), &variables)?);
    Config::build(url, settings, options).map(Some)
}

fn find(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<(DatabaseUrl, Vec<Variable>)>> {
    if let Some(url) = get("DATABASE_URL") {
        return Ok(Some((
            DatabaseUrl::parse(&url).map_err(|error| error.with("variable", "DATABASE_URL"))?,
            Vec::new(),
        )));
    }
    let Some(kind) = kind(get)? else {
        return Ok(None);
    };
    let found = match kind {
        BackendKind::Mongodb => (mongodb(get)?, Vec::new()),
        BackendKind::Sqlite => {
            let path = get("SQLITE_PATH").unwrap_or_else(|| "farm.db".to_owned());
            let location = if path == ":memory:" { Location::Memory } else { Location::File(path) };
            (DatabaseUrl::assemble(kind, location), Vec::new())
        }
        BackendKind::Postgres => server(kind, &POSTGRES, get)?,
        BackendKind::Mysql => server(kind, &MYSQL, get)?,
    };
    Ok(Some(found))
}

/// Which kind of database the variables speak of.
fn kind(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<BackendKind>> {
    if let Some(name) = get("DATABASE_TYPE") {
        let kind = BackendKind::from_name(&name).ok_or_else(|| {
            invalid("DATABASE_TYPE", "`DATABASE_TYPE` is none of mongodb, postgresql, mysql, mariadb, sqlite")
        })?;
        return Ok(Some(kind));
    }
    if get("MONGO_URI").is_some() {
        return Ok(Some(BackendKind::Mongodb));
    }
    let names = |family: &Family| family.host.iter().chain(family.database).any(|name| get(name).is_some());
    let told = [
        (BackendKind::Postgres, names(&POSTGRES)),
        (BackendKind::Mysql, names(&MYSQL)),
        (BackendKind::Sqlite, get("SQLITE_PATH").is_some()),
    ];
    let mut told = told.into_iter().filter_map(|(kind, told)| told.then_some(kind));
    match (told.next(), told.next()) {
        (Some(one), Some(other)) => Err(invalid(
            "DATABASE_TYPE",
            format!("variables of {one} and of {other} are set: `DATABASE_TYPE` must say which is meant"),
        )),
        (kind, _) => Ok(kind),
    }
}

fn mongodb(get: &dyn Fn(&str) -> Option<String>) -> Result<DatabaseUrl> {
    let url = get("MONGO_URI")
        .ok_or_else(|| invalid("MONGO_URI", "`DATABASE_TYPE` is mongodb but `MONGO_URI` is not set"))?;
    let url = DatabaseUrl::parse(&url).map_err(|error| error.with("variable", "MONGO_URI"))?;
    if url.backend() != BackendKind::Mongodb {
        return Err(invalid("MONGO_URI", format!("`MONGO_URI` is a url of {}, not of mongodb", url.backend())));
    }
    Ok(url)
}

/// The variables of one kind of server; of several names for one thing the first that is set.
struct Family {
    host: &'static [&'static str],
    port: &'static str,
    database: &'static [&'static str],
    user: &'static [&'static str],
    password: &'static str,
    options: [(&'static str, &'static str); 4],
}

const POSTGRES: Family = Family {
    host: &["POSTGRES_HOST"],
    port: "POSTGRES_PORT",
    database: &["POSTGRES_DATABASE", "POSTGRES_DB"],
    user: &["POSTGRES_USERNAME", "POSTGRES_USER"],
    password: "POSTGRES_PASSWORD",
    options: [
        ("POSTGRES_SSL", "ssl"),
        ("POSTGRES_MAX_CONNECTIONS", "max_size"),
        ("POSTGRES_CONNECTION_TIMEOUT", "acquire_timeout_ms"),
        ("POSTGRES_CONNECTION_TIMEOUT", "connect_timeout_ms"),
    ],
};

const MYSQL: Family = Family {
    host: &["MYSQL_HOST"],
    port: "MYSQL_PORT",
    database: &["MYSQL_DATABASE", "MYSQL_DB"],
    user: &["MYSQL_USERNAME", "MYSQL_USER"],
    password: "MYSQL_PASSWORD",
    options: [
        ("MYSQL_SSL", "ssl"),
        ("MYSQL_MAX_CONNECTIONS", "max_size"),
        ("MYSQL_CONNECTION_TIMEOUT", "acquire_timeout_ms"),
        ("MYSQL_CONNECTION_TIMEOUT", "connect_timeout_ms"),
    ],
};

fn server(
    kind: BackendKind,
    family: &Family,
    get: &dyn Fn(&str) -> Option<String>,
) -> Result<(DatabaseUrl, Vec<Variable>)> {
    let first = |names: &[&str]| names.iter().find_map(|name| get(name));
    let port = match get(family.port) {
        Some(text) => endpoint::parse_port(&text)
            .map_err(|_| invalid(family.port, format!("`{}` is not a port from 1 to 65535", family.port)))?,
        None => kind.default_port().unwrap_or_default(),
    };
    let host = first(family.host).unwrap_or_else(|| "localhost".to_owned());
    let endpoint = Endpoint::named(&host, port).map_err(|_| {
        invalid(family.host[0], format!("`{}` is neither a host nor a path of a socket", family.host[0]))
    })?;
    let server = Server {
        endpoints: vec![endpoint],
        srv: false,
        user: first(family.user),
        password: get(family.password).map(Secret::new),
        database: first(family.database),
    };
    let set = family.options.iter().filter_map(|(variable, option)| Some((*variable, *option, get(variable)?)));
    Ok((DatabaseUrl::assemble(kind, Location::Server(server)), set.collect()))
}

fn invalid(variable: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid_configuration(message).with("variable", variable)
}
