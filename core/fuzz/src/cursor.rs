//! Page cursors: any text is refused as a cursor or leads to a page, on a real SQLite in memory.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use farm_db_core::value::tagged;
use farm_db_core::{Contract, ContractMode, Database, Kind, Map, Reply, Repository, Result, Value, Verb, document};
use tokio::runtime::{Builder, Runtime};

const CONTRACT: &str = r#"{"version": 1, "entities": [{"name": "things", "fields": [
    {"name": "id", "type": {"kind": "int"}, "primary_key": true},
    {"name": "text", "type": {"kind": "text"}, "nullable": true},
    {"name": "price", "type": {"kind": "decimal"}, "nullable": true},
    {"name": "at", "type": {"kind": "datetime"}, "nullable": true},
    {"name": "data", "type": {"kind": "bytes"}, "nullable": true},
    {"name": "inner", "nullable": true, "type": {"kind": "model", "fields": [
        {"name": "no", "type": {"kind": "int"}, "nullable": true}]}}]}]}"#;
const ROWS: i64 = 5;
const ORDERS: [&str; 6] = ["id", "text", "-price", "at", "-text", "inner.no"];

struct Pages {
    runtime: Runtime,
    things: Repository,
    /// What cursors of each order begin with.
    marks: Vec<Value>,
}

static PAGES: LazyLock<Pages> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let contract = Contract::parse(CONTRACT).expect("the contract is right");
    let database = Database::new("sqlite::memory:", &Map::new(), contract).expect("the URL is right");
    runtime.block_on(database.connect(ContractMode::Check, true)).expect("memory is there");
    let things = database.repository("things").expect("the entity is there");
    for id in 0..ROWS {
        let text = (id % 2 == 0).then(|| "a".repeat(id as usize));
        let record = document! { "id" => id, "text" => text.map_or(Value::Null, Value::from), "price" => id };
        runtime.block_on(things.call(Verb::Create, document! { "record" => record }, None)).expect("the row fits");
    }
    let mut pages = Pages { runtime, things, marks: Vec::new() };
    for order in ORDERS {
        let Ok(Reply::Page { next: Some(next), .. }) = pages.page(order, None) else { panic!("no first page") };
        let parts = tagged::read(&BASE64.decode(next).expect("it is base64")).expect("it is JSON");
        pages.marks.push(parts.as_list().expect("it is a list")[0].clone());
    }
    pages
});

impl Pages {
    fn page(&self, order: &str, after: Option<String>) -> Result<Reply> {
        let after = after.map_or(Value::Null, Value::from);
        let arguments = document! { "sort" => order, "limit" => 2_i64, "after" => after };
        self.runtime.block_on(self.things.call(Verb::Page, arguments, None))
    }

    fn check(&self, order: &str, after: String) {
        match self.page(order, Some(after)) {
            Ok(Reply::Page { rows, .. }) => assert!(rows.len() <= 2),
            Ok(_) => panic!("the reply is no page"),
            Err(error) => assert_eq!(error.kind(), Kind::InvalidCursor, "{error}"),
        }
    }
}

/// A cursor as text; or what stands in one: a list of values as tagged JSON, for each order.
pub fn run(data: &[u8]) {
    let pages = &*PAGES;
    if let Ok(text) = std::str::from_utf8(data) {
        pages.check(ORDERS[data.len() % ORDERS.len()], text.to_owned());
    }
    pages.check("id", BASE64.encode(data));
    let Ok(values) = tagged::read(data) else { return };
    for (order, mark) in ORDERS.into_iter().zip(&pages.marks) {
        let whole = Value::List(vec![mark.clone(), values.clone()]);
        pages.check(order, BASE64.encode(tagged::to_string(&whole)));
    }
}
