//! What a zstd payload may look like, decided before anything is decompressed.
//!
//! SEAL writes one frame (RFC 8878) with its content size, without checksum or dictionary, with a window of at most
//! 2 MiB. Exactly that is accepted: parsers of different SEAL versions disagree about everything else.

use crate::error::{DecodeError, Reason};
use crate::read::Reader;

const FRAME_MAGIC: u32 = 0xFD2F_B528;
const MAX_WINDOW: u64 = 2 << 20;
const MAX_BLOCK: u64 = 128 << 10;

/// Checks the frame header; the content size it declares.
pub(crate) fn content_size(payload: &[u8]) -> Result<u64, DecodeError> {
    Ok(frame_header(&mut Reader::new(payload))?.0)
}

/// Walks the whole frame: its blocks end exactly where the payload does, and those whose size is known without
/// decompressing do not exceed the declared content.
pub(crate) fn check_frame(payload: &[u8], expected: u64) -> Result<(), DecodeError> {
    let mut reader = Reader::new(payload);
    let (content, window) = frame_header(&mut reader)?;
    if content != expected {
        return Err(Reason::LengthMismatch.into());
    }
    let block_limit = window.min(MAX_BLOCK);
    let mut known = 0u64;
    loop {
        let [b0, b1, b2] = reader.array()?;
        let header = u32::from_le_bytes([b0, b1, b2, 0]);
        let size = u64::from(header >> 3);
        match (header >> 1) & 3 {
            0 => {
                reader.take(size)?;
                known += size;
            }
            1 => {
                reader.take(1)?;
                known += size;
            }
            2 => check_compressed_block(reader.take(size)?, block_limit)?,
            _ => return Err(Reason::NonCanonical.into()),
        }
        if size > block_limit {
            return Err(Reason::NonCanonical.into());
        }
        if known > expected {
            return Err(Reason::LengthMismatch.into());
        }
        if header & 1 == 1 {
            break;
        }
    }
    if reader.rest().is_empty() { Ok(()) } else { Err(Reason::TrailingBytes.into()) }
}

/// The sizes a compressed block declares for its parts. A decoder reserves memory from both, so neither may exceed what
/// a block can hold; residues repeat at most every eight bytes, so one sequence for every four is more than enough.
fn check_compressed_block(block: &[u8], block_limit: u64) -> Result<(), DecodeError> {
    let mut reader = Reader::new(block);
    let first = *block.first().ok_or(Reason::NonCanonical)?;
    let format = (first >> 2) & 3;
    let header_len = match (first & 3 <= 1, format) {
        (true, 0 | 2) => 1,
        (true, 1) => 2,
        (true, _) | (false, 0 | 1) => 3,
        (false, 2) => 4,
        (false, _) => 5,
    };
    let mut bytes = [0u8; 8];
    for (to, from) in bytes.iter_mut().zip(reader.take(header_len)?) {
        *to = *from;
    }
    let header = u64::from_le_bytes(bytes);
    let (regenerated, stored) = match (first & 3, format) {
        (0, 0 | 2) => (header >> 3, header >> 3),
        (0, _) => (header >> 4, header >> 4),
        (1, 0 | 2) => (header >> 3, 1),
        (1, _) => (header >> 4, 1),
        (_, 0 | 1) => ((header >> 4) & 0x3ff, header >> 14),
        (_, 2) => ((header >> 4) & 0x3fff, header >> 18),
        _ => ((header >> 4) & 0x3_ffff, header >> 22),
    };
    reader.take(stored)?;
    let sequences = match u64::from(reader.u8()?) {
        few @ 0..=127 => few,
        255 => u64::from(reader.u16()?) + 0x7f00,
        more => ((more - 128) << 8) + u64::from(reader.u8()?),
    };
    let possible = regenerated <= block_limit && sequences <= (block_limit / 4).max(64);
    if possible { Ok(()) } else { Err(Reason::NonCanonical.into()) }
}

/// Content size and window of a frame header of the accepted form.
fn frame_header(reader: &mut Reader<'_>) -> Result<(u64, u64), DecodeError> {
    if reader.u32()? != FRAME_MAGIC {
        return Err(Reason::NonCanonical.into());
    }
    let descriptor = reader.u8()?;
    let single_segment = descriptor & 0x20 != 0;
    // Unused bit, reserved bit, checksum and dictionary: all absent.
    if descriptor & 0b0001_1111 != 0 {
        return Err(Reason::NonCanonical.into());
    }
    let declared_window = if single_segment { None } else { Some(reader.u8()?) };
    let content = match (descriptor >> 6, single_segment) {
        (0, false) => return Err(Reason::NonCanonical.into()),
        (0, true) => u64::from(reader.u8()?),
        (1, _) => u64::from(reader.u16()?) + 256,
        (2, _) => u64::from(reader.u32()?),
        _ => reader.u64()?,
    };
    let window = match declared_window {
        None => content,
        Some(byte) => {
            let base = 1u64 << (10 + (byte >> 3));
            base + (base >> 3) * u64::from(byte & 7)
        }
    };
    if window > MAX_WINDOW {
        return Err(Reason::NonCanonical.into());
    }
    Ok((content, window))
}
