//! How references are declared, made and read back.

use farm_db_core::schema::{Entity, OnDelete};
use farm_db_core::{Contract, Kind, Result, Value};

use crate::backends::Fresh;
use crate::{fresh, is_violation};

/// Two entities of which the second refers to the first as `relation` says it.
fn pair(fields: &str, relation: &str) -> Contract {
    let contract = format!(
        r#"{{"version": 1, "entities": [
        {{"name": "ones", "fields": [{{"name": "id", "type": {{"kind": "int"}}, "primary_key": true}}]}},
        {{"name": "twos", "fields": [{{"name": "id", "type": {{"kind": "text"}}, "primary_key": true}}{fields}],
          "relations": [{relation}]}}]}}"#
    );
    Contract::parse(&contract).unwrap()
}

const HELD: &str = r#", {"name": "one_id", "type": {"kind": "int"}, "nullable": true}"#;

fn held(name: &str, on_delete: &str) -> String {
    format!(
        r#"{{"name": "{name}", "kind": "many_to_one", "target": "ones", "fields": ["one_id"], "on_delete": "{on_delete}"}}"#
    )
}

/// Declares another contract to the database of the one before.
async fn declare(app: &Fresh, contract: Contract) -> Result<Vec<String>> {
    app.database.register(&contract);
    app.database.ensure_schema().await
}

async fn a_reference_can_be_declared_later(backend: &'static str) {
    let app = Fresh::open(backend, pair("", "")).await;
    app.create("ones", r#"[{"id": 1}]"#).await.unwrap();
    app.create("twos", r#"[{"id": "old"}]"#).await.unwrap();
    let created = declare(&app, pair(HELD, &held("one", "cascade"))).await.unwrap();
    for made in ["reference fk_twos_one on twos", "index fk_twos_one on twos"] {
        assert!(created.iter().any(|line| line == made), "{created:?}");
    }
    assert!(app.database.ensure_schema().await.unwrap().is_empty());
    is_violation(app.create("twos", r#"[{"id": "x", "one_id": 9}]"#).await);
    app.create("twos", r#"[{"id": "x", "one_id": 1}]"#).await.unwrap();
    app.delete("ones", "1").await.unwrap();
    assert_eq!(app.ids("twos").await, "old");
    // The same under another name is the same, and nothing else is.
    assert!(
        declare(&app, pair(HELD, &held("owner", "cascade")))
            .await
            .unwrap()
            .iter()
            .all(|line| line.contains("fk_twos_owner"))
    );
    for other in [held("one", "restrict"), String::new()] {
        let error = declare(&app, pair(HELD, &other)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::ContractMismatch, "{error:?}");
    }
    app.end().await;
}

async fn rows_that_break_a_new_reference_are_in_its_way(backend: &'static str) {
    let app = Fresh::open(backend, pair(HELD, "")).await;
    app.create("twos", r#"[{"id": "x", "one_id": 7}]"#).await.unwrap();
    let error = declare(&app, pair(HELD, &held("one", "restrict"))).await.unwrap_err();
    assert_eq!(
        (error.kind(), &error.context()["relation"]),
        (Kind::ContractMismatch, &Value::from("one")),
        "{error:?}"
    );
    app.create("ones", r#"[{"id": 7}]"#).await.unwrap();
    let again = app.database.ensure_schema().await;
    match app.database.backend_name() {
        // It has references only where the table is made with them.
        "sqlite" => assert_eq!(again.unwrap_err().kind(), Kind::ContractMismatch),
        _ => assert!(again.unwrap().contains(&"reference fk_twos_one on twos".to_owned())),
    }
    app.end().await;
}

async fn a_reference_that_cannot_be_is_refused(backend: &'static str) {
    let app = Fresh::open(backend, pair(HELD, &held("one", "set_null"))).await;
    let other = r#", {"name": "one_id", "type": {"kind": "text"}}"#;
    let needed = r#", {"name": "one_id", "type": {"kind": "int"}}"#;
    let relation = |change: (&str, &str)| held("one", "set_null").replace(change.0, change.1);
    for (fields, relation, field) in [
        (HELD, relation(("ones", "nobodies")), None),
        (HELD, relation(("one_id", "two_id")), Some("two_id")),
        (HELD, relation((r#"["one_id"]"#, r#"["id", "one_id"]"#)), None),
        (HELD, relation(("many_to_one", "one_to_many")), None),
        (other, relation(("set_null", "cascade")), Some("one_id")),
        (needed, relation(("", "")), Some("one_id")),
    ] {
        let error = declare(&app, pair(fields, &relation)).await.unwrap_err();
        let context = error.context();
        assert_eq!(error.kind(), Kind::InvalidSchema, "{relation}: {error:?}");
        assert_eq!((&context["entity"], &context["relation"]), (&"twos".into(), &"one".into()), "{relation}");
        assert_eq!(context.get("field").and_then(Value::as_text), field, "{relation}");
    }
    app.end().await;
}

async fn references_are_read_back(backend: &'static str) {
    let app = fresh(backend).await;
    assert!(app.database.ensure_schema().await.unwrap().is_empty());
    let found = app.database.introspect().await.unwrap();
    for entity in app.database.contract().entities() {
        let named = |entity: &Entity| {
            let relations = entity.relations.iter().filter(|relation| relation.on_delete.is_some());
            let mut facts: Vec<_> = relations
                .map(|relation| (relation.target.clone(), relation.fields.clone(), relation.on_delete))
                .collect();
            facts.sort_by(|one, other| one.1.cmp(&other.1));
            facts
        };
        assert_eq!(named(found.contract.entity(&entity.name).unwrap()), named(entity), "{}", entity.name);
    }
    // What another program sees: the same without the stored contract, where the catalog has it.
    if app.database.capabilities()["foreign_keys"] == Value::Bool(true) {
        app.database.execute(&Value::from("DELETE FROM _farm_meta"), &Value::Null, None).await.unwrap();
        let found = app.database.introspect().await.unwrap();
        for (entity, field, on_delete) in [
            ("posts", "author_id", OnDelete::Cascade),
            ("posts", "editor_id", OnDelete::SetNull),
            ("reviews", "post_id", OnDelete::Restrict),
            ("nodes", "parent_id", OnDelete::Cascade),
            ("tickets", "in_hall", OnDelete::SetNull),
        ] {
            let relations = &found.contract.entity(entity).unwrap().relations;
            let relation = relations.iter().find(|relation| relation.fields[0] == field).unwrap();
            assert_eq!(relation.on_delete, Some(on_delete), "{entity}.{field}");
        }
    }
    app.end().await;
}

crate::on_every_backend!(
    a_reference_can_be_declared_later,
    rows_that_break_a_new_reference_are_in_its_way,
    a_reference_that_cannot_be_is_refused,
    references_are_read_back,
);
