//! The 16 bytes before every SEAL object, and the members that follow them in a ciphertext.

use super::zstd;
use crate::error::{DecodeError, Reason};
use crate::read::{Reader, check_scale};

/// Length of the header of an object.
pub(crate) const HEADER: u64 = 16;

/// The first two bytes of every SEAL object.
pub(crate) const MAGIC: [u8; 2] = [0x5e, 0xa1];

/// The version in an object's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// 3 or 4.
    pub major: u8,
    /// 6 or 7 for major 3, 0 to 4 for major 4.
    pub minor: u8,
}

impl Version {
    /// What this crate writes: the one version that every current SEAL reads, full and seeded.
    pub const WRITTEN: Self = Self { major: 3, minor: 7 };

    fn supported(self) -> bool {
        matches!((self.major, self.minor), (3, 6 | 7) | (4, 0..=4))
    }

    /// Whether ciphertexts carry the correction factor, eight bytes after the scale.
    pub(crate) fn has_correction_factor(self) -> bool {
        self.major == 4
    }
}

/// How an object's members are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1950.
    Zlib,
    /// RFC 8878.
    Zstd,
}

/// The header of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectHeader {
    pub(crate) version: Version,
    pub(crate) compression: Compression,
    /// Of the whole object as transmitted, this header included.
    pub(crate) size: u64,
}

impl ObjectHeader {
    pub(crate) fn parse(bytes: [u8; 16]) -> Result<Self, DecodeError> {
        let [m0, m1, header_size, major, minor, compression, r0, r1, size @ ..] = bytes;
        if [m0, m1] != MAGIC {
            return Err(Reason::BadMagic.into());
        }
        match header_size {
            0x10 => {}
            // The 3.4 layout keeps a zero here.
            0 => return Err(Reason::BadVersion.into()),
            _ => return Err(Reason::NonCanonical.into()),
        }
        let version = Version { major, minor };
        if !version.supported() {
            return Err(Reason::BadVersion.into());
        }
        let compression = match compression {
            0 => Compression::None,
            1 => Compression::Zlib,
            2 => Compression::Zstd,
            _ => return Err(Reason::NonCanonical.into()),
        };
        if [r0, r1] != [0, 0] {
            return Err(Reason::NonCanonical.into());
        }
        Ok(Self { version, compression, size: u64::from_le_bytes(size) })
    }

    /// The header of a whole stream and what follows it; the size it declares is the size there is, at most `max`.
    pub(crate) fn outer(bytes: &[u8], max: u64) -> Result<(Self, &[u8]), DecodeError> {
        let (header, payload) = Self::start(bytes)?;
        header.check_size(bytes, max)?;
        Ok((header, payload))
    }

    /// The header of a whole stream and what follows it, its size not checked.
    pub(crate) fn start(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        if bytes.is_empty() {
            return Err(Reason::LengthMismatch.into());
        }
        if bytes.iter().zip(MAGIC).any(|(actual, expected)| *actual != expected) {
            return Err(Reason::BadMagic.into());
        }
        let mut reader = Reader::new(bytes);
        Ok((Self::parse(reader.array()?)?, reader.rest()))
    }

    /// The declared size is possible and is the size there is.
    pub(crate) fn check_size(&self, bytes: &[u8], max: u64) -> Result<(), DecodeError> {
        if !(HEADER + 1..=max).contains(&self.size) {
            return Err(Reason::LengthMismatch.into());
        }
        match (bytes.len() as u64).cmp(&self.size) {
            core::cmp::Ordering::Less => Err(Reason::Truncated.into()),
            core::cmp::Ordering::Equal => Ok(()),
            core::cmp::Ordering::Greater => Err(Reason::TrailingBytes.into()),
        }
    }

    /// Octets of the members, where they are known before decompression.
    pub(crate) fn content_len(&self, payload: &[u8]) -> Result<Option<u64>, DecodeError> {
        match self.compression {
            Compression::None => Ok(Some(payload.len() as u64)),
            Compression::Zlib => Ok(None),
            Compression::Zstd => zstd::content_size(payload).map(Some),
        }
    }

    /// A header inside an object: same version, not compressed, exactly the expected size.
    pub(crate) fn parse_nested(bytes: [u8; 16], version: Version, size: u64) -> Result<(), DecodeError> {
        let header = Self::parse(bytes).map_err(|error| match error {
            DecodeError::Invalid(Reason::BadVersion) => error,
            _ => Reason::NonCanonical.into(),
        })?;
        if header.version != version {
            return Err(Reason::BadVersion.into());
        }
        if header.compression != Compression::None {
            return Err(Reason::NonCanonical.into());
        }
        if header.size != size {
            return Err(Reason::LengthMismatch.into());
        }
        Ok(())
    }

    /// Appends an uncompressed header in the version this crate writes.
    pub(crate) fn write(size: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0x10, Version::WRITTEN.major, Version::WRITTEN.minor, 0, 0, 0]);
        out.extend_from_slice(&size.to_le_bytes());
    }
}

/// What a ciphertext says about itself before its residues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members {
    pub(crate) parms_id: [u8; 32],
    pub(crate) ntt: bool,
    pub(crate) size: u64,
    pub(crate) degree: u64,
    pub(crate) primes: u64,
    pub(crate) scale: f64,
}

impl Members {
    /// Bytes of the members in this version.
    pub(crate) fn encoded_len(version: Version) -> u64 {
        if version.has_correction_factor() { 73 } else { 65 }
    }

    /// Reads the members and checks what needs no knowledge of the parameters.
    pub(crate) fn parse(reader: &mut Reader<'_>, version: Version) -> Result<Self, DecodeError> {
        let parms_id = reader.array()?;
        let ntt = reader.u8()?;
        let members = Self {
            parms_id,
            ntt: ntt == 1,
            size: reader.u64()?,
            degree: reader.u64()?,
            primes: reader.u64()?,
            scale: reader.f64()?,
        };
        let correction = if version.has_correction_factor() { reader.u64()? } else { 1 };
        let counts_sane = (1..=16).contains(&members.size)
            && members.degree.is_power_of_two()
            && (2..=131_072).contains(&members.degree)
            && (1..=64).contains(&members.primes);
        if ntt > 1 || correction != 1 || !counts_sane {
            return Err(Reason::NonCanonical.into());
        }
        check_scale(members.scale)?;
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: [u8; 2]) -> [u8; 16] {
        let mut bytes = [0u8; 16];
        bytes[..5].copy_from_slice(&[0x5e, 0xa1, 0x10, version[0], version[1]]);
        bytes[8] = 99;
        bytes
    }

    #[test]
    fn versions() {
        for version in [[3, 6], [3, 7], [4, 0], [4, 1], [4, 2], [4, 3], [4, 4]] {
            assert!(ObjectHeader::parse(header(version)).is_ok_and(|h| h.size == 99), "{version:?}");
        }
        for version in [[3, 3], [3, 4], [3, 5], [3, 8], [4, 5], [5, 0], [2, 9], [0, 0]] {
            let error = ObjectHeader::parse(header(version)).err();
            assert_eq!(error, Some(Reason::BadVersion.into()), "{version:?}");
        }
    }

    #[test]
    fn written_headers_are_read() {
        let mut bytes = Vec::new();
        ObjectHeader::write(12_345, &mut bytes);
        let header = ObjectHeader::parse(bytes.try_into().unwrap()).unwrap();
        assert_eq!(
            (header.version, header.compression, header.size),
            (Version::WRITTEN, Compression::None, 12_345)
        );
    }
}
