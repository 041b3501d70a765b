//! `RelinKeys` and `GaloisKeys` in SEAL streams. The format of both is one, and nothing says which it is but the number of
//! slots: one, or N.

use hei_ckks::{Context, EvaluationKeys, GaloisKeys, KeyDigit, MissingKey, RelinKey, SwitchKey};
use hei_ring::GaloisElement;

use super::chain::Chain;
use super::frame::{Compression, HEADER, ObjectHeader, Version};
use super::keys::{chain, check_pair, pair_len, read_members, read_pair};
use super::source::Source;
use crate::error::{DecodeError, Incompatible, KeyError, Reason};
use crate::keys::KeyShape;
use crate::policy;
use crate::read::Reader;

/// Octets of the members before the first slot.
const START: u64 = 40;
/// Octets of the members that tell what an object is: a ciphertext's and the header of its array.
const LOOK: usize = 89;

/// What one of the two streams has to be.
struct Expected<'s> {
    context: &'s Context,
    chain: Chain,
    /// Slots that hold a key, ascending, of so many.
    slots: u64,
    occupied: Vec<u64>,
}

impl<'s> Expected<'s> {
    fn relin(context: &'s Context) -> Result<Self, DecodeError> {
        Ok(Self { context, chain: chain(context)?, slots: 1, occupied: vec![0] })
    }

    fn galois(context: &'s Context, elements: &[GaloisElement]) -> Result<Self, DecodeError> {
        let mut occupied: Vec<u64> = elements.iter().map(|g| g.value() / 2).collect();
        occupied.sort_unstable();
        occupied.dedup();
        Ok(Self { context, chain: chain(context)?, slots: context.degree() as u64, occupied })
    }

    fn digits(&self) -> u64 {
        self.chain.primes.len() as u64 - 1
    }

    /// Octets of an uncompressed object with so many keys.
    fn object_len(&self, version: Version, keys: u64, seeded: bool) -> u64 {
        let key = pair_len(&self.chain, version, seeded).saturating_mul(self.digits());
        (HEADER + START + 8 * self.slots).saturating_add(key.saturating_mul(keys))
    }

    /// The largest legal encoding: what does not compress may grow by the framing of its blocks.
    fn max_len(&self) -> u64 {
        let object = self.object_len(Version { major: 4, minor: 4 }, self.occupied.len() as u64, false);
        object.saturating_add(object / 256).saturating_add(64)
    }

    /// The lengths there are: any number of keys up to that expected, so that what is missing can be named.
    fn is_object_len(&self, version: Version, length: u64) -> bool {
        let fixed = self.object_len(version, 0, false);
        [false, true].iter().any(|seeded| {
            let key = pair_len(&self.chain, version, *seeded).saturating_mul(self.digits());
            length
                .checked_sub(fixed)
                .is_some_and(|keys| keys.is_multiple_of(key) && keys / key <= self.occupied.len() as u64)
        })
    }

    fn secret_key_len(&self) -> u64 {
        let words = self.chain.degree.saturating_mul(self.chain.primes.len() as u64);
        words.saturating_mul(8).saturating_add(88)
    }

    /// Refuses what is recognizably another kind of object, by as much of the members as there is.
    fn check_kind(&self, start: &[u8]) -> Result<(), DecodeError> {
        const NESTED: Option<&[u8]> = Some(&[0x5e, 0xa1, 0x10]);
        let mut reader = Reader::new(start);
        let parms_id: [u8; 32] = reader.array()?;
        let (count, scale) = (reader.u64()?, reader.f64()?);
        if start.get(48..51) == NESTED && start.get(64..72) == Some(&count.to_le_bytes()) {
            let key_words = self.chain.degree.checked_mul(self.chain.primes.len() as u64);
            let secret = parms_id == self.chain.key || scale == 1.0 || Some(count) == key_words;
            return Err(if secret { DecodeError::SecretKey } else { Reason::WrongKind.into() });
        }
        // Parameters; a ciphertext or public key of 3.x, and of 4.x.
        if [17..20, 65..68, 73..76].into_iter().any(|at| start.get(at) == NESTED) && count != self.slots {
            return Err(Reason::WrongKind.into());
        }
        Ok(())
    }

    /// All stages of one stream: the keys of its slots.
    fn decode(&self, bytes: &[u8]) -> Result<Vec<SwitchKey>, KeyError> {
        let (object, payload) = ObjectHeader::start(bytes)?;
        let (version, compressed) = (object.version, object.compression != Compression::None);
        if !compressed {
            self.check_kind(payload.get(..LOOK).unwrap_or(payload))?;
            self.check_start(&mut Source::Plain(payload))?;
        }
        object.check_size(bytes, self.max_len().max(self.secret_key_len()))?;
        let content = object.content_len(payload)?;
        let length = content.map(|content| content.saturating_add(HEADER));
        let possible = |length| self.is_object_len(version, length);
        if length.is_some_and(|length| !possible(length) && length != self.secret_key_len()) {
            return Err(Reason::LengthMismatch.into());
        }
        let open = || Source::new(payload, object.compression, content.unwrap_or(0));
        if compressed {
            let mut start = [0; LOOK];
            open()?.read(&mut start)?;
            self.check_kind(&start)?;
        }
        let mut source = open()?;
        self.check_start(&mut source)?;
        if length.is_some_and(|length| !possible(length)) {
            return Err(Reason::LengthMismatch.into());
        }
        let keys = self.read_slots(&mut source, version)?;
        source.finish()?;
        Ok(keys)
    }

    /// Level and number of slots.
    fn check_start(&self, source: &mut Source<'_>) -> Result<(), DecodeError> {
        let (parms_id, slots) = (source.array::<32>()?, source.u64()?);
        if parms_id != self.chain.key {
            let known = self.chain.data.contains(&parms_id);
            return Err(if known { Incompatible::Level } else { Incompatible::Params }.into());
        }
        match slots {
            slots if slots == self.slots => Ok(()),
            1 => Err(Reason::WrongKind.into()),
            slots if slots == self.chain.degree => Err(Reason::WrongKind.into()),
            _ => Err(Reason::LengthMismatch.into()),
        }
    }

    fn read_slots(&self, source: &mut Source<'_>, version: Version) -> Result<Vec<SwitchKey>, KeyError> {
        let mut keys = Vec::with_capacity(self.occupied.len());
        let mut missing = Vec::new();
        let mut expected = self.occupied.iter().peekable();
        let mut seeded = None;
        for slot in 0..self.slots {
            let digits = source.u64()?;
            let wanted = expected.next_if(|next| **next == slot).is_some();
            let empty_allowed = self.slots > 1;
            if digits != self.digits() && !(digits == 0 && empty_allowed) {
                return Err(Reason::LengthMismatch.into());
            }
            match (digits, wanted) {
                (0, false) => {}
                (0, true) => missing.push(slot),
                (_, false) => {
                    return Err(KeyError::Manifest {
                        missing: self.name(&missing),
                        surplus: vec![2 * slot + 1],
                    });
                }
                (_, true) => keys.push(self.read_key(source, version, &mut seeded)?),
            }
        }
        if missing.is_empty() {
            Ok(keys)
        } else {
            Err(KeyError::Manifest { missing: self.name(&missing), surplus: Vec::new() })
        }
    }

    fn name(&self, slots: &[u64]) -> Vec<MissingKey> {
        let element = |slot: &u64| GaloisElement::new(2 * slot + 1, self.context.degree()).ok();
        let level = self.context.max_level();
        slots.iter().filter_map(element).map(|element| MissingKey::Galois { element, level }).collect()
    }

    /// The digits of one key; all of a stream are seeded, or none is.
    fn read_key(
        &self,
        source: &mut Source<'_>,
        version: Version,
        all_seeded: &mut Option<bool>,
    ) -> Result<SwitchKey, DecodeError> {
        let mut digits = Vec::with_capacity(self.chain.primes.len());
        for _ in 0..self.digits() {
            let header: [u8; 16] = source.array()?;
            let [.., s0, s1, s2, s3, s4, s5, s6, s7] = header;
            let size = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
            let declared = size == pair_len(&self.chain, version, true);
            let seeded = *all_seeded.get_or_insert(declared);
            ObjectHeader::parse_nested(header, version, pair_len(&self.chain, version, seeded))?;
            let members = read_members(source, version)?;
            if check_pair(&members, source, version, &self.chain)? != seeded {
                return Err(Reason::LengthMismatch.into());
            }
            let (b, mask) = read_pair(source, version, self.context, &self.chain, seeded)?;
            let a = mask.poly(self.context, &self.chain)?;
            policy::check_mask(&a)?;
            digits.push(KeyDigit::new(b, a));
        }
        SwitchKey::from_digits(self.context, self.context.max_level(), digits)
            .ok_or_else(|| Reason::NonCanonical.into())
    }
}

/// A `RelinKeys` stream with the key for s², full or seeded.
///
/// # Errors
/// [`KeyError::Bytes`].
pub fn decode_relin_keys(bytes: &[u8], context: &Context) -> Result<RelinKey, KeyError> {
    let mut keys = Expected::relin(context)?.decode(bytes)?;
    Ok(RelinKey(keys.pop().ok_or(Reason::LengthMismatch)?))
}

/// A `GaloisKeys` stream with keys for exactly these elements, full or seeded.
///
/// # Errors
/// [`KeyError`].
pub fn decode_galois_keys(
    bytes: &[u8],
    context: &Context,
    elements: &[GaloisElement],
) -> Result<GaloisKeys, KeyError> {
    let expected = Expected::galois(context, elements)?;
    let keys = expected.decode(bytes)?;
    let mut elements = elements.to_vec();
    elements.sort_unstable();
    elements.dedup();
    Ok(GaloisKeys::from_keys(context, elements.into_iter().zip(keys)))
}

/// The streams of all keys of the shape: `RelinKeys` if it has one, then `GaloisKeys` if it has any. SEAL's keys are for
/// every level, so the shape's levels do not matter.
///
/// # Errors
/// [`KeyError`].
pub fn decode_evaluation_keys(bytes: &[u8], shape: &KeyShape) -> Result<EvaluationKeys, KeyError> {
    let context = &*shape.context;
    let elements: Vec<GaloisElement> = shape.manifest.galois().map(|(element, _)| element).collect();
    let (relin, galois) = match (shape.manifest.relinearization().is_some(), elements.is_empty()) {
        (true, true) => (Some(bytes), None),
        (true, false) => {
            let (relin, galois) = split_first(bytes, &Expected::relin(context)?)?;
            (Some(relin), Some(galois))
        }
        (false, false) => (None, Some(bytes)),
        (false, true) => return Err(Reason::WrongKind.into()),
    };
    let mut keys = EvaluationKeys::default();
    if let Some(bytes) = relin {
        keys.relinearization = Some(decode_relin_keys(bytes, context)?);
    }
    if let Some(bytes) = galois {
        keys.galois = decode_galois_keys(bytes, context, &elements)?;
    }
    Ok(keys)
}

/// The first of two streams, as long as its header says, and the rest.
fn split_first<'a>(bytes: &'a [u8], expected: &Expected<'_>) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let (object, payload) = ObjectHeader::start(bytes)?;
    if object.compression == Compression::None {
        expected.check_kind(payload.get(..LOOK).unwrap_or(payload))?;
    }
    if !(HEADER + 1..=expected.max_len().max(expected.secret_key_len())).contains(&object.size) {
        return Err(Reason::LengthMismatch.into());
    }
    let size = usize::try_from(object.size).map_err(|_| Reason::LengthMismatch)?;
    bytes.split_at_checked(size).ok_or_else(|| Reason::Truncated.into())
}

/// Octets of the streams of these keys as written here; 0 for what SEAL streams do not have.
pub(crate) fn written_keys_len(shape: &KeyShape, seeded: bool) -> u64 {
    streams(shape, |stream| stream.object_len(Version::WRITTEN, stream.occupied.len() as u64, seeded))
}

/// Octets of the largest legal encoding; 0 for what SEAL streams do not have.
pub(crate) fn max_keys_len(shape: &KeyShape) -> u64 {
    streams(shape, |stream| stream.max_len())
}

fn streams(shape: &KeyShape, length: impl Fn(&Expected<'_>) -> u64) -> u64 {
    let elements: Vec<GaloisElement> = shape.manifest.galois().map(|(element, _)| element).collect();
    let relin = shape
        .manifest
        .relinearization()
        .map_or(Ok(0), |_| Expected::relin(&shape.context).map(|stream| length(&stream)));
    let galois = if elements.is_empty() {
        Ok(0)
    } else {
        Expected::galois(&shape.context, &elements).map(|stream| length(&stream))
    };
    match (relin, galois) {
        (Ok(relin), Ok(galois)) => relin.saturating_add(galois),
        _ => 0,
    }
}
