//! Reaching one of the servers of a URL.

use crate::config::{Config, Endpoint};
use crate::error::{Error, Kind};

/// Why none of the places answered: names each of them, and no secret.
pub(in crate::backends) fn unreachable(config: &Config, failures: &[(&Endpoint, Error)]) -> Error {
    let Some((_, first)) = failures.first() else {
        return Error::invalid_configuration("the url names no host");
    };
    // A server that answered and refused says more than what could not be reached.
    let kind = match first.kind() {
        kind @ (Kind::InvalidConfiguration | Kind::Unsupported) => kind,
        _ => Kind::ConnectionFailed,
    };
    let tried: Vec<_> = failures.iter().map(|(place, error)| format!("{place}: {}", error.message())).collect();
    let code = failures.iter().find_map(|(_, error)| error.context().get("sqlstate").cloned());
    let error = Error::new(kind, format!("cannot connect to {}", tried.join("; "))).with("url", config.url.redacted());
    match code {
        Some(code) => error.with("sqlstate", code),
        None => error,
    }
}
