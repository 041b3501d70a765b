//! Values to SEAL streams: version 3.7, uncompressed.

use std::sync::Arc;

use hei_ckks::{Ciphertext, Context, Plaintext, PublicKey, SecretKey};
use hei_ring::{Ntt, Poly};
use zeroize::Zeroizing;

use super::chain::Chain;
use super::ciphertext::PRNG_INFO;
use super::frame::{HEADER, Members, ObjectHeader, Version};
use super::parameters::{MODULUS, members_len};
use super::seed::SealSeed;
use crate::error::EncodeError;

/// The parameters of a context.
///
/// # Errors
/// [`EncodeError::SpecialPrimes`] unless there is exactly one special prime.
pub fn encode_parameters(context: &Context) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    let count = chain.primes.len() as u64;
    let mut out = Vec::new();
    ObjectHeader::write(HEADER + members_len(count), &mut out);
    out.push(2);
    out.extend_from_slice(&chain.degree.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    // CKKS has no plain modulus; its place holds 0.
    for value in chain.primes.iter().chain(&[0]) {
        ObjectHeader::write(MODULUS, &mut out);
        out.extend_from_slice(&value.to_le_bytes());
    }
    Ok(out)
}

/// A plaintext.
///
/// # Errors
/// [`EncodeError`] for a value of another context, or one SEAL has no form for.
pub fn encode_plaintext(plaintext: &Plaintext, context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    let limbs = plaintext.level() + 1;
    let parms_id = level(&chain, limbs)?;
    let mut out = Vec::new();
    write_plaintext(plaintext.poly(), parms_id, plaintext.scale(), (&chain, limbs), &mut out)?;
    Ok(out)
}

/// A secret key, for the client's own use in SEAL programs. Wiped on drop; never send it.
///
/// # Errors
/// [`EncodeError`] for a key of another context, or parameters SEAL has no form for.
pub fn encode_secret_key(key: &SecretKey, context: &Arc<Context>) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let chain = chain(context)?;
    let limbs = chain.primes.len();
    // Reserved once: growing would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(key.ntt().data().len() * 8 + 88));
    write_plaintext(key.ntt(), chain.key, 1.0, (&chain, limbs), &mut out)?;
    Ok(out)
}

/// A ciphertext in full.
///
/// # Errors
/// [`EncodeError`] for a value of another context, or one SEAL has no form for.
pub fn encode_ciphertext(ciphertext: &Ciphertext, context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    let limbs = ciphertext.level() + 1;
    let parms_id = level(&chain, limbs)?;
    let parts: Vec<&Poly<Ntt>> = ciphertext.parts().iter().collect();
    write_ciphertext(&parts, None, parms_id, ciphertext.scale(), (&chain, limbs))
}

/// A ciphertext whose mask is the expansion of a SEAL seed.
///
/// # Errors
/// [`EncodeError::SeedMismatch`] when it is not; else as [`encode_ciphertext`].
pub fn encode_ciphertext_seeded(
    ciphertext: &Ciphertext,
    seed: &SealSeed,
    context: &Arc<Context>,
) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    let limbs = ciphertext.level() + 1;
    let parms_id = level(&chain, limbs)?;
    let [c0, c1] = ciphertext.parts() else { return Err(EncodeError::NotSeeded) };
    check_seed(seed, c1, chain.primes.get(..limbs).unwrap_or_default())?;
    write_ciphertext(&[c0], Some(seed), parms_id, ciphertext.scale(), (&chain, limbs))
}

/// A public key in full.
///
/// # Errors
/// [`EncodeError`] for a key of another context, or parameters SEAL has no form for.
pub fn encode_public_key(key: &PublicKey, context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    let (b, a) = key.parts();
    write_ciphertext(&[b, a], None, chain.key, 1.0, (&chain, chain.primes.len()))
}

/// A public key whose mask is the expansion of a SEAL seed.
///
/// # Errors
/// [`EncodeError::SeedMismatch`] when it is not; else as [`encode_public_key`].
pub fn encode_public_key_seeded(
    key: &PublicKey,
    seed: &SealSeed,
    context: &Arc<Context>,
) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    let (b, a) = key.parts();
    check_seed(seed, a, &chain.primes)?;
    write_ciphertext(&[b], Some(seed), chain.key, 1.0, (&chain, chain.primes.len()))
}

pub(crate) fn chain(context: &Context) -> Result<Chain, EncodeError> {
    Chain::new(context).ok_or_else(|| EncodeError::SpecialPrimes(context.special_count()))
}

fn level(chain: &Chain, limbs: usize) -> Result<[u8; 32], EncodeError> {
    let (expected, degree) = (chain.data.len(), chain.degree as usize);
    chain.level(limbs).ok_or(EncodeError::Basis { actual: limbs, expected, degree })
}

fn check_seed(seed: &SealSeed, mask: &Poly<Ntt>, primes: &[u64]) -> Result<(), EncodeError> {
    if seed.expand(mask.degree(), primes) == mask.data() { Ok(()) } else { Err(EncodeError::SeedMismatch) }
}

/// Residues as an array object, each below its prime.
fn write_words(
    polys: &[&Poly<Ntt>],
    (chain, limbs): (&Chain, usize),
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let count: usize = polys.iter().map(|poly| poly.data().len()).sum();
    ObjectHeader::write(HEADER + 8 + 8 * count as u64, out);
    out.extend_from_slice(&(count as u64).to_le_bytes());
    for poly in polys {
        if poly.degree() as u64 != chain.degree || poly.limbs() != limbs {
            return Err(EncodeError::Basis { actual: poly.limbs(), expected: limbs, degree: poly.degree() });
        }
        for (limb, q) in poly.iter().zip(&chain.primes) {
            for word in limb {
                if word >= q {
                    return Err(EncodeError::OutOfRange);
                }
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }
    Ok(())
}

fn write_plaintext(
    poly: &Poly<Ntt>,
    parms_id: [u8; 32],
    scale: f64,
    basis: (&Chain, usize),
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let count = poly.data().len() as u64;
    out.reserve(count as usize * 8 + 88);
    ObjectHeader::write(88 + 8 * count, out);
    out.extend_from_slice(&parms_id);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&scale.to_le_bytes());
    write_words(&[poly], basis, out)
}

fn write_ciphertext(
    stored: &[&Poly<Ntt>],
    seed: Option<&SealSeed>,
    parms_id: [u8; 32],
    scale: f64,
    (chain, limbs): (&Chain, usize),
) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    put_ciphertext(stored, seed, parms_id, scale, (chain, limbs), &mut out)?;
    Ok(out)
}

/// Appends a ciphertext object.
pub(crate) fn put_ciphertext(
    stored: &[&Poly<Ntt>],
    seed: Option<&SealSeed>,
    parms_id: [u8; 32],
    scale: f64,
    (chain, limbs): (&Chain, usize),
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let words: u64 = stored.iter().map(|poly| poly.data().len() as u64).sum();
    let info = if seed.is_some() { PRNG_INFO } else { 0 };
    let size = HEADER + Members::encoded_len(Version::WRITTEN) + HEADER + 8 + 8 * words + info;
    let parts = stored.len() as u64 + u64::from(seed.is_some());
    out.reserve(size as usize);
    ObjectHeader::write(size, out);
    out.extend_from_slice(&parms_id);
    out.push(1);
    for word in [parts, chain.degree, limbs as u64] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&scale.to_le_bytes());
    write_words(stored, (chain, limbs), out)?;
    if let Some(seed) = seed {
        let (generator, seed) = match seed {
            SealSeed::Blake2xb(seed) => (1, seed),
            SealSeed::Shake256(seed) => (2, seed),
        };
        ObjectHeader::write(PRNG_INFO, out);
        out.push(generator);
        out.extend_from_slice(seed);
    }
    Ok(())
}
