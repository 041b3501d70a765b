//! What a SEAL stream is. Its objects carry no kind, so this goes by structure.

use hei_ckks::ParamsId;

use super::frame::{Compression, HEADER, Members, ObjectHeader, Version};
use super::parameters::decode_parameters;
use super::source::Source;
use crate::Format;
use crate::error::{DecodeError, Reason};
use crate::inspect::Description;
use crate::read::Reader;
use crate::shape::{Form, Kind};

/// Longest beginning of the members that is looked at.
const START: usize = 97;

/// Octets of the members of a plaintext before its residues.
const PLAINTEXT_START: usize = 72;

/// Describes a stream by its header and the beginning of its members; at most a window of a compressed one is
/// decompressed.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Description, DecodeError> {
    let (object, payload) = ObjectHeader::outer(bytes, u64::MAX)?;
    let content = object.content_len(payload)?;
    let mut source = Source::new(payload, object.compression, content.unwrap_or(0))?;
    let mut start = Vec::with_capacity(START);
    while start.len() < START {
        let mut one = [0];
        if source.read_some(&mut one)? == 0 {
            break;
        }
        start.extend_from_slice(&one);
    }
    let mut description = describe(bytes, &start, object.version)?;
    description.version = Some(object.version);
    description.compression = Some(object.compression);
    if object.compression == Compression::None && description.kind == "key-switching-keys" {
        description.items = Some(count_switch_keys(payload));
    }
    Ok(description)
}

/// The beginning of the members, as far as it is there and of one length at most; the stream need not be whole unless it
/// is compressed.
pub(crate) fn members_start(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (object, payload) = ObjectHeader::start(bytes)?;
    let content = object.content_len(payload)?;
    let mut source = Source::new(payload, object.compression, content.unwrap_or(0))?;
    let mut start = vec![0; PLAINTEXT_START];
    source.read(&mut start)?;
    Ok(start)
}

fn describe(bytes: &[u8], start: &[u8], version: Version) -> Result<Description, DecodeError> {
    let new = |kind| Description::new(Format::Seal, kind, bytes.len());
    if start.get(17..20) == Some(&[0x5e, 0xa1, 0x10]) {
        let parameters = decode_parameters(bytes)?;
        return Ok(Description {
            degree: Some(parameters.degree),
            limbs: Some(parameters.primes.len() as u64),
            primes: parameters.primes,
            ..new("parameters")
        });
    }
    let mut reader = Reader::new(start);
    let params_id = Some(ParamsId(reader.array()?));
    let (count, scale, nested) = (reader.u64()?, reader.f64()?, reader.array::<16>()?);
    if nested.starts_with(&[0x5e, 0xa1, 0x10]) {
        if reader.u64()? == count {
            // A secret key is a plaintext at key level, and plaintexts that mean something have a larger scale.
            let kind = if scale == 1.0 { Kind::SecretKey.as_str() } else { "plaintext" };
            return Ok(Description { params_id, scale: Some(scale), form: Some(Form::Ntt), ..new(kind) });
        }
        return Ok(Description { params_id, ..new("key-switching-keys") });
    }
    if looks_like_galois_keys(start) {
        return Ok(Description { params_id, ..new("key-switching-keys") });
    }
    let mut reader = Reader::new(start);
    let members = Members::parse(&mut reader, version)?;
    reader.take(HEADER)?;
    let words = members.degree.saturating_mul(members.primes);
    let seeded = members.size == 2 && reader.u64()? == words;
    // A public key is a ciphertext of scale 1 at key level.
    let kind = if members.scale == 1.0 { Kind::PublicKey } else { Kind::Ciphertext };
    Ok(Description {
        degree: Some(members.degree),
        limbs: Some(members.primes),
        parts: Some(members.size),
        scale: Some(members.scale),
        form: Some(if members.ntt { Form::Ntt } else { Form::Coefficient }),
        seeded: Some(seeded),
        params_id,
        ..new(kind.as_str())
    })
}

/// Outer count a power of two that is a degree, then a slot that is empty or holds keys.
fn looks_like_galois_keys(start: &[u8]) -> bool {
    let mut reader = Reader::new(start.get(32..).unwrap_or_default());
    let (Ok(outer), Ok(inner)) = (reader.u64(), reader.u64()) else { return false };
    outer.is_power_of_two() && (2..=131_072).contains(&outer) && inner <= 64
}

/// Slots that hold keys; stops quietly where the structure does.
fn count_switch_keys(payload: &[u8]) -> u64 {
    let walk = || -> Result<u64, DecodeError> {
        let mut reader = Reader::new(payload);
        reader.take(32)?;
        let outer = reader.u64()?;
        let mut keys = 0;
        for _ in 0..outer {
            let Ok(inner) = reader.u64() else { return Ok(keys) };
            for _ in 0..inner {
                let header = ObjectHeader::parse(reader.array()?)?;
                reader.take(header.size.checked_sub(HEADER).ok_or(Reason::LengthMismatch)?)?;
            }
            keys += u64::from(inner > 0);
        }
        Ok(keys)
    };
    walk().unwrap_or(0)
}
