//! Sums of products on eight lanes: two words a sum, one reduction at its end.

use core::arch::x86_64::*;

use super::arithmetic::{self, fold, load, splat, store};
use crate::modulus::Modulus;

/// Terms summed in one pass: their operands come from so many places at once. More than these evict each other from a
/// first-level cache when they lie whole pages apart, as the digits of a key do; three passes over twelve terms are a seventh
/// faster than one.
pub(super) const STREAMS: usize = 4;

/// Sums of 104 bits, for primes up to 50 bits and factors below 2^50.
pub(super) mod fused {
    use super::*;
    use arithmetic::fused::{Prime, mul_prepared, quotient, reduce_lazy};

    /// Products of a sum: their high halves stay below 15 · 2^48, and below 2^52 with what the low halves carry.
    pub(in super::super) const TERMS: usize = 15;

    /// A prime and 2^52 modulo it.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Reducer {
        prime: Prime,
        radix: (__m512i, __m512i),
    }

    impl Reducer {
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn new(modulus: &Modulus) -> Self {
            let radix = modulus.shoup(1 << 52);
            Self { prime: Prime::new(modulus), radix: (splat(radix.value), splat(quotient(radix.quotient))) }
        }

        /// low + high 2^52 to [0, q).
        #[inline]
        #[target_feature(enable = "avx512f,avx512ifma")]
        pub(in super::super) fn finish(&self, (low, high): (__m512i, __m512i)) -> __m512i {
            let high = _mm512_add_epi64(high, _mm512_srli_epi64::<52>(low));
            let low = _mm512_and_si512(low, splat((1 << 52) - 1));
            let sum = _mm512_add_epi64(
                mul_prepared(high, self.radix.0, self.radix.1, &self.prime),
                reduce_lazy(low, &self.prime),
            );
            fold(fold(sum, self.prime.two_q), self.prime.q)
        }
    }

    /// sum + x y.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in super::super) fn add_product(
        (low, high): (__m512i, __m512i),
        x: __m512i,
        y: __m512i,
    ) -> (__m512i, __m512i) {
        (_mm512_madd52lo_epu64(low, x, y), _mm512_madd52hi_epu64(high, x, y))
    }

    /// A factor, ready for [`Columns`].
    pub(in super::super) type Factor = __m512i;

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn split(x: __m512i) -> Factor {
        x
    }

    /// A sum of a few products.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Columns(__m512i, __m512i);

    impl Columns {
        /// Terms that a sum has room for.
        pub(in super::super) fn terms(_modulus: &Modulus) -> usize {
            STREAMS
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn from_word(word: __m512i) -> Self {
            Self(word, _mm512_setzero_si512())
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512ifma")]
        pub(in super::super) fn add_product(self, x: Factor, y: Factor) -> Self {
            let (low, high) = add_product((self.0, self.1), x, y);
            Self(low, high)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn words(self) -> (__m512i, __m512i) {
            (self.0, self.1)
        }
    }
}

/// Sums of 128 bits, for primes up to 61 bits and factors below 2^61.
pub(super) mod halves {
    use super::*;
    use arithmetic::halves::{Prime, mul_prepared, reduce};

    /// Products of a sum, and a word: below 2^128.
    pub(in super::super) const TERMS: usize = 63;

    /// A prime and 2^64 modulo it.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Reducer {
        prime: Prime,
        radix: (__m512i, __m512i),
    }

    impl Reducer {
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn new(modulus: &Modulus) -> Self {
            let half = modulus.shoup(1 << 32).value;
            let radix = modulus.shoup(modulus.mul(half, half));
            Self { prime: Prime::new(modulus), radix: (splat(radix.value), splat(radix.quotient)) }
        }

        /// low + high 2^64 to [0, q).
        #[inline]
        #[target_feature(enable = "avx512f,avx512dq")]
        pub(in super::super) fn finish(&self, (low, high): (__m512i, __m512i)) -> __m512i {
            let sum = _mm512_add_epi64(
                mul_prepared(high, self.radix.0, self.radix.1, &self.prime),
                reduce(low, &self.prime),
            );
            fold(fold(sum, self.prime.two_q), self.prime.q)
        }
    }

    /// sum + x y.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(in super::super) fn add_product(
        (low, high): (__m512i, __m512i),
        x: __m512i,
        y: __m512i,
    ) -> (__m512i, __m512i) {
        let product = _mm512_mullo_epi64(x, y);
        let low = _mm512_add_epi64(low, product);
        let high = _mm512_add_epi64(high, arithmetic::mul_high(x, y));
        let carry = _mm512_cmplt_epu64_mask(low, product);
        (low, _mm512_mask_add_epi64(high, carry, high, splat(1)))
    }

    /// The low 30 bits of a factor, and those above.
    pub(in super::super) type Factor = (__m512i, __m512i);

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn split(x: __m512i) -> Factor {
        (_mm512_and_si512(x, splat((1 << 30) - 1)), _mm512_srli_epi64::<30>(x))
    }

    /// A sum of a few products by columns of 30 bits, which a word has room for without carries: for factors of 60 bits the
    /// middle one gets below 2^61 from each term, for 61 bits below 2^62.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Columns([__m512i; 3]);

    impl Columns {
        /// Terms that a sum has room for.
        pub(in super::super) fn terms(modulus: &Modulus) -> usize {
            if modulus.bits() <= 60 { STREAMS } else { STREAMS / 2 }
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn from_word(word: __m512i) -> Self {
            let zero = _mm512_setzero_si512();
            Self([word, zero, zero])
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn add_product(self, x: Factor, y: Factor) -> Self {
            let [low, middle, high] = self.0;
            let crossed = _mm512_add_epi64(_mm512_mul_epu32(x.0, y.1), _mm512_mul_epu32(x.1, y.0));
            Self([
                _mm512_add_epi64(low, _mm512_mul_epu32(x.0, y.0)),
                _mm512_add_epi64(middle, crossed),
                _mm512_add_epi64(high, _mm512_mul_epu32(x.1, y.1)),
            ])
        }

        /// The sum as low and high word.
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn words(self) -> (__m512i, __m512i) {
            let [low, middle, high] = self.0;
            let (shifted, one) = (_mm512_slli_epi64::<30>(middle), splat(1));
            let low = _mm512_add_epi64(low, shifted);
            let top = _mm512_add_epi64(_mm512_srli_epi64::<34>(middle), _mm512_srli_epi64::<4>(high));
            let top = _mm512_mask_add_epi64(top, _mm512_cmplt_epu64_mask(low, shifted), top, one);
            let shifted = _mm512_slli_epi64::<60>(high);
            let low = _mm512_add_epi64(low, shifted);
            (low, _mm512_mask_add_epi64(top, _mm512_cmplt_epu64_mask(low, shifted), top, one))
        }
    }
}

/// The loops of [`scalar`](crate::kernel::scalar) of the same names, with sums in registers.
macro_rules! sums {
    ($features:literal, $sums:path) => {
        use $sums as sum;

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn combine(
            out: &mut [u64],
            words: &[&[u64]],
            constants: &[Shoup],
            modulus: &Modulus,
        ) {
            if words.len() > sum::TERMS {
                // Rare: many source primes. The sum of two halves.
                let (head, tail) = words.split_at(sum::TERMS);
                let (head_constants, tail_constants) = constants.split_at(sum::TERMS);
                combine(out, head, head_constants, modulus);
                for (x, constant) in tail.iter().zip(tail_constants) {
                    mul_scalar_add_assign(out, x, *constant, modulus);
                }
                return;
            }
            let reducer = sum::Reducer::new(modulus);
            let (blocks, rest) = out.as_chunks_mut::<64>();
            let done = blocks.len() * 64;
            for (i, block) in blocks.iter_mut().enumerate() {
                let mut sums = [(_mm512_setzero_si512(), _mm512_setzero_si512()); 8];
                for (x, constant) in words.iter().zip(constants) {
                    let w = splat(constant.value);
                    let x = &x.as_chunks::<64>().0[i];
                    for (sum, x) in sums.iter_mut().zip(x.as_chunks::<8>().0) {
                        *sum = sum::add_product(*sum, load(x), w);
                    }
                }
                for (out, sum) in block.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                    store(out, reducer.finish(sum));
                }
            }
            if !rest.is_empty() {
                let mut tails = [&[][..]; 64];
                for (tail, x) in tails.iter_mut().zip(words) {
                    *tail = &x[done..];
                }
                scalar::combine(rest, &tails[..words.len()], constants, modulus);
            }
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn dot_pair(
            out: (&mut [u64], &mut [u64]),
            terms: &[(&[u64], &[u64], &[u64])],
            modulus: &Modulus,
        ) {
            let reducer = sum::Reducer::new(modulus);
            let (first, first_rest) = out.0.as_chunks_mut::<32>();
            let (second, second_rest) = out.1.as_chunks_mut::<32>();
            let done = first.len() * 32;
            if terms.is_empty() {
                first.as_flattened_mut().fill(0);
                second.as_flattened_mut().fill(0);
            }
            for (turn, terms) in terms.chunks(sum::Columns::terms(modulus)).enumerate() {
                for (i, (a, b)) in first.iter_mut().zip(second.iter_mut()).enumerate() {
                    let zero = _mm512_setzero_si512();
                    let mut sums = [[sum::Columns::from_word(zero); 2]; 4];
                    let (a, b) = (a.as_chunks_mut::<8>().0, b.as_chunks_mut::<8>().0);
                    if turn > 0 {
                        for ((sum, a), b) in sums.iter_mut().zip(a.iter()).zip(b.iter()) {
                            *sum = [load(a), load(b)].map(|word| sum::Columns::from_word(word));
                        }
                    }
                    for (x, y, z) in terms {
                        let x = x.as_chunks::<32>().0[i].as_chunks::<8>().0;
                        let y = y.as_chunks::<32>().0[i].as_chunks::<8>().0;
                        let z = z.as_chunks::<32>().0[i].as_chunks::<8>().0;
                        for (((sum, x), y), z) in sums.iter_mut().zip(x).zip(y).zip(z) {
                            let x = sum::split(load(x));
                            *sum = [
                                sum[0].add_product(x, sum::split(load(y))),
                                sum[1].add_product(x, sum::split(load(z))),
                            ];
                        }
                    }
                    for ((sum, a), b) in sums.iter().zip(a).zip(b) {
                        store(a, reducer.finish(sum[0].words()));
                        store(b, reducer.finish(sum[1].words()));
                    }
                }
            }
            if !first_rest.is_empty() {
                first_rest.fill(0);
                second_rest.fill(0);
                for (x, y, z) in terms {
                    scalar::mul_add_assign(first_rest, &x[done..], &y[done..], modulus);
                    scalar::mul_add_assign(second_rest, &x[done..], &z[done..], modulus);
                }
            }
        }
    };
}

pub(super) use sums;

/// out = words of `a` in another order, within blocks of eight that move as a whole.
#[target_feature(enable = "avx512f,avx512vl")]
pub(in crate::kernel) fn permute_blocks(out: &mut [u64], a: &[u64], permutation: &[u32]) {
    let (blocks, _) = a.as_chunks::<8>();
    for (out, sources) in out.as_chunks_mut::<8>().0.iter_mut().zip(permutation.as_chunks::<8>().0) {
        let block = &blocks[sources[0] as usize / 8];
        let sources: __m256i = bytemuck::must_cast(*sources);
        // The instruction reads the low three bits of each lane.
        store(out, _mm512_permutexvar_epi64(_mm512_cvtepu32_epi64(sources), load(block)));
    }
}
