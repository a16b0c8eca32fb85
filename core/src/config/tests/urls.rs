//! Every form of a URL.

use super::*;

fn server(url: &str) -> Server {
    of(url).url.server().expect("a server").clone()
}

fn tcp(host: &str, port: u16) -> Endpoint {
    Endpoint::Tcp { host: host.to_owned(), port }
}

#[test]
fn sqlite_urls_name_a_file_as_in_sqlalchemy() {
    for (url, path) in [
        ("sqlite:///rel.db", "rel.db"),
        ("sqlite:////abs/olute.db", "/abs/olute.db"),
        ("sqlite:rel.db", "rel.db"),
        ("sqlite:./rel.db", "./rel.db"),
        ("sqlite:/abs.db", "/abs.db"),
        ("sqlite+aiosqlite:///rel.db", "rel.db"),
        ("SQLite3:///my%20file%3F%25.db", "my file?%.db"),
        ("sqlite:///a#b@c.db?busy_timeout=1", "a#b@c.db"),
        ("  sqlite:///C:/data/app.db\n", "C:/data/app.db"),
    ] {
        let config = of(url);
        assert_eq!(config.backend(), BackendKind::Sqlite);
        assert_eq!(config.url.location(), &Location::File(path.to_owned()), "{url}");
        assert_eq!(config.url.database(), Some(path));
        assert_eq!(of(&config.url.redacted()).url.location(), config.url.location(), "{url}");
    }
}

#[test]
fn sqlite_in_memory_has_many_spellings() {
    for url in [
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite:///:memory:",
        "sqlite://",
        "sqlite:///",
        "sqlite+aiosqlite://",
        "sqlite:///any.db?mode=memory",
    ] {
        assert_eq!(of(url).url.location(), &Location::Memory, "{url}");
    }
    assert_eq!(of("sqlite://").url.redacted(), "sqlite:///:memory:");
}

#[test]
fn a_sqlite_url_with_a_host_or_without_a_file_is_refused_with_the_right_forms() {
    for url in ["sqlite://rel.db", "sqlite://host/rel.db", "sqlite:", "sqlite:///file:x?mode=memory"] {
        assert!(refused(url, &Map::new()).message().contains("sqlite"), "{url}");
    }
}

#[test]
fn postgres_urls_are_read_in_full() {
    let config = of("postgres://ada:s%40crt@db.example:6543/app?sslmode=verify_full&application_name=x");
    assert_eq!(config.backend(), BackendKind::Postgres);
    let server = config.url.server().unwrap();
    assert_eq!(server.endpoints, [tcp("db.example", 6543)]);
    assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("ada"), Some("app")));
    assert_eq!(server.password.as_ref().unwrap().expose(), "s@crt");
    assert_eq!(config.parameters.text("sslmode"), Some("verify-full"));
    assert_eq!(config.parameters.text("application_name"), Some("x"));
    assert_eq!(config.parameters.iter().count(), 2);
}

#[test]
fn postgres_and_postgresql_and_drivers_are_one() {
    for (url, driver) in [
        ("postgres://h/d", None),
        ("postgresql://h/d", None),
        ("postgresql+asyncpg://h/d", Some("asyncpg")),
        ("postgres+psycopg://h/d", Some("psycopg")),
    ] {
        let config = of(url);
        assert_eq!((config.backend(), config.url.driver()), (BackendKind::Postgres, driver));
        assert_eq!(config.url.server().unwrap().endpoints, [tcp("h", 5432)]);
    }
}

#[test]
fn what_a_url_leaves_out_has_a_default_or_is_none() {
    assert_eq!(server("postgresql://"), Server { endpoints: vec![tcp("localhost", 5432)], ..Server::default() });
    assert_eq!(server("mysql://root@/app").endpoints, [tcp("localhost", 3306)]);
    assert_eq!(server("postgres://:pw@h").password, Some(Secret::new("pw")));
    assert_eq!(server("postgres://:pw@h").user, None);
    assert_eq!(server("postgres://u:@h").password, Some(Secret::new("")));
    assert_eq!(server("postgres://u@h").password, None);
}

#[test]
fn postgres_takes_several_hosts_sockets_and_parameters_that_name_the_server() {
    assert_eq!(server("postgres://a,b:1,[::1]:2/d").endpoints, [tcp("a", 5432), tcp("b", 1), tcp("::1", 2)]);
    let socket = Endpoint::Socket { path: "/var/run/pg".to_owned(), port: 5433 };
    assert_eq!(server("postgres:///d?host=/var/run/pg&port=5433").endpoints, std::slice::from_ref(&socket));
    assert_eq!(server("postgres://%2Fvar%2Frun%2Fpg:5433/d").endpoints, [socket]);
    let config = of("postgres://h?user=ada&password=canary&dbname=d");
    let server = config.url.server().unwrap();
    assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("ada"), Some("d")));
    assert_eq!(server.password, Some(Secret::new("canary")));
    assert_eq!(config.url.redacted(), "postgres://ada:***@h:5432/d");
}

#[test]
fn mysql_and_mariadb_are_one() {
    for url in ["mysql://u:p@h/d", "mariadb://u:p@h/d", "mysql+aiomysql://u:p@h/d", "mariadb+asyncmy://u:p@h/d"] {
        assert_eq!(of(url).backend(), BackendKind::Mysql);
        assert_eq!(server(url).endpoints, [tcp("h", 3306)]);
    }
    let config = of("mysql://h/d?ssl-mode=VERIFY_IDENTITY&charset=utf8mb4&unix_socket=/tmp/m.sock");
    assert_eq!(config.parameters.text("ssl_mode"), Some("verify_identity"));
    let socket = Endpoint::Socket { path: "/tmp/m.sock".to_owned(), port: 3306 };
    assert_eq!(config.url.server().unwrap().endpoints, [socket]);
}

#[test]
fn mongodb_urls_name_several_hosts_and_options_in_camel_case() {
    let config =
        of("mongodb://u:p@a:1,b/app?replicaSet=rs0&authSource=admin&w=majority&readPreference=primaryPreferred\
         &maxPoolSize=7&maxIdleTimeMS=1500&readPreferenceTags=dc:ny&readPreferenceTags=dc:la&retryWrites=true");
    assert_eq!(config.url.server().unwrap().endpoints, [tcp("a", 1), tcp("b", 27017)]);
    assert_eq!(config.parameters.text("replica_set"), Some("rs0"));
    assert_eq!(config.parameters.text("w"), Some("majority"));
    assert_eq!(config.parameters.text("read_preference"), Some("primaryPreferred"));
    assert_eq!(config.parameters.truth("retry_writes"), Some(true));
    let tags = Setting::Texts(vec!["dc:ny".to_owned(), "dc:la".to_owned()]);
    assert_eq!(config.parameters.get("read_preference_tags"), Some(&tags));
    assert_eq!((config.pool.max_size, config.pool.idle_timeout), (7, Some(Duration::from_millis(1500))));
}

#[test]
fn mongodb_srv_names_one_host_without_a_port() {
    let config = of("mongodb+srv://u:p@cluster.example/app");
    assert!(config.url.server().unwrap().srv);
    assert_eq!(config.url.driver(), None);
    assert_eq!(config.url.redacted(), "mongodb+srv://u:***@cluster.example/app");
    for url in
        ["mongodb+srv://a,b/app", "mongodb+srv://a:1/app", "mongodb+srv:///app", "mongodb:///app", "mongodb+motor://a"]
    {
        refused(url, &Map::new());
    }
}

#[test]
fn azures_at_signs_in_the_query_are_read_and_hide_the_query() {
    let config = of("mongodb://acc:key%3D%3D@acc.example:10255/?ssl=true&appName=@acc@");
    assert_eq!(config.parameters.text("application_name"), Some("@acc@"));
    assert_eq!(config.parameters.truth("tls"), Some(true));
    assert_eq!(config.url.redacted(), "mongodb://acc:***@acc.example:10255/?***=***&***=***");
}

#[test]
fn a_password_with_every_special_character_is_read_and_hidden() {
    let password = "p@s:s/w?o#r%d&=+ ;,'\"\\[]{}|^`<>!$*()~ü€😀";
    let encoded = encoding::encode(password);
    for scheme in ["postgresql", "postgresql+asyncpg", "mysql", "mongodb", "mongodb+srv"] {
        let config = of(&format!("{scheme}://u%40x:{encoded}@h/d"));
        let server = config.url.server().unwrap();
        assert_eq!(server.password.as_ref().unwrap().expose(), password);
        assert_eq!(server.user.as_deref(), Some("u@x"));
        assert!(config.url.redacted().contains("u%40x:***@h"), "{}", config.url);
        assert!(!format!("{config:?}").contains(password));
    }
}

#[test]
fn an_unencoded_password_is_read_where_only_one_reading_is_possible() {
    assert_eq!(server("postgres://u:p@ss:w@h/d").password, Some(Secret::new("p@ss:w")));
}

#[test]
fn an_unencoded_password_with_a_slash_or_a_question_mark_is_refused_without_showing_a_piece() {
    for url in [
        "postgres://u:can/ary@h/d",
        "postgres://u:can?ary@h/d",
        "postgres://u:can#ary@h/d",
        "postgres://u:12?ary=4@h/d",
        "postgres://u:12/ary@h/d",
        "postgres://u:a@can?ary=1@h/d",
        "mongodb://u:a@can/ary@h/d",
        "mysql://u:100%ary@h/d",
        "u:canary@h/d",
        "canary",
        "postgres:u:canary@h",
    ] {
        let error = shown(&refused(url, &Map::new()));
        assert!(!error.contains("ary"), "{url}: {error}");
        assert!(!redact(url).contains("ary"), "{url}: {}", redact(url));
    }
}

#[test]
fn the_redacted_url_hides_secret_parameters_and_keeps_the_others() {
    let config = of("postgres://u:canary@h/d?sslmode=require&sslpassword=canary&password=canary2");
    assert_eq!(config.url.redacted(), "postgres://u:***@h:5432/d?sslmode=require&sslpassword=***");
    assert_eq!(config.parameters.secret("sslpassword"), Some(&Secret::new("canary")));
    let shown = format!("{} {:?} {config:?} {config:#?}", config.url, config.url);
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn unknown_schemes_name_the_known_ones() {
    let error = refused("postgress://u:canary@h/d", &Map::new());
    assert!(error.message().contains("`postgress`") && error.message().contains("mongodb+srv"), "{error}");
    assert!(!shown(&error).contains("canary"));
    assert!(refused("app.db", &Map::new()).message().contains("sqlite"));
    refused("", &Map::new());
}
