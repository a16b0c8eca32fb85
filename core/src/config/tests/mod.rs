//! The configuration as its users meet it.

mod environment;
mod options;
mod properties;
mod replicas;
mod urls;

use super::*;
use crate::document;

/// A configuration of a URL alone.
fn of(url: &str) -> Config {
    Config::parse(url, &Map::new()).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// The error of a URL with options.
fn refused(url: &str, options: &Map) -> Error {
    let error = Config::parse(url, options).expect_err(url);
    assert_eq!(error.code(), "invalid_configuration");
    error
}

/// Everything that an error shows.
fn shown(error: &Error) -> String {
    format!("{error} {error:?} {:?}", error.context())
}
