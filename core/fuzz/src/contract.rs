//! Contracts: refused, or the canonical JSON says the same when it is read again, and every name stands in quotes.

use farm_db_core::Contract;
use farm_db_core::backend::{Insert, Operation};
use farm_db_core::query::{Filter, Sort};

use super::statement::{checked, databases, select};

/// A contract as a host writes it.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(contract) = Contract::parse(text) else { return };
    let json = contract.to_json();
    let again = Contract::parse(&json).unwrap_or_else(|error| panic!("{json} is not read again: {error}"));
    assert_eq!(again.hash(), contract.hash(), "{json}");
    assert_eq!(contract.differences(&again).len(), 0, "{json}");
    assert_eq!(again.references().is_ok(), contract.references().is_ok(), "{json}");
    for entity in contract.entities().iter().take(4) {
        let sort = Sort::default().with_key(entity);
        for database in databases() {
            checked(database, entity, &Operation::Select(select(entity, &Filter::All, &sort)), &[]);
            checked(database, entity, &Operation::Insert(Insert { entity, conflict: None }), &[]);
        }
    }
}
