//! The complex transform on eight lanes.
//!
//! The butterflies and their order are those of [`fft`](crate::kernel::fft), so the doubles are the same. Stages that reach across
//! 64 points or more run two at a time; those within 64 points in registers, the last three of them on columns of eight.

use core::arch::x86_64::*;

use super::arithmetic;
use crate::kernel::fft::{self, Stages};

/// Doubles of eight groups of eight.
const GROUP: usize = 64;

/// Eight complex numbers.
#[derive(Clone, Copy)]
struct Z(__m512d, __m512d);

impl Z {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(re: &[f64; 8], im: &[f64; 8]) -> Self {
        Self(bytemuck::must_cast(*re), bytemuck::must_cast(*im))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(self, re: &mut [f64; 8], im: &mut [f64; 8]) {
        *re = bytemuck::must_cast(self.0);
        *im = bytemuck::must_cast(self.1);
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn splat(re: f64, im: f64) -> Self {
        Self(_mm512_set1_pd(re), _mm512_set1_pd(im))
    }

    /// (a, b) to (a + b, (a - b) w).
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn down(a: Self, b: Self, w: Self) -> (Self, Self) {
        let (dr, di) = (_mm512_sub_pd(a.0, b.0), _mm512_sub_pd(a.1, b.1));
        let re = _mm512_sub_pd(_mm512_mul_pd(dr, w.0), _mm512_mul_pd(di, w.1));
        let im = _mm512_add_pd(_mm512_mul_pd(dr, w.1), _mm512_mul_pd(di, w.0));
        (Self(_mm512_add_pd(a.0, b.0), _mm512_add_pd(a.1, b.1)), Self(re, im))
    }

    /// (a, b) to (a + b conj(w), a - b conj(w)).
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn up(a: Self, b: Self, w: Self) -> (Self, Self) {
        let re = _mm512_add_pd(_mm512_mul_pd(b.0, w.0), _mm512_mul_pd(b.1, w.1));
        let im = _mm512_sub_pd(_mm512_mul_pd(b.1, w.0), _mm512_mul_pd(b.0, w.1));
        (
            Self(_mm512_add_pd(a.0, re), _mm512_add_pd(a.1, im)),
            Self(_mm512_sub_pd(a.0, re), _mm512_sub_pd(a.1, im)),
        )
    }
}

/// The twiddles of a stage in eights.
#[derive(Clone, Copy)]
struct Roots<'a>(&'a [[f64; 8]], &'a [[f64; 8]]);

impl<'a> Roots<'a> {
    #[inline]
    fn new(stages: Stages<'a>, half: usize) -> Self {
        let (re, im) = stages.stage(half);
        Self(re.as_chunks().0, im.as_chunks().0)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn at(self, i: usize) -> Z {
        Z::load(&self.0[i], &self.1[i])
    }
}

/// Points of a block that is finished before the next is begun: 16 KiB.
const SEGMENT: usize = 1024;

#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn forward(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let mut len = re.len();
    if len < 2 * GROUP {
        return fft::forward(re, im, stages);
    }
    // Stages above 64 points: two at a time, after a single one when their number is odd.
    if (len / GROUP).trailing_zeros() % 2 == 1 {
        one_stage::<true>(re, im, Roots::new(stages, len / 2));
        len /= 2;
    }
    for (re, im) in re.chunks_exact_mut(len).zip(im.chunks_exact_mut(len)) {
        forward_even(re, im, stages);
    }
}

/// An even number of stages, then those within 64 points; block by block where they are long.
#[target_feature(enable = "avx512f")]
fn forward_even(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let mut len = re.len();
    while len > GROUP {
        let (outer, inner) = (Roots::new(stages, len / 2), Roots::new(stages, len / 4));
        if len > SEGMENT {
            two_stages::<true>(re, im, outer, inner);
            for (re, im) in re.chunks_exact_mut(len / 4).zip(im.chunks_exact_mut(len / 4)) {
                forward_even(re, im, stages);
            }
            return;
        }
        for (re, im) in re.chunks_exact_mut(len).zip(im.chunks_exact_mut(len)) {
            two_stages::<true>(re, im, outer, inner);
        }
        len /= 4;
    }
    for (re, im) in re.as_chunks_mut::<GROUP>().0.iter_mut().zip(im.as_chunks_mut::<GROUP>().0) {
        within_group::<true>(re, im, stages);
    }
}

#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn inverse(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let n = re.len();
    if n < 2 * GROUP {
        return fft::inverse(re, im, stages);
    }
    let odd = (n / GROUP).trailing_zeros() % 2 == 1;
    let len = if odd { n / 2 } else { n };
    for (re, im) in re.chunks_exact_mut(len).zip(im.chunks_exact_mut(len)) {
        inverse_even(re, im, stages);
    }
    if odd {
        one_stage::<false>(re, im, Roots::new(stages, n / 2));
    }
}

/// The stages within 64 points, then an even number of others.
#[target_feature(enable = "avx512f")]
fn inverse_even(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let n = re.len();
    if n > SEGMENT {
        for (re, im) in re.chunks_exact_mut(n / 4).zip(im.chunks_exact_mut(n / 4)) {
            inverse_even(re, im, stages);
        }
        two_stages::<false>(re, im, Roots::new(stages, n / 2), Roots::new(stages, n / 4));
        return;
    }
    for (re, im) in re.as_chunks_mut::<GROUP>().0.iter_mut().zip(im.as_chunks_mut::<GROUP>().0) {
        within_group::<false>(re, im, stages);
    }
    let mut len = GROUP;
    while len < n {
        len *= 4;
        let (outer, inner) = (Roots::new(stages, len / 2), Roots::new(stages, len / 4));
        for (re, im) in re.chunks_exact_mut(len).zip(im.chunks_exact_mut(len)) {
            two_stages::<false>(re, im, outer, inner);
        }
    }
}

/// Nearest integers, halves away from zero, of numbers below 2^62 in size.
#[target_feature(enable = "avx512f,avx512dq")]
pub(in crate::kernel) fn round(out: &mut [i64], x: &[f64]) {
    let (one, half) = (_mm512_set1_epi64(1), _mm512_set1_pd(0.5));
    let minus_half = _mm512_set1_pd(-0.5);
    let (outs, out_rest) = out.as_chunks_mut::<8>();
    let (xs, x_rest) = x.as_chunks::<8>();
    for (out, x) in outs.iter_mut().zip(xs) {
        let x: __m512d = bytemuck::must_cast(*x);
        let whole = _mm512_cvttpd_epi64(x);
        let rest = _mm512_sub_pd(x, _mm512_cvtepi64_pd(whole));
        let up = _mm512_cmp_pd_mask::<_CMP_GE_OQ>(rest, half);
        let down = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(rest, minus_half);
        let rounded = _mm512_mask_sub_epi64(_mm512_mask_add_epi64(whole, up, whole, one), down, whole, one);
        *out = bytemuck::must_cast(rounded);
    }
    fft::round(out_rest, x_rest);
}

/// One stage over a whole block.
#[inline]
#[target_feature(enable = "avx512f")]
fn one_stage<const DOWN: bool>(re: &mut [f64], im: &mut [f64], w: Roots<'_>) {
    let half = re.len() / 2;
    let ((ar, br), (ai, bi)) = (re.split_at_mut(half), im.split_at_mut(half));
    let [ar, br, ai, bi] = [ar, br, ai, bi].map(|x| x.as_chunks_mut::<8>().0);
    for (i, (((ar, br), ai), bi)) in ar.iter_mut().zip(br).zip(ai).zip(bi).enumerate() {
        let (a, b) = (Z::load(ar, ai), Z::load(br, bi));
        let (a, b) = if DOWN { Z::down(a, b, w.at(i)) } else { Z::up(a, b, w.at(i)) };
        a.store(ar, ai);
        b.store(br, bi);
    }
}

/// Two stages over a block, as its four quarters: `outer` joins halves, `inner` quarters.
#[inline]
#[target_feature(enable = "avx512f")]
fn two_stages<const DOWN: bool>(re: &mut [f64], im: &mut [f64], outer: Roots<'_>, inner: Roots<'_>) {
    let quarter = re.len() / 4;
    let ((r0, r1), (i0, i1)) = (re.split_at_mut(2 * quarter), im.split_at_mut(2 * quarter));
    let ((ra, rb), (rc, rd)) = (r0.split_at_mut(quarter), r1.split_at_mut(quarter));
    let ((ia, ib), (ic, id)) = (i0.split_at_mut(quarter), i1.split_at_mut(quarter));
    let [ra, rb, rc, rd] = [ra, rb, rc, rd].map(|x| x.as_chunks_mut::<8>().0);
    let [ia, ib, ic, id] = [ia, ib, ic, id].map(|x| x.as_chunks_mut::<8>().0);
    let first = ra.iter_mut().zip(ia).zip(rb.iter_mut().zip(ib));
    let second = rc.iter_mut().zip(ic).zip(rd.iter_mut().zip(id));
    for (i, (((ra, ia), (rb, ib)), ((rc, ic), (rd, id)))) in first.zip(second).enumerate() {
        let (a, b, c, d) = (Z::load(ra, ia), Z::load(rb, ib), Z::load(rc, ic), Z::load(rd, id));
        let (w0, w1, w) = (outer.at(i), outer.at(i + quarter / 8), inner.at(i));
        let (a, b, c, d) = if DOWN {
            let ((a, c), (b, d)) = (Z::down(a, c, w0), Z::down(b, d, w1));
            let ((a, b), (c, d)) = (Z::down(a, b, w), Z::down(c, d, w));
            (a, b, c, d)
        } else {
            let ((a, b), (c, d)) = (Z::up(a, b, w), Z::up(c, d, w));
            let ((a, c), (b, d)) = (Z::up(a, c, w0), Z::up(b, d, w1));
            (a, b, c, d)
        };
        a.store(ra, ia);
        b.store(rb, ib);
        c.store(rc, ic);
        d.store(rd, id);
    }
}

/// The six stages within 64 points, in registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn within_group<const DOWN: bool>(re: &mut [f64; GROUP], im: &mut [f64; GROUP], stages: Stages<'_>) {
    let (r, i): ([__m512d; 8], [__m512d; 8]) = (bytemuck::must_cast(*re), bytemuck::must_cast(*im));
    let (r, i) = if DOWN {
        let (r, i) = across_eight::<DOWN>(r, i, stages);
        let (r, i) = within_eight::<DOWN>(transpose(r), transpose(i), stages);
        (transpose(r), transpose(i))
    } else {
        let (r, i) = within_eight::<DOWN>(transpose(r), transpose(i), stages);
        across_eight::<DOWN>(transpose(r), transpose(i), stages)
    };
    *re = bytemuck::must_cast(r);
    *im = bytemuck::must_cast(i);
}

/// The three stages of 64 points that reach across eight and more.
#[inline]
#[target_feature(enable = "avx512f")]
fn across_eight<const DOWN: bool>(
    mut r: [__m512d; 8],
    mut i: [__m512d; 8],
    stages: Stages<'_>,
) -> ([__m512d; 8], [__m512d; 8]) {
    for half in if DOWN { [4, 2, 1] } else { [1, 2, 4] } {
        let roots = Roots::new(stages, 8 * half);
        for block in (0..8).step_by(2 * half) {
            for j in 0..half {
                let (x, y, w) = (block + j, block + j + half, roots.at(j));
                let (a, b) = (Z(r[x], i[x]), Z(r[y], i[y]));
                let (a, b) = if DOWN { Z::down(a, b, w) } else { Z::up(a, b, w) };
                (r[x], i[x], r[y], i[y]) = (a.0, a.1, b.0, b.1);
            }
        }
    }
    (r, i)
}

/// The three stages within eight points, of eight groups of eight, lane by lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn within_eight<const DOWN: bool>(
    mut r: [__m512d; 8],
    mut i: [__m512d; 8],
    stages: Stages<'_>,
) -> ([__m512d; 8], [__m512d; 8]) {
    for half in if DOWN { [4, 2, 1] } else { [1, 2, 4] } {
        let (wr, wi) = stages.stage(half);
        for block in (0..8).step_by(2 * half) {
            for j in 0..half {
                let (x, y, w) = (block + j, block + j + half, Z::splat(wr[j], wi[j]));
                let (a, b) = (Z(r[x], i[x]), Z(r[y], i[y]));
                let (a, b) = if DOWN { Z::down(a, b, w) } else { Z::up(a, b, w) };
                (r[x], i[x], r[y], i[y]) = (a.0, a.1, b.0, b.1);
            }
        }
    }
    (r, i)
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(v: [__m512d; 8]) -> [__m512d; 8] {
    bytemuck::must_cast(arithmetic::transpose(bytemuck::must_cast(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_swaps_rows_and_columns() {
        if crate::kernel::detected() == crate::kernel::Level::Scalar {
            return;
        }
        let mut x: [f64; GROUP] = core::array::from_fn(|i| i as f64);
        #[target_feature(enable = "avx512f")]
        fn run(x: &mut [f64; GROUP]) {
            *x = bytemuck::must_cast(transpose(bytemuck::must_cast(*x)));
        }
        // SAFETY: AVX-512 F was detected.
        unsafe { run(&mut x) };
        for (i, v) in x.iter().enumerate() {
            assert_eq!(*v, (i % 8 * 8 + i / 8) as f64);
        }
    }
}
