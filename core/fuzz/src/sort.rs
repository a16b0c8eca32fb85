//! Sort keys and names of fields: refused, or names that the contract knows, in quotes.

use farm_db_core::Value;
use farm_db_core::backend::Operation;
use farm_db_core::query::{Filter, Sort, values_at};
use farm_db_core::schema::Path;
use farm_db_core::value::tagged;

use super::statement::{checked, databases, documents, select, things};

/// An order as tagged JSON, or the text of one path.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    name(text);
    let given = tagged::read(data).unwrap_or_else(|_| Value::from(text));
    let entity = things();
    let Ok(sort) = Sort::parse(&given, &entity) else { return };
    for one in documents() {
        for other in documents() {
            assert_eq!(sort.compare(one, other), sort.compare(other, one).reverse());
        }
    }
    let sort = sort.with_key(&entity);
    let paths: Vec<_> = sort.fields.iter().map(|field| field.path.legs.clone()).collect();
    let nulls = vec![Value::Null; sort.fields.len()];
    for database in databases() {
        for after in [None, Some(nulls.as_slice())] {
            let select = farm_db_core::backend::Select { after, ..select(&entity, &Filter::All, &sort) };
            checked(database, &entity, &Operation::Select(select), &paths);
        }
    }
}

/// A path by itself, as `distinct` and `fields` take it.
fn name(text: &str) {
    let entity = things();
    let Ok(path) = Path::resolve(&entity, text) else { return };
    for document in documents() {
        let _ = values_at(document, &path);
    }
    for database in databases() {
        let columns = [path.column].into();
        let (filter, sort) = (Filter::All, Sort::default());
        let select = farm_db_core::backend::Select { columns, limit: None, ..select(&entity, &filter, &sort) };
        checked(database, &entity, &Operation::Distinct(select), &[]);
    }
}
