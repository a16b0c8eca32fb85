//! Filters: refused, or a statement whose text depends on no operand.

use farm_db_core::backend::{Operation, Statement, Write};
use farm_db_core::query::{Expression, Filter, Sort, Test, matches};
use farm_db_core::schema::{Field, FieldType, Pattern};
use farm_db_core::value::{ObjectId, Uuid, tagged};
use farm_db_core::{Database, Value};

use super::statement::{checked, databases, documents, select, things};

/// Above this many values MySQL takes constants for parameters, whose text is another one.
const MANY: usize = 1000;

/// A filter as tagged JSON.
pub fn run(data: &[u8]) {
    let Ok(document) = tagged::read_map(data) else { return };
    let entity = things();
    let Ok(filter) = Filter::parse(&document, &entity) else { return };
    for document in documents() {
        let _ = matches(&filter, document);
    }
    let mut paths = Vec::new();
    let other = other(&filter, &mut paths);
    if values(&filter) > MANY {
        return;
    }
    let sort = Sort::default();
    for database in databases() {
        for make in [Operation::Select, Operation::Count] {
            let operation = make(select(&entity, &filter, &sort));
            let found = checked(database, &entity, &operation, &paths);
            same(database, found, checked(database, &entity, &make(select(&entity, &other, &sort)), &paths));
        }
        let delete =
            |filter| Operation::Delete(Write { entity: &entity, filter, sort: &sort, one: false, returning: false });
        let found = checked(database, &entity, &delete(&filter), &paths);
        same(database, found, checked(database, &entity, &delete(&other), &paths));
    }
}

/// Two statements differ in their parameters alone.
fn same(database: &Database, one: Option<Statement>, other: Option<Statement>) {
    let facts = |statement: Option<Statement>| {
        statement.map(|one| (one.text, one.parameters.len(), one.residual.is_some(), one.unsorted))
    };
    assert_eq!(facts(one), facts(other), "{}", database.backend_name());
}

/// How many values the filter has in lists.
fn values(filter: &Filter) -> usize {
    fn of_test(test: &Test) -> usize {
        match test {
            Test::In(values) => values.len(),
            Test::AllOf(tests) | Test::ElementTests(tests) | Test::Both(tests) => tests.iter().map(of_test).sum(),
            Test::ElementFilter(filter) => values(filter),
            Test::Not(test) => of_test(test),
            _ => 0,
        }
    }
    match filter {
        Filter::All => 0,
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts.iter().map(values).sum(),
        Filter::At(_, test) => of_test(test),
    }
}

/// The same filter with other operands of the same types; collects its paths.
fn other(filter: &Filter, paths: &mut Vec<Vec<String>>) -> Filter {
    let mut each = |parts: &[Filter]| parts.iter().map(|part| other(part, paths)).collect();
    match filter {
        Filter::All => Filter::All,
        Filter::And(parts) => Filter::And(each(parts)),
        Filter::Or(parts) => Filter::Or(each(parts)),
        Filter::Nor(parts) => Filter::Nor(each(parts)),
        Filter::At(path, test) => {
            paths.push(path.legs.clone());
            Filter::At(path.clone(), other_test(test, path.target.field.as_ref()))
        }
    }
}

fn other_test(test: &Test, field: Option<&Field>) -> Test {
    let each = |tests: &[Test]| tests.iter().map(|test| other_test(test, field)).collect();
    match test {
        Test::Compare(comparison, value) => Test::Compare(*comparison, other_value(value, field)),
        Test::In(values) => Test::In(values.iter().map(|value| other_value(value, field)).collect()),
        Test::Regex(..) => {
            let source = "' OR \"a\"=`a` -- ?".to_owned();
            let regex = Pattern::new(&source).expect("it is an expression").regex;
            Test::Regex(regex, Expression { source, options: String::new() })
        }
        Test::AllOf(tests) => Test::AllOf(each(tests)),
        Test::ElementTests(tests) => Test::ElementTests(each(tests)),
        Test::Both(tests) => Test::Both(each(tests)),
        Test::ElementFilter(filter) => Test::ElementFilter(Box::new(other(filter, &mut Vec::new()))),
        Test::Not(test) => Test::Not(Box::new(other_test(test, field))),
        same => same.clone(),
    }
}

/// Another value of the type. Numbers stay where they are put in the column's own type first, moments because not every
/// database has each of them.
fn other_value(value: &Value, field: Option<&Field>) -> Value {
    match value {
        Value::Text(text) => Value::Text(format!("{text}' OR \"a\"=`a`; -- $1 ?")),
        Value::Bytes(bytes) => Value::Bytes([bytes, b"'".as_slice()].concat()),
        Value::Uuid(uuid) => Value::Uuid(Uuid::from_u128(!uuid.as_u128())),
        Value::ObjectId(id) => Value::ObjectId(ObjectId(id.0.map(|byte| !byte))),
        Value::Int(number) if field.is_some_and(|field| is_of_ints(&field.kind)) => Value::Int(number ^ 1),
        Value::List(list) => Value::List(list.iter().map(|item| other_value(item, None)).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(key, item)| (key.clone(), other_value(item, None))).collect()),
        same => same.clone(),
    }
}

fn is_of_ints(kind: &FieldType) -> bool {
    match kind {
        FieldType::List(items) => is_of_ints(&items.kind),
        kind => matches!(kind, FieldType::Int),
    }
}
