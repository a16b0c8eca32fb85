//! Values that are in memory into Python objects, by the reader of the field; `json.rs` does the same from text.

use farm_db_core::{Map, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::shape::{Inner, Reader};
use crate::{collector, keys, output};

/// The object that `value` stands for.
pub(crate) fn read<'py>(py: Python<'py>, value: &Value, reader: &Reader, as_dict: bool) -> PyResult<Bound<'py, PyAny>> {
    match (reader, value) {
        (_, Value::Null) => Ok(py.None().into_bound(py)),
        (Reader::Model(shape), Value::Map(map)) => model(py, map, shape, as_dict),
        (Reader::Map(inner), Value::Map(map)) => {
            let built = PyDict::new(py);
            for (key, item) in map {
                built.set_item(keys::key(py, key), read(py, item, inner, as_dict)?)?;
            }
            Ok(built.into_any())
        }
        (Reader::Sequence(kind, inner), Value::List(list)) => {
            let built = PyList::empty(py);
            for item in list {
                built.append(read(py, item, inner, as_dict)?)?;
            }
            kind.collect(built)
        }
        (Reader::Call(function), value) => {
            let plain = output::value(py, value)?;
            collector::awake(py, || function.bind(py).call1((plain,)))
        }
        (_, value) => output::value(py, value),
    }
}

fn model<'py>(py: Python<'py>, map: &Map, shape: &Inner, as_dict: bool) -> PyResult<Bound<'py, PyAny>> {
    let values = PyDict::new(py);
    let mut extra: Option<Bound<'py, PyDict>> = None;
    for (name, item) in map {
        if let Some((attribute, reader)) = shape.field(name) {
            values.set_item(attribute.bind(py), read(py, item, reader, as_dict)?)?;
        } else {
            let extra = extra.get_or_insert_with(|| PyDict::new(py));
            extra.set_item(keys::key(py, name), output::value(py, item)?)?;
        }
    }
    shape.finish(py, values, extra, as_dict)
}
