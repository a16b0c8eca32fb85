//! The in-memory update engine.
