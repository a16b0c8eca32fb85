//! A shape beside an entity: rows as objects, objects as records.

use std::sync::Arc;

use farm_db_core::backend::Cell;
use farm_db_core::schema::Entity;
use farm_db_core::{RowSet, Value};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::{Field, Inner};
use crate::error::{self, Failure};
use crate::instance;

/// A shape beside the entity whose rows it shapes.
#[derive(Clone)]
pub(crate) struct Layout {
    shape: Arc<Inner>,
    /// The shape's field for each field of the entity.
    fields: Arc<[Option<usize>]>,
    /// All attributes with None, in the order of the entity: a copy is filled sooner than an empty dict grows.
    blank: Arc<PyOnceLock<Py<PyDict>>>,
    /// Whether each field of the entity is one of the shape, and none of the shape is missing.
    is_whole: bool,
    as_dict: bool,
}

impl Layout {
    pub(crate) fn new(shape: &Arc<Inner>, entity: &Entity) -> Self {
        let place = |name: &str| shape.fields.iter().position(|field| field.stored == name);
        let fields: Arc<[_]> = entity.fields.iter().map(|field| place(&field.name)).collect();
        let is_whole = fields.len() == shape.fields.len() && fields.iter().all(Option::is_some);
        Self { shape: Arc::clone(shape), fields, blank: Arc::new(PyOnceLock::new()), is_whole, as_dict: false }
    }

    /// The same, making dicts.
    pub(crate) fn as_dict(&self) -> Self {
        Self { as_dict: true, ..self.clone() }
    }

    /// The layout of related rows, as dicts where this one makes dicts.
    pub(crate) fn for_related(&self, shape: &Arc<Inner>, entity: &Entity) -> Self {
        Self { as_dict: self.as_dict, ..Self::new(shape, entity) }
    }

    /// The object of one row.
    pub(crate) fn row<'py>(&self, py: Python<'py>, rows: &RowSet, row: usize) -> PyResult<Bound<'py, PyAny>> {
        let values =
            if rows.columns().iter().copied().eq(0..self.fields.len()) { self.blank(py)? } else { PyDict::new(py) };
        for (column, position) in rows.columns().iter().enumerate() {
            let Some(field) = self.fields[*position].map(|place| &self.shape.fields[place]) else { continue };
            let cell = rows.rows().cell(row, column);
            let cell = cell.as_ref().map_err(|failure| error::to_python(py, failure))?;
            values.set_item(field.attribute.bind(py), field.reader.read(py, cell, self.as_dict)?)?;
        }
        self.shape.finish(py, values, None, self.as_dict)
    }

    /// The attributes of a row, None yet.
    pub(crate) fn blank<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let blank = self.blank.get_or_try_init(py, || -> PyResult<Py<PyDict>> {
            let names = PyDict::new(py);
            for place in self.fields.iter().flatten() {
                names.set_item(self.shape.fields[*place].attribute.bind(py), py.None())?;
            }
            // Made of another dict, it has room for just so many.
            Ok(names.call_method1("fromkeys", (&names,))?.cast_into::<PyDict>()?.unbind())
        })?;
        blank.bind(py).copy()
    }

    /// The object of a row of these attributes.
    pub(crate) fn finish<'py>(&self, values: Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        self.shape.finish(values.py(), values, None, self.as_dict)
    }

    /// The shape's field for each field of the entity.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Option<&Field>> {
        self.fields.iter().map(|place| place.map(|place| &self.shape.fields[place]))
    }

    /// Whether so many attributes may be all that a row gives an instance.
    pub(crate) fn is_all(&self, attributes: usize) -> bool {
        self.is_whole && attributes == self.fields.len()
    }

    /// The attributes of an instance that has as many as a row gives it, and nothing else that a row would not.
    pub(crate) fn values_of<'py>(&self, instance: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = instance.py();
        let is_plain = !self.shape.post_init && !self.shape.extra;
        if !is_plain || !instance.get_type().is(self.shape.model.bind(py)) {
            return Ok(None);
        }
        Ok(Some(instance::values(instance)?).filter(|values| self.is_all(values.len())))
    }

    /// Notes that all fields of an instance are set, as they are in one that was read.
    pub(crate) fn mark_all_set(&self, instance: &Bound<'_, PyAny>) -> PyResult<()> {
        instance::set_fields_set(instance, self.shape.all_set.bind(instance.py()))
    }

    /// Gives an instance the key that the database has counted for it.
    pub(crate) fn set_key(&self, instance: &Bound<'_, PyAny>, position: usize, key: i64) -> PyResult<()> {
        let Some(field) = self.fields[position].map(|place| &self.shape.fields[place]) else { return Ok(()) };
        let py = instance.py();
        instance::values(instance)?.set_item(field.attribute.bind(py), field.reader.read(py, &Cell::Int(key), false)?)
    }

    /// Whether making an object runs code of the package's users.
    pub(crate) fn runs_code(&self) -> bool {
        !self.as_dict && self.shape.runs_code()
    }

    /// Whether an object is an instance of the shape's model.
    pub(crate) fn is_instance(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        object.is_instance(self.shape.model.bind(object.py()))
    }

    /// An instance as a map by stored names.
    pub(crate) fn map(&self, instance: &Bound<'_, PyAny>) -> Result<Value, Failure> {
        self.shape.write(instance)
    }
}
