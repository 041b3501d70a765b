//! Loops behind the samplers: the same source for the portable and for the wide registers.

use super::Level;
use crate::modulus::Modulus;

/// Coins per side of the centered binomial error.
pub const ETA: u32 = 21;

/// Numbers that [`binomial`] makes of a block of words.
pub const BLOCK: usize = 256;

/// Words of such a block: six bytes a number.
pub const BLOCK_WORDS: usize = BLOCK * 6 / 8;

/// out = a mod q, for signed a below q in size. Out [0, q).
#[inline(always)]
pub(super) fn reduce_small(out: &mut [u64], a: &[i8], modulus: &Modulus) {
    let q = modulus.value();
    for (o, x) in out.iter_mut().zip(a) {
        let x = i64::from(*x);
        *o = (x as u64).wrapping_add(q & (x >> 63) as u64);
    }
}

/// Coins minus coins: 21 bits of each of the low and the next bits of a word are counted, without a table or a branch.
#[inline(always)]
fn coins(word: u64) -> i8 {
    const COINS: u64 = (1 << ETA) - 1;
    // Both sides at once, each in half of a word.
    let v = (word & COINS) | (word >> ETA & COINS) << 32;
    let v = v - (v >> 1 & 0x5555_5555_5555_5555);
    let v = (v & 0x3333_3333_3333_3333) + (v >> 2 & 0x3333_3333_3333_3333);
    let v = (v + (v >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    let v = v + (v >> 8);
    let v = v + (v >> 16);
    ((v & 0x3f) as i64 - (v >> 32 & 0x3f) as i64) as i8
}

/// Centered binomial numbers from uniform words: the lowest 48 bits of each, and what three of them have above.
#[inline(always)]
pub(super) fn binomial(out: &mut [i8; BLOCK], words: &[u64; BLOCK_WORDS]) {
    const QUARTER: usize = BLOCK / 4;
    for i in 0..QUARTER {
        let (a, b, c) = (words[i], words[QUARTER + i], words[2 * QUARTER + i]);
        out[i] = coins(a);
        out[QUARTER + i] = coins(b);
        out[2 * QUARTER + i] = coins(c);
        out[3 * QUARTER + i] = coins(a >> 48 | b >> 48 << 16 | c >> 48 << 32);
    }
}

/// Bytes, taken without a sign, modulo 3, minus one.
#[inline(always)]
pub(super) fn thirds(bytes: &mut [i8]) {
    for byte in bytes {
        // floor(byte / 3) for byte < 256 is (byte · 171) >> 9.
        let wide = u16::from(*byte as u8);
        *byte = (wide - 3 * ((wide * 171) >> 9)) as i8 - 1;
    }
}

/// Words without the bits that a mask leaves out, and the largest of them.
#[inline(always)]
pub(super) fn masked(out: &mut [u64], words: &[[u8; 8]], mask: u64, largest: &mut u64) {
    let mut most = 0;
    for (out, word) in out.iter_mut().zip(words) {
        *out = u64::from_le_bytes(*word) & mask;
        most = most.max(*out);
    }
    *largest = most;
}

/// The loops above, with the widest registers there are.
pub mod wide {
    use super::*;

    macro_rules! wide {
        ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*)) => {
            $(#[$doc])*
            #[cfg_attr(
                target_arch = "x86_64",
                expect(unsafe_code, reason = "calls into target-feature functions after detection")
            )]
            pub fn $name($($arg: $type),*) {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
                    fn widest($($arg: $type),*) {
                        super::$name($($arg),*);
                    }
                    #[target_feature(enable = "avx2")]
                    fn wider($($arg: $type),*) {
                        super::$name($($arg),*);
                    }
                    match crate::kernel::level() {
                        // SAFETY: the level is this high only when these instructions were detected.
                        Level::Ifma | Level::Avx512 => return unsafe { widest($($arg),*) },
                        // SAFETY: as above.
                        Level::Avx2 => return unsafe { wider($($arg),*) },
                        Level::Scalar => (),
                    }
                }
                super::$name($($arg),*);
            }
        };
    }

    wide! {
        /// out = a mod q, for signed a below q in size. Out [0, q).
        reduce_small(out: &mut [u64], a: &[i8], modulus: &Modulus)
    }
    wide! {
        /// Centered binomial numbers from uniform words, 21 coins a side.
        binomial(out: &mut [i8; BLOCK], words: &[u64; BLOCK_WORDS])
    }
    wide! {
        /// Bytes, taken without a sign, modulo 3, minus one.
        thirds(bytes: &mut [i8])
    }
    wide! {
        /// Words without the bits that a mask leaves out, and the largest of them.
        masked(out: &mut [u64], words: &[[u8; 8]], mask: u64, largest: &mut u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_difference_of_coins_that_are_used_once() {
        let mut words = [0; BLOCK_WORDS];
        let mut out = [0; BLOCK];
        let count = |word: u64, from: u32| ((word >> from) & ((1 << ETA) - 1)).count_ones() as i8;
        // One bit set at a time: it belongs to one number, or to the six bits of 48 that are not used.
        for at in 0..64 {
            for place in [0, 63, 64, 130, 191] {
                words.fill(0);
                words[place] = 1 << at;
                binomial(&mut out, &words);
                let used: Vec<usize> = (0..BLOCK).filter(|i| out[*i] != 0).collect();
                let bit = if at < 48 { at } else { at - 48 + 16 * (place / 64) };
                let owner = if at < 48 { place } else { 192 + place % 64 };
                match bit {
                    0..21 => assert_eq!((used, out[owner]), (vec![owner], 1)),
                    21..42 => assert_eq!((used, out[owner]), (vec![owner], -1)),
                    _ => assert!(used.is_empty()),
                }
            }
        }
        words = core::array::from_fn(|i| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        binomial(&mut out, &words);
        let mut wide = [0; BLOCK];
        wide::binomial(&mut wide, &words);
        assert_eq!(out, wide);
        for i in 0..192 {
            assert_eq!(out[i], count(words[i], 0) - count(words[i], ETA), "{i}");
        }
    }

    #[test]
    fn thirds_are_remainders() {
        let bytes: [i8; 256] = core::array::from_fn(|i| i as u8 as i8);
        let (mut out, mut wide) = (bytes, bytes);
        thirds(&mut out);
        wide::thirds(&mut wide);
        assert!(out == wide && (0..256).all(|i| i32::from(out[i]) == i as i32 % 3 - 1));
    }

    #[test]
    fn small_numbers_are_residues() {
        let modulus = Modulus::new(1_073_479_681).unwrap();
        let small: Vec<i8> = (-128..=127).collect();
        let (mut out, mut wide) = ([0; 256], [0; 256]);
        reduce_small(&mut out, &small, &modulus);
        wide::reduce_small(&mut wide, &small, &modulus);
        assert!(out == wide && small.iter().zip(out).all(|(x, o)| modulus.from_signed((*x).into()) == o));
    }
}
