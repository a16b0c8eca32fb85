//! [`DatabaseUrl`]: a database URL taken apart, in every form that conventions.md lists.
//!
//! Invariant: what [`DatabaseUrl::redacted`] returns, and with it `Display` and `Debug`, holds no password and no secret
//! parameter, and parses again to the same place. Errors repeat at most the scheme and names of parameters. Not for: the
//! meaning of the parameters; see [`super::settings`].

use std::fmt;

use super::backend_kind::{BackendKind, Scheme};
use super::encoding::{decode, encode, encode_path};
use super::endpoint::{self, Endpoint};
use super::option_table;
use super::secret::{MASK, Secret, is_sensitive};
use crate::error::{Error, Result};

/// A database URL taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    scheme: Scheme,
    pub(super) location: Location,
    pub(super) parameters: Vec<Parameter>,
    /// Whether a raw `@` stands in the query: then no name and no value of it is shown, for it may be the end of a
    /// password that was not percent-encoded.
    pub(super) doubtful_query: bool,
}

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A private database in memory (`SQLite`).
    Memory,
    /// A file (`SQLite`): a path, relative to the working directory unless absolute.
    File(String),
    /// A server.
    Server(Server),
}

/// A database on a server, or on one of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Where it listens; several of a cluster in the order of the URL; never empty.
    pub endpoints: Vec<Endpoint>,
    /// Whether the one endpoint is a name whose SRV records name the servers (`mongodb+srv`).
    pub srv: bool,
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The name of the database.
    pub database: Option<String>,
}

/// One query parameter as it was written, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: Secret,
}

impl DatabaseUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return Err(no_scheme());
        };
        // `user:password@host` has no scheme either, and its user must not be taken for one.
        if !rest.starts_with("//") && BackendKind::from_name(scheme.split('+').next().unwrap_or(scheme)).is_none() {
            return Err(no_scheme());
        }
        let scheme = Scheme::parse(scheme)?;
        match scheme.kind {
            BackendKind::Sqlite => parse_file(scheme, rest),
            _ => parse_server(scheme, rest),
        }
    }

    /// A URL of parts that were never one text, such as split environment variables.
    pub(super) fn assemble(kind: BackendKind, location: Location) -> Self {
        let scheme = Scheme { text: scheme_of(kind).to_owned(), kind, driver: None, srv: false };
        Self { scheme, location, parameters: Vec::new(), doubtful_query: false }
    }

    /// The kind of database.
    pub fn backend(&self) -> BackendKind {
        self.scheme.kind
    }

    /// The driver that a `SQLAlchemy` URL names behind `+`; farm-db has its own and does not use it.
    pub fn driver(&self) -> Option<&str> {
        self.scheme.driver.as_deref()
    }

    /// Where the database is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The server, unless the database is a file or memory.
    pub fn server(&self) -> Option<&Server> {
        match &self.location {
            Location::Server(server) => Some(server),
            Location::Memory | Location::File(_) => None,
        }
    }

    /// The name of the database: of a server its database, of a file its path; `:memory:` for memory.
    pub fn database(&self) -> Option<&str> {
        match &self.location {
            Location::Memory => Some(":memory:"),
            Location::File(path) => Some(path),
            Location::Server(server) => server.database.as_deref(),
        }
    }

    /// The URL for messages: the user is kept, passwords, secret parameters and parameters that nobody knows are `***`.
    pub fn redacted(&self) -> String {
        let backend = self.backend();
        let mut text = format!("{}://", self.scheme.text);
        match &self.location {
            Location::Memory => text.push_str("/:memory:"),
            Location::File(path) => text.extend(["/", &encode_path(path)]),
            Location::Server(server) => server.write(&mut text),
        }
        for (index, parameter) in self.parameters.iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            let known = option_table::find(&parameter.name, backend, false).is_some();
            let hidden = self.doubtful_query || !known || is_sensitive(&parameter.name);
            let name = if self.doubtful_query { MASK.to_owned() } else { encode(&parameter.name) };
            let value = if hidden { MASK.to_owned() } else { encode(parameter.value.expose()) };
            text.extend([&name, "=", &value]);
        }
        text
    }
}

impl Server {
    /// The part of the URL behind `//`, redacted.
    fn write(&self, text: &mut String) {
        if self.user.is_some() || self.password.is_some() {
            text.push_str(&encode(self.user.as_deref().unwrap_or_default()));
            text.push_str(if self.password.is_some() { ":***@" } else { "@" });
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            match endpoint {
                Endpoint::Tcp { host, .. } if self.srv => text.push_str(&encode(host)),
                _ => text.push_str(&endpoint.to_string()),
            }
        }
        text.push('/');
        text.push_str(&encode(self.database.as_deref().unwrap_or_default()));
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.redacted())
    }
}

/// Any text that is meant as a URL, for messages: redacted where it parses, else only its scheme.
pub fn redact(text: &str) -> String {
    match DatabaseUrl::parse(text) {
        Ok(url) => url.redacted(),
        Err(_) => match text.trim().split_once("://") {
            Some((scheme, _)) if Scheme::parse(scheme).is_ok() => format!("{}://{MASK}", scheme.to_ascii_lowercase()),
            _ => MASK.to_owned(),
        },
    }
}

fn parse_file(scheme: Scheme, rest: &str) -> Result<DatabaseUrl> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let location = match path.strip_prefix("//") {
        // SQLAlchemy: `sqlite://` alone and `sqlite:///` are memory, `sqlite:///x` is relative, `sqlite:////x` absolute.
        Some("" | "/" | ":memory:") => Location::Memory,
        Some(path) => match path.strip_prefix('/') {
            Some(path) => file(path)?,
            None => {
                return Err(invalid(
                    "a sqlite url has no host: write sqlite:///relative.db or sqlite:////absolute.db (or sqlite:relative.db)",
                ));
            }
        },
        None if path.is_empty() => {
            return Err(invalid("the sqlite url names no file: write sqlite:///relative.db or sqlite::memory:"));
        }
        None => file(path)?,
    };
    let (parameters, doubtful_query) = (parse_query(query)?, query.contains('@'));
    Ok(DatabaseUrl { scheme, location, parameters, doubtful_query })
}

fn file(path: &str) -> Result<Location> {
    let path = decode(path, "the path")?;
    if path == ":memory:" {
        return Ok(Location::Memory);
    }
    if path.starts_with("file:") {
        return Err(invalid("a sqlite url takes a plain path and `mode=...`, not a `file:` uri of its own"));
    }
    Ok(Location::File(path))
}

fn parse_server(scheme: Scheme, rest: &str) -> Result<DatabaseUrl> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(invalid("the database url lacks `//` behind its scheme"));
    };
    let (body, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = body.split_once('/').unwrap_or((body, ""));
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    // Behind the hosts an `@` tells of a password that was not encoded; to go on would put a piece of it into the
    // name of the database. Azure's `appName=@account@` is the one real use, and there the credentials stand before.
    if rest.contains('#') || path.contains('@') || (credentials.is_none() && query.contains('@')) {
        return Err(invalid(
            "the user, the password or the database of the url holds a character that must be percent-encoded: \
             `@` as %40, `:` as %3A, `/` as %2F, `?` as %3F, `#` as %23, `%` as %25",
        ));
    }
    let mut server = Server { srv: scheme.srv, ..Server::default() };
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(decode(password, "the password")?)),
            None => (credentials, None),
        };
        server.user = Some(decode(user, "the user")?).filter(|user| !user.is_empty());
        server.password = password.map(Secret::new);
    }
    server.endpoints = parse_endpoints(&scheme, hosts)?;
    server.database = parse_database(path)?;
    let (parameters, doubtful_query) = (parse_query(query)?, query.contains('@'));
    Ok(DatabaseUrl { scheme, location: Location::Server(server), parameters, doubtful_query })
}

fn parse_endpoints(scheme: &Scheme, hosts: &str) -> Result<Vec<Endpoint>> {
    let default_port = scheme.kind.default_port().unwrap_or_default();
    let endpoints = endpoint::parse_all(hosts, default_port)?;
    if scheme.srv && (endpoints.len() != 1 || hosts.contains(':') || matches!(endpoints[0], Endpoint::Socket { .. })) {
        return Err(invalid("a mongodb+srv url names exactly one host and no port"));
    }
    if endpoints.is_empty() {
        if scheme.kind == BackendKind::Mongodb {
            return Err(invalid("a mongodb url names at least one host"));
        }
        return Ok(vec![Endpoint::Tcp { host: "localhost".to_owned(), port: default_port }]);
    }
    Ok(endpoints)
}

fn parse_database(path: &str) -> Result<Option<String>> {
    if path.contains('/') {
        return Err(invalid("the name of the database in the url holds a `/`; write %2F for it"));
    }
    Ok(Some(decode(path, "the name of the database")?).filter(|name| !name.is_empty()))
}

fn parse_query(query: &str) -> Result<Vec<Parameter>> {
    let items = query.split('&').filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let name = decode(name, "the name of a parameter")?;
            if !item.contains('=') {
                let shown = spoken(&name, query.contains('@'));
                return Err(invalid(format!("the url parameter {shown} has no value")));
            }
            Ok(Parameter { value: Secret::new(decode(value, "the value of a parameter")?), name })
        })
        .collect()
}

/// How a parameter's name is repeated in an error: not at all where it may be a piece of a password.
pub(super) fn spoken(name: &str, doubtful: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if doubtful || name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return "with an unreadable name".to_owned();
    }
    format!("`{name}`")
}

fn is_scheme(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(inner)
}

fn scheme_of(kind: BackendKind) -> &'static str {
    match kind {
        BackendKind::Postgres => "postgresql",
        other => other.name(),
    }
}

fn no_scheme() -> Error {
    let known = super::backend_kind::SCHEMES.join(", ");
    invalid(format!("the database url does not begin with a scheme and `://`; known schemes are {known}"))
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid_configuration(message).with("option", "url")
}
