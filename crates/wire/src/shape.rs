//! The one shape a container must have to be accepted.

use std::sync::Arc;

use hei_ckks::Context;
use hei_ckks::coefficients::IndexRanges;
use hei_ring::Modulus;

use crate::Format;
use crate::hei::pack::packed_len;
use crate::seal;

/// What a container holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// One ciphertext, in slots or in coefficients.
    Ciphertext = 1,
    /// Several ciphertexts of one shape.
    CiphertextList = 2,
    /// Relinearization and Galois keys.
    EvaluationKey = 3,
    /// An encryption key.
    PublicKey = 4,
    /// A decryption key. Never sent anywhere: servers know the kind in order to refuse it.
    SecretKey = 5,
}

impl Kind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Ciphertext),
            2 => Some(Self::CiphertextList),
            3 => Some(Self::EvaluationKey),
            4 => Some(Self::PublicKey),
            5 => Some(Self::SecretKey),
            _ => None,
        }
    }

    /// The name used in messages and in `hei inspect`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ciphertext => "ciphertext",
            Self::CiphertextList => "ciphertext-list",
            Self::EvaluationKey => "evaluation-key",
            Self::PublicKey => "public-key",
            Self::SecretKey => "secret-key",
        }
    }
}

/// The domain residues are given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Form {
    /// Coefficients of powers of X.
    Coefficient = 0,
    /// Values at the odd powers of the root of unity, in bit-reversed order.
    Ntt = 1,
}

impl Form {
    /// The name used in messages and in `hei inspect`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coefficient => "coefficient",
            Self::Ntt => "ntt",
        }
    }
}

/// Whether c_1 may, must or must not be given by its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seeding {
    Allowed,
    Required,
    Forbidden,
}

/// The one expected shape: decoding accepts what equals it and nothing else.
#[derive(Debug, Clone)]
pub struct Shape {
    pub(crate) context: Arc<Context>,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) limbs: usize,
    pub(crate) parts: u8,
    pub(crate) scale: f64,
    pub(crate) items: u16,
    /// Which coefficients of c_0 are present; `None` for all.
    pub(crate) ranges: Option<IndexRanges>,
    /// k when residues are modulo 2^k instead of primes.
    pub(crate) reply_modulus_bits: u32,
    pub(crate) seeding: Seeding,
}

impl Shape {
    /// A ciphertext in slots: two parts over the first `level + 1` data primes in NTT form, exactly this scale; given
    /// in full or with its mask as a seed.
    pub fn ciphertext(context: &Arc<Context>, level: usize, scale: f64) -> Self {
        Self {
            context: Arc::clone(context),
            kind: Kind::Ciphertext,
            form: Form::Ntt,
            limbs: level.saturating_add(1).min(context.data_count()),
            parts: 2,
            scale,
            items: 1,
            ranges: None,
            reply_modulus_bits: 0,
            seeding: Seeding::Allowed,
        }
    }

    /// A request of the `coefficients` layout: one prime, the mask as a seed, the coefficients of c_0 named by `ranges`.
    pub fn coefficient_request(context: &Arc<Context>, ranges: &IndexRanges, scale: f64) -> Self {
        Self {
            form: Form::Coefficient,
            ranges: Some(ranges.clone()),
            seeding: Seeding::Required,
            ..Self::ciphertext(context, 0, scale)
        }
    }

    /// A reply of the `coefficients` layout: a full mask and the output coefficients of c_0, modulo 2^`modulus_bits`.
    pub fn coefficient_reply(
        context: &Arc<Context>,
        ranges: &IndexRanges,
        modulus_bits: u32,
        scale: f64,
    ) -> Self {
        Self {
            reply_modulus_bits: modulus_bits,
            seeding: Seeding::Forbidden,
            ..Self::coefficient_request(context, ranges, scale)
        }
    }

    /// An encryption key: two parts over all primes, scale 1, in full or seeded.
    pub fn public_key(context: &Arc<Context>) -> Self {
        Self {
            kind: Kind::PublicKey,
            limbs: context.data_count().saturating_add(context.special_count()),
            ..Self::ciphertext(context, 0, 1.0)
        }
    }

    /// A decryption key: its ternary coefficients, modulo 3.
    pub fn secret_key(context: &Arc<Context>) -> Self {
        Self {
            kind: Kind::SecretKey,
            form: Form::Coefficient,
            parts: 1,
            seeding: Seeding::Forbidden,
            ..Self::ciphertext(context, 0, 1.0)
        }
    }

    /// The same with another number of polynomials: 3 after a product that was not relinearized.
    pub fn with_parts(mut self, parts: u8) -> Self {
        self.parts = parts;
        self
    }

    /// The same, with the seeded form refused: results of an evaluation have no seed.
    pub fn unseeded(mut self) -> Self {
        self.seeding = Seeding::Forbidden;
        self
    }

    /// `items` of these in one container.
    pub fn list(mut self, items: u16) -> Self {
        self.kind = Kind::CiphertextList;
        self.items = items;
        self
    }

    /// Octets of this shape as this crate writes it. 0 for what the format does not have (a coefficient ciphertext in
    /// a SEAL stream, a length beyond 2^64).
    pub fn encoded_len(&self, format: Format, seeded: bool) -> u64 {
        match format {
            Format::Hei => {
                self.body_len(seeded).and_then(|body| body.checked_add(self.header_len(seeded))).unwrap_or(0)
            }
            Format::Seal => seal::written_len(self, seeded),
        }
    }

    /// Octets of the largest legal encoding: whoever sends more need not be decoded. 0 for what the format does not
    /// have.
    pub fn max_encoded_len(&self, format: Format) -> u64 {
        match format {
            Format::Hei => {
                let seeded =
                    if self.seeding == Seeding::Forbidden { 0 } else { self.encoded_len(format, true) };
                let full =
                    if self.seeding == Seeding::Required { 0 } else { self.encoded_len(format, false) };
                seeded.max(full)
            }
            Format::Seal => seal::max_len(self),
        }
    }

    /// Width in bits and exclusive bound of each limb's residues.
    pub(crate) fn limb_moduli(&self) -> Vec<(u32, u64)> {
        if self.kind == Kind::SecretKey {
            return vec![(2, 3)];
        }
        if self.reply_modulus_bits > 0 {
            let bits = self.reply_modulus_bits.min(63);
            return vec![(bits, 1 << bits)];
        }
        self.moduli().map(|q| (q.bits(), q.value())).collect()
    }

    /// The primes of the limbs.
    pub(crate) fn moduli(&self) -> impl Iterator<Item = &Modulus> {
        self.context.basis().moduli().take(self.limbs)
    }

    /// The primes of the limbs, as numbers.
    pub(crate) fn primes(&self) -> Vec<u64> {
        self.moduli().map(Modulus::value).collect()
    }

    /// Coefficients of c_0 that are present.
    pub(crate) fn present(&self) -> u64 {
        let degree = self.context.degree() as u64;
        self.ranges.as_ref().map_or(degree, |ranges| ranges.count() as u64)
    }

    /// Octets of a `hei/1` header of this shape.
    pub(crate) fn header_len(&self, seeded: bool) -> u64 {
        let limbs = self.limb_moduli().len() as u64;
        let ranges = self.ranges.as_ref().map_or(0, |ranges| ranges.ranges().len() as u64);
        let seeds = if seeded { u64::from(self.items) } else { 0 };
        crate::hei::header::FIXED + limbs + 12 * ranges + 32 * seeds
    }

    /// Octets of a `hei/1` body of this shape; `None` beyond 2^64.
    pub(crate) fn body_len(&self, seeded: bool) -> Option<u64> {
        let degree = self.context.degree() as u64;
        let full_parts = if seeded { 0 } else { u64::from(self.parts).saturating_sub(1) };
        let mut item = 0u64;
        for (width, _) in self.limb_moduli() {
            item = item.checked_add(packed_len(self.present(), width)?)?;
            item = item.checked_add(packed_len(degree, width)?.checked_mul(full_parts)?)?;
        }
        item.checked_mul(u64::from(self.items))
    }
}
