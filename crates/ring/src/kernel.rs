//! The limb loops, in several implementations that are equal bit for bit.
//!
//! [`scalar`] is the reference and runs everywhere. On x86-64 the loops below choose, for each prime:
//!
//! | kernel | needs | primes | product |
//! |---|---|---|---|
//! | `ifma` | AVX-512 F, DQ, VL, IFMA | up to 50 bits | 52-bit fused halves |
//! | `avx512` | AVX-512 F, DQ, VL | up to 61 bits | 32-bit halves |
//! | `avx2` | AVX2, FMA | up to 50 bits | doubles, fused multiply-add |
//! | `scalar` | – | up to 61 bits | 64 by 64 |
//!
//! Kernel bodies are safe functions compiled for their instruction set; the only `unsafe` is the call into them once the
//! processor has been asked.

#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls into target-feature functions after detection")
)]

pub mod draw;
pub mod fft;
pub mod scalar;
pub mod sums;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use crate::modulus::{Modulus, Shoup};

/// How much of the processor may be used, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Portable code only.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, DQ and VL.
    Avx512,
    /// AVX-512 IFMA as well.
    Ifma,
}

impl Level {
    /// All levels, least first.
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Avx2, Level::Avx512, Level::Ifma];

    /// Its name in messages and settings.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Ifma => "ifma",
        }
    }

    /// The level of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// The most this processor can do.
pub fn detected() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        // Every level includes those below it.
        let base = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if base && is_x86_feature_detected!("avx512ifma") {
            return Level::Ifma;
        }
        if base {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Scalar
}

static LEVEL: OnceLock<Level> = OnceLock::new();

/// The level in use: the detected one, unless a lower one was forced before first use.
pub fn level() -> Level {
    *LEVEL.get_or_init(detected)
}

/// Name of the level in use.
pub fn name() -> &'static str {
    level().name()
}

/// Uses no more than `level` in this process. Returns whether that took effect: it does not once a kernel has run, nor
/// above what the processor can do.
pub fn force(level: Level) -> bool {
    level <= detected() && *LEVEL.get_or_init(|| level) == level
}

/// The kernel that works on a prime at a level.
pub fn choose(level: Level, modulus: &Modulus) -> Level {
    match level {
        Level::Ifma if modulus.bits() <= 50 => Level::Ifma,
        Level::Ifma | Level::Avx512 => Level::Avx512,
        Level::Avx2 if modulus.bits() <= 50 => Level::Avx2,
        Level::Avx2 | Level::Scalar => Level::Scalar,
    }
}

/// Twiddles of one transform, laid out for one kernel.
#[derive(Debug, Clone)]
pub(crate) enum Twiddles {
    /// `scalar`.
    Pairs(Vec<Shoup>),
    /// `avx2`: bits of doubles, values and quotients.
    #[cfg(target_arch = "x86_64")]
    Doubles(Vec<u64>, Vec<u64>),
    /// `avx512` and `ifma`.
    #[cfg(target_arch = "x86_64")]
    Blocks(Blocks),
}

/// Twiddles in the order they are read: words, and quotients shifted by 64 (`avx512`) or 52 bits (`ifma`).
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    fused: bool,
    /// Word and quotient, for the layers above the last six.
    upper: Vec<[u64; 2]>,
    /// For each 64 words the roots of their last six layers: 1, 2, … 32 of them from places 1, 2, … 32 on, and 64 places
    /// later their quotients. The last three layers work on columns of eight words, so their roots are in that order.
    blocks: Vec<[u64; 128]>,
}

impl Twiddles {
    /// From the roots psi^bitrev(i), or their inverses.
    pub(crate) fn new(kernel: Level, pairs: Vec<Shoup>, modulus: &Modulus) -> Self {
        let _ = modulus;
        match kernel {
            Level::Scalar => Self::Pairs(pairs),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                let (values, quotients) = pairs.iter().map(|s| x86::fma::twiddle(s.value, modulus)).unzip();
                Self::Doubles(values, quotients)
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Ifma => {
                let fused = kernel == Level::Ifma;
                // floor(w 2^52 / q) is floor(w 2^64 / q) without its lowest twelve bits.
                let both = |s: &Shoup| [s.value, if fused { s.quotient >> 12 } else { s.quotient }];
                let count = pairs.len() / 64;
                let block = |i: usize| {
                    let mut block = [0; 128];
                    for at in 1..64usize {
                        // From place 2^d on the 2^d roots of a layer; those of blocks of up to eight words lane by lane.
                        let first = 1 << at.ilog2();
                        let (lane, register) = ((at - first) % 8, (at - first) / 8);
                        let root = if first < 8 { at - first } else { lane * (first / 8) + register };
                        [block[at], block[at + 64]] = both(&pairs[(count + i) * first + root]);
                    }
                    block
                };
                let blocks = (0..count).map(block).collect();
                Self::Blocks(Blocks { fused, upper: pairs[..count].iter().map(both).collect(), blocks })
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => Self::Pairs(pairs),
        }
    }
}

/// What writes or reads stretches of a limb, each with the place it starts at.
type Stretches<'a> = &'a mut dyn FnMut(usize, &mut [u64]);

/// Forward transform of what `fill` writes, in [0, q), out [0, q). `a` has the length of the tables; or half of it, for the
/// layers below the first half of the topmost one, and `top` is 2 instead of 1.
///
/// `fill` gets stretches of `a`, each word once; so does `done` when they are finished.
pub(crate) fn ntt_forward(
    (a, top): (&mut [u64], usize),
    roots: &Twiddles,
    modulus: &Modulus,
    fill: Stretches<'_>,
    done: Stretches<'_>,
) {
    match roots {
        Twiddles::Pairs(pairs) => {
            fill(0, a);
            scalar::ntt_forward((a, top), pairs, modulus);
            done(0, a);
        }
        #[cfg(target_arch = "x86_64")]
        Twiddles::Doubles(values, quotients) => {
            fill(0, a);
            // SAFETY: tables for a vector kernel are made only after its instructions were detected.
            unsafe { x86::fma::forward((a, top), values, quotients, modulus) };
            done(0, a);
        }
        #[cfg(target_arch = "x86_64")]
        Twiddles::Blocks(Blocks { fused: true, upper, blocks }) => {
            // SAFETY: as above.
            unsafe { x86::ifma::forward((a, top), (upper, blocks), modulus, fill, done) };
        }
        #[cfg(target_arch = "x86_64")]
        Twiddles::Blocks(Blocks { fused: false, upper, blocks }) => {
            // SAFETY: as above.
            unsafe { x86::avx512::forward((a, top), (upper, blocks), modulus, fill, done) };
        }
    }
}

/// Inverse transform of what `fill` writes, as [`ntt_forward`].
pub(crate) fn ntt_inverse(
    a: &mut [u64],
    roots: &Twiddles,
    last: (Shoup, Shoup),
    modulus: &Modulus,
    fill: Stretches<'_>,
    done: Stretches<'_>,
) {
    match roots {
        Twiddles::Pairs(pairs) => {
            fill(0, a);
            scalar::ntt_inverse(a, pairs, last, modulus);
            done(0, a);
        }
        #[cfg(target_arch = "x86_64")]
        Twiddles::Doubles(values, quotients) => {
            fill(0, a);
            // SAFETY: tables for a vector kernel are made only after its instructions were detected.
            unsafe { x86::fma::inverse(a, values, quotients, last.into(), modulus) };
            done(0, a);
        }
        #[cfg(target_arch = "x86_64")]
        Twiddles::Blocks(Blocks { fused: true, upper, blocks }) => {
            // SAFETY: as above.
            unsafe { x86::ifma::inverse(a, (upper, blocks), last.into(), modulus, fill, done) };
        }
        #[cfg(target_arch = "x86_64")]
        Twiddles::Blocks(Blocks { fused: false, upper, blocks }) => {
            // SAFETY: as above.
            unsafe { x86::avx512::inverse(a, (upper, blocks), last.into(), modulus, fill, done) };
        }
    }
}

/// One loop over words: its scalar form, and its vector forms on x86-64.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*; $modulus:ident $(; $convert:expr)?)) => {
        $(#[$doc])*
        #[inline]
        pub fn $name($($arg: $type,)* $modulus: &Modulus) {
            $name::at(choose(level(), $modulus), $($arg,)* $modulus);
        }

        pub(crate) mod $name {
            use super::*;

            /// The same with a given kernel, which must have been detected.
            pub(crate) fn at(kernel: Level, $($arg: $type,)* $modulus: &Modulus) {
                match kernel {
                    Level::Scalar => scalar::$name($($arg,)* $modulus),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: the level never exceeds what was detected.
                    Level::Avx2 => unsafe { x86::fma::$name($($arg,)* $modulus) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Ifma => unsafe { x86::ifma::$name($($arg,)* $modulus) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx512 => unsafe { x86::avx512::$name($($arg,)* $modulus) },
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => scalar::$name($($arg,)* $modulus),
                }
            }
        }
    };
}

dispatch! {
    /// a *= b, word by word. In [0, q), out [0, q).
    mul_assign(a: &mut [u64], b: &[u64]; modulus)
}
dispatch! {
    /// out = a * b, word by word. In [0, q), out [0, q).
    product(out: &mut [u64], a: &[u64], b: &[u64]; modulus)
}
dispatch! {
    /// out = (a_0 b_0, a_0 b_1 + a_1 b_0, a_1 b_1), word by word: each word is read and written once. In [0, q), out [0, q).
    tensor(
        out: (&mut [u64], &mut [u64], &mut [u64]), a: (&[u64], &[u64]), b: (&[u64], &[u64]); modulus
    )
}
dispatch! {
    /// out += a * b, word by word. In [0, q), out [0, q).
    mul_add_assign(out: &mut [u64], a: &[u64], b: &[u64]; modulus)
}
dispatch! {
    /// a *= constant. In [0, q), out [0, q).
    mul_scalar_assign(a: &mut [u64], scalar: Shoup; modulus)
}
dispatch! {
    /// out += a * constant. In [0, q), out [0, q).
    mul_scalar_add_assign(out: &mut [u64], a: &[u64], scalar: Shoup; modulus)
}
dispatch! {
    /// a += b. In [0, q), out [0, q).
    add_assign(a: &mut [u64], b: &[u64]; modulus)
}
dispatch! {
    /// a -= b. In [0, q), out [0, q).
    sub_assign(a: &mut [u64], b: &[u64]; modulus)
}
dispatch! {
    /// a += constant in [0, q). In [0, q), out [0, q).
    add_scalar_assign(a: &mut [u64], scalar: u64; modulus)
}
dispatch! {
    /// out = (a mod q) - shift, for any words a and a shift in [0, q). Out [0, q).
    reduce_shifted(out: &mut [u64], a: &[u64], shift: u64; modulus)
}
dispatch! {
    /// out = a - from where a > from / 2, else a; modulo q. For a in [0, from): the centered lift of a residue.
    lift_centered(out: &mut [u64], a: &[u64], from: u64; modulus)
}
dispatch! {
    /// a = (a - digit) constant, where `digit` is a residue modulo `from` taken centered. In [0, q), out [0, q).
    peel(a: &mut [u64], digits: &[u64], from: u64, scalar: Shoup; modulus)
}
dispatch! {
    /// a = (a - b) constant. In [0, q), out [0, q).
    sub_mul_assign(a: &mut [u64], b: &[u64], scalar: Shoup; modulus)
}
dispatch! {
    /// out = a mod q, for signed a. Out [0, q).
    reduce_signed(out: &mut [u64], a: &[i64]; modulus)
}
pub use draw::wide::reduce_small;
pub use scalar::neg_assign;

/// One loop over doubles: the same source for the portable and for the wide registers.
macro_rules! doubles {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
                fn wide($($arg: $type),*) {
                    fft::$name($($arg),*);
                }
                if level() >= Level::Avx512 {
                    // SAFETY: the level is this high only when these instructions were detected.
                    return unsafe { wide($($arg),*) };
                }
            }
            fft::$name($($arg),*);
        }
    };
}

/// Loops over doubles; see [`fft`].
pub mod slots {
    use super::*;
    use fft::Stages;

    macro_rules! transform {
        ($(#[$doc:meta])* $name:ident) => {
            $(#[$doc])*
            pub fn $name(re: &mut [f64], im: &mut [f64], stages: Stages<'_>) {
                #[cfg(target_arch = "x86_64")]
                if level() >= Level::Avx512 {
                    // SAFETY: the level is this high only when these instructions were detected.
                    return unsafe { x86::slots::$name(re, im, stages) };
                }
                fft::$name(re, im, stages);
            }
        };
    }

    transform! {
        /// Complex transform: natural order in, bit-reversed out.
        forward
    }
    transform! {
        /// Its inverse times the number of points: bit-reversed in, natural out.
        inverse
    }
    doubles! {
        /// low + i high = (re + i im) conj(t) · factor.
        untwist(z: (&[f64], &[f64]), t: (&[f64], &[f64]), factor: f64, low: &mut [f64], high: &mut [f64])
    }
    doubles! {
        /// [`untwist`] for the transform of real numbers, from one of half the length.
        untwist_real(
            z: (&[f64], &[f64]), w: (&[f64], &[f64]), t: (&[f64], &[f64]), factor: f64, low: &mut [f64], high: &mut [f64]
        )
    }
    doubles! {
        /// [`twist`] of twice the mean of a polynomial and its conjugate, for half of the points and one more.
        twist_real(m: (&[f64], &[f64]), t: (&[f64], &[f64]), factor: f64, re: &mut [f64], im: &mut [f64])
    }
    doubles! {
        /// From half of a transform with real values to one of half the length.
        interleave_real(c: (&[f64], &[f64]), w: (&[f64], &[f64]), re: &mut [f64], im: &mut [f64])
    }
    doubles! {
        /// The second halves of both: the k-th coefficient from the end is minus the k-th.
        mirror(low: &mut [f64], high: &mut [f64])
    }
    doubles! {
        /// The largest size, as the bits of a double: those of NaN and of infinity are larger than those of any number.
        largest(x: &[f64], bits: &mut u64)
    }
    doubles! {
        /// re + i im = (low + i high) factor · t.
        twist(m: (&[f64], &[f64]), t: (&[f64], &[f64]), factor: f64, re: &mut [f64], im: &mut [f64])
    }
    doubles! {
        /// sum += digit · radix, digits in [0, q) taken centered.
        add_centered(sum: &mut [f64], digits: &[u64], q: u64, radix: f64)
    }

    /// Nearest integers, halves away from zero, of numbers below 2^62 in size.
    pub fn round(out: &mut [i64], x: &[f64]) {
        #[cfg(target_arch = "x86_64")]
        if level() >= Level::Avx512 {
            // SAFETY: the level is this high only when these instructions were detected.
            return unsafe { x86::slots::round(out, x) };
        }
        fft::round(out, x);
    }
}

#[cfg(test)]
mod tests;
