//! What was found in a database that farm-db did not make.

use crate::document;
use crate::schema::Contract;
use crate::value::{Map, Value};

/// A contract read from a database, and what could not be said in it.
#[derive(Clone, Debug, Default)]
pub struct Introspection {
    /// The entities that were found.
    pub contract: Contract,
    /// What was left out or is read as something else, a line each that begins with the table and the column.
    pub notes: Vec<String>,
}

impl Introspection {
    /// The canonical JSON of the contract as `contract`, and the `notes`.
    pub fn to_map(&self) -> Map {
        let notes: Vec<Value> = self.notes.iter().map(|note| Value::from(note.as_str())).collect();
        document! { "contract" => self.contract.to_json(), "notes" => notes }
    }
}
