//! Bytes to CKKS values and back: the `hei/1` container and SEAL streams, strictly decoded.
//!
//! Every byte is hostile until proven otherwise. A container is accepted when it equals the one [`Shape`] expected at
//! that place, not when it would be valid somewhere; lengths are `u64` until they are checked; nothing is allocated
//! from a field before the field has been compared with the shape. A refusal says which rule was broken
//! ([`DecodeError`]) and never what the bytes were.
//!
//! Decoding runs in stages, because the order of refusals is part of the protocol: magic, version, kind and numeric
//! sanity; then the header against the shape; then the exact length; then the body; then policy. [`decode_inputs`]
//! takes all inputs of a request through one stage before any enters the next. [`decode_evaluation_keys`] takes exactly
//! the keys of a manifest ([`KeyShape`]), no fewer, no more, and none for a higher level.
//!
//! The formats are specified in `spec/wire.md`.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod error;
pub mod hei;
mod inputs;
mod inspect;
mod keys;
mod policy;
mod read;
pub mod seal;
mod secret;
mod shape;

pub use error::{DecodeError, EncodeError, Incompatible, KeyError, Policy, Reason};
pub use inputs::{Input, InputError, decode_inputs};
pub use inspect::{Description, inspect};
pub use keys::{KeyShape, decode_evaluation_keys};
pub use secret::{SECRET_KEY_PREFIX, is_secret_key, may_be_compressed};
pub use shape::{Form, Kind, Shape};

use core::fmt;
use core::str::FromStr;
use zeroize::Zeroize;

/// The formats a ciphertext can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The project's own container.
    Hei,
    /// A bare Microsoft SEAL stream.
    Seal,
}

impl Format {
    /// The name used in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hei => "hei/1",
            Self::Seal => "seal",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a ciphertext format; there are \"hei/1\" and \"seal\"")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "hei/1" => Ok(Self::Hei),
            "seal" => Ok(Self::Seal),
            _ => Err(UnknownFormat),
        }
    }
}

/// The format of some bytes, by their first bytes. Says nothing about whether they are well formed.
pub fn detect(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(&hei::header::MAGIC) {
        Some(Format::Hei)
    } else if bytes.starts_with(&[0x5e, 0xa1]) {
        Some(Format::Seal)
    } else {
        None
    }
}

/// Overwrites bytes that turned out to be a secret.
pub fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}
