//! Evaluation keys to SEAL streams: version 3.7, uncompressed, full or seeded.

use hei_ckks::{Context, GaloisKeys, RandomSource, RelinKey, SecretKey, SwitchKey};
use hei_ring::{Modulus, Poly};

use super::chain::Chain;
use super::encode::{chain, put_ciphertext};
use super::frame::{HEADER, ObjectHeader};
use super::seed::SealSeed;
use crate::error::EncodeError;

/// A `RelinKeys` stream, in full.
///
/// # Errors
/// [`EncodeError`] for a key of another context or for a lower level, or parameters SEAL has no form for.
pub fn encode_relin_keys(key: &RelinKey, context: &Context) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    stream(&chain, context, 1, |_, out| put_key(&key.0, (context, &chain), out).map(|()| true))
}

/// A `RelinKeys` stream with masks from fresh seeds: half the size. The key on the wire is another than `key`, for the
/// same secret.
///
/// # Errors
/// As [`encode_relin_keys`], and [`EncodeError::Randomness`].
pub fn encode_relin_keys_seeded(
    key: &RelinKey,
    secret: &SecretKey,
    randomness: &mut impl RandomSource,
) -> Result<Vec<u8>, EncodeError> {
    let context = &**secret.context();
    let chain = chain(context)?;
    stream(&chain, context, 1, |_, out| {
        put_key_seeded(&key.0, secret, &chain, randomness, out).map(|()| true)
    })
}

/// A `GaloisKeys` stream, in full.
///
/// # Errors
/// As [`encode_relin_keys`].
pub fn encode_galois_keys(keys: &GaloisKeys, context: &Context) -> Result<Vec<u8>, EncodeError> {
    let chain = chain(context)?;
    stream(&chain, context, chain.degree, |slot, out| match key_of(keys, slot, context) {
        Some(key) => put_key(&key, (context, &chain), out).map(|()| true),
        None => Ok(false),
    })
}

/// A `GaloisKeys` stream with masks from fresh seeds: half the size. The keys on the wire are others than `keys`, for the
/// same secret.
///
/// # Errors
/// As [`encode_relin_keys_seeded`].
pub fn encode_galois_keys_seeded(
    keys: &GaloisKeys,
    secret: &SecretKey,
    randomness: &mut impl RandomSource,
) -> Result<Vec<u8>, EncodeError> {
    let context = &**secret.context();
    let chain = chain(context)?;
    stream(&chain, context, chain.degree, |slot, out| match key_of(keys, slot, context) {
        Some(key) => put_key_seeded(&key, secret, &chain, randomness, out).map(|()| true),
        None => Ok(false),
    })
}

/// The key in a slot: that of the element 2 · slot + 1.
fn key_of(keys: &GaloisKeys, slot: u64, context: &Context) -> Option<SwitchKey> {
    keys.key(hei_ring::GaloisElement::new(2 * slot + 1, context.degree()).ok()?)
}

/// A stream of so many slots; `put` appends the digits of a slot's key, or says that there is none.
fn stream(
    chain: &Chain,
    context: &Context,
    slots: u64,
    mut put: impl FnMut(u64, &mut Vec<u8>) -> Result<bool, EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    ObjectHeader::write(0, &mut out);
    out.extend_from_slice(&chain.key);
    out.extend_from_slice(&slots.to_le_bytes());
    let digits = context.data_count() as u64;
    for slot in 0..slots {
        let at = out.len();
        out.extend_from_slice(&digits.to_le_bytes());
        if !put(slot, &mut out)? {
            out.truncate(at);
            out.extend_from_slice(&0u64.to_le_bytes());
        }
    }
    let size = (out.len() as u64).to_le_bytes();
    if let Some(field) = out.get_mut(HEADER as usize - 8..HEADER as usize) {
        field.copy_from_slice(&size);
    }
    Ok(out)
}

fn check_level(key: &SwitchKey, context: &Context) -> Result<(), EncodeError> {
    let (level, max) = (key.level(), context.max_level());
    if level == max { Ok(()) } else { Err(EncodeError::TrimmedKey { level, max }) }
}

fn put_key(
    key: &SwitchKey,
    (context, chain): (&Context, &Chain),
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    check_level(key, context)?;
    for digit in key.digits() {
        let (b, a) = digit.parts();
        put_ciphertext(&[b, a], None, chain.key, 1.0, (chain, chain.primes.len()), out)?;
    }
    Ok(())
}

/// With a' the expansion of a fresh seed, b + (a - a') s is to a' what b is to a.
fn put_key_seeded(
    key: &SwitchKey,
    secret: &SecretKey,
    chain: &Chain,
    randomness: &mut impl RandomSource,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let context = secret.context();
    check_level(key, context)?;
    let (basis, degree) = (context.basis(), context.degree());
    let primes: Vec<u64> = basis.moduli().map(Modulus::value).collect();
    for digit in key.digits() {
        let (b, a) = digit.parts();
        if a.degree() != degree || a.limbs() != primes.len() || b.limbs() != primes.len() {
            return Err(EncodeError::Basis { actual: a.limbs(), expected: primes.len(), degree: a.degree() });
        }
        let seed = SealSeed::generate(randomness)?;
        let mask = Poly::from_data(degree, seed.expand(degree, &primes)).ok_or(EncodeError::OutOfRange)?;
        let mut moved = a.clone();
        basis.sub_assign(&mut moved, &mask);
        basis.mul_assign(&mut moved, secret.ntt());
        basis.add_assign(&mut moved, b);
        put_ciphertext(&[&moved], Some(&seed), chain.key, 1.0, (chain, primes.len()), out)?;
    }
    Ok(())
}
