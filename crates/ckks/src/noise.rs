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

    /// A public-key encryption through special primes of `log2_special` bits in all: u e + e_0 + e_1 s over P, plus the
    /// rounding. With no special prime P = 1 and there is no rounding.
    pub fn fresh_public(degree: usize, log2_special: f64) -> Self {
        let direct =
            Self { additive: ERROR_STD, product: ERROR_STD * libm::sqrt(2.0 * secret_weight(degree)) };
        if log2_special == 0.0 {
            return direct;
        }
        direct.times(libm::exp2(-log2_special)).plus(Self::rounding(degree))
    }

    /// What a key switch adds: centered digits of the given primes times errors, over P, plus the rounding.
    pub fn key_switch(degree: usize, digit_primes: &[u64], log2_special: f64) -> Self {
        let p = libm::exp2(log2_special);
        let sum: f64 = digit_primes.iter().map(|q| (*q as f64 / p) * (*q as f64 / p) / 12.0).sum();
        let product = ERROR_STD * libm::sqrt(degree as f64 * sum);
        Self { additive: 0.0, product }.plus(Self::rounding(degree))
    }

    /// Both noises at once, independent of each other.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            additive: libm::hypot(self.additive, other.additive),
            product: libm::hypot(self.product, other.product),
        }
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
