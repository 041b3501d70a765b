//! Bodies of `hei/1` containers to values: stage 4, after [`Header`]'s stages 1 to 3.

use hei_ckks::coefficients::{CoefficientCiphertext, CoefficientReply};
use hei_ckks::{Ciphertext, MaskSeed, PublicKey, SecretKey};
use hei_ring::{Ntt, Poly};
use zeroize::Zeroizing;

use super::header::Header;
use super::pack::{packed_len, unpack};
use crate::error::{DecodeError, Reason};
use crate::policy;
use crate::read::Reader;
use crate::shape::Shape;

impl Header<'_> {
    /// Stage 4 for ciphertexts in slots: one, or the items of a list.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`]: a residue out of range, padding that is not zero.
    pub fn decode_ciphertexts(&self, shape: &Shape) -> Result<Vec<Ciphertext>, DecodeError> {
        let mut body = Body::new(self.body, shape);
        let mut items = Vec::with_capacity(usize::from(self.items));
        for item in 0..usize::from(self.items) {
            let c0 = body.poly()?;
            let ciphertext = if let Some(seed) = self.seed(item)? {
                Ciphertext::from_seed(&shape.context, c0, seed, self.scale)
            } else {
                let mut parts = vec![c0];
                for _ in 1..self.parts {
                    parts.push(body.poly()?);
                }
                Ciphertext::new(&shape.context, parts, self.scale)
            };
            items.push(ciphertext.map_err(|_| Reason::NonCanonical)?);
        }
        body.finish()?;
        Ok(items)
    }

    /// Stage 4 for requests of the `coefficients` layout.
    ///
    /// # Errors
    /// As [`decode_ciphertexts`](Self::decode_ciphertexts).
    pub fn decode_requests(&self, shape: &Shape) -> Result<Vec<CoefficientCiphertext>, DecodeError> {
        let ranges = shape.ranges.as_ref().ok_or(Reason::WrongKind)?;
        let mut body = Body::new(self.body, shape);
        let mut items = Vec::with_capacity(usize::from(self.items));
        for item in 0..usize::from(self.items) {
            let seed = self.seed(item)?.ok_or(Reason::NonCanonical)?;
            let values = body.words(shape.present())?;
            items.push(CoefficientCiphertext { seed, ranges: ranges.clone(), values, scale: self.scale });
        }
        body.finish()?;
        Ok(items)
    }

    /// Stage 4 for replies of the `coefficients` layout.
    ///
    /// # Errors
    /// As [`decode_ciphertexts`](Self::decode_ciphertexts).
    pub fn decode_replies(&self, shape: &Shape) -> Result<Vec<CoefficientReply>, DecodeError> {
        let ranges = shape.ranges.as_ref().ok_or(Reason::WrongKind)?;
        let mut body = Body::new(self.body, shape);
        let mut items = Vec::with_capacity(usize::from(self.items));
        for _ in 0..self.items {
            let values = body.words(shape.present())?;
            let mask = body.words(shape.context.degree() as u64)?;
            let (modulus_bits, scale) = (shape.reply_modulus_bits, self.scale);
            items.push(CoefficientReply { mask, ranges: ranges.clone(), values, modulus_bits, scale });
        }
        body.finish()?;
        Ok(items)
    }

    fn decode_public_key(&self, shape: &Shape) -> Result<PublicKey, DecodeError> {
        let mut body = Body::new(self.body, shape);
        let b = body.poly()?;
        let a = match self.seed(0)? {
            Some(seed) => seed.expand(&shape.context, shape.limbs),
            None => body.poly()?,
        };
        body.finish()?;
        policy::check_mask(&a)?;
        PublicKey::from_parts(&shape.context, b, a).ok_or_else(|| Reason::NonCanonical.into())
    }

    fn decode_secret_key(&self, shape: &Shape) -> Result<SecretKey, DecodeError> {
        let degree = shape.context.degree();
        // Wiped also when unpacking stops half way.
        let mut residues = Zeroizing::new(Vec::with_capacity(degree));
        unpack(self.body, degree, 2, 3, &mut residues)?;
        // 2 stands for -1: the coefficient modulo 3.
        let coefficients = residues.iter().map(|r| if *r == 2 { -1 } else { i8::from(*r == 1) }).collect();
        SecretKey::from_coefficients(&shape.context, Zeroizing::new(coefficients))
            .map_err(|_| Reason::NonCanonical.into())
    }

    fn seed(&self, item: usize) -> Result<Option<MaskSeed>, DecodeError> {
        if !self.seeded {
            return Ok(None);
        }
        let seed = self.seeds.get(item).ok_or(Reason::LengthMismatch)?;
        Ok(Some(MaskSeed(*seed)))
    }

    fn checked<'a>(bytes: &'a [u8], shape: &Shape) -> Result<Header<'a>, DecodeError> {
        let header = Header::parse(bytes, shape.kind)?;
        header.check(shape)?;
        header.check_length(shape)?;
        Ok(header)
    }
}

/// Packed limbs in order.
struct Body<'a> {
    reader: Reader<'a>,
    limb_moduli: Vec<(u32, u64)>,
    degree: usize,
}

impl<'a> Body<'a> {
    fn new(bytes: &'a [u8], shape: &Shape) -> Self {
        Self { reader: Reader::new(bytes), limb_moduli: shape.limb_moduli(), degree: shape.context.degree() }
    }

    /// `count` residues per limb.
    fn words(&mut self, count: u64) -> Result<Vec<u64>, DecodeError> {
        let count_usize = usize::try_from(count).map_err(|_| Reason::LengthMismatch)?;
        let mut words = Vec::with_capacity(count_usize.saturating_mul(self.limb_moduli.len()));
        for (width, bound) in &self.limb_moduli {
            let octets = packed_len(count, *width).ok_or(Reason::LengthMismatch)?;
            unpack(self.reader.take(octets)?, count_usize, *width, *bound, &mut words)?;
        }
        Ok(words)
    }

    fn poly(&mut self) -> Result<Poly<Ntt>, DecodeError> {
        let words = self.words(self.degree as u64)?;
        Poly::from_data(self.degree, words).ok_or_else(|| Reason::LengthMismatch.into())
    }

    fn finish(self) -> Result<(), DecodeError> {
        if self.reader.rest().is_empty() { Ok(()) } else { Err(Reason::TrailingBytes.into()) }
    }
}

/// One ciphertext in slots, through all stages and the policy check.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_ciphertext(bytes: &[u8], shape: &Shape) -> Result<Ciphertext, DecodeError> {
    decode_list(bytes, shape)?.pop().ok_or_else(|| Reason::LengthMismatch.into())
}

/// The items of a [`Shape::list`] of ciphertexts in slots.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_list(bytes: &[u8], shape: &Shape) -> Result<Vec<Ciphertext>, DecodeError> {
    let items = Header::checked(bytes, shape)?.decode_ciphertexts(shape)?;
    items.iter().try_for_each(policy::check_ciphertext)?;
    Ok(items)
}

/// One request of the `coefficients` layout.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_request(bytes: &[u8], shape: &Shape) -> Result<CoefficientCiphertext, DecodeError> {
    let mut items = Header::checked(bytes, shape)?.decode_requests(shape)?;
    items.pop().ok_or_else(|| Reason::LengthMismatch.into())
}

/// One reply of the `coefficients` layout.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_reply(bytes: &[u8], shape: &Shape) -> Result<CoefficientReply, DecodeError> {
    decode_reply_list(bytes, shape)?.pop().ok_or_else(|| Reason::LengthMismatch.into())
}

/// The items of a [`Shape::list`] of replies.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_reply_list(bytes: &[u8], shape: &Shape) -> Result<Vec<CoefficientReply>, DecodeError> {
    let items = Header::checked(bytes, shape)?.decode_replies(shape)?;
    items.iter().try_for_each(|reply| policy::check_words(&reply.mask))?;
    Ok(items)
}

/// A public key.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_public_key(bytes: &[u8], shape: &Shape) -> Result<PublicKey, DecodeError> {
    Header::checked(bytes, shape)?.decode_public_key(shape)
}

/// A secret key, for the client that owns the file.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_secret_key(bytes: &[u8], shape: &Shape) -> Result<SecretKey, DecodeError> {
    Header::checked(bytes, shape)?.decode_secret_key(shape)
}
