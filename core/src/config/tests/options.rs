//! Options, their names, defaults and errors.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn pool(url: &str, options: &Map) -> PoolOptions {
    Config::parse(url, options).unwrap_or_else(|error| panic!("{error}")).pool
}

#[test]
fn the_defaults_are_those_of_the_founding_documents() {
    let postgres = of("postgres://h/d").pool;
    assert_eq!((postgres.max_size, postgres.max_idle, postgres.min_size), (50, 20, 0));
    assert_eq!((postgres.acquire_timeout, postgres.max_lifetime), (30 * SECOND, Some(3600 * SECOND)));
    assert_eq!(of("mysql://h/d").pool, postgres);
    let mongodb = of("mongodb://h/d").pool;
    assert_eq!((mongodb.max_size, mongodb.max_lifetime, mongodb.idle_timeout), (50, None, Some(300 * SECOND)));
    let sqlite = of("sqlite://").pool;
    assert!((2..=4).contains(&sqlite.max_size));
    assert_eq!((sqlite.idle_timeout, sqlite.max_lifetime), (None, None));
}

#[test]
fn pool_size_and_max_overflow_make_the_largest_size_and_the_idle_one() {
    for (options, expected) in [
        (document! {"pool_size" => 5, "max_overflow" => 7}, (12, 5)),
        (document! {"poolSize" => 5, "maxOverflow" => 0}, (5, 5)),
        (document! {"pool_size" => 5}, (35, 5)),
        (document! {"max_overflow" => 1}, (21, 20)),
        (document! {"max_pool_size" => 9}, (9, 9)),
        (document! {"maxPoolSize" => 9.0, "max_idle" => 3}, (9, 3)),
        (document! {"pool_size" => 5, "min_pool_size" => 8}, (35, 8)),
    ] {
        let pool = pool("postgres://h/d", &options);
        assert_eq!((pool.max_size, pool.max_idle), expected, "{options:?}");
    }
}

#[test]
fn names_of_every_document_mean_the_same() {
    let expected = pool(
        "mongodb://h/d",
        &document! {"min_size" => 5, "max_size" => 60, "acquire_timeout" => 3, "idle_timeout" => 0.5, "max_lifetime" => 9},
    );
    assert_eq!((expected.min_size, expected.idle_timeout), (5, Some(SECOND / 2)));
    for options in [
        document! {"minPoolSize" => 5, "maxPoolSize" => 60, "waitQueueTimeoutMS" => 3000, "maxIdleTimeMS" => 500, "pool_recycle" => 9},
        document! {"pool" => document! {"minSize" => 5, "maxSize" => 60, "acquireTimeoutMs" => 3000, "idleTimeoutMs" => 500, "recycle" => 9}},
        document! {"pool" => document! {"min" => 5, "max" => 60, "timeout" => 3, "idle_timeout" => 0.5, "max_lifetime" => 9}},
        document! {"mongodb" => document! {"min_pool_size" => 5, "max-pool-size" => 60, "pool_timeout" => 3, "idleTimeoutMillis" => 500, "poolRecycle" => 9}},
        document! {"options" => document! {"min_size" => 5, "max_size" => 60, "acquire_timeout_ms" => 3000.0, "idle_timeout" => 0.5, "maxLifetimeSeconds" => 9}},
    ] {
        assert_eq!(pool("mongodb://h/d", &options), expected, "{options:?}");
    }
}

#[test]
fn the_founding_farm_config_is_read_and_sections_of_other_backends_are_left_alone() {
    let options = document! {
        "type" => "mongodb",
        "pool" => document! {"minSize" => 5, "maxSize" => 50, "acquireTimeoutMs" => 30_000, "idleTimeoutMs" => 300_000},
        "mongodb" => document! {"authSource" => "admin", "retryWrites" => true, "w" => "majority",
            "readPreference" => "primaryPreferred", "maxIdleTimeMS" => 300_000, "serverSelectionTimeoutMS" => 5000},
        "postgresql" => document! {"ssl" => false, "poolSize" => 20, "maxOverflow" => 30, "poolTimeout" => 30, "poolRecycle" => 3600},
    };
    let config = Config::parse("mongodb://localhost:27017/farmapp", &options).unwrap();
    assert_eq!((config.pool.min_size, config.pool.max_size), (5, 50));
    assert_eq!(config.parameters.span("server_selection_timeout"), Some(5 * SECOND));
    assert_eq!(config.parameters.text("auth_source"), Some("admin"));
    let options = document! {"postgresql" => options["postgresql"].clone()};
    let config = Config::parse("postgres://h/d", &options).unwrap();
    assert_eq!((config.pool.max_size, config.pool.max_idle), (50, 20));
    assert_eq!(config.parameters.text("sslmode"), Some("disable"));
}

#[test]
fn options_of_the_host_win_over_the_url() {
    let options = document! {"max_size" => 3, "database" => "other", "password" => "canary", "user" => Value::Null};
    let config = Config::parse("postgres://u:p@h/d?pool_size=9&max_overflow=1&acquire_timeout=2", &options).unwrap();
    assert_eq!((config.pool.max_size, config.pool.max_idle), (3, 3));
    assert_eq!(config.pool.acquire_timeout, 2 * SECOND);
    let server = config.url.server().unwrap();
    assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("u"), Some("other")));
    assert_eq!(server.password, Some(Secret::new("canary")));
    assert!(!format!("{config:?}").contains("canary"));
    assert!(config.parameters.is_empty());
}

#[test]
fn sqlite_options_have_defaults_and_can_be_set() {
    let config = of("sqlite:///x.db");
    assert_eq!(config.sqlite, SqliteOptions::default());
    assert_eq!(config.sqlite.busy_timeout, 5 * SECOND);
    assert_eq!((config.statement_timeout, config.residual_limit), (None, 10_000));
    let options = document! {
        "busyTimeoutMs" => 250, "statement_timeout" => 1.5, "journal_size_limit" => -1, "mmap_size" => 0,
        "synchronous" => "FULL", "foreign_keys" => false, "residual_limit" => 5, "mode" => "ro",
    };
    let config = Config::parse("sqlite:///x.db", &options).unwrap();
    let expected = SqliteOptions {
        busy_timeout: Duration::from_millis(250),
        journal_size_limit: None,
        mmap_size: 0,
        synchronous: Synchronous::Full,
        foreign_keys: false,
        mode: OpenMode::ReadOnly,
    };
    assert_eq!(config.sqlite, expected);
    assert_eq!((config.statement_timeout, config.residual_limit), (Some(Duration::from_millis(1500)), 5));
    assert_eq!(of("sqlite:///x.db?timeout=20&foreign_keys=off").sqlite.busy_timeout, 20 * SECOND);
    assert!(of("sqlite:///x.db?timeout=20").parameters.is_empty());
}

#[test]
fn pre_ping_checks_every_time_and_limits_can_be_switched_off() {
    let options = document! {"pool_pre_ping" => true, "idle_timeout" => 0, "pool_recycle" => -1, "timeout" => 4};
    let pool = pool("postgres://h/d", &options);
    assert_eq!((pool.check_after, pool.idle_timeout, pool.max_lifetime), (Duration::ZERO, None, None));
    assert_eq!(pool.connect_timeout, 4 * SECOND);
}

#[test]
fn an_unknown_option_names_itself_and_the_nearest_known_one() {
    for (name, likely) in
        [("pool_szie", "pool_size"), ("busyTimout", "busy_timeout"), ("acquire-timout", "acquire_timeout")]
    {
        let error = refused("sqlite://", &document! {name => 1});
        assert_eq!(error.context()["option"], Value::from(name));
        assert_eq!(error.context()["nearest"], Value::from(likely), "{error}");
        assert!(error.message().contains(name) && error.message().contains(likely), "{error}");
    }
    let error = refused("postgres://h/d?pool_siez=1", &Map::new());
    assert_eq!(error.context()["nearest"], Value::from("pool_size"));
    assert!(refused("sqlite://", &document! {"pool" => document! {"nonsense" => 1}}).message().contains("`nonsense`"));
    refused("sqlite://", &document! {"monitoring" => document! {"enabled" => true}});
}

#[test]
fn an_option_of_another_backend_names_that_backend() {
    let error = refused("postgres://h/d", &document! {"busy_timeout" => 1});
    assert!(error.message().contains("sqlite") && error.message().contains("postgres"), "{error}");
    let error = refused("sqlite://", &document! {"pool" => document! {"synchronous" => "full"}});
    assert!(error.message().contains("section `pool`"), "{error}");
}

#[test]
fn a_wrong_type_or_range_names_what_was_expected_and_never_the_value() {
    let cases = [
        (document! {"max_size" => "canary"}, "a whole number from 1 to 10000"),
        (document! {"max_size" => 0}, "a whole number from 1 to 10000"),
        (document! {"max_size" => 2.5}, "a whole number from 1 to 10000"),
        (document! {"acquire_timeout" => 30_000}, "a number of seconds from 0.001 to 3600"),
        (document! {"acquireTimeoutMs" => 0}, "a number of milliseconds from 1 to 3600000"),
        (document! {"foreign_keys" => "canary"}, "true or false"),
        (document! {"synchronous" => "canary"}, "one of `off`, `normal`, `full`, `extra`"),
        (document! {"idle_timeout" => f64::NAN}, "a number of seconds"),
        (document! {"max_size" => vec![Value::from("canary")]}, "a whole number"),
        (document! {"pool" => 5}, "pool"),
    ];
    for (options, expected) in cases {
        let error = refused("sqlite://", &options);
        assert!(error.message().contains(expected), "{error}");
        assert!(!shown(&error).contains("canary"), "{error}");
    }
    refused("sqlite://", &document! {"min_size" => 9, "max_size" => 2});
    refused("sqlite://", &document! {"max_idle" => 9, "max_size" => 2});
}

#[test]
fn contradictions_are_refused() {
    for options in [
        document! {"max_size" => 5, "maxPoolSize" => 6},
        document! {"max_size" => 5, "pool_size" => 5},
        document! {"max_size" => 5, "pool" => document! {"max" => 6}},
        document! {"check_after" => 5, "pool_pre_ping" => true},
        document! {"type" => "mysql"},
        document! {"type" => "canary"},
    ] {
        assert!(!shown(&refused("postgres://h/d", &options)).contains("canary"));
    }
    pool("postgres://h/d", &document! {"max_size" => 5, "maxPoolSize" => 5, "type" => "postgresql"});
    refused("postgres://h/d?sslmode=require&sslmode=disable", &Map::new());
}

#[test]
fn tls_can_be_a_truth_or_a_mode() {
    let mode = |url: &str, name: &str| of(url).parameters.text(name).map(str::to_owned);
    assert_eq!(mode("postgres://h/d?ssl=true", "sslmode").as_deref(), Some("verify-full"));
    assert_eq!(mode("postgresql+asyncpg://h/d?ssl=require", "sslmode").as_deref(), Some("require"));
    assert_eq!(mode("mysql://h/d?ssl=false", "ssl_mode").as_deref(), Some("disabled"));
}

#[test]
fn a_map_may_hold_the_url_itself() {
    let config = Config::from_map(&document! {"url" => "sqlite:///x.db", "max_size" => 3}).unwrap();
    assert_eq!(config.pool.max_size, 3);
    assert_eq!(Config::from_map(&Map::new()).unwrap_err().code(), "invalid_configuration");
}
