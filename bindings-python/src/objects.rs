//! Rows as Python objects, built in slices: related rows first, each once, then the rows that hold them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use farm_db_core::repository::{Included, JsonShape};
use farm_db_core::{Error, Result, RowSet};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::collector::Paused;
use crate::early::Early;
use crate::shape::{Inner, Layout};

/// Rows built before the clock is looked at again.
const SLICE: usize = 64;

/// The shapes of a database's entities by name.
#[derive(Default)]
pub(crate) struct Shapes(RwLock<HashMap<String, Arc<Inner>>>);

impl Shapes {
    pub(crate) fn add(&self, entity: &str, shape: &Arc<Inner>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(entity.to_owned(), Arc::clone(shape));
    }

    fn of(&self, rows: &RowSet) -> Result<Arc<Inner>> {
        let name = &rows.entity().name;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.ok_or_else(|| Error::invalid_schema(format!("no model is registered for entity {name:?}")))
    }

    /// The shape of JSON bodies, with those of the related rows.
    pub(crate) fn json(&self, shape: &Arc<JsonShape>, rows: &RowSet) -> Result<Arc<JsonShape>> {
        if rows.included().is_empty() {
            return Ok(Arc::clone(shape));
        }
        let related = rows.included().iter().map(|included| {
            let inner = Arc::new(self.of(&included.rows)?.to_json());
            Ok((included.name.clone(), self.json(&inner, &included.rows)?))
        });
        Ok(Arc::new(JsonShape { related: related.collect::<Result<_>>()?, ..JsonShape::clone(shape) }))
    }
}

/// Rows on their way to becoming objects.
pub(crate) struct Objects {
    rows: RowSet,
    layout: Layout,
    related: Vec<Branch>,
    built: Option<Py<PyList>>,
    next: usize,
    /// Those that stand before them.
    early: Option<Arc<Early>>,
}

/// The objects at the other end of a relation.
struct Branch {
    name: String,
    many: bool,
    places: Vec<Vec<usize>>,
    objects: Objects,
}

impl Objects {
    pub(crate) fn new(mut rows: RowSet, layout: Layout, shapes: &Shapes) -> Result<Self> {
        let branch = |included: Included| {
            let inner = layout.for_related(&shapes.of(&included.rows)?, included.rows.entity());
            let objects = Self::new(included.rows, inner, shapes)?;
            Ok(Branch { name: included.name, many: included.many, places: included.places, objects })
        };
        let related = rows.take_included().into_iter().map(branch).collect::<Result<_>>()?;
        Ok(Self { related, ..Self::behind(None, rows, layout) })
    }

    /// Rows without related ones, whose objects go behind those in a list.
    pub(crate) fn behind(built: Option<Py<PyList>>, rows: RowSet, layout: Layout) -> Self {
        Self { rows, layout, related: Vec::new(), built, next: 0, early: None }
    }

    /// The same behind rows that came early.
    pub(crate) fn after(self, early: Arc<Early>) -> Self {
        Self { early: Some(early), ..self }
    }

    /// Builds on until all is built (true) or `until` has passed.
    pub(crate) fn advance(&mut self, py: Python<'_>, until: Instant) -> PyResult<bool> {
        for branch in &mut self.related {
            if !branch.objects.advance(py, until)? {
                return Ok(false);
            }
        }
        if let Some(early) = self.early.take() {
            if !early.advance(py, until) {
                self.early = Some(early);
                return Ok(false);
            }
            self.built = early.finish()?;
        }
        // Looking for garbage among new objects, again and again, would take a third of the time.
        let _paused = (self.rows.len() > SLICE).then(|| Paused::new(py));
        let list = self.built.get_or_insert_with(|| PyList::empty(py).unbind()).bind(py).clone();
        while self.next < self.rows.len() {
            let end = self.rows.len().min(self.next + SLICE);
            for row in self.next..end {
                let object = self.layout.row(py, &self.rows, row)?;
                self.attach(&object, row)?;
                list.append(object)?;
            }
            self.next = end;
            if end < self.rows.len() && Instant::now() > until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives an object its related ones, past the model's own `__setattr__`: relations are no fields.
    fn attach(&self, object: &Bound<'_, PyAny>, row: usize) -> PyResult<()> {
        if self.related.is_empty() {
            return Ok(());
        }
        let py = object.py();
        let values = match object.cast::<PyDict>() {
            Ok(dict) => dict.clone(),
            Err(_) => object.getattr(pyo3::intern!(py, "__dict__"))?.cast_into::<PyDict>()?,
        };
        for branch in &self.related {
            values.set_item(PyString::intern(py, &branch.name), branch.of(py, row)?)?;
        }
        Ok(())
    }

    fn list<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.built.as_ref().map_or_else(|| PyList::empty(py), |list| list.bind(py).clone())
    }

    /// All objects; everything is built.
    pub(crate) fn into_list(self, py: Python<'_>) -> Py<PyList> {
        self.list(py).unbind()
    }

    /// The first object; everything is built, and there is one.
    pub(crate) fn first(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.list(py).get_item(0)?.unbind())
    }
}

impl Branch {
    /// What belongs to one row: a list, or one object or None.
    fn of<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyAny>> {
        let all = self.objects.list(py);
        let places = &self.places[row];
        if !self.many {
            return places.first().map_or_else(|| Ok(py.None().into_bound(py)), |place| all.get_item(*place));
        }
        let list = PyList::empty(py);
        places.iter().try_for_each(|place| list.append(all.get_item(*place)?))?;
        Ok(list.into_any())
    }
}
