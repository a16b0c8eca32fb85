//! Regular expressions as a tree.
//!
//! Invariant: options have been applied; a piece means the same wherever it stands. Not for: text.

use super::pattern_class::Class;

/// The options that an expression can switch.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "these are the four switches of PCRE")]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
    pub(super) extended: bool,
}

impl Flags {
    /// Switches the option of this letter; false where there is none.
    pub(super) fn set(&mut self, letter: char, on: bool) -> bool {
        match letter {
            'i' => self.ignore_case = on,
            'm' => self.multi_line = on,
            's' => self.dot_all = on,
            'x' => self.extended = on,
            _ => return false,
        }
        true
    }
}

/// What can stand in an expression.
#[derive(Debug)]
pub(super) enum Atom {
    /// One character; whether in either case.
    Literal(char, bool),
    /// Any character, or any but the newline.
    Dot { all: bool },
    /// One of a set.
    Class(Class),
    /// `^` under `m`.
    LineStart,
    /// `$` under `m`.
    LineEnd,
    /// `^` or `\A`.
    TextStart,
    /// `\z`
    TextEnd,
    /// `$` or `\Z`: at the end or before a final newline.
    LastLineEnd,
    /// `\b`
    WordBoundary,
    /// `\B`
    NoWordBoundary,
    /// Alternatives in parentheses.
    Group(Vec<Vec<Piece>>),
}

/// How often.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) least: u32,
    pub(super) most: Option<u32>,
}

/// An atom and how often it stands.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) atom: Atom,
    pub(super) repeat: Option<Repeat>,
}

impl Piece {
    /// Whether it can match without consuming anything.
    pub(super) fn can_be_empty(&self) -> bool {
        let atom = match &self.atom {
            Atom::Literal(..) | Atom::Dot { .. } | Atom::Class(_) => false,
            Atom::Group(alternatives) => alternatives.iter().any(|pieces| pieces.iter().all(Self::can_be_empty)),
            _ => true,
        };
        atom || self.repeat.as_ref().is_some_and(|repeat| repeat.least == 0)
    }

    /// See [`cost`].
    fn cost(&self, repeated: bool) -> usize {
        let repeated = repeated || self.repeat.is_some();
        let once = match &self.atom {
            Atom::Literal(_, false) if !repeated => LETTER,
            Atom::Literal(..) | Atom::Dot { .. } | Atom::Class(_) => PLACE,
            Atom::Group(alternatives) => cost(alternatives, repeated),
            _ => 0,
        };
        let times = self.repeat.as_ref().map_or(1, |repeat| repeat.most.unwrap_or(repeat.least).max(1));
        once.saturating_mul(times as usize)
    }

    /// The character, where it is a single one in either case.
    pub(super) fn folded_literal(&self) -> Option<char> {
        match (&self.atom, &self.repeat) {
            (Atom::Literal(letter, true), None) => Some(*letter),
            _ => None,
        }
    }
}

/// What a letter costs that stands by itself, and any other place.
const LETTER: usize = 1;
pub(super) const PLACE: usize = 2;

/// How many places of an expression a search may have to look at for every character of a text, repetitions written out.
/// Of words beside each other only one goes on here, because the engine joins their beginnings, but mongod's tries them all.
pub(super) fn cost(alternatives: &[Vec<Piece>], repeated: bool) -> usize {
    let of_pieces =
        |pieces: &Vec<Piece>| pieces.iter().fold(0, |sum: usize, one| sum.saturating_add(one.cost(repeated)));
    let is_letter = |piece: &Piece| matches!(piece.atom, Atom::Literal(..)) && piece.repeat.is_none();
    let costs: Vec<usize> = alternatives.iter().map(of_pieces).collect();
    let all = costs.iter().fold(0, |sum: usize, one| sum.saturating_add(*one));
    if !repeated && alternatives.iter().flatten().all(is_letter) {
        return costs.into_iter().max().unwrap_or_default().max(all / WORDS);
    }
    all
}

/// How much less a letter costs among words beside each other.
const WORDS: usize = 5;
