//! Residues over some primes to residues over others, centered.

use crate::kernel;
use crate::kernel::sums::{self, Fraction};
use crate::modulus::Shoup;
use crate::parallel::{self, Work};
use crate::{Coeff, Modulus, Poly};

/// From primes q_1 … q_s with product D to other primes, for numbers in about [-D/2, D/2] (S. Halevi, Y. Polyakov and
/// V. Shoup, ia.cr/2018/117, with an integer in place of their floating-point correction).
///
/// x = sum of y_i (D/q_i) - v D with y_i = x (D/q_i)^-1 mod q_i and v = round(sum of y_i/q_i). The sum of fractions is known
/// to s · 2^-30, so the result is x mod D exactly, as a number of size at most D (1/2 + s · 2^-30); numbers of size below
/// D (1/2 - s · 2^-30) come out as they are. One prime alone is centered exactly.
#[derive(Debug, Clone)]
pub struct Extension {
    moduli: Vec<Modulus>,
    /// (D/q_i)^-1 mod q_i.
    inverses: Vec<Shoup>,
    fractions: Vec<Fraction>,
    targets: Vec<Target>,
}

/// Constants for one prime extended to.
#[derive(Debug, Clone)]
struct Target {
    modulus: Modulus,
    /// D/q_i for each source prime, then -D. Empty for a prime that is a source itself.
    constants: Vec<Shoup>,
}

/// Numbers made ready to be extended: the y_i, and v where there are several primes.
#[derive(Debug)]
pub struct Prepared(Poly<Coeff>);

impl Extension {
    /// Constants from distinct primes to others. A target that is one of the sources takes its place but no constants.
    ///
    /// # Panics
    /// Without a source, or with more than 62.
    pub fn new<'a>(sources: &[Modulus], targets: impl IntoIterator<Item = &'a Modulus>) -> Self {
        assert!((1..=62).contains(&sources.len()), "1 to 62 primes to extend from");
        // Product of all source primes but the i-th, modulo m.
        let without = |i: usize, m: &Modulus| {
            let others = sources.iter().enumerate().filter(|(j, _)| *j != i);
            others.fold(1, |product, (_, q)| m.mul(product, m.reduce(q.value())))
        };
        let target = |m: &Modulus| {
            let mut constants = Vec::new();
            if !sources.contains(m) {
                constants.extend((0..sources.len()).map(|i| m.shoup(without(i, m))));
                constants.push(m.shoup(m.neg(without(usize::MAX, m))));
            }
            Target { modulus: *m, constants }
        };
        Self {
            moduli: sources.to_vec(),
            inverses: sources.iter().enumerate().map(|(i, q)| q.shoup(q.inv(without(i, q)))).collect(),
            fractions: sources.iter().map(Fraction::new).collect(),
            targets: targets.into_iter().map(target).collect(),
        }
    }

    /// Number of primes extended from.
    pub fn sources(&self) -> usize {
        self.moduli.len()
    }

    /// Makes numbers ready: `fill` writes the residues modulo source prime i, in [0, q_i), into the buffer it is given.
    ///
    /// Cost: a product by a constant for each prime, nothing for one prime alone.
    pub fn prepare(&self, degree: usize, fill: impl Fn(usize, &mut [u64]) + Sync + Send) -> Prepared {
        let count = self.sources();
        let mut words = Poly::scratch(degree, if count == 1 { 1 } else { count + 1 });
        let limbs = words.iter_mut().take(count).enumerate();
        parallel::each(Work::Transform, count * degree, limbs, |(i, limb)| {
            fill(i, limb);
            if count > 1 {
                kernel::mul_scalar_assign(limb, self.inverses[i], &self.moduli[i]);
            }
        });
        if count > 1 {
            let mut limbs = words.iter_mut();
            let mut slices = [&[][..]; 64];
            for (slice, limb) in slices.iter_mut().zip(limbs.by_ref().take(count)) {
                *slice = limb;
            }
            let last = limbs.next().expect("one limb more than primes");
            sums::overflow(last, &slices[..count], &self.fractions);
        }
        Prepared(words)
    }

    /// Residues modulo target prime `target`, in [0, q): those of the numbers from place `start` on.
    ///
    /// Cost: a sum of one product for each source prime and one more.
    ///
    /// # Panics
    /// When there is no such target, or it is a source.
    pub fn lift(&self, prepared: &Prepared, target: usize, start: usize, out: &mut [u64]) {
        let range = start..start + out.len();
        let Target { modulus, constants } = &self.targets[target];
        assert!(!constants.is_empty(), "a prime that is not extended from");
        if let [source] = &self.moduli[..] {
            return kernel::lift_centered(out, &prepared.0.limb(0)[range], source.value(), modulus);
        }
        let mut slices = [&[][..]; 64];
        for (slice, limb) in slices.iter_mut().zip(prepared.0.iter()) {
            *slice = &limb[range.clone()];
        }
        let slices = &slices[..constants.len()];
        if modulus.bits() > 50 || self.moduli.iter().all(|q| q.bits() <= 50) {
            return sums::combine(out, slices, constants, modulus);
        }
        // Words of more than 50 bits do not go into the sums of small primes as they are.
        let mut reduced = Poly::<Coeff>::scratch(out.len(), 1);
        out.fill(0);
        for (words, constant) in slices.iter().zip(constants) {
            kernel::reduce_shifted(reduced.limb_mut(0), words, 0, modulus);
            kernel::mul_scalar_add_assign(out, reduced.limb(0), *constant, modulus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prime::chain_primes;
    use proptest::prelude::*;

    fn moduli(bits: &[u32]) -> Vec<Modulus> {
        chain_primes(16, bits).unwrap().into_iter().map(|q| Modulus::new(q).unwrap()).collect()
    }

    /// Extends one number, and returns what it became modulo the targets.
    fn extend(extension: &Extension, sources: &[Modulus], targets: &[Modulus], x: i128) -> Vec<i128> {
        let residue = |m: &Modulus| x.rem_euclid(i128::from(m.value())) as u64;
        let prepared = extension.prepare(16, |i, limb| limb.fill(residue(&sources[i])));
        let mut out = [0; 16];
        (0..targets.len())
            .map(|t| {
                extension.lift(&prepared, t, 0, &mut out);
                i128::from(out[3])
            })
            .collect()
    }

    proptest! {
        #[test]
        fn numbers_below_half_the_product_come_out_as_they_are(
            set in 0usize..4, fraction in -0.4999f64..0.4999, shift in 0u32..110,
        ) {
            let all = moduli([&[40, 41, 39, 50, 20], &[60, 30, 31, 50, 60], &[58, 61, 19, 30, 60], &[50, 48, 20, 47, 61]][set]);
            let (sources, targets) = all.split_at(if set == 0 { 3 } else { 2 });
            let product: i128 = sources.iter().map(|q| i128::from(q.value())).product();
            let extension = Extension::new(sources, targets);
            let x = (((product as f64) * fraction) as i128) >> shift;
            let expected: Vec<i128> = targets.iter().map(|m| x.rem_euclid(i128::from(m.value()))).collect();
            prop_assert_eq!(extend(&extension, sources, targets, x), expected);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_congruent_and_no_larger_than_stated() {
        let all = moduli(&[30, 31, 60, 61]);
        let (sources, targets) = all.split_at(2);
        let product: i128 = sources.iter().map(|q| i128::from(q.value())).product();
        let extension = Extension::new(sources, targets);
        for x in [product / 2, -(product / 2), product / 2 - 1, product - 1, 1, 0, -1] {
            let centered = if x > product / 2 { x - product } else { x };
            let candidates = [centered, centered - product, centered + product]
                .map(|c| targets.iter().map(|m| c.rem_euclid(i128::from(m.value()))).collect::<Vec<_>>());
            let got = extend(&extension, sources, targets, x);
            let at = candidates.iter().position(|c| *c == got).expect("congruent modulo D");
            assert!(at == 0 || centered.abs() > product / 2 - (product >> 28), "{x}");
        }
    }

    #[test]
    fn one_prime_is_centered_exactly() {
        let all = moduli(&[30, 60, 20]);
        let (sources, targets) = all.split_at(1);
        let extension = Extension::new(sources, targets);
        let q = i128::from(sources[0].value());
        for x in [q / 2, q / 2 + 1, 0, 1, q - 1] {
            let centered = if x > q / 2 { x - q } else { x };
            let expected: Vec<i128> =
                targets.iter().map(|m| centered.rem_euclid(i128::from(m.value()))).collect();
            assert_eq!(extend(&extension, sources, targets, x), expected);
        }
    }
}
