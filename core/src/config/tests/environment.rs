//! Environment variables.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Option<Config>> {
    let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    Config::from_environment(get, &Map::new())
}

fn found(variables: &[(&str, &str)]) -> Config {
    read(variables).unwrap().expect("a database")
}

#[test]
fn nothing_is_found_where_no_variable_names_a_database() {
    for variables in [&[][..], &[("DATABASE_URL", " ")], &[("POSTGRES_PASSWORD", "x")], &[("DB_POOL_SIZE", "5")]] {
        assert_eq!(read(variables).unwrap(), None);
    }
}

#[test]
fn database_url_wins() {
    let config =
        found(&[("DATABASE_URL", "sqlite:///x.db"), ("DATABASE_TYPE", "mongodb"), ("MONGO_URI", "mongodb://h")]);
    assert_eq!(config.url.database(), Some("x.db"));
}

#[test]
fn the_variables_of_the_founding_documents_are_read() {
    let config = found(&[
        ("DATABASE_TYPE", "postgresql"),
        ("MONGO_URI", "mongodb://127.0.0.1:27017/Pleach"),
        ("POSTGRES_HOST", "localhost"),
        ("POSTGRES_PORT", "5433"),
        ("POSTGRES_DATABASE", "pleach"),
        ("POSTGRES_USERNAME", "pleach_user"),
        ("POSTGRES_PASSWORD", "can%ary@/"),
        ("POSTGRES_SSL", "false"),
        ("POSTGRES_MAX_CONNECTIONS", "20"),
        ("POSTGRES_CONNECTION_TIMEOUT", "30000"),
    ]);
    let server = config.url.server().unwrap();
    assert_eq!(server.endpoints, [Endpoint::Tcp { host: "localhost".to_owned(), port: 5433 }]);
    assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("pleach_user"), Some("pleach")));
    assert_eq!(server.password, Some(Secret::new("can%ary@/")));
    assert_eq!(config.parameters.text("sslmode"), Some("disable"));
    assert_eq!((config.pool.max_size, config.pool.max_idle), (20, 20));
    assert_eq!(config.pool.acquire_timeout, Duration::from_secs(30));
    assert_eq!(config.pool.connect_timeout, Duration::from_secs(30));
    assert_eq!(config.url.redacted(), "postgresql://pleach_user:***@localhost:5433/pleach");
}

#[test]
fn the_kind_is_told_by_the_variables_where_the_type_is_not_set() {
    assert_eq!(found(&[("MONGO_URI", "mongodb://h/d"), ("POSTGRES_HOST", "h")]).backend(), BackendKind::Mongodb);
    assert_eq!(found(&[("POSTGRES_DB", "d")]).backend(), BackendKind::Postgres);
    assert_eq!(found(&[("MYSQL_HOST", "h"), ("MYSQL_USER", "u")]).url.redacted(), "mysql://u@h:3306/");
    assert_eq!(found(&[("SQLITE_PATH", "a?b.db")]).url.database(), Some("a?b.db"));
    assert_eq!(found(&[("SQLITE_PATH", ":memory:")]).url.location(), &Location::Memory);
    assert_eq!(found(&[("DATABASE_TYPE", "sqlite")]).url.database(), Some("farm.db"));
    assert_eq!(found(&[("DATABASE_TYPE", "postgresql")]).url.redacted(), "postgresql://localhost:5432/");
    let socket = found(&[("POSTGRES_HOST", "/var/run/postgresql")]);
    assert!(matches!(&socket.url.server().unwrap().endpoints[0], Endpoint::Socket { .. }));
}

#[test]
fn wrong_variables_are_named_and_their_text_is_not_shown() {
    for (variables, named) in [
        (&[("DATABASE_TYPE", "canary")][..], "DATABASE_TYPE"),
        (&[("DATABASE_TYPE", "mongodb")], "MONGO_URI"),
        (&[("MONGO_URI", "postgres://u:canary@h")], "MONGO_URI"),
        (&[("DATABASE_URL", "postgres://u:can/canary@h")], "DATABASE_URL"),
        (&[("POSTGRES_HOST", "h"), ("MYSQL_HOST", "h")], "DATABASE_TYPE"),
        (&[("POSTGRES_HOST", "h"), ("POSTGRES_PORT", "canary")], "POSTGRES_PORT"),
        (&[("POSTGRES_HOST", "ca nary canary")], "POSTGRES_HOST"),
        (&[("POSTGRES_HOST", "h"), ("POSTGRES_SSL", "canary")], "POSTGRES_SSL"),
        (&[("MYSQL_HOST", "h"), ("MYSQL_MAX_CONNECTIONS", "canary")], "MYSQL_MAX_CONNECTIONS"),
        (&[("DATABASE_URL", "sqlite://"), ("DB_POOL_SIZE", "canary")], "DB_POOL_SIZE"),
    ] {
        let error = read(variables).unwrap_err();
        let shown = shown(&error);
        assert_eq!(error.code(), "invalid_configuration");
        assert!(shown.contains(named) && !shown.contains("canary"), "{shown}");
    }
}

#[test]
fn the_url_wins_over_variables_and_options_over_both() {
    let variables = [("DATABASE_URL", "postgres://h/d?max_size=7"), ("DB_POOL_SIZE", "5"), ("DB_MAX_OVERFLOW", "1")];
    assert_eq!(found(&variables).pool.max_size, 7);
    let variables = [("DATABASE_URL", "postgres://h/d"), variables[1], variables[2]];
    assert_eq!(found(&variables).pool.max_size, 6);
    let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    let config = Config::from_environment(get, &document! {"max_size" => 9}).unwrap().unwrap();
    assert_eq!(config.pool.max_size, 9);
}
