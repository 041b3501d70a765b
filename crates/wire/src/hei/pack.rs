//! Residues as a string of bits: little-endian, least significant bit first, each limb padded to a byte with zeros.

use crate::error::{DecodeError, Reason};

/// Octets of `count` residues of `width` bits; `None` when that exceeds a u64.
pub(crate) fn packed_len(count: u64, width: u32) -> Option<u64> {
    Some(count.checked_mul(u64::from(width))?.div_ceil(8))
}

/// Appends `values` at `width` bits each (1..=63). The values are below 2^width.
pub(crate) fn pack(values: impl IntoIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut pending, mut held) = (0u64, 0u32);
    for value in values {
        pending |= value << held;
        held += width;
        if held >= 64 {
            out.extend_from_slice(&pending.to_le_bytes());
            held -= 64;
            // `width - held` bits of the value are written; fewer than 64 because held < width <= 63.
            pending = if held == 0 { 0 } else { value >> (width - held) };
        }
    }
    let tail = pending.to_le_bytes();
    out.extend_from_slice(tail.get(..held.div_ceil(8) as usize).unwrap_or(&tail));
}

/// Appends `count` residues of `width` bits (1..=63), each below `bound`, to `out`.
///
/// `bytes` is exactly one packed limb.
pub(crate) fn unpack(
    bytes: &[u8],
    count: usize,
    width: u32,
    bound: u64,
    out: &mut Vec<u64>,
) -> Result<(), DecodeError> {
    let mask = u64::MAX >> (64 - width.clamp(1, 63));
    let (words, tail) = bytes.as_chunks::<8>();
    let mut last = [0u8; 8];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    let mut words = words.iter().chain(core::iter::once(&last)).map(|word| u64::from_le_bytes(*word));
    let (mut pending, mut held) = (0u64, 0u32);
    let mut largest = 0u64;
    for _ in 0..count {
        let value = if held >= width {
            let value = pending & mask;
            pending >>= width;
            held -= width;
            value
        } else {
            let word = words.next().ok_or(Reason::LengthMismatch)?;
            let value = (pending | (word << held)) & mask;
            pending = word >> (width - held);
            held += 64 - width;
            value
        };
        largest = largest.max(value);
        out.push(value);
    }
    if largest >= bound {
        return Err(Reason::CoefficientOutOfRange.into());
    }
    if pending != 0 {
        return Err(Reason::NonCanonical.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_bit_values_fill_bytes_from_the_low_end() {
        let mut out = Vec::new();
        pack([0b101, 0b011, 0b110], 3, &mut out);
        assert_eq!(out, [0b1001_1101, 0b0000_0001]);
    }

    #[test]
    fn padding_and_range_are_checked() {
        let mut out = Vec::new();
        assert_eq!(unpack(&[0b1001_1101, 0b0000_0001], 3, 3, 8, &mut out), Ok(()));
        assert_eq!(out, [5, 3, 6]);
        for padding in 1..8 {
            let bytes = [0b1001_1101, 0b0000_0001 | 1 << padding];
            assert_eq!(
                unpack(&bytes, 3, 3, 8, &mut Vec::new()),
                Err(Reason::NonCanonical.into()),
                "{padding}"
            );
        }
        let out_of_range = Err(Reason::CoefficientOutOfRange.into());
        assert_eq!(unpack(&[0b1001_1101, 0b0000_0001], 3, 3, 6, &mut Vec::new()), out_of_range);
        assert_eq!(unpack(&[0b1001_1101, 0b0000_0001], 3, 3, 7, &mut Vec::new()), Ok(()));
    }

    proptest! {
        #[test]
        fn unpack_inverts_pack(width in 1u32..=63, raw in proptest::collection::vec(any::<u64>(), 1..200)) {
            let mask = u64::MAX >> (64 - width);
            let values: Vec<u64> = raw.iter().map(|v| v & mask).collect();
            let mut bytes = Vec::new();
            pack(values.iter().copied(), width, &mut bytes);
            prop_assert_eq!(Some(bytes.len() as u64), packed_len(values.len() as u64, width));
            let mut back = Vec::new();
            prop_assert_eq!(unpack(&bytes, values.len(), width, mask + 1, &mut back), Ok(()));
            prop_assert_eq!(back, values);
        }
    }
}
