//! Python objects as core values: the one place.
//!
//! Exact types first, because they are nearly all; then subclasses; a type that the core does not know is refused with its
//! name. Naive datetimes are taken as UTC.

use std::cell::Cell;

use farm_db_core::value::{Date, DateTime, MAX_DIGITS, ObjectId, Time, Uuid, parse_decimal};
use farm_db_core::{Error, Map, Value};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

use crate::clock;
use crate::error::Failure;

type Outcome<T> = Result<T, Failure>;

/// Containers inside containers, as in the core; also ends a list that contains itself.
const MAX_DEPTH: usize = 100;

struct Classes {
    decimal: Py<PyAny>,
    uuid: Py<PyAny>,
    object_id: Py<PyAny>,
    enumeration: Py<PyAny>,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&Classes> {
    CLASSES.get_or_try_init(py, || {
        let class =
            |module: &str, name: &str| -> PyResult<Py<PyAny>> { Ok(py.import(module)?.getattr(name)?.unbind()) };
        Ok(Classes {
            decimal: class("decimal", "Decimal")?,
            uuid: class("uuid", "UUID")?,
            object_id: class("farm_db.objectid", "ObjectId")?,
            enumeration: class("enum", "Enum")?,
        })
    })
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Counts how deep the conversion is, also when it ends early.
struct Deeper;

impl Deeper {
    fn enter() -> Outcome<Self> {
        let depth = DEPTH.get();
        if depth >= MAX_DEPTH {
            return Err(Error::invalid_value(format!("a value is nested deeper than {MAX_DEPTH} levels")).into());
        }
        DEPTH.set(depth + 1);
        Ok(Self)
    }
}

impl Drop for Deeper {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Any object by its own type.
pub(crate) fn value(object: &Bound<'_, PyAny>) -> Outcome<Value> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(text) = object.cast_exact::<PyString>() {
        return text_of(text);
    }
    if let Ok(number) = object.cast_exact::<PyInt>() {
        return int_of(number);
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if let Ok(number) = object.cast_exact::<PyFloat>() {
        return Ok(Value::Float(number.value()));
    }
    if let Ok(map) = object.cast::<PyDict>() {
        return dict(map).map(Value::Map);
    }
    if let Ok(list) = object.cast::<PyList>() {
        return items(list.iter());
    }
    if let Some(kind) = clock::kind(object).map_err(Failure::Host)? {
        return moment(object, &kind);
    }
    other(object)
}

/// Whether an object is of exactly one of the types that `farm_db.values.PLAIN` names.
pub(crate) fn is_plain(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static PLAIN: PyOnceLock<Py<PyFrozenSet>> = PyOnceLock::new();
    if object.is_exact_instance_of::<PyString>() || object.is_exact_instance_of::<PyInt>() {
        return Ok(true);
    }
    PLAIN.import(object.py(), "farm_db.values", "PLAIN")?.contains(object.get_type())
}

/// Whether an object is of exactly the types that stand for the core's, through and through.
pub(crate) fn is_exact(object: &Bound<'_, PyAny>, depth: usize) -> bool {
    if object.is_none()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBool>()
    {
        return true;
    }
    if depth == MAX_DEPTH {
        return false;
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return list.iter().all(|item| is_exact(&item, depth + 1));
    }
    let Ok(map) = object.cast_exact::<PyDict>() else { return false };
    map.iter().all(|(key, item)| key.is_exact_instance_of::<PyString>() && is_exact(&item, depth + 1))
}

fn text_of(text: &Bound<'_, PyString>) -> Outcome<Value> {
    let text = text.to_cow().map_err(|error| Failure::of(text.py(), error))?;
    Ok(Value::Text(text.into_owned()))
}

fn int_of(number: &Bound<'_, PyInt>) -> Outcome<Value> {
    number.extract::<i64>().map(Value::Int).map_err(|error| Failure::of(number.py(), error))
}

/// A dict with text keys.
pub(crate) fn dict(map: &Bound<'_, PyDict>) -> Outcome<Map> {
    let _deeper = Deeper::enter()?;
    let mut built = Map::with_capacity(map.len());
    for (key, item) in map.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            let kind = type_name(&key);
            return Err(Error::invalid_value(format!("the keys of a map are text, got {kind}")).into());
        };
        let key = key.to_cow().map_err(|error| Failure::of(map.py(), error))?.into_owned();
        let item = value(&item).map_err(|failure| failure.under(&key))?;
        built.insert(key, item);
    }
    Ok(built)
}

/// The elements of a list, tuple or set.
pub(crate) fn items<'py>(elements: impl Iterator<Item = Bound<'py, PyAny>>) -> Outcome<Value> {
    let _deeper = Deeper::enter()?;
    let converted =
        elements.enumerate().map(|(index, item)| value(&item).map_err(|failure| failure.under(&index.to_string())));
    converted.collect::<Outcome<Vec<_>>>().map(Value::List)
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().qualname().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

fn other(object: &Bound<'_, PyAny>) -> Outcome<Value> {
    let py = object.py();
    let classes = classes(py)?;
    let is = |class: &Py<PyAny>| object.is_instance(class.bind(py));
    if is(&classes.enumeration)? {
        return value(&object.getattr(pyo3::intern!(py, "value"))?);
    }
    if let Ok(text) = object.cast::<PyString>() {
        return text_of(text);
    }
    if let Ok(number) = object.cast::<PyInt>() {
        return int_of(number);
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(Value::Float(number.value()));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().to_vec()));
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return items(tuple.iter());
    }
    if let Ok(set) = object.cast::<PySet>() {
        return items(set.iter());
    }
    if let Ok(set) = object.cast::<PyFrozenSet>() {
        return items(set.iter());
    }
    if is(&classes.decimal)? {
        return decimal(object);
    }
    if is(&classes.uuid)? {
        let number: u128 = object.getattr(pyo3::intern!(py, "int"))?.extract()?;
        return Ok(Value::Uuid(Uuid::from_u128(number)));
    }
    if is(&classes.object_id)? || type_name(object) == "ObjectId" {
        let bytes: Vec<u8> = object.getattr(pyo3::intern!(py, "binary"))?.extract()?;
        let bytes = bytes.try_into().map_err(|_| Error::invalid_value("an object id has twelve bytes"))?;
        return Ok(Value::ObjectId(ObjectId(bytes)));
    }
    if let Ok(bytes) = object.extract::<Vec<u8>>()
        && matches!(type_name(object).as_str(), "bytearray" | "memoryview")
    {
        return Ok(Value::Bytes(bytes));
    }
    if let Ok(fields) = object.getattr(pyo3::intern!(py, "__pydantic_fields__"))
        && let (Ok(fields), Ok(values)) = (fields.cast::<PyDict>(), object.getattr(pyo3::intern!(py, "__dict__")))
    {
        return model(fields, &values, object);
    }
    Err(Error::invalid_value(format!("{} is no value that a database can hold", type_name(object))).into())
}

/// A Pydantic model that no shape is known of: its fields by their attributes, then its extra fields.
fn model(fields: &Bound<'_, PyDict>, values: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> Outcome<Value> {
    let py = object.py();
    let declared = PyDict::new(py);
    for name in fields.keys() {
        if let Ok(item) = values.get_item(&name) {
            declared.set_item(name, item)?;
        }
    }
    if let Ok(extra) = object.getattr(pyo3::intern!(py, "__pydantic_extra__"))
        && let Ok(extra) = extra.cast::<PyDict>()
    {
        declared.update(extra.as_mapping())?;
    }
    dict(&declared).map(Value::Map)
}

fn decimal(object: &Bound<'_, PyAny>) -> Outcome<Value> {
    let text = object.str()?;
    let text = text.to_cow()?;
    if !object.call_method0(pyo3::intern!(object.py(), "is_finite"))?.is_truthy()? {
        let message = format!("{text} is no decimal number of up to {MAX_DIGITS} digits");
        return Err(Error::invalid_value(message).into());
    }
    Ok(Value::Decimal(parse_decimal(&text)?))
}

fn moment(object: &Bound<'_, PyAny>, kind: &clock::Kind) -> Outcome<Value> {
    let py = object.py();
    let part = |name: &Bound<'_, PyString>| -> PyResult<u32> { object.getattr(name)?.extract() };
    let date = || -> Outcome<Date> {
        let (year, month, day) =
            (part(pyo3::intern!(py, "year"))?, part(pyo3::intern!(py, "month"))?, part(pyo3::intern!(py, "day"))?);
        Ok(Date::from_civil(year as i32, month, day)?)
    };
    let time = || -> Outcome<Time> {
        let (hour, minute) = (part(pyo3::intern!(py, "hour"))?, part(pyo3::intern!(py, "minute"))?);
        let (second, micro) = (part(pyo3::intern!(py, "second"))?, part(pyo3::intern!(py, "microsecond"))?);
        Ok(Time::from_clock(hour, minute, second, micro)?)
    };
    match kind {
        clock::Kind::Date => Ok(Value::Date(date()?)),
        clock::Kind::Time if object.getattr(pyo3::intern!(py, "tzinfo"))?.is_none() => Ok(Value::Time(time()?)),
        clock::Kind::Time => {
            Err(Error::invalid_value("a time of day has no time zone here: give a datetime, or a naive time").into())
        }
        clock::Kind::DateTime => {
            let (local, is_utc) = match clock::read(object)? {
                Some(clock::Parts { day: (year, month, day), time: (hour, minute, second, micro), zone }) => {
                    let date = Date::from_civil(year, month, day)?;
                    // Without a zone it counts as UTC.
                    let is_utc = zone != clock::Zone::Other;
                    (DateTime::from_parts(date, Time::from_clock(hour, minute, second, micro)?), is_utc)
                }
                None => (DateTime::from_parts(date()?, time()?), false),
            };
            let offset = if is_utc { 0 } else { offset(object)? };
            Ok(Value::DateTime(DateTime::from_micros(local.micros() - offset)?))
        }
    }
}

/// The offset from UTC in microseconds; a naive datetime is UTC.
fn offset(object: &Bound<'_, PyAny>) -> Outcome<i64> {
    let py = object.py();
    let offset = object.call_method0(pyo3::intern!(py, "utcoffset"))?;
    if offset.is_none() {
        return Ok(0);
    }
    let part = |name: &Bound<'_, PyString>| -> PyResult<i64> { offset.getattr(name)?.extract() };
    let (days, seconds) = (part(pyo3::intern!(py, "days"))?, part(pyo3::intern!(py, "seconds"))?);
    Ok((days * 86_400 + seconds) * 1_000_000 + part(pyo3::intern!(py, "microseconds"))?)
}
