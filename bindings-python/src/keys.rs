//! Keys of maps as Python's text. The rows of one answer have the same few keys, so those that were made last are kept.

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// Keys that are kept; a power of two.
const KEPT: usize = 512;
/// Longer keys are not kept.
const LONGEST: usize = 64;

struct Known {
    text: Box<str>,
    object: Py<PyString>,
}

thread_local! {
    static KNOWN: RefCell<Vec<Option<Known>>> = const { RefCell::new(Vec::new()) };
}

/// The place of a key, by the FNV-1a hash of its text.
fn place(text: &str) -> usize {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)) as usize % KEPT
}

/// The text of a key.
pub(crate) fn key<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    if text.len() > LONGEST {
        return PyString::new(py, text);
    }
    let place = place(text);
    let known = KNOWN.with_borrow(|known| {
        let known = known.get(place)?.as_ref().filter(|known| &*known.text == text)?;
        Some(known.object.bind(py).clone())
    });
    known.unwrap_or_else(|| {
        let object = PyString::new(py, text);
        let new = Known { text: text.into(), object: object.clone().unbind() };
        let old = KNOWN.with_borrow_mut(|known| {
            if known.is_empty() {
                known.resize_with(KEPT, || None);
            }
            known[place].replace(new)
        });
        drop(old);
        object
    })
}
