//! What holds for every statement: whatever a user wrote stands in parameters, in quotes as a name that the contract
//! knows, or in quotes as a path into JSON; and there is a parameter for each placeholder.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use farm_db_core::backend::{Operation, Select, Statement};
use farm_db_core::query::{Filter, Sort};
use farm_db_core::schema::Entity;
use farm_db_core::value::tagged;
use farm_db_core::{Contract, Database, Kind, Map, Value};

/// Names that only quotes keep from being something else.
const NAMES: [&str; 8] = ["o\"dd", "o'dd", "o`dd", "o\\dd", "a; --", "a /* b", "q ? $1", "SELECT"];
/// A URL of each backend; nothing is opened.
const URLS: [&str; 4] =
    ["sqlite::memory:", "postgres://localhost/app?schema=s%22s", "mysql://localhost/app", "mongodb://localhost/app"];
/// Words of SQL and of our own outside quotes.
const WORDS: &str = "AND ANY AS AGAINST BINARY BOOLEAN BY C CASE CAST CHARACTER COALESCE COLLATE COLUMNS COUNT DATE \
    DATETIME DECIMAL DELETE DESC DISTINCT ELEMENT ELEMENTS ELSE END EXISTS FALSE FARM_ADD FARM_DECIMAL FARM_REGEXP FIRST FOR FORCE FOUND \
    FROM IF IN INDEX INSERT INTO IS INSTR JSON JSONB JSONB_ARRAY_ELEMENTS JSONB_ARRAY_LENGTH JSONB_TYPEOF JSON_ARRAY_LENGTH \
    JSON_EACH JSON_EXTRACT JSON_LENGTH JSON_TABLE JSON_TYPE JSON_TYPEOF JSON_UNQUOTE LAST LENGTH LIMIT LONGTEXT LOWER \
    NEXTVAL NOT NULL NULLS OCTET_LENGTH OFFSET OR ORDER PATH PG_GET_SERIAL_SEQUENCE RARRAY RETURNING SELECT SET SIGNED TABLE \
    THEN TIME TRUE TYPE UPDATE USE UTF8MB4 VALUE VALUES WHEN WHERE \
    BIGINT BYTEA FLOAT8 NUMERIC TEXT TIMESTAMPTZ UUID DOUBLE PRECISION _ROWID_ DEFAULT ON DUPLICATE KEY";
/// What stands in quotes without being a user's.
const CONSTANTS: [&str; 7] = ["", "null", "NULL", "true", "false", "$", "$[*]"];
/// Tags behind a path, as tagged JSON has them.
const TAGS: [&str; 6] = ["$numberDecimal", "$uuid", "$oid", "$date", "$day", "$time"];

/// A database of each backend.
pub fn databases() -> &'static [Database] {
    static DATABASES: OnceLock<Vec<Database>> = OnceLock::new();
    DATABASES.get_or_init(|| {
        let open = |url: &&str| Database::new(url, &Map::new(), Contract::default()).expect("the URL is right");
        URLS.iter().map(open).collect()
    })
}

/// The entity of the shared cases, with a field for each hostile name.
pub fn things() -> Arc<Entity> {
    static THINGS: OnceLock<Arc<Entity>> = OnceLock::new();
    let read = || {
        let mut file = tagged::read_map(include_bytes!("../../../tests/cases/updates.json")).expect("cases are JSON");
        let contract = file.shift_remove("contract").expect("cases have a contract");
        // The document goes through text, in which a field is easily added.
        let fields = NAMES.map(|name| {
            format!(
                r#"{{"name": {}, "nullable": true, "type": {{"kind": "text"}}}}, "#,
                tagged::to_string(&name.into())
            )
        });
        let json =
            tagged::to_string(&contract).replacen("\"fields\":[", &format!("\"fields\":[{}", fields.concat()), 1);
        let contract = Contract::parse(&json).expect("the contract is right");
        Arc::clone(contract.entity("things").expect("the entity is there"))
    };
    Arc::clone(THINGS.get_or_init(read))
}

/// A select of everything of an entity.
pub fn select<'a>(entity: &'a Entity, filter: &'a Filter, sort: &'a Sort) -> Select<'a> {
    let columns = (0..entity.fields.len()).collect();
    Select { entity, filter, sort, after: None, limit: Some(10), skip: 0, scan: 100, columns, for_update: false }
}

/// Compiles an operation and checks its statement; `None` where it is refused.
pub fn checked(
    database: &Database,
    entity: &Entity,
    operation: &Operation<'_>,
    paths: &[Vec<String>],
) -> Option<Statement> {
    match database.compile(operation) {
        Ok(statement) => {
            check(database.backend_name(), entity, &statement, paths);
            Some(statement)
        }
        Err(error) => {
            assert!(matches!(error.kind(), Kind::Unsupported | Kind::InvalidValue | Kind::InvalidQuery), "{error}");
            None
        }
    }
}

/// `paths`: the legs of every path that the statement may be about.
fn check(backend: &str, entity: &Entity, statement: &Statement, paths: &[Vec<String>]) {
    let text = &*statement.text;
    // MongoDB's text is for people; its commands are documents.
    if backend == "mongodb" {
        return;
    }
    assert!(!text.contains('\0'), "{backend}: a NUL ends the statement early: {text:?}");
    let mut names: HashSet<&str> = entity.fields.iter().map(|field| field.name.as_str()).collect();
    names.extend(entity.indexes.iter().map(|index| index.name.as_str()));
    names.extend([entity.name.as_str(), "s\"s", "type", "C"]);
    let constants = constants(backend, entity, paths);
    let mut marks = 0;
    for token in tokens(backend, text) {
        match token {
            Token::Name(name) => assert!(names.contains(&*name), "{backend}: {name:?} is no name of ours in {text}"),
            Token::Constant(constant) => {
                assert!(constants.contains(&constant), "{backend}: {constant:?} is no constant of ours in {text}");
            }
            Token::Word(word) => {
                let known = WORDS.split_whitespace().any(|known| known.eq_ignore_ascii_case(&word));
                assert!(known || word.bytes().all(|byte| byte.is_ascii_digit()), "{backend}: {word} in {text}");
            }
            Token::Mark => marks += 1,
            Token::Sign(sign) => assert!("(),.=<>:+-*%|@[]!#".contains(sign), "{backend}: {sign:?} in {text}"),
        }
    }
    // An insert is compiled once, without values.
    let values = if text.starts_with("INSERT") { entity.fields.len() } else { statement.parameters.len() };
    assert_eq!(marks, values, "{backend}: parameters of {text}");
    let outside: String = tokens(backend, text).map(Token::outside).collect();
    for comment in ["--", "/*", "*/"] {
        assert!(!outside.contains(comment), "{backend}: {comment} in {text}");
    }
}

/// Everything that may stand in quotes as text.
fn constants(backend: &str, entity: &Entity, paths: &[Vec<String>]) -> HashSet<String> {
    let mut found: HashSet<String> = CONSTANTS.map(str::to_owned).into();
    let double = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    found.insert(format!("{}.{}", double("s\"s"), double(&entity.name)));
    found.extend(entity.fields.iter().map(|field| field.name.clone()));
    let write = |legs: &[&str]| match backend {
        "postgres" => {
            let leg = |leg: &&str| format!("\"{}\"", leg.replace('\\', "\\\\").replace('"', "\\\""));
            format!("{{{}}}", legs.iter().map(leg).collect::<Vec<_>>().join(","))
        }
        _ => format!("${}", legs.iter().map(|leg| format!(".\"{leg}\"")).collect::<String>()),
    };
    for legs in paths.iter().chain([&Vec::new()]) {
        let mut legs: Vec<&str> = legs.iter().map(String::as_str).collect();
        found.insert(write(&legs));
        for tag in TAGS {
            legs.push(tag);
            found.insert(write(&legs));
            legs.pop();
        }
    }
    found
}

/// A piece of a statement.
enum Token {
    /// A quoted identifier, as it is meant.
    Name(String),
    /// A quoted text, as it is meant.
    Constant(String),
    Word(String),
    Mark,
    Sign(char),
}

impl Token {
    /// What stands outside quotes.
    fn outside(self) -> String {
        match self {
            Self::Word(word) => word,
            Self::Sign(sign) => sign.to_string(),
            Self::Name(_) | Self::Constant(_) | Self::Mark => " ".to_owned(),
        }
    }
}

/// The pieces of a statement as its database reads them.
fn tokens<'a>(backend: &'a str, text: &'a str) -> impl Iterator<Item = Token> + 'a {
    let quote = if backend == "mysql" { '`' } else { '"' };
    let mut letters = text.chars().peekable();
    std::iter::from_fn(move || {
        while letters.next_if(char::is_ascii_whitespace).is_some() {}
        let first = letters.next()?;
        if first == '\'' || first == quote {
            let mut inner = String::new();
            loop {
                match letters.next().unwrap_or_else(|| panic!("{backend}: a quote is open in {text}")) {
                    '\\' if first == '\'' && backend == "mysql" => inner.extend(letters.next()),
                    letter if letter != first => inner.push(letter),
                    _ if letters.next_if_eq(&first).is_some() => inner.push(first),
                    _ => break,
                }
            }
            return Some(if first == quote { Token::Name(inner) } else { Token::Constant(inner) });
        }
        if first == '?' || first == '$' {
            while letters.next_if(char::is_ascii_digit).is_some() {}
            return Some(Token::Mark);
        }
        let is_of_word = |letter: &char| letter.is_alphanumeric() || *letter == '_';
        if !is_of_word(&first) {
            return Some(Token::Sign(first));
        }
        let mut word = String::from(first);
        while let Some(letter) = letters.next_if(is_of_word) {
            word.push(letter);
        }
        Some(Token::Word(word))
    })
}

/// A document of the entity, created from what a user gave.
pub fn created(entity: &Entity, given: Map) -> Option<Map> {
    let record = entity.record(given).ok()?;
    let row = entity.check_insert(record, farm_db_core::value::DateTime::from_micros(0).ok()?).ok()?;
    Some(entity.fields.iter().map(|field| field.name.clone()).zip(row).collect())
}

/// Documents that filters and updates are tried on.
pub fn documents() -> &'static [Map] {
    static DOCUMENTS: OnceLock<Vec<Map>> = OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        let texts = [
            r#"{"id": 1}"#,
            r#"{"id": 2, "name": "abc", "age": 41, "score": 1.5, "price": {"$numberDecimal": "1.10"}, "active": true,
                "tags": ["a", "b"], "marks": [1, null, -9223372036854775808], "grid": [[1, 2], [], [3]],
                "parts": [{"name": "x", "qty": 2, "labels": ["l"]}, {"qty": null}],
                "attrs": {"a": {"b": [1, {"c": 2}]}, "0": [[0]], "__proto__": {}}, "limits": {"x": 9223372036854775807},
                "profile": {"city": "Bonn", "zip": 1, "home": {"street": "s", "no": 2}}, "extra": [1, [2, [3]], {"a": 1}]}"#,
            r#"{"id": 3, "born": {"$date": "2024-01-31T12:00:00.000001Z"}, "day": {"$day": "2024-01-31"},
                "at": {"$time": "12:00:00"}, "code": {"$uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
                "owner": {"$oid": "59a47286cfa9a3a73e51e72c"}, "data": {"$binary": {"base64": "AP8=", "subType": "00"}},
                "extra": {"a": [{"b": 1}, {"b": [1, 2]}], "c": {"$numberDouble": "Infinity"}}, "open": {"kind": "k", "z": 1}}"#,
        ];
        let entity = things();
        let document = |text: &str| {
            let mut given = tagged::read_map(text.as_bytes()).expect("it is JSON");
            given.insert("title".to_owned(), Value::from("t"));
            created(&entity, given).expect("the document fits")
        };
        texts.into_iter().map(document).collect()
    })
}
