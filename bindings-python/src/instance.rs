//! Pydantic instances without their validators: `__new__` and `__init__` are not called, the four slots of
//! `pydantic.BaseModel` are filled instead, as `BaseModel.model_construct` does.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PySet, PyType};

/// A slot of `BaseModel`, set past the model's own `__setattr__` and without looking for it along the classes.
struct Slot {
    descriptor: Py<PyAny>,
    set: ffi::descrsetfunc,
}

impl Slot {
    fn new(base: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let descriptor = base.getattr("__dict__")?.get_item(name)?;
        // SAFETY: attached, and the type is alive; the slot of this number holds a function of this type, or null.
        let set = unsafe {
            let found = ffi::PyType_GetSlot(descriptor.get_type_ptr(), ffi::Py_tp_descr_set);
            std::mem::transmute::<*mut std::ffi::c_void, Option<ffi::descrsetfunc>>(found)
        };
        let set = set.ok_or_else(|| PyTypeError::new_err(format!("BaseModel.{name} is no slot")))?;
        Ok(Self { descriptor: descriptor.unbind(), set })
    }

    fn set(&self, instance: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // SAFETY: attached, the three objects are alive; the function checks what the instance is and takes its own reference.
        let done = unsafe { (self.set)(self.descriptor.as_ptr(), instance.as_ptr(), value.as_ptr()) };
        if done == 0 { Ok(()) } else { Err(PyErr::fetch(instance.py())) }
    }
}

struct Slots {
    fields_set: Slot,
    extra: Slot,
    private: Slot,
}

fn slots(py: Python<'_>) -> PyResult<&'static Slots> {
    static SLOTS: PyOnceLock<Slots> = PyOnceLock::new();
    SLOTS.get_or_try_init(py, || {
        let base = py.import("pydantic")?.getattr("BaseModel")?;
        Ok(Slots {
            fields_set: Slot::new(&base, "__pydantic_fields_set__")?,
            extra: Slot::new(&base, "__pydantic_extra__")?,
            private: Slot::new(&base, "__pydantic_private__")?,
        })
    })
}

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
    let slots = slots(py)?;
    slots.fields_set.set(&instance, fields_set)?;
    let none = py.None();
    slots.extra.set(&instance, extra.map_or(none.bind(py), |extra| extra.as_any()))?;
    slots.private.set(&instance, none.bind(py))?;
    Ok(instance)
}

/// The `__dict__` of an instance.
pub(crate) fn values<'py>(instance: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = instance.py();
    // SAFETY: attached, the object is alive; the result is a new reference, or null with an exception set.
    let values = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetDict(instance.as_ptr(), std::ptr::null_mut()))?
    };
    Ok(values.cast_into::<PyDict>()?)
}

/// Notes which fields of an instance are set.
pub(crate) fn set_fields_set(instance: &Bound<'_, PyAny>, names: &Bound<'_, PySet>) -> PyResult<()> {
    slots(instance.py())?.fields_set.set(instance, names.as_any())
}
