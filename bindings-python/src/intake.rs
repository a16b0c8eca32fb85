//! One record of `create_many`: its row into a batch, and the instance that reading the row would give.
//!
//! Most of a record goes into the batch as it is: texts, and lists and maps as the JSON that their column will hold. Only what
//! a rule, a default or a database might change becomes a value before. Invariant: the two ways give the same row and the same
//! instance; where an object is not of exactly the type that stands for the declared one, it takes the second.

use farm_db_core::backend::Batch;
use farm_db_core::repository::{Check, Way};
use farm_db_core::schema::{Field as Declared, FieldType};
use farm_db_core::value::tagged::{Sign, Writer};
use farm_db_core::{Error, Value};
use pyo3::ffi;
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
    /// How objects of exactly the types that stand for the declared ones become cells, for each field of the entity.
    ways: Vec<Way>,
    /// Whether the records become instances at once.
    makes: bool,
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
        let way = |(position, field): (usize, Option<&Field>)| match field {
            Some(field) if field.is_plain() => check.way(position),
            _ => Way::Value,
        };
        let ways = layout.in_order().enumerate().map(way).collect();
        Self { layout: layout.clone(), check, ways, makes }
    }

    /// Adds the row of a record, an instance or a dict of validated attributes; its instance, if they are made.
    pub(crate) fn take<'py>(
        &self,
        record: Bound<'py, PyAny>,
        rows: &mut Batch,
    ) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
        let before = rows.len();
        if self.makes
            && let Some(given) = self.ours(&record)?
        {
            if self.take_ours(&given, rows)? {
                if record.is(&given) {
                    return Ok(Some(self.layout.finish(given)?));
                }
                self.layout.mark_all_set(&record)?;
                return Ok(Some(record));
            }
            rows.truncate(before);
        }
        let given = match record.cast_exact::<PyDict>() {
            Ok(given) => given.clone(),
            Err(_) => instance::values(&record)?,
        };
        let made =
            if self.makes { Some(Made { values: self.layout.blank(record.py())?, is_ours: false }) } else { None };
        let mut sources = Vec::new();
        for (position, field) in self.layout.in_order().enumerate() {
            let object = field.map(|field| given.get_item(field.attribute.bind(record.py()))).transpose()?.flatten();
            self.take_cell(position, field, object.as_ref(), made.as_ref(), &mut sources, rows)?;
        }
        self.take_words(before, &sources, made.as_ref(), rows)?;
        made.map(|made| Ok(self.layout.finish(made.values)?)).transpose()
    }

    /// The attributes of a record that only we have, and that can be given back.
    fn ours<'py>(&self, record: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        if settle::holders(record) != 1 {
            return Ok(None);
        }
        if let Ok(given) = record.cast_exact::<PyDict>() {
            return Ok(self.layout.is_all(given.len()).then(|| given.clone()));
        }
        // One reference is that of the instance, one is ours.
        Ok(self.layout.values_of(record)?.filter(|values| settle::holders(values.as_any()) <= 2))
    }

    /// Adds the row of attributes that are ours, and makes them what reading it gives; `false` where they are others, or in
    /// another order.
    fn take_ours(&self, given: &Bound<'_, PyDict>, rows: &mut Batch) -> Result<bool, Refusal> {
        let row = rows.len();
        let made = Made { values: given.clone(), is_ours: true };
        let mut sources = Vec::new();
        let mut place = 0;
        for (position, field) in self.layout.in_order().enumerate() {
            let (Some(field), Some((name, object))) = (field, next(given, &mut place)) else { return Ok(false) };
            if name != field.attribute.as_ptr() {
                return Ok(false);
            }
            self.take_cell(position, Some(field), Some(&object), Some(&made), &mut sources, rows)?;
        }
        self.take_words(row, &sources, Some(&made), rows)?;
        Ok(true)
    }

    /// Adds a cell, and its object to the instance.
    fn take_cell<'py>(
        &self,
        position: usize,
        field: Option<&Field>,
        object: Option<&Bound<'py, PyAny>>,
        made: Option<&Made<'py>>,
        sources: &mut Vec<(usize, Value)>,
        rows: &mut Batch,
    ) -> Result<(), Refusal> {
        if let (Some(field), Some(object)) = (field, object)
            && let Some(settled) = self.take_as_it_is(position, object, made.is_some_and(|made| made.is_ours), rows)
        {
            return Ok(made.map_or(Ok(()), |made| made.set(field, object, settled))?);
        }
        let value = self.value(position, field, object)?;
        if self.check.is_source(position) {
            sources.push((position, value.clone()));
        }
        if let (Some(made), Some(field)) = (made, field) {
            made.read(field, object, &value)?;
        }
        rows.push(value);
        Ok(())
    }

    /// Puts the words of a row into its search field, if it has one.
    fn take_words(
        &self,
        row: usize,
        sources: &[(usize, Value)],
        made: Option<&Made<'_>>,
        rows: &mut Batch,
    ) -> PyResult<()> {
        let Some((position, words)) = self.check.words(sources) else { return Ok(()) };
        if let (Some(made), Some(field)) = (made, self.layout.in_order().nth(position).flatten()) {
            made.read(field, None, &words)?;
        }
        rows.set(row, position, words);
        Ok(())
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
    ) -> Option<Object<'py>> {
        match self.ways[position] {
            Way::Text => {
                let text = object.cast_exact::<PyString>().ok()?.to_str().ok()?;
                self.check.allows_text(position, text).then(|| rows.push_text(text))?;
                Some(Object::Same)
            }
            Way::Json => {
                let kind = &self.check.field(position).kind;
                rows.push_json(|out| write_json(kind, object, is_ours, 0, out))
            }
            Way::Scalar => {
                rows.push(scalar(&self.check, position, object)?);
                Some(Object::Same)
            }
            Way::Value => None,
        }
    }
}

/// The next attribute of an instance, its name and object. Objects of names that are there may be replaced meanwhile.
fn next<'py>(
    values: &Bound<'py, PyDict>,
    place: &mut ffi::Py_ssize_t,
) -> Option<(*mut ffi::PyObject, Bound<'py, PyAny>)> {
    let (mut name, mut object) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: attached, and the dict is alive. The object, which is lent, is held before anything else is done; the name is
    // only compared.
    unsafe {
        let is_there = ffi::PyDict_Next(values.as_ptr(), place, &raw mut name, &raw mut object) != 0;
        is_there.then(|| (name, Bound::from_borrowed_ptr(values.py(), object)))
    }
}

/// The value of an object that is what reading the value gives.
fn scalar(check: &Check, position: usize, object: &Bound<'_, PyAny>) -> Option<Value> {
    match check.field(position).kind {
        FieldType::Int => int(object).map(Value::Int),
        FieldType::Float => float(object).map(Value::Float),
        FieldType::Bool => object.cast::<PyBool>().ok().map(|truth| Value::Bool(truth.is_true())),
        FieldType::DateTime => {
            clock::moment(object).ok()?.filter(|moment| check.keeps_moment(*moment)).map(Value::DateTime)
        }
        _ => None,
    }
}

fn int(object: &Bound<'_, PyAny>) -> Option<i64> {
    object.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// A float that databases and JSON keep.
fn float(object: &Bound<'_, PyAny>) -> Option<f64> {
    let number = object.cast_exact::<PyFloat>().ok()?.value();
    (number.is_finite() && (number != 0.0 || number.is_sign_positive())).then_some(number)
}

/// Appends a text without NUL.
fn write_text(object: &Bound<'_, PyAny>, out: &mut Writer<'_>) -> Option<()> {
    out.text(object.cast_exact::<PyString>().ok()?.to_str().ok()?).then_some(())
}

/// Appends a key that documents may have.
fn write_key(object: &Bound<'_, PyAny>, out: &mut Writer<'_>) -> Option<()> {
    let key = object.cast_exact::<PyString>().ok()?.to_str().ok()?;
    let is_fit = !key.is_empty() && !key.starts_with('$') && !key.as_bytes().contains(&b'.');
    (is_fit && out.text(key)).then_some(())
}

/// Appends the tagged JSON of an object that is of exactly this type, through and through; `None` for any other. Containers
/// that somebody else holds are copied.
fn write_json<'py>(
    kind: &FieldType,
    object: &Bound<'py, PyAny>,
    is_ours: bool,
    depth: usize,
    out: &mut Writer<'_>,
) -> Option<Object<'py>> {
    let is_any = matches!(kind, FieldType::Any);
    match kind {
        FieldType::Text | FieldType::Any if object.is_exact_instance_of::<PyString>() => {
            write_text(object, out)?;
        }
        FieldType::Int | FieldType::Any if object.is_exact_instance_of::<PyInt>() => {
            out.value(&Value::Int(int(object)?));
        }
        FieldType::Float | FieldType::Any if object.is_exact_instance_of::<PyFloat>() => {
            out.value(&Value::Float(float(object)?));
        }
        FieldType::Bool | FieldType::Any if object.is_exact_instance_of::<PyBool>() => {
            out.value(&Value::Bool(object.cast::<PyBool>().ok()?.is_true()));
        }
        FieldType::Any if object.is_none() => out.value(&Value::Null),
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
    out: &mut Writer<'_>,
) -> Option<Object<'py>> {
    match field {
        Some(field) if field.nullable && object.is_none() => {
            out.value(&Value::Null);
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
    out: &mut Writer<'_>,
) -> Option<Object<'py>> {
    // One reference is that of what holds it, one is the caller's.
    let is_ours = is_ours && settle::holders(list.as_any()) == 2;
    let target = if is_ours { list.clone() } else { list.get_slice(0, list.len()) };
    out.sign(Sign::OpenList);
    for index in 0..target.len() {
        if index > 0 {
            out.sign(Sign::Comma);
        }
        let item = target.get_item(index).ok()?;
        if let Object::New(item) = write_element(items, &item, is_ours, depth, out)? {
            target.set_item(index, item).ok()?;
        }
    }
    out.sign(Sign::CloseList);
    Some(if is_ours { Object::Same } else { Object::New(target.into_any()) })
}

fn write_dict<'py>(
    values: Option<&Declared>,
    dict: &Bound<'py, PyDict>,
    is_ours: bool,
    depth: usize,
    out: &mut Writer<'_>,
) -> Option<Object<'py>> {
    let is_ours = is_ours && settle::holders(dict.as_any()) == 2;
    let target = if is_ours { dict.clone() } else { dict.copy().ok()? };
    out.sign(Sign::OpenMap);
    for (index, (name, item)) in target.iter().enumerate() {
        if index > 0 {
            out.sign(Sign::Comma);
        }
        write_key(&name, out)?;
        out.sign(Sign::Colon);
        if let Object::New(item) = write_element(values, &item, is_ours, depth, out)? {
            target.set_item(name, item).ok()?;
        }
    }
    out.sign(Sign::CloseMap);
    Some(if is_ours { Object::Same } else { Object::New(target.into_any()) })
}
