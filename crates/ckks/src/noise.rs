//! How large the noise is: standard deviations per coefficient, and what they mean for a decoded slot.
//!
//! Noise is in integer units of the encrypted polynomial; divided by the scale it is an error of the message. The secret is
//! uniform ternary, so its expected squared norm is 2N/3. The formulas are the average-case ones of A. Costache et al.,
//! ia.cr/2020/1469, with this library's samplers; bounds are at six and a half standard deviations, which a Gaussian
//! coordinate exceeds once in 10^10.

use hei_ring::sample::ERROR_STD;

/// How many standard deviations a stated bound is.
pub const BOUND_SIGMAS: f64 = 6.5;

/// Expected squared norm of a uniform ternary secret of degree N.
fn secret_weight(degree: usize) -> f64 {
    2.0 * degree as f64 / 3.0
}

/// Noise of a symmetric encryption: one centered binomial error.
pub fn fresh_symmetric_std() -> f64 {
    ERROR_STD
}

/// Rounding of a division (rescale, division by P): uniform in both parts, the second times the secret.
pub fn rounding_std(degree: usize) -> f64 {
    libm::sqrt((1.0 + secret_weight(degree)) / 12.0)
}

/// Noise of a public-key encryption through special primes of `log2_special` bits in all: u e + e_0 + e_1 s over P, plus
/// the rounding. With no special prime, P = 1 and there is no rounding.
pub fn fresh_public_std(degree: usize, log2_special: f64) -> f64 {
    let direct = ERROR_STD * libm::sqrt(1.0 + 2.0 * secret_weight(degree));
    if log2_special == 0.0 {
        return direct;
    }
    let divided = direct / libm::exp2(log2_special);
    libm::hypot(divided, rounding_std(degree))
}

/// Noise a key switch adds: centered digits of the given primes times errors, over P, plus the rounding of the division.
pub fn key_switch_std(degree: usize, digit_primes: &[u64], log2_special: f64) -> f64 {
    let sum: f64 =
        digit_primes.iter().map(|q| libm::pow(*q as f64 / libm::exp2(log2_special), 2.0) / 12.0).sum();
    libm::hypot(ERROR_STD * libm::sqrt(degree as f64 * sum), rounding_std(degree))
}

/// Error of a real slot, from the standard deviation per coefficient: a slot's real part sums N coefficients times
/// cosines.
pub fn slot_std(degree: usize, coefficient_std: f64, scale: f64) -> f64 {
    coefficient_std * libm::sqrt(degree as f64 / 2.0) / scale
}

/// Bound of the error of a real slot at [`BOUND_SIGMAS`].
pub fn slot_bound(degree: usize, coefficient_std: f64, scale: f64) -> f64 {
    BOUND_SIGMAS * slot_std(degree, coefficient_std, scale)
}
