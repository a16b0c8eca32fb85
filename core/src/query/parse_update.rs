//! tmp
use super::Update;
use crate::{error::Result, schema::Entity, value::{DateTime, Map}};
impl Update {
    pub fn parse(_d: &Map, _e: &Entity) -> Result<Update> { unimplemented!() }
    pub fn apply(&self, _d: &mut Map, _e: &Entity, _n: DateTime) -> Result<bool> { unimplemented!() }
}
