//! URLs and options: refused, or settings that show no password and name the same place when they are read again.

use farm_db_core::config::{Config, DatabaseUrl, redact};
use farm_db_core::value::tagged;
use farm_db_core::{Contract, Database, Value};

/// A URL; behind a line's end a map of options, and of environment variables at the same time.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (url, options) = text.split_once('\n').unwrap_or((text, "{}"));
    let options = tagged::read_map(options.as_bytes()).unwrap_or_default();
    let variable = |name: &str| options.get(name).and_then(Value::as_text).map(str::to_owned);
    let _ = Config::from_environment(variable, &options);
    let _ = redact(url);
    let Ok(config) = Config::parse(url, &options) else { return };
    check_secrets(&config, text);
    if let Ok(plain) = DatabaseUrl::parse(url) {
        let again = DatabaseUrl::parse(&plain.redacted()).unwrap_or_else(|error| panic!("{plain} is refused: {error}"));
        assert_eq!(again.backend(), plain.backend());
        assert_eq!(again.database(), plain.database());
        let endpoints = |url: &DatabaseUrl| url.server().map(|server| server.endpoints.clone());
        assert_eq!(endpoints(&again), endpoints(&plain));
    }
    // Whatever the settings say, a database that is only made takes no memory and no time.
    let _ = Database::with_config(config, Contract::default());
}

/// A password that stands once in the input stands nowhere in what is shown.
fn check_secrets(config: &Config, input: &str) {
    let password = config.url.server().and_then(|server| server.password.as_ref());
    let Some(password) = password.map(farm_db_core::config::Secret::expose) else { return };
    if password.len() >= 6 && input.matches(password).count() == 1 {
        for shown in [config.url.redacted(), format!("{config:?}"), config.url.to_string()] {
            assert!(!shown.contains(password), "{shown} shows the password");
        }
    }
}
