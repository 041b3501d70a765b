//! Primes up to 50 bits on AVX2: residues as doubles, products exact by fused multiply-add.
//!
//! A product y w is h + l exactly, with h = fl(y w) and l = fma(y, w, -h). With k near y w / q, the number (h - k q) + l is
//! congruent to y w, and both steps are exact while they stay integers below 2^53, however k was rounded (J. van der Hoeven,
//! G. Lecerf, G. Quintin, "Modular SIMD arithmetic in Mathemagix", 2016, section 3). Numbers are signed: |x| <= B q.
//!
//! Bounds. A product of |y| <= B q by a constant centered in [-q/2, q/2] has its k off by half a unit and by B q 2^-53 of
//! rounding: for q < 2^50 it comes out within (1/2 + B/8) q. Forward, the x of a butterfly is reduced to 0.51 q first, so all
//! numbers stay within 1.3 q. Inverse, two layers of sums reach 4 q < 2^52 before they are reduced.

use core::arch::x86_64::*;

use crate::kernel::scalar;
use crate::modulus::{Modulus, Shoup};

const MAGIC: u64 = 0x4330_0000_0000_0000;

/// Four words below 2^52 as doubles: put behind the exponent of 2^52, subtract 2^52.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(words: &[u64; 4]) -> __m256d {
    let words: __m256i = bytemuck::must_cast(*words);
    let magic = _mm256_set1_epi64x(MAGIC as i64);
    _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(words, magic)), _mm256_castsi256_pd(magic))
}

/// Four doubles that are whole numbers in [0, 2^52) as words.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(words: &mut [u64; 4], x: __m256d) {
    let magic = _mm256_castsi256_pd(_mm256_set1_epi64x(MAGIC as i64));
    let bits = _mm256_xor_pd(_mm256_add_pd(x, magic), magic);
    *words = bytemuck::must_cast(_mm256_castpd_si256(bits));
}

/// Doubles kept in words between the layers of a transform.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn peek(words: &[u64; 4]) -> __m256d {
    bytemuck::must_cast(*words)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn keep(words: &mut [u64; 4], x: __m256d) {
    *words = bytemuck::must_cast(x);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn round(x: __m256d) -> __m256d {
    _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
}

/// Constants of a prime.
#[derive(Clone, Copy)]
struct Prime {
    q: __m256d,
    inverse: __m256d,
}

impl Prime {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(modulus: &Modulus) -> Self {
        let q = modulus.value() as f64;
        Self { q: _mm256_set1_pd(q), inverse: _mm256_set1_pd(1.0 / q) }
    }

    /// x mod q for |x| <= 4 q: within 0.51 q, since x / q is found to within 2^-50.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn reduce(&self, x: __m256d) -> __m256d {
        _mm256_fnmadd_pd(round(_mm256_mul_pd(x, self.inverse)), self.q, x)
    }

    /// y w mod q, with `quotient` = fl(w / q).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn mul_prepared(&self, y: __m256d, (w, quotient): (__m256d, __m256d)) -> __m256d {
        let h = _mm256_mul_pd(y, w);
        let l = _mm256_fmsub_pd(y, w, h);
        let k = round(_mm256_mul_pd(y, quotient));
        _mm256_add_pd(_mm256_fnmadd_pd(k, self.q, h), l)
    }

    /// x y mod q.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn mul(&self, x: __m256d, y: __m256d) -> __m256d {
        let h = _mm256_mul_pd(x, y);
        let l = _mm256_fmsub_pd(x, y, h);
        let k = round(_mm256_mul_pd(h, self.inverse));
        _mm256_add_pd(_mm256_fnmadd_pd(k, self.q, h), l)
    }

    /// Any number within (-2q, 2q) to [0, q).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn canonical(&self, x: __m256d) -> __m256d {
        let x = self.lift(self.lift(x));
        let reduced = _mm256_sub_pd(x, self.q);
        // Where x - q is negative its sign bit picks x.
        let once = _mm256_blendv_pd(reduced, x, reduced);
        let reduced = _mm256_sub_pd(once, self.q);
        _mm256_blendv_pd(reduced, once, reduced)
    }

    /// Adds q where negative.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn lift(&self, x: __m256d) -> __m256d {
        _mm256_add_pd(x, _mm256_and_pd(self.q, _mm256_cmp_pd::<_CMP_LT_OQ>(x, _mm256_setzero_pd())))
    }
}

/// A running transform. Twiddles are words that hold doubles: w centered, and fl(w / q).
struct Run<'a> {
    w: &'a [u64],
    quotients: &'a [u64],
    p: Prime,
}

type Root = (__m256d, __m256d);

impl Run<'_> {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn root(&self, i: usize) -> Root {
        (_mm256_set1_pd(f64::from_bits(self.w[i])), _mm256_set1_pd(f64::from_bits(self.quotients[i])))
    }

    /// Two roots, each in two lanes.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn spread2(&self, i: usize) -> Root {
        let pick = |t: &[u64]| bytemuck::must_cast([t[i], t[i], t[i + 1], t[i + 1]]);
        (pick(self.w), pick(self.quotients))
    }

    /// Four roots, one a lane.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn each4(&self, i: usize) -> Root {
        let pick = |t: &[u64]| bytemuck::must_cast([t[i], t[i + 1], t[i + 2], t[i + 3]]);
        (pick(self.w), pick(self.quotients))
    }

    /// (x + y w, x - y w).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn butterfly(&self, x: __m256d, y: __m256d, root: Root) -> (__m256d, __m256d) {
        let t = self.p.mul_prepared(y, root);
        (_mm256_add_pd(x, t), _mm256_sub_pd(x, t))
    }

    /// (x + y, (x - y) w).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn unbutterfly(&self, x: __m256d, y: __m256d, root: Root) -> (__m256d, __m256d) {
        (_mm256_add_pd(x, y), self.p.mul_prepared(_mm256_sub_pd(x, y), root))
    }
}

/// A vector of four words from each of four quarters of a block.
macro_rules! quarters {
    ($a:expr, $body:expr) => {{
        let (low, high) = $a.split_at_mut($a.len() / 2);
        let ((a, b), (c, d)) = (low.split_at_mut(low.len() / 2), high.split_at_mut(high.len() / 2));
        let [a, b, c, d] = [a, b, c, d].map(|x| x.as_chunks_mut::<4>().0);
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let v = $body([peek(a), peek(b), peek(c), peek(d)]);
            keep(a, v[0]);
            keep(b, v[1]);
            keep(c, v[2]);
            keep(d, v[3]);
        }
    }};
}

/// A vector of four words from each half of a block.
macro_rules! halves {
    ($a:expr, $body:expr) => {{
        let (x, y) = $a.split_at_mut($a.len() / 2);
        for (x, y) in x.as_chunks_mut::<4>().0.iter_mut().zip(y.as_chunks_mut::<4>().0) {
            let (u, v) = $body(peek(x), peek(y));
            keep(x, u);
            keep(y, v);
        }
    }};
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn forward(
    (a, top): (&mut [u64], usize),
    w: &[u64],
    quotients: &[u64],
    modulus: &Modulus,
) {
    let run = Run { w, quotients, p: Prime::new(modulus) };
    let p = &run.p;
    for x in a.as_chunks_mut::<4>().0 {
        keep(x, load(x));
    }
    let (mut len, mut m) = (a.len(), top);
    // Layers above four words, two at a time, after a single one when their number is odd.
    if (len / 4).trailing_zeros() % 2 == 1 {
        let root = run.root(m);
        halves!(a, |x, y| run.butterfly(x, y, root));
        (len, m) = (len / 2, 2 * m);
    }
    while len > 4 {
        for (i, block) in a.chunks_exact_mut(len).enumerate() {
            let (outer, left, right) = (run.root(m + i), run.root(2 * (m + i)), run.root(2 * (m + i) + 1));
            quarters!(block, |[a, b, c, d]: [__m256d; 4]| {
                let ((a, c), (b, d)) =
                    (run.butterfly(p.reduce(a), c, outer), run.butterfly(p.reduce(b), d, outer));
                let ((a, b), (c, d)) =
                    (run.butterfly(p.reduce(a), b, left), run.butterfly(p.reduce(c), d, right));
                [a, b, c, d]
            });
        }
        (len, m) = (len / 4, 4 * m);
    }
    // The last two layers, within four words, on eight words at a time.
    for (i, eight) in a.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let (first, second) = pair(eight);
        let (u, v) = (peek(first), peek(second));
        let (x, y) = (_mm256_permute2f128_pd::<0x20>(u, v), _mm256_permute2f128_pd::<0x31>(u, v));
        let (x, y) = run.butterfly(p.reduce(x), y, run.spread2(m + 2 * i));
        let (x, y) = (_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y));
        let (x, y) = run.butterfly(p.reduce(x), y, run.each4(2 * (m + 2 * i)));
        let (x, y) = (p.canonical(p.reduce(x)), p.canonical(p.reduce(y)));
        let (u, v) = (_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y));
        store(first, _mm256_permute2f128_pd::<0x20>(u, v));
        store(second, _mm256_permute2f128_pd::<0x31>(u, v));
    }
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn inverse(
    a: &mut [u64],
    w: &[u64],
    quotients: &[u64],
    last: [Shoup; 2],
    modulus: &Modulus,
) {
    let run = Run { w, quotients, p: Prime::new(modulus) };
    let p = &run.p;
    let n = a.len();
    for (i, eight) in a.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let (first, second) = pair(eight);
        let (u, v) = (load(first), load(second));
        let (u, v) = (_mm256_permute2f128_pd::<0x20>(u, v), _mm256_permute2f128_pd::<0x31>(u, v));
        let (x, y) = (_mm256_unpacklo_pd(u, v), _mm256_unpackhi_pd(u, v));
        let (x, y) = run.unbutterfly(x, y, run.each4(n / 2 + 4 * i));
        let (x, y) = (p.reduce(x), y);
        let (x, y) = (_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y));
        let (x, y) = run.unbutterfly(x, y, run.spread2(n / 4 + 2 * i));
        let x = p.reduce(x);
        keep(first, _mm256_permute2f128_pd::<0x20>(x, y));
        keep(second, _mm256_permute2f128_pd::<0x31>(x, y));
    }
    let mut len = 4;
    // Two layers at a time up to the topmost one, which divides by N; a single one when they are odd.
    if (n / 8).trailing_zeros() % 2 == 1 {
        len = 8;
        for (i, block) in a.chunks_exact_mut(len).enumerate() {
            let root = run.root(n / len + i);
            halves!(block, |x, y| {
                let (x, y) = run.unbutterfly(x, y, root);
                (p.reduce(x), y)
            });
        }
    }
    while len < n / 2 {
        len *= 4;
        let m = n / len;
        for (i, block) in a.chunks_exact_mut(len).enumerate() {
            let (outer, left, right) = (run.root(m + i), run.root(2 * (m + i)), run.root(2 * (m + i) + 1));
            quarters!(block, |[a, b, c, d]: [__m256d; 4]| {
                let ((a, b), (c, d)) = (run.unbutterfly(a, b, left), run.unbutterfly(c, d, right));
                let ((a, c), (b, d)) = (run.unbutterfly(a, c, outer), run.unbutterfly(b, d, outer));
                [p.reduce(a), p.reduce(b), c, d]
            });
        }
    }
    let [x_root, y_root] = last.map(|s| prepared(s, modulus));
    let (low, high) = a.split_at_mut(n / 2);
    for (x, y) in low.as_chunks_mut::<4>().0.iter_mut().zip(high.as_chunks_mut::<4>().0) {
        let (u, v) = (peek(x), peek(y));
        store(x, p.canonical(p.mul_prepared(_mm256_add_pd(u, v), x_root)));
        store(y, p.canonical(p.mul_prepared(_mm256_sub_pd(u, v), y_root)));
    }
}

#[inline]
fn pair(eight: &mut [u64; 8]) -> (&mut [u64; 4], &mut [u64; 4]) {
    let (a, b) = eight.split_at_mut(4);
    let a: &mut [u64; 4] = a.try_into().expect("four words");
    (a, b.try_into().expect("four words"))
}

/// A constant for [`Prime::mul_prepared`]: centered, so that products stay small, and its quotient.
pub(in crate::kernel) fn twiddle(w: u64, modulus: &Modulus) -> (u64, u64) {
    let w = modulus.centered(w) as f64;
    (w.to_bits(), (w / modulus.value() as f64).to_bits())
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn prepared(scalar: Shoup, modulus: &Modulus) -> Root {
    let (w, quotient) = twiddle(scalar.value, modulus);
    (_mm256_set1_pd(f64::from_bits(w)), _mm256_set1_pd(f64::from_bits(quotient)))
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn mul_assign(a: &mut [u64], b: &[u64], modulus: &Modulus) {
    let p = Prime::new(modulus);
    let ((xs, x_rest), (ys, y_rest)) = (a.as_chunks_mut::<4>(), b.as_chunks::<4>());
    for (x, y) in xs.iter_mut().zip(ys) {
        store(x, p.canonical(p.mul(load(x), load(y))));
    }
    scalar::mul_assign(x_rest, y_rest, modulus);
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn product(out: &mut [u64], a: &[u64], b: &[u64], modulus: &Modulus) {
    let p = Prime::new(modulus);
    let (os, o_rest) = out.as_chunks_mut::<4>();
    let ((xs, x_rest), (ys, y_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for ((o, x), y) in os.iter_mut().zip(xs).zip(ys) {
        store(o, p.canonical(p.mul(load(x), load(y))));
    }
    scalar::product(o_rest, x_rest, y_rest, modulus);
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn tensor(
    (o0, o1, o2): (&mut [u64], &mut [u64], &mut [u64]),
    (a0, a1): (&[u64], &[u64]),
    (b0, b1): (&[u64], &[u64]),
    modulus: &Modulus,
) {
    product(o0, a0, b0, modulus);
    product(o1, a0, b1, modulus);
    mul_add_assign(o1, a1, b0, modulus);
    product(o2, a1, b1, modulus);
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn mul_add_assign(out: &mut [u64], a: &[u64], b: &[u64], modulus: &Modulus) {
    let p = Prime::new(modulus);
    let (os, o_rest) = out.as_chunks_mut::<4>();
    let ((xs, x_rest), (ys, y_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for ((o, x), y) in os.iter_mut().zip(xs).zip(ys) {
        let sum = _mm256_add_pd(load(o), p.mul(load(x), load(y)));
        store(o, p.canonical(sum));
    }
    scalar::mul_add_assign(o_rest, x_rest, y_rest, modulus);
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn mul_scalar_assign(a: &mut [u64], scalar: Shoup, modulus: &Modulus) {
    let (p, root) = (Prime::new(modulus), prepared(scalar, modulus));
    let (xs, rest) = a.as_chunks_mut::<4>();
    for x in xs {
        store(x, p.canonical(p.mul_prepared(load(x), root)));
    }
    scalar::mul_scalar_assign(rest, scalar, modulus);
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn sub_mul_assign(a: &mut [u64], b: &[u64], scalar: Shoup, modulus: &Modulus) {
    let (p, root) = (Prime::new(modulus), prepared(scalar, modulus));
    let ((xs, x_rest), (ys, y_rest)) = (a.as_chunks_mut::<4>(), b.as_chunks::<4>());
    for (x, y) in xs.iter_mut().zip(ys) {
        store(x, p.canonical(p.mul_prepared(_mm256_sub_pd(load(x), load(y)), root)));
    }
    scalar::sub_mul_assign(x_rest, y_rest, scalar, modulus);
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn mul_scalar_add_assign(out: &mut [u64], a: &[u64], scalar: Shoup, modulus: &Modulus) {
    let (p, root) = (Prime::new(modulus), prepared(scalar, modulus));
    let ((os, o_rest), (xs, x_rest)) = (out.as_chunks_mut::<4>(), a.as_chunks::<4>());
    for (o, x) in os.iter_mut().zip(xs) {
        store(o, p.canonical(_mm256_add_pd(load(o), p.mul_prepared(load(x), root))));
    }
    scalar::mul_scalar_add_assign(o_rest, x_rest, scalar, modulus);
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) fn dot_pair(
    (out_a, out_b): (&mut [u64], &mut [u64]),
    terms: &[crate::kernel::sums::Term<'_>],
    modulus: &Modulus,
) {
    out_a.fill(0);
    out_b.fill(0);
    for (x, y, z) in terms {
        mul_add_assign(out_a, x, y, modulus);
        mul_add_assign(out_b, x, z, modulus);
    }
}

/// Loops without products: the scalar source, compiled for wider registers.
macro_rules! plain {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {$(
        #[target_feature(enable = "avx2")]
        pub(in crate::kernel) fn $name($($arg: $type,)* modulus: &Modulus) {
            scalar::$name($($arg,)* modulus);
        }
    )*};
}

plain! {
    add_assign(a: &mut [u64], b: &[u64]);
    sub_assign(a: &mut [u64], b: &[u64]);
    add_scalar_assign(a: &mut [u64], scalar: u64);
    reduce_shifted(out: &mut [u64], a: &[u64], shift: u64);
    lift_centered(out: &mut [u64], a: &[u64], from: u64);
    peel(a: &mut [u64], digits: &[u64], from: u64, scalar: Shoup);
    reduce_signed(out: &mut [u64], a: &[i64]);
}
