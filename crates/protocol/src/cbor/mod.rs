//! The deterministic CBOR profile (RFC 8949, section 4.2.1) and nothing else of CBOR.
//!
//! Integers, byte strings, text strings, arrays, maps with text keys, `false`, `true` and `null`; definite
//! lengths, shortest heads, map keys unique and in bytewise order of their encoding; no tags, no floats, no
//! other simple values; depth at most [`MAX_DEPTH`]. A decoder that checks a profile is short enough to read
//! in one sitting, which is why it is written here rather than wrapped around a general one.

mod decode;
mod encode;

pub use decode::parse;
pub use encode::{CborWriteError, write};

/// Deepest nesting of arrays and maps.
pub const MAX_DEPTH: usize = 8;
