//! Percent-encoding of the parts of a URL, strict on the way in.
//!
//! Invariant: errors name the part and never its text. A `+` stays a `+`, as in libpq and `MongoDB`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Result};

/// What stays as it is in every part; everything else is written as `%XX`.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same for a path of a file, which is easier to read with its slashes.
const KEPT_IN_PATH: &AsciiSet = &KEPT.remove(b'/').remove(b':');

/// The text of one part; `part` is its name in the error, with its article.
pub(super) fn decode(text: &str, part: &str) -> Result<String> {
    let refuse = |why: &str| {
        Err(Error::invalid_configuration(format!("{part} of the database url {why}")).with("option", "url"))
    };
    let bytes = text.as_bytes();
    let sound = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    if (0..bytes.len()).any(|at| bytes[at] == b'%' && !sound(at)) {
        return refuse("holds a `%` without two hex digits behind it; write %25 for the character itself");
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if text.contains('\0') => refuse("holds a nul character"),
        Ok(text) => Ok(text.into_owned()),
        Err(_) => refuse("is not utf-8 once it is percent-decoded"),
    }
}

/// One part as it stands in a URL.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// A path of a file as it stands in a URL.
pub(super) fn encode_path(text: &str) -> String {
    utf8_percent_encode(text, KEPT_IN_PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_character_survives_a_round_trip() {
        let text = "p@s:s/w?o#r%d&=+ ;,'\"\\[]{}|^`<>!$*()~ ü€😀\t\n\u{7f}";
        assert_eq!(decode(&encode(text), "x").unwrap(), text);
        assert_eq!(decode(&encode_path(text), "x").unwrap(), text);
        assert_eq!(decode("a+b", "x").unwrap(), "a+b");
    }

    #[test]
    fn broken_escapes_are_refused_without_repeating_the_text() {
        for text in ["canary%", "canary%2", "canary%zz", "canary%ff", "canary%00", "canary%é"] {
            let error = decode(text, "the password").unwrap_err();
            assert!(error.message().starts_with("the password of the database url"));
            assert!(!error.message().contains("canary"));
        }
    }
}
