//! Values to `hei/1` containers. One value has one encoding.

use std::sync::Arc;

use hei_ckks::coefficients::{CoefficientCiphertext, CoefficientReply};
use hei_ckks::{Ciphertext, Context, PublicKey, SecretKey};
use hei_ring::{Ntt, Poly};
use zeroize::Zeroizing;

use super::header::write;
use super::pack::pack;
use crate::error::EncodeError;
use crate::shape::Shape;

/// A ciphertext in slots; its mask as a seed when it still is the expansion of one.
///
/// # Errors
/// [`EncodeError`] for a value of another context.
pub fn encode_ciphertext(ciphertext: &Ciphertext, context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    let shape = shape_of(ciphertext, context)?;
    encode_items(core::slice::from_ref(ciphertext), &shape, ciphertext.seed().is_some())
}

/// A ciphertext in slots with its mask in full.
///
/// # Errors
/// [`EncodeError`] for a value of another context.
pub fn encode_ciphertext_full(
    ciphertext: &Ciphertext,
    context: &Arc<Context>,
) -> Result<Vec<u8>, EncodeError> {
    encode_items(core::slice::from_ref(ciphertext), &shape_of(ciphertext, context)?, false)
}

/// Ciphertexts of one shape in one container; masks as seeds when all of them have one.
///
/// # Errors
/// [`EncodeError`] for an empty or mixed list, or values of another context.
pub fn encode_list(ciphertexts: &[Ciphertext], context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    let first = ciphertexts.first().ok_or(EncodeError::EmptyList)?;
    let same = |c: &Ciphertext| {
        c.level() == first.level()
            && c.parts().len() == first.parts().len()
            && c.scale().to_bits() == first.scale().to_bits()
    };
    if let Some(other) = ciphertexts.iter().position(|c| !same(c)) {
        return Err(EncodeError::MixedList(other));
    }
    let shape = shape_of(first, context)?.list(list_len(ciphertexts.len())?);
    encode_items(ciphertexts, &shape, ciphertexts.iter().all(|c| c.seed().is_some()))
}

/// A request of the `coefficients` layout.
///
/// # Errors
/// [`EncodeError`] for a value of another context.
pub fn encode_request(
    request: &CoefficientCiphertext,
    context: &Arc<Context>,
) -> Result<Vec<u8>, EncodeError> {
    let shape = Shape::coefficient_request(context, &request.ranges, request.scale);
    let mut out = start(&shape, &[request.seed.0]);
    put_words(&request.values, &shape, shape.present() as usize, &mut out)?;
    Ok(out)
}

/// A reply of the `coefficients` layout.
///
/// # Errors
/// [`EncodeError`] for a value of another context.
pub fn encode_reply(reply: &CoefficientReply, context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    encode_replies(core::slice::from_ref(reply), &reply_shape(reply, context))
}

/// Replies of one shape in one container.
///
/// # Errors
/// [`EncodeError`] for an empty or mixed list, or values of another context.
pub fn encode_reply_list(
    replies: &[CoefficientReply],
    context: &Arc<Context>,
) -> Result<Vec<u8>, EncodeError> {
    let first = replies.first().ok_or(EncodeError::EmptyList)?;
    let same = |r: &CoefficientReply| {
        r.ranges == first.ranges
            && r.modulus_bits == first.modulus_bits
            && r.scale.to_bits() == first.scale.to_bits()
    };
    if let Some(other) = replies.iter().position(|r| !same(r)) {
        return Err(EncodeError::MixedList(other));
    }
    encode_replies(replies, &reply_shape(first, context).list(list_len(replies.len())?))
}

/// A public key, in full.
///
/// # Errors
/// [`EncodeError`] for a key of another context.
pub fn encode_public_key(key: &PublicKey, context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    let shape = Shape::public_key(context);
    let mut out = start(&shape, &[]);
    let (b, a) = key.parts();
    put_poly(b, &shape, &mut out)?;
    put_poly(a, &shape, &mut out)?;
    Ok(out)
}

/// A secret key for the client's own key file. Wiped on drop; never send it.
///
/// # Errors
/// [`EncodeError`] for a key of another context.
pub fn encode_secret_key(key: &SecretKey, context: &Arc<Context>) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let shape = Shape::secret_key(context);
    // One allocation of the final size: growing would leave copies behind.
    let mut out = Zeroizing::new(start(&shape, &[]));
    let residues =
        Zeroizing::new(key.coefficients().iter().map(|c| c.rem_euclid(3) as u64).collect::<Vec<u64>>());
    put_words(&residues, &shape, context.degree(), &mut out)?;
    Ok(out)
}

fn shape_of(ciphertext: &Ciphertext, context: &Arc<Context>) -> Result<Shape, EncodeError> {
    let limbs = ciphertext.level() + 1;
    if limbs > context.data_count() {
        let (expected, degree) = (context.data_count(), context.degree());
        return Err(EncodeError::Basis { actual: limbs, expected, degree });
    }
    Ok(Shape::ciphertext(context, ciphertext.level(), ciphertext.scale())
        .with_parts(ciphertext.parts().len() as u8))
}

fn reply_shape(reply: &CoefficientReply, context: &Arc<Context>) -> Shape {
    Shape::coefficient_reply(context, &reply.ranges, reply.modulus_bits, reply.scale)
}

fn list_len(items: usize) -> Result<u16, EncodeError> {
    match u16::try_from(items) {
        Ok(items @ 1..=4096) => Ok(items),
        _ => Err(EncodeError::TooLarge { what: "items", value: items as u64, limit: 4096 }),
    }
}

fn encode_items(ciphertexts: &[Ciphertext], shape: &Shape, seeded: bool) -> Result<Vec<u8>, EncodeError> {
    let seeds: Vec<[u8; 32]> = if seeded {
        ciphertexts.iter().filter_map(|c| c.seed().map(|seed| seed.0)).collect()
    } else {
        Vec::new()
    };
    let mut out = start(shape, &seeds);
    for ciphertext in ciphertexts {
        let stored = if seeded { 1 } else { ciphertext.parts().len() };
        for part in ciphertext.parts().iter().take(stored) {
            put_poly(part, shape, &mut out)?;
        }
    }
    Ok(out)
}

fn encode_replies(replies: &[CoefficientReply], shape: &Shape) -> Result<Vec<u8>, EncodeError> {
    let mut out = start(shape, &[]);
    for reply in replies {
        put_words(&reply.values, shape, shape.present() as usize, &mut out)?;
        put_words(&reply.mask, shape, shape.context.degree(), &mut out)?;
    }
    Ok(out)
}

/// The header, in a buffer with room for exactly the whole container.
fn start(shape: &Shape, seeds: &[[u8; 32]]) -> Vec<u8> {
    let seeded = !seeds.is_empty();
    let body_len = shape.body_len(seeded).unwrap_or_default();
    let mut out = Vec::with_capacity(shape.header_len(seeded).saturating_add(body_len) as usize);
    write(shape, seeds, body_len, &mut out);
    out
}

fn put_poly(poly: &Poly<Ntt>, shape: &Shape, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if poly.degree() != shape.context.degree() || poly.limbs() != shape.limbs {
        let (actual, expected, degree) = (poly.limbs(), shape.limbs, poly.degree());
        return Err(EncodeError::Basis { actual, expected, degree });
    }
    put_words(poly.data(), shape, poly.degree(), out)
}

/// `count` residues per limb, limb after limb.
fn put_words(words: &[u64], shape: &Shape, count: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let limb_moduli = shape.limb_moduli();
    if words.len() != count * limb_moduli.len() {
        let (expected, degree) = (limb_moduli.len(), count);
        return Err(EncodeError::Basis { actual: words.len() / count.max(1), expected, degree });
    }
    for (limb, (width, bound)) in words.chunks(count.max(1)).zip(&limb_moduli) {
        if limb.iter().any(|word| word >= bound) {
            return Err(EncodeError::OutOfRange);
        }
        pack(limb.iter().copied(), *width, out);
    }
    Ok(())
}
