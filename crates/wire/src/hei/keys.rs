//! Evaluation keys in `hei/1` containers: `spec/wire.md`, section 2.5.

use std::sync::Arc;

use hei_ckks::{
    Context, EvaluationKeys, GaloisKeys, KeyDigit, KeyManifest, MaskSeed, ParamsId, RelinKey, SwitchKey,
};
use hei_ring::{GaloisElement, Ntt, Poly};

use super::header::{Fixed, Header, write_fixed};
use super::pack::{pack, packed_len, unpack};
use crate::error::{DecodeError, EncodeError, Incompatible, KeyError, Reason};
use crate::keys::KeyShape;
use crate::policy;
use crate::read::Reader;
use crate::shape::Kind;

const RELINEARIZATION: u8 = 1;
const GALOIS: u8 = 2;
/// The largest number of keys in one container.
const MAX_KEYS: usize = 4096;

/// What one key of a container is.
struct Entry {
    purpose: u8,
    limbs: u16,
    element: u32,
}

impl Entry {
    fn from_bytes([purpose, _, l0, l1, e0, e1, e2, e3]: [u8; 8]) -> Self {
        let (limbs, element) = (u16::from_le_bytes([l0, l1]), u32::from_le_bytes([e0, e1, e2, e3]));
        Self { purpose, limbs, element }
    }

    fn to_bytes(&self) -> [u8; 8] {
        let ([l0, l1], [e0, e1, e2, e3]) = (self.limbs.to_le_bytes(), self.element.to_le_bytes());
        [self.purpose, 0, l0, l1, e0, e1, e2, e3]
    }
}

/// Stage 1 of the key list: known purposes, at least one limb, relinearization first, elements odd, in [3, 2N) and
/// strictly ascending.
pub(crate) fn check_entries(entries: &[[u8; 8]], degree: u32) -> Result<(), DecodeError> {
    let mut last = 0;
    for (i, bytes) in entries.iter().enumerate() {
        let Entry { purpose, limbs, element } = Entry::from_bytes(*bytes);
        let canonical = match purpose {
            RELINEARIZATION => i == 0 && element == 0,
            GALOIS => element % 2 == 1 && element >= 3 && element > last && element < 2 * degree,
            _ => false,
        };
        if !canonical || limbs == 0 || bytes.get(1) != Some(&0) {
            return Err(Reason::NonCanonical.into());
        }
        last = element;
    }
    Ok(())
}

/// The header of an evaluation-key container, nothing of the body touched. Borrows the container.
///
/// The stages in order: [`parse`](Self::parse), [`check`](Self::check), [`check_length`](Self::check_length),
/// [`decode`](Self::decode). Parameters and manifest can be read after the first, to find out what to expect.
#[derive(Clone, Copy)]
pub struct KeyHeader<'a>(Header<'a>);

impl<'a> KeyHeader<'a> {
    /// Stage 1: magic, version, kind, numeric sanity, an ordered list of keys.
    ///
    /// # Errors
    /// [`DecodeError::SecretKey`] for a secret key, else [`DecodeError::Invalid`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Header::parse(bytes, Kind::EvaluationKey).map(Self)
    }

    /// The parameter set it claims to be for.
    pub fn params_id(&self) -> ParamsId {
        ParamsId(self.0.params_id)
    }

    /// Whether masks are given by seeds.
    pub fn seeded(&self) -> bool {
        self.0.seeded
    }

    /// The keys it claims to hold.
    pub fn manifest(&self) -> KeyManifest {
        manifest(&self.0)
    }

    /// Stage 2: parameters and keys against what is expected.
    ///
    /// # Errors
    /// [`KeyError`]: other parameters, a header that contradicts them, other keys than those of the manifest.
    pub fn check(&self, shape: &KeyShape) -> Result<(), KeyError> {
        let (header, context) = (&self.0, &shape.context);
        if header.params_id != context.params_id().0 {
            return Err(DecodeError::from(Incompatible::Params).into());
        }
        let moduli = context.basis().moduli();
        let fits = u64::from(header.degree) == context.degree() as u64
            && context.special_count() > 0
            && header.widths.len() == moduli.len()
            && header.widths.iter().zip(moduli).all(|(width, q)| u32::from(*width) == q.bits())
            && header.keys.iter().all(|k| usize::from(Entry::from_bytes(*k).limbs) <= context.data_count());
        if !fits {
            return Err(Reason::NonCanonical.into());
        }
        shape.compare(&self.manifest())
    }

    /// Stage 3: the exact length, a function of the header and the shape.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`]: length mismatch, truncated or trailing bytes.
    pub fn check_length(&self, shape: &KeyShape) -> Result<(), DecodeError> {
        self.0.check_body(shape.body_len(self.0.seeded))
    }

    /// Stages 4 and 5: residues and masks.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`]: a residue out of range, padding that is not zero. [`DecodeError::Policy`].
    pub fn decode(&self, shape: &KeyShape) -> Result<EvaluationKeys, DecodeError> {
        let context = &shape.context;
        let mut body = Reader::new(self.0.body);
        let mut key = |level: usize| {
            let mut digits = Vec::with_capacity(SwitchKey::digit_count(context, level));
            for _ in 0..SwitchKey::digit_count(context, level) {
                let b = read_poly(&mut body, context, level)?;
                let digit = if self.0.seeded {
                    KeyDigit::from_seed(context, level, b, MaskSeed(body.array()?))
                } else {
                    KeyDigit::new(b, read_poly(&mut body, context, level)?)
                };
                policy::check_mask(digit.parts().1)?;
                digits.push(digit);
            }
            SwitchKey::from_digits(context, level, digits).ok_or(DecodeError::from(Reason::NonCanonical))
        };
        let mut keys = EvaluationKeys::default();
        if let Some(level) = shape.manifest.relinearization() {
            keys.relinearization = Some(RelinKey(key(level)?));
        }
        let mut galois = Vec::with_capacity(shape.manifest.galois().len());
        for (element, level) in shape.manifest.galois() {
            galois.push((element, key(level)?));
        }
        keys.galois = GaloisKeys::from_keys(context, galois);
        if body.rest().is_empty() { Ok(keys) } else { Err(Reason::TrailingBytes.into()) }
    }
}

/// The keys a header names.
pub(crate) fn manifest(header: &Header<'_>) -> KeyManifest {
    let mut manifest = KeyManifest::new();
    for bytes in header.keys {
        let Entry { limbs, element, .. } = Entry::from_bytes(*bytes);
        let level = usize::from(limbs).saturating_sub(1);
        match GaloisElement::new(u64::from(element), header.degree as usize) {
            Ok(element) => manifest.need_galois(element, level),
            // 0: stage 1 lets no other even number pass.
            Err(_) => manifest.need_relinearization(level),
        }
    }
    manifest
}

fn read_poly(body: &mut Reader<'_>, context: &Context, level: usize) -> Result<Poly<Ntt>, DecodeError> {
    let (degree, moduli) = (context.degree(), SwitchKey::moduli(context, level));
    let mut words = Vec::with_capacity(degree.saturating_mul(moduli.len()));
    for modulus in moduli {
        let octets = packed_len(degree as u64, modulus.bits()).ok_or(Reason::LengthMismatch)?;
        unpack(body.take(octets)?, degree, modulus.bits(), modulus.value(), &mut words)?;
    }
    Poly::from_data(degree, words).ok_or_else(|| Reason::LengthMismatch.into())
}

/// Exactly the evaluation keys of the shape, through all stages.
///
/// # Errors
/// [`KeyError`].
pub fn decode_evaluation_keys(bytes: &[u8], shape: &KeyShape) -> Result<EvaluationKeys, KeyError> {
    let header = KeyHeader::parse(bytes)?;
    header.check(shape)?;
    header.check_length(shape)?;
    Ok(header.decode(shape)?)
}

/// Evaluation keys; masks as seeds when every digit still has its seed.
///
/// # Errors
/// [`EncodeError`] for no keys, more than 4096, or keys of another context.
pub fn encode_evaluation_keys(keys: &EvaluationKeys, context: &Arc<Context>) -> Result<Vec<u8>, EncodeError> {
    let seeded = |key: &SwitchKey| key.digits().iter().all(|digit| digit.seed().is_some());
    let all = keys.relinearization.iter().all(|key| seeded(&key.0))
        && keys.galois.elements().all(|g| keys.galois.key(g).is_none_or(|key| seeded(&key)));
    encode(keys, context, all)
}

/// Evaluation keys with their masks in full.
///
/// # Errors
/// As [`encode_evaluation_keys`].
pub fn encode_evaluation_keys_full(
    keys: &EvaluationKeys,
    context: &Arc<Context>,
) -> Result<Vec<u8>, EncodeError> {
    encode(keys, context, false)
}

fn encode(keys: &EvaluationKeys, context: &Arc<Context>, seeded: bool) -> Result<Vec<u8>, EncodeError> {
    let shape = KeyShape::of(context, keys);
    let (body_len, count) = (shape.body_len(seeded).unwrap_or_default(), shape.count());
    if count == 0 {
        return Err(EncodeError::EmptyList);
    }
    if count > MAX_KEYS {
        return Err(EncodeError::TooLarge { what: "keys", value: count as u64, limit: MAX_KEYS as u64 });
    }
    let mut out = Vec::with_capacity(shape.encoded_len(crate::Format::Hei, seeded) as usize);
    write_header(context, count as u16, seeded, body_len, &mut out);
    let entry = |purpose, level: usize, element: u64| {
        Entry { purpose, limbs: level as u16 + 1, element: element as u32 }.to_bytes()
    };
    if let Some(level) = shape.manifest.relinearization() {
        out.extend_from_slice(&entry(RELINEARIZATION, level, 0));
    }
    for (element, level) in shape.manifest.galois() {
        out.extend_from_slice(&entry(GALOIS, level, element.value()));
    }
    if let Some(key) = &keys.relinearization {
        put_key(&key.0, context, seeded, &mut out)?;
    }
    for element in keys.galois.elements() {
        if let Some(key) = keys.galois.key(element) {
            put_key(&key, context, seeded, &mut out)?;
        }
    }
    Ok(out)
}

fn write_header(context: &Context, count: u16, seeded: bool, body_len: u64, out: &mut Vec<u8>) {
    let widths: Vec<u8> = context.basis().moduli().map(|q| q.bits() as u8).collect();
    let fixed = Fixed {
        kind: Kind::EvaluationKey,
        form: crate::Form::Ntt,
        seeded,
        parts: 2,
        reply_modulus_bits: 0,
        items: count,
        ranges: 0,
        scale: 1.0,
        body_len,
    };
    write_fixed(context, &fixed, &widths, out);
}

fn put_key(key: &SwitchKey, context: &Context, seeded: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    for digit in key.digits() {
        let (b, a) = digit.parts();
        put_poly(b, context, key.level(), out)?;
        match digit.seed() {
            Some(seed) if seeded => out.extend_from_slice(&seed.0),
            _ => put_poly(a, context, key.level(), out)?,
        }
    }
    Ok(())
}

fn put_poly(poly: &Poly<Ntt>, context: &Context, level: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let moduli = SwitchKey::moduli(context, level);
    if poly.degree() != context.degree() || poly.limbs() != moduli.len() {
        let (actual, expected, degree) = (poly.limbs(), moduli.len(), poly.degree());
        return Err(EncodeError::Basis { actual, expected, degree });
    }
    for (limb, modulus) in poly.iter().zip(moduli) {
        if limb.iter().any(|word| *word >= modulus.value()) {
            return Err(EncodeError::OutOfRange);
        }
        pack(limb.iter().copied(), modulus.bits(), out);
    }
    Ok(())
}
