//! The complex transform behind the slots, on doubles.
//!
//! One normative order of operations and no fused multiply-add: the same source is compiled for wider registers, so every
//! instruction set computes the same doubles.

/// Twiddles of every stage: exp(2 pi i j / 2h) for j < h, for h = 1, 2, …, n/2; stage h starts at h - 1.
#[derive(Debug, Clone, Copy)]
pub struct Stages<'a> {
    /// Real parts.
    pub re: &'a [f64],
    /// Imaginary parts.
    pub im: &'a [f64],
}

impl<'a> Stages<'a> {
    #[inline(always)]
    fn stage(self, half: usize) -> (&'a [f64], &'a [f64]) {
        let range = half - 1..2 * half - 1;
        (&self.re[range.clone()], &self.im[range])
    }
}

/// Doubles that are worked on together.
const LANES: usize = 8;
/// Points of the smallest transform that has a stage for whole lanes.
const WIDE: usize = 2 * LANES;

/// Eight complex numbers.
type Lane<'a> = (&'a mut [f64; LANES], &'a mut [f64; LANES]);

/// Natural order in, bit-reversed out: decimation in frequency.
#[inline(always)]
pub(super) fn forward(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    forward_wide(re, im, stages);
    forward_narrow(re, im, stages);
}

/// Bit-reversed in, natural out, not divided by the number of points: decimation in time, conjugated twiddles.
#[inline(always)]
pub(super) fn inverse(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    inverse_narrow(re, im, stages);
    inverse_wide(re, im, stages);
}

/// The stages that reach across eight points or more, two at a time.
#[inline(always)]
pub(super) fn forward_wide(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let mut len = re.len();
    if len >= WIDE && (len / LANES).trailing_zeros() % 2 == 1 {
        two_blocks(re, im, stages.stage(len / 2), down);
        len /= 2;
    }
    while len >= 2 * WIDE {
        let (outer, inner) = (stages.stage(len / 2), stages.stage(len / 4));
        for (re, im) in re.chunks_exact_mut(len).zip(im.chunks_exact_mut(len)) {
            four_blocks(re, im, |[a, b, c, d], i, h| {
                down(a, c, at(outer, i));
                down(b, d, at(outer, i + h));
                down(a, b, at(inner, i));
                down(c, d, at(inner, i));
            });
        }
        len /= 4;
    }
}

/// Inverse of [`forward_wide`], not divided.
#[inline(always)]
pub(super) fn inverse_wide(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let n = re.len();
    let mut len = LANES;
    while 4 * len <= n {
        len *= 4;
        let (outer, inner) = (stages.stage(len / 2), stages.stage(len / 4));
        for (re, im) in re.chunks_exact_mut(len).zip(im.chunks_exact_mut(len)) {
            four_blocks(re, im, |[a, b, c, d], i, h| {
                up(a, b, at(inner, i));
                up(c, d, at(inner, i));
                up(a, c, at(outer, i));
                up(b, d, at(outer, i + h));
            });
        }
    }
    if len < n {
        two_blocks(re, im, stages.stage(n / 2), up);
    }
}

/// The stages within eight points.
#[inline(always)]
pub(super) fn forward_narrow(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let mut half = (re.len() / 2).min(LANES / 2);
    while half > 0 {
        let (wr, wi) = stages.stage(half);
        for (re, im) in re.chunks_exact_mut(2 * half).zip(im.chunks_exact_mut(2 * half)) {
            let ((ar, br), (ai, bi)) = (re.split_at_mut(half), im.split_at_mut(half));
            for j in 0..half {
                down_one(&mut ar[j], &mut br[j], &mut ai[j], &mut bi[j], wr[j], wi[j]);
            }
        }
        half /= 2;
    }
}

/// Inverse of [`forward_narrow`], not divided.
#[inline(always)]
pub(super) fn inverse_narrow(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let mut half = 1;
    while half < LANES.min(re.len()) {
        let (wr, wi) = stages.stage(half);
        for (re, im) in re.chunks_exact_mut(2 * half).zip(im.chunks_exact_mut(2 * half)) {
            let ((ar, br), (ai, bi)) = (re.split_at_mut(half), im.split_at_mut(half));
            for j in 0..half {
                up_one(&mut ar[j], &mut br[j], &mut ai[j], &mut bi[j], wr[j], wi[j]);
            }
        }
        half *= 2;
    }
}

/// Twiddles of eight neighbors.
#[inline(always)]
fn at<'a>((re, im): (&'a [f64], &'a [f64]), i: usize) -> (&'a [f64; LANES], &'a [f64; LANES]) {
    (&re.as_chunks().0[i], &im.as_chunks().0[i])
}

/// One stage over a whole block.
#[inline(always)]
fn two_blocks(
    re: &mut [f64],
    im: &mut [f64],
    stage: (&[f64], &[f64]),
    butterfly: impl Fn(&mut Lane<'_>, &mut Lane<'_>, (&[f64; LANES], &[f64; LANES])),
) {
    let half = re.len() / 2;
    let ((ar, br), (ai, bi)) = (re.split_at_mut(half), im.split_at_mut(half));
    let (ar, br) = (ar.as_chunks_mut().0, br.as_chunks_mut().0);
    let (ai, bi) = (ai.as_chunks_mut().0, bi.as_chunks_mut().0);
    for (i, (((ar, br), ai), bi)) in ar.iter_mut().zip(br).zip(ai).zip(bi).enumerate() {
        butterfly(&mut (ar, ai), &mut (br, bi), at(stage, i));
    }
}

/// Two stages over a block, as its four quarters: `step` gets eight numbers of each, their place, and the length of a
/// quarter in eights.
#[inline(always)]
fn four_blocks(re: &mut [f64], im: &mut [f64], step: impl Fn([&mut Lane<'_>; 4], usize, usize)) {
    let quarter = re.len() / 4;
    let ((r0, r1), (i0, i1)) = (re.split_at_mut(2 * quarter), im.split_at_mut(2 * quarter));
    let ((ra, rb), (rc, rd)) = (r0.split_at_mut(quarter), r1.split_at_mut(quarter));
    let ((ia, ib), (ic, id)) = (i0.split_at_mut(quarter), i1.split_at_mut(quarter));
    let [ra, rb, rc, rd, ia, ib, ic, id] =
        [ra, rb, rc, rd, ia, ib, ic, id].map(|x| x.as_chunks_mut::<LANES>().0);
    let h = quarter / LANES;
    let first = ra.iter_mut().zip(ia).zip(rb.iter_mut().zip(ib));
    let second = rc.iter_mut().zip(ic).zip(rd.iter_mut().zip(id));
    for (i, (((ra, ia), (rb, ib)), ((rc, ic), (rd, id)))) in first.zip(second).enumerate() {
        step([&mut (ra, ia), &mut (rb, ib), &mut (rc, ic), &mut (rd, id)], i, h);
    }
}

#[inline(always)]
fn down(a: &mut Lane<'_>, b: &mut Lane<'_>, (wr, wi): (&[f64; LANES], &[f64; LANES])) {
    for j in 0..LANES {
        down_one(&mut a.0[j], &mut b.0[j], &mut a.1[j], &mut b.1[j], wr[j], wi[j]);
    }
}

#[inline(always)]
fn up(a: &mut Lane<'_>, b: &mut Lane<'_>, (wr, wi): (&[f64; LANES], &[f64; LANES])) {
    for j in 0..LANES {
        up_one(&mut a.0[j], &mut b.0[j], &mut a.1[j], &mut b.1[j], wr[j], wi[j]);
    }
}

/// (a, b) to (a + b, (a - b) w).
#[inline(always)]
fn down_one(ar: &mut f64, br: &mut f64, ai: &mut f64, bi: &mut f64, wr: f64, wi: f64) {
    let (dr, di) = (*ar - *br, *ai - *bi);
    *ar += *br;
    *ai += *bi;
    *br = dr * wr - di * wi;
    *bi = dr * wi + di * wr;
}

/// (a, b) to (a + b conj(w), a - b conj(w)).
#[inline(always)]
fn up_one(ar: &mut f64, br: &mut f64, ai: &mut f64, bi: &mut f64, wr: f64, wi: f64) {
    let tr = *br * wr + *bi * wi;
    let ti = *bi * wr - *br * wi;
    *br = *ar - tr;
    *bi = *ai - ti;
    *ar += tr;
    *ai += ti;
}

/// (a + i b) conj(t), times a factor; into the two outputs.
#[inline(always)]
pub(super) fn untwist(
    (re, im): (&[f64], &[f64]),
    (tr, ti): (&[f64], &[f64]),
    factor: f64,
    low: &mut [f64],
    high: &mut [f64],
) {
    for (((((re, im), tr), ti), low), high) in re.iter().zip(im).zip(tr).zip(ti).zip(low).zip(high) {
        *low = (re * tr + im * ti) * factor;
        *high = (im * tr - re * ti) * factor;
    }
}

/// (low + i high) t into (re, im).
#[inline(always)]
pub(super) fn twist(
    (low, high): (&[f64], &[f64]),
    (tr, ti): (&[f64], &[f64]),
    re: &mut [f64],
    im: &mut [f64],
) {
    for (((((low, high), tr), ti), re), im) in low.iter().zip(high).zip(tr).zip(ti).zip(re).zip(im) {
        *re = low * tr - high * ti;
        *im = low * ti + high * tr;
    }
}

/// sum += digit · radix, for a residue digit in [0, q) taken centered.
#[inline(always)]
pub(super) fn add_centered(sum: &mut [f64], digits: &[u64], q: u64, radix: f64) {
    for (sum, digit) in sum.iter_mut().zip(digits) {
        let over = (((q >> 1).wrapping_sub(*digit) as i64) >> 63) as u64;
        let centered = digit.wrapping_sub(q & over) as i64;
        *sum += centered as f64 * radix;
    }
}

/// Nearest integers, halves away from zero, of numbers below 2^62 in size.
#[inline(always)]
pub(super) fn round(out: &mut [i64], x: &[f64]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = round_one(*x);
    }
}

/// Nearest integer, halves away from zero, for |x| < 2^62.
#[inline(always)]
pub fn round_one(x: f64) -> i64 {
    let whole = x as i64;
    // Exact: either |x| < 2^52 and the difference has few bits, or x is whole.
    let rest = x - whole as f64;
    whole + i64::from(rest >= 0.5) - i64::from(rest <= -0.5)
}
