//! Read replicas: what each of them is told, and what is refused.

use std::time::Duration;

use super::*;

fn with(url: &str, replicas: &[&str]) -> Config {
    let replicas: Vec<Value> = replicas.iter().map(|url| Value::from(*url)).collect();
    Config::parse(url, &document! { "replicas" => replicas }).unwrap_or_else(|error| panic!("{url}: {error}"))
}

#[test]
fn a_replica_is_told_what_the_primary_is_told_unless_its_url_says_otherwise() {
    let url = "postgresql://ann:one@primary:6000/app?schema=s&sslmode=require&max_size=7";
    let config = with(url, &["postgresql://replica/?sslmode=disable", "postgres://bob:two@other:6001/copy"]);
    let [first, second] = &config.replicas[..] else { panic!("there are two") };
    let server = first.url.server().unwrap();
    assert_eq!(server.endpoints, [Endpoint::Tcp { host: "replica".to_owned(), port: 5432 }]);
    assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("ann"), Some("app")));
    assert_eq!(server.password.as_ref().map(Secret::expose), Some("one"));
    assert_eq!((first.parameters.text("sslmode"), first.parameters.text("schema")), (Some("disable"), Some("s")));
    assert_eq!(first.pool.max_size, 7);
    let server = second.url.server().unwrap();
    assert_eq!(server.endpoints, [Endpoint::Tcp { host: "other".to_owned(), port: 6001 }]);
    assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("bob"), Some("copy")));
    assert_eq!(second.parameters.text("sslmode"), Some("require"));
}

#[test]
fn where_an_option_puts_the_primary_no_replica_is() {
    let options = document! {
        "host" => "primary", "port" => 6000, "user" => "ann", "password" => "one", "database" => "app",
        "replicas" => "postgresql://replica",
    };
    let config = Config::parse("postgresql://", &options).unwrap();
    let server = config.replicas[0].url.server().unwrap();
    assert_eq!(server.endpoints, [Endpoint::Tcp { host: "replica".to_owned(), port: 5432 }]);
    assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("ann"), Some("app")));
    assert_eq!(server.password.as_ref().map(Secret::expose), Some("one"));
}

#[test]
fn a_replica_may_take_a_part_of_the_deadline_to_be_reached() {
    let reach = |url: &str| with(url, &["postgresql://replica/d"]).replicas[0].pool.connect_timeout;
    assert_eq!(reach("postgresql://primary/d"), Duration::from_millis(7500));
    assert_eq!(reach("postgresql://primary/d?statement_timeout=2"), Duration::from_millis(500));
    assert_eq!(reach("postgresql://primary/d?connect_timeout=1"), Duration::from_secs(1));
}

#[test]
fn replicas_may_stand_in_a_url_and_their_passwords_are_not_shown() {
    let replica = |host: &str| format!("replicas=postgresql%3A%2F%2Fann%3Acanary%40{host}%2Fd");
    let config =
        of(&format!("postgresql://primary/d?{}&{}&max_staleness=5&read_your_writes=true", replica("a"), replica("b")));
    assert_eq!(config.replicas.len(), 2);
    assert_eq!((config.max_staleness, config.read_your_writes), (Some(Duration::from_secs(5)), true));
    assert!(!format!("{config:?} {}", config.url).contains("canary"));
}

#[test]
fn what_cannot_have_replicas_says_so() {
    let refusal = |url: &str, replica: &str| refused(url, &document! { "replicas" => replica });
    for (url, replica, says) in [
        ("sqlite:///a.db", "sqlite:///b.db", "no replicas"),
        ("mongodb://h/d", "mongodb://g/d", "readPreference"),
        ("mysql://h/d", "postgresql://g/d", "a replica of mysql"),
        ("mysql://h/d", "mysql://g/d?replicas=mysql%3A%2F%2Fi%2Fd", "of its own"),
        ("postgresql://h/d?schema=a", "postgresql://g/d?schema=b", "in the schema of the primary"),
        ("mysql://h/d", "ann:canary@g", "scheme"),
    ] {
        let error = refusal(url, replica);
        assert!(error.message().contains(says), "{error}");
        assert_eq!(error.context().get("option"), Some(&Value::from("replicas")), "{error}");
        assert!(!shown(&error).contains("canary"));
    }
}
