//! Reaching one of the servers of a URL.

use std::future::Future;

use crate::config::{Config, Endpoint};
use crate::error::{Error, Kind, Result};

/// What `connecting` gives within the deadline of opening one connection. To be awaited on the runtime.
pub(in crate::backends) async fn in_time<C>(config: &Config, connecting: impl Future<Output = Result<C>>) -> Result<C> {
    let patience = config.pool.connect_timeout;
    let late = || Error::connection_failed(format!("cannot connect within {patience:?}"));
    tokio::time::timeout(patience, connecting).await.map_err(|_| late())?
}

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
