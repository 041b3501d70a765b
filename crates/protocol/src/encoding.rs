//! Payload encodings: `hex` and `base64` in JSON, `binary` in CBOR. Each octet string has exactly one
//! accepted text per encoding, but for the case of hex digits.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How the octets of a payload are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Two hexadecimal digits per octet; either case is read, lower case is written.
    Hex,
    /// RFC 4648, section 4: padded, canonical, without white space.
    Base64,
    /// A CBOR byte string.
    Binary,
}

/// Why a payload is not what its `encoding` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// An odd number of hexadecimal digits.
    #[error("the payload has an odd number of hexadecimal digits")]
    OddLength,
    /// A character that is not a hexadecimal digit.
    #[error("the payload has a character that is not a hexadecimal digit")]
    InvalidHex,
    /// Not canonical base64: wrong alphabet, missing padding, white space or set trailing bits.
    #[error("the payload is not canonical, padded base64 of RFC 4648, section 4")]
    InvalidBase64,
    /// `binary` in JSON, or `hex` or `base64` in CBOR, or a CBOR payload that is text.
    #[error("this encoding is not allowed in this media type")]
    NotAllowed,
}

impl EncodingError {
    /// The token that a problem document carries as `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            EncodingError::OddLength => "odd_length",
            EncodingError::InvalidHex => "invalid_hex",
            EncodingError::InvalidBase64 => "invalid_base64",
            EncodingError::NotAllowed => "not_allowed",
        }
    }
}

impl Encoding {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
            Encoding::Binary => "binary",
        }
    }

    /// The encoding of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "hex" => Some(Encoding::Hex),
            "base64" => Some(Encoding::Base64),
            "binary" => Some(Encoding::Binary),
            _ => None,
        }
    }

    /// Length of `octets` octets in this encoding; saturates.
    pub fn encoded_len(self, octets: u64) -> u64 {
        match self {
            Encoding::Hex => octets.saturating_mul(2),
            Encoding::Base64 => octets.div_ceil(3).saturating_mul(4),
            Encoding::Binary => octets,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Writes octets as lower-case hex.
pub fn to_hex(octets: &[u8]) -> String {
    faster_hex::hex_string(octets)
}

/// Reads hex of either case.
pub fn from_hex(text: &str) -> Result<Vec<u8>, EncodingError> {
    if !text.len().is_multiple_of(2) {
        return Err(EncodingError::OddLength);
    }
    let mut octets = vec![0; text.len() / 2];
    faster_hex::hex_decode(text.as_bytes(), &mut octets).map_err(|_| EncodingError::InvalidHex)?;
    Ok(octets)
}

/// Writes octets as padded base64.
pub fn to_base64(octets: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(octets)
}

/// Reads canonical, padded base64.
pub fn from_base64(text: &str) -> Result<Vec<u8>, EncodingError> {
    base64_simd::STANDARD.decode_to_vec(text.as_bytes()).map_err(|_| EncodingError::InvalidBase64)
}

/// Decodes the text of a payload.
pub fn decode(encoding: Encoding, text: &str) -> Result<Vec<u8>, EncodingError> {
    match encoding {
        Encoding::Hex => from_hex(text),
        Encoding::Base64 => from_base64(text),
        Encoding::Binary => Err(EncodingError::NotAllowed),
    }
}

/// Encodes octets as the text of a payload; `None` for `binary`, which is not text.
pub fn encode(encoding: Encoding, octets: &[u8]) -> Option<Cow<'static, str>> {
    match encoding {
        Encoding::Hex => Some(Cow::Owned(to_hex(octets))),
        Encoding::Base64 => Some(Cow::Owned(to_base64(octets))),
        Encoding::Binary => None,
    }
}
