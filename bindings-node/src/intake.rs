//! New rows: JSON of records into a [`Batch`], and what the host must be told of them.
//!
//! The host has made an object of each record, which is what reading the row will give unless the core makes something else
//! of it. A slice is a JSON list of such objects: stored names in the order of the fields, values as tagged JSON, a moment
//! of whole milliseconds as their number since 1970. Most of a row goes into the batch as it is: texts, numbers, and lists and
//! maps as the JSON that their column will hold. Only what a rule, a default or a database might change becomes a value.
//! Invariant: the fields of which the host is told nothing hold what it has sent. Where a slice cannot be taken so, it goes
//! the way of all arguments, which gives its rows or says what is wrong.

use std::fmt;

use farm_db_core::backend::Batch;
use farm_db_core::repository::{Check, Way};
use farm_db_core::schema::FieldType;
use farm_db_core::value::DateTime;
use farm_db_core::value::tagged::{self, Seed};
use farm_db_core::{Error, Repository, Result, Value};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::made::Made;
use crate::transcribe::Transcribe;

type Outcome<T, E> = std::result::Result<T, E>;

/// Takes the records of one insertion.
pub(crate) struct Intake {
    repository: Repository,
    check: Check,
    /// The position of the key that the database counts.
    counted: Option<usize>,
    /// How many records were taken.
    taken: usize,
    /// Whether a record has brought such a key.
    has_key: bool,
}

impl Intake {
    pub(crate) fn new(repository: &Repository) -> Self {
        let check = repository.check();
        Self { check, counted: repository.counted_key(), taken: 0, has_key: false, repository: repository.clone() }
    }

    /// How many fields a row has.
    fn width(&self) -> usize {
        self.repository.entity().fields.len()
    }

    /// A batch for so many rows.
    pub(crate) fn batch(&self, rows: usize) -> Batch {
        Batch::new(self.width(), rows)
    }

    /// Whether a record has brought a key of its own where the database counts them: it counts for all others first then, so
    /// that none of its keys meets one that comes later.
    pub(crate) fn has_key(&self) -> bool {
        self.has_key
    }

    /// Adds the rows of a slice; `many` where it may not be the only row.
    pub(crate) fn take(&mut self, json: &str, many: bool, rows: &mut Batch) -> Result<Made> {
        let before = rows.len();
        let mut slice = Slice { intake: self, rows, made: vec![false; self.width()], scratch: Vec::new() };
        let read = slice.read(json);
        let mut made = slice.made;
        if read.is_err() {
            rows.truncate(before);
            self.take_as_values(json, many, rows)?;
            made.fill(true);
        }
        let made = Made::new(&self.check, rows, before, made, self.counted);
        self.has_key |= made.has_key();
        self.taken += made.len();
        Ok(made)
    }

    fn take_as_values(&self, json: &str, many: bool, rows: &mut Batch) -> Result<()> {
        let Value::List(records) = tagged::read(json.as_bytes())? else {
            return Err(Error::invalid_query("records are a list"));
        };
        let many = many || records.len() > 1;
        for (index, record) in records.into_iter().enumerate() {
            let row = self.row_of_value(record);
            row.map_err(|error| if many { error.with("row", self.taken + index) } else { error })?
                .into_iter()
                .for_each(|value| rows.push(value));
        }
        Ok(())
    }

    fn row_of_value(&self, record: Value) -> Result<Vec<Value>> {
        let Value::Map(map) = record else { return Err(Error::invalid_query("a record is a map")) };
        let mut record = self.repository.entity().record(map)?;
        for (field, value) in self.repository.entity().fields.iter().zip(&mut record) {
            if let (FieldType::DateTime, Some(Value::Int(milliseconds))) = (&field.kind, &value) {
                *value = Some(Value::DateTime(moment(*milliseconds)?));
            }
        }
        self.check.row(record)
    }
}

/// A moment of so many milliseconds since 1970.
fn moment(milliseconds: i64) -> Result<DateTime> {
    DateTime::from_micros(milliseconds.saturating_mul(1000))
}

/// Rows of a slice on their way into a batch. It fails where they cannot be taken as they are.
struct Slice<'a> {
    intake: &'a Intake,
    rows: &'a mut Batch,
    /// The fields of which the host must be told.
    made: Vec<bool>,
    /// Room for the JSON of a cell.
    scratch: Vec<u8>,
}

impl Slice<'_> {
    fn read(&mut self, json: &str) -> Outcome<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        deserializer.deserialize_seq(self)?;
        deserializer.end()
    }

    /// Adds a cell by the value that a record has there, if any.
    fn settle<E: serde::de::Error>(&mut self, position: usize, given: Option<Value>, row: &mut Row) -> Outcome<(), E> {
        let kept = given.as_ref().filter(|value| is_plain(value)).cloned();
        let value = self.intake.check.value(position, given).map_err(E::custom)?;
        if self.intake.check.is_source(position) {
            row.sources.push((position, value.clone()));
        }
        self.made[position] |= kept.as_ref() != Some(&value);
        self.rows.push(value);
        Ok(())
    }
}

/// Whether the host has sent exactly what it would be told of such a value.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::DateTime(_) => true,
        Value::Float(number) => is_kept(*number),
        Value::List(items) => items.iter().all(is_plain),
        Value::Map(entries) => entries.values().all(is_plain),
        _ => false,
    }
}

impl<'de> Visitor<'de> for &mut Slice<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Outcome<(), A::Error> {
        while records.next_element_seed(&mut Record(self))?.is_some() {}
        Ok(())
    }
}

struct Record<'s, 'a>(&'s mut Slice<'a>);

/// A row that is under way.
#[derive(Default)]
struct Row {
    /// The position of the next cell.
    next: usize,
    /// The values of which the words of the search field are made.
    sources: Vec<(usize, Value)>,
}

impl<'de> DeserializeSeed<'de> for &mut Record<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Outcome<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Record<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Outcome<(), A::Error> {
        let (slice, mut row) = (&mut *self.0, Row::default());
        let index = slice.rows.len();
        while let Some(position) = fields.next_key_seed(Name { intake: slice.intake, next: row.next })? {
            for absent in row.next..position {
                slice.settle(absent, None, &mut row)?;
            }
            fields.next_value_seed(Cell { slice, position, row: &mut row })?;
            row.next = position + 1;
        }
        for absent in row.next..slice.made.len() {
            slice.settle(absent, None, &mut row)?;
        }
        if let Some((position, words)) = slice.intake.check.words(&row.sources) {
            slice.rows.set(index, position, words);
            slice.made[position] = true;
        }
        Ok(())
    }
}

/// Reads the name of a field that is no earlier than the next one.
struct Name<'a> {
    intake: &'a Intake,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Outcome<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Outcome<usize, E> {
        let found = (self.next..self.intake.width()).find(|position| self.intake.check.field(*position).name == name);
        found.ok_or_else(|| E::custom("a field that is unknown, or out of its order"))
    }
}

/// Adds the cell of a value.
struct Cell<'s, 'a> {
    slice: &'s mut Slice<'a>,
    position: usize,
    row: &'s mut Row,
}

impl Cell<'_, '_> {
    fn way(&self) -> Way {
        self.slice.intake.check.way(self.position)
    }

    fn kind(&self) -> &FieldType {
        &self.slice.intake.check.field(self.position).kind
    }

    /// Adds a value, which the row will have just as it is where it is of the declared type.
    fn push<E: serde::de::Error>(self, value: Value, is_exact: bool) -> Outcome<(), E> {
        if is_exact && self.way() == Way::Scalar {
            self.slice.rows.push(value);
            return Ok(());
        }
        self.slice.settle(self.position, Some(value), self.row)
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Outcome<(), D::Error> {
        if self.way() != Way::Json {
            return deserializer.deserialize_any(self);
        }
        self.slice.scratch.clear();
        let intake = self.slice.intake;
        let kind = &intake.check.field(self.position).kind;
        let is_exact = Transcribe::run(kind, &mut self.slice.scratch, deserializer)?;
        let json = std::str::from_utf8(&self.slice.scratch).map_err(D::Error::custom)?;
        // A null may be refused.
        if is_exact && json != "null" {
            self.slice.rows.push_json_text(json);
            return Ok(());
        }
        let value = tagged::read(json.as_bytes()).map_err(D::Error::custom)?;
        self.slice.settle(self.position, Some(value), self.row)
    }
}

impl<'de> Visitor<'de> for Cell<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Outcome<(), E> {
        if self.way() == Way::Text && self.slice.intake.check.allows_text(self.position, text) {
            self.slice.rows.push_text(text);
            return Ok(());
        }
        self.push(Value::Text(text.to_owned()), false)
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Outcome<(), E> {
        let is_exact = matches!(self.kind(), FieldType::Bool);
        self.push(Value::Bool(truth), is_exact)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Outcome<(), E> {
        match self.kind() {
            FieldType::DateTime => {
                let moment = moment(number).map_err(E::custom)?;
                let is_exact = self.slice.intake.check.keeps_moment(moment);
                self.push(Value::DateTime(moment), is_exact)
            }
            FieldType::Float if self.way() == Way::Scalar => match exact_float(number) {
                Some(number) => self.push(Value::Float(number), true),
                None => self.push(Value::Int(number), false),
            },
            kind => {
                let is_exact = matches!(kind, FieldType::Int);
                self.push(Value::Int(number), is_exact)
            }
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Outcome<(), E> {
        self.visit_i64(i64::try_from(number).map_err(E::custom)?)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Outcome<(), E> {
        let is_exact = matches!(self.kind(), FieldType::Float) && is_kept(number);
        self.push(Value::Float(number), is_exact)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Outcome<(), E> {
        self.push(Value::Null, false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Outcome<(), A::Error> {
        let value = Seed::default().visit_seq(items)?;
        self.push(value, false)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Outcome<(), A::Error> {
        let value = Seed::default().visit_map(entries)?;
        self.push(value, false)
    }
}

/// The float that is this integer; all that the host sends without a point are such.
pub(crate) fn exact_float(number: i64) -> Option<f64> {
    (number.unsigned_abs() <= 1 << 53).then_some(number as f64)
}

/// Whether databases and JSON keep a float just as it is.
pub(crate) fn is_kept(number: f64) -> bool {
    number.is_finite() && (number != 0.0 || number.is_sign_positive())
}
