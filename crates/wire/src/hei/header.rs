//! The header of a `hei/1` container: `spec/wire.md`, section 2.

use hei_ckks::Context;

use crate::error::{DecodeError, Incompatible, Reason};
use crate::read::{Reader, check_scale};
use crate::shape::{Form, Kind, Seeding, Shape};

/// Octets before the widths.
pub(crate) const FIXED: u64 = 72;
/// The first octets of every container.
pub(crate) const MAGIC: [u8; 4] = [0xe7, b'h', b'e', b'i'];
const VERSION: u8 = 1;
const SEED: u8 = 32;

/// A header that was read, nothing of the body touched. Borrows the container.
///
/// The stages in order: [`parse`](Self::parse), [`check`](Self::check), [`check_length`](Self::check_length), then one
/// of the decoders of this module. A server passes all inputs through one stage before any enters the next.
#[derive(Clone, Copy)]
pub struct Header<'a> {
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) seeded: bool,
    pub(crate) degree: u32,
    pub(crate) limbs: u16,
    pub(crate) parts: u8,
    pub(crate) reply_modulus_bits: u8,
    pub(crate) items: u16,
    pub(crate) params_id: [u8; 32],
    pub(crate) scale: f64,
    pub(crate) body_len: u64,
    pub(crate) widths: &'a [u8],
    pub(crate) ranges: &'a [[u8; 12]],
    /// What each key of an evaluation-key container is.
    pub(crate) keys: &'a [[u8; 8]],
    pub(crate) seeds: &'a [[u8; 32]],
    /// Everything after the header.
    pub(crate) body: &'a [u8],
}

impl<'a> Header<'a> {
    /// Stage 1: magic, version, kind, numeric sanity.
    ///
    /// # Errors
    /// [`DecodeError::SecretKey`] for a secret key where something else is expected, else [`DecodeError::Invalid`].
    pub fn parse(bytes: &'a [u8], expected: Kind) -> Result<Self, DecodeError> {
        Self::read(bytes, Some(expected))
    }

    /// As `parse`; any kind when none is expected.
    pub(crate) fn read(bytes: &'a [u8], expected: Option<Kind>) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(Reason::LengthMismatch.into());
        }
        let mut reader = Reader::new(bytes);
        if bytes.iter().zip(MAGIC).any(|(actual, expected)| *actual != expected) {
            return Err(Reason::BadMagic.into());
        }
        reader.take(MAGIC.len() as u64)?;
        if reader.u8()? != VERSION {
            return Err(Reason::BadVersion.into());
        }
        let kind = Kind::from_byte(reader.u8()?).ok_or(Reason::WrongKind)?;
        if let Some(expected) = expected
            && kind != expected
        {
            let refused =
                if kind == Kind::SecretKey { DecodeError::SecretKey } else { Reason::WrongKind.into() };
            return Err(refused);
        }
        let form = match reader.u8()? {
            0 => Form::Coefficient,
            1 => Form::Ntt,
            _ => return Err(Reason::NonCanonical.into()),
        };
        let seeded = match reader.u8()? {
            0 => false,
            SEED => true,
            _ => return Err(Reason::NonCanonical.into()),
        };
        let (degree, limbs, parts, reply_modulus_bits) =
            (reader.u32()?, reader.u16()?, reader.u8()?, reader.u8()?);
        let (items, ranges, reserved) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let (params_id, scale, body_len) = (reader.array()?, reader.f64()?, reader.u64()?);

        let bounded = degree.is_power_of_two()
            && (2..=131_072).contains(&degree)
            && (1..=64).contains(&limbs)
            && (1..=16).contains(&parts)
            && reply_modulus_bits <= 63
            && (1..=4096).contains(&items)
            && ranges <= 4096
            && reserved == 0;
        let plain_or_list = matches!(kind, Kind::Ciphertext | Kind::CiphertextList);
        let keys = kind == Kind::EvaluationKey;
        let coherent = (items == 1 || keys || kind == Kind::CiphertextList)
            && (!keys || (parts == 2 && form == Form::Ntt))
            && (!seeded || (parts == 2 && reply_modulus_bits == 0 && kind != Kind::SecretKey))
            && (reply_modulus_bits == 0 || (limbs == 1 && form == Form::Coefficient && plain_or_list))
            && (ranges == 0 || (parts == 2 && form == Form::Coefficient && plain_or_list));
        if !bounded || !coherent {
            return Err(Reason::NonCanonical.into());
        }
        check_scale(scale)?;
        if keys && scale.to_bits() != 1f64.to_bits() {
            return Err(Reason::NonCanonical.into());
        }

        let widths = reader.take(u64::from(limbs))?;
        let ranges = reader.take(12 * u64::from(ranges))?.as_chunks::<12>().0;
        let (key_count, seed_count) = match (keys, seeded) {
            (true, _) => (u64::from(items), 0),
            (false, true) => (0, u64::from(items)),
            (false, false) => (0, 0),
        };
        let keys = reader.take(8 * key_count)?.as_chunks::<8>().0;
        super::keys::check_entries(keys, degree)?;
        let seeds = reader.take(32 * seed_count)?.as_chunks::<32>().0;
        Ok(Self {
            kind,
            form,
            seeded,
            degree,
            limbs,
            parts,
            reply_modulus_bits,
            items,
            params_id,
            scale,
            body_len,
            widths,
            ranges,
            keys,
            seeds,
            body: reader.rest(),
        })
    }

    /// Stage 2: what the header says against the expected shape.
    ///
    /// # Errors
    /// [`DecodeError::Incompatible`] in the order params, level, polynomial count, form, scale;
    /// [`DecodeError::Invalid`] when the header contradicts the parameters it names.
    pub fn check(&self, shape: &Shape) -> Result<(), DecodeError> {
        let context = &shape.context;
        if self.params_id != context.params_id().0 {
            return Err(Incompatible::Params.into());
        }
        if u64::from(self.degree) != context.degree() as u64 {
            return Err(Reason::NonCanonical.into());
        }
        let limb_moduli = shape.limb_moduli();
        let reply_modulus = u32::from(self.reply_modulus_bits);
        if usize::from(self.limbs) != limb_moduli.len()
            || (reply_modulus != shape.reply_modulus_bits && reply_modulus.min(shape.reply_modulus_bits) > 0)
        {
            return Err(Incompatible::Level.into());
        }
        if self.parts != shape.parts || self.items != shape.items {
            return Err(Incompatible::PolynomialCount.into());
        }
        let seeding_fits = match shape.seeding {
            Seeding::Allowed => true,
            Seeding::Required => self.seeded,
            Seeding::Forbidden => !self.seeded,
        };
        let expected_ranges = shape.ranges.as_ref().map(|ranges| ranges.ranges()).unwrap_or_default();
        let ranges_fit = self.ranges.len() == expected_ranges.len()
            && self
                .ranges
                .iter()
                .zip(expected_ranges)
                .all(|(actual, expected)| *actual == range_bytes(expected));
        let modulus_fits = reply_modulus == shape.reply_modulus_bits;
        if self.form != shape.form || !seeding_fits || !ranges_fit || !modulus_fits {
            return Err(Incompatible::Form.into());
        }
        if self.scale.to_bits() != shape.scale.to_bits() {
            return Err(Incompatible::Scale.into());
        }
        let widths_fit =
            self.widths.iter().zip(&limb_moduli).all(|(actual, (width, _))| u32::from(*actual) == *width);
        if !widths_fit {
            return Err(Reason::NonCanonical.into());
        }
        Ok(())
    }

    /// Stage 3: the exact length, a function of the header and the shape.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`]: length mismatch, truncated or trailing bytes.
    pub fn check_length(&self, shape: &Shape) -> Result<(), DecodeError> {
        self.check_body(shape.body_len(self.seeded))
    }

    /// The body-length field, then the bytes there are, against the length a shape requires.
    pub(crate) fn check_body(&self, required: Option<u64>) -> Result<(), DecodeError> {
        if required != Some(self.body_len) {
            return Err(Reason::LengthMismatch.into());
        }
        match (self.body.len() as u64).cmp(&self.body_len) {
            core::cmp::Ordering::Less => Err(Reason::Truncated.into()),
            core::cmp::Ordering::Equal => Ok(()),
            core::cmp::Ordering::Greater => Err(Reason::TrailingBytes.into()),
        }
    }
}

/// One index range as it stands in a header.
pub(crate) fn range_bytes(range: &hei_ckks::coefficients::IndexRange) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (start, rest) = bytes.split_at_mut(4);
    let (count, step) = rest.split_at_mut(4);
    start.copy_from_slice(&range.start.to_le_bytes());
    count.copy_from_slice(&range.count.to_le_bytes());
    step.copy_from_slice(&range.step.to_le_bytes());
    bytes
}

/// What the fixed part says besides the parameters.
pub(crate) struct Fixed {
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) seeded: bool,
    pub(crate) parts: u8,
    pub(crate) reply_modulus_bits: u8,
    pub(crate) items: u16,
    pub(crate) ranges: u16,
    pub(crate) scale: f64,
    pub(crate) body_len: u64,
}

/// Appends the fixed part and the widths, one for each limb.
pub(crate) fn write_fixed(context: &Context, fixed: &Fixed, widths: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    let seed = if fixed.seeded { SEED } else { 0 };
    out.extend_from_slice(&[VERSION, fixed.kind as u8, fixed.form as u8, seed]);
    out.extend_from_slice(&(context.degree() as u32).to_le_bytes());
    out.extend_from_slice(&(widths.len() as u16).to_le_bytes());
    out.extend_from_slice(&[fixed.parts, fixed.reply_modulus_bits]);
    out.extend_from_slice(&fixed.items.to_le_bytes());
    out.extend_from_slice(&fixed.ranges.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&context.params_id().0);
    out.extend_from_slice(&fixed.scale.to_le_bytes());
    out.extend_from_slice(&fixed.body_len.to_le_bytes());
    out.extend_from_slice(widths);
}

/// Appends the header of a container of this shape; `seeds` is empty or holds one seed per item.
pub(crate) fn write(shape: &Shape, seeds: &[[u8; 32]], body_len: u64, out: &mut Vec<u8>) {
    let widths: Vec<u8> = shape.limb_moduli().iter().map(|(width, _)| *width as u8).collect();
    let ranges = shape.ranges.as_ref().map(|ranges| ranges.ranges()).unwrap_or_default();
    let fixed = Fixed {
        kind: shape.kind,
        form: shape.form,
        seeded: !seeds.is_empty(),
        parts: shape.parts,
        reply_modulus_bits: shape.reply_modulus_bits as u8,
        items: shape.items,
        ranges: ranges.len() as u16,
        scale: shape.scale,
        body_len,
    };
    write_fixed(&shape.context, &fixed, &widths, out);
    for range in ranges {
        out.extend_from_slice(&range_bytes(range));
    }
    for seed in seeds {
        out.extend_from_slice(seed);
    }
}
