//! The addon of Node: a thin layer over the core.
//!
//! Arguments and replies are tagged JSON, one text in, a text or a buffer out; the TypeScript package
//! `@farm/db-native` turns them into objects. Invariant: nothing here blocks the thread of JavaScript, and no thread of the core touches
//! JavaScript: it hands its outcome to [`completion`]. Not for: anything that is true of a database.

mod completion;
mod creation;
mod engine;
mod error;
mod intake;
mod made;
mod reply;
mod repository;
mod stream;
pub mod tables;
mod transaction;
mod transcribe;
