//! Keys as `../../data.py` has them, and rows as JSON for the check of equality.

use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::Result;

/// So many keys are prepared before a window and used in turn.
const PREPARED: usize = 4096;

pub(crate) const COLUMNS: &str =
    "id, name, description, dependencies, tags, metadata, rating, active, created_at, updated_at";

/// The key of the resource of this number.
pub(crate) fn resource_id(number: u64) -> String {
    let digest = Md5::digest(format!("r{number}"));
    let h = format!("{:032x}", u128::from_be_bytes(digest.into()));
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

/// Pseudo-random keys (xorshift).
pub(crate) fn keys(rows: u64, seed: u64) -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        resource_id(state % rows)
    };
    std::iter::repeat_with(next).take(PREPARED).collect()
}

/// A row of columns; `L` is a list and `M` a moment, as the driver gives them.
pub(crate) struct Row<L, M> {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) dependencies: L,
    pub(crate) tags: L,
    /// JSON.
    pub(crate) metadata: String,
    pub(crate) rating: f64,
    pub(crate) active: bool,
    pub(crate) created_at: M,
    pub(crate) updated_at: M,
}

impl<L, M> Row<L, M> {
    /// The row as JSON, with lists and moments as these make them.
    pub(crate) fn json(
        &self,
        list: impl Fn(&L) -> Result<Value>,
        moment: impl Fn(&M) -> Result<Value>,
    ) -> Result<Value> {
        Ok(json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "dependencies": list(&self.dependencies)?,
            "tags": list(&self.tags)?,
            "metadata": serde_json::from_str::<Value>(&self.metadata)?,
            "rating": self.rating,
            "active": self.active,
            "created_at": moment(&self.created_at)?,
            "updated_at": moment(&self.updated_at)?,
        }))
    }
}
