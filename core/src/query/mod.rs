//! The portable query as plain data, and the in-memory engines that define what it means.
//!
//! `parse` turns the operator language into [`Filter`], [`Update`] and [`Sort`]; `matcher` and `apply` are their reference
//! meaning, that of mongod; a backend compiles what its engine does exactly and leaves the rest to the matcher. No I/O.

mod apply;
mod filter;
mod matcher;
mod parse_filter;
mod parse_update;
mod sort;
mod update;

pub use filter::{Comparison, Filter, Test, TypeName};
pub use matcher::{matches, values_at};
pub use sort::{Sort, SortField};
pub use update::{Assignment, Push, Update};
