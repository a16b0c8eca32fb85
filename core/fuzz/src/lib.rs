//! Hostile input for the core: a function for each kind of text that comes from outside, which takes any bytes and panics
//! where the core breaks a promise: it panics itself, a statement changes its shape, time or memory have no bound.
//!
//! libFuzzer drives them (`fuzz_targets/`, `make fuzz`), and so does `core/tests/fuzz.rs` in every run of the tests, with
//! the seeds and random changes of them. Not for: the bindings, whose own fuzzing is in `tests/python` and `tests/node`.

pub mod contract;
pub mod cursor;
pub mod filter;
pub mod pattern;
pub mod sort;
pub mod statement;
pub mod tagged;
pub mod update;
pub mod url;
