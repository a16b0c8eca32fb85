//! Tagged JSON: values as JSON text without losing their types (the table is in ARCHITECTURE.md, "Values and tagged
//! JSON"; the tags are those of MongoDB Extended JSON v2, plus `$uuid`, `$day` and `$time`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Map, Value, format_decimal, parse_decimal};
use crate::error::{Error, Result};

/// Documents nested deeper are refused, as in BSON.
pub const MAX_DEPTH: usize = 100;

/// Appends the tagged JSON of `value`.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Float(number) => write_float(*number, out),
        Value::Decimal(number) => write_tag("$numberDecimal", &format_decimal(number), out),
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => write_binary(bytes, out),
        Value::Uuid(uuid) => write_tag("$uuid", uuid.hyphenated().encode_lower(&mut [0; 36]), out),
        Value::ObjectId(id) => write_tag("$oid", &id.to_string(), out),
        Value::DateTime(moment) => write_tag("$date", &moment.to_string(), out),
        Value::Date(date) => write_tag("$day", &date.to_string(), out),
        Value::Time(time) => write_tag("$time", &time.to_string(), out),
        Value::List(list) => write_list(list, out),
        Value::Map(map) => write_map(map, out),
    }
}

/// The tagged JSON of `value`.
pub fn to_string(value: &Value) -> String {
    let mut out = Vec::new();
    write(value, &mut out);
    String::from_utf8(out).expect("only UTF-8 is written")
}

/// The tagged JSON of a map.
pub fn map_to_string(map: &Map) -> String {
    let mut out = Vec::new();
    write_map(map, &mut out);
    String::from_utf8(out).expect("only UTF-8 is written")
}

/// Appends a JSON object.
pub fn write_map(map: &Map, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

fn write_list(list: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(value, out);
    }
    out.push(b']');
}

fn write_tag(tag: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(tag.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\"}");
}

fn write_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$binary\":{\"base64\":\"");
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.extend_from_slice(b"\",\"subType\":\"00\"}}");
}

fn write_float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        let name = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        write_tag("$numberDouble", name, out);
    }
}

/// Appends tagged JSON, for hosts that write it without making values.
#[derive(Debug)]
pub struct Writer<'a>(&'a mut Vec<u8>);

/// What stands between values.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Sign {
    OpenList,
    CloseList,
    OpenMap,
    CloseMap,
    Comma,
    Colon,
}

impl<'a> Writer<'a> {
    /// Writes behind what is there.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// Appends a sign.
    pub fn sign(&mut self, sign: Sign) {
        self.0.push(match sign {
            Sign::OpenList => b'[',
            Sign::CloseList => b']',
            Sign::OpenMap => b'{',
            Sign::CloseMap => b'}',
            Sign::Comma => b',',
            Sign::Colon => b':',
        });
    }

    /// Appends a text; `false` where NUL is in it.
    pub fn text(&mut self, text: &str) -> bool {
        let start = self.0.len();
        write_text(text, self.0);
        // Nothing is escaped in nearly every text, and NUL would be.
        self.0.len() - start == text.len() + 2 || !text.as_bytes().contains(&0)
    }

    /// Appends a value.
    pub fn value(&mut self, value: &Value) {
        write(value, self.0);
    }
}

/// Appends a JSON string; control characters are escaped, everything else stands as UTF-8.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(index) = first_to_escape(rest) {
        let byte = rest[index];
        out.extend_from_slice(&rest[..index]);
        rest = &rest[index + 1..];
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte stands that a JSON string must escape. Sixteen at a time are looked at together, which the compiler
/// makes one instruction each.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let (blocks, _) = bytes.as_chunks::<16>();
    let clean = blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | is_special(byte))).count();
    let mut tail = clean * 16;
    if let Some(word) = bytes[tail..].first_chunk::<8>() {
        tail += if is_clean(u64::from_ne_bytes(*word)) { 8 } else { 0 };
    }
    bytes[tail..].iter().position(is_special).map(|index| tail + index)
}

/// Whether none of eight bytes must be escaped; `false` where that is not sure.
fn is_clean(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    // A byte below `least` borrows from its highest bit, which is looked at only where it was not set before.
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word;
    let (quote, backslash) = (word ^ (ONES * u64::from(b'"')), word ^ (ONES * u64::from(b'\\')));
    (below(word, 0x20) | below(quote, 1) | below(backslash, 1)) & (ONES * 0x80) == 0
}

/// Reads one tagged JSON value; anything after it is an error.
pub fn read(json: &[u8]) -> Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Seed::default().deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| Error::invalid_value(format!("invalid tagged json: {error}")))
}

/// Reads a tagged JSON object.
pub fn read_map(json: &[u8]) -> Result<Map> {
    match read(json)? {
        Value::Map(map) => Ok(map),
        other => Err(Error::invalid_value(format!("expected an object, got {}", other.type_name()))),
    }
}

/// Turns a map with one `$` key into the value it stands for; `None` where it is an ordinary map.
///
/// Operator documents such as `{"$gt": 1}` stay maps: only the tags are looked at.
fn untag(map: &Map) -> Option<Result<Value>> {
    let (tag, inner) = map.get_index(0)?;
    if map.len() == 1 { read_tag(tag, inner) } else { None }
}

/// The value that a tag and what stands behind it mean; `None` where it is no tag.
pub fn read_tag(tag: &str, inner: &Value) -> Option<Result<Value>> {
    let value = match (tag, inner) {
        ("$numberLong", Value::Text(text)) => text
            .parse()
            .map(Value::Int)
            .map_err(|_| Error::invalid_value(format!("expected a 64-bit integer, got {text:?}"))),
        ("$numberDouble", Value::Text(text)) => read_double(text),
        ("$numberDecimal", Value::Text(text)) => parse_decimal(text).map(Value::Decimal),
        ("$uuid", Value::Text(text)) => {
            text.parse().map(Value::Uuid).map_err(|_| Error::invalid_value(format!("expected a uuid, got {text:?}")))
        }
        ("$oid", Value::Text(text)) => text.parse().map(Value::ObjectId),
        ("$date", Value::Text(text)) => text.parse().map(Value::DateTime),
        ("$day", Value::Text(text)) => text.parse().map(Value::Date),
        ("$time", Value::Text(text)) => text.parse().map(Value::Time),
        ("$binary", Value::Map(binary)) => read_binary(binary),
        _ => return None,
    };
    Some(value)
}

fn read_double(text: &str) -> Result<Value> {
    match text {
        "NaN" => Ok(Value::Float(f64::NAN)),
        "Infinity" => Ok(Value::Float(f64::INFINITY)),
        "-Infinity" => Ok(Value::Float(f64::NEG_INFINITY)),
        _ => {
            text.parse().map(Value::Float).map_err(|_| Error::invalid_value(format!("expected a float, got {text:?}")))
        }
    }
}

fn read_binary(binary: &Map) -> Result<Value> {
    let text = binary.get("base64").and_then(Value::as_text);
    let bytes = text.and_then(|text| BASE64.decode(text).ok());
    bytes.map(Value::Bytes).ok_or_else(|| Error::invalid_value("expected base64 bytes in $binary"))
}

/// A serde seed for a [`Value`], for readers of tagged JSON that build something else around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed {
    fn deeper<E: serde::de::Error>(self) -> std::result::Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tagged json")
    }

    fn visit_bool<E>(self, truth: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> std::result::Result<Value, E> {
        let int = i64::try_from(number);
        int.map(Value::Int).map_err(|_| E::custom(format_args!("{number} does not fit a 64-bit signed integer")))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> std::result::Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or(0));
        while let Some(item) = items.next_element_seed(seed)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            map.insert(key, entries.next_value_seed(seed)?);
        }
        match untag(&map) {
            Some(value) => value.map_err(serde::de::Error::custom),
            None => Ok(Value::Map(map)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::value::{Date, DateTime, ObjectId, Time, Uuid};
    use proptest::prelude::*;

    /// Any value that the core can hold, four levels deep.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("nan is not equal to itself", |f| !f.is_nan()).prop_map(Value::Float),
            (any::<i64>(), -30_i64..30)
                .prop_map(|(d, s)| { Value::Decimal(super::super::BigDecimal::new(d.into(), s)) }),
            "[^\u{0}]{0,12}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Bytes),
            any::<u128>().prop_map(|n| Value::Uuid(Uuid::from_u128(n))),
            any::<[u8; 12]>().prop_map(|b| Value::ObjectId(ObjectId(b))),
            (-62_135_596_800_000_000_i64..253_402_300_800_000_000)
                .prop_map(|us| Value::DateTime(DateTime::from_micros(us).unwrap())),
            (-719_162..2_932_896).prop_map(|d| Value::Date(Date::from_days(d).unwrap())),
            (0_u32..24, 0_u32..60, 0_u32..60, 0_u32..1_000_000)
                .prop_map(|(h, m, s, us)| Value::Time(Time::from_clock(h, m, s, us).unwrap())),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec(("[a-z]{1,5}", inner), 0..6)
                    .prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_survives_text(value in any_value()) {
            prop_assert_eq!(read(to_string(&value).as_bytes()).unwrap(), value);
        }

        #[test]
        fn reading_never_panics(text in ".{0,80}") {
            let _ = read(text.as_bytes());
        }
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        for json in ["9223372036854775808", "{\"$date\":\"x\"}", "{\"$oid\":\"12\"}", "1 2", "\"\\ud800\"", "NaN"] {
            assert!(read(json.as_bytes()).is_err(), "{json}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(read(deep.as_bytes()).is_err());
    }

    #[test]
    fn operators_stay_maps() {
        let value = read(br#"{"$gt":{"$numberDecimal":"1.10"}}"#).unwrap();
        assert!(matches!(value.as_map().unwrap()["$gt"], Value::Decimal(_)));
    }
}
