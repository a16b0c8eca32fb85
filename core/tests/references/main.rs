//! References between entities, enforced the same on every backend.

#[path = "../backends/mod.rs"]
mod backends;
mod declared;
mod rows;

use farm_db_core::value::tagged;
use farm_db_core::{Contract, Error, Kind, Map, Reply, Result, Value, Verb};

use backends::Fresh;

const CONTRACT: &str = r#"{"version": 1, "entities": [
  {"name": "authors", "fields": [{"name": "id", "type": {"kind": "text"}, "primary_key": true}]},
  {"name": "posts", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true},
    {"name": "author_id", "type": {"kind": "text"}, "nullable": true},
    {"name": "editor_id", "type": {"kind": "text"}, "nullable": true},
    {"name": "likes", "type": {"kind": "int"}, "default": 0}],
   "relations": [
    {"name": "author", "kind": "many_to_one", "target": "authors", "fields": ["author_id"], "on_delete": "cascade"},
    {"name": "editor", "kind": "many_to_one", "target": "authors", "fields": ["editor_id"], "on_delete": "set_null"}],
   "indexes": [{"fields": ["editor_id", "author_id"]}]},
  {"name": "reviews", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true},
    {"name": "post_id", "type": {"kind": "text"}},
    {"name": "reader_id", "type": {"kind": "text"}, "nullable": true}],
   "relations": [
    {"name": "post", "kind": "many_to_one", "target": "posts", "fields": ["post_id"], "on_delete": "restrict"},
    {"name": "reader", "kind": "many_to_one", "target": "authors", "fields": ["reader_id"]}]},
  {"name": "nodes", "fields": [
    {"name": "id", "type": {"kind": "int"}, "primary_key": true},
    {"name": "parent_id", "type": {"kind": "int"}, "nullable": true}],
   "relations": [
    {"name": "parent", "kind": "many_to_one", "target": "nodes", "fields": ["parent_id"], "on_delete": "cascade"}]},
  {"name": "boxes", "fields": [
    {"name": "id", "type": {"kind": "int"}, "primary_key": true},
    {"name": "inside", "type": {"kind": "int"}, "nullable": true}],
   "relations": [
    {"name": "outer", "kind": "many_to_one", "target": "boxes", "fields": ["inside"], "on_delete": "restrict"}]},
  {"name": "husbands", "fields": [
    {"name": "id", "type": {"kind": "uuid"}, "primary_key": true},
    {"name": "wife_id", "type": {"kind": "decimal"}, "nullable": true, "unique": true}],
   "relations": [
    {"name": "wife", "kind": "one_to_one", "target": "wives", "fields": ["wife_id"], "on_delete": "cascade"}]},
  {"name": "wives", "fields": [
    {"name": "id", "type": {"kind": "decimal"}, "primary_key": true},
    {"name": "husband_id", "type": {"kind": "uuid"}, "nullable": true}],
   "relations": [
    {"name": "husband", "kind": "one_to_one", "target": "husbands", "fields": ["husband_id"], "on_delete": "restrict"}]},
  {"name": "seats", "fields": [
    {"name": "hall", "type": {"kind": "text"}, "primary_key": true},
    {"name": "number", "type": {"kind": "int"}, "primary_key": true}]},
  {"name": "tickets", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true},
    {"name": "in_hall", "type": {"kind": "text"}, "nullable": true},
    {"name": "seat", "type": {"kind": "int"}, "nullable": true}],
   "relations": [
    {"name": "place", "kind": "many_to_one", "target": "seats", "fields": ["in_hall", "seat"], "on_delete": "set_null"}]},
  {"name": "tops", "fields": [{"name": "id", "type": {"kind": "text"}, "primary_key": true}]},
  {"name": "lefts", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true}, {"name": "top_id", "type": {"kind": "text"}}],
   "relations": [{"name": "top", "kind": "many_to_one", "target": "tops", "fields": ["top_id"], "on_delete": "cascade"}]},
  {"name": "rights", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true}, {"name": "top_id", "type": {"kind": "text"}}],
   "relations": [{"name": "top", "kind": "many_to_one", "target": "tops", "fields": ["top_id"], "on_delete": "cascade"}]},
  {"name": "bottoms", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true},
    {"name": "left_id", "type": {"kind": "text"}}, {"name": "right_id", "type": {"kind": "text"}, "nullable": true}],
   "relations": [
    {"name": "left", "kind": "many_to_one", "target": "lefts", "fields": ["left_id"], "on_delete": "restrict"},
    {"name": "right", "kind": "many_to_one", "target": "rights", "fields": ["right_id"], "on_delete": "cascade"}]},
  {"name": "shelves", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true},
    {"name": "deleted_at", "type": {"kind": "datetime"}, "nullable": true, "auto": "deleted"}]},
  {"name": "books", "fields": [
    {"name": "id", "type": {"kind": "text"}, "primary_key": true},
    {"name": "shelf_id", "type": {"kind": "text"}},
    {"name": "deleted_at", "type": {"kind": "datetime"}, "nullable": true, "auto": "deleted"}],
   "relations": [
    {"name": "shelf", "kind": "many_to_one", "target": "shelves", "fields": ["shelf_id"], "on_delete": "cascade"}]}]}"#;

async fn fresh(backend: &'static str) -> Fresh {
    Fresh::open(backend, Contract::parse(CONTRACT).unwrap()).await
}

fn json(text: &str) -> Map {
    tagged::read_map(text.as_bytes()).unwrap()
}

impl Fresh {
    async fn call(&self, entity: &str, verb: Verb, arguments: &str) -> Result<Reply> {
        self.database.repository(entity).unwrap().call(verb, json(arguments), None).await
    }

    async fn create(&self, entity: &str, records: &str) -> Result<()> {
        self.call(entity, Verb::CreateMany, &format!("{{\"records\": {records}}}")).await.map(|_| ())
    }

    /// All rows as JSON, in the order of the key, soft-deleted ones too.
    async fn rows(&self, entity: &str) -> String {
        let Reply::Rows(rows) = self.call(entity, Verb::Find, r#"{"deleted": true, "sort": "id"}"#).await.unwrap()
        else {
            panic!("rows")
        };
        let rows = (0..rows.len()).map(|row| Value::Map(rows.document(row).unwrap()));
        tagged::to_string(&Value::List(rows.collect()))
    }

    /// The keys of all rows.
    async fn ids(&self, entity: &str) -> String {
        let Value::List(rows) = tagged::read(self.rows(entity).await.as_bytes()).unwrap() else { panic!("rows") };
        let ids = rows.iter().map(|row| tagged::to_string(&row.as_map().unwrap()["id"]));
        ids.collect::<Vec<_>>().join(" ").replace('"', "")
    }

    async fn delete(&self, entity: &str, id: &str) -> Result<()> {
        self.call(entity, Verb::Delete, &format!("{{\"id\": {id}}}")).await.map(|_| ())
    }
}

fn is_violation<T>(outcome: Result<T>) -> Error {
    let error = outcome.err().expect("a violation");
    assert_eq!(error.kind(), Kind::ForeignKeyViolation, "{error:?}");
    error
}
