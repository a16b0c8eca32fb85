//! Regular expressions of `$regex`.

use crate::error::{Error, Result};

/// Compiles `source`.
pub(super) fn compile(source: &str, options: &str) -> Result<regex::Regex> {
    let flags = if options.is_empty() { String::new() } else { format!("(?{options})") };
    regex::RegexBuilder::new(&format!("{flags}{source}"))
        .size_limit(1 << 20)
        .build()
        .map_err(|error| Error::invalid_query(format!("not a regular expression: {error}")).with("operator", "$regex"))
}
