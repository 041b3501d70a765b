//! The maps X -> X^g of the ring, as permutations.

use crate::kernel::sums;
use crate::ntt::bit_reverse;
use crate::parallel::{self, Work};
use crate::{Ntt, Poly, RingError};

/// An odd exponent g below 2N: the map X -> X^g.
///
/// Not a rotation step: rotating slots to the left by r is the element 3^r mod 2N.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GaloisElement(u64);

/// The generator whose powers number the slots. SEAL's choice; other libraries use 5.
pub const SLOT_GENERATOR: u64 = 3;

impl GaloisElement {
    /// A checked element.
    ///
    /// # Errors
    /// [`RingError::GaloisElement`] unless odd and below 2N.
    pub fn new(element: u64, degree: usize) -> Result<Self, RingError> {
        let two_n = 2 * degree as u64;
        if element % 2 == 1 && element < two_n {
            Ok(Self(element))
        } else {
            Err(RingError::GaloisElement(element, two_n))
        }
    }

    /// The element that rotates slots to the left by `step` (to the right when negative), modulo N/2 slots.
    pub fn rotation(step: i64, degree: usize) -> Self {
        let (slots, mask) = (degree as i64 / 2, 2 * degree as u64 - 1);
        let element = (0..step.rem_euclid(slots)).fold(1u64, |g, _| (g * SLOT_GENERATOR) & mask);
        Self(element)
    }

    /// The element that conjugates every slot: 2N - 1.
    pub fn conjugation(degree: usize) -> Self {
        Self(2 * degree as u64 - 1)
    }

    /// g itself.
    #[inline]
    pub fn value(self) -> u64 {
        self.0
    }

    /// Where output word i of the NTT domain is read from: word i is p(psi^e) with e = 2 bitrev(i) + 1, and
    /// p(X^g) there is p at psi^(g e).
    pub fn permutation(self, degree: usize) -> Vec<u32> {
        let (log, mask) = (degree.trailing_zeros(), 2 * degree as u64 - 1);
        (0..degree)
            .map(|i| {
                let exponent = ((2 * bit_reverse(i, log) as u64 + 1) * self.0) & mask;
                bit_reverse(((exponent - 1) / 2) as usize, log) as u32
            })
            .collect()
    }
}

/// p(X^g) for every limb, by a permutation from [`GaloisElement::permutation`].
///
/// # Panics
/// When the permutation is for another degree.
pub fn permute(poly: &Poly<Ntt>, permutation: &[u32]) -> Poly<Ntt> {
    assert_eq!(permutation.len(), poly.degree(), "a permutation of N words");
    let mut out = Poly::scratch(poly.degree(), poly.limbs());
    parallel::each(Work::Pass, poly.data().len(), out.iter_mut().zip(poly.iter()), |(o, limb)| {
        sums::permute_blocks(o, limb, permutation);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Basis;
    use crate::prime::chain_primes;

    #[test]
    fn permuting_values_is_substituting_powers() {
        let n = 32usize;
        let basis = Basis::new(n, &chain_primes(n, &[30, 31]).unwrap()).unwrap();
        let coefficients: Vec<i64> = (0..n as i64).map(|i| i * i - 40).collect();
        let poly = basis.from_signed(&coefficients, 2);
        for element in [1, 3, 5, 9, 31, 63] {
            let g = GaloisElement::new(element, n).unwrap();
            let mut moved = vec![0i64; n];
            for (i, c) in coefficients.iter().enumerate() {
                let e = i as u64 * element % (2 * n as u64);
                let (at, sign) = if e < n as u64 { (e, 1) } else { (e - n as u64, -1) };
                moved[at as usize] = sign * c;
            }
            let permuted = permute(&basis.forward(poly.clone()), &g.permutation(n));
            assert_eq!(basis.inverse(permuted), basis.from_signed(&moved, 2), "g={element}");
        }
    }

    #[test]
    fn rotations_wrap_and_even_elements_are_refused() {
        assert_eq!(GaloisElement::rotation(1, 16).value(), 3);
        assert_eq!(GaloisElement::rotation(-1, 16), GaloisElement::rotation(7, 16));
        assert_eq!(GaloisElement::rotation(8, 16).value(), 1);
        assert_eq!(GaloisElement::conjugation(16).value(), 31);
        for bad in [0, 2, 32, 33] {
            assert!(GaloisElement::new(bad, 16).is_err(), "{bad}");
        }
    }
}
