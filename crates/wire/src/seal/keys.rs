//! Plaintexts and keys in SEAL streams: what a client reads from its own files.

use std::sync::Arc;

use hei_ckks::{Context, Plaintext, PublicKey, SecretKey};
use hei_ring::{Modulus, Ntt, Poly};
use zeroize::Zeroizing;

use super::chain::Chain;
use super::ciphertext::{PRNG_INFO, read_seed};
use super::frame::{HEADER, Members, ObjectHeader, Version};
use super::seed::SealSeed;
use super::source::Source;
use crate::error::{DecodeError, Incompatible, Reason};
use crate::policy;
use crate::read::{Reader, check_scale};

/// Octets of the members of a plaintext before its residues.
const PLAINTEXT_START: usize = 72;

/// A plaintext at any level of the context.
///
/// # Errors
/// [`DecodeError`]; [`SecretKey`](DecodeError::SecretKey) for one, which has the same format.
pub fn decode_plaintext(bytes: &[u8], context: &Arc<Context>) -> Result<Plaintext, DecodeError> {
    let chain = chain(context)?;
    let (parms_id, scale, poly) = decode_poly(bytes, context, &chain, context.data_count())?;
    if parms_id == chain.key {
        return Err(DecodeError::SecretKey);
    }
    Plaintext::new(context, poly, scale).map_err(|_| Reason::NonCanonical.into())
}

/// A secret key of the context's parameters, for the client that owns it.
///
/// # Errors
/// [`DecodeError`]; `coefficient_out_of_range` when the residues are not one ternary polynomial.
pub fn decode_secret_key(bytes: &[u8], context: &Arc<Context>) -> Result<SecretKey, DecodeError> {
    let chain = chain(context)?;
    let (parms_id, scale, poly) = decode_poly(bytes, context, &chain, chain.primes.len())?;
    if parms_id != chain.key || scale.to_bits() != 1f64.to_bits() {
        return Err(Reason::WrongKind.into());
    }
    SecretKey::from_ntt(context, poly).map_err(|_| Reason::CoefficientOutOfRange.into())
}

/// A public key of the context's parameters, full or seeded.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_public_key(bytes: &[u8], context: &Arc<Context>) -> Result<PublicKey, DecodeError> {
    let chain = chain(context)?;
    let full = pair_len(&chain, Version { major: 4, minor: 4 }, false);
    let (object, payload) = ObjectHeader::outer(bytes, full.saturating_add(full / 256).saturating_add(64))?;
    let content = object.content_len(payload)?;
    let version = object.version;
    let possible = |length| [false, true].iter().any(|seeded| length == pair_len(&chain, version, *seeded));
    if content.is_some_and(|length| !possible(length.saturating_add(HEADER))) {
        return Err(Reason::LengthMismatch.into());
    }
    let mut source = Source::new(payload, object.compression, content.unwrap_or(0))?;
    let members = read_members(&mut source, version)?;
    if members.parms_id != chain.key {
        let known = chain.data.contains(&members.parms_id);
        return Err(if known { Reason::WrongKind.into() } else { Incompatible::Params.into() });
    }
    let seeded = check_pair(&members, &mut source, version, &chain)?;
    let (b, mask) = read_pair(&mut source, version, context, &chain, seeded)?;
    source.finish()?;
    let a = mask.poly(context, &chain)?;
    policy::check_mask(&a)?;
    PublicKey::from_parts(context, b, a).ok_or_else(|| Reason::NonCanonical.into())
}

/// Octets of a public key or a digit of a key-switching key, its header included.
pub(crate) fn pair_len(chain: &Chain, version: Version, seeded: bool) -> u64 {
    let (parts, info) = if seeded { (1, PRNG_INFO) } else { (2, 0) };
    let words = chain.degree.saturating_mul(chain.primes.len() as u64).saturating_mul(parts);
    words.saturating_mul(8).saturating_add(HEADER + Members::encoded_len(version) + HEADER + 8 + info)
}

/// The members of a ciphertext, as far as they are sane without knowing the parameters.
pub(crate) fn read_members(source: &mut Source<'_>, version: Version) -> Result<Members, DecodeError> {
    let mut buffer = [0u8; 73];
    let start = buffer.get_mut(..Members::encoded_len(version) as usize).unwrap_or_default();
    source.read(start)?;
    Members::parse(&mut Reader::new(start), version)
}

/// The members of a pair at key level, then the header and the count of its array; whether it is seeded.
pub(crate) fn check_pair(
    members: &Members,
    source: &mut Source<'_>,
    version: Version,
    chain: &Chain,
) -> Result<bool, DecodeError> {
    let coherent = members.parms_id == chain.key
        && members.degree == chain.degree
        && members.primes == chain.primes.len() as u64
        && members.size == 2
        && members.ntt
        && members.scale.to_bits() == 1f64.to_bits();
    if !coherent {
        return Err(Reason::NonCanonical.into());
    }
    let words = chain.degree.saturating_mul(chain.primes.len() as u64);
    let nested = source.array()?;
    let count = source.u64()?;
    let seeded = count == words;
    if !seeded && Some(count) != words.checked_mul(2) {
        return Err(Reason::LengthMismatch.into());
    }
    ObjectHeader::parse_nested(nested, version, count.saturating_mul(8).saturating_add(HEADER + 8))?;
    Ok(seeded)
}

/// The second polynomial of a pair, as it was sent.
pub(crate) enum Mask {
    Full(Poly<Ntt>),
    Seed(SealSeed),
}

impl Mask {
    pub(crate) fn poly(self, context: &Context, chain: &Chain) -> Result<Poly<Ntt>, DecodeError> {
        match self {
            Self::Full(poly) => Ok(poly),
            Self::Seed(seed) => {
                Poly::from_data(context.degree(), seed.expand(context.degree(), &chain.primes))
                    .ok_or_else(|| Reason::LengthMismatch.into())
            }
        }
    }
}

/// The residues of a pair over all primes.
pub(crate) fn read_pair(
    source: &mut Source<'_>,
    version: Version,
    context: &Context,
    chain: &Chain,
    seeded: bool,
) -> Result<(Poly<Ntt>, Mask), DecodeError> {
    let degree = context.degree();
    let b = residues(source, degree, &chain.primes)?;
    let mask = if seeded {
        Mask::Seed(read_seed(source, version)?)
    } else {
        Mask::Full(residues(source, degree, &chain.primes)?)
    };
    Ok((b, mask))
}

pub(crate) fn chain(context: &Context) -> Result<Chain, DecodeError> {
    Chain::new(context).ok_or_else(|| Incompatible::Params.into())
}

fn residues(source: &mut Source<'_>, degree: usize, primes: &[u64]) -> Result<Poly<Ntt>, DecodeError> {
    // Wiped when reading stops half way: they may be those of a secret key.
    let mut words = Zeroizing::new(Vec::with_capacity(degree.saturating_mul(primes.len())));
    source.residues(degree, primes, &mut words)?;
    Poly::from_data(degree, core::mem::take(&mut *words)).ok_or_else(|| Reason::LengthMismatch.into())
}

/// A plaintext object: name of its level, scale and residues, which may be secret.
fn decode_poly(
    bytes: &[u8],
    context: &Context,
    chain: &Chain,
    max_limbs: usize,
) -> Result<([u8; 32], f64, Poly<Ntt>), DecodeError> {
    let largest = chain.degree.saturating_mul(max_limbs as u64).saturating_mul(8).saturating_add(128);
    let key_len =
        chain.degree.saturating_mul(chain.primes.len() as u64).saturating_mul(8).saturating_add(128);
    let max = largest.max(key_len);
    let (object, payload) = ObjectHeader::outer(bytes, max.saturating_add(max / 256))?;
    let content = object.content_len(payload)?;
    if content.is_some_and(|length| length > max) {
        return Err(Reason::LengthMismatch.into());
    }
    let mut source = Source::new(payload, object.compression, content.unwrap_or(0))?;
    let start: [u8; PLAINTEXT_START] = source.array()?;
    let mut reader = Reader::new(&start);
    let (parms_id, count, scale) = (reader.array()?, reader.u64()?, reader.f64()?);
    let nested = reader.array::<16>()?;
    let array_count = reader.u64()?;
    check_scale(scale)?;
    if !nested.starts_with(&[0x5e, 0xa1, 0x10]) {
        return Err(Reason::WrongKind.into());
    }
    let limbs = if parms_id == chain.key {
        chain.primes.len()
    } else {
        chain.data.iter().position(|id| *id == parms_id).ok_or(Incompatible::Params)?.saturating_add(1)
    };
    let words = chain.degree.saturating_mul(limbs as u64);
    if count != words || array_count != words {
        return Err(Reason::LengthMismatch.into());
    }
    if parms_id == chain.key && max_limbs < limbs {
        return Err(DecodeError::SecretKey);
    }
    ObjectHeader::parse_nested(nested, object.version, words.saturating_mul(8).saturating_add(HEADER + 8))?;
    if content.is_some_and(|length| length != words.saturating_mul(8).saturating_add(PLAINTEXT_START as u64))
    {
        return Err(Reason::LengthMismatch.into());
    }
    let primes: Vec<u64> = context.basis().moduli().take(limbs).map(Modulus::value).collect();
    let poly = residues(&mut source, context.degree(), &primes)?;
    source.finish()?;
    Ok((parms_id, scale, poly))
}
