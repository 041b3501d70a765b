//! Ciphertexts in SEAL streams, read in the same stages as our own container.

use hei_ckks::Ciphertext;
use hei_ring::{Ntt, Poly};

use super::chain::Chain;
use super::frame::{Compression, HEADER, Members, ObjectHeader, Version};
use super::seed::SealSeed;
use super::source::Source;
use super::zstd;
use crate::error::{DecodeError, Incompatible, Reason};
use crate::read::Reader;
use crate::shape::{Form, Kind, Seeding, Shape};

/// Octets of the object that describes the generator of a seed.
pub(crate) const PRNG_INFO: u64 = 81;

/// What a SEAL stream has to be: a shape with the names of its levels.
pub struct Expected<'s> {
    pub(crate) shape: &'s Shape,
    pub(crate) chain: Chain,
}

impl<'s> Expected<'s> {
    /// `None` for what SEAL streams do not have: coefficients, lists, keys, more or fewer than one special prime.
    pub fn new(shape: &'s Shape) -> Option<Self> {
        let slots = shape.kind == Kind::Ciphertext && shape.form == Form::Ntt;
        if !slots || shape.ranges.is_some() || shape.reply_modulus_bits > 0 {
            return None;
        }
        Some(Self { shape, chain: Chain::new(&shape.context)? })
    }

    /// Words of the residues.
    fn words(&self, seeded: bool) -> u64 {
        let parts = if seeded { 1 } else { u64::from(self.shape.parts) };
        self.chain.degree.saturating_mul(self.shape.limbs as u64).saturating_mul(parts)
    }

    /// Octets of the uncompressed object.
    pub(crate) fn object_len(&self, version: Version, seeded: bool) -> u64 {
        let fixed = HEADER + Members::encoded_len(version) + HEADER + 8 + if seeded { PRNG_INFO } else { 0 };
        self.words(seeded).saturating_mul(8).saturating_add(fixed)
    }

    fn may_be_seeded(&self) -> bool {
        self.shape.parts == 2
    }

    /// The lengths an uncompressed object can have.
    fn is_object_len(&self, version: Version, length: u64) -> bool {
        length == self.object_len(version, false)
            || (self.may_be_seeded() && length == self.object_len(version, true))
    }

    /// Octets of a secret key of these parameters.
    fn secret_key_len(&self) -> u64 {
        let words = self.chain.degree.saturating_mul(self.chain.primes.len() as u64);
        words.saturating_mul(8).saturating_add(88)
    }

    /// The largest legal encoding: what does not compress may grow by the framing of its blocks.
    pub(crate) fn max_len(&self) -> u64 {
        let object = self.object_len(Version { major: 4, minor: 4 }, false);
        object.saturating_add(object / 256).saturating_add(64)
    }

    /// Refuses what is recognizably another kind of object. `start` is the beginning of the members, at least the
    /// length of a ciphertext's members and array header.
    fn check_kind(&self, start: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(start);
        let parms_id: [u8; 32] = reader.array()?;
        let (count, scale, nested) = (reader.u64()?, reader.f64()?, reader.array::<16>()?);
        let array_count = reader.u64()?;
        if nested.starts_with(&[0x5e, 0xa1, 0x10]) {
            // A plaintext, which is also what a secret key looks like, or key-switching keys.
            let key_words = self.chain.degree.checked_mul(self.chain.primes.len() as u64);
            let is_key = parms_id == self.chain.key || scale == 1.0 || Some(count) == key_words;
            let refused = if count == array_count && is_key {
                DecodeError::SecretKey
            } else {
                Reason::WrongKind.into()
            };
            return Err(refused);
        }
        let is_parameters = start.get(17..20) == Some(&[0x5e, 0xa1, 0x10]);
        if parms_id == self.chain.key || is_parameters {
            return Err(Reason::WrongKind.into());
        }
        Ok(())
    }

    /// The facts of the members against the shape, in the order of `hei/1`.
    fn check_members(&self, members: &Members) -> Result<(), DecodeError> {
        let named =
            self.chain.data.iter().position(|id| *id == members.parms_id).ok_or(Incompatible::Params)?;
        if members.degree != self.chain.degree || members.primes != named as u64 + 1 {
            return Err(Reason::NonCanonical.into());
        }
        if self.chain.level(self.shape.limbs) != Some(members.parms_id) {
            return Err(Incompatible::Level.into());
        }
        if members.size != u64::from(self.shape.parts) {
            return Err(Incompatible::PolynomialCount.into());
        }
        if !members.ntt {
            return Err(Incompatible::Form.into());
        }
        if members.scale.to_bits() != self.shape.scale.to_bits() {
            return Err(Incompatible::Scale.into());
        }
        Ok(())
    }
}

/// The header of a SEAL stream and, unless it is compressed, the members before the residues.
pub struct Header<'a> {
    object: ObjectHeader,
    members: Option<Members>,
    total: u64,
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    /// Stage 1: magic, version, kind, numeric sanity; of a compressed stream, the outer header only.
    ///
    /// # Errors
    /// [`DecodeError::SecretKey`] for what looks like a secret key, else [`DecodeError::Invalid`].
    pub fn parse(bytes: &'a [u8], expected: &Expected<'_>) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(Reason::LengthMismatch.into());
        }
        if bytes.iter().zip(super::frame::MAGIC).any(|(actual, expected)| *actual != expected) {
            return Err(Reason::BadMagic.into());
        }
        let mut reader = Reader::new(bytes);
        let object = ObjectHeader::parse(reader.array()?)?;
        let payload = reader.rest();
        let members = match object.compression {
            Compression::None => {
                let start = reader.take(start_len(object.version))?;
                expected.check_kind(start)?;
                Some(Members::parse(&mut Reader::new(start), object.version)?)
            }
            Compression::Zlib | Compression::Zstd => None,
        };
        Ok(Self { object, members, total: bytes.len() as u64, payload })
    }

    /// Stage 2: what the members say against the expected shape. Compressed members are checked by
    /// [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`DecodeError::Incompatible`] in the order params, level, polynomial count, form, scale.
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), DecodeError> {
        self.members.as_ref().map_or(Ok(()), |members| expected.check_members(members))
    }

    /// Stage 3: the exact length; of a compressed stream, the length it declares for its content.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`]: length mismatch, truncated or trailing bytes.
    pub fn check_length(&self, expected: &Expected<'_>) -> Result<(), DecodeError> {
        let size = self.object.size;
        let possible = match self.object.compression {
            Compression::None => expected.is_object_len(self.object.version, size),
            Compression::Zlib | Compression::Zstd => (HEADER + 1..=expected.max_len()).contains(&size),
        };
        if !possible {
            return Err(Reason::LengthMismatch.into());
        }
        if self.total < size {
            return Err(Reason::Truncated.into());
        }
        if self.total > size {
            return Err(Reason::TrailingBytes.into());
        }
        if self.object.compression == Compression::Zstd {
            let length = zstd::content_size(self.payload)?.saturating_add(HEADER);
            if !expected.is_object_len(self.object.version, length) && length != expected.secret_key_len() {
                return Err(Reason::LengthMismatch.into());
            }
        }
        Ok(())
    }

    /// Stage 4: decompression and residues.
    ///
    /// # Errors
    /// [`DecodeError`] of every kind but [`Policy`](DecodeError::Policy): the members of a compressed stream are first
    /// seen here.
    pub fn decode(&self, expected: &Expected<'_>) -> Result<Ciphertext, DecodeError> {
        let version = self.object.version;
        let content = match self.object.compression {
            Compression::Zstd => zstd::content_size(self.payload)?,
            Compression::None | Compression::Zlib => 0,
        };
        let mut source = Source::new(self.payload, self.object.compression, content)?;
        let mut buffer = [0u8; 97];
        let start = buffer.get_mut(..start_len(version) as usize).unwrap_or_default();
        source.read(start)?;
        let mut reader = Reader::new(start);
        if self.members.is_none() {
            expected.check_kind(start)?;
        }
        let members = Members::parse(&mut reader, version)?;
        expected.check_members(&members)?;

        let nested = reader.array()?;
        let count = reader.u64()?;
        let seeded = expected.may_be_seeded() && count == expected.words(true);
        if !seeded && count != expected.words(false) {
            return Err(Reason::LengthMismatch.into());
        }
        ObjectHeader::parse_nested(nested, version, count.saturating_mul(8).saturating_add(HEADER + 8))?;
        let declared = content.saturating_add(HEADER);
        if self.object.compression == Compression::Zstd && declared != expected.object_len(version, seeded) {
            return Err(Reason::LengthMismatch.into());
        }
        if seeded && expected.shape.seeding == Seeding::Forbidden {
            return Err(Incompatible::Form.into());
        }

        let shape = expected.shape;
        let (degree, primes) = (shape.context.degree(), shape.primes());
        let stored = if seeded { 1 } else { usize::from(shape.parts) };
        let mut parts = Vec::with_capacity(usize::from(shape.parts));
        for _ in 0..stored {
            let mut words = Vec::with_capacity(degree.saturating_mul(primes.len()));
            source.residues(degree, &primes, &mut words)?;
            parts.push(poly(degree, words)?);
        }
        let seed = if seeded { Some(read_seed(&mut source, version)?) } else { None };
        source.finish()?;
        if let Some(seed) = seed {
            parts.push(poly(degree, seed.expand(degree, &primes))?);
        }
        Ciphertext::new(&shape.context, parts, members.scale).map_err(|_| Reason::NonCanonical.into())
    }
}

/// Octets of the members and the header and count of the array after them.
fn start_len(version: Version) -> u64 {
    Members::encoded_len(version) + HEADER + 8
}

fn poly(degree: usize, words: Vec<u64>) -> Result<Poly<Ntt>, DecodeError> {
    Poly::from_data(degree, words).ok_or_else(|| Reason::LengthMismatch.into())
}

/// The generator object after c_0.
pub(crate) fn read_seed(source: &mut Source<'_>, version: Version) -> Result<SealSeed, DecodeError> {
    source.nested(version, PRNG_INFO)?;
    let [generator] = source.array()?;
    let seed = source.array()?;
    match generator {
        1 => Ok(SealSeed::Blake2xb(seed)),
        2 => Ok(SealSeed::Shake256(seed)),
        _ => Err(Reason::NonCanonical.into()),
    }
}
