//! Tagged JSON as the elements of documents, with no values in between.

use std::fmt;

use mongodb::bson::spec::ElementType;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::bytes::Bytes;
use crate::error::{Error, Result};
use crate::value::tagged;

type Outcome<T, E> = std::result::Result<T, E>;

/// Writes an element of this JSON.
pub(super) fn write(bytes: &mut Bytes, name: &str, json: &str) -> Result<()> {
    // A tag begins with `"$`; without one tagged JSON is plain JSON.
    if json.contains("\"$") {
        return bytes.value(name, &tagged::read(json.as_bytes())?);
    }
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
        f.write_str("json")
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
        while let Some(start) = entries.next_key_seed(Name(bytes))? {
            entries.next_value_seed(Element { bytes: &mut *bytes, start })?;
        }
        bytes.end(document).map_err(A::Error::custom)
    }
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
