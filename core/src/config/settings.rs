//! [`Settings`]: options read from maps, URL parameters and variables into typed values under canonical names.
//!
//! Invariant: whatever is in here is known to the backend and of the type and range that the table says. A later layer
//! wins over an earlier one; within one layer two different values for the same thing are an error. Not for: what the
//! settings mean; each structure takes its own out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backend_kind::BackendKind;
use super::nearest::{nearest, normalise};
use super::option_table::{self, KnownOption, OPTIONS};
use super::secret::Secret;
use super::setting::{Raw, Setting, Unit};
use super::url::{Parameter, spoken};
use crate::error::{Error, Result};
use crate::value::{Map, Value};

/// Options by their canonical names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(BTreeMap<&'static str, Setting>);

/// Ways to say one thing in two forms: who says one form withdraws the other of an earlier layer.
const FORMS: [(&str, &[&str]); 3] =
    [("max_size", &["pool_size", "max_overflow"]), ("check_after", &["pre_ping"]), ("connect_timeout", &["timeout"])];

/// Options from one source, with the names as they were written there.
pub(super) struct Layer {
    backend: BackendKind,
    doubtful: bool,
    read: BTreeMap<&'static str, (Setting, String)>,
}

impl Layer {
    fn new(backend: BackendKind) -> Self {
        Self { backend, doubtful: false, read: BTreeMap::new() }
    }

    /// The options of a host: a map with the sections `pool`, `options` and one a backend.
    pub(super) fn of_map(backend: BackendKind, options: &Map) -> Result<Self> {
        let mut layer = Self::new(backend);
        layer.add_map(options, false)?;
        layer.checked()
    }

    /// The parameters of a URL.
    pub(super) fn of_parameters(backend: BackendKind, parameters: &[Parameter], doubtful: bool) -> Result<Self> {
        let mut layer = Self { doubtful, ..Self::new(backend) };
        for parameter in parameters {
            let shown = spoken(&parameter.name, doubtful);
            layer.add(&parameter.name, shown, Raw::Written(parameter.value.expose()), false)?;
        }
        layer.checked()
    }

    /// Environment variables: the variable, the option that it sets, its text.
    pub(super) fn of_variables(backend: BackendKind, variables: &[(&str, &str, String)]) -> Result<Self> {
        let mut layer = Self::new(backend);
        for (variable, name, text) in variables {
            layer.add(name, format!("`{variable}`"), Raw::Written(text), false)?;
        }
        layer.checked()
    }

    fn add_map(&mut self, options: &Map, pool_only: bool) -> Result<()> {
        for (name, value) in options {
            match value {
                // None of Python and undefined of JavaScript leave the default.
                Value::Null => {}
                Value::Map(section) if !pool_only && self.add_section(name, section)? => {}
                value => self.add(name, spoken(name, false), Raw::Host(value), pool_only)?,
            }
        }
        Ok(())
    }

    /// Whether `name` is a section; those of other backends are left alone.
    fn add_section(&mut self, name: &str, section: &Map) -> Result<bool> {
        match (normalise(name).as_str(), BackendKind::from_name(name)) {
            ("pool", _) => self.add_map(section, true)?,
            ("options", _) => self.add_map(section, false)?,
            (_, Some(backend)) if backend == self.backend => self.add_map(section, false)?,
            (_, Some(_)) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add(&mut self, name: &str, shown: String, raw: Raw<'_>, pool_only: bool) -> Result<()> {
        // Inside the section `timeout` is that of the pool, though the backend may have another one.
        let prefixed = if pool_only { self.find(&format!("pool_{name}"), true) } else { None };
        let found = prefixed.or_else(|| self.find(name, pool_only));
        let Some((option, unit)) = found else {
            return Err(self.unknown(name, &shown, pool_only));
        };
        let Some(setting) = option.kind.read(raw, unit) else {
            return Err(misfit(option, &shown, raw, unit));
        };
        match self.read.get_mut(option.name) {
            None => {
                self.read.insert(option.name, (setting, shown));
            }
            Some((Setting::Texts(earlier), _)) => {
                if let Setting::Texts(more) = setting {
                    earlier.extend(more);
                }
            }
            Some((Setting::Urls(earlier), _)) => {
                if let Setting::Urls(more) = setting {
                    earlier.extend(more);
                }
            }
            Some((earlier, _)) if *earlier == setting => {}
            Some((_, earlier)) => return Err(contradiction(earlier, &shown)),
        }
        Ok(())
    }

    fn find(&self, name: &str, pool_only: bool) -> Option<(&'static KnownOption, Unit)> {
        option_table::find(name, self.backend, pool_only)
    }

    fn unknown(&self, name: &str, shown: &str, pool_only: bool) -> Error {
        let backend = self.backend;
        let others: Vec<&str> = BackendKind::ALL
            .into_iter()
            .filter(|other| option_table::find(name, *other, false).is_some())
            .map(BackendKind::name)
            .collect();
        if !others.is_empty() && !self.doubtful {
            let place = if pool_only { "the section `pool`" } else { backend.name() };
            let message = format!("option {shown} is one of {}, not of {place}", others.join(", "));
            return Error::invalid_configuration(message).with("option", shown.trim_matches('`'));
        }
        let fitting = OPTIONS.iter().filter(|option| option.backends.contains(&backend) && (option.pool || !pool_only));
        let names: Vec<&str> = fitting.flat_map(KnownOption::names).collect();
        // What is nearest to a piece of a password tells about it, so nothing is said then.
        let likely = if shown.starts_with('`') { nearest(name, names) } else { None };
        let hint = likely.map(|likely| format!(" (the nearest known one is `{likely}`)")).unwrap_or_default();
        Error::invalid_configuration(format!("unknown option {shown} for {backend}{hint}"))
            .with("option", shown.trim_matches('`'))
            .with("nearest", likely.map(str::to_owned))
    }

    /// Refuses two forms of one thing side by side.
    fn checked(self) -> Result<Self> {
        for (form, others) in FORMS {
            let other = others.iter().find_map(|other| self.read.get(other));
            if let (Some((_, left)), Some((_, right))) = (self.read.get(form), other) {
                return Err(contradiction(left, right));
            }
        }
        Ok(self)
    }
}

fn misfit(option: &KnownOption, shown: &str, raw: Raw<'_>, unit: Unit) -> Error {
    let expected = option.kind.expected_in(unit);
    Error::invalid_configuration(format!(
        "option {shown} takes {expected}; what was given is {} that does not fit",
        raw.type_name()
    ))
    .with("option", shown.trim_matches('`'))
    .with("expected", expected)
    .with("given_type", raw.type_name())
}

fn contradiction(earlier: &str, later: &str) -> Error {
    Error::invalid_configuration(format!("options {earlier} and {later} contradict each other: give one of them"))
        .with("option", later.trim_matches('`'))
}

impl Settings {
    /// Puts a layer over what is there.
    pub(super) fn overlay(&mut self, layer: Layer) {
        for (form, others) in FORMS {
            if layer.read.contains_key(form) {
                self.0.retain(|name, _| !others.contains(name));
            }
            if others.iter().any(|other| layer.read.contains_key(other)) {
                self.0.remove(form);
            }
        }
        self.0.extend(layer.read.into_iter().map(|(name, (setting, _))| (name, setting)));
    }

    /// The setting of this canonical name.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }

    /// The text of a setting.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth of a setting.
    pub fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Setting::Truth(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The number of a setting; nothing where it is switched off.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Setting::Count(count) => Some(*count),
            _ => None,
        }
    }

    /// The span of a setting; nothing where it is switched off.
    pub fn span(&self, name: &str) -> Option<Duration> {
        match self.get(name)? {
            Setting::Span(span) => Some(*span),
            _ => None,
        }
    }

    /// The secret of a setting.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        match self.get(name)? {
            Setting::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// Every setting by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.0.iter().map(|(name, setting)| (*name, setting))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a setting out.
    pub(super) fn take(&mut self, name: &str) -> Option<Setting> {
        self.0.remove(name)
    }

    /// Takes a count out.
    pub(super) fn take_count(&mut self, name: &str) -> Option<usize> {
        let count = self.count(name);
        self.take(name);
        count.map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Takes a span out.
    pub(super) fn take_span(&mut self, name: &str) -> Option<Duration> {
        let span = self.span(name);
        self.take(name);
        span
    }

    /// Takes a span out that may be switched off; `default` where it was not set.
    pub(super) fn take_limit(&mut self, name: &str, default: Option<Duration>) -> Option<Duration> {
        match self.take(name) {
            None => default,
            Some(Setting::Span(span)) => Some(span),
            Some(_) => None,
        }
    }

    /// Takes a truth out.
    pub(super) fn take_truth(&mut self, name: &str) -> Option<bool> {
        let truth = self.truth(name);
        self.take(name);
        truth
    }

    /// Takes a text out.
    pub(super) fn take_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Takes a secret out.
    pub(super) fn take_secret(&mut self, name: &str) -> Option<Secret> {
        match self.take(name)? {
            Setting::Secret(secret) => Some(secret),
            _ => None,
        }
    }
}
