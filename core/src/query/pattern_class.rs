//! Character classes of regular expressions, as ranges.
//!
//! Invariant: what stands for a set by name (`\w`, `[:alpha:]`) is ASCII and never folded; single characters and ranges
//! fold under the option `i`. Not for: the syntax around a class (`pattern_parse`).

use std::fmt::Write as _;

use super::pattern::unsupported;
use crate::error::Result;

/// An inclusive range of characters.
pub(super) type Range = (char, char);

/// A set of characters.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// Whether every other character is meant.
    pub(super) negated: bool,
    /// Whether letters stand for both cases.
    pub(super) ignore_case: bool,
    /// What was written as characters and ranges.
    pub(super) written: Vec<Range>,
    /// What was written as the name of a set.
    pub(super) named: Vec<Range>,
}

impl Class {
    /// A set with a name, outside of brackets.
    pub(super) fn of(named: Vec<Range>) -> Self {
        Self { named, ..Self::default() }
    }
}

/// Every character that is in none of the ranges, which are in order.
pub(super) fn complement(ranges: &[Range]) -> Vec<Range> {
    let mut others = Vec::with_capacity(ranges.len() + 1);
    let mut start = '\0';
    for (first, last) in ranges {
        if let Some(before) = (start..*first).next_back() {
            others.push((start, before));
        }
        start = char::from_u32(*last as u32 + 1).unwrap_or(char::MAX);
    }
    others.push((start, char::MAX));
    others
}

/// The set of an escape such as `\d`, or its complement.
pub(super) fn escaped(letter: char) -> Option<Vec<Range>> {
    let ranges: &[Range] = match letter.to_ascii_lowercase() {
        'd' => &[('0', '9')],
        'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        's' => &[('\t', '\r'), (' ', ' ')],
        'h' => &[
            ('\t', '\t'),
            (' ', ' '),
            ('\u{a0}', '\u{a0}'),
            ('\u{1680}', '\u{1680}'),
            ('\u{180e}', '\u{180e}'),
            ('\u{2000}', '\u{200a}'),
            ('\u{202f}', '\u{202f}'),
            ('\u{205f}', '\u{205f}'),
            ('\u{3000}', '\u{3000}'),
        ],
        'v' => &[('\n', '\r'), ('\u{85}', '\u{85}'), ('\u{2028}', '\u{2029}')],
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() { complement(ranges) } else { ranges.to_vec() })
}

/// The set of a POSIX class such as `[:alpha:]`; upper and lower case are one under the option `i`.
pub(super) fn posix(name: &str, ignore_case: bool) -> Option<Vec<Range>> {
    let (name, negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let ranges: &[Range] = match name {
        "lower" | "upper" if ignore_case => &[('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "lower" => &[('a', 'z')],
        "upper" => &[('A', 'Z')],
        "digit" => &[('0', '9')],
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "print" => &[(' ', '~')],
        "graph" => &[('!', '~')],
        "cntrl" => &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "ascii" => &[('\0', '\u{7f}')],
        _ => return None,
    };
    Some(if negated { complement(ranges) } else { ranges.to_vec() })
}

/// Writes a class in the syntax of the `regex` crate.
pub(super) fn write_class(class: &Class, out: &mut String) -> Result<()> {
    let folds = class.ignore_case && !class.written.is_empty();
    if folds && class.named.is_empty() {
        out.push_str("(?i:");
        write_ranges(class.negated, &class.written, out);
        out.push(')');
        return Ok(());
    }
    let mut ranges = if folds { folded(&class.written)? } else { class.written.clone() };
    ranges.extend(&class.named);
    write_ranges(class.negated, &ranges, out);
    Ok(())
}

/// ASCII ranges with both cases, and the two characters beyond ASCII that fold to ASCII letters.
fn folded(ranges: &[Range]) -> Result<Vec<Range>> {
    if ranges.iter().any(|(_, last)| !last.is_ascii()) {
        return Err(unsupported("a class of a named set and non-ASCII characters under the option i"));
    }
    let mut all = ranges.to_vec();
    for letter in 'a'..='z' {
        let upper = letter.to_ascii_uppercase();
        if ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter) || (*first..=*last).contains(&upper)) {
            all.extend([(letter, letter), (upper, upper)]);
            match letter {
                's' => all.push(('\u{17f}', '\u{17f}')),
                'k' => all.push(('\u{212a}', '\u{212a}')),
                _ => {}
            }
        }
    }
    Ok(all)
}

fn write_ranges(negated: bool, ranges: &[Range], out: &mut String) {
    out.push_str(if negated { "[^" } else { "[" });
    for (first, last) in ranges {
        write_letter(*first, out);
        if first != last {
            out.push('-');
            write_letter(*last, out);
        }
    }
    out.push(']');
}

fn write_letter(letter: char, out: &mut String) {
    if letter.is_ascii_alphanumeric() {
        out.push(letter);
    } else {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(letter));
    }
}
