//! Tagged JSON of a column straight into Python objects, by the reader of the field.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use farm_db_core::Value;
use farm_db_core::value::tagged;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::shape::{Inner, Reader};
use crate::{collector, keys, output};

/// The object that `text` stands for.
pub(crate) fn read<'py>(py: Python<'py>, text: &str, reader: &Reader, as_dict: bool) -> PyResult<Bound<'py, PyAny>> {
    let failure = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Seed { py, reader, as_dict, failure: &failure };
    seed.deserialize(&mut deserializer).map_err(|error| {
        // serde cannot carry an exception, so it waits beside.
        failure.take().unwrap_or_else(|| {
            let message = format!("a stored column holds no tagged json: {error}");
            crate::error::to_python(py, &farm_db_core::Error::backend(message))
        })
    })
}

/// A key, which is lent by the text unless something in it is escaped.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[derive(Clone, Copy)]
struct Seed<'a, 'py> {
    py: Python<'py>,
    reader: &'a Reader,
    as_dict: bool,
    failure: &'a RefCell<Option<PyErr>>,
}

impl<'a, 'py> Seed<'a, 'py> {
    fn with<'b>(&'b self, reader: &'b Reader) -> Seed<'b, 'py>
    where
        'a: 'b,
    {
        Seed { py: self.py, reader, as_dict: self.as_dict, failure: self.failure }
    }

    /// Keeps the exception and tells serde to stop.
    fn check<T, E: serde::de::Error>(&self, result: PyResult<T>) -> Result<T, E> {
        result.map_err(|error| {
            self.failure.replace(Some(error));
            E::custom("exception")
        })
    }

    /// A value that is no container, through the field's function where there is one.
    fn scalar<E: serde::de::Error>(&self, object: Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, E> {
        match self.reader {
            Reader::Call(function) => self.check(collector::awake(self.py, || function.bind(self.py).call1((object,)))),
            _ => Ok(object),
        }
    }

    fn model<'de, A: MapAccess<'de>>(
        &self,
        shape: &Inner,
        first: Option<Cow<'de, str>>,
        mut entries: A,
    ) -> Result<Bound<'py, PyAny>, A::Error> {
        let values = PyDict::new(self.py);
        let mut extra: Option<Bound<'py, PyDict>> = None;
        let mut key = first;
        while let Some(name) = key {
            if let Some((attribute, reader)) = shape.field(&name) {
                let value = entries.next_value_seed(self.with(reader))?;
                self.check(values.set_item(attribute.bind(self.py), value))?;
            } else {
                let value = entries.next_value_seed(self.with(&Reader::Plain))?;
                let extra = extra.get_or_insert_with(|| PyDict::new(self.py));
                self.check(extra.set_item(keys::key(self.py, &name), value))?;
            }
            key = entries.next_key_seed(Key)?;
        }
        self.check(shape.finish(self.py, values, extra, self.as_dict))
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Seed<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Seed<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tagged json")
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Self::Value, E> {
        self.scalar(PyBool::new(self.py, truth).to_owned().into_any())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.scalar(PyInt::new(self.py, number).into_any())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.scalar(PyInt::new(self.py, number).into_any())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.scalar(PyFloat::new(self.py, number).into_any())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.scalar(output::text(self.py, text).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        let reader = if let Reader::Sequence(_, inner) = self.reader { inner } else { &Reader::Plain };
        while let Some(item) = items.next_element_seed(self.with(reader))? {
            self.check(list.append(item))?;
        }
        match self.reader {
            Reader::Sequence(kind, _) => self.check(kind.collect(list)),
            _ => self.scalar(list.into_any()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let first = entries.next_key_seed(Key)?;
        if let Some(tag) = first.as_deref().filter(|key| key.starts_with('$')) {
            let inner: Value = entries.next_value_seed(tagged::Seed::default())?;
            let value = tagged::read_tag(tag, &inner).ok_or_else(|| A::Error::custom("unknown tag"))?;
            let value = value.map_err(A::Error::custom)?;
            return self.scalar(self.check(output::value(self.py, &value))?);
        }
        if let Reader::Model(shape) = self.reader {
            return self.model(shape, first, entries);
        }
        let reader = if let Reader::Map(inner) = self.reader { inner } else { &Reader::Plain };
        let map = PyDict::new(self.py);
        let mut key = first;
        while let Some(name) = key {
            let value = entries.next_value_seed(self.with(reader))?;
            self.check(map.set_item(keys::key(self.py, &name), value))?;
            key = entries.next_key_seed(Key)?;
        }
        self.scalar(map.into_any())
    }
}
