//! JSON of the host as the tagged JSON that a column holds.

use std::fmt;

use farm_db_core::Value;
use farm_db_core::schema::FieldType;
use farm_db_core::value::tagged::{self, MAX_DEPTH, Writer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::intake::{exact_float, is_kept};

type Outcome<T, E> = std::result::Result<T, E>;

/// Writes one value as it is.
pub(crate) struct Transcribe<'a> {
    kind: &'a FieldType,
    nullable: bool,
    depth: usize,
    out: &'a mut Vec<u8>,
    is_exact: &'a mut bool,
}

impl<'a> Transcribe<'a> {
    /// Appends the tagged JSON of a value; whether it is of exactly this type, through and through, so that no rule and no
    /// database changes anything.
    pub(crate) fn run<'de, D: Deserializer<'de>>(
        kind: &'a FieldType,
        out: &'a mut Vec<u8>,
        deserializer: D,
    ) -> Outcome<bool, D::Error> {
        let mut is_exact = true;
        Transcribe { kind, nullable: true, depth: 0, out, is_exact: &mut is_exact }.deserialize(deserializer)?;
        Ok(is_exact)
    }

    fn fits(&mut self, fits: bool) {
        *self.is_exact &= fits || matches!(self.kind, FieldType::Any);
    }

    fn value(&mut self, value: &Value) {
        tagged::write(value, self.out);
    }

    /// What writes the elements of this container.
    fn inner<E: serde::de::Error>(&mut self, is_list: bool) -> Outcome<Transcribe<'_>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        let inner = match self.kind {
            FieldType::List(inner) if is_list => Some(&**inner),
            FieldType::Map(inner) if !is_list => Some(&**inner),
            _ => None,
        };
        self.fits(inner.is_some());
        let (kind, nullable) = inner.map_or((&FieldType::Any, true), |inner| (&inner.kind, inner.nullable));
        Ok(Transcribe { kind, nullable, depth: self.depth + 1, out: self.out, is_exact: self.is_exact })
    }

    fn again(&mut self) -> Transcribe<'_> {
        let Self { kind, nullable, depth, .. } = *self;
        Transcribe { kind, nullable, depth, out: self.out, is_exact: self.is_exact }
    }

    /// Ends a container, whose elements have a comma behind them.
    fn close(&mut self, sign: u8) {
        match self.out.last_mut() {
            Some(last @ b',') => *last = sign,
            _ => self.out.push(sign),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Transcribe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Outcome<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcribe<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(mut self) -> Outcome<(), E> {
        self.fits(self.nullable);
        self.value(&Value::Null);
        Ok(())
    }

    fn visit_bool<E>(mut self, truth: bool) -> Outcome<(), E> {
        self.fits(matches!(self.kind, FieldType::Bool));
        self.value(&Value::Bool(truth));
        Ok(())
    }

    fn visit_i64<E>(mut self, number: i64) -> Outcome<(), E> {
        if let (FieldType::Float, Some(number)) = (self.kind, exact_float(number)) {
            self.value(&Value::Float(number));
        } else {
            self.fits(matches!(self.kind, FieldType::Int));
            self.value(&Value::Int(number));
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Outcome<(), E> {
        self.visit_i64(i64::try_from(number).map_err(E::custom)?)
    }

    fn visit_f64<E>(mut self, number: f64) -> Outcome<(), E> {
        self.fits(matches!(self.kind, FieldType::Float));
        *self.is_exact &= is_kept(number);
        self.value(&Value::Float(number));
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Outcome<(), E> {
        self.fits(matches!(self.kind, FieldType::Text));
        *self.is_exact &= Writer::new(self.out).text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Outcome<(), A::Error> {
        let mut inner = self.inner(true)?;
        inner.out.push(b'[');
        while items.next_element_seed(inner.again())?.is_some() {
            inner.out.push(b',');
        }
        inner.close(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Outcome<(), A::Error> {
        let mut inner = self.inner(false)?;
        inner.out.push(b'{');
        while entries.next_key_seed(Key(inner.again()))?.is_some() {
            entries.next_value_seed(inner.again())?;
            inner.out.push(b',');
        }
        inner.close(b'}');
        Ok(())
    }
}

/// Writes a key; those that documents may not have, tags among them, need a look at the value.
struct Key<'a>(Transcribe<'a>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Outcome<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Outcome<(), E> {
        let is_fit = !key.is_empty() && !key.starts_with('$') && !key.as_bytes().contains(&b'.');
        *self.0.is_exact &= Writer::new(self.0.out).text(key) && is_fit;
        self.0.out.push(b':');
        Ok(())
    }
}
