//! What `create_many` returns: the instance of a row as reading the row would give it.
//!
//! Invariant: nothing of it belongs to anybody else. An instance that only we hold, because Pydantic has just made it of a
//! dict, is used again: in it only what the database stores differently is replaced, and containers that somebody else
//! holds too. Reference counts tell; where one is in doubt, it is too high, and the object is made anew.

use farm_db_core::Value;
use farm_db_core::backend::Cell;
use farm_db_core::value::format_decimal;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::clock;
use crate::shape::{Reader, Sequence};

/// The object that a reader makes of a value.
pub(crate) fn read<'py>(py: Python<'py>, value: &Value, reader: &Reader) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Decimal(number) => reader.read(py, &Cell::Decimal(&format_decimal(number)), false),
        value => reader.read(py, &Cell::Value(value), false),
    }
}

/// How many references there are to an object.
pub(crate) fn holders(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: the object is alive and the interpreter attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// The object itself where it is what reading `value` would give and nobody else can change it, a copy of it where somebody
/// else could; `None` where the two differ.
pub(crate) fn ours<'py>(
    object: &Bound<'py, PyAny>,
    value: &Value,
    reader: &Reader,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let is_same = match (reader, value) {
        (_, Value::Null) => object.is_none(),
        (Reader::Plain | Reader::Sequence(Sequence::List, _), Value::List(list)) => {
            let items = if let Reader::Sequence(_, items) = reader { items } else { reader };
            return ours_of_list(object, list, items);
        }
        (Reader::Plain | Reader::Map(_), Value::Map(map)) => {
            let items = if let Reader::Map(items) = reader { items } else { reader };
            return ours_of_map(object, map, items);
        }
        (Reader::Plain, Value::Text(text)) => is_text(object, text),
        (Reader::Plain, Value::Bool(truth)) => object.is(PyBool::new(object.py(), *truth)),
        (Reader::Plain, Value::Int(number)) => {
            object.is_exact_instance_of::<PyInt>() && object.extract::<i64>().is_ok_and(|found| found == *number)
        }
        (Reader::Plain, Value::Float(number)) => {
            object.cast_exact::<PyFloat>().is_ok_and(|found| found.value().to_bits() == number.to_bits())
        }
        (Reader::Plain, Value::Bytes(bytes)) => {
            object.cast_exact::<PyBytes>().is_ok_and(|found| found.as_bytes() == bytes.as_slice())
        }
        (Reader::Plain, Value::DateTime(moment)) => clock::is_moment(object, *moment)?,
        // Their classes are written in Python, or rare.
        _ => false,
    };
    Ok(is_same.then(|| object.clone()))
}

fn is_text(object: &Bound<'_, PyAny>, text: &str) -> bool {
    object.cast_exact::<PyString>().is_ok_and(|found| found.to_cow().is_ok_and(|found| found == text))
}

fn ours_of_list<'py>(
    object: &Bound<'py, PyAny>,
    list: &[Value],
    items: &Reader,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Ok(found) = object.cast_exact::<PyList>() else { return Ok(None) };
    if found.len() != list.len() {
        return Ok(None);
    }
    // One reference is that of what holds it, one is `object`.
    let target = if holders(object) == 2 { found.clone() } else { found.get_slice(0, list.len()) };
    for (index, value) in list.iter().enumerate() {
        let item = target.get_item(index)?;
        match ours(&item, value, items)? {
            None => return Ok(None),
            Some(settled) if settled.is(&item) => {}
            Some(settled) => target.set_item(index, settled)?,
        }
    }
    Ok(Some(target.into_any()))
}

fn ours_of_map<'py>(
    object: &Bound<'py, PyAny>,
    map: &farm_db_core::Map,
    items: &Reader,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Ok(found) = object.cast_exact::<PyDict>() else { return Ok(None) };
    if found.len() != map.len() {
        return Ok(None);
    }
    let target = if holders(object) == 2 { found.clone() } else { found.copy()? };
    for ((name, item), (key, value)) in target.iter().zip(map) {
        if !is_text(&name, key) {
            return Ok(None);
        }
        match ours(&item, value, items)? {
            None => return Ok(None),
            Some(settled) if settled.is(&item) => {}
            Some(settled) => target.set_item(name, settled)?,
        }
    }
    Ok(Some(target.into_any()))
}
