//! Loops over words, instantiated for each arithmetic.

/// The loops of [`scalar`](crate::kernel::scalar) with the same names and bounds, for lengths that are multiples of eight;
/// a remainder goes to the scalar loop.
macro_rules! loops {
    ($features:literal) => {
        use crate::kernel::scalar;
        use crate::kernel::x86::arithmetic::{fold, load, splat, store, transpose};
        use crate::modulus::{Modulus, Shoup};
        use arithmetic::Prime;
        use core::arch::x86_64::*;

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn mul_assign(a: &mut [u64], b: &[u64], modulus: &Modulus) {
            let p = Prime::new(modulus);
            let (xs, x_rest) = a.as_chunks_mut::<8>();
            let (ys, y_rest) = b.as_chunks::<8>();
            for (x, y) in xs.iter_mut().zip(ys) {
                store(x, arithmetic::mul(load(x), load(y), &p));
            }
            scalar::mul_assign(x_rest, y_rest, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn product(out: &mut [u64], a: &[u64], b: &[u64], modulus: &Modulus) {
            let p = Prime::new(modulus);
            let (os, o_rest) = out.as_chunks_mut::<8>();
            let (xs, x_rest) = a.as_chunks::<8>();
            let (ys, y_rest) = b.as_chunks::<8>();
            for ((o, x), y) in os.iter_mut().zip(xs).zip(ys) {
                store(o, arithmetic::mul(load(x), load(y), &p));
            }
            scalar::product(o_rest, x_rest, y_rest, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn tensor(
            out: (&mut [u64], &mut [u64], &mut [u64]),
            a: (&[u64], &[u64]),
            b: (&[u64], &[u64]),
            modulus: &Modulus,
        ) {
            let p = Prime::new(modulus);
            let [(o0, o0_rest), (o1, o1_rest), (o2, o2_rest)] =
                [out.0, out.1, out.2].map(|out| out.as_chunks_mut::<8>());
            let [(a0, a0_rest), (a1, a1_rest), (b0, b0_rest), (b1, b1_rest)] =
                [a.0, a.1, b.0, b.1].map(|words| words.as_chunks::<8>());
            let terms = a0.iter().zip(a1).zip(b0.iter().zip(b1));
            for (((o0, o1), o2), ((a0, a1), (b0, b1))) in o0.iter_mut().zip(o1).zip(o2).zip(terms) {
                let (a0, a1, b0, b1) = (load(a0), load(a1), load(b0), load(b1));
                store(o0, arithmetic::mul(a0, b0, &p));
                store(o1, arithmetic::mul_sum([(a0, b1), (a1, b0)], &p));
                store(o2, arithmetic::mul(a1, b1, &p));
            }
            scalar::tensor((o0_rest, o1_rest, o2_rest), (a0_rest, a1_rest), (b0_rest, b1_rest), modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn mul_add_assign(out: &mut [u64], a: &[u64], b: &[u64], modulus: &Modulus) {
            let p = Prime::new(modulus);
            let (os, o_rest) = out.as_chunks_mut::<8>();
            let (xs, x_rest) = a.as_chunks::<8>();
            let (ys, y_rest) = b.as_chunks::<8>();
            for ((o, x), y) in os.iter_mut().zip(xs).zip(ys) {
                let product = arithmetic::mul(load(x), load(y), &p);
                store(o, fold(_mm512_add_epi64(load(o), product), p.q));
            }
            scalar::mul_add_assign(o_rest, x_rest, y_rest, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn mul_scalar_assign(a: &mut [u64], scalar: Shoup, modulus: &Modulus) {
            let p = Prime::new(modulus);
            let (w, quotient) = (splat(scalar.value), splat(arithmetic::quotient(scalar.quotient)));
            let (xs, rest) = a.as_chunks_mut::<8>();
            for x in xs {
                store(x, fold(arithmetic::mul_prepared(load(x), w, quotient, &p), p.q));
            }
            scalar::mul_scalar_assign(rest, scalar, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn mul_scalar_add_assign(
            out: &mut [u64],
            a: &[u64],
            scalar: Shoup,
            modulus: &Modulus,
        ) {
            let p = Prime::new(modulus);
            let (w, quotient) = (splat(scalar.value), splat(arithmetic::quotient(scalar.quotient)));
            let (os, o_rest) = out.as_chunks_mut::<8>();
            let (xs, x_rest) = a.as_chunks::<8>();
            for (o, x) in os.iter_mut().zip(xs) {
                let sum = _mm512_add_epi64(load(o), arithmetic::mul_prepared(load(x), w, quotient, &p));
                store(o, fold(fold(sum, p.two_q), p.q));
            }
            scalar::mul_scalar_add_assign(o_rest, x_rest, scalar, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn add_assign(a: &mut [u64], b: &[u64], modulus: &Modulus) {
            let q = splat(modulus.value());
            let (xs, x_rest) = a.as_chunks_mut::<8>();
            let (ys, y_rest) = b.as_chunks::<8>();
            for (x, y) in xs.iter_mut().zip(ys) {
                store(x, fold(_mm512_add_epi64(load(x), load(y)), q));
            }
            scalar::add_assign(x_rest, y_rest, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn sub_assign(a: &mut [u64], b: &[u64], modulus: &Modulus) {
            let q = splat(modulus.value());
            let (xs, x_rest) = a.as_chunks_mut::<8>();
            let (ys, y_rest) = b.as_chunks::<8>();
            for (x, y) in xs.iter_mut().zip(ys) {
                let difference = _mm512_sub_epi64(load(x), load(y));
                store(x, _mm512_min_epu64(difference, _mm512_add_epi64(difference, q)));
            }
            scalar::sub_assign(x_rest, y_rest, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn add_scalar_assign(a: &mut [u64], scalar: u64, modulus: &Modulus) {
            let (q, s) = (splat(modulus.value()), splat(scalar));
            let (xs, rest) = a.as_chunks_mut::<8>();
            for x in xs {
                store(x, fold(_mm512_add_epi64(load(x), s), q));
            }
            scalar::add_scalar_assign(rest, scalar, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn reduce_shifted(out: &mut [u64], a: &[u64], shift: u64, modulus: &Modulus) {
            let p = Prime::new(modulus);
            let s = splat(shift);
            let (os, o_rest) = out.as_chunks_mut::<8>();
            let (xs, x_rest) = a.as_chunks::<8>();
            for (o, x) in os.iter_mut().zip(xs) {
                let difference = _mm512_sub_epi64(arithmetic::reduce(load(x), &p), s);
                store(o, _mm512_min_epu64(difference, _mm512_add_epi64(difference, p.q)));
            }
            scalar::reduce_shifted(o_rest, x_rest, shift, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn lift_centered(out: &mut [u64], a: &[u64], from: u64, modulus: &Modulus) {
            // Residues below the prime are residues as they are.
            if from < modulus.value() {
                lift_reduced::<0>(out, a, from, modulus);
            } else if from < 1 << 50 {
                lift_reduced::<1>(out, a, from, modulus);
            } else {
                lift_reduced::<2>(out, a, from, modulus);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn lift_reduced<const SIZE: u32>(out: &mut [u64], a: &[u64], from: u64, modulus: &Modulus) {
            let p = Prime::new(modulus);
            let (half, wrap) = (splat(from >> 1), splat(modulus.reduce(from)));
            let (os, o_rest) = out.as_chunks_mut::<8>();
            let (xs, x_rest) = a.as_chunks::<8>();
            for (o, x) in os.iter_mut().zip(xs) {
                let word = load(x);
                let over = _mm512_cmpgt_epu64_mask(word, half);
                let reduced = match SIZE {
                    0 => word,
                    1 => arithmetic::reduce_narrow(word, &p),
                    _ => arithmetic::reduce(word, &p),
                };
                let difference = _mm512_mask_sub_epi64(reduced, over, reduced, wrap);
                store(o, _mm512_min_epu64(difference, _mm512_add_epi64(difference, p.q)));
            }
            scalar::lift_centered(o_rest, x_rest, from, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn peel(
            a: &mut [u64],
            digits: &[u64],
            from: u64,
            scalar: Shoup,
            modulus: &Modulus,
        ) {
            // Digits below the prime are residues as they are.
            if from < modulus.value() {
                peel_reduced::<true>(a, digits, from, scalar, modulus);
            } else {
                peel_reduced::<false>(a, digits, from, scalar, modulus);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn peel_reduced<const REDUCED: bool>(
            a: &mut [u64],
            digits: &[u64],
            from: u64,
            scalar: Shoup,
            modulus: &Modulus,
        ) {
            let p = Prime::new(modulus);
            let (half, wrap) = (splat(from >> 1), splat(modulus.reduce(from)));
            let (w, quotient) = (splat(scalar.value), splat(arithmetic::quotient(scalar.quotient)));
            let (xs, x_rest) = a.as_chunks_mut::<8>();
            let (ds, d_rest) = digits.as_chunks::<8>();
            for (x, digit) in xs.iter_mut().zip(ds) {
                let word = load(digit);
                let over = _mm512_cmpgt_epu64_mask(word, half);
                let digit = if REDUCED { word } else { arithmetic::reduce(word, &p) };
                // x - digit + wrap is in (-q, 2q): with q more a factor, as any word is.
                let x_plus = _mm512_add_epi64(load(x), p.q);
                let x_plus = _mm512_mask_add_epi64(x_plus, over, x_plus, wrap);
                let product = arithmetic::mul_bounded(_mm512_sub_epi64(x_plus, digit), w, quotient, &p);
                store(x, arithmetic::settle(product, &p));
            }
            scalar::peel(x_rest, d_rest, from, scalar, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn sub_mul_assign(a: &mut [u64], b: &[u64], scalar: Shoup, modulus: &Modulus) {
            let p = Prime::new(modulus);
            let (w, quotient) = (splat(scalar.value), splat(arithmetic::quotient(scalar.quotient)));
            let (xs, x_rest) = a.as_chunks_mut::<8>();
            let (ys, y_rest) = b.as_chunks::<8>();
            for (x, y) in xs.iter_mut().zip(ys) {
                let difference = _mm512_sub_epi64(_mm512_add_epi64(load(x), p.q), load(y));
                store(x, arithmetic::settle(arithmetic::mul_bounded(difference, w, quotient, &p), &p));
            }
            scalar::sub_mul_assign(x_rest, y_rest, scalar, modulus);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn reduce_signed(out: &mut [u64], a: &[i64], modulus: &Modulus) {
            let p = Prime::new(modulus);
            let (os, o_rest) = out.as_chunks_mut::<8>();
            let (xs, x_rest) = a.as_chunks::<8>();
            for (o, x) in os.iter_mut().zip(xs) {
                let x: __m512i = bytemuck::must_cast(*x);
                let magnitude = arithmetic::reduce(_mm512_abs_epi64(x), &p);
                // Where x is negative and the magnitude is not 0: q - magnitude, folded.
                let negated = fold(_mm512_sub_epi64(p.q, magnitude), p.q);
                store(o, _mm512_mask_mov_epi64(magnitude, _mm512_movepi64_mask(x), negated));
            }
            scalar::reduce_signed(o_rest, x_rest, modulus);
        }
    };
}

pub(super) use loops;
