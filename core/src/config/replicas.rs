//! The option `replicas`: each URL becomes a configuration of its own, which says what the primary's says unless the URL
//! says something else.

use super::Config;
use super::backend_kind::BackendKind;
use super::setting::Setting;
use super::settings::{Layer, Settings};
use super::url::{DatabaseUrl, Location};
use crate::error::{Error, Result};

/// A replica that does not answer may take this part of a caller's deadline, and is then given up.
const SHARE: u32 = 4;

/// Takes the replicas out of the settings.
pub(super) fn read(primary: &DatabaseUrl, settings: &mut Settings) -> Result<Vec<Config>> {
    let Some(Setting::Urls(urls)) = settings.take("replicas") else { return Ok(Vec::new()) };
    match primary.backend() {
        BackendKind::Sqlite => {
            Err(refused("sqlite has no replicas: its readers already run beside the writer, leave `replicas` out"))
        }
        BackendKind::Mongodb => Err(refused(
            "mongodb finds the members of its replica set by itself: leave `replicas` out and say which of them answer \
             reads by `readPreference`, such as secondaryPreferred",
        )),
        BackendKind::Postgres | BackendKind::Mysql => {
            urls.iter().map(|url| one(primary, url.expose(), settings.clone())).collect()
        }
    }
}

fn one(primary: &DatabaseUrl, url: &str, mut settings: Settings) -> Result<Config> {
    let mut url = DatabaseUrl::parse(url).map_err(|error| error.replacing("option", "replicas"))?;
    if url.backend() != primary.backend() {
        let message =
            format!("a replica of {} is one of {} too, not of {}", primary.backend(), primary.backend(), url.backend());
        return Err(refused(message));
    }
    let schema = settings.text("schema").map(str::to_owned);
    // Where the primary is says nothing about the replica.
    for name in ["host", "port", "unix_socket"] {
        settings.take(name);
    }
    if let (Location::Server(server), Some(model)) = (&mut url.location, primary.server()) {
        if server.user.is_some() {
            settings.take("user");
            settings.take("password");
        } else {
            (server.user, server.password) = (model.user.clone(), model.password.clone());
        }
        if server.database.is_some() {
            settings.take("database");
        } else {
            server.database.clone_from(&model.database);
        }
    }
    settings.overlay(Layer::of_parameters(url.backend(), &url.parameters, url.doubtful_query)?);
    if settings.take("replicas").is_some() {
        return Err(refused("a replica has no replicas of its own here: name all of them beside the primary"));
    }
    if settings.text("schema") != schema.as_deref() {
        return Err(refused("a replica has its tables in the schema of the primary's: leave `schema` out of its url"));
    }
    let mut config = Config::of_settings(url, settings)?;
    let pool = &mut config.pool;
    let deadline = config.statement_timeout.unwrap_or(pool.acquire_timeout).min(pool.acquire_timeout);
    pool.connect_timeout = pool.connect_timeout.min(deadline / SHARE);
    Ok(config)
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid_configuration(message).with("option", "replicas")
}
