//! One record of `create_many`: its row into a batch, and the instance that reading the row would give.
//!
//! Most of a record goes into the batch as it is: texts, and lists and maps as the JSON that their column will hold. Only what
//! a rule, a default or a database might change becomes a value before. Invariant: the two ways give the same row and the same
//! instance; where an object is not of exactly the type that stands for the declared one, it takes the second.

use farm_db_core::backend::Batch;
use farm_db_core::repository::Check;
use farm_db_core::schema::{Field as Declared, FieldType};
use farm_db_core::value::tagged;
use farm_db_core::{Error, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::error::Failure;
use crate::shape::{Field, Layout};
use crate::{clock, instance, settle};

/// Containers in containers that are written at once; what lies deeper takes the way over values.
const MAX_DEPTH: usize = 32;

/// Why a record has no row.
pub(crate) enum Refusal {
    /// It cannot be read.
    Unread(Failure),
    /// It does not fit the contract.
    Unfit(Error),
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Unread(Failure::Host(error))
    }
}

/// Takes the records of one entity.
pub(crate) struct Intake {
    layout: Layout,
    check: Check,
    /// For each field of the entity.
    ways: Vec<Way>,
    /// Whether the records become instances at once.
    makes: bool,
}

/// How an object of exactly the type that stands for the declared one becomes a cell.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Text,
    Json,
    /// It is a value without being made one.
    Scalar,
    Value,
}

impl Way {
    fn new(check: &Check, position: usize, field: Option<&Field>) -> Self {
        match &check.field(position).kind {
            _ if !field.is_some_and(Field::is_plain) => Self::Value,
            FieldType::Text => Self::Text,
            FieldType::Int | FieldType::Float | FieldType::Bool | FieldType::DateTime => Self::Scalar,
            _ if check.passes_json(position) => Self::Json,
            _ => Self::Value,
        }
    }
}

/// The object of a cell.
enum Object<'py> {
    /// That of the record.
    Same,
    New(Bound<'py, PyAny>),
}

/// An instance on its way.
struct Made<'py> {
    values: Bound<'py, PyDict>,
    /// Whether it is that of the record, which nobody else has.
    is_ours: bool,
}

impl<'py> Made<'py> {
    fn set(&self, field: &Field, given: &Bound<'py, PyAny>, object: Object<'py>) -> PyResult<()> {
        let attribute = field.attribute.bind(given.py());
        match object {
            Object::Same if self.is_ours => Ok(()),
            Object::Same => self.values.set_item(attribute, given),
            Object::New(object) => self.values.set_item(attribute, object),
        }
    }

    /// The object that reading `value` gives.
    fn read(&self, field: &Field, given: Option<&Bound<'py, PyAny>>, value: &Value) -> PyResult<()> {
        let py = self.values.py();
        let kept = match given.filter(|_| self.is_ours) {
            Some(given) => settle::ours(given, value, &field.reader)?,
            None => None,
        };
        match (kept, given) {
            (Some(kept), Some(given)) if kept.is(given) => Ok(()),
            (Some(object), _) => self.values.set_item(field.attribute.bind(py), object),
            (None, _) => self.values.set_item(field.attribute.bind(py), settle::read(py, value, &field.reader)?),
        }
    }
}

impl Intake {
    pub(crate) fn new(layout: &Layout, check: Check, makes: bool) -> Self {
        let ways = layout.in_order().enumerate().map(|(position, field)| Way::new(&check, position, field)).collect();
        Self { layout: layout.clone(), check, ways, makes }
    }

    /// Adds the row of a record; its instance, if they are made.
    pub(crate) fn take<'py>(
        &self,
        record: Bound<'py, PyAny>,
        rows: &mut Batch,
    ) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
        let (given, is_ours) = self.attributes(&record)?;
        let values = if is_ours { given.clone() } else { self.layout.blank(record.py())? };
        let made = self.makes.then_some(Made { values, is_ours });
        let row = rows.len();
        let mut sources = Vec::new();
        // Values of keys that are there may be replaced while a dict is iterated over.
        let mut ordered = is_ours.then(|| given.iter());
        for (position, field) in self.layout.in_order().enumerate() {
            let object = match (&mut ordered, field) {
                (Some(ordered), _) => ordered.next().map(|(_, object)| object),
                (None, Some(field)) => given.get_item(field.attribute.bind(record.py()))?,
                (None, None) => None,
            };
            if let (Some(field), Some(object)) = (field, &object)
                && let Some(settled) = self.take_as_it_is(position, object, is_ours, rows)?
            {
                if let Some(made) = &made {
                    made.set(field, object, settled)?;
                }
                continue;
            }
            let value = self.value(position, field, object.as_ref())?;
            if self.check.is_source(position) {
                sources.push((position, value.clone()));
            }
            if let (Some(made), Some(field)) = (&made, field) {
                made.read(field, object.as_ref(), &value)?;
            }
            rows.push(value);
        }
        if let Some((position, words)) = self.check.words(&sources) {
            if let (Some(made), Some(field)) = (&made, self.layout.in_order().nth(position).flatten()) {
                made.read(field, None, &words)?;
            }
            rows.set(row, position, words);
        }
        match made {
            None => Ok(None),
            Some(Made { is_ours: true, .. }) => {
                self.layout.mark_all_set(&record)?;
                Ok(Some(record))
            }
            Some(made) => Ok(Some(self.layout.finish(made.values)?)),
        }
    }

    /// The attributes of a record; whether they are those of an instance that only we have, and that can be given back.
    fn attributes<'py>(&self, record: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyDict>, bool)> {
        if self.makes
            && settle::holders(record) == 1
            && let Some(values) = self.layout.values_in_order(record)?
            && settle::holders(values.as_any()) <= 2
        {
            return Ok((values, true));
        }
        Ok((instance::values(record)?, false))
    }

    fn value(
        &self,
        position: usize,
        field: Option<&Field>,
        object: Option<&Bound<'_, PyAny>>,
    ) -> Result<Value, Refusal> {
        let given = match (field, object) {
            (Some(field), Some(object)) => Some(field.write(object).map_err(Refusal::Unread)?),
            _ => None,
        };
        self.check.value(position, given).map_err(Refusal::Unfit)
    }

    /// Adds the cell of an object that is of exactly the declared type, and satisfies the rules; `None` for any other.
    fn take_as_it_is<'py>(
        &self,
        position: usize,
        object: &Bound<'py, PyAny>,
        is_ours: bool,
        rows: &mut Batch,
    ) -> Result<Option<Object<'py>>, Refusal> {
        match self.ways[position] {
            Way::Text => {
                let text = object.cast_exact::<PyString>().ok().and_then(|text| text.to_str().ok());
                let Some(text) = text.filter(|text| self.check.passes_text(position, text)) else { return Ok(None) };
                rows.push_text(text);
                Ok(Some(Object::Same))
            }
            Way::Json => {
                let kind = &self.check.field(position).kind;
                Ok(rows.push_json(|out| write_json(kind, object, is_ours, 0, out)))
            }
            Way::Scalar => {
                let Some(given) = scalar(self.check.field(position), object)? else { return Ok(None) };
                let value = self.check.value(position, Some(given.clone())).map_err(Refusal::Unfit)?;
                // Another one is read from what is stored.
                let is_same = value == given;
                Ok(is_same.then(|| {
                    rows.push(value);
                    Object::Same
                }))
            }
            Way::Value => Ok(None),
        }
    }
}

/// The value of an object that is what reading the value gives.
fn scalar(field: &Declared, object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    Ok(match field.kind {
        FieldType::Int => int(object).map(Value::Int),
        FieldType::Float => float(object).map(Value::Float),
        FieldType::Bool => object.cast::<PyBool>().ok().map(|truth| Value::Bool(truth.is_true())),
        FieldType::DateTime => clock::moment(object)?.map(Value::DateTime),
        _ => None,
    })
}

fn int(object: &Bound<'_, PyAny>) -> Option<i64> {
    object.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// A float that databases and JSON keep.
fn float(object: &Bound<'_, PyAny>) -> Option<f64> {
    let number = object.cast_exact::<PyFloat>().ok()?.value();
    (number.is_finite() && (number != 0.0 || number.is_sign_positive())).then_some(number)
}

/// Text without NUL.
fn text<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    let text = object.cast_exact::<PyString>().ok()?.to_str().ok()?;
    (!text.as_bytes().contains(&0)).then_some(text)
}

/// A key that documents may have.
fn key<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    text(object).filter(|key| !key.is_empty() && !key.starts_with('$') && !key.contains('.'))
}

/// Appends the tagged JSON of an object that is of exactly this type, through and through; `None` for any other. Containers
/// that somebody else holds are copied.
fn write_json<'py>(
    kind: &FieldType,
    object: &Bound<'py, PyAny>,
    is_ours: bool,
    depth: usize,
    out: &mut Vec<u8>,
) -> Option<Object<'py>> {
    let is_any = matches!(kind, FieldType::Any);
    match kind {
        FieldType::Text | FieldType::Any if object.is_exact_instance_of::<PyString>() => {
            tagged::write_text(text(object)?, out);
        }
        FieldType::Int | FieldType::Any if object.is_exact_instance_of::<PyInt>() => {
            tagged::write(&Value::Int(int(object)?), out);
        }
        FieldType::Float | FieldType::Any if object.is_exact_instance_of::<PyFloat>() => {
            tagged::write(&Value::Float(float(object)?), out);
        }
        FieldType::Bool | FieldType::Any if object.is_exact_instance_of::<PyBool>() => {
            out.extend_from_slice(if object.cast::<PyBool>().ok()?.is_true() { b"true" } else { b"false" });
        }
        FieldType::Any if object.is_none() => out.extend_from_slice(b"null"),
        FieldType::List(_) | FieldType::Map(_) | FieldType::Any if depth < MAX_DEPTH => {
            if let Ok(list) = object.cast_exact::<PyList>() {
                let items = match kind {
                    FieldType::List(items) => Some(&**items),
                    _ if is_any => None,
                    _ => return None,
                };
                return write_list(items, list, is_ours, depth, out);
            }
            let values = match kind {
                FieldType::Map(values) => Some(&**values),
                _ if is_any => None,
                _ => return None,
            };
            return write_dict(values, object.cast_exact::<PyDict>().ok()?, is_ours, depth, out);
        }
        _ => return None,
    }
    Some(Object::Same)
}

/// An element of a list, or a value of a map, whose definition is `field` unless it is free.
fn write_element<'py>(
    field: Option<&Declared>,
    object: &Bound<'py, PyAny>,
    is_ours: bool,
    depth: usize,
    out: &mut Vec<u8>,
) -> Option<Object<'py>> {
    match field {
        Some(field) if field.nullable && object.is_none() => {
            out.extend_from_slice(b"null");
            Some(Object::Same)
        }
        field => write_json(field.map_or(&FieldType::Any, |field| &field.kind), object, is_ours, depth + 1, out),
    }
}

fn write_list<'py>(
    items: Option<&Declared>,
    list: &Bound<'py, PyList>,
    is_ours: bool,
    depth: usize,
    out: &mut Vec<u8>,
) -> Option<Object<'py>> {
    // One reference is that of what holds it, one is the caller's.
    let is_ours = is_ours && settle::holders(list.as_any()) == 2;
    let target = if is_ours { list.clone() } else { list.get_slice(0, list.len()) };
    out.push(b'[');
    for index in 0..target.len() {
        if index > 0 {
            out.push(b',');
        }
        let item = target.get_item(index).ok()?;
        if let Object::New(item) = write_element(items, &item, is_ours, depth, out)? {
            target.set_item(index, item).ok()?;
        }
    }
    out.push(b']');
    Some(if is_ours { Object::Same } else { Object::New(target.into_any()) })
}

fn write_dict<'py>(
    values: Option<&Declared>,
    dict: &Bound<'py, PyDict>,
    is_ours: bool,
    depth: usize,
    out: &mut Vec<u8>,
) -> Option<Object<'py>> {
    let is_ours = is_ours && settle::holders(dict.as_any()) == 2;
    let target = if is_ours { dict.clone() } else { dict.copy().ok()? };
    out.push(b'{');
    for (index, (name, item)) in target.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        tagged::write_text(key(&name)?, out);
        out.push(b':');
        if let Object::New(item) = write_element(values, &item, is_ours, depth, out)? {
            target.set_item(name, item).ok()?;
        }
    }
    out.push(b'}');
    Some(if is_ours { Object::Same } else { Object::New(target.into_any()) })
}
