//! [`Kind`]: which values an option takes; [`Setting`]: the value that was read.
//!
//! Invariant: an error says what was expected and the type of what was given, never the value itself, because a
//! misplaced value can be a password. Not for: names of options; see [`super::option_table`].

use std::time::Duration;

use super::nearest::normalise;
use super::secret::Secret;
use crate::value::Value;

/// Which values an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number from `least` to `most`; -1 means no limit where `unlimited`.
    Count {
        /// The smallest one.
        least: u64,
        /// The largest one.
        most: u64,
        /// Whether -1 switches the limit off.
        unlimited: bool,
    },
    /// A span of time from `least` milliseconds to `most` seconds; 0 and -1 mean none where `unlimited`.
    Span {
        /// The shortest one, in milliseconds.
        least: u64,
        /// The longest one, in seconds.
        most: u64,
        /// Whether 0 or -1 switches it off.
        unlimited: bool,
    },
    /// True or false.
    Truth,
    /// Text.
    Text,
    /// Several texts: a list, or a URL parameter that may be repeated.
    Texts,
    /// Text that is never shown.
    Secret,
    /// URLs, which may hold passwords: a text, a list, or a URL parameter that may be repeated.
    Urls,
    /// One of some words, whatever the case and the dashes.
    Choice(&'static [&'static str]),
    /// One of some words; true and false stand for two of them.
    Mode {
        /// The words.
        words: &'static [&'static str],
        /// The word that true means.
        yes: &'static str,
        /// The word that false means.
        no: &'static str,
    },
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A limit or a span that is switched off.
    Off,
    /// A whole number.
    Count(u64),
    /// A span of time.
    Span(Duration),
    /// True or false.
    Truth(bool),
    /// Text, or a word of a choice in its canonical spelling.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Text that is never shown.
    Secret(Secret),
    /// URLs, which may hold passwords.
    Urls(Vec<Secret>),
}

/// The unit in which a span is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

/// A value as it comes in: typed from a host, or text from a URL or a variable.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    Host(&'a Value),
    Written(&'a str),
}

/// A number before its range is known.
#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Broken(f64),
}

impl Raw<'_> {
    /// What to call it in an error.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Host(value) => value.type_name(),
            Self::Written(_) => "text",
        }
    }

    fn number(self) -> Option<Number> {
        match self {
            Self::Host(Value::Int(number)) => Some(Number::Whole(*number)),
            // JavaScript has one type of number, and 20 may arrive as 20.0.
            Self::Host(Value::Float(number)) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Some(Number::Whole(*number as i64))
            }
            Self::Host(Value::Float(number)) if number.is_finite() => Some(Number::Broken(*number)),
            Self::Host(_) => None,
            Self::Written(text) => match text.trim().parse::<i64>() {
                Ok(number) => Some(Number::Whole(number)),
                Err(_) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Number::Broken),
            },
        }
    }

    fn truth(self) -> Option<bool> {
        match self {
            Self::Host(value) => value.as_bool(),
            Self::Written(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            },
        }
    }

    fn text(self) -> Option<String> {
        match self {
            Self::Written(text) => Some(text.to_owned()),
            Self::Host(Value::Text(text)) => Some(text.clone()),
            // MongoDB's `w` is a number or a word; a `port` or a `database` may be written without quotes.
            Self::Host(Value::Int(number)) => Some(number.to_string()),
            Self::Host(_) => None,
        }
    }

    fn word(self, words: &[&'static str]) -> Option<&'static str> {
        let wanted = match self {
            Self::Written(text) => normalise(text.trim()),
            Self::Host(value) => normalise(value.as_text()?),
        };
        words.iter().copied().find(|word| normalise(word) == wanted)
    }
}

fn read_span(number: Number, unit: Unit, (least, most): (u64, u64), unlimited: bool) -> Option<Setting> {
    if unlimited && matches!(number, Number::Whole(0 | -1)) {
        return Some(Setting::Off);
    }
    let seconds = match (number, unit) {
        (Number::Whole(number), Unit::Seconds) => number as f64,
        (Number::Whole(number), Unit::Milliseconds) => number as f64 / 1e3,
        (Number::Broken(number), Unit::Seconds) => number,
        (Number::Broken(number), Unit::Milliseconds) => number / 1e3,
    };
    let span = Duration::try_from_secs_f64(seconds).ok()?;
    (Duration::from_millis(least)..=Duration::from_secs(most)).contains(&span).then_some(Setting::Span(span))
}

fn read_texts(raw: Raw<'_>) -> Option<Vec<String>> {
    match raw {
        Raw::Host(Value::List(items)) => items.iter().map(|item| item.as_text().map(str::to_owned)).collect(),
        _ => raw.text().map(|text| vec![text]),
    }
}

impl Kind {
    /// Reads a value; nothing where the type or the range is wrong.
    pub(super) fn read(self, raw: Raw<'_>, unit: Unit) -> Option<Setting> {
        match self {
            Self::Count { least, most, unlimited } => match raw.number()? {
                Number::Whole(-1) if unlimited => Some(Setting::Off),
                Number::Whole(number) => {
                    let number = u64::try_from(number).ok()?;
                    (least..=most).contains(&number).then_some(Setting::Count(number))
                }
                Number::Broken(_) => None,
            },
            Self::Span { least, most, unlimited } => read_span(raw.number()?, unit, (least, most), unlimited),
            Self::Truth => raw.truth().map(Setting::Truth),
            Self::Text => raw.text().map(Setting::Text),
            Self::Texts => read_texts(raw).map(Setting::Texts),
            Self::Urls => {
                let urls = read_texts(raw)?.into_iter().map(Secret::new);
                Some(Setting::Urls(urls.collect()))
            }
            Self::Secret => raw.text().map(|text| Setting::Secret(Secret::new(text))),
            Self::Choice(words) => raw.word(words).map(|word| Setting::Text(word.to_owned())),
            Self::Mode { words, yes, no } => {
                let word = raw.word(words).or_else(|| raw.truth().map(|truth| if truth { yes } else { no }));
                word.map(|word| Setting::Text(word.to_owned()))
            }
        }
    }

    /// What the option takes, as the end of a sentence.
    pub fn expected(self) -> String {
        self.expected_in(Unit::Seconds)
    }

    pub(super) fn expected_in(self, unit: Unit) -> String {
        let list = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Count { least, most, unlimited } => {
                let off = if unlimited { ", or -1 for no limit" } else { "" };
                format!("a whole number from {least} to {most}{off}")
            }
            Self::Span { least, most, unlimited } => {
                let off = if unlimited { ", or 0 for none" } else { "" };
                match unit {
                    Unit::Seconds => format!("a number of seconds from {} to {most}{off}", least as f64 / 1e3),
                    Unit::Milliseconds => format!("a number of milliseconds from {least} to {}{off}", most * 1000),
                }
            }
            Self::Truth => "true or false".to_owned(),
            Self::Text | Self::Secret => "text".to_owned(),
            Self::Texts => "text or a list of texts".to_owned(),
            Self::Urls => "a url or a list of urls".to_owned(),
            Self::Choice(words) => format!("one of {}", list(words)),
            Self::Mode { words, .. } => format!("true, false or one of {}", list(words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Kind = Kind::Span { least: 1, most: 3600, unlimited: true };
    const COUNT: Kind = Kind::Count { least: 1, most: 10, unlimited: false };

    fn read(kind: Kind, value: impl Into<Value>) -> Option<Setting> {
        kind.read(Raw::Host(&value.into()), Unit::Seconds)
    }

    #[test]
    fn spans_are_seconds_or_milliseconds() {
        assert_eq!(read(SPAN, 2), Some(Setting::Span(Duration::from_secs(2))));
        assert_eq!(read(SPAN, 0.25), Some(Setting::Span(Duration::from_millis(250))));
        let milliseconds = SPAN.read(Raw::Written("1500"), Unit::Milliseconds);
        assert_eq!(milliseconds, Some(Setting::Span(Duration::from_millis(1500))));
        assert_eq!(read(SPAN, 0), Some(Setting::Off));
        assert_eq!(read(SPAN, -1), Some(Setting::Off));
    }

    #[test]
    fn what_does_not_fit_is_not_read() {
        for value in
            [Value::Int(3601), Value::Int(-2), Value::Float(f64::NAN), Value::Float(1e300), Value::Text("1".into())]
        {
            assert_eq!(SPAN.read(Raw::Host(&value), Unit::Seconds), None, "{value:?}");
        }
        for value in [Value::Int(0), Value::Int(11), Value::Int(i64::MIN), Value::Float(1.5), Value::Bool(true)] {
            assert_eq!(COUNT.read(Raw::Host(&value), Unit::Seconds), None, "{value:?}");
        }
        assert_eq!(read(Kind::Truth, 1), None);
        assert_eq!(read(Kind::Text, true), None);
    }

    #[test]
    fn a_whole_float_counts() {
        assert_eq!(read(COUNT, 7.0), Some(Setting::Count(7)));
    }

    #[test]
    fn written_values_are_parsed() {
        let written = |kind: Kind, text| kind.read(Raw::Written(text), Unit::Seconds);
        assert_eq!(written(COUNT, "7"), Some(Setting::Count(7)));
        assert_eq!(written(COUNT, "seven"), None);
        assert_eq!(written(SPAN, "0.5"), Some(Setting::Span(Duration::from_millis(500))));
        assert_eq!(written(SPAN, "inf"), None);
        assert_eq!(written(Kind::Truth, "On"), Some(Setting::Truth(true)));
        assert_eq!(written(Kind::Choice(&["verify-full"]), "VERIFY_FULL"), Some(Setting::Text("verify-full".into())));
    }

    #[test]
    fn true_and_false_stand_for_modes() {
        let mode = Kind::Mode { words: &["disable", "require", "verify-full"], yes: "verify-full", no: "disable" };
        assert_eq!(read(mode, true), Some(Setting::Text("verify-full".into())));
        assert_eq!(read(mode, false), Some(Setting::Text("disable".into())));
        assert_eq!(read(mode, "require"), Some(Setting::Text("require".into())));
        assert_eq!(read(mode, "maybe"), None);
    }

    #[test]
    fn the_expectation_is_said_in_the_unit_of_the_name() {
        assert_eq!(SPAN.expected(), "a number of seconds from 0.001 to 3600, or 0 for none");
        assert_eq!(SPAN.expected_in(Unit::Milliseconds), "a number of milliseconds from 1 to 3600000, or 0 for none");
    }
}
