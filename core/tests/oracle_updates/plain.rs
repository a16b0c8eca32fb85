//! mongod itself: updates as raw commands on a plain collection.

use farm_db_core::value::{DateTime, format_decimal, parse_decimal};
use farm_db_core::{Map, Value};
use mongodb::bson::{self, Binary, Bson, Document, doc, spec::BinarySubtype};

use super::generate::Case;

/// A collection of a database of its own.
pub(super) struct Plain {
    database: mongodb::Database,
}

impl Plain {
    pub(super) async fn open() -> Self {
        let url = std::env::var("FARM_TEST_MONGODB_URL").expect("FARM_TEST_MONGODB_URL");
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        let name = format!("farm_{}", farm_db_core::value::Uuid::new_v4().simple());
        Self { database: client.database(&name) }
    }

    /// The row after the update, or what mongod says against it.
    pub(super) async fn update(&self, case: &Case) -> Result<Map, String> {
        let rows = self.database.collection::<Document>("rows");
        rows.delete_many(doc! {}).await.unwrap();
        rows.insert_one(document(&case.row)).await.unwrap();
        let filters: Vec<Bson> = case.array_filters.iter().map(bson).collect();
        let update = doc! { "q": {}, "u": document(&case.update), "arrayFilters": filters };
        let reply = self.database.run_command(doc! { "update": "rows", "updates": [update] }).await;
        let reply = reply.map_err(|error| error.to_string())?;
        if let Ok(errors) = reply.get_array("writeErrors") {
            return Err(format!("{errors:?}"));
        }
        let mut row = rows.find_one(doc! {}).await.unwrap().unwrap();
        row.remove("_id");
        Ok(row.into_iter().map(|(name, found)| (name, value(found))).collect())
    }

    pub(super) async fn end(self) {
        self.database.drop().await.unwrap();
    }
}

fn document(map: &Map) -> Document {
    map.iter().map(|(name, value)| (name.clone(), bson(value))).collect()
}

fn bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(truth) => Bson::Boolean(*truth),
        Value::Int(number) => Bson::Int64(*number),
        Value::Float(number) => Bson::Double(*number),
        Value::Decimal(number) => Bson::Decimal128(format_decimal(number).parse().unwrap()),
        Value::Text(text) => Bson::String(text.clone()),
        Value::Bytes(bytes) => Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.clone() }),
        Value::DateTime(moment) => Bson::DateTime(bson::DateTime::from_millis(moment.micros() / 1000)),
        Value::List(list) => Bson::Array(list.iter().map(bson).collect()),
        Value::Map(map) => Bson::Document(document(map)),
        other => panic!("{other:?} is not made here"),
    }
}

fn value(found: Bson) -> Value {
    match found {
        Bson::Null => Value::Null,
        Bson::Boolean(truth) => Value::Bool(truth),
        Bson::Int64(number) => Value::Int(number),
        Bson::Int32(number) => Value::Int(number.into()),
        Bson::Double(number) => Value::Float(number),
        Bson::Decimal128(number) => Value::Decimal(parse_decimal(&number.to_string()).unwrap()),
        Bson::String(text) => Value::Text(text),
        Bson::Binary(binary) => Value::Bytes(binary.bytes),
        Bson::DateTime(moment) => Value::DateTime(DateTime::from_micros(moment.timestamp_millis() * 1000).unwrap()),
        Bson::Array(list) => Value::List(list.into_iter().map(value).collect()),
        Bson::Document(map) => Value::Map(map.into_iter().map(|(name, inner)| (name, value(inner))).collect()),
        other => panic!("{other:?} is not made here"),
    }
}
