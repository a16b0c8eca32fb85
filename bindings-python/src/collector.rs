//! Python's garbage collector, kept from running while nothing can become garbage.
//!
//! It is off only while no Python code runs: such code could look, or switch it by itself. What calls some goes through
//! [`awake`].

use std::cell::Cell;

use pyo3::ffi;
use pyo3::prelude::*;

thread_local! {
    /// Whether this thread has switched the collector off and must switch it on again.
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// Off while this lives, if it was on.
pub(crate) struct Paused<'py>(Python<'py>);

impl<'py> Paused<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        pause(py);
        Self(py)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        resume(self.0);
    }
}

fn pause(_attached: Python<'_>) {
    // SAFETY: the interpreter is attached.
    if unsafe { ffi::PyGC_Disable() } != 0 {
        PAUSED.set(true);
    }
}

/// Switches it on if this thread has switched it off, and says so.
fn resume(_attached: Python<'_>) -> bool {
    let was_paused = PAUSED.replace(false);
    if was_paused {
        // SAFETY: the interpreter is attached.
        unsafe { ffi::PyGC_Enable() };
    }
    was_paused
}

/// Runs what may call Python code, with the collector as that code expects it.
pub(crate) fn awake<T>(py: Python<'_>, work: impl FnOnce() -> T) -> T {
    let was_paused = resume(py);
    let done = work();
    if was_paused {
        pause(py);
    }
    done
}
