//! `datetime` objects through the interpreter's C API.
//!
//! The stable ABI leaves this API out, and going through the constructors costs 200 ns an object. The capsule
//! `datetime.datetime_CAPI` has had this layout since Python 3.7 (Include/datetime.h, `PyDateTime_CAPI`); what stands
//! behind `time_from` is not used here.

use std::os::raw::{c_char, c_int};
use std::ptr::NonNull;

use farm_db_core::value::{Date, DateTime, Time};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

#[repr(C)]
struct Api {
    date_type: *mut ffi::PyTypeObject,
    datetime_type: *mut ffi::PyTypeObject,
    time_type: *mut ffi::PyTypeObject,
    delta_type: *mut ffi::PyTypeObject,
    zone_type: *mut ffi::PyTypeObject,
    utc: *mut ffi::PyObject,
    date_from: unsafe extern "C" fn(c_int, c_int, c_int, *mut ffi::PyTypeObject) -> *mut ffi::PyObject,
    datetime_from: unsafe extern "C" fn(
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        *mut ffi::PyObject,
        *mut ffi::PyTypeObject,
    ) -> *mut ffi::PyObject,
    time_from: unsafe extern "C" fn(
        c_int,
        c_int,
        c_int,
        c_int,
        *mut ffi::PyObject,
        *mut ffi::PyTypeObject,
    ) -> *mut ffi::PyObject,
}

/// The capsule's pointer; it lives as long as the interpreter.
struct Capsule(NonNull<Api>);

// SAFETY: the table is written once, when the module `datetime` is imported, and only read afterwards.
unsafe impl Send for Capsule {}
// SAFETY: as above.
unsafe impl Sync for Capsule {}

static CAPSULE: PyOnceLock<Capsule> = PyOnceLock::new();

fn api(py: Python<'_>) -> PyResult<&'static Api> {
    let capsule = CAPSULE.get_or_try_init(py, || {
        py.import("datetime")?;
        // SAFETY: the interpreter is attached and the name is a C string.
        let pointer = unsafe { ffi::PyCapsule_Import(c"datetime.datetime_CAPI".as_ptr(), 0) };
        NonNull::new(pointer.cast()).map(Capsule).ok_or_else(|| PyErr::fetch(py))
    })?;
    // SAFETY: a non-null capsule of this name points to the table, which is never freed.
    Ok(unsafe { capsule.0.as_ref() })
}

/// Takes a new reference, or the exception that stands instead.
fn owned(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the functions of the table return a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, object) }
}

/// An aware `datetime` in UTC.
pub(crate) fn datetime(py: Python<'_>, moment: DateTime) -> PyResult<Bound<'_, PyAny>> {
    let api = api(py)?;
    let (year, month, day) = moment.date().civil();
    let (hour, minute, second, micro) = moment.time().clock();
    let [month, day, hour, minute, second, micro] = [month, day, hour, minute, second, micro].map(|part| part as c_int);
    // SAFETY: attached; every part is in its range, which the function checks as well; zone and type come from the table.
    let object =
        unsafe { (api.datetime_from)(year, month, day, hour, minute, second, micro, api.utc, api.datetime_type) };
    owned(py, object)
}

/// A `date`.
pub(crate) fn date(py: Python<'_>, date: Date) -> PyResult<Bound<'_, PyAny>> {
    let api = api(py)?;
    let (year, month, day) = date.civil();
    // SAFETY: as in `datetime`.
    let object = unsafe { (api.date_from)(year, month as c_int, day as c_int, api.date_type) };
    owned(py, object)
}

/// A naive `time`.
pub(crate) fn time(py: Python<'_>, time: Time) -> PyResult<Bound<'_, PyAny>> {
    let api = api(py)?;
    let (hour, minute, second, micro) = time.clock();
    let [hour, minute, second, micro] = [hour, minute, second, micro].map(|part| part as c_int);
    // SAFETY: as in `datetime`; `None` is no zone.
    let object = unsafe { (api.time_from)(hour, minute, second, micro, ffi::Py_None(), api.time_type) };
    owned(py, object)
}

/// Which of the three an object is; subclasses count, and a `datetime` is told from its base `date`.
pub(crate) enum Kind {
    DateTime,
    Date,
    Time,
}

/// A `datetime` in memory (Include/datetime.h, `PyDateTime_DateTime`; the same since Python 3.6).
#[repr(C)]
struct Memory {
    head: ffi::PyObject,
    hash: ffi::Py_hash_t,
    has_zone: c_char,
    /// Year (two bytes), month, day, hour, minute, second, microsecond (three bytes).
    data: [u8; 10],
    fold: u8,
    /// Only there where `has_zone` says so.
    zone: *mut ffi::PyObject,
}

/// What a `datetime` shows on its own clock.
pub(crate) struct Parts {
    pub(crate) day: (i32, u32, u32),
    pub(crate) time: (u32, u32, u32, u32),
    pub(crate) zone: Zone,
}

/// Whose clock that is.
#[derive(PartialEq)]
pub(crate) enum Zone {
    /// `datetime.UTC` itself, the first time that it shows this.
    Utc,
    None,
    Other,
}

/// The parts of an object of exactly the type `datetime`; `None` for others, and where this interpreter has another layout.
pub(crate) fn read(object: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    static IS_KNOWN: PyOnceLock<bool> = PyOnceLock::new();
    let py = object.py();
    let api = api(py)?;
    if object.get_type_ptr() != api.datetime_type {
        return Ok(None);
    }
    let is_known = IS_KNOWN.get_or_try_init(py, || has_known_layout(py))?;
    Ok(is_known.then(|| parts(object, api)))
}

/// The moment of an object that is the `datetime` that [`datetime`] makes of it; `None` where that cannot be seen.
pub(crate) fn moment(object: &Bound<'_, PyAny>) -> PyResult<Option<DateTime>> {
    let Some(Parts { day: (year, month, day), time: (hour, minute, second, micro), zone: Zone::Utc }) = read(object)?
    else {
        return Ok(None);
    };
    let date = Date::from_civil(year, month, day);
    let time = Time::from_clock(hour, minute, second, micro);
    Ok(date.and_then(|date| Ok(DateTime::from_parts(date, time?))).ok())
}

/// Whether an object is the `datetime` that [`datetime`] makes of a moment; `false` where that cannot be seen.
pub(crate) fn is_moment(object: &Bound<'_, PyAny>, moment: DateTime) -> PyResult<bool> {
    let Some(Parts { day, time, zone: Zone::Utc }) = read(object)? else { return Ok(false) };
    Ok(day == moment.date().civil() && time == moment.time().clock())
}

/// Whether a `datetime` has the size of [`Memory`], and a known moment stands in it where it should.
fn has_known_layout(py: Python<'_>) -> PyResult<bool> {
    let api = api(py)?;
    let sample =
        datetime(py, "3210-11-29T13:47:58.654321Z".parse().map_err(|error| crate::error::to_python(py, &error))?)?;
    if sample.get_type().getattr("__basicsize__")?.extract::<usize>()? != size_of::<Memory>() {
        return Ok(false);
    }
    let Parts { day, time, zone } = parts(&sample, api);
    Ok(day == (3210, 11, 29) && time == (13, 47, 58, 654_321) && zone == Zone::Utc)
}

/// Reads the memory of a `datetime` of the known layout.
fn parts(object: &Bound<'_, PyAny>, api: &Api) -> Parts {
    let memory = object.as_ptr().cast::<Memory>();
    // SAFETY: the object is alive and of exactly the type `datetime`, which has this layout; the zone is read only where
    // there is one.
    let (data, fold, zone) =
        unsafe { ((*memory).data, (*memory).fold, if (*memory).has_zone == 0 { None } else { Some((*memory).zone) }) };
    let [century, year, month, day, hour, minute, second, high, middle, low] = data.map(u32::from);
    Parts {
        day: ((century << 8 | year) as i32, month, day),
        time: (hour, minute, second, high << 16 | middle << 8 | low),
        zone: match zone {
            None => Zone::None,
            Some(zone) if zone == api.utc && fold == 0 => Zone::Utc,
            Some(_) => Zone::Other,
        },
    }
}

/// The kind of a `datetime` object.
pub(crate) fn kind(object: &Bound<'_, PyAny>) -> PyResult<Option<Kind>> {
    let api = api(object.py())?;
    let is = |kind: *mut ffi::PyTypeObject| {
        // SAFETY: both pointers are of live objects, and the interpreter is attached.
        unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), kind) != 0 }
    };
    Ok(if is(api.datetime_type) {
        Some(Kind::DateTime)
    } else if is(api.date_type) {
        Some(Kind::Date)
    } else if is(api.time_type) {
        Some(Kind::Time)
    } else {
        None
    })
}
