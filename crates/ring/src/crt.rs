//! Residues to centered numbers, without big integers.

use zeroize::Zeroize;

use crate::modulus::Shoup;
use crate::{Basis, Coeff, Modulus, Poly, Wiped, kernel};

/// Words of each limb that are converted before the next: those of some limbs fit a first-level cache.
const BLOCK: usize = 512;

/// Balanced mixed-radix conversion (H. Garner, 1959, with digits in [-q/2, q/2]).
///
/// x = v_0 + v_1 q_0 + v_2 q_0 q_1 + …, each |v_i| <= (q_i - 1)/2, represents every integer of (-Q/2, Q/2) once, whatever the
/// order of the primes: the smallest comes first here, so that digits need no reduction modulo a later prime. The top digits
/// of a small number are all zero, so summing in floating point loses nothing to cancellation: the error is a few units in the
/// last place of x, however large Q is.
#[derive(Debug, Clone)]
pub struct MixedRadix {
    /// `inverses[i][j]` = 1/q_j mod q_i.
    inverses: Vec<Vec<Shoup>>,
}

impl MixedRadix {
    /// Constants for the first `limbs` primes of a basis.
    pub fn new(basis: &Basis, limbs: usize) -> Self {
        let all = || basis.moduli().take(limbs);
        let inverse = |m: &Modulus, q: &Modulus| m.shoup(m.inv(m.reduce(q.value())));
        Self { inverses: all().map(|m| all().map(|q| inverse(m, q)).collect()).collect() }
    }

    /// Every coefficient as the nearest double of its centered value, up to a few units in the last place.
    ///
    /// Always from all limbs, in time that does not depend on them. Cost: limbs (limbs - 1) / 2 modular products per
    /// coefficient.
    ///
    /// # Panics
    /// When the polynomial has more limbs than there are constants for.
    pub fn to_centered(&self, basis: &Basis, mut poly: Poly<Coeff>) -> Wiped<f64> {
        let (limbs, degree) = (poly.limbs(), poly.degree());
        assert!(limbs <= self.inverses.len(), "constants reach this far");
        let mut order: Vec<usize> = (0..limbs).collect();
        order.sort_unstable_by_key(|i| basis.modulus(*i).value());
        // What a digit counts, rounded; kept finite, so that a digit of zero stays one however large Q is.
        let radices: Vec<f64> = (0..limbs)
            .map(|i| order[..i].iter().fold(1.0, |r, j| (r * basis.modulus(*j).value() as f64).min(f64::MAX)))
            .collect();
        let mut sums = Wiped::<f64>::any(degree);
        let mut parts: Vec<_> = poly.iter_mut().map(|limb| limb.chunks_mut(BLOCK)).collect();
        for sum in sums.chunks_mut(BLOCK) {
            let mut block: Vec<&mut [u64]> = order.iter().filter_map(|i| parts[*i].next()).collect();
            // Limb i becomes digit i, kept as a residue of its own prime.
            for i in 1..limbs {
                let (digits, rest) = block.split_at_mut(i);
                let (prime, limb) = (order[i], &mut *rest[0]);
                for (digit, j) in digits.iter().zip(&order) {
                    let from = basis.modulus(*j).value();
                    kernel::peel(limb, digit, from, self.inverses[prime][*j], basis.modulus(prime));
                }
            }
            sum.fill(0.0);
            for ((digits, i), radix) in block.iter().zip(&order).zip(&radices).rev() {
                kernel::slots::add_centered(sum, digits, basis.modulus(*i).value(), *radix);
            }
        }
        drop(parts);
        poly.zeroize();
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prime::chain_primes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn centered_values_come_back(value in -(1i128 << 100)..(1i128 << 100), shift in 0u32..100) {
            let n = 16;
            let basis = Basis::new(n, &chain_primes(n, &[40, 30, 36]).unwrap()).unwrap();
            let value = value >> shift;
            let mut data = Vec::new();
            for m in basis.moduli() {
                data.extend(std::iter::repeat_n(value.rem_euclid(i128::from(m.value())) as u64, n));
            }
            let poly = Poly::from_data(n, data).unwrap();
            let back = MixedRadix::new(&basis, 3).to_centered(&basis, poly);
            let exact = value as f64;
            prop_assert!((back[3] - exact).abs() <= exact.abs() * 4.0 * f64::EPSILON, "{} != {exact}", back[3]);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_centered() {
        let n = 16;
        let basis = Basis::new(n, &chain_primes(n, &[30, 30]).unwrap()).unwrap();
        let q = basis.moduli().map(|m| i128::from(m.value())).product::<i128>();
        for value in [q / 2, -(q / 2)] {
            let data =
                basis.moduli().flat_map(|m| [value.rem_euclid(i128::from(m.value())) as u64; 16]).collect();
            let back = MixedRadix::new(&basis, 2).to_centered(&basis, Poly::from_data(n, data).unwrap());
            assert_eq!(back[0], value as f64);
        }
    }

    #[test]
    fn no_limb_is_believed_without_the_others() {
        // Numbers that some of the limbs alone would give away for small ones, or for others near the ends of their ranges.
        let n = 16;
        let basis = Basis::new(n, &chain_primes(n, &[60, 30, 31]).unwrap()).unwrap();
        let [q0, q1, q2] = [0, 1, 2].map(|i| i128::from(basis.modulus(i).value()));
        let all = q0 * q1 * q2;
        let mut values =
            vec![all / 2, -(all / 2), all / 2 - 1, 1 - all / 2, q0 / 2, q0 / 2 + 1, -(q0 / 2), -(q0 / 2) - 1];
        for part in [q0, q1, q2, q0 * q1, q0 * q2, q1 * q2] {
            values.extend([
                5 + part,
                5 - part,
                5 + part * 1000,
                (all / 2 / part) * part,
                part / 2,
                part / 2 + 1,
            ]);
        }
        for value in values {
            let residues = |m: &Modulus| value.rem_euclid(i128::from(m.value())) as u64;
            let data = basis.moduli().flat_map(|m| [residues(m); 16]).collect();
            let back = MixedRadix::new(&basis, 3).to_centered(&basis, Poly::from_data(n, data).unwrap());
            assert!(value.abs() <= all / 2);
            let exact = value as f64;
            assert!((back[0] - exact).abs() <= exact.abs() * 2.0 * f64::EPSILON, "{} for {value}", back[0]);
        }
    }

    #[test]
    fn moduli_beyond_the_range_of_doubles_do_not_spoil_small_numbers() {
        let n = 16;
        let basis = Basis::new(n, &chain_primes(n, &[61; 20]).unwrap()).unwrap();
        let data = basis.moduli().flat_map(|m| [m.from_signed(-77); 16]).collect();
        let back = MixedRadix::new(&basis, 20).to_centered(&basis, Poly::from_data(n, data).unwrap());
        assert_eq!(back[3], -77.0);
    }
}
