//! The members of a SEAL object as a stream, whatever compression is around them.

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::Read;
use zeroize::Zeroize;

use super::frame::{Compression, ObjectHeader, Version};
use super::zstd;
use crate::error::{DecodeError, Reason};

/// Decompresses as much as is asked for and never more than a window ahead.
pub(crate) enum Source<'a> {
    Plain(&'a [u8]),
    Zlib { state: Box<InflateState>, rest: &'a [u8], done: bool },
    Zstd { decoder: Box<FrameDecoder>, rest: &'a [u8] },
}

impl<'a> Source<'a> {
    /// `payload` is everything after the object's header; `content` the length that follows from the expected shape,
    /// checked here where the compression declares one.
    pub(crate) fn new(
        payload: &'a [u8],
        compression: Compression,
        content: u64,
    ) -> Result<Self, DecodeError> {
        match compression {
            Compression::None => Ok(Self::Plain(payload)),
            Compression::Zlib => {
                check_zlib_header(payload)?;
                Ok(Self::Zlib {
                    state: InflateState::new_boxed(DataFormat::Zlib),
                    rest: payload,
                    done: false,
                })
            }
            Compression::Zstd => {
                zstd::check_frame(payload, content)?;
                let mut rest = payload;
                let mut decoder = Box::new(FrameDecoder::new());
                decoder.init(payload).map_err(|_| Reason::NonCanonical)?;
                // Starting over reserves the window at once; a decoder that grows into it holds it twice on the way.
                decoder.reset(&mut rest).map_err(|_| Reason::NonCanonical)?;
                Ok(Self::Zstd { decoder, rest })
            }
        }
    }

    /// Fills `out`, or the members end early.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<(), DecodeError> {
        let mut filled = 0;
        while filled < out.len() {
            let target = out.get_mut(filled..).unwrap_or_default();
            let count = self.read_some(target)?;
            if count == 0 {
                return Err(Reason::Truncated.into());
            }
            filled += count;
        }
        Ok(())
    }

    /// Some bytes of the members; 0 exactly at their end. `out` is not empty.
    pub(crate) fn read_some(&mut self, out: &mut [u8]) -> Result<usize, DecodeError> {
        match self {
            Self::Plain(rest) => rest.read(out).map_err(|_| Reason::Truncated.into()),
            Self::Zlib { done: true, .. } => Ok(0),
            Self::Zlib { state, rest, done } => loop {
                let result = inflate(state, rest, out, MZFlush::None);
                *rest = rest.get(result.bytes_consumed..).unwrap_or_default();
                match result.status {
                    Ok(MZStatus::StreamEnd) => *done = true,
                    Ok(_) => {}
                    // No progress is possible: the input has ended inside the stream.
                    Err(miniz_oxide::MZError::Buf) => return Err(Reason::Truncated.into()),
                    Err(_) => return Err(Reason::NonCanonical.into()),
                }
                if result.bytes_written > 0 || *done {
                    return Ok(result.bytes_written);
                }
                if result.bytes_consumed == 0 {
                    return Err(Reason::Truncated.into());
                }
            },
            Self::Zstd { decoder, rest } => {
                while decoder.can_collect() == 0 && !decoder.is_finished() {
                    decoder
                        .decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBlocks(1))
                        .map_err(|_| Reason::NonCanonical)?;
                }
                decoder.read(out).map_err(|_| Reason::NonCanonical.into())
            }
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A nested header of exactly this size.
    pub(crate) fn nested(&mut self, version: Version, size: u64) -> Result<(), DecodeError> {
        ObjectHeader::parse_nested(self.array()?, version, size)
    }

    /// Appends limbs of `degree` words, each word below its prime.
    pub(crate) fn residues(
        &mut self,
        degree: usize,
        primes: &[u64],
        out: &mut Vec<u64>,
    ) -> Result<(), DecodeError> {
        let mut chunk = [0u8; 4096];
        for q in primes {
            let mut left = degree;
            while left > 0 {
                let count = left.min(chunk.len() / 8);
                let bytes = chunk.get_mut(..count * 8).unwrap_or_default();
                self.read(bytes)?;
                for word in bytes.as_chunks::<8>().0 {
                    let word = u64::from_le_bytes(*word);
                    if word >= *q {
                        return Err(Reason::CoefficientOutOfRange.into());
                    }
                    out.push(word);
                }
                left -= count;
            }
        }
        // The residues may be those of a secret key.
        chunk.zeroize();
        Ok(())
    }

    /// The members end here, and so does the compressed stream with every check it carries.
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        let mut one = [0u8; 1];
        if self.read_some(&mut one)? != 0 {
            return Err(Reason::TrailingBytes.into());
        }
        match self {
            Self::Zlib { rest, .. } if !rest.is_empty() => Err(Reason::TrailingBytes.into()),
            _ => Ok(()),
        }
    }
}

/// RFC 1950: deflate, a window of at most 32 KiB, header check, no preset dictionary.
fn check_zlib_header(payload: &[u8]) -> Result<(), DecodeError> {
    let [cmf, flg, ..] = *payload else { return Err(Reason::Truncated.into()) };
    let sane = cmf & 0x0f == 8 && cmf >> 4 <= 7 && u16::from_be_bytes([cmf, flg]).is_multiple_of(31);
    if sane && flg & 0x20 == 0 { Ok(()) } else { Err(Reason::NonCanonical.into()) }
}
