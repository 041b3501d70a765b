//! Seeds to polynomials: the public mask expansion of `hei/1`, and the error and secret samplers.
//!
//! Every stream is ChaCha20 (RFC 8439) under a 32-byte key with a nonce that names its purpose, so two purposes never
//! share a byte even if they shared a key.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::{Zeroize, Zeroizing};

use crate::Modulus;
use crate::kernel::draw::{BLOCK, BLOCK_WORDS, ETA, wide as draw};

/// Purpose of a stream: the first four bytes of its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Domain {
    /// Public masks on the wire. Normative, see `spec/wire.md`.
    Mask = u32::from_le_bytes(*b"hei1"),
    /// Encryption errors.
    Error = u32::from_le_bytes(*b"err1"),
    /// Secret keys.
    Secret = u32::from_le_bytes(*b"sec1"),
    /// The ephemeral secret of public-key encryption.
    Ephemeral = u32::from_le_bytes(*b"eph1"),
}

/// One keystream, read as words. Wiped on drop.
pub struct Stream {
    /// On the heap: a value that is moved leaves its bytes behind where it was.
    cipher: Box<ChaCha20>,
    buffer: Zeroizing<[u8; Self::BUFFER]>,
    position: usize,
    secret: bool,
}

impl Stream {
    const BUFFER: usize = 4096;

    /// The stream of `key` with nonce `domain ‖ part ‖ limb`, little-endian, block counter from 0.
    pub fn new(key: &[u8; 32], domain: Domain, part: u32, limb: u32) -> Self {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&(domain as u32).to_le_bytes());
        nonce[4..8].copy_from_slice(&part.to_le_bytes());
        nonce[8..].copy_from_slice(&limb.to_le_bytes());
        Self {
            cipher: cipher(key, &nonce),
            buffer: Zeroizing::new([0; Self::BUFFER]),
            position: Self::BUFFER,
            secret: domain != Domain::Mask,
        }
    }

    /// The words that are left in the buffer, refilled when there are none. Whoever reads them moves `position`.
    fn words(&mut self) -> &[[u8; 8]] {
        if self.position == Self::BUFFER {
            self.refill();
        }
        self.buffer[self.position..].as_chunks().0
    }

    fn refill(&mut self) {
        // Zeros, for the cipher to add its keystream to; the wipe is the drop's.
        self.buffer.fill(0);
        self.cipher.apply_keystream(&mut *self.buffer);
        self.position = 0;
    }

    /// The next `LEN` bytes. `LEN` divides the buffer or is small; leftovers at its end are carried over.
    fn take<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut out = [0; LEN];
        let mut filled = 0;
        while filled < LEN {
            if self.position == Self::BUFFER {
                self.refill();
            }
            let n = (LEN - filled).min(Self::BUFFER - self.position);
            out[filled..filled + n].copy_from_slice(&self.buffer[self.position..self.position + n]);
            filled += n;
            self.position += n;
        }
        out
    }
}

/// Not inlined, so that what it leaves on the stack is below whoever drops the stream.
#[inline(never)]
fn cipher(key: &[u8; 32], nonce: &[u8; 12]) -> Box<ChaCha20> {
    Box::new(ChaCha20::new(key.into(), nonce.into()))
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.secret {
            wipe_stack();
        }
    }
}

/// Zeros 16 KiB of stack below its caller, where the samplers had their frames, and the cipher, which works on copies of its key.
#[inline(never)]
fn wipe_stack() {
    let mut frames = [0u64; 2048];
    frames.zeroize();
}

/// Uniform residues: little-endian 64-bit words, masked to the bit length of the prime, those not below it dropped.
///
/// This is the normative expansion of `hei/1` seeds (with [`Domain::Mask`]). Accepts more than half of the words.
pub fn uniform(stream: &mut Stream, modulus: &Modulus, out: &mut [u64]) {
    const AT_ONCE: usize = 64;
    let (mask, q) = (u64::MAX >> (64 - modulus.bits()), modulus.value());
    let mut filled = 0;
    while filled < out.len() {
        let words = stream.words();
        let count = words.len().min(AT_ONCE).min(out.len() - filled);
        let (words, mut largest) = (&words[..count], 0);
        // Primes lie close to a power of two, so nearly always all words of a stretch are kept.
        draw::masked(&mut out[filled..filled + count], words, mask, &mut largest);
        if largest < q {
            filled += count;
        } else {
            for bytes in words {
                // Written in any case, kept when below the prime: no branch to predict.
                let word = u64::from_le_bytes(*bytes) & mask;
                out[filled] = word;
                filled += usize::from(word < q);
            }
        }
        stream.position += 8 * count;
    }
}

/// Coins per side of the centered binomial error.
pub const ERROR_ETA: u32 = ETA;

/// Standard deviation of the error: sqrt(eta / 2) = sqrt(10.5).
pub const ERROR_STD: f64 = 3.240_370_349_203_93;

/// Centered binomial errors in [-21, 21]: 21 coins minus 21 coins from six bytes. No branch and no address depends on a value.
pub fn error(stream: &mut Stream, out: &mut [i8]) {
    let mut words = Zeroizing::new([0u64; BLOCK_WORDS]);
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let mut draw = |block: &mut [i8; BLOCK]| {
        let bytes = Zeroizing::new(stream.take::<{ 8 * BLOCK_WORDS }>());
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        draw::binomial(block, &words);
    };
    for block in blocks {
        draw(block);
    }
    if !rest.is_empty() {
        let mut block = Zeroizing::new([0; BLOCK]);
        draw(&mut block);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

/// Uniform ternary coefficients in {-1, 0, 1} from bytes below 255. How many bytes are dropped says nothing about those
/// that are kept, and the reduction is a multiplication.
pub fn ternary(stream: &mut Stream, out: &mut [i8]) {
    accept(stream, out);
    draw::thirds(out);
}

/// The next bytes below 255. On its own, and not inlined, because it is the one place where time depends on a secret's
/// stream: the constant-time checks know it by its name and let nothing else pass.
#[inline(never)]
fn accept(stream: &mut Stream, out: &mut [i8]) {
    let mut filled = 0;
    while filled < out.len() {
        for byte in stream.take::<256>() {
            if filled == out.len() {
                break;
            }
            // Written in any case, kept when below 255.
            out[filled] = byte as i8;
            filled += usize::from(byte < 255);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_names_differ_and_equal_names_agree() {
        let q = Modulus::new(1_073_479_681).unwrap();
        let draw = |domain, part, limb| {
            let mut out = [0; 32];
            uniform(&mut Stream::new(&[7; 32], domain, part, limb), &q, &mut out);
            out
        };
        let base = draw(Domain::Mask, 1, 0);
        assert_eq!(base, draw(Domain::Mask, 1, 0));
        for other in [draw(Domain::Mask, 1, 1), draw(Domain::Mask, 0, 0), draw(Domain::Error, 1, 0)] {
            assert_ne!(base, other);
        }
    }

    /// RFC 8439, A.1, test vector 1, reached through the nonce of an all-zero name.
    #[test]
    fn the_keystream_is_chacha20() {
        let mut cipher = ChaCha20::new(&[0; 32].into(), &[0; 12].into());
        let mut block = [0u8; 16];
        cipher.apply_keystream(&mut block);
        assert_eq!(
            block,
            [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28]
        );
    }

    #[test]
    fn uniform_residues_stay_below_the_prime_and_fill_its_range() {
        let q = Modulus::new(65_537).unwrap();
        let mut out = vec![0; 1 << 16];
        uniform(&mut Stream::new(&[1; 32], Domain::Mask, 1, 0), &q, &mut out);
        let mean = out.iter().sum::<u64>() as f64 / out.len() as f64;
        // Standard deviation of the mean: q / sqrt(12 * 65536) = 74.
        assert!((mean - 32_768.0).abs() < 6.0 * 74.0, "mean {mean}");
        assert!(out.iter().all(|x| *x < 65_537));
        assert!(out.iter().any(|x| *x > 65_400) && out.iter().any(|x| *x < 130));
    }

    #[test]
    fn errors_have_the_binomial_moments() {
        let mut out = vec![0; 1_000_000];
        error(&mut Stream::new(&[2; 32], Domain::Error, 0, 0), &mut out);
        let mean = out.iter().map(|e| f64::from(*e)).sum::<f64>() / 1e6;
        let variance = out.iter().map(|e| f64::from(*e).powi(2)).sum::<f64>() / 1e6;
        // Standard errors: 3.24e-3 and about 1.47e-2.
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((variance - 10.5).abs() < 0.09, "variance {variance}");
        assert!(out.iter().all(|e| (-21..=21).contains(e)));
        assert!(out.iter().any(|e| e.abs() > 12));
        assert!((ERROR_STD - 10.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn ternary_coefficients_are_equally_frequent() {
        let mut out = vec![0; 300_000];
        ternary(&mut Stream::new(&[3; 32], Domain::Secret, 0, 0), &mut out);
        for value in -1..=1 {
            let count = out.iter().filter(|s| **s == value).count() as f64;
            // Standard deviation sqrt(300000 * 2/9) = 258.
            assert!((count - 100_000.0).abs() < 6.0 * 258.0, "{value}: {count}");
        }
    }
}
