//! The words of a text: what full-text search compares, the same for rows and for questions.
//!
//! A word is a maximal run of letters, digits and combining marks, in small letters by Unicode. The run is found before its
//! letters become small, because the small form of a letter may depend on its neighbours (the Greek final sigma), and a
//! word must not depend on the words around it. Texts are compared as they are written: composed and decomposed accents
//! are different letters here as they are in filters, and no language is guessed.
//! Not for: the order of results, which is the engine's own.

use std::sync::LazyLock;

use regex::Regex;

/// Words that one search may have; more would be no question that a person asks.
pub const MAX_WORDS: usize = 100;

static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{M}\p{N}]+").expect("the expression is a constant, and a test uses it"));

/// The words of a text, in its order.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    WORD.find_iter(text).map(|word| word.as_str().to_lowercase())
}

/// Whether every one of `wanted` is among the words of `text`, which are divided by one blank each; never without words.
pub fn has_words(text: &str, wanted: &[String]) -> bool {
    !wanted.is_empty() && wanted.iter().all(|word| text.split(' ').any(|own| own == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_are_runs_of_letters_digits_and_marks() {
        for (text, expected) in [
            ("", vec![]),
            (" -- !? ", vec![]),
            ("The quick-brown fox's 2nd a_b", vec!["the", "quick", "brown", "fox", "s", "2nd", "a", "b"]),
            ("ada.lovelace@example.com", vec!["ada", "lovelace", "example", "com"]),
            ("GRÖSSE Straße İstanbul", vec!["grösse", "straße", "i\u{307}stanbul"]),
            ("ΟΔΟΣ'Α ΣΑΣ", vec!["οδος", "α", "σας"]),
            ("Жизнь 東京都、大阪", vec!["жизнь", "東京都", "大阪"]),
            ("caf\u{e9} cafe\u{301}", vec!["caf\u{e9}", "cafe\u{301}"]),
            ("Ⅷ ½ ٣", vec!["ⅷ", "½", "٣"]),
        ] {
            assert_eq!(all(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_of_words_are_themselves() {
        let every: String = (0..=char::MAX as u32).filter_map(char::from_u32).flat_map(|c| [c, ' ']).collect();
        let once = all(&every);
        assert!(once.len() > 100_000);
        assert_eq!(once, all(&once.join(" ")));
    }

    #[test]
    fn a_search_needs_every_word_whole() {
        let wanted = |text: &str| all(text);
        assert!(has_words("a bb a", &wanted("bb a")));
        assert!(!has_words("a bb", &wanted("b")));
        assert!(!has_words("a bb", &wanted("a c")));
        assert!(!has_words("a bb", &[]));
        assert!(!has_words("", &[]));
    }
}
