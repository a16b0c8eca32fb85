//! Regular expressions of users: refused, or found in a long text in a bounded time.

use std::time::{Duration, Instant};

use farm_db_core::query::{Filter, matches};
use farm_db_core::{Value, document};

use super::statement;

/// Characters of the text that is searched.
const LONG: usize = 30_000;
/// How long an expression may take to be read and to be looked for once in a build without optimization; libFuzzer is
/// told less.
const PATIENCE: Duration = Duration::from_secs(10);

/// Options, an expression and a piece of text, a line each.
pub fn run(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let mut lines = input.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (options, source, piece) = (line(), line(), line());
    let began = Instant::now();
    let test = document! { "$regex" => source, "$options" => options };
    let Ok(filter) = Filter::parse(&document! { "name" => test }, &statement::things()) else {
        assert!(began.elapsed() < PATIENCE, "refusing took {:?}", began.elapsed());
        return;
    };
    let text = piece.repeat(LONG / piece.len().max(1));
    let _ = matches(&filter, &document! { "name" => Value::Text(text) });
    assert!(began.elapsed() < PATIENCE, "it took {:?}", began.elapsed());
}
