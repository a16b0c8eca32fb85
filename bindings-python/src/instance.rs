//! Pydantic instances without their validators: `__new__` and `__init__` are not called, the four slots of
//! `pydantic.BaseModel` are filled instead, as `BaseModel.model_construct` does.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet, PyType};

/// A new instance of `model` with `values` as its `__dict__`.
pub(crate) fn build<'py>(
    model: &Bound<'py, PyType>,
    values: &Bound<'py, PyDict>,
    fields_set: &Bound<'py, PyAny>,
    extra: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = model.py();
    // SAFETY: attached; `model` is a heap type that derives from BaseModel, whose instances the generic allocator makes;
    // the result is a new reference or null with an exception set.
    let instance = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(model.as_type_ptr(), 0))? };
    // SAFETY: attached, both objects are alive; the call takes its own reference.
    let done = unsafe { ffi::PyObject_GenericSetDict(instance.as_ptr(), values.as_ptr(), std::ptr::null_mut()) };
    if done != 0 {
        return Err(PyErr::fetch(py));
    }
    set(&instance, pyo3::intern!(py, "__pydantic_fields_set__"), fields_set)?;
    let none = py.None();
    set(&instance, pyo3::intern!(py, "__pydantic_extra__"), extra.map_or(none.bind(py), |extra| extra.as_any()))?;
    set(&instance, pyo3::intern!(py, "__pydantic_private__"), none.bind(py))?;
    Ok(instance)
}

/// The `__dict__` of an instance.
pub(crate) fn values<'py>(instance: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    Ok(instance.getattr(pyo3::intern!(instance.py(), "__dict__"))?.cast_into::<PyDict>()?)
}

/// Notes which fields of an instance are set.
pub(crate) fn set_fields_set(instance: &Bound<'_, PyAny>, names: &Bound<'_, PySet>) -> PyResult<()> {
    set(instance, pyo3::intern!(instance.py(), "__pydantic_fields_set__"), names.as_any())
}

/// `object.__setattr__`, past the model's own.
fn set<'py>(instance: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
    // SAFETY: attached, the three objects are alive; the call takes its own references.
    let done = unsafe { ffi::PyObject_GenericSetAttr(instance.as_ptr(), name.as_ptr(), value.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(PyErr::fetch(instance.py())) }
}
