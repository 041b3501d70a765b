//! Numbers that JSON writes without a fraction when they are whole: `16384`, never `16384.0`.

use serde::{Deserialize, Deserializer, Serializer};

/// Magnitude up to which a whole number is written as an integer: everything a reader with 64-bit integers
/// takes.
const LARGEST_WHOLE: f64 = 9_223_372_036_854_774_784.0;

/// Writes a number for `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() <= LARGEST_WHOLE {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// Reads any number for `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    f64::deserialize(deserializer)
}
