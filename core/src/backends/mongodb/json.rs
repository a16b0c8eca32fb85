//! Tagged JSON as the elements of documents, with no values in between.

use std::fmt;

use mongodb::bson::spec::ElementType;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::bytes::Bytes;
use crate::error::{Error, Result};
use crate::value::tagged::{Seed, untagged};
use crate::value::{Map, Value};

type Outcome<T, E> = std::result::Result<T, E>;

/// Writes an element of this JSON.
pub(super) fn write(bytes: &mut Bytes, name: &str, json: &str) -> Result<()> {
    let start = bytes.open(name)?;
    let mut reader = serde_json::Deserializer::from_str(json);
    let written = Element { bytes, start }.deserialize(&mut reader).and_then(|()| reader.end());
    written.map_err(|error| Error::invalid_value(format!("mongodb cannot hold the json: {error}")))
}

/// An element whose name is written, and whose type and value are to come.
struct Element<'a> {
    bytes: &'a mut Bytes,
    start: usize,
}

impl Element<'_> {
    fn fixed(self, kind: ElementType, value: &[u8]) {
        self.bytes.set_kind(self.start, kind);
        self.bytes.extend(value);
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Outcome<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tagged json")
    }

    fn visit_unit<E>(self) -> Outcome<(), E> {
        self.fixed(ElementType::Null, &[]);
        Ok(())
    }

    fn visit_bool<E>(self, truth: bool) -> Outcome<(), E> {
        self.fixed(ElementType::Boolean, &[u8::from(truth)]);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Outcome<(), E> {
        self.fixed(ElementType::Int64, &number.to_le_bytes());
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Outcome<(), E> {
        self.visit_i64(i64::try_from(number).map_err(E::custom)?)
    }

    fn visit_f64<E>(self, number: f64) -> Outcome<(), E> {
        self.fixed(ElementType::Double, &number.to_le_bytes());
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Outcome<(), E> {
        self.bytes.set_kind(self.start, ElementType::String);
        self.bytes.string(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Outcome<(), A::Error> {
        let Self { bytes, start } = self;
        bytes.set_kind(start, ElementType::Array);
        let (list, mut number) = (bytes.begin(), itoa::Buffer::new());
        for index in 0.. {
            let start = bytes.open(number.format(index)).map_err(A::Error::custom)?;
            if items.next_element_seed(Element { bytes: &mut *bytes, start })?.is_none() {
                bytes.truncate(start);
                break;
            }
        }
        bytes.end(list).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Outcome<(), A::Error> {
        let Self { bytes, start } = self;
        bytes.set_kind(start, ElementType::EmbeddedDocument);
        let document = bytes.begin();
        let mut next = entries.next_key_seed(Name(bytes))?;
        if let Some(tag) = next.take_if(|name| bytes.name(*name).starts_with('$')) {
            let value = map_from(bytes.name(tag).to_owned(), entries)?;
            return bytes.replace(start, &value).map_err(A::Error::custom);
        }
        while let Some(start) = next {
            entries.next_value_seed(Element { bytes: &mut *bytes, start })?;
            next = entries.next_key_seed(Name(bytes))?;
        }
        bytes.end(document).map_err(A::Error::custom)
    }
}

/// What a map means whose first name, of which the value is next, may be a tag.
fn map_from<'de, A: MapAccess<'de>>(first: String, mut entries: A) -> Outcome<Value, A::Error> {
    let mut map = Map::new();
    map.insert(first, entries.next_value_seed(Seed::default())?);
    while let Some(name) = entries.next_key::<String>()? {
        map.insert(name, entries.next_value_seed(Seed::default())?);
    }
    untagged(map).map_err(A::Error::custom)
}

/// Opens an element by its name.
struct Name<'a>(&'a mut Bytes);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Outcome<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Outcome<usize, E> {
        self.0.open(name).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::Cell;
    use crate::value::tagged::{tests::any_value, to_string};

    fn element(write: impl FnOnce(&mut Bytes) -> Result<()>) -> Vec<u8> {
        let mut bytes = Bytes::default();
        bytes.document(write).unwrap();
        bytes.into_document().unwrap().into_bytes()
    }

    proptest! {
        #[test]
        fn json_is_written_as_its_value(value in any_value()) {
            // Decimal128 has 34 digits, which the values here keep.
            let by_value = element(|bytes| bytes.column("x", Cell::Value(&value)));
            prop_assert_eq!(element(|bytes| write(bytes, "x", &to_string(&value))), by_value);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for json in ["", "[1", "1 2", "{\"$date\":\"x\"}", "9223372036854775808", "{\"a\\u0000b\":1}"] {
            assert!(write(&mut Bytes::default(), "x", json).is_err(), "{json}");
        }
    }
}
