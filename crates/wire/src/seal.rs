//! Microsoft SEAL's streams, read strictly and written in the one form every current SEAL reads.
//!
//! Read: versions 3.6, 3.7 and 4.0 to 4.4, uncompressed, zlib or zstd. Written: version 3.7, uncompressed.

mod blake2;
mod chain;
mod ciphertext;
mod encode;
mod frame;
mod inspect;
mod keys;
mod parameters;
mod seed;
mod source;
mod switch_keys;
mod write_keys;
mod zstd;

pub use chain::parms_id;
pub use ciphertext::{Expected, Header};
pub use encode::{
    encode_ciphertext, encode_ciphertext_seeded, encode_parameters, encode_plaintext, encode_public_key,
    encode_public_key_seeded, encode_secret_key,
};
pub use frame::{Compression, Version};
pub(crate) use inspect::{inspect, members_start};
pub use keys::{decode_plaintext, decode_public_key, decode_secret_key};
pub use parameters::{SealParameters, decode_parameters};
pub use seed::SealSeed;
pub use switch_keys::{decode_evaluation_keys, decode_galois_keys, decode_relin_keys};
pub(crate) use switch_keys::{max_keys_len, written_keys_len};
pub use write_keys::{
    encode_galois_keys, encode_galois_keys_seeded, encode_relin_keys, encode_relin_keys_seeded,
};

use crate::error::DecodeError;
use crate::policy;
use crate::shape::Shape;
use hei_ckks::Ciphertext;

/// One ciphertext, through all stages and the policy check.
///
/// # Errors
/// [`DecodeError`]; `bad_magic` for a shape that SEAL streams do not have.
pub fn decode_ciphertext(bytes: &[u8], shape: &Shape) -> Result<Ciphertext, DecodeError> {
    let expected = Expected::new(shape).ok_or(crate::Reason::BadMagic)?;
    let header = Header::parse(bytes, &expected)?;
    header.check(&expected)?;
    header.check_length(&expected)?;
    let ciphertext = header.decode(&expected)?;
    policy::check_ciphertext(&ciphertext)?;
    Ok(ciphertext)
}

/// Octets of this shape as written here; 0 for what SEAL streams do not have.
pub(crate) fn written_len(shape: &Shape, seeded: bool) -> u64 {
    Expected::new(shape).map_or(0, |expected| expected.object_len(Version::WRITTEN, seeded))
}

/// Octets of the largest legal encoding; 0 for what SEAL streams do not have.
pub(crate) fn max_len(shape: &Shape) -> u64 {
    Expected::new(shape).map_or(0, |expected| expected.max_len())
}
