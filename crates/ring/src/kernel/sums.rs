//! Sums of products: what basis extension, key switching and linear transforms spend their time on besides transforms.
//!
//! Bit for bit equal on every kernel, like the other loops.

#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{Level, choose, level, scalar};
use crate::modulus::{Modulus, Shoup};

/// What a word is of the modulus it is a residue of, as a binary fraction; see [`overflow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// Bits to drop so that 32 remain; negative to add.
    shift: i32,
    /// floor(2^63 / (q without those bits)), below 2^32.
    reciprocal: u64,
}

impl Fraction {
    /// Bits behind the binary point of a fraction.
    const POINT: u32 = 56;

    /// The fraction of a modulus.
    pub fn new(modulus: &Modulus) -> Self {
        let bits = modulus.bits();
        let reciprocal = (1u128 << (bits + 31)) / u128::from(modulus.value());
        Self { shift: bits as i32 - 32, reciprocal: reciprocal as u64 }
    }

    /// x / q with 56 bits behind the point, too small by less than 2^-30.
    #[inline(always)]
    fn of(self, x: u64) -> u64 {
        let top = if self.shift >= 0 { x >> self.shift } else { x << -self.shift };
        (top * self.reciprocal) >> (63 - Self::POINT)
    }
}

/// out = nearest integer to the sum of x_i / q_i, for x_i in [0, q_i) and at most 64 moduli.
///
/// Integers only, so the same everywhere. The sum is too small by less than 2^-30 for each modulus: where it is that close
/// above a half, it is rounded down.
///
/// # Panics
/// When the lengths differ.
pub fn overflow(out: &mut [u64], words: &[&[u64]], fractions: &[Fraction]) {
    assert!(words.len() == fractions.len() && words.len() <= 64, "a fraction for each modulus");
    let half = 1 << (Fraction::POINT - 1);
    out.fill(half);
    for (x, fraction) in words.iter().zip(fractions) {
        assert_eq!(x.len(), out.len(), "operands are as long as the result");
        for (o, x) in out.iter_mut().zip(*x) {
            *o += fraction.of(*x);
        }
    }
    for o in out {
        *o >>= Fraction::POINT;
    }
}

/// out = sum of words times constants, modulo q. Words are below 2^50 for primes of up to 50 bits, else below 2^61; at most
/// 63 terms. Out [0, q).
///
/// # Panics
/// When the lengths differ.
pub fn combine(out: &mut [u64], words: &[&[u64]], constants: &[Shoup], modulus: &Modulus) {
    assert!(words.len() == constants.len() && words.len() < 64, "a constant for each term");
    assert!(words.iter().all(|x| x.len() == out.len()), "operands are as long as the result");
    combine_at(choose(level(), modulus), out, words, constants, modulus);
}

/// [`combine`] with a given kernel, which must have been detected.
fn combine_at(kernel: Level, out: &mut [u64], words: &[&[u64]], constants: &[Shoup], modulus: &Modulus) {
    match kernel {
        Level::Scalar | Level::Avx2 => scalar::combine(out, words, constants, modulus),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level never exceeds what was detected.
        Level::Ifma => unsafe { x86::ifma::combine(out, words, constants, modulus) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { x86::avx512::combine(out, words, constants, modulus) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => scalar::combine(out, words, constants, modulus),
    }
}

/// One term of [`dot_pair`]: (x, y, z).
pub type Term<'a> = (&'a [u64], &'a [u64], &'a [u64]);

/// out.0 = sum of x y and out.1 = sum of x z, word by word. In [0, q), out [0, q).
///
/// # Panics
/// When the lengths differ.
pub fn dot_pair(out: (&mut [u64], &mut [u64]), terms: &[Term<'_>], modulus: &Modulus) {
    let length = out.0.len();
    let fits = |(x, y, z): &Term<'_>| x.len() == length && y.len() == length && z.len() == length;
    assert!(out.1.len() == length && terms.iter().all(fits), "operands are as long as the result");
    dot_pair_at(choose(level(), modulus), out, terms, modulus);
}

/// [`dot_pair`] with a given kernel, which must have been detected.
fn dot_pair_at(kernel: Level, out: (&mut [u64], &mut [u64]), terms: &[Term<'_>], modulus: &Modulus) {
    match kernel {
        Level::Scalar => scalar::dot_pair(out, terms, modulus),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level never exceeds what was detected.
        Level::Avx2 => unsafe { x86::fma::dot_pair(out, terms, modulus) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Ifma => unsafe { x86::ifma::dot_pair(out, terms, modulus) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { x86::avx512::dot_pair(out, terms, modulus) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => scalar::dot_pair(out, terms, modulus),
    }
}

/// out = words of `a` in the order of a permutation that moves aligned blocks of eight as a whole, in any order within them,
/// as automorphisms do in the NTT domain.
///
/// # Panics
/// When the lengths differ, or a source is out of range.
pub fn permute_blocks(out: &mut [u64], a: &[u64], permutation: &[u32]) {
    assert!(out.len() == a.len() && permutation.len() == a.len(), "a permutation of the words");
    debug_assert!(
        permutation.chunks(8).all(|sources| sources.iter().all(|s| s / 8 == sources[0] / 8)),
        "blocks of eight move as a whole"
    );
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx512 && a.len().is_multiple_of(8) {
        // SAFETY: the level is this high only when these instructions were detected.
        return unsafe { x86::sums::permute_blocks(out, a, permutation) };
    }
    for (word, source) in out.iter_mut().zip(permutation) {
        *word = a[*source as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prime::chain_primes;
    use proptest::prelude::*;

    fn levels() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|level| *level <= crate::kernel::detected())
    }

    fn words(seed: u64, n: usize, q: u64) -> Vec<u64> {
        let mut state = seed | 1;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // The ends of the range are where bounds break.
                match state >> 61 {
                    0 => q - 1,
                    1 => 0,
                    _ => (state ^ (state >> 29)) % q,
                }
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn sums_equal_big_integers(n in 1usize..1100, terms in 1usize..70, bits in 18u32..=61, seed: u64) {
            let modulus = Modulus::new(chain_primes(8, &[bits]).unwrap()[0]).unwrap();
            let q = modulus.value();
            let make = |salt: u64| -> Vec<Vec<u64>> {
                (0..terms as u64).map(|i| words(seed ^ salt ^ (i << 32), n, q)).collect()
            };
            let (x, y, z) = (make(1), make(2), make(3));
            let list: Vec<Term<'_>> =
                x.iter().zip(&y).zip(&z).map(|((x, y), z)| (&x[..], &y[..], &z[..])).collect();
            let (mut a, mut b) = (words(seed, n, q), words(!seed, n, q));
            dot_pair((&mut a, &mut b), &list, &modulus);
            for level in levels() {
                let (mut c, mut d) = (vec![1; n], vec![2; n]);
                dot_pair_at(choose(level, &modulus), (&mut c, &mut d), &list, &modulus);
                prop_assert!(a == c && b == d, "{}", level.name());
            }
            let terms = terms.min(63);
            let constants: Vec<Shoup> = (0..terms).map(|i| modulus.shoup(y[i][0])).collect();
            let slices: Vec<&[u64]> = x.iter().take(terms).map(|x| &x[..]).collect();
            let mut e = vec![7; n];
            combine(&mut e, &slices, &constants, &modulus);
            for level in levels() {
                let mut f = vec![9; n];
                combine_at(choose(level, &modulus), &mut f, &slices, &constants, &modulus);
                prop_assert!(e == f, "{}", level.name());
            }
            for i in 0..n {
                let mut sums = [0u128; 3];
                for j in 0..list.len() {
                    let factors = [y[j][i], z[j][i], constants.get(j).map_or(0, |c| c.value)];
                    for (sum, factor) in sums.iter_mut().zip(factors) {
                        *sum = (*sum + u128::from(x[j][i]) * u128::from(factor)) % u128::from(q);
                    }
                }
                prop_assert_eq!(sums, [u128::from(a[i]), u128::from(b[i]), u128::from(e[i])]);
            }
        }

        #[test]
        fn automorphisms_move_blocks_on_every_kernel(log in 4u32..=12, element in 0u64..1 << 13, seed: u64) {
            let degree = 1usize << log;
            let element = (2 * element + 1) % (2 * degree as u64);
            let permutation = crate::GaloisElement::new(element, degree).unwrap().permutation(degree);
            let a = words(seed, degree, u64::MAX);
            let mut out = vec![0; degree];
            permute_blocks(&mut out, &a, &permutation);
            for (word, source) in out.iter().zip(&permutation) {
                prop_assert_eq!(*word, a[*source as usize]);
            }
        }

        #[test]
        fn overflow_is_the_rounded_sum_of_fractions(bits in proptest::collection::vec(18u32..=61, 1..8), seed: u64) {
            let moduli: Vec<Modulus> =
                chain_primes(64, &bits).unwrap().into_iter().map(|q| Modulus::new(q).unwrap()).collect();
            let columns: Vec<Vec<u64>> = moduli.iter().map(|m| words(seed, 64, m.value())).collect();
            let slices: Vec<&[u64]> = columns.iter().map(|x| &x[..]).collect();
            let fractions: Vec<Fraction> = moduli.iter().map(Fraction::new).collect();
            let mut out = vec![99; 64];
            overflow(&mut out, &slices, &fractions);
            for (i, v) in out.iter().enumerate() {
                let sum: f64 = moduli.iter().zip(&columns).map(|(m, x)| x[i] as f64 / m.value() as f64).sum();
                let slack = bits.len() as f64 / f64::from(1 << 30) + 1e-12;
                let error = sum - *v as f64;
                prop_assert!((-0.5 - 1e-12..=0.5 + slack).contains(&error), "{sum} -> {v}");
            }
        }
    }
}
