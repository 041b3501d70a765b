//! The expansion of a SEAL seed (3.6 and later) into the second polynomial of a ciphertext.

use hei_ckks::{Context, RandomSource, RandomnessError};
use hei_ring::{Modulus, Ntt, Poly};
use shake::digest::{ExtendableOutput, Update, XofReader};

use super::blake2::{Tree, blake2b};

const BLOCK: usize = 4096;

/// The 64-byte seed in a seeded SEAL object, with the generator that expands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealSeed {
    /// SEAL's default generator.
    Blake2xb([u8; 64]),
    /// The build option.
    Shake256([u8; 64]),
}

impl SealSeed {
    /// The mask of a fresh ciphertext over the first `limbs` data primes of a context (all of them, if it has fewer).
    pub fn mask(&self, context: &Context, limbs: usize) -> Option<Poly<Ntt>> {
        let primes: Vec<u64> = context.data_moduli().take(limbs).map(Modulus::value).collect();
        Poly::from_data(context.degree(), self.expand(context.degree(), &primes))
    }

    /// A fresh seed for SEAL's default generator.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn generate(randomness: &mut impl RandomSource) -> Result<Self, RandomnessError> {
        let mut seed = [0; 64];
        for half in seed.as_chunks_mut::<32>().0 {
            *half = *randomness.key()?;
        }
        Ok(Self::Blake2xb(seed))
    }

    /// The residues the seed stands for, limb-major, as SEAL stores them: already in NTT form.
    ///
    /// The words of all primes are drawn at once; then, in order, each word that is not below the largest usable
    /// multiple of its prime is replaced by the next word of the stream. `degree` is at least 1, primes at least 2.
    pub fn expand(&self, degree: usize, primes: &[u64]) -> Vec<u64> {
        let mut stream = Stream::new(*self);
        let mut words: Vec<u64> = (0..degree * primes.len()).map(|_| stream.word()).collect();
        for (limb, q) in words.chunks_exact_mut(degree.max(1)).zip(primes) {
            let bound = u64::MAX - (u64::MAX % q) - 1;
            for word in limb {
                while *word >= bound {
                    *word = stream.word();
                }
                *word %= q;
            }
        }
        words
    }
}

/// The generator's output, block by block.
struct Stream {
    seed: SealSeed,
    counter: u64,
    block: Box<[[u8; 8]; BLOCK / 8]>,
    next: usize,
}

impl Stream {
    fn new(seed: SealSeed) -> Self {
        Self { seed, counter: 0, block: Box::new([[0; 8]; BLOCK / 8]), next: BLOCK / 8 }
    }

    fn word(&mut self) -> u64 {
        if self.next >= BLOCK / 8 {
            self.refill();
        }
        let word = self.block.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        u64::from_le_bytes(word)
    }

    fn refill(&mut self) {
        let counter = self.counter.to_le_bytes();
        let bytes = self.block.as_flattened_mut();
        match &self.seed {
            SealSeed::Blake2xb(seed) => blake2xb(seed, &counter, bytes),
            SealSeed::Shake256(seed) => {
                let mut hasher = shake::Shake256::default();
                hasher.update(seed);
                hasher.update(&counter);
                hasher.finalize_xof().read(bytes);
            }
        }
        self.counter += 1;
        self.next = 0;
    }
}

/// BLAKE2Xb with a known output length (<https://www.blake2.net/blake2x.pdf>); `out` is a multiple of 64 bytes.
fn blake2xb(key: &[u8; 64], input: &[u8], out: &mut [u8]) {
    let xof_length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    let root = blake2b(64, Tree { xof_length, ..Tree::SEQUENTIAL }, key, input);
    for (node_offset, leaf) in (0u32..).zip(out.chunks_exact_mut(64)) {
        let tree = Tree { fanout: 0, depth: 0, leaf_length: 64, node_offset, xof_length, inner_length: 64 };
        leaf.copy_from_slice(&blake2b(64, tree, &[], &root));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed_bytes() -> [u8; 64] {
        core::array::from_fn(|i| i as u8)
    }

    fn first_32(seed: SealSeed) -> String {
        let mut stream = Stream::new(seed);
        (0..4).flat_map(|_| stream.word().to_le_bytes()).map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn generators_start_with_the_known_bytes() {
        assert_eq!(
            first_32(SealSeed::Blake2xb(seed_bytes())),
            "17b9767f6395a77a3d0f2f2bd234d8c6702918e8698e87a33e7d5a5ad6d37d67"
        );
        assert_eq!(
            first_32(SealSeed::Shake256(seed_bytes())),
            "50a1cb963bec11dc066324b416d0a141a8c29d169aa5c2d0640419cb820eb38b"
        );
    }

    #[test]
    fn expansion_equals_what_seal_computes() {
        let primes = [0x0fff_ffff_fffe_8001u64, 0xff_fff4_c001, 0xff_fffd_c001];
        let words = SealSeed::Blake2xb(seed_bytes()).expand(8192, &primes);
        assert_eq!(words[..2], [767_746_516_063_435_024, 493_202_236_470_529_841]);
        assert_eq!(words[8192..][..2], [990_615_015_707, 553_743_219_552]);
        assert_eq!(words[3 * 8192 - 1], 727_212_163_161);
    }
}
