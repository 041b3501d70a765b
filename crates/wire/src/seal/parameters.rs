//! Encryption parameters in SEAL streams.

use super::frame::{HEADER, ObjectHeader};
use super::source::Source;
use crate::error::{DecodeError, Reason};
use crate::read::Reader;

const SCHEME_CKKS: u8 = 2;
/// Octets of a modulus object.
pub(crate) const MODULUS: u64 = 24;
const MAX_PRIMES: u64 = 64;

/// A CKKS parameter set as SEAL names it. Nothing here is checked for security: give the primes to
/// [`hei_ckks::Parameters::from_primes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealParameters {
    /// N.
    pub degree: u64,
    /// Data primes in order, the special prime last.
    pub primes: Vec<u64>,
}

/// Octets of the members for `primes` primes.
pub(crate) fn members_len(primes: u64) -> u64 {
    17 + MODULUS * (primes + 1)
}

/// Reads CKKS parameters, compressed or not.
///
/// # Errors
/// [`DecodeError::Invalid`]; `wrong_kind` for another scheme.
pub fn decode_parameters(bytes: &[u8]) -> Result<SealParameters, DecodeError> {
    let (object, payload) = ObjectHeader::outer(bytes, HEADER + 2 * members_len(MAX_PRIMES))?;
    let content = object.content_len(payload)?;
    if content.is_some_and(|length| length > members_len(MAX_PRIMES)) {
        return Err(Reason::LengthMismatch.into());
    }
    let mut source = Source::new(payload, object.compression, content.unwrap_or(0))?;
    let start: [u8; 17] = source.array()?;
    let mut reader = Reader::new(&start);
    let (scheme, degree, count) = (reader.u8()?, reader.u64()?, reader.u64()?);
    if scheme != SCHEME_CKKS {
        return Err(Reason::WrongKind.into());
    }
    if !degree.is_power_of_two() || !(2..=131_072).contains(&degree) || !(1..=MAX_PRIMES).contains(&count) {
        return Err(Reason::NonCanonical.into());
    }
    if content.is_some_and(|length| length != members_len(count)) {
        return Err(Reason::LengthMismatch.into());
    }
    let mut primes = Vec::new();
    for _ in 0..count {
        source.nested(object.version, MODULUS)?;
        let prime = source.u64()?;
        if !(3..1 << 61).contains(&prime) {
            return Err(Reason::CoefficientOutOfRange.into());
        }
        primes.push(prime);
    }
    source.nested(object.version, MODULUS)?;
    if source.u64()? != 0 {
        return Err(Reason::NonCanonical.into());
    }
    source.finish()?;
    Ok(SealParameters { degree, primes })
}
