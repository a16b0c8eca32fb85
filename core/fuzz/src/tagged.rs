//! Tagged JSON: what is read is written so that the same is read again.

use farm_db_core::value::tagged;

/// Any bytes.
pub fn run(data: &[u8]) {
    let Ok(value) = tagged::read(data) else { return };
    let text = tagged::to_string(&value);
    let again = tagged::read(text.as_bytes()).unwrap_or_else(|error| panic!("{text} is not read again: {error}"));
    // Compared as text, because NaN is not equal to itself.
    assert_eq!(tagged::to_string(&again), text);
    assert_eq!(again.type_name(), value.type_name());
}
