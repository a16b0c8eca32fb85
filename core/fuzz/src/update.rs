//! Updates: refused, or a document that still fits its entity and a statement whose text depends on no value.

use std::sync::Arc;

use farm_db_core::Value;
use farm_db_core::backend::{Changes, Operation, SetTo, Write};
use farm_db_core::query::{Filter, Sort, Update};
use farm_db_core::value::{DateTime, tagged};

use super::statement::{checked, databases, documents, things};

/// `{"update": ..., "array_filters": [...]}`, or an update alone, as tagged JSON.
pub fn run(data: &[u8]) {
    let Ok(given) = tagged::read_map(data) else { return };
    let entity = things();
    let update = given.get("update").and_then(Value::as_map).unwrap_or(&given);
    let filters = given.get("array_filters").and_then(Value::as_list).unwrap_or_default();
    let Ok(update) = Update::parse_filtered(update, filters, &entity) else { return };
    let now = DateTime::from_micros(0).expect("it is a moment");
    for before in documents() {
        let mut after = before.clone();
        if let Err(error) = update.apply(&mut after, &entity, now) {
            assert_eq!(tagged::map_to_string(&after), tagged::map_to_string(before), "half of it was done: {error}");
            continue;
        }
        let mut changes = Vec::new();
        for (position, field) in entity.fields.iter().enumerate() {
            let value = after[&field.name].clone();
            if let Err(error) = entity.check_field(field, value.clone()) {
                panic!("{} does not fit any more: {error}", field.name);
            }
            if tagged::to_string(&value) != tagged::to_string(&before[&field.name]) {
                changes.push((position, value));
            }
        }
        assert!(changes.iter().all(|(position, _)| update.columns().contains(position)), "another column was changed");
        write(&entity, &changes);
    }
}

/// The changed columns as the statement of an update, which is the same for other values.
fn write(entity: &Arc<farm_db_core::schema::Entity>, changes: &[(usize, Value)]) {
    let (filter, sort) = (Filter::All, Sort::default());
    for database in databases() {
        let text = |nothing: bool| {
            let set = |(position, value): &(usize, Value)| {
                (*position, SetTo::Value(if nothing { Value::Null } else { value.clone() }))
            };
            let write = Write { entity, filter: &filter, sort: &sort, one: false, returning: false };
            let operation = Operation::Update(write, Changes(changes.iter().map(set).collect()));
            checked(database, entity, &operation, &[]).map(|statement| statement.text)
        };
        let (of_values, of_nothing) = (text(false), text(true));
        // MongoDB's text, which is for people, shows the names inside a document.
        if database.backend_name() != "mongodb" && !changes.is_empty() {
            assert_eq!(of_values, of_nothing);
        }
    }
}
