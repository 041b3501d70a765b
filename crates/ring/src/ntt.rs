//! The negacyclic number-theoretic transform modulo one prime.

use crate::kernel::{self, Level, Twiddles};
use crate::modulus::Shoup;
use crate::prime::minimal_root;
use crate::{Modulus, RingError, Wiped};

/// Tables for one prime and one degree.
///
/// Order and root are SEAL's: with psi the smallest primitive 2N-th root of unity, output word i of the forward
/// transform is p(psi^(2 bitrev(i) + 1)), bitrev over log2 N bits.
///
/// Memory: about 32 N bytes.
#[derive(Debug, Clone)]
pub struct NttTable {
    modulus: Modulus,
    degree: usize,
    root: u64,
    forward: Twiddles,
    inverse: Twiddles,
    inverse_last: (Shoup, Shoup),
    /// psi^(N/2), a square root of -1.
    unity: Shoup,
}

/// Words of either half that are folded at once.
const FOLD: usize = 512;

impl NttTable {
    /// Tables for a prime that is 1 mod 2N.
    ///
    /// # Errors
    /// [`RingError::Degree`] unless N is a power of two in [8, 131072]; [`RingError::NotNttFriendly`] when the prime
    /// has no 2N-th root of unity.
    pub fn new(modulus: Modulus, degree: usize) -> Result<Self, RingError> {
        Self::with_level(modulus, degree, kernel::level())
    }

    /// [`new`](Self::new) for a kernel level, which must not exceed what was detected.
    pub(crate) fn with_level(modulus: Modulus, degree: usize, level: Level) -> Result<Self, RingError> {
        if !degree.is_power_of_two() || !(8..=131_072).contains(&degree) {
            return Err(RingError::Degree(degree));
        }
        let root = minimal_root(&modulus, degree)?;
        let powers = |base: u64| {
            let mut table = vec![Shoup::default(); degree];
            let mut power = 1;
            for i in 0..degree {
                table[bit_reverse(i, degree.trailing_zeros())] = modulus.shoup(power);
                power = modulus.mul(power, base);
            }
            table
        };
        let inverse = powers(modulus.inv(root));
        let inverse_degree = modulus.inv(degree as u64);
        let inverse_last =
            (modulus.shoup(inverse_degree), modulus.shoup(modulus.mul(inverse_degree, inverse[1].value)));
        // Vector transforms work on 64 words at a time, in each half.
        let kernel = if degree < 128 { Level::Scalar } else { kernel::choose(level, &modulus) };
        let forward = Twiddles::new(kernel, powers(root), &modulus);
        Ok(Self {
            modulus,
            degree,
            root,
            forward,
            inverse: Twiddles::new(kernel, inverse, &modulus),
            inverse_last,
            unity: modulus.shoup(modulus.pow(root, degree as u64 / 2)),
        })
    }

    /// The prime.
    #[inline]
    pub fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    /// N.
    #[inline]
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// psi.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Coefficients in [0, q) to values in [0, q), in place. Cost: one transform, N/2 log2 N butterflies.
    ///
    /// # Panics
    /// When `limb` does not hold N words.
    pub fn forward(&self, limb: &mut [u64]) {
        self.forward_with(limb, |_, _| (), |_, _| ());
    }

    /// [`forward`](Self::forward) of what `fill` writes, handed on to `done`, both while the words are in the nearest cache.
    ///
    /// Both get stretches of `limb` with the place they start at, each word in one of them. `fill` writes coefficients in
    /// [0, q); `done` finds values in [0, q).
    ///
    /// # Panics
    /// When `limb` does not hold N words.
    pub fn forward_with(
        &self,
        limb: &mut [u64],
        mut fill: impl FnMut(usize, &mut [u64]),
        mut done: impl FnMut(usize, &mut [u64]),
    ) {
        assert_eq!(limb.len(), self.degree, "a limb holds N words");
        kernel::ntt_forward((limb, 1), &self.forward, &self.modulus, &mut fill, &mut done);
    }

    /// Values of a polynomial that is its own conjugate, p(X) = p(1/X): for half the cost, since they repeat backwards.
    ///
    /// `fill` writes a stretch of the coefficients from a place on, in [0, q), wherever asked; the k-th from the end is minus
    /// the k-th, or the values are those of another polynomial.
    ///
    /// # Panics
    /// When `limb` does not hold N words.
    pub fn forward_mirrored(&self, limb: &mut [u64], mut fill: impl FnMut(usize, &mut [u64])) {
        assert_eq!(limb.len(), self.degree, "a limb holds N words");
        let half = self.degree / 2;
        let (low, high) = limb.split_at_mut(half);
        let mut upper = Wiped::<u64>::any(half.min(FOLD));
        // The first half of the topmost layer; the second half has the same values backwards.
        let mut fold = |start: usize, part: &mut [u64]| {
            for (i, part) in part.chunks_mut(FOLD).enumerate() {
                let (at, upper) = (start + i * FOLD, &mut upper[..part.len()]);
                fill(at, part);
                fill(half + at, upper);
                kernel::mul_scalar_add_assign(part, upper, self.unity, &self.modulus);
            }
        };
        let mut reverse = |start: usize, part: &mut [u64]| {
            let end = half - start;
            for (word, value) in high[end - part.len()..end].iter_mut().rev().zip(part) {
                *word = *value;
            }
        };
        kernel::ntt_forward((low, 2), &self.forward, &self.modulus, &mut fold, &mut reverse);
    }

    /// Values in [0, q) to coefficients in [0, q), in place.
    ///
    /// # Panics
    /// When `limb` does not hold N words.
    pub fn inverse(&self, limb: &mut [u64]) {
        self.inverse_with(limb, |_, _| (), |_, _| ());
    }

    /// [`inverse`](Self::inverse) of what `fill` writes, handed on to `done`, as [`forward_with`](Self::forward_with).
    ///
    /// # Panics
    /// When `limb` does not hold N words.
    pub fn inverse_with(
        &self,
        limb: &mut [u64],
        mut fill: impl FnMut(usize, &mut [u64]),
        mut done: impl FnMut(usize, &mut [u64]),
    ) {
        assert_eq!(limb.len(), self.degree, "a limb holds N words");
        kernel::ntt_inverse(limb, &self.inverse, self.inverse_last, &self.modulus, &mut fill, &mut done);
    }

    /// [`inverse`](Self::inverse) of words elsewhere.
    ///
    /// # Panics
    /// When either does not hold N words.
    pub fn inverse_from(&self, limb: &mut [u64], values: &[u64]) {
        assert_eq!(values.len(), self.degree, "a limb holds N words");
        let copy = |start: usize, part: &mut [u64]| part.copy_from_slice(&values[start..start + part.len()]);
        self.inverse_with(limb, copy, |_, _| ());
    }
}

/// The lowest `bits` bits of `i` in reverse order.
#[inline]
pub fn bit_reverse(i: usize, bits: u32) -> usize {
    if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS - bits) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prime::chain_primes;
    use proptest::prelude::*;

    fn table(degree: usize, bits: u32) -> NttTable {
        NttTable::new(Modulus::new(chain_primes(degree, &[bits]).unwrap()[0]).unwrap(), degree).unwrap()
    }

    fn words(seed: u64, n: usize, q: u64) -> Vec<u64> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state ^ (state >> 29)) % q
            })
            .collect()
    }

    #[test]
    fn output_is_the_polynomial_at_the_odd_powers_of_psi() {
        for (degree, bits) in [(16, 20), (64, 30), (256, 60)] {
            let t = table(degree, bits);
            let m = t.modulus();
            let p = words(7, degree, m.value());
            let mut values = p.clone();
            t.forward(&mut values);
            for (i, value) in values.iter().enumerate() {
                let x = m.pow(t.root(), 2 * bit_reverse(i, degree.trailing_zeros()) as u64 + 1);
                let expected = p.iter().rev().fold(0, |acc, c| m.add(m.mul(acc, x), *c));
                assert_eq!(*value, expected, "N={degree} i={i}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn products_are_negacyclic_and_the_inverse_inverts(log in 3u32..8, bits in 20u32..=60, seed: u64) {
            let degree = 1usize << log;
            let t = table(degree, bits);
            let m = *t.modulus();
            let (a, b) = (words(seed, degree, m.value()), words(!seed, degree, m.value()));
            let mut naive = vec![0; degree];
            for (i, x) in a.iter().enumerate() {
                for (j, y) in b.iter().enumerate() {
                    let p = m.mul(*x, *y);
                    let k = (i + j) % degree;
                    naive[k] = if i + j < degree { m.add(naive[k], p) } else { m.sub(naive[k], p) };
                }
            }
            let (mut fa, mut fb) = (a.clone(), b);
            t.forward(&mut fa);
            t.forward(&mut fb);
            kernel::mul_assign(&mut fa, &fb, &m);
            t.inverse(&mut fa);
            prop_assert_eq!(fa, naive);
            let mut round = a.clone();
            t.forward(&mut round);
            t.inverse(&mut round);
            prop_assert_eq!(round, a);
        }
    }

    #[test]
    fn polynomials_that_are_their_own_conjugates_need_half_a_transform() {
        for (degree, bits) in [(8, 20), (64, 30), (128, 47), (4096, 50), (8192, 60), (16384, 36)] {
            let t = table(degree, bits);
            let m = *t.modulus();
            let mut p = words(11, degree, m.value());
            for k in 1..degree {
                if 2 * k >= degree {
                    p[k] = m.neg(p[degree - k]);
                }
            }
            p[degree / 2] = 0;
            let mut expected = p.clone();
            t.forward(&mut expected);
            let mut limb = vec![5; degree];
            t.forward_mirrored(&mut limb, |start, part| part.copy_from_slice(&p[start..start + part.len()]));
            assert!(limb == expected, "N={degree}, {bits} bits");
        }
    }

    #[test]
    fn extreme_words_stay_within_bounds() {
        for bits in [20, 30, 47, 50, 60] {
            let t = table(1024, bits);
            let q = t.modulus().value();
            let all = vec![q - 1; 1024];
            let mut x = all.clone();
            t.forward(&mut x);
            assert!(x.iter().all(|v| *v < q));
            t.inverse(&mut x);
            assert_eq!(x, all);
        }
    }
}
