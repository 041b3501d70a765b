//! Modular products on eight lanes.

use core::arch::x86_64::*;

use crate::modulus::Modulus;

/// Eight words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(words: &[u64; 8]) -> __m512i {
    bytemuck::must_cast(*words)
}

/// Eight words back.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(words: &mut [u64; 8], v: __m512i) {
    *words = bytemuck::must_cast(v);
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(word: u64) -> __m512i {
    _mm512_set1_epi64(word as i64)
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(v: [__m512i; 8]) -> [__m512i; 8] {
    let pairs = |a, b| (_mm512_unpacklo_epi64(v[a], v[b]), _mm512_unpackhi_epi64(v[a], v[b]));
    let ((a0, a1), (a2, a3), (a4, a5), (a6, a7)) = (pairs(0, 1), pairs(2, 3), pairs(4, 5), pairs(6, 7));
    let fours = |a, b| (_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0xdd>(a, b));
    let ((b0, b2), (b1, b3)) = (fours(a0, a2), fours(a1, a3));
    let ((b4, b6), (b5, b7)) = (fours(a4, a6), fours(a5, a7));
    let ((c0, c4), (c1, c5)) = (fours(b0, b4), fours(b1, b5));
    let ((c2, c6), (c3, c7)) = (fours(b2, b6), fours(b3, b7));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// x in [0, 2b) to [0, b): the smaller of x and x - b, which wraps to a large number when x < b.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn fold(x: __m512i, b: __m512i) -> __m512i {
    _mm512_min_epu64(x, _mm512_sub_epi64(x, b))
}

/// The high word of a product, too small by at most 2: the lowest partial product and two carries are left out.
#[inline]
#[target_feature(enable = "avx512f")]
fn mul_high_approximate(a: __m512i, b: __m512i) -> __m512i {
    let (ah, bh) = (_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
    let middle = _mm512_srli_epi64::<32>(_mm512_mul_epu32(ah, b));
    let other = _mm512_srli_epi64::<32>(_mm512_mul_epu32(a, bh));
    _mm512_add_epi64(_mm512_mul_epu32(ah, bh), _mm512_add_epi64(middle, other))
}

/// The exact high word of a product.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn mul_high(a: __m512i, b: __m512i) -> __m512i {
    let low32 = splat(0xffff_ffff);
    let (ah, bh) = (_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
    let lowest = _mm512_srli_epi64::<32>(_mm512_mul_epu32(a, b));
    let middle = _mm512_add_epi64(_mm512_mul_epu32(ah, b), lowest);
    let other = _mm512_add_epi64(_mm512_mul_epu32(a, bh), _mm512_and_si512(middle, low32));
    let high = _mm512_add_epi64(_mm512_mul_epu32(ah, bh), _mm512_srli_epi64::<32>(middle));
    _mm512_add_epi64(high, _mm512_srli_epi64::<32>(other))
}

/// Any word to [0, q), q below 2^61. `ratio` is floor(2^64 / q).
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn reduce_word(x: __m512i, ratio: __m512i, q: __m512i) -> __m512i {
    let quotient = mul_high_approximate(x, ratio);
    // The exact quotient leaves [0, 2q); one smaller by up to 2 leaves [0, 4q).
    let r = _mm512_sub_epi64(x, _mm512_mullo_epi64(quotient, q));
    let two_q = _mm512_add_epi64(q, q);
    fold(fold(r, two_q), q)
}

/// Products by 52-bit fused multiply-add, for primes up to 50 bits.
pub(super) mod fused {
    use super::*;

    /// Factors of a word must be below this.
    const WORD: u32 = 52;

    /// Whether `layers` layers may run without reducing: sums stay below (2 layers + 1) q, which must fit a factor.
    pub(in super::super) fn lazy(q: u64, layers: u32) -> bool {
        u128::from(q) * u128::from(2 * layers + 1) < 1 << WORD
    }

    /// Whether so many layers of an inverse transform may run without reducing: each doubles the sums.
    pub(in super::super) fn lazy_inverse(q: u64, layers: u32) -> bool {
        u128::from(q) << layers < 1 << WORD
    }

    /// The quotient of a prepared constant in this arithmetic: floor(w 2^52 / q).
    pub(in super::super) fn quotient(quotient64: u64) -> u64 {
        quotient64 >> 12
    }

    /// Constants of a prime.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Prime {
        pub(in super::super) q: __m512i,
        pub(in super::super) two_q: __m512i,
        minus_q: __m512i,
        ratio52: __m512i,
        ratio64: __m512i,
        barrett: __m512i,
        shift_down: __m512i,
        shift_up: __m512i,
    }

    impl Prime {
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn new(modulus: &Modulus) -> Self {
            let (q, n, ratio) = (modulus.value(), modulus.bits(), modulus.ratio());
            Self {
                q: splat(q),
                two_q: splat(2 * q),
                minus_q: splat((1 << WORD) - q),
                ratio52: splat((ratio >> 76) as u64),
                ratio64: splat((ratio >> 64) as u64),
                barrett: splat((ratio >> (77 - n)) as u64),
                shift_down: splat(u64::from(n - 1)),
                shift_up: splat(u64::from(WORD + 1 - n)),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn low(a: __m512i, b: __m512i) -> __m512i {
        _mm512_madd52lo_epu64(_mm512_setzero_si512(), a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn high(a: __m512i, b: __m512i) -> __m512i {
        _mm512_madd52hi_epu64(_mm512_setzero_si512(), a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn mask(x: __m512i) -> __m512i {
        _mm512_and_si512(x, splat((1 << WORD) - 1))
    }

    /// y w mod q in [0, 2q), for y below 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in super::super) fn mul_prepared(y: __m512i, w: __m512i, quotient: __m512i, p: &Prime) -> __m512i {
        mask(mul_loose(y, w, quotient, p))
    }

    /// [`mul_prepared`] modulo 2^52, with anything above: factors are read modulo 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in super::super) fn mul_loose(y: __m512i, w: __m512i, quotient: __m512i, p: &Prime) -> __m512i {
        _mm512_madd52lo_epu64(low(y, w), high(y, quotient), p.minus_q)
    }

    /// y w mod q in [0, [`bound`]), for y below 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in super::super) fn mul_bounded(y: __m512i, w: __m512i, quotient: __m512i, p: &Prime) -> __m512i {
        mul_prepared(y, w, quotient, p)
    }

    /// What products stay below: 2q.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn bound(p: &Prime) -> __m512i {
        p.two_q
    }

    /// [0, [`bound`]) to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn settle(x: __m512i, p: &Prime) -> __m512i {
        fold(x, p.q)
    }

    /// x y mod q in [0, q), for x, y in [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(in super::super) fn mul(x: __m512i, y: __m512i, p: &Prime) -> __m512i {
        barrett((low(x, y), high(x, y)), p)
    }

    /// x y + u v mod q in [0, q), for factors in [0, q): one reduction for both.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(in super::super) fn mul_sum([(x, y), (u, v)]: [(__m512i, __m512i); 2], p: &Prime) -> __m512i {
        let (lo, hi) = (_mm512_madd52lo_epu64(low(x, y), u, v), _mm512_madd52hi_epu64(high(x, y), u, v));
        barrett((mask(lo), _mm512_add_epi64(hi, _mm512_srli_epi64::<WORD>(lo))), p)
    }

    /// low + high 2^52 below 2 q^2 to [0, q). The quotient is too small by less than one for the bits cut off below, one for
    /// those of the constant, one for its own: by 2 at most, or by 3 above q^2; 4q < 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn barrett((lo, hi): (__m512i, __m512i), p: &Prime) -> __m512i {
        let top = _mm512_or_si512(_mm512_sllv_epi64(hi, p.shift_up), _mm512_srlv_epi64(lo, p.shift_down));
        let r = mask(_mm512_sub_epi64(lo, low(high(top, p.barrett), p.q)));
        fold(fold(r, p.two_q), p.q)
    }

    /// Values of a transform without reductions, below 2^52, to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in super::super) fn reduce_lazy(x: __m512i, p: &Prime) -> __m512i {
        fold(mask(_mm512_sub_epi64(x, low(high(x, p.ratio52), p.q))), p.q)
    }

    /// A word below 2^52 to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in super::super) fn reduce_narrow(x: __m512i, p: &Prime) -> __m512i {
        reduce_lazy(x, p)
    }

    /// Any word to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn reduce(x: __m512i, p: &Prime) -> __m512i {
        reduce_word(x, p.ratio64, p.q)
    }
}

/// Products from 32-bit halves, for primes up to 61 bits.
pub(super) mod halves {
    use super::*;

    /// Whether `layers` layers may run without reducing: sums stay below (4 layers + 1) q.
    pub(in super::super) fn lazy(q: u64, layers: u32) -> bool {
        u128::from(q) * u128::from(4 * layers + 1) < 1 << 63
    }

    /// Never: primes small enough for it have the other arithmetic wherever there is one.
    pub(in super::super) fn lazy_inverse(_q: u64, _layers: u32) -> bool {
        false
    }

    /// The quotient of a prepared constant in this arithmetic: floor(w 2^64 / q).
    pub(in super::super) fn quotient(quotient64: u64) -> u64 {
        quotient64
    }

    /// Constants of a prime.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Prime {
        pub(in super::super) q: __m512i,
        pub(in super::super) two_q: __m512i,
        four_q: __m512i,
        ratio64: __m512i,
        barrett: __m512i,
        shift_down: __m512i,
        shift_up: __m512i,
    }

    impl Prime {
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn new(modulus: &Modulus) -> Self {
            let (q, n, ratio) = (modulus.value(), modulus.bits(), modulus.ratio());
            Self {
                q: splat(q),
                two_q: splat(2 * q),
                four_q: splat(4 * q),
                ratio64: splat((ratio >> 64) as u64),
                barrett: splat((ratio >> (65 - n)) as u64),
                shift_down: splat(u64::from(n - 1)),
                shift_up: splat(u64::from(65 - n)),
            }
        }
    }

    /// y w mod q in [0, 2q), for any word y.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn mul_prepared(y: __m512i, w: __m512i, quotient: __m512i, p: &Prime) -> __m512i {
        fold(mul_bounded(y, w, quotient, p), p.two_q)
    }

    /// y w mod q in [0, [`bound`]), for any word y.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn mul_bounded(y: __m512i, w: __m512i, quotient: __m512i, p: &Prime) -> __m512i {
        let h = mul_high_approximate(y, quotient);
        // [0, 2q) with the exact quotient; up to 2q more with one that is too small by 2.
        _mm512_sub_epi64(_mm512_mullo_epi64(y, w), _mm512_mullo_epi64(h, p.q))
    }

    /// The same.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn mul_loose(y: __m512i, w: __m512i, quotient: __m512i, p: &Prime) -> __m512i {
        mul_bounded(y, w, quotient, p)
    }

    /// What products stay below: 4q. Twice that is a word.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn bound(p: &Prime) -> __m512i {
        p.four_q
    }

    /// [0, [`bound`]) to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn settle(x: __m512i, p: &Prime) -> __m512i {
        fold(fold(x, p.two_q), p.q)
    }

    /// x y mod q in [0, q), for x, y in [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn mul(x: __m512i, y: __m512i, p: &Prime) -> __m512i {
        barrett((_mm512_mullo_epi64(x, y), mul_high(x, y)), p)
    }

    /// x y + u v mod q in [0, q), for factors in [0, q): one reduction for both.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn mul_sum([(x, y), (u, v)]: [(__m512i, __m512i); 2], p: &Prime) -> __m512i {
        let (first, lo) = (_mm512_mullo_epi64(x, y), _mm512_mullo_epi64(u, v));
        let lo = _mm512_add_epi64(lo, first);
        let hi = _mm512_add_epi64(mul_high(x, y), mul_high(u, v));
        let carry = _mm512_cmplt_epu64_mask(lo, first);
        barrett((lo, _mm512_mask_add_epi64(hi, carry, hi, splat(1))), p)
    }

    /// low + high 2^64 below 2 q^2 to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn barrett((lo, hi): (__m512i, __m512i), p: &Prime) -> __m512i {
        let top = _mm512_or_si512(_mm512_sllv_epi64(hi, p.shift_up), _mm512_srlv_epi64(lo, p.shift_down));
        // Too small by at most 5: 2 from the approximate product, 3 from Barrett's quotient (see the other). 6q < 2^64.
        let quotient = mul_high_approximate(top, p.barrett);
        let r = _mm512_sub_epi64(lo, _mm512_mullo_epi64(quotient, p.q));
        fold(fold(fold(r, p.four_q), p.two_q), p.q)
    }

    /// Values of a transform without reductions to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn reduce_lazy(x: __m512i, p: &Prime) -> __m512i {
        reduce(x, p)
    }

    /// A word below 2^52 to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn reduce_narrow(x: __m512i, p: &Prime) -> __m512i {
        reduce(x, p)
    }

    /// Any word to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn reduce(x: __m512i, p: &Prime) -> __m512i {
        reduce_word(x, p.ratio64, p.q)
    }
}
