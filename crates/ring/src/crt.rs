//! Residues to centered numbers, without big integers.

use zeroize::Zeroize;

use crate::modulus::Shoup;
use crate::{Basis, Coeff, Poly, kernel};

/// Balanced mixed-radix conversion (H. Garner, 1959, with digits in [-q/2, q/2]).
///
/// x = v_0 + v_1 q_0 + v_2 q_0 q_1 + …, each |v_i| <= (q_i - 1)/2, represents every integer of (-Q/2, Q/2) once. The top
/// digits of a small number are all zero, so summing in floating point loses nothing to cancellation: the error is a few
/// units in the last place of x, however large Q is.
#[derive(Debug, Clone)]
pub struct MixedRadix {
    /// `inverses[i][j]` = 1/q_j mod q_i, for j < i.
    inverses: Vec<Vec<Shoup>>,
    /// q_0 … q_{i-1} rounded to a double.
    radices: Vec<f64>,
}

impl MixedRadix {
    /// Constants for the first `limbs` primes of a basis.
    pub fn new(basis: &Basis, limbs: usize) -> Self {
        let inverses = (0..limbs)
            .map(|i| {
                let m = basis.modulus(i);
                (0..i).map(|j| m.shoup(m.inv(m.reduce(basis.modulus(j).value())))).collect()
            })
            .collect();
        let mut radices = Vec::with_capacity(limbs);
        let mut product = 1.0;
        for m in basis.moduli().take(limbs) {
            radices.push(product);
            product *= m.value() as f64;
        }
        Self { inverses, radices }
    }

    /// Every coefficient as the nearest double of its centered value, up to a few units in the last place.
    ///
    /// Cost: limbs (limbs - 1) / 2 modular products per coefficient.
    ///
    /// # Panics
    /// When the polynomial has more limbs than there are constants for.
    pub fn to_centered(&self, basis: &Basis, mut poly: Poly<Coeff>) -> Vec<f64> {
        let limbs = poly.limbs();
        assert!(limbs <= self.radices.len(), "constants reach this far");
        let mut lifted = Poly::<Coeff>::zero(poly.degree(), 1);
        // Limb i becomes digit i, kept as a residue of its own prime.
        for i in 1..limbs {
            let modulus = basis.modulus(i);
            for j in 0..i {
                kernel::lift_centered(lifted.limb_mut(0), poly.limb(j), basis.modulus(j).value(), modulus);
                kernel::sub_assign(poly.limb_mut(i), lifted.limb(0), modulus);
                kernel::mul_scalar_assign(poly.limb_mut(i), self.inverses[i][j], modulus);
            }
        }
        let mut sum = vec![0.0; poly.degree()];
        for i in (0..limbs).rev() {
            kernel::slots::add_centered(&mut sum, poly.limb(i), basis.modulus(i).value(), self.radices[i]);
        }
        poly.zeroize();
        lifted.zeroize();
        sum
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
}
