//! The one tree that every message becomes, whatever it was written in.
//!
//! Text and bytes borrow from the body they were read from wherever that is possible, so a request of many
//! megabytes is not copied on its way to the decoder of its payloads.

use std::borrow::Cow;

/// A number as it was read. Integers keep their exact value; everything else is binary64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A non-negative integer below 2^64.
    Unsigned(u64),
    /// A negative integer not below -2^63.
    Negative(i64),
    /// A number written with a fraction or an exponent, or an integer outside the two ranges above.
    Float(f64),
}

/// Largest magnitude for which a binary64 number stands for exactly one integer.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// The number as an unsigned integer, by JSON Schema's rule that `1.0` and `1e0` are the integer 1.
    pub fn as_u64(self) -> Option<u64> {
        match self {
            Number::Unsigned(value) => Some(value),
            Number::Negative(_) => None,
            Number::Float(value) if value.fract() == 0.0 && (0.0..EXACT_INTEGERS).contains(&value) => {
                Some(value as u64)
            }
            Number::Float(_) => None,
        }
    }

    /// The number as binary64; integers beyond 2^53 are rounded to the nearest.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Unsigned(value) => value as f64,
            Number::Negative(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

/// One value of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text string.
    Text(Cow<'a, str>),
    /// A byte string; JSON has none.
    Bytes(Cow<'a, [u8]>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object, members in the order they were read. Names are unique in every parsed tree.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The member `name` of an object.
    pub fn member(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&'static str, Value<'a>); N]) -> Self {
        Value::Object(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// The text of a text string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The value of an unsigned integer, `1.0` included.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The value of a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(number.as_f64()),
            _ => None,
        }
    }

    /// Detaches the tree from the body it borrows from, copying what it still shares.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(value) => Value::Number(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Array(elements) => Value::Array(elements.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// The tree of a JSON value. Text is borrowed.
    pub fn from_json(json: &'a serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => Value::Number(from_json_number(number)),
            serde_json::Value::String(text) => Value::Text(Cow::Borrowed(text)),
            serde_json::Value::Array(elements) => {
                Value::Array(elements.iter().map(Value::from_json).collect())
            }
            serde_json::Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| (Cow::Borrowed(name.as_str()), Value::from_json(value)))
                    .collect(),
            ),
        }
    }

    /// The JSON projection that a schema sees.
    ///
    /// A byte string is projected as the empty string when it is the member `payload` (a schema says of a
    /// payload that it is text; what it holds is the decoder's business) and as `null`, which no schema of
    /// this protocol accepts, anywhere else. Text longer than [`LONG_TEXT`] bytes is cut to that many: the
    /// schemas bound every other string well below, so a cut string still breaks its bound, and a payload is
    /// bounded by the size of the body.
    pub fn project(&self) -> serde_json::Value {
        self.project_as(false)
    }

    fn project_as(&self, payload: bool) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(number) => to_json_number(*number),
            Value::Text(text) => serde_json::Value::String(cut(text).to_owned()),
            Value::Bytes(_) if payload => serde_json::Value::String(String::new()),
            Value::Bytes(_) => serde_json::Value::Null,
            Value::Array(elements) => {
                serde_json::Value::Array(elements.iter().map(|element| element.project_as(false)).collect())
            }
            Value::Object(members) => serde_json::Value::Object(
                members
                    .iter()
                    .map(|(name, value)| (cut(name).to_owned(), value.project_as(name == "payload")))
                    .collect(),
            ),
        }
    }

    /// The JSON value with every text whole. `None` when the tree holds a byte string, which JSON lacks.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(number) => to_json_number(*number),
            Value::Text(text) => serde_json::Value::String(text.clone().into_owned()),
            Value::Bytes(_) => return None,
            Value::Array(elements) => {
                serde_json::Value::Array(elements.iter().map(Value::to_json).collect::<Option<_>>()?)
            }
            Value::Object(members) => {
                let mut object = serde_json::Map::new();
                for (name, value) in members {
                    object.insert(name.clone().into_owned(), value.to_json()?);
                }
                serde_json::Value::Object(object)
            }
        })
    }
}

impl From<&'static str> for Value<'_> {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Value::Number(Number::Unsigned(value))
    }
}

/// Text beyond this many bytes is cut in [`Value::project`].
pub const LONG_TEXT: usize = 65_536;

fn cut(text: &str) -> &str {
    if text.len() <= LONG_TEXT {
        return text;
    }
    text.get(..text.floor_char_boundary(LONG_TEXT)).unwrap_or_default()
}

fn from_json_number(number: &serde_json::Number) -> Number {
    if let Some(value) = number.as_u64() {
        Number::Unsigned(value)
    } else if let Some(value) = number.as_i64() {
        Number::Negative(value)
    } else {
        Number::Float(number.as_f64().unwrap_or_default())
    }
}

fn to_json_number(number: Number) -> serde_json::Value {
    match number {
        Number::Unsigned(value) => serde_json::Value::from(value),
        Number::Negative(value) => serde_json::Value::from(value),
        Number::Float(value) => serde_json::Value::from(value),
    }
}
