//! The complex transform on eight lanes.
//!
//! The stages that reach across eight points or more are the portable source, compiled for wide registers. Those within eight
//! points work on eight groups of eight at once, transposed, with the same butterflies in the same order.

use core::arch::x86_64::*;

use crate::kernel::fft::{self, Stages};

/// Doubles of eight groups of eight.
const GROUP: usize = 64;

#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
pub(in crate::kernel) fn forward(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    fft::forward_wide(re, im, stages);
    let (groups_re, rest_re) = re.as_chunks_mut::<GROUP>();
    let (groups_im, rest_im) = im.as_chunks_mut::<GROUP>();
    for (re, im) in groups_re.iter_mut().zip(groups_im) {
        let (mut r, mut i) = (transpose(load(re)), transpose(load(im)));
        for half in [4, 2, 1] {
            each_pair(half, |a, b, j| {
                let (wr, wi) = root(stages, half, j);
                let (dr, di) = (_mm512_sub_pd(r[a], r[b]), _mm512_sub_pd(i[a], i[b]));
                r[a] = _mm512_add_pd(r[a], r[b]);
                i[a] = _mm512_add_pd(i[a], i[b]);
                r[b] = _mm512_sub_pd(_mm512_mul_pd(dr, wr), _mm512_mul_pd(di, wi));
                i[b] = _mm512_add_pd(_mm512_mul_pd(dr, wi), _mm512_mul_pd(di, wr));
            });
        }
        store(re, transpose(r));
        store(im, transpose(i));
    }
    fft::forward_narrow(rest_re, rest_im, stages);
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
pub(in crate::kernel) fn inverse(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let (groups_re, rest_re) = re.as_chunks_mut::<GROUP>();
    let (groups_im, rest_im) = im.as_chunks_mut::<GROUP>();
    for (re, im) in groups_re.iter_mut().zip(groups_im) {
        let (mut r, mut i) = (transpose(load(re)), transpose(load(im)));
        for half in [1, 2, 4] {
            each_pair(half, |a, b, j| {
                let (wr, wi) = root(stages, half, j);
                let tr = _mm512_add_pd(_mm512_mul_pd(r[b], wr), _mm512_mul_pd(i[b], wi));
                let ti = _mm512_sub_pd(_mm512_mul_pd(i[b], wr), _mm512_mul_pd(r[b], wi));
                r[b] = _mm512_sub_pd(r[a], tr);
                i[b] = _mm512_sub_pd(i[a], ti);
                r[a] = _mm512_add_pd(r[a], tr);
                i[a] = _mm512_add_pd(i[a], ti);
            });
        }
        store(re, transpose(r));
        store(im, transpose(i));
    }
    fft::inverse_narrow(rest_re, rest_im, stages);
    fft::inverse_wide(re, im, stages);
}

/// Calls `f` with the two places and the twiddle's number of each butterfly of a stage over eight points.
#[inline(always)]
fn each_pair(half: usize, mut f: impl FnMut(usize, usize, usize)) {
    for block in (0..8).step_by(2 * half) {
        for j in 0..half {
            f(block + j, block + j + half, j);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn root(stages: Stages<'_>, half: usize, j: usize) -> (__m512d, __m512d) {
    (_mm512_set1_pd(stages.re[half - 1 + j]), _mm512_set1_pd(stages.im[half - 1 + j]))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(x: &[f64; GROUP]) -> [__m512d; 8] {
    bytemuck::must_cast(*x)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(x: &mut [f64; GROUP], v: [__m512d; 8]) {
    *x = bytemuck::must_cast(v);
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(v: [__m512d; 8]) -> [__m512d; 8] {
    let pairs = |a, b| (_mm512_unpacklo_pd(v[a], v[b]), _mm512_unpackhi_pd(v[a], v[b]));
    let ((a0, a1), (a2, a3), (a4, a5), (a6, a7)) = (pairs(0, 1), pairs(2, 3), pairs(4, 5), pairs(6, 7));
    let fours = |a, b| (_mm512_shuffle_f64x2::<0x88>(a, b), _mm512_shuffle_f64x2::<0xdd>(a, b));
    let ((b0, b2), (b1, b3)) = (fours(a0, a2), fours(a1, a3));
    let ((b4, b6), (b5, b7)) = (fours(a4, a6), fours(a5, a7));
    let ((c0, c4), (c1, c5)) = (fours(b0, b4), fours(b1, b5));
    let ((c2, c6), (c3, c7)) = (fours(b2, b6), fours(b3, b7));
    [c0, c1, c2, c3, c4, c5, c6, c7]
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
            store(x, transpose(load(x)));
        }
        // SAFETY: AVX-512 F was detected.
        unsafe { run(&mut x) };
        for (i, v) in x.iter().enumerate() {
            assert_eq!(*v, (i % 8 * 8 + i / 8) as f64);
        }
    }
}
