//! Regular expressions of `$regex`: PCRE as mongod runs it (UTF-8, without Unicode properties), compiled by the `regex`
//! crate, whose running time is linear.
//!
//! Invariant: an expression either finds what mongod finds or is refused. Where the two syntaxes differ silently the
//! expression is rewritten: `\d \w \s \b` are ASCII, `$` also stands before a final newline, `^` with `m` does not stand
//! after one. Not for: the `pattern` constraint of a field, which is in the `regex` crate's own syntax.
//! Source: PCRE manual, "pcrepattern"; MongoDB manual, "$regex".

use std::fmt::Write as _;

use super::pattern_class::write_class;
use super::pattern_parse::parse;
use super::pattern_tree::{Atom, Flags, PLACE, Piece, cost};
use crate::error::{Error, Result};

/// mongod's limit of an expression, in bytes.
const MAX_LENGTH: usize = 32_764;
/// Places of an expression at most: the time for a text grows with its length times this. One of 30,000 characters takes
/// half a second then, where nothing helps the engine.
const MAX_PLACES: usize = 1_000;
/// The size of a compiled expression, in bytes.
const MAX_SIZE: usize = 4 << 20;

/// Compiles an expression with its `$options`. The text of the result needs no flags beside it.
pub(super) fn compile(source: &str, options: &str) -> Result<regex::Regex> {
    let mut flags = Flags::default();
    for option in options.chars() {
        if !flags.set(option, true) {
            let message = format!("$options knows i, m, s and x, not {option:?}");
            return Err(Error::invalid_query(message).with("operator", "$options"));
        }
    }
    if source.len() > MAX_LENGTH {
        return Err(invalid(&format!("it is longer than {MAX_LENGTH} bytes")));
    }
    if source.contains('\0') {
        return Err(invalid("it contains the character NUL"));
    }
    let alternatives = parse(source, flags)?;
    if cost(&alternatives, false) > MAX_PLACES * PLACE {
        return Err(invalid(&format!("it has more than {MAX_PLACES} places, repetitions written out")));
    }
    let mut text = String::with_capacity(source.len() + 16);
    write_alternatives(&alternatives, After { end: true, empty: true }, &mut text)?;
    regex::RegexBuilder::new(&text).size_limit(MAX_SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => invalid("it is too large when compiled"),
        // The first line says where, the last what; the expression itself was rewritten.
        other => invalid(other.to_string().lines().last().unwrap_or_default().trim()),
    })
}

/// The error for an expression that PCRE refuses too.
pub(super) fn invalid(why: &str) -> Error {
    Error::invalid_query(format!("not a regular expression: {why}")).with("operator", "$regex")
}

/// The error for what PCRE has and a linear engine has not, or where the two would differ.
pub(super) fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("regular expressions with {what} are not supported on any backend"))
        .with("operator", "$regex")
}

/// What can come after a piece.
#[derive(Clone, Copy)]
struct After {
    /// Nothing comes after it.
    end: bool,
    /// What comes after it can match nothing at all.
    empty: bool,
}

fn write_alternatives(alternatives: &[Vec<Piece>], after: After, out: &mut String) -> Result<()> {
    for (index, pieces) in alternatives.iter().enumerate() {
        if index > 0 {
            out.push('|');
        }
        write_pieces(pieces, after, out)?;
    }
    Ok(())
}

fn write_pieces(pieces: &[Piece], after: After, out: &mut String) -> Result<()> {
    let mut index = 0;
    while index < pieces.len() {
        let literals = pieces[index..].iter().map_while(Piece::folded_literal);
        let run: String = literals.map(|letter| regex::escape(letter.encode_utf8(&mut [0; 4]))).collect();
        if !run.is_empty() {
            let _ = write!(out, "(?i:{run})");
            index += pieces[index..].iter().map_while(Piece::folded_literal).count();
            continue;
        }
        let rest = &pieces[index + 1..];
        let after =
            After { end: after.end && rest.is_empty(), empty: after.empty && rest.iter().all(Piece::can_be_empty) };
        write_piece(&pieces[index], after, out)?;
        index += 1;
    }
    Ok(())
}

fn write_piece(piece: &Piece, after: After, out: &mut String) -> Result<()> {
    match &piece.atom {
        Atom::Literal(letter, true) => {
            let _ = write!(out, "(?i:{})", regex::escape(letter.encode_utf8(&mut [0; 4])));
        }
        Atom::Literal(letter, false) => out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        Atom::Dot { all: true } => out.push_str("(?s:.)"),
        Atom::Dot { all: false } => out.push_str("[^\\n]"),
        Atom::Class(class) => write_class(class, out)?,
        Atom::LineStart if after.empty => return Err(unsupported("^ under the option m before what can be empty")),
        Atom::LineStart => out.push_str("(?m:^)"),
        Atom::LineEnd => out.push_str("(?m:$)"),
        Atom::TextStart => out.push_str("\\A"),
        Atom::TextEnd => out.push_str("\\z"),
        // Nothing is looked at behind it, so the newline may as well be part of what is found.
        Atom::LastLineEnd if after.end => out.push_str("(?:\\n?\\z)"),
        Atom::LastLineEnd => return Err(unsupported("$ before something else")),
        Atom::WordBoundary => out.push_str("(?-u:\\b)"),
        Atom::NoWordBoundary => out.push_str("(?-u:\\B)"),
        Atom::Group(alternatives) => {
            let once = piece.repeat.as_ref().is_none_or(|repeat| repeat.most == Some(1));
            out.push_str("(?:");
            write_alternatives(alternatives, After { end: after.end && once, ..after }, out)?;
            out.push(')');
        }
    }
    let Some(repeat) = &piece.repeat else { return Ok(()) };
    let _ = match (repeat.least, repeat.most) {
        (0, None) => write!(out, "*"),
        (1, None) => write!(out, "+"),
        (0, Some(1)) => write!(out, "?"),
        (least, None) => write!(out, "{{{least},}}"),
        (least, Some(most)) => write!(out, "{{{least},{most}}}"),
    };
    Ok(())
}
