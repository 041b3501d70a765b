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
            2 => {
                reader.take(size)?;
            }
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
