//! parse_update
