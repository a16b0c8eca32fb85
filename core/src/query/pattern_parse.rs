//! The part of PCRE's syntax whose meaning is known exactly.
//!
//! Invariant: what is read here means the same to PCRE; everything else is refused by name. Not for: rewriting.
//! Source: PCRE manual, "pcrepattern".

use super::pattern::{invalid, unsupported};
use super::pattern_class::{Class, Range, escaped, posix};
use super::pattern_tree::{Atom, Flags, Piece, Repeat};
use crate::error::Result;

/// Groups nested deeper are refused.
const MAX_DEPTH: usize = 100;

/// Reads an expression.
pub(super) fn parse(source: &str, flags: Flags) -> Result<Vec<Vec<Piece>>> {
    let mut parser = Parser { rest: source, flags };
    let alternatives = parser.alternatives(0)?;
    if parser.rest.is_empty() { Ok(alternatives) } else { Err(invalid("there is a ) without its (")) }
}

struct Parser<'s> {
    rest: &'s str,
    flags: Flags,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        letter
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// White space and comments under the option `x`; whether there were any.
    fn skip(&mut self) -> bool {
        let before = self.rest.len();
        while self.flags.extended {
            self.rest = self.rest.trim_start_matches(['\t', '\n', '\u{b}', '\u{c}', '\r', ' ']);
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        self.rest.len() < before
    }

    /// Up to the end or to a closing parenthesis.
    fn alternatives(&mut self, depth: usize) -> Result<Vec<Vec<Piece>>> {
        if depth > MAX_DEPTH {
            return Err(invalid("its groups are nested too deep"));
        }
        let mut alternatives = vec![Vec::new()];
        loop {
            self.skip();
            match self.peek() {
                None | Some(')') => return Ok(alternatives),
                Some('|') => {
                    self.next();
                    alternatives.push(Vec::new());
                }
                Some(_) => {
                    if let Some(atom) = self.atom(depth)? {
                        let repeat = self.repeat(&atom)?;
                        if let Some(pieces) = alternatives.last_mut() {
                            pieces.push(Piece { atom, repeat });
                        }
                    }
                }
            }
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Option<Atom>> {
        let Flags { ignore_case, multi_line, dot_all, .. } = self.flags;
        let Some(letter) = self.next() else { return Ok(None) };
        Ok(Some(match letter {
            '.' => Atom::Dot { all: dot_all },
            '^' if multi_line => Atom::LineStart,
            '^' => Atom::TextStart,
            '$' if multi_line => Atom::LineEnd,
            '$' => Atom::LastLineEnd,
            '[' => Atom::Class(self.class()?),
            '(' => return self.group(depth),
            '\\' => self.escape()?,
            '*' | '+' | '?' => return Err(invalid(&format!("there is nothing before {letter} to repeat"))),
            '{' if bounds(self.rest).is_some() => return Err(invalid("there is nothing before { to repeat")),
            other => Atom::Literal(other, ignore_case),
        }))
    }

    fn repeat(&mut self, atom: &Atom) -> Result<Option<Repeat>> {
        self.skip();
        let repeat = match self.peek() {
            Some('*') => (1, Repeat { least: 0, most: None }),
            Some('+') => (1, Repeat { least: 1, most: None }),
            Some('?') => (1, Repeat { least: 0, most: Some(1) }),
            Some('{') => match bounds(&self.rest[1..]) {
                Some((length, least, most)) => (length + 1, Repeat { least, most }),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let (length, repeat) = repeat;
        self.rest = &self.rest[length..];
        if repeat.least > 65_535 || repeat.most.is_some_and(|most| most > 65_535 || most < repeat.least) {
            return Err(invalid("a repetition is out of order or above 65535"));
        }
        if !matches!(atom, Atom::Literal(..) | Atom::Dot { .. } | Atom::Class(_) | Atom::Group(_)) {
            return Err(unsupported("a repeated assertion"));
        }
        let apart = self.skip();
        match self.peek() {
            Some('+') => Err(unsupported("possessive repetitions")),
            Some('?') if apart => Err(unsupported("a lazy repetition that is written apart")),
            // Lazy or greedy decides what is found, not whether something is.
            Some('?') => {
                self.next();
                self.only_once(repeat)
            }
            _ => self.only_once(repeat),
        }
    }

    fn only_once(&mut self, repeat: Repeat) -> Result<Option<Repeat>> {
        self.skip();
        match self.peek() {
            Some('*' | '+' | '?') => Err(invalid("a repetition is repeated")),
            Some('{') if bounds(&self.rest[1..]).is_some() => Err(invalid("a repetition is repeated")),
            _ => Ok(Some(repeat)),
        }
    }

    fn group(&mut self, depth: usize) -> Result<Option<Atom>> {
        let outer = self.flags;
        if self.rest.starts_with('*') {
            return Err(unsupported("verbs such as (*ACCEPT)"));
        }
        if self.eat("?") && !self.opening()? {
            return Ok(None);
        }
        let alternatives = self.alternatives(depth + 1)?;
        self.flags = outer;
        if self.next().is_none() {
            return Err(invalid("there is a ( without its )"));
        }
        Ok(Some(Atom::Group(alternatives)))
    }

    /// What stands between `(?` and the alternatives; false for a comment or options without a group.
    fn opening(&mut self) -> Result<bool> {
        if self.eat("#") {
            let end = self.rest.find(')').ok_or_else(|| invalid("a comment has no end"))?;
            self.rest = &self.rest[end + 1..];
            return Ok(false);
        }
        for lookaround in ["=", "!", "<=", "<!"] {
            if self.rest.starts_with(lookaround) {
                return Err(unsupported("lookaround"));
            }
        }
        if self.eat("P<") || self.eat("<") {
            let end = self.rest.find('>').ok_or_else(|| invalid("the name of a group has no end"))?;
            let name = &self.rest[..end];
            let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && (1..=32).contains(&end);
            if !fits || name.starts_with(|letter: char| letter.is_ascii_digit()) {
                return Err(invalid("a group has a wrong name"));
            }
            self.rest = &self.rest[end + 1..];
            return Ok(true);
        }
        let mut on = true;
        loop {
            match self.next() {
                Some(':') => return Ok(true),
                Some(')') => return Ok(false),
                Some('-') if on => on = false,
                Some(letter) if self.flags.set(letter, on) => {}
                Some('>') => return Err(unsupported("atomic groups")),
                Some(letter) => return Err(unsupported(&format!("groups that begin with (?{letter}"))),
                None => return Err(invalid("there is a ( without its )")),
            }
        }
    }

    fn escape(&mut self) -> Result<Atom> {
        let letter = self.next().ok_or_else(|| invalid("it ends with a backslash"))?;
        Ok(match letter {
            'A' => Atom::TextStart,
            'z' => Atom::TextEnd,
            'Z' => Atom::LastLineEnd,
            'b' => Atom::WordBoundary,
            'B' => Atom::NoWordBoundary,
            _ => match escaped(letter) {
                Some(named) => Atom::Class(Class::of(named)),
                None => Atom::Literal(self.escaped_letter(letter)?, self.flags.ignore_case),
            },
        })
    }

    /// The one character that an escape stands for, inside and outside of classes.
    fn escaped_letter(&mut self, letter: char) -> Result<char> {
        Ok(match letter {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'e' => '\u{1b}',
            'a' => '\u{7}',
            'x' => return self.hexadecimal(),
            '1'..='9' | 'k' | 'g' => return Err(unsupported("backreferences")),
            letter if letter.is_ascii_alphanumeric() => return Err(unsupported(&format!("\\{letter}"))),
            other => other,
        })
    }

    fn hexadecimal(&mut self) -> Result<char> {
        let wrong = || invalid("\\x needs two hexadecimal digits, or a character in braces");
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}').ok_or_else(wrong)?;
            self.rest = rest;
            digits
        } else {
            let (digits, rest) = self.rest.split_at_checked(2).ok_or_else(wrong)?;
            self.rest = rest;
            digits
        };
        let plain = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = if plain { u32::from_str_radix(digits, 16).ok() } else { None };
        code.and_then(char::from_u32).ok_or_else(wrong)
    }

    fn class(&mut self) -> Result<Class> {
        let mut class = Class { ignore_case: self.flags.ignore_case, negated: self.eat("^"), ..Class::default() };
        let mut first = true;
        loop {
            let letter = self.next().ok_or_else(|| invalid("there is a [ without its ]"))?;
            if letter == ']' && !first {
                return Ok(class);
            }
            first = false;
            match self.class_item(letter)? {
                Item::Named(named) => {
                    class.named.extend(named);
                    if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                        return Err(unsupported("a range that begins with a set"));
                    }
                }
                Item::Letter(start) => {
                    let end = self.range_end(start)?;
                    class.written.push((start, end));
                }
            }
        }
    }

    /// Behind the start of a range; the start itself where there is no range.
    fn range_end(&mut self, start: char) -> Result<char> {
        if !self.rest.starts_with('-') || self.rest.starts_with("-]") {
            return Ok(start);
        }
        self.next();
        let letter = self.next().ok_or_else(|| invalid("there is a [ without its ]"))?;
        match self.class_item(letter)? {
            Item::Letter(end) if end >= start => Ok(end),
            Item::Letter(_) => Err(invalid("a range is out of order")),
            Item::Named(_) => Err(unsupported("a range that ends with a set")),
        }
    }

    fn class_item(&mut self, letter: char) -> Result<Item> {
        match letter {
            '[' if self.rest.starts_with([':', '.', '=']) => {
                let Some((name, rest)) = self.rest[1..].split_once(":]").filter(|_| self.rest.starts_with(':')) else {
                    return Err(unsupported("[ before one of : . = in a class"));
                };
                let named =
                    posix(name, self.flags.ignore_case).ok_or_else(|| invalid("a class has an unknown name"))?;
                self.rest = rest;
                Ok(Item::Named(named))
            }
            '\\' => {
                let letter = self.next().ok_or_else(|| invalid("it ends with a backslash"))?;
                match escaped(letter) {
                    Some(named) => Ok(Item::Named(named)),
                    None if letter == 'b' => Ok(Item::Letter('\u{8}')),
                    None => self.escaped_letter(letter).map(Item::Letter),
                }
            }
            other => Ok(Item::Letter(other)),
        }
    }
}

enum Item {
    Letter(char),
    Named(Vec<Range>),
}

/// The length and numbers of `n}`, `n,}` or `n,m}`; anything else is text.
fn bounds(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let (inner, _) = text.split_once('}')?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match inner.split_once(',') {
        None => (number(inner)?, Some(number(inner)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    Some((inner.len() + 1, least, most))
}
