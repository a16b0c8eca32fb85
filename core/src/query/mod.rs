//! The portable query as plain data, and the in-memory engines that define what it means.
//!
//! `parse_*` turn the operator language into [`Filter`], [`Update`] and [`Sort`]; [`matches`], [`Sort::compare`] and
//! [`Update::apply`] are their reference meaning, that of mongod; a backend compiles what its engine does exactly and
//! leaves the rest to the matcher. Invariant: what was parsed fits the contract of its entity. No I/O.

mod aggregate;
mod apply;
mod apply_list;
mod arithmetic;
mod array_filters;
mod edit;
mod exact_sum;
mod filter;
mod grouping;
#[cfg(test)]
mod laws;
mod matcher;
mod operand;
mod operators;
mod parse_filter;
mod parse_list_update;
mod parse_test;
mod parse_update;
mod pattern;
mod pattern_class;
mod pattern_parse;
mod pattern_tree;
mod positional;
mod reach;
mod sort;
mod sort_key;
mod update;
mod words;

pub use aggregate::Aggregation;
pub(crate) use apply::identical;
pub(crate) use arithmetic::plus;
pub use filter::{Comparison, Expression, Filter, Test, TypeName, Words};
pub use grouping::Grouping;
pub use matcher::{matches, values_at, values_below};
pub use sort::{Sort, SortField};
pub use sort_key::SortKey;
pub use update::{Assignment, Push, Update};
pub use words::{MAX_WORDS, has_words, words};
