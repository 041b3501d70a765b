//! Strict JSON: one parse that refuses whatever two readers could understand differently.
//!
//! UTF-8 without a byte-order mark, one document, no duplicate member names at any level, no lone surrogates,
//! no `NaN` or numbers beyond binary64, bounded depth and number of values. Strings without escapes borrow
//! from the body.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::tree::{Number, Value};

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 16;
/// Most values (scalars, arrays, objects and member names) in one body: what bounds the memory of a tree.
pub const MAX_VALUES: usize = 262_144;
/// Longest body that any parser of this crate reads; a server's own limit is far lower.
pub const MAX_BODY_BYTES: usize = 1 << 30;

/// Why a body is not a message at all. Says nothing of what the body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Longer than [`MAX_BODY_BYTES`].
    #[error("the body is longer than {MAX_BODY_BYTES} bytes; send a smaller one")]
    TooLong,
    /// The body starts with a byte-order mark.
    #[error("the body starts with a byte-order mark; send plain UTF-8")]
    ByteOrderMark,
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    InvalidUtf8,
    /// The body is not well-formed, ends early or goes on after its document.
    #[error("the body is not one well-formed document")]
    Malformed,
    /// A member name occurs twice in one object, or the keys of a CBOR map are out of order.
    #[error("a member name is repeated, or the keys of a map are out of order; send every name once")]
    DuplicateMember,
    /// Nested deeper than the profile allows.
    #[error("the body is nested deeper than the protocol allows")]
    TooDeep,
    /// More than [`MAX_VALUES`] values.
    #[error("the body holds more than {MAX_VALUES} values; split it")]
    TooManyValues,
    /// CBOR outside the deterministic profile: indefinite length, long head, tag, float, simple value.
    #[error("the body is CBOR outside the deterministic profile")]
    NotDeterministic,
}

impl SyntaxError {
    /// The token that a problem document carries as `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            SyntaxError::TooLong => "too_long",
            SyntaxError::ByteOrderMark => "byte_order_mark",
            SyntaxError::InvalidUtf8 => "invalid_utf8",
            SyntaxError::Malformed => "malformed",
            SyntaxError::DuplicateMember => "duplicate_member",
            SyntaxError::TooDeep => "too_deep",
            SyntaxError::TooManyValues => "too_many_values",
            SyntaxError::NotDeterministic => "not_deterministic",
        }
    }
}

/// Parses one JSON document.
pub fn parse(body: &[u8]) -> Result<Value<'_>, SyntaxError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(SyntaxError::TooLong);
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(SyntaxError::ByteOrderMark);
    }
    let text = std::str::from_utf8(body).map_err(|_| SyntaxError::InvalidUtf8)?;
    let state = State { values: Cell::new(0), refusal: Cell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Seed { state: &state, depth: 0 }
        .deserialize(&mut deserializer)
        .map_err(|_| state.refusal.get().unwrap_or(SyntaxError::Malformed))?;
    deserializer.end().map_err(|_| SyntaxError::Malformed)?;
    Ok(value)
}

/// Writes a tree as JSON, or `None` when it holds a byte string.
pub fn write(value: &Value<'_>) -> Option<Vec<u8>> {
    serde_json::to_vec(&Writer(value)).ok()
}

struct State {
    values: Cell<usize>,
    refusal: Cell<Option<SyntaxError>>,
}

impl State {
    fn refuse<E: serde::de::Error>(&self, why: SyntaxError) -> E {
        self.refusal.set(Some(why));
        E::custom("refused")
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let values = self.values.get() + 1;
        self.values.set(values);
        if values > MAX_VALUES { Err(self.refuse(SyntaxError::TooManyValues)) } else { Ok(()) }
    }
}

#[derive(Clone, Copy)]
struct Seed<'s> {
    state: &'s State,
    depth: usize,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.state.refuse(SyntaxError::TooDeep));
        }
        Ok(Seed { state: self.state, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value<'de>, E> {
        self.state.count()?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value<'de>, E> {
        self.state.count()?;
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value<'de>, E> {
        self.state.count()?;
        Ok(Value::Number(Number::Unsigned(value)))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value<'de>, E> {
        self.state.count()?;
        Ok(Value::Number(match u64::try_from(value) {
            Ok(value) => Number::Unsigned(value),
            Err(_) => Number::Negative(value),
        }))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value<'de>, E> {
        self.state.count()?;
        if !value.is_finite() {
            return Err(E::custom("not finite"));
        }
        Ok(Value::Number(Number::Float(value)))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        self.state.count()?;
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value<'de>, E> {
        self.state.count()?;
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        self.state.count()?;
        let inner = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(inner)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        self.state.count()?;
        let inner = self.deeper()?;
        let mut members = Vec::new();
        while let Some(name) = access.next_key_seed(NameSeed)? {
            self.state.count()?;
            members.push((name, access.next_value_seed(inner)?));
        }
        if has_duplicate(&members) {
            return Err(self.state.refuse(SyntaxError::DuplicateMember));
        }
        Ok(Value::Object(members))
    }
}

fn has_duplicate(members: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

/// Reads a member name, borrowing it where it has no escapes.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct Writer<'v, 'a>(&'v Value<'a>);

impl serde::Serialize for Writer<'_, '_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(Number::Unsigned(value)) => serializer.serialize_u64(*value),
            Value::Number(Number::Negative(value)) => serializer.serialize_i64(*value),
            Value::Number(Number::Float(value)) if value.is_finite() => serializer.serialize_f64(*value),
            Value::Number(Number::Float(_)) => Err(serde::ser::Error::custom("not finite")),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(_) => Err(serde::ser::Error::custom("JSON has no byte strings")),
            Value::Array(elements) => serializer.collect_seq(elements.iter().map(Writer)),
            Value::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name.as_ref(), Writer(value))))
            }
        }
    }
}
