//! How the rows of an entity become instances of a class, and instances records.

mod layout;

use std::sync::Arc;

use farm_db_core::backend::Cell;
use farm_db_core::repository::{JsonField, JsonInner, JsonShape};
use farm_db_core::{Error, Map, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySequence, PySet, PyString, PyType};

pub(crate) use self::layout::Layout;
use crate::error::Failure;
use crate::{collector, input, instance, json, nested, output};

/// How one value of a row becomes an object; `_native.pyi` has the forms that the package writes.
pub(crate) enum Reader {
    Plain,
    Model(Arc<Inner>),
    Sequence(Sequence, Box<Reader>),
    Map(Box<Reader>),
    Call(Py<PyAny>),
}

/// Which container the elements go into.
#[derive(Clone, Copy)]
pub(crate) enum Sequence {
    List,
    Set,
    FrozenSet,
    Tuple,
}

pub(crate) struct Field {
    stored: String,
    pub(crate) attribute: Py<PyString>,
    /// The key in JSON bodies; `None` where the field is excluded.
    key: Option<String>,
    pub(crate) reader: Reader,
    writer: Option<Writer>,
}

/// How an object becomes a stored value where it is not one already.
enum Writer {
    /// `farm_db.values.plain`, which leaves what is made of the core's own types as it is.
    Free(Py<PyAny>),
    Call(Py<PyAny>),
}

impl Writer {
    fn new(py: Python<'_>, function: Py<PyAny>) -> PyResult<Self> {
        let plain = py.import("farm_db.values")?.getattr("plain")?;
        Ok(if plain.is(&function) { Self::Free(function) } else { Self::Call(function) })
    }

    fn write(&self, object: &Bound<'_, PyAny>) -> Result<Value, Failure> {
        let (Self::Free(function) | Self::Call(function)) = self;
        if matches!(self, Self::Free(_)) && input::is_exact(object, 0) {
            return input::value(object);
        }
        let plain = function.bind(object.py()).call1((object,)).map_err(Failure::Host)?;
        input::value(&plain)
    }
}

/// What a [`Shape`] holds; shared with results on their way.
pub(crate) struct Inner {
    model: Py<PyType>,
    fields: Vec<Field>,
    all_set: Py<PySet>,
    post_init: bool,
    extra: bool,
}

/// How rows of an entity (or a nested model) become instances of a class, and back.
#[pyclass(frozen, module = "farm_db._native")]
pub(crate) struct Shape(pub(crate) Arc<Inner>);

type FieldTuple<'py> = (String, Bound<'py, PyString>, Bound<'py, PyAny>, Option<Py<PyAny>>);

#[pymethods]
impl Shape {
    #[new]
    #[pyo3(signature = (model, fields, *, post_init = false, extra = false, json_keys = None))]
    fn new(
        model: Bound<'_, PyType>,
        fields: Vec<FieldTuple<'_>>,
        post_init: bool,
        extra: bool,
        json_keys: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = model.py();
        let mut built = Vec::with_capacity(fields.len());
        for (stored, attribute, reader, writer) in fields {
            let given = match json_keys {
                Some(keys) => keys.get_item(&attribute)?,
                None => None,
            };
            let key = match given {
                Some(key) => key.extract()?,
                None => Some(attribute.to_cow()?.into_owned()),
            };
            let attribute = PyString::intern(py, &attribute.to_cow()?).unbind();
            let writer = writer.map(|function| Writer::new(py, function)).transpose()?;
            built.push(Field { stored, attribute, key, reader: Reader::parse(&reader)?, writer });
        }
        let all_set = PySet::new(py, built.iter().map(|field| field.attribute.bind(py)))?.unbind();
        Ok(Self(Arc::new(Inner { model: model.unbind(), fields: built, all_set, post_init, extra })))
    }
}

impl Reader {
    fn parse(form: &Bound<'_, PyAny>) -> PyResult<Self> {
        if form.is_none() {
            return Ok(Self::Plain);
        }
        if let Ok(shape) = form.cast::<Shape>() {
            return Ok(Self::Model(Arc::clone(&shape.get().0)));
        }
        let (kind, inner): (String, Bound<'_, PyAny>) = form.extract()?;
        let kind = match kind.as_str() {
            "call" => return Ok(Self::Call(inner.unbind())),
            "map" => return Ok(Self::Map(Box::new(Self::parse(&inner)?))),
            "list" => Sequence::List,
            "set" => Sequence::Set,
            "frozenset" => Sequence::FrozenSet,
            "tuple" => Sequence::Tuple,
            other => return Err(PyTypeError::new_err(format!("unknown reader {other:?}"))),
        };
        Ok(Self::Sequence(kind, Box::new(Self::parse(&inner)?)))
    }

    fn to_json(&self) -> JsonInner {
        match self {
            Self::Plain | Self::Call(_) => JsonInner::Plain,
            Self::Model(shape) => JsonInner::Model(Arc::new(shape.to_json())),
            Self::Sequence(_, inner) => JsonInner::List(Box::new(inner.to_json())),
            Self::Map(inner) => JsonInner::Map(Box::new(inner.to_json())),
        }
    }

    /// Whether it makes nothing but objects of the core's own types.
    fn is_plain(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Sequence(Sequence::List, inner) | Self::Map(inner) => inner.is_plain(),
            _ => false,
        }
    }

    fn runs_code(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Call(_) => true,
            Self::Model(shape) => shape.runs_code(),
            Self::Sequence(_, inner) | Self::Map(inner) => inner.runs_code(),
        }
    }

    /// The object for a cell. It is lent, because a copy of what was written a moment ago waits until the memory has it.
    pub(crate) fn read<'py>(&self, py: Python<'py>, cell: &Cell<'_>, as_dict: bool) -> PyResult<Bound<'py, PyAny>> {
        match (self, cell) {
            (_, Cell::Null) => Ok(py.None().into_bound(py)),
            (reader, Cell::Json(text)) => json::read(py, text, reader, as_dict),
            (Self::Plain, cell) => output::scalar(py, cell),
            (reader, Cell::Value(value)) => nested::read(py, value, reader, as_dict),
            (Self::Call(function), cell) => {
                let plain = output::scalar(py, cell)?;
                collector::awake(py, || function.bind(py).call1((plain,)))
            }
            (_, cell) => output::scalar(py, cell),
        }
    }

    /// The core's value of an object that this reader would have made.
    fn write(&self, object: &Bound<'_, PyAny>) -> Result<Value, Failure> {
        if object.is_none() {
            return Ok(Value::Null);
        }
        match self {
            Self::Plain | Self::Call(_) => input::value(object),
            Self::Model(shape) => shape.write(object),
            Self::Sequence(_, inner) => {
                let items = object.try_iter().map_err(Failure::Host)?;
                let converted = items
                    .enumerate()
                    .map(|(index, item)| inner.write(&item?).map_err(|failure| failure.under(&index.to_string())));
                converted.collect::<Result<Vec<_>, _>>().map(Value::List)
            }
            Self::Map(inner) => {
                let Ok(map) = object.cast::<PyDict>() else { return input::value(object) };
                let mut built = Map::with_capacity(map.len());
                for (key, item) in map.iter() {
                    // Keys of other types, such as members of an Enum of text, count by their value.
                    let Value::Text(key) = input::value(&key)? else {
                        return Err(Error::invalid_value("the keys of a map are text").into());
                    };
                    let item = inner.write(&item).map_err(|failure| failure.under(&key))?;
                    built.insert(key, item);
                }
                Ok(Value::Map(built))
            }
        }
    }
}

impl Sequence {
    /// The container with these elements.
    pub(crate) fn collect(self, elements: Bound<'_, PyList>) -> PyResult<Bound<'_, PyAny>> {
        let py = elements.py();
        Ok(match self {
            Self::List => elements.into_any(),
            // Elements may have a hash of their own.
            Self::Set => collector::awake(py, || PySet::new(py, elements.iter()))?.into_any(),
            Self::FrozenSet => collector::awake(py, || PyFrozenSet::new(py, elements.iter()))?.into_any(),
            Self::Tuple => elements.cast::<PySequence>()?.to_tuple()?.into_any(),
        })
    }
}

impl Inner {
    /// The keys of JSON bodies.
    pub(crate) fn to_json(&self) -> JsonShape {
        let fields = self.fields.iter().filter_map(|field| {
            let key = field.key.clone()?;
            Some(JsonField { stored: field.stored.clone(), key, inner: field.reader.to_json() })
        });
        JsonShape { fields: fields.collect(), extra: self.extra, ..JsonShape::default() }
    }

    fn runs_code(&self) -> bool {
        self.post_init || self.fields.iter().any(|field| field.reader.runs_code())
    }

    /// The attribute and reader of a stored name.
    pub(crate) fn field(&self, stored: &str) -> Option<(&Py<PyString>, &Reader)> {
        let field = self.fields.iter().find(|field| field.stored == stored)?;
        Some((&field.attribute, &field.reader))
    }

    /// A nested instance, or a dict, from its attributes.
    pub(crate) fn finish<'py>(
        &self,
        py: Python<'py>,
        values: Bound<'py, PyDict>,
        extra: Option<Bound<'py, PyDict>>,
        as_dict: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if as_dict {
            if let Some(extra) = extra {
                values.update(extra.as_mapping())?;
            }
            return Ok(values.into_any());
        }
        let extra = if self.extra { Some(extra.unwrap_or_else(|| PyDict::new(py))) } else { None };
        // All attributes are there, and adding one again changes nothing, so instances share one set.
        let fields_set =
            if values.len() == self.fields.len() && extra.as_ref().is_none_or(pyo3::types::PyDictMethods::is_empty) {
                self.all_set.bind(py).clone()
            } else {
                let names = PySet::new(py, values.keys().iter())?;
                extra.iter().flat_map(pyo3::types::PyDictMethods::keys).try_for_each(|name| names.add(name))?;
                names
            };
        let instance = instance::build(self.model.bind(py), &values, fields_set.as_any(), extra.as_ref())?;
        if self.post_init {
            let name = pyo3::intern!(py, "model_post_init");
            collector::awake(py, || instance.call_method1(name, (py.None(),)))?;
        }
        Ok(instance)
    }

    /// An instance, or a dict by attributes, as a map by stored names.
    fn write(&self, object: &Bound<'_, PyAny>) -> Result<Value, Failure> {
        let py = object.py();
        let values = match object.cast::<PyDict>() {
            Ok(dict) => dict.clone(),
            Err(_) => match object.getattr(pyo3::intern!(py, "__dict__")) {
                Ok(values) => values.cast_into::<PyDict>().map_err(PyErr::from)?,
                // No model at all: the core says what it expected.
                Err(_) => return input::value(object),
            },
        };
        let mut map = Map::with_capacity(self.fields.len());
        for field in &self.fields {
            if let Some(item) = values.get_item(field.attribute.bind(py))? {
                map.insert(field.stored.clone(), field.write(&item)?);
            }
        }
        if self.extra {
            let extra = object.getattr(pyo3::intern!(py, "__pydantic_extra__"));
            if let Ok(extra) = extra
                && let Ok(extra) = extra.cast::<PyDict>()
            {
                map.extend(input::dict(extra)?);
            }
        }
        Ok(Value::Map(map))
    }
}

impl Field {
    /// Whether objects of the core's own types are read and written as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.reader.is_plain() && !matches!(self.writer, Some(Writer::Call(_)))
    }

    pub(crate) fn write(&self, object: &Bound<'_, PyAny>) -> Result<Value, Failure> {
        let py = object.py();
        let written = match &self.writer {
            Some(writer) if !object.is_none() => writer.write(object),
            _ => self.reader.write(object),
        };
        // Code that expected another type fails in its own way; to the caller it is a value that does not fit.
        written.map_err(|failure| failure.into_invalid_value(py).under(&self.stored))
    }
}
