//! Lists, maps and models of documents as tagged JSON, without a value in between.

use mongodb::bson::raw::{RawArray, RawBsonRef, RawDocument};

use super::values::decode;
use crate::schema::FieldType;
use crate::value::tagged;

/// Appends a value at a place of this type; `None` where it does not belong there or tagged JSON cannot say it: what
/// [`decode`] makes of it counts then.
pub(super) fn write(kind: Option<&FieldType>, value: RawBsonRef<'_>, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    match (kind, value) {
        (None | Some(FieldType::Any), RawBsonRef::Array(list)) => write_list(None, list, depth, out),
        (Some(FieldType::List(items)), RawBsonRef::Array(list)) => write_list(Some(&items.kind), list, depth, out),
        (kind, RawBsonRef::Document(map)) => write_map(kind, map, depth, out),
        (None | Some(FieldType::Any | FieldType::Text), RawBsonRef::String(text)) => {
            tagged::write_text(text, out);
            Some(())
        }
        (kind, value) => {
            tagged::write(&decode(kind, value)?, out);
            Some(())
        }
    }
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < tagged::MAX_DEPTH).then_some(depth + 1)
}

fn write_list(kind: Option<&FieldType>, list: &RawArray, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let depth = deeper(depth)?;
    out.push(b'[');
    for (index, item) in list.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(kind, item.ok()?, depth, out)?;
    }
    out.push(b']');
    Some(())
}

fn write_map(kind: Option<&FieldType>, map: &RawDocument, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let depth = deeper(depth)?;
    out.push(b'{');
    let mut is_first = true;
    for entry in map {
        let (name, value) = entry.ok()?;
        let name = name.as_str();
        let inner = match kind {
            Some(FieldType::Map(values)) => Some(&values.kind),
            Some(FieldType::Model(model)) => match model.field(name) {
                Some(field) => Some(&field.kind),
                None if !model.extra => continue,
                None => None,
            },
            _ => None,
        };
        // It would be read as a tag.
        if name.starts_with('$') {
            return None;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        tagged::write_text(name, out);
        out.push(b':');
        write(inner, value, depth, out)?;
    }
    out.push(b'}');
    Some(())
}

#[cfg(test)]
mod tests {
    use mongodb::bson::raw::RawDocumentBuf;
    use mongodb::bson::{Bson, Document, doc};
    use proptest::prelude::*;

    use super::super::values::encode;
    use super::*;
    use crate::value::tagged::tests::any_value;

    /// What is written of `{"v": value}` and what [`decode`] makes of it, as text.
    fn both(kind: Option<&FieldType>, value: Bson) -> (Option<String>, Option<String>) {
        let document = RawDocumentBuf::try_from(&doc! { "v": value }).unwrap();
        let value = document.get("v").unwrap().unwrap();
        let mut out = Vec::new();
        let written = write(kind, value, 0, &mut out);
        let decoded = decode(kind, value).map(|value| tagged::to_string(&value));
        (written.map(|()| String::from_utf8(out).unwrap()), decoded)
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_decoded(value in any_value()) {
            // Decimals of too many digits are no BSON.
            if let Ok(value) = encode(&value) {
                let (written, decoded) = both(None, value);
                prop_assert_eq!(written, decoded);
            }
        }
    }

    #[test]
    fn what_tagged_json_cannot_say_is_left_to_values() {
        let deep = (0..=tagged::MAX_DEPTH).fold(Bson::Null, |inner, _| Bson::Array(vec![inner]));
        let tag = Bson::Document(doc! { "a": { "$date": "no moment" } });
        for value in [deep, tag] {
            let (written, decoded) = both(None, value);
            assert_eq!(written, None);
            assert!(decoded.is_some());
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let empty = Bson::Document(Document::new());
        for (kind, value) in [
            (FieldType::Text, Bson::Int32(1)),
            (FieldType::Text, Bson::Array(vec![])),
            (FieldType::Int, Bson::String("1".to_owned())),
            (FieldType::Bool, Bson::Double(0.5)),
        ] {
            assert_eq!(both(Some(&kind), value), (None, None));
        }
        assert_eq!(both(Some(&FieldType::Any), empty), (Some("{}".to_owned()), Some("{}".to_owned())));
    }
}
