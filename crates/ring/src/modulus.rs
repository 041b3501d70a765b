//! Arithmetic modulo one prime below 2^61.

use crate::RingError;
use crate::prime::is_prime;

/// Full product of two words as (high, low).
///
/// On 32-bit targets (the browser) `u128` products are slow library calls, so there the product is put together from
/// 32-bit halves.
#[inline(always)]
pub fn mul_wide(a: u64, b: u64) -> (u64, u64) {
    #[cfg(not(target_pointer_width = "32"))]
    {
        let p = u128::from(a) * u128::from(b);
        ((p >> 64) as u64, p as u64)
    }
    #[cfg(target_pointer_width = "32")]
    {
        mul_wide_halves(a, b)
    }
}

/// [`mul_wide`] from four 32-bit products.
#[inline(always)]
pub fn mul_wide_halves(a: u64, b: u64) -> (u64, u64) {
    const MASK: u64 = 0xffff_ffff;
    let (a1, a0) = (a >> 32, a & MASK);
    let (b1, b0) = (b >> 32, b & MASK);
    let (p00, p01, p10, p11) = (a0 * b0, a0 * b1, a1 * b0, a1 * b1);
    let middle = (p00 >> 32) + (p01 & MASK) + (p10 & MASK);
    let high = p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32);
    (high, (middle << 32) | (p00 & MASK))
}

/// High word of a product.
#[inline(always)]
pub fn mul_high(a: u64, b: u64) -> u64 {
    mul_wide(a, b).0
}

/// A constant with its quotient floor(w * 2^64 / q): multiplication by it costs two products and no division
/// (V. Shoup, NTL; D. Harvey, "Faster arithmetic for number-theoretic transforms", 2014).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shoup {
    /// The constant, in [0, q).
    pub value: u64,
    /// floor(value * 2^64 / q).
    pub quotient: u64,
}

impl Shoup {
    /// x * value mod q, in [0, 2q), for any 64-bit x.
    #[inline(always)]
    pub fn mul_lazy(self, x: u64, q: u64) -> u64 {
        let hi = mul_high(x, self.quotient);
        x.wrapping_mul(self.value).wrapping_sub(hi.wrapping_mul(q))
    }

    /// x * value mod q, in [0, q), for any 64-bit x.
    #[inline(always)]
    pub fn mul(self, x: u64, q: u64) -> u64 {
        reduce_once(self.mul_lazy(x, q), q)
    }
}

/// x in [0, 2q) to [0, q), without a branch.
#[inline(always)]
pub fn reduce_once(x: u64, q: u64) -> u64 {
    let reduced = x.wrapping_sub(q);
    // All ones when x < q: the borrow's sign bit, spread.
    let keep = ((reduced as i64) >> 63) as u64;
    reduced.wrapping_add(q & keep)
}

/// An odd prime below 2^61 with its Barrett ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modulus {
    value: u64,
    /// floor(2^128 / value) as (high, low).
    ratio: (u64, u64),
    bits: u32,
}

impl Modulus {
    /// A checked modulus.
    ///
    /// # Errors
    /// [`RingError::NotAPrime`] unless `value` is a prime in [3, 2^61).
    pub fn new(value: u64) -> Result<Self, RingError> {
        if !(3..1 << 61).contains(&value) || !is_prime(value) {
            return Err(RingError::NotAPrime(value));
        }
        Ok(Self::from_odd(value))
    }

    /// The arithmetic for any odd number in [3, 2^61); used before primality is known.
    pub(crate) fn from_odd(value: u64) -> Self {
        debug_assert!(value % 2 == 1 && (3..1 << 61).contains(&value));
        // An odd value never divides 2^128, so floor((2^128 - 1) / value) = floor(2^128 / value).
        let ratio = u128::MAX / u128::from(value);
        Self { value, ratio: ((ratio >> 64) as u64, ratio as u64), bits: 64 - value.leading_zeros() }
    }

    /// The prime itself.
    #[inline(always)]
    pub fn value(&self) -> u64 {
        self.value
    }

    /// Its length in bits.
    #[inline(always)]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// floor(2^128 / q).
    #[inline]
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for vector kernels"))]
    pub(crate) fn ratio(&self) -> u128 {
        (u128::from(self.ratio.0) << 64) | u128::from(self.ratio.1)
    }

    /// Any word to [0, q).
    #[inline(always)]
    pub fn reduce(&self, x: u64) -> u64 {
        let quotient = mul_high(x, self.ratio.0);
        reduce_once(x.wrapping_sub(quotient.wrapping_mul(self.value)), self.value)
    }

    /// Any 128-bit number to [0, q) (P. Barrett, CRYPTO 1986; quotient off by at most one).
    #[inline(always)]
    pub fn reduce_wide(&self, high: u64, low: u64) -> u64 {
        // quotient = floor(x * ratio / 2^128), dropping only the lowest partial product.
        let carry = mul_high(low, self.ratio.1);
        let (h1, l1) = mul_wide(low, self.ratio.0);
        let (s1, c1) = l1.overflowing_add(carry);
        let t = h1.wrapping_add(u64::from(c1));
        let (h2, l2) = mul_wide(high, self.ratio.1);
        let (_, c2) = s1.overflowing_add(l2);
        let quotient =
            high.wrapping_mul(self.ratio.0).wrapping_add(t).wrapping_add(h2).wrapping_add(u64::from(c2));
        reduce_once(low.wrapping_sub(quotient.wrapping_mul(self.value)), self.value)
    }

    /// a + b for a, b in [0, q).
    #[inline(always)]
    pub fn add(&self, a: u64, b: u64) -> u64 {
        reduce_once(a + b, self.value)
    }

    /// a - b for a, b in [0, q).
    #[inline(always)]
    pub fn sub(&self, a: u64, b: u64) -> u64 {
        reduce_once(a + self.value - b, self.value)
    }

    /// -a for a in [0, q).
    #[inline(always)]
    pub fn neg(&self, a: u64) -> u64 {
        reduce_once(self.value - a, self.value)
    }

    /// a * b for any words.
    #[inline(always)]
    pub fn mul(&self, a: u64, b: u64) -> u64 {
        let (high, low) = mul_wide(a, b);
        self.reduce_wide(high, low)
    }

    /// a^e.
    pub fn pow(&self, a: u64, mut exponent: u64) -> u64 {
        let (mut base, mut result) = (self.reduce(a), 1);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.mul(result, base);
            }
            base = self.mul(base, base);
            exponent >>= 1;
        }
        result
    }

    /// 1/a by Fermat; 0 for a = 0.
    pub fn inv(&self, a: u64) -> u64 {
        self.pow(a, self.value - 2)
    }

    /// A constant prepared for repeated multiplication.
    pub fn shoup(&self, value: u64) -> Shoup {
        let value = self.reduce(value);
        Shoup { value, quotient: ((u128::from(value) << 64) / u128::from(self.value)) as u64 }
    }

    /// A signed number to [0, q), without a branch on its value.
    #[inline(always)]
    pub fn from_signed(&self, x: i64) -> u64 {
        let negative = (x >> 63) as u64;
        let magnitude = self.reduce(x.unsigned_abs());
        // q - m when negative (m = 0 folds back to 0), m otherwise.
        let negated = self.neg(magnitude);
        (magnitude & !negative) | (negated & negative)
    }

    /// An element of [0, q) to the number of the same class in [-(q-1)/2, (q-1)/2].
    #[inline(always)]
    pub fn centered(&self, x: u64) -> i64 {
        let over = (((self.value >> 1).wrapping_sub(x) as i64) >> 63) as u64;
        x.wrapping_sub(self.value & over) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRIMES: [u64; 6] =
        [3, 65537, 1_073_479_681, 1_099_511_590_913, 1_152_921_504_606_748_673, (1 << 61) - 1];

    #[test]
    fn even_composite_and_large_moduli_are_refused() {
        for value in [0, 1, 2, 4, 9, 1 << 60, (1 << 60) - 1, 1 << 61, u64::MAX] {
            assert_eq!(Modulus::new(value), Err(RingError::NotAPrime(value)));
        }
        assert!(Modulus::new((1 << 61) - 1).is_ok());
    }

    proptest! {
        #[test]
        fn arithmetic_equals_the_128_bit_remainder(i in 0..PRIMES.len(), a: u64, b: u64, s: i64) {
            let m = Modulus::new(PRIMES[i]).unwrap();
            let q = u128::from(m.value());
            let (ra, rb) = (m.reduce(a), m.reduce(b));
            prop_assert_eq!(u128::from(ra), u128::from(a) % q);
            prop_assert_eq!(u128::from(m.mul(a, b)), u128::from(a) * u128::from(b) % q);
            prop_assert_eq!(u128::from(m.reduce_wide(a, b)), ((u128::from(a) << 64) | u128::from(b)) % q);
            prop_assert_eq!(u128::from(m.add(ra, rb)), (u128::from(ra) + u128::from(rb)) % q);
            prop_assert_eq!(m.add(m.sub(ra, rb), rb), ra);
            prop_assert_eq!(m.add(ra, m.neg(ra)), 0);
            prop_assert_eq!(u128::from(m.shoup(b).mul(a, m.value())), u128::from(a) * u128::from(rb) % q);
            prop_assert_eq!(i128::from(m.from_signed(s)), i128::from(s).rem_euclid(q as i128));
            prop_assert_eq!(m.from_signed(m.centered(ra)), ra);
            prop_assert!(m.centered(ra).unsigned_abs() <= m.value() / 2);
            prop_assert_eq!(mul_wide_halves(a, b), mul_wide(a, b));
            if ra != 0 { prop_assert_eq!(m.mul(ra, m.inv(ra)), 1); }
        }
    }
}
