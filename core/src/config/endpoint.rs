//! [`Endpoint`]: where a server listens, read from the authority of a URL or from an option.
//!
//! Invariant: no error here repeats what was read, because an unencoded password can end up in the place of a host.

use std::fmt;
use std::net::IpAddr;

use super::encoding::{decode, encode};
use crate::error::{Error, Result};

/// One place where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or an address, and a port.
    Tcp {
        /// The name or address; an IPv6 address without its brackets.
        host: String,
        /// The port, the backend's default where none was named.
        port: u16,
    },
    /// A Unix domain socket: its path, or for `PostgreSQL` its directory.
    Socket {
        /// The path, always absolute.
        path: String,
        /// The port; it is a part of the file name of a `PostgreSQL` socket.
        port: u16,
    },
}

impl Endpoint {
    /// One endpoint from a name that may be a path, as `host=` of libpq.
    pub(super) fn named(host: &str, port: u16) -> Result<Self> {
        if host.starts_with('/') {
            return Ok(Self::Socket { path: host.to_owned(), port });
        }
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let sound = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '%');
        if inner.is_empty() || !inner.chars().all(sound) {
            return Err(invalid("a host of the database url is empty or holds a character that no host name has"));
        }
        Ok(Self::Tcp { host: inner.to_owned(), port })
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket { .. } => true,
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
        }
    }

    /// The same place with another port.
    pub(super) fn at(self, port: u16) -> Self {
        match self {
            Self::Tcp { host, .. } => Self::Tcp { host, port },
            Self::Socket { path, .. } => Self::Socket { path, port },
        }
    }
}

impl fmt::Display for Endpoint {
    /// As it stands in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{}]:{port}", host.replace('%', "%25")),
            Self::Tcp { host, port } => write!(f, "{}:{port}", encode(host)),
            Self::Socket { path, port } => write!(f, "{}:{port}", encode(path)),
        }
    }
}

/// Reads `host:port,host:port`, where every part may be left out.
pub(super) fn parse_all(text: &str, default_port: u16) -> Result<Vec<Endpoint>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|one| parse_one(one, default_port)).collect()
}

fn parse_one(text: &str, default_port: u16) -> Result<Endpoint> {
    let (host, port) = match text.rfind(']') {
        Some(end) => (&text[..=end], text[end + 1..].strip_prefix(':').or((end + 1 < text.len()).then_some("?"))),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None | Some("") => default_port,
        Some(port) => parse_port(port)?,
    };
    Endpoint::named(&decode(host, "a host")?, port)
}

/// A port from 1 to 65535.
pub(super) fn parse_port(text: &str) -> Result<u16> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if plain && port > 0 => Ok(port),
        _ => Err(invalid(
            "the port of the database url is not a number from 1 to 65535; \
             is a `:`, `/`, `?`, `#` or `@` of a password not percent-encoded?",
        )
        .with("expected", "a port from 1 to 65535")),
    }
}

fn invalid(message: &'static str) -> Error {
    Error::invalid_configuration(message).with("option", "url")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn several_hosts_with_and_without_ports_are_read() {
        let read = parse_all("a.example:1,b.example,[::1]:7,[fe80::1%25eth0]", 5432).unwrap();
        assert_eq!(read, [tcp("a.example", 1), tcp("b.example", 5432), tcp("::1", 7), tcp("fe80::1%eth0", 5432)]);
        assert!(parse_all("", 1).unwrap().is_empty());
    }

    #[test]
    fn a_percent_encoded_path_is_a_socket() {
        let read = parse_all("%2Fvar%2Frun%2Fpostgresql", 5432).unwrap();
        assert_eq!(read, [Endpoint::Socket { path: "/var/run/postgresql".to_owned(), port: 5432 }]);
        assert_eq!(parse_all(&read[0].to_string(), 1).unwrap(), read);
    }

    #[test]
    fn what_is_no_host_or_port_is_refused_without_repeating_it() {
        for text in
            ["a b", "canary:x9", "canary:0", "canary:65536", "canary:+1", "canary:1:2", ",", "[::1]canary", "a\0"]
        {
            let error = parse_all(text, 1).unwrap_err();
            assert_eq!(error.code(), "invalid_configuration");
            assert!(!format!("{error} {:?}", error.context()).contains("canary"), "{error}");
        }
    }
}
