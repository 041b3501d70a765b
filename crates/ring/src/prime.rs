//! Primality, the choice of NTT primes, minimal roots of unity.

use crate::{Modulus, RingError};

/// Deterministic Miller-Rabin: these twelve bases decide every 64-bit number (Sorenson and Webster, 2015).
pub fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    for p in BASES {
        if n.is_multiple_of(p) {
            return n == p;
        }
    }
    let mul = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let pow = |mut base: u64, mut e: u64| {
        let mut result = 1;
        while e > 0 {
            if e & 1 == 1 {
                result = mul(result, base);
            }
            base = mul(base, base);
            e >>= 1;
        }
        result
    };
    let twos = (n - 1).trailing_zeros();
    let odd = (n - 1) >> twos;
    BASES.iter().all(|&a| {
        let mut x = pow(a, odd);
        if x == 1 || x == n - 1 {
            return true;
        }
        (1..twos).any(|_| {
            x = mul(x, x);
            x == n - 1
        })
    })
}

/// The largest `count` primes of exactly `bits` bits that are 1 mod 2N, descending.
///
/// # Errors
/// [`RingError::TooFewPrimes`] when there are fewer.
pub fn ntt_primes(degree: usize, bits: u32, count: usize) -> Result<Vec<u64>, RingError> {
    let two_n = 2 * degree as u64;
    let error = RingError::TooFewPrimes { count, bits, two_n };
    if !(2..=61).contains(&bits) {
        return Err(error);
    }
    let mut found = Vec::with_capacity(count);
    let mut candidate = ((1u64 << bits) - 1) / two_n * two_n + 1;
    let floor = 1u64 << (bits - 1);
    while found.len() < count {
        if candidate <= floor {
            return Err(error);
        }
        if candidate < 1 << bits && is_prime(candidate) {
            found.push(candidate);
        }
        candidate -= two_n.min(candidate);
    }
    Ok(found)
}

/// Primes for a chain of bit sizes, chosen as SEAL's `CoeffModulus::Create` does: per distinct size the largest primes
/// that are 1 mod 2N, handed out so that the *first* occurrence of a size gets the *smallest* of them.
///
/// # Errors
/// [`RingError::TooFewPrimes`] when a size has not enough primes; [`RingError::Degree`] for an unsupported N.
pub fn chain_primes(degree: usize, bits: &[u32]) -> Result<Vec<u64>, RingError> {
    if !degree.is_power_of_two() || !(8..=131_072).contains(&degree) {
        return Err(RingError::Degree(degree));
    }
    let mut primes = vec![0; bits.len()];
    for (i, &size) in bits.iter().enumerate() {
        if bits[..i].contains(&size) {
            continue;
        }
        let places: Vec<usize> = (i..bits.len()).filter(|&j| bits[j] == size).collect();
        let found = ntt_primes(degree, size, places.len())?;
        for (place, prime) in places.into_iter().zip(found.into_iter().rev()) {
            primes[place] = prime;
        }
    }
    Ok(primes)
}

/// The numerically smallest primitive 2N-th root of unity modulo a prime that is 1 mod 2N.
///
/// # Errors
/// [`RingError::NotNttFriendly`] when 2N does not divide q - 1.
pub fn minimal_root(modulus: &Modulus, degree: usize) -> Result<u64, RingError> {
    let q = modulus.value();
    let two_n = 2 * degree as u64;
    if !(q - 1).is_multiple_of(two_n) {
        return Err(RingError::NotNttFriendly { modulus: q, two_n });
    }
    // A base whose cofactor power has order exactly 2N, that is, whose N-th power is -1. Every second base works.
    let cofactor = (q - 1) / two_n;
    let root = (2..q)
        .map(|base| modulus.pow(base, cofactor))
        .find(|&r| modulus.pow(r, degree as u64) == q - 1)
        .ok_or(RingError::NotNttFriendly { modulus: q, two_n })?;
    // The primitive roots are its odd powers.
    let square = modulus.mul(root, root);
    let (mut current, mut smallest) = (root, root);
    for _ in 1..degree {
        current = modulus.mul(current, square);
        smallest = smallest.min(current);
    }
    Ok(smallest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers measured against SEAL 4.4.3.
    #[test]
    fn primes_and_roots_are_the_ones_seal_chooses() {
        type Case = (usize, &'static [u32], &'static [u64], &'static [u64]);
        let cases: [Case; 2] = [
            (
                16384,
                &[60, 30, 30, 60],
                &[1_152_921_504_606_683_137, 1_073_479_681, 1_073_643_521, 1_152_921_504_606_748_673],
                &[212_089_012_217_363, 65_226, 238_846, 62_213_374_832_584],
            ),
            (
                8192,
                &[60, 40, 40, 60],
                &[0xfff_ffff_fffe_8001, 0xff_fff4_c001, 0xff_fffd_c001, 0xfff_ffff_ffff_c001],
                &[100_406_242_475_323, 5_405_730, 30_370_987, 25_959_043_411_404],
            ),
        ];
        for (degree, bits, primes, roots) in cases {
            let chosen = chain_primes(degree, bits).unwrap();
            assert_eq!(chosen, primes);
            for (q, root) in chosen.iter().zip(roots) {
                assert_eq!(minimal_root(&Modulus::new(*q).unwrap(), degree).unwrap(), *root);
            }
        }
    }

    #[test]
    fn primality_agrees_with_trial_division_and_known_pseudoprimes() {
        let slow = |n: u64| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        for n in 0..5000 {
            assert_eq!(is_prime(n), slow(n), "{n}");
        }
        for composite in [3_215_031_751, 3_825_123_056_546_413_051, 341_550_071_728_321] {
            assert!(!is_prime(composite), "{composite}");
        }
        assert!(is_prime(18_446_744_073_709_551_557));
    }

    #[test]
    fn too_many_primes_of_a_size_is_an_error() {
        assert_eq!(
            chain_primes(65536, &[18, 18, 18]),
            Err(RingError::TooFewPrimes { count: 3, bits: 18, two_n: 131_072 })
        );
        assert_eq!(chain_primes(1000, &[30]), Err(RingError::Degree(1000)));
    }
}
