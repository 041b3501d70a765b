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
    pub(super) fn stage(self, half: usize) -> (&'a [f64], &'a [f64]) {
        let range = half - 1..2 * half - 1;
        (&self.re[range.clone()], &self.im[range])
    }
}

/// Natural order in, bit-reversed out: decimation in frequency.
#[inline(always)]
pub(super) fn forward(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let mut half = re.len() / 2;
    while half > 0 {
        let (wr, wi) = stages.stage(half);
        for (re, im) in re.chunks_exact_mut(2 * half).zip(im.chunks_exact_mut(2 * half)) {
            let ((ar, br), (ai, bi)) = (re.split_at_mut(half), im.split_at_mut(half));
            for j in 0..half {
                down(&mut ar[j], &mut br[j], &mut ai[j], &mut bi[j], wr[j], wi[j]);
            }
        }
        half /= 2;
    }
}

/// Bit-reversed in, natural out, not divided by the number of points: decimation in time, conjugated twiddles.
#[inline(always)]
pub(super) fn inverse(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
    let mut half = 1;
    while half < re.len() {
        let (wr, wi) = stages.stage(half);
        for (re, im) in re.chunks_exact_mut(2 * half).zip(im.chunks_exact_mut(2 * half)) {
            let ((ar, br), (ai, bi)) = (re.split_at_mut(half), im.split_at_mut(half));
            for j in 0..half {
                up(&mut ar[j], &mut br[j], &mut ai[j], &mut bi[j], wr[j], wi[j]);
            }
        }
        half *= 2;
    }
}

/// (a, b) to (a + b, (a - b) w).
#[inline(always)]
fn down(ar: &mut f64, br: &mut f64, ai: &mut f64, bi: &mut f64, wr: f64, wi: f64) {
    let (dr, di) = (*ar - *br, *ai - *bi);
    *ar += *br;
    *ai += *bi;
    *br = dr * wr - di * wi;
    *bi = dr * wi + di * wr;
}

/// (a, b) to (a + b conj(w), a - b conj(w)).
#[inline(always)]
fn up(ar: &mut f64, br: &mut f64, ai: &mut f64, bi: &mut f64, wr: f64, wi: f64) {
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

/// [`untwist`] for the transform of real numbers, from the transform z of half the length that has them as its real and
/// imaginary parts in turns; for the first half of the points. `w` are the roots of the stage that is left out.
#[inline(always)]
pub(super) fn untwist_real(
    (re, im): (&[f64], &[f64]),
    (wr, wi): (&[f64], &[f64]),
    (tr, ti): (&[f64], &[f64]),
    factor: f64,
    low: &mut [f64],
    high: &mut [f64],
) {
    // With y the conjugate's partner: z + conj(y) are twice the even points', (z - conj(y)) / i twice the odd points'.
    let one = |(zr, zi): (f64, f64), (yr, yi): (f64, f64), (wr, wi): (f64, f64), (tr, ti): (f64, f64)| {
        let (or, oi) = (zi + yi, yr - zr);
        let re = (zr + yr) + (or * wr + oi * wi);
        let im = (zi - yi) + (oi * wr - or * wi);
        ((re * tr + im * ti) * factor, (im * tr - re * ti) * factor)
    };
    (low[0], high[0]) = one((re[0], im[0]), (re[0], im[0]), (wr[0], wi[0]), (tr[0], ti[0]));
    let z = re[1..].iter().zip(&im[1..]).zip(re[1..].iter().rev().zip(im[1..].iter().rev()));
    let roots = wr[1..].iter().zip(&wi[1..]).zip(tr[1..].iter().zip(&ti[1..]));
    for (((z, y), (w, t)), (low, high)) in z.zip(roots).zip(low[1..].iter_mut().zip(&mut high[1..])) {
        (*low, *high) = one((*z.0, *z.1), (*y.0, *y.1), (*w.0, *w.1), (*t.0, *t.1));
    }
}

/// The second halves of both from their first halves, for coefficients of which the k-th from the end is minus the k-th.
#[inline(always)]
pub(super) fn mirror(low: &mut [f64], high: &mut [f64]) {
    let half = low.len() / 2;
    let ((low, low_end), (high, high_end)) = (low.split_at_mut(half), high.split_at_mut(half));
    for (end, start) in [(low_end, &high[..]), (high_end, &low[..])] {
        for (end, start) in end[1..].iter_mut().zip(start[1..].iter().rev()) {
            *end = -start;
        }
    }
}

/// (low + i high) factor, times t; into (re, im).
#[inline(always)]
pub(super) fn twist(
    (low, high): (&[f64], &[f64]),
    (tr, ti): (&[f64], &[f64]),
    factor: f64,
    re: &mut [f64],
    im: &mut [f64],
) {
    for (((((low, high), tr), ti), re), im) in low.iter().zip(high).zip(tr).zip(ti).zip(re).zip(im) {
        let (low, high) = (low * factor, high * factor);
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

/// [`twist`] of the mean of a polynomial and its conjugate, twice: its coefficients m_k - m_(N-k). For the first half of the
/// points and the one in the middle.
#[inline(always)]
pub(super) fn twist_real(
    (low, high): (&[f64], &[f64]),
    (tr, ti): (&[f64], &[f64]),
    factor: f64,
    re: &mut [f64],
    im: &mut [f64],
) {
    let one = |low: f64, high: f64, tr: f64, ti: f64| {
        let (low, high) = (low * factor, high * factor);
        (low * tr - high * ti, low * ti + high * tr)
    };
    // The constant is its own partner, and the middle coefficient minus its own.
    (re[0], im[0]) = one(2.0 * low[0], 0.0, tr[0], ti[0]);
    let ends = high.iter().rev().zip(low.iter().rev());
    let starts = low[1..].iter().zip(&high[1..]);
    let out = re[1..].iter_mut().zip(&mut im[1..]).zip(tr[1..].iter().zip(&ti[1..]));
    for (((low, high), (high_end, low_end)), ((re, im), (tr, ti))) in starts.zip(ends).zip(out) {
        (*re, *im) = one(low - high_end, high - low_end, *tr, *ti);
    }
}

/// From the first half and the middle of a transform with real values to one of half the length, which has those values as its
/// real and imaginary parts in turns. `w` are the roots of the stage that is left out.
#[inline(always)]
pub(super) fn interleave_real(
    (cr, ci): (&[f64], &[f64]),
    (wr, wi): (&[f64], &[f64]),
    re: &mut [f64],
    im: &mut [f64],
) {
    // The second half is the conjugate of the first, backwards.
    let partners = cr.iter().rev().zip(ci.iter().rev());
    let out = re.iter_mut().zip(im).zip(wr.iter().zip(wi));
    for (((cr, ci), (yr, yi)), ((re, im), (wr, wi))) in cr.iter().zip(ci).zip(partners).zip(out) {
        let (dr, di) = (cr - yr, ci + yi);
        *re = (cr + yr) - (dr * wi + di * wr);
        *im = (ci - yi) + (dr * wr - di * wi);
    }
}

/// The largest size, as the bits of a double: those of NaN and of infinity are larger than those of any number.
#[inline(always)]
pub(super) fn largest(x: &[f64], bits: &mut u64) {
    *bits = x.iter().fold(0, |most, x| most.max(x.abs().to_bits()));
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
