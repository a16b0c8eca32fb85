//! farm-db core.
