//! [`BackendKind`]: which kind of database a URL names, and the schemes that name it.
//!
//! Not for: what a backend can do; that is its capabilities.

use std::fmt;

use super::nearest::nearest;
use crate::error::{Error, Result};

/// A kind of database that farm-db knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// `SQLite`: a file or memory.
    Sqlite,
    /// `PostgreSQL`.
    Postgres,
    /// `MySQL` and `MariaDB`.
    Mysql,
    /// `MongoDB`.
    Mongodb,
}

/// The schemes a URL may begin with; the SQL ones may name a driver behind `+`, which is read and not used.
pub const SCHEMES: [&str; 8] =
    ["sqlite", "sqlite3", "postgresql", "postgres", "mysql", "mariadb", "mongodb", "mongodb+srv"];

impl BackendKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Sqlite, Self::Postgres, Self::Mysql, Self::Mongodb];

    /// The kind's name in messages and statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mongodb => "mongodb",
        }
    }

    /// The port of a server of this kind where the URL names none; nothing for a file.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(5432),
            Self::Mysql => Some(3306),
            Self::Mongodb => Some(27017),
        }
    }

    /// The kind by a name that people use for it, as in `DATABASE_TYPE` or the option `type`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "sqlite" | "sqlite3" => Self::Sqlite,
            "postgres" | "postgresql" | "pg" => Self::Postgres,
            "mysql" | "mariadb" => Self::Mysql,
            "mongodb" | "mongo" => Self::Mongodb,
            _ => return None,
        })
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A scheme taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    pub(super) text: String,
    pub(super) kind: BackendKind,
    pub(super) driver: Option<String>,
    pub(super) srv: bool,
}

impl Scheme {
    /// Reads what stands before the first `:` of a URL.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.to_ascii_lowercase();
        let (base, driver) = match text.split_once('+') {
            Some((base, driver)) => (base, Some(driver)),
            None => (text.as_str(), None),
        };
        let srv = text == "mongodb+srv";
        let known = match base {
            "sqlite" | "sqlite3" => Some(BackendKind::Sqlite),
            "postgres" | "postgresql" => Some(BackendKind::Postgres),
            "mysql" | "mariadb" => Some(BackendKind::Mysql),
            "mongodb" if driver.is_none() || srv => Some(BackendKind::Mongodb),
            _ => None,
        };
        let named = |driver: &str| !driver.is_empty() && driver.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match known {
            Some(kind) if driver.is_none_or(named) => {
                let driver = if srv { None } else { driver.map(str::to_owned) };
                Ok(Self { text, kind, driver, srv })
            }
            _ => Err(unknown_scheme(&text)),
        }
    }
}

fn unknown_scheme(scheme: &str) -> Error {
    let known = SCHEMES.join(", ");
    let likely = nearest(scheme, SCHEMES).unwrap_or_default();
    Error::invalid_configuration(format!(
        "unknown database url scheme `{scheme}` (the nearest known one is `{likely}`; known schemes are {known})"
    ))
    .with("scheme", scheme)
    .with("nearest", likely)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_of_the_list_is_known() {
        for scheme in SCHEMES {
            assert!(Scheme::parse(scheme).is_ok(), "{scheme}");
            assert!(Scheme::parse(&scheme.to_uppercase()).is_ok(), "{scheme}");
        }
    }

    #[test]
    fn a_driver_is_read_from_sqlalchemy_schemes() {
        let scheme = Scheme::parse("postgresql+asyncpg").unwrap();
        assert_eq!((scheme.kind, scheme.driver.as_deref()), (BackendKind::Postgres, Some("asyncpg")));
        assert!(!scheme.srv);
        let scheme = Scheme::parse("mongodb+srv").unwrap();
        assert_eq!((scheme.driver, scheme.srv), (None, true));
    }

    #[test]
    fn an_unknown_scheme_names_the_known_ones() {
        for scheme in ["postgress", "mongodb+motor", "mysql+", "http"] {
            let error = Scheme::parse(scheme).unwrap_err();
            assert_eq!(error.code(), "invalid_configuration");
            assert!(error.message().contains("mongodb+srv"), "{error}");
        }
        assert!(Scheme::parse("postgress").unwrap_err().message().contains("`postgres`"));
    }

    #[test]
    fn names_of_the_founding_documents_are_known() {
        assert_eq!(BackendKind::from_name("postgresql"), Some(BackendKind::Postgres));
        assert_eq!(BackendKind::from_name("MongoDB"), Some(BackendKind::Mongodb));
        assert_eq!(BackendKind::from_name("sqlserver"), None);
        for kind in BackendKind::ALL {
            assert_eq!(BackendKind::from_name(kind.name()), Some(kind));
        }
    }
}
