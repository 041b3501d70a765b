//! How large the noise is: standard deviations per coefficient, and what they mean for decoded numbers.
//!
//! Noise is in integer units of the encrypted polynomial; divided by the scale it is an error of the message. The formulas
//! are the average-case ones of A. Costache et al., ia.cr/2020/1469, with this library's samplers and a uniform ternary
//! secret (expected squared norm 2N/3).
//!
//! In a *slot*, two kinds of noise behave differently. A sum of independent coefficients is Gaussian. A product of two
//! random polynomials, such as a rounding error times the secret, is in each slot a product of two Gaussians, whose tail
//! is far heavier: some slots meet a large value of the secret every time. [`Noise`] keeps the two apart.

use hei_ring::sample::ERROR_STD;

use crate::context::Context;
use crate::keyswitch::digit_groups;
use crate::security::log2_product;

/// Standard deviations at which a Gaussian coordinate is bounded: exceeded once in 10^10.
pub const GAUSSIAN_SIGMAS: f64 = 6.5;

/// The same for the real part of a product of two complex Gaussians of unit variance, in its standard deviations: the
/// modulus exceeds t times its root mean square with probability 2t K_1(2t), about sqrt(pi t) exp(-2t).
pub const PRODUCT_SIGMAS: f64 = 18.4;

/// Noise per coefficient, as standard deviations of its two independent kinds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Noise {
    /// Independent coefficients: Gaussian in a slot.
    pub additive: f64,
    /// A product of two random polynomials: heavier than Gaussian in a slot.
    pub product: f64,
}

/// Expected squared norm of a uniform ternary secret of degree N.
fn secret_weight(degree: usize) -> f64 {
    2.0 * degree as f64 / 3.0
}

impl Noise {
    /// No noise but independent coefficients of this standard deviation.
    pub fn additive(std: f64) -> Self {
        Self { additive: std, product: 0.0 }
    }

    /// Rounding to integers when a vector is encoded.
    pub fn encoding() -> Self {
        Self::additive(libm::sqrt(1.0 / 12.0))
    }

    /// A symmetric encryption: one centered binomial error.
    pub fn fresh_symmetric() -> Self {
        Self::additive(ERROR_STD)
    }

    /// The rounding of a division (rescale, division by P): uniform in both parts, the second times the secret.
    pub fn rounding(degree: usize) -> Self {
        Self { additive: libm::sqrt(1.0 / 12.0), product: libm::sqrt(secret_weight(degree) / 12.0) }
    }

    /// A public-key encryption through a special prime of `log2_special` bits, the first one: u e + e_0 + e_1 s over it, plus
    /// the rounding. With no special prime (0 bits) there is no rounding.
    pub fn fresh_public(degree: usize, log2_special: f64) -> Self {
        let direct =
            Self { additive: ERROR_STD, product: ERROR_STD * libm::sqrt(2.0 * secret_weight(degree)) };
        if log2_special == 0.0 {
            return direct;
        }
        direct.times(libm::exp2(-log2_special)).plus(Self::rounding(degree))
    }

    /// What a key switch leaves before its division by P, in units of the result: centered digits times errors over P.
    ///
    /// `log2_digits` holds log2 of the product of primes of each digit. A digit is uniform up to half of it.
    pub fn key_switch_sum(degree: usize, log2_digits: &[f64], log2_special: f64) -> Self {
        let sum: f64 = log2_digits.iter().map(|d| libm::exp2(2.0 * (d - log2_special)) / 12.0).sum();
        Self { additive: 0.0, product: ERROR_STD * libm::sqrt(degree as f64 * sum) }
    }

    /// What a key switch adds: [`key_switch_sum`](Self::key_switch_sum), and the rounding of the division by P.
    pub fn key_switch(degree: usize, log2_digits: &[f64], log2_special: f64) -> Self {
        Self::key_switch_sum(degree, log2_digits, log2_special).plus(Self::rounding(degree))
    }

    /// [`key_switch`](Self::key_switch) of a ciphertext at a level.
    pub fn key_switch_at(context: &Context, level: usize) -> Self {
        Self::key_switch_sum_at(context, level).plus(Self::rounding(context.degree()))
    }

    /// [`key_switch_sum`](Self::key_switch_sum) of a ciphertext at a level.
    pub fn key_switch_sum_at(context: &Context, level: usize) -> Self {
        let digits: Vec<f64> = digit_groups(context, level)
            .map(|group| log2_product(group.map(|i| context.basis().modulus(i).value())))
            .collect();
        let special = log2_product(context.special_moduli().map(|p| p.value()));
        Self::key_switch_sum(context.degree(), &digits, special)
    }

    /// The product of a value of size up to `bound` in every slot, encoded at `scale`, with this noise: a slot of it is
    /// multiplied by the number there.
    #[must_use]
    pub fn times_values(self, bound: f64, scale: f64) -> Self {
        self.times(bound * scale)
    }

    /// A product of two ciphertexts of values up to `left` and `right`, at their scales: each value meets the other's noise.
    /// The product of both noises is neglected, as it is smaller by a scale.
    pub fn multiply(left: (Self, f64, f64), right: (Self, f64, f64)) -> Self {
        left.0.times_values(right.1, right.2).plus(right.0.times_values(left.1, left.2))
    }

    /// A rescaling by a prime: the noise divided, and a rounding.
    #[must_use]
    pub fn rescale(self, degree: usize, prime: u64) -> Self {
        self.times(1.0 / prime as f64).plus(Self::rounding(degree))
    }

    /// Both noises at once, independent of each other.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            additive: libm::hypot(self.additive, other.additive),
            product: libm::hypot(self.product, other.product),
        }
    }

    /// A fixed error of at most this size in every slot, such as that of a rounded constant: noise whose bound it is.
    pub fn constant(degree: usize, size: f64) -> Self {
        Self::additive(size / (GAUSSIAN_SIGMAS * libm::sqrt(degree as f64 / 2.0)))
    }

    /// Both noises at once when they may depend on each other.
    #[must_use]
    pub fn plus_dependent(self, other: Self) -> Self {
        Self { additive: self.additive + other.additive, product: self.product + other.product }
    }

    /// The noise multiplied by a number.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { additive: self.additive * factor.abs(), product: self.product * factor.abs() }
    }

    /// Standard deviation per coefficient.
    pub fn std(self) -> f64 {
        libm::hypot(self.additive, self.product)
    }

    /// Bound of the error of a real slot. Its real part sums N coefficients times cosines.
    pub fn slot_bound(self, degree: usize, scale: f64) -> f64 {
        let sigmas = GAUSSIAN_SIGMAS * self.additive + PRODUCT_SIGMAS * self.product;
        sigmas * libm::sqrt(degree as f64 / 2.0) / scale
    }

    /// Bound of the error of a number decoded from a coefficient, where sums of many terms make both kinds Gaussian.
    pub fn coefficient_bound(self, scale: f64) -> f64 {
        GAUSSIAN_SIGMAS * self.std() / scale
    }
}
