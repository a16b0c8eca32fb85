//! Properties of every URL.

use proptest::prelude::*;

use super::*;

/// Text that looks like a URL often enough to get deep into the parser.
fn nearly_a_url() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec![
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "postgres://",
        "postgresql+asyncpg://",
        "mysql://",
        "mongodb://",
        "mongodb+srv://",
        "",
    ]);
    let piece = prop_oneof![
        prop::sample::select(vec![
            ":",
            "/",
            "//",
            "@",
            "?",
            "&",
            "=",
            "#",
            "%",
            "%40",
            "%ff",
            "[",
            "]",
            ",",
            "+",
            "localhost",
            "5432",
            "max_size=3",
            "password=x",
            ":memory:",
            "é",
            "\0",
            " ",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    (scheme, prop::collection::vec(piece, 0..12)).prop_map(|(scheme, pieces)| scheme.to_owned() + &pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parsing_never_panics_and_what_parses_is_redacted_to_the_same_place(text in nearly_a_url()) {
        let _ = redact(&text);
        if let Ok(config) = Config::parse(&text, &Map::new()) {
            let again = DatabaseUrl::parse(&config.url.redacted());
            let again = again.map_err(|error| TestCaseError::fail(format!("{}: {error}", config.url)))?;
            prop_assert_eq!(again.backend(), config.backend());
            prop_assert_eq!(again.database(), config.url.database());
            let endpoints = |url: &DatabaseUrl| url.server().map(|server| server.endpoints.clone());
            prop_assert_eq!(endpoints(&again), endpoints(&config.url));
        }
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in any::<String>()) {
        let _ = Config::parse(&text, &Map::new());
        let _ = Config::parse(&format!("postgres://{text}"), &Map::new());
        let _ = Config::parse(&format!("sqlite:///{text}"), &Map::new());
    }

    #[test]
    fn an_encoded_password_comes_back_and_is_never_shown(password in "[^\0]{1,40}", place in 0..3) {
        // The mark makes it improbable that the password is a piece of the rest by chance.
        let password = format!("Q7{password}");
        let encoded = encoding::encode(&password);
        let url = match place {
            0 => format!("postgresql://user:{encoded}@host.example:1/name?sslmode=require"),
            1 => format!("mysql+aiomysql://host.example/name?user=user&password={encoded}"),
            _ => format!("mongodb+srv://user:{encoded}@host.example/name?appName=x"),
        };
        let config = Config::parse(&url, &Map::new()).unwrap();
        let server = config.url.server().unwrap();
        prop_assert_eq!(server.password.as_ref().unwrap().expose(), password.as_str());
        prop_assert_eq!(server.user.as_deref(), Some("user"));
        for shown in [config.url.redacted(), format!("{config:?}"), format!("{config:#?}"), redact(&url)] {
            prop_assert!(!shown.contains(&password) && !shown.contains(&encoded) && !shown.contains("Q7"), "{}", shown);
        }
    }

    #[test]
    fn a_password_as_it_is_never_shows_in_an_error_or_a_redacted_url(password in "[!-~]{4,20}") {
        let marked = format!("Q{password}7");
        let url = format!("postgres://user:{marked}@host.example/name");
        match Config::parse(&url, &Map::new()) {
            Ok(config) => prop_assert!(!config.url.redacted().contains(&marked), "{}", config.url),
            Err(error) => prop_assert!(!shown(&error).contains(&password), "{}", shown(&error)),
        }
        prop_assert!(!redact(&url).contains(&marked));
    }

    #[test]
    fn options_of_any_name_and_value_never_panic(name in "\\PC{0,20}", text in any::<String>(), number in any::<f64>()) {
        for value in [Value::from(text), Value::from(number), Value::from(number as i64)] {
            let _ = Config::parse("mongodb://h", &document! {name.clone() => value});
        }
    }
}
