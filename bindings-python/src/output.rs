//! Core values as Python objects: the one place.

use std::ptr::null;

use farm_db_core::Value;
use farm_db_core::backend::Cell;
use farm_db_core::value::{BigDecimal, ObjectId, Uuid, format_decimal};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::{clock, collector, keys};

/// A class that is looked up once.
struct Class(PyOnceLock<Py<PyAny>>, &'static str, &'static str);

impl Class {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self(PyOnceLock::new(), module, name)
    }

    fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let class = self
            .0
            .get_or_try_init(py, || -> PyResult<Py<PyAny>> { Ok(py.import(self.1)?.getattr(self.2)?.unbind()) })?;
        Ok(class.bind(py).clone())
    }
}

static DECIMAL: Class = Class::new("decimal", "Decimal");
static UUID: Class = Class::new("uuid", "UUID");
static OBJECT_ID: Class = Class::new("farm_db.objectid", "ObjectId");

/// A `decimal.Decimal` with the same digits and exponent.
pub(crate) fn decimal<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    collector::awake(py, || DECIMAL.get(py)?.call1((text,)))
}

/// A `uuid.UUID`.
pub(crate) fn uuid(py: Python<'_>, uuid: Uuid) -> PyResult<Bound<'_, PyAny>> {
    let keywords = PyDict::new(py);
    keywords.set_item(pyo3::intern!(py, "int"), uuid.as_u128())?;
    collector::awake(py, || UUID.get(py)?.call((), Some(&keywords)))
}

/// A `farm_db.ObjectId`.
pub(crate) fn object_id(py: Python<'_>, id: ObjectId) -> PyResult<Bound<'_, PyAny>> {
    let from_bytes = pyo3::intern!(py, "from_bytes");
    collector::awake(py, || OBJECT_ID.get(py)?.call_method1(from_bytes, (PyBytes::new(py, &id.0),)))
}

fn decimal_value<'py>(py: Python<'py>, number: &BigDecimal) -> PyResult<Bound<'py, PyAny>> {
    decimal(py, &format_decimal(number))
}

/// A text. Python takes Latin-1 as it is, and decodes UTF-8 character by character; what is ASCII is both.
pub(crate) fn text<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    if !text.is_ascii() {
        return PyString::new(py, text);
    }
    let (start, length) = (text.as_ptr().cast(), text.len() as ffi::Py_ssize_t);
    // SAFETY: attached; the bytes are read up to their length; the result is a new text, or null without memory for it.
    unsafe { Bound::from_owned_ptr(py, ffi::PyUnicode_DecodeLatin1(start, length, null())).cast_into_unchecked() }
}

/// Any value with its own type; maps become dicts, lists lists.
pub(crate) fn value<'py>(py: Python<'py>, from: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match from {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::Int(number) => PyInt::new(py, *number).into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::Decimal(number) => decimal_value(py, number)?,
        Value::Text(from) => text(py, from).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Uuid(id) => uuid(py, *id)?,
        Value::ObjectId(id) => object_id(py, *id)?,
        Value::DateTime(moment) => clock::datetime(py, *moment)?,
        Value::Date(day) => clock::date(py, *day)?,
        Value::Time(time) => clock::time(py, *time)?,
        Value::List(list) => {
            let built = PyList::empty(py);
            for item in list {
                built.append(value(py, item)?)?;
            }
            built.into_any()
        }
        Value::Map(map) => {
            let built = PyDict::new(py);
            for (key, item) in map {
                built.set_item(keys::key(py, key), value(py, item)?)?;
            }
            built.into_any()
        }
    })
}

/// A cell that is no JSON.
pub(crate) fn scalar<'py>(py: Python<'py>, cell: &Cell<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match *cell {
        Cell::Null => py.None().into_bound(py),
        Cell::Bool(truth) => PyBool::new(py, truth).to_owned().into_any(),
        Cell::Int(number) => PyInt::new(py, number).into_any(),
        Cell::Float(number) => PyFloat::new(py, number).into_any(),
        Cell::Decimal(text) => decimal(py, text)?,
        Cell::Text(from) => text(py, from).into_any(),
        Cell::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Cell::Uuid(id) => uuid(py, id)?,
        Cell::ObjectId(id) => object_id(py, id)?,
        Cell::DateTime(moment) => clock::datetime(py, moment)?,
        Cell::Date(day) => clock::date(py, day)?,
        Cell::Time(time) => clock::time(py, time)?,
        Cell::Json(_) => return Err(pyo3::exceptions::PyRuntimeError::new_err("a JSON cell is no scalar")),
        Cell::Value(inner) => value(py, inner)?,
    })
}
