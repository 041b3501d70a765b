//! Writing: maps are sorted by the encoding of their keys, heads are the shortest.

use crate::tree::{Number, Value};

/// A tree that the profile has no bytes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborWriteError {
    /// The profile has no floats; an integer written as one is not repaired silently.
    #[error("the CBOR profile has no floating-point numbers")]
    Float,
    /// An object has the same member name twice.
    #[error("an object has the same member name twice")]
    DuplicateMember,
}

/// Writes a tree in the deterministic profile.
pub fn write(value: &Value<'_>) -> Result<Vec<u8>, CborWriteError> {
    let mut out = Vec::with_capacity(size_hint(value));
    item(&mut out, value)?;
    Ok(out)
}

/// An upper bound of the encoded size, so that a body of megabytes is allocated once.
fn size_hint(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len() + 9,
        Value::Bytes(bytes) => bytes.len() + 9,
        Value::Array(elements) => 9 + elements.iter().map(size_hint).sum::<usize>(),
        Value::Object(members) => {
            9 + members.iter().map(|(name, value)| name.len() + 9 + size_hint(value)).sum::<usize>()
        }
        _ => 9,
    }
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    let (info, width) = match argument {
        0..=23 => (argument as u8, 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.push(major | info);
    out.extend(bytes.iter().skip(8 - width));
}

fn item(out: &mut Vec<u8>, value: &Value<'_>) -> Result<(), CborWriteError> {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Number(Number::Unsigned(value)) => head(out, 0, *value),
        Value::Number(Number::Negative(value)) => match u64::try_from(*value) {
            Ok(value) => head(out, 0, value),
            Err(_) => head(out, 1, !value.cast_unsigned()),
        },
        Value::Number(Number::Float(_)) => return Err(CborWriteError::Float),
        Value::Bytes(bytes) => {
            head(out, 2, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Value::Text(text) => self::text(out, text),
        Value::Array(elements) => {
            head(out, 4, elements.len() as u64);
            for element in elements {
                item(out, element)?;
            }
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().map(|(name, value)| (name.as_ref(), value)).collect();
            // Bytewise order of the encoded keys: the shorter key first, then by its bytes.
            sorted.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
            if sorted.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
                return Err(CborWriteError::DuplicateMember);
            }
            head(out, 5, sorted.len() as u64);
            for (name, value) in sorted {
                text(out, name);
                item(out, value)?;
            }
        }
    }
    Ok(())
}

fn text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
