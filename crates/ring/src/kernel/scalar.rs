//! Portable limb loops: the reference for every other kernel.

use crate::modulus::{Modulus, Shoup, mul_wide, reduce_once};

/// Forward negacyclic transform, decimation in time, lazy (Harvey 2014, Alg. 4).
///
/// `roots[m + i]` is psi^bitrev(i), for the layer with m blocks. In [0, q), out [0, q), bit-reversed order.
/// Between layers values are in [0, 4q). The topmost layer is the one with `top` blocks.
pub fn ntt_forward((a, top): (&mut [u64], usize), roots: &[Shoup], modulus: &Modulus) {
    let q = modulus.value();
    let two_q = 2 * q;
    let n = a.len();
    let (mut m, mut width) = (top, n);
    while width > 1 {
        width /= 2;
        for (block, root) in a.chunks_exact_mut(2 * width).zip(&roots[m..2 * m]) {
            let (low, high) = block.split_at_mut(width);
            for (x, y) in low.iter_mut().zip(high) {
                let u = reduce_once(*x, two_q);
                let v = root.mul_lazy(*y, q);
                *x = u + v;
                *y = u + two_q - v;
            }
        }
        m *= 2;
    }
    for x in a {
        *x = reduce_once(reduce_once(*x, two_q), q);
    }
}

/// Inverse of [`ntt_forward`], with the division by N folded into the last layer (Harvey 2014, Alg. 3).
///
/// `roots[m + i]` is psi^-bitrev(i) for m >= 2; `last` holds (1/N, psi^-bitrev(0..)/N) for the last layer.
/// In [0, q) bit-reversed, out [0, q). Between layers values are in [0, 2q).
pub fn ntt_inverse(a: &mut [u64], roots: &[Shoup], last: (Shoup, Shoup), modulus: &Modulus) {
    let q = modulus.value();
    let two_q = 2 * q;
    let n = a.len();
    let (mut m, mut width) = (n / 2, 1);
    while m > 1 {
        for (block, root) in a.chunks_exact_mut(2 * width).zip(&roots[m..2 * m]) {
            let (low, high) = block.split_at_mut(width);
            for (x, y) in low.iter_mut().zip(high) {
                let (u, v) = (*x, *y);
                *x = reduce_once(u + v, two_q);
                *y = root.mul_lazy(u + two_q - v, q);
            }
        }
        m /= 2;
        width *= 2;
    }
    let (low, high) = a.split_at_mut(width);
    for (x, y) in low.iter_mut().zip(high) {
        let (u, v) = (*x, *y);
        *x = last.0.mul(u + v, q);
        *y = last.1.mul(u + two_q - v, q);
    }
}

/// a += b. In [0, q), out [0, q).
pub fn add_assign(a: &mut [u64], b: &[u64], modulus: &Modulus) {
    for (x, y) in a.iter_mut().zip(b) {
        *x = modulus.add(*x, *y);
    }
}

/// a -= b. In [0, q), out [0, q).
pub fn sub_assign(a: &mut [u64], b: &[u64], modulus: &Modulus) {
    for (x, y) in a.iter_mut().zip(b) {
        *x = modulus.sub(*x, *y);
    }
}

/// a = -a. In [0, q), out [0, q).
pub fn neg_assign(a: &mut [u64], modulus: &Modulus) {
    for x in a {
        *x = modulus.neg(*x);
    }
}

/// a *= b, word by word. In any, out [0, q).
pub fn mul_assign(a: &mut [u64], b: &[u64], modulus: &Modulus) {
    for (x, y) in a.iter_mut().zip(b) {
        *x = modulus.mul(*x, *y);
    }
}

/// out = a * b, word by word. In any, out [0, q).
pub fn product(out: &mut [u64], a: &[u64], b: &[u64], modulus: &Modulus) {
    for ((o, x), y) in out.iter_mut().zip(a).zip(b) {
        *o = modulus.mul(*x, *y);
    }
}

/// out = (a_0 b_0, a_0 b_1 + a_1 b_0, a_1 b_1), word by word. In [0, q), out [0, q).
pub fn tensor(
    out: (&mut [u64], &mut [u64], &mut [u64]),
    a: (&[u64], &[u64]),
    b: (&[u64], &[u64]),
    modulus: &Modulus,
) {
    let terms = a.0.iter().zip(a.1).zip(b.0.iter().zip(b.1));
    for (((o0, o1), o2), ((a0, a1), (b0, b1))) in out.0.iter_mut().zip(out.1).zip(out.2).zip(terms) {
        *o0 = modulus.mul(*a0, *b0);
        *o1 = modulus.add(modulus.mul(*a0, *b1), modulus.mul(*a1, *b0));
        *o2 = modulus.mul(*a1, *b1);
    }
}

/// out += a * b, word by word. `out` in [0, q), a and b in [0, q), out [0, q).
pub fn mul_add_assign(out: &mut [u64], a: &[u64], b: &[u64], modulus: &Modulus) {
    for ((o, x), y) in out.iter_mut().zip(a).zip(b) {
        let (high, low) = mul_wide(*x, *y);
        // q^2 + q < 2^123: no carry out of the high word.
        let (low, carry) = low.overflowing_add(*o);
        *o = modulus.reduce_wide(high + u64::from(carry), low);
    }
}

/// a *= constant. In any, out [0, q).
pub fn mul_scalar_assign(a: &mut [u64], scalar: Shoup, modulus: &Modulus) {
    for x in a {
        *x = scalar.mul(*x, modulus.value());
    }
}

/// out += a * constant. `out` in [0, q), a any, out [0, q).
pub fn mul_scalar_add_assign(out: &mut [u64], a: &[u64], scalar: Shoup, modulus: &Modulus) {
    for (o, x) in out.iter_mut().zip(a) {
        *o = modulus.add(*o, scalar.mul(*x, modulus.value()));
    }
}

/// a += constant in [0, q). In [0, q), out [0, q).
pub fn add_scalar_assign(a: &mut [u64], scalar: u64, modulus: &Modulus) {
    for x in a {
        *x = modulus.add(*x, scalar);
    }
}

/// out = (a mod q) - shift, for any words a and a shift in [0, q). Out [0, q).
pub fn reduce_shifted(out: &mut [u64], a: &[u64], shift: u64, modulus: &Modulus) {
    for (o, x) in out.iter_mut().zip(a) {
        *o = modulus.sub(modulus.reduce(*x), shift);
    }
}

/// out = a - from where a > from / 2, else a; modulo q. For a in [0, from) and `from` any odd word below 2^61.
pub fn lift_centered(out: &mut [u64], a: &[u64], from: u64, modulus: &Modulus) {
    let (half, wrap) = (from >> 1, modulus.reduce(from));
    for (o, x) in out.iter_mut().zip(a) {
        // All ones when x > half.
        let over = ((half.wrapping_sub(*x) as i64) >> 63) as u64;
        *o = modulus.sub(modulus.reduce(*x), wrap & over);
    }
}

/// a = (a - digit) constant, where `digit` is a residue modulo `from` taken centered. In [0, q), out [0, q).
pub fn peel(a: &mut [u64], digits: &[u64], from: u64, scalar: Shoup, modulus: &Modulus) {
    let (half, wrap) = (from >> 1, modulus.reduce(from));
    for (x, digit) in a.iter_mut().zip(digits) {
        // All ones when the digit is negative.
        let over = ((half.wrapping_sub(*digit) as i64) >> 63) as u64;
        let digit = modulus.sub(modulus.reduce(*digit), wrap & over);
        *x = scalar.mul(modulus.sub(*x, digit), modulus.value());
    }
}

/// a = (a - b) constant. In [0, q), out [0, q).
pub fn sub_mul_assign(a: &mut [u64], b: &[u64], scalar: Shoup, modulus: &Modulus) {
    for (x, y) in a.iter_mut().zip(b) {
        *x = scalar.mul(modulus.sub(*x, *y), modulus.value());
    }
}

/// out = a mod q, for signed a. Out [0, q).
pub fn reduce_signed(out: &mut [u64], a: &[i64], modulus: &Modulus) {
    for (o, x) in out.iter_mut().zip(a) {
        *o = modulus.from_signed(*x);
    }
}

/// out = sum of words times constants. Words below 2^61, at most 63 terms. Out [0, q).
pub fn combine(out: &mut [u64], words: &[&[u64]], constants: &[Shoup], modulus: &Modulus) {
    for (i, o) in out.iter_mut().enumerate() {
        let mut sum = (0, 0);
        for (x, constant) in words.iter().zip(constants) {
            // 63 products below 2^122 stay below 2^128.
            sum = accumulate(sum, mul_wide(x[i], constant.value));
        }
        *o = modulus.reduce_wide(sum.0, sum.1);
    }
}

/// out.0 = sum of x y, out.1 = sum of x z. In [0, q), out [0, q).
pub fn dot_pair(out: (&mut [u64], &mut [u64]), terms: &[(&[u64], &[u64], &[u64])], modulus: &Modulus) {
    out.0.fill(0);
    out.1.fill(0);
    // 63 products below 2^122 and a word stay below 2^128.
    for terms in terms.chunks(63) {
        for (i, (a, b)) in out.0.iter_mut().zip(out.1.iter_mut()).enumerate() {
            let (mut sum_a, mut sum_b) = ((0, *a), (0, *b));
            for (x, y, z) in terms {
                sum_a = accumulate(sum_a, mul_wide(x[i], y[i]));
                sum_b = accumulate(sum_b, mul_wide(x[i], z[i]));
            }
            *a = modulus.reduce_wide(sum_a.0, sum_a.1);
            *b = modulus.reduce_wide(sum_b.0, sum_b.1);
        }
    }
}

/// Two-word sum of two-word numbers (high, low).
#[inline(always)]
fn accumulate(sum: (u64, u64), term: (u64, u64)) -> (u64, u64) {
    let (low, carry) = sum.1.overflowing_add(term.1);
    (sum.0 + term.0 + u64::from(carry), low)
}
