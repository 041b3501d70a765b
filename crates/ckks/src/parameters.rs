//! Parameter sets that passed the security table.

use std::sync::Arc;

use hei_ring::{Modulus, RingError};

use crate::context::Context;
use crate::security::{self, SecurityReport};

/// How a parameter set is written down, in SEAL's order: data primes first, special primes last.
#[derive(Debug, Clone, PartialEq)]
pub struct ParametersLiteral {
    /// N, a power of two in [1024, 65536].
    pub poly_modulus_degree: usize,
    /// Sizes of all primes in bits, each in [18, 60].
    pub coeff_modulus_bits: Vec<u32>,
    /// How many of them, at the end, are special. SEAL always has one; 0 when no key switching is needed.
    pub special_count: usize,
    /// Default scale of fresh values, in (1, 2^60].
    pub scale: f64,
}

impl ParametersLiteral {
    pub(crate) fn check(&self) -> Result<(), ParametersError> {
        for &bits in &self.coeff_modulus_bits {
            if !(18..=60).contains(&bits) {
                return Err(ParametersError::PrimeSize(bits));
            }
        }
        let data = self.coeff_modulus_bits.len().saturating_sub(self.special_count);
        Self::check_shape(self.poly_modulus_degree, data, self.special_count, self.scale)
    }

    pub(crate) fn check_shape(
        degree: usize,
        data: usize,
        special: usize,
        scale: f64,
    ) -> Result<(), ParametersError> {
        if !degree.is_power_of_two() || !(1024..=65536).contains(&degree) {
            return Err(ParametersError::Degree(degree));
        }
        if data == 0 || data + special > 64 {
            return Err(ParametersError::ChainLength { data, special });
        }
        // Written so that NaN fails.
        if !(scale > 1.0 && scale <= (1u64 << 60) as f64) {
            return Err(ParametersError::Scale(scale));
        }
        Ok(())
    }
}

/// Why a parameter set was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// Unsupported degree.
    #[error("poly_modulus_degree {0} is not a power of two in [1024, 65536]")]
    Degree(usize),
    /// Unsupported prime size.
    #[error("a prime of {0} bits: sizes go from 18 to 60 bits")]
    PrimeSize(u32),
    /// No data prime, or too many primes.
    #[error("{data} data and {special} special primes: at least one data prime and at most 64 in all")]
    ChainLength {
        /// Data primes.
        data: usize,
        /// Special primes.
        special: usize,
    },
    /// Scale outside (1, 2^60].
    #[error("scale {0} is not in (1, 2^60]")]
    Scale(f64),
    /// A scale larger than the modulus leaves no room for a value.
    #[error("scale 2^{log2_scale:.1} does not fit the data modulus of {log2_q:.1} bits")]
    ScaleTooLarge {
        /// log2 of the scale.
        log2_scale: f64,
        /// log2 of the product of data primes.
        log2_q: f64,
    },
    /// The modulus is too large for the ring.
    #[error(
        "modulus of {log2_qp:.2} bits at N={degree} has fewer than 128 bits of security (limit {limit} bits, \
         ia.cr/2024/463): take a larger degree or fewer bits"
    )]
    Insecure {
        /// N.
        degree: usize,
        /// log2 of the product of all primes.
        log2_qp: f64,
        /// What the table allows.
        limit: u32,
    },
    /// The primes do not make a ring.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// A parameter set with at least 128 bits of classical security by the 2024 table.
///
/// Cheap to clone. Sets for tests that do not pass the table are another type,
/// [`InsecureParameters`](crate::insecure_testing::InsecureParameters).
#[derive(Debug, Clone)]
pub struct Parameters {
    context: Arc<Context>,
    security: SecurityReport,
}

impl Parameters {
    /// A set with SEAL's choice of primes.
    ///
    /// # Errors
    /// [`ParametersError`], with the limit when the modulus is too large for the ring.
    pub fn new(literal: &ParametersLiteral) -> Result<Self, ParametersError> {
        Self::accept(Context::from_literal(literal)?)
    }

    /// A set with given primes, for instance those a server announces.
    ///
    /// # Errors
    /// [`ParametersError`], also for numbers that are not prime, not 1 mod 2N, or repeated.
    pub fn from_primes(
        degree: usize,
        data: &[u64],
        special: &[u64],
        scale: f64,
    ) -> Result<Self, ParametersError> {
        Self::accept(Context::from_primes(degree, data, special, scale)?)
    }

    fn accept(context: Arc<Context>) -> Result<Self, ParametersError> {
        let degree = context.degree();
        let primes = || context.basis().moduli().map(Modulus::value);
        match security::assess(degree, primes()) {
            Some(security) => Ok(Self { context, security }),
            None => Err(ParametersError::Insecure {
                degree,
                log2_qp: security::log2_product(primes()),
                limit: security::limit_128(degree).unwrap_or(0),
            }),
        }
    }

    /// The arithmetic.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What the table says.
    pub fn security(&self) -> SecurityReport {
        self.security
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insecure_testing::InsecureParameters;

    fn literal(degree: usize, bits: &[u32]) -> ParametersLiteral {
        ParametersLiteral {
            poly_modulus_degree: degree,
            coeff_modulus_bits: bits.to_vec(),
            special_count: 1,
            scale: (1u64 << 30) as f64,
        }
    }

    #[test]
    fn insecure_sets_are_refused_with_the_limit_and_remain_another_type() {
        let weak = literal(1024, &[40, 30, 30, 40]);
        let error = Parameters::new(&weak).unwrap_err();
        assert!(matches!(error, ParametersError::Insecure { degree: 1024, limit: 26, .. }), "{error}");
        assert!(error.to_string().contains("take a larger degree"));
        assert!(InsecureParameters::new(&weak).is_ok());
        // 218 bits: within the 2018 table, over the 2024 one.
        assert!(Parameters::new(&literal(8192, &[55, 54, 54, 55])).is_err());
        assert_eq!(Parameters::new(&literal(16384, &[60, 30, 30, 60])).unwrap().security().bits, 256);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Parameters::new(&literal(1000, &[30, 30])).unwrap_err(), ParametersError::Degree(1000));
        assert_eq!(Parameters::new(&literal(4096, &[61, 30])).unwrap_err(), ParametersError::PrimeSize(61));
        assert!(matches!(Parameters::new(&literal(4096, &[30])), Err(ParametersError::ChainLength { .. })));
        for scale in [f64::NAN, f64::INFINITY, 0.0, 1.0, -4.0, 1e300] {
            let bad = ParametersLiteral { scale, ..literal(4096, &[36, 34, 36]) };
            assert!(matches!(Parameters::new(&bad), Err(ParametersError::Scale(_))), "{scale}");
        }
        let large = ParametersLiteral { scale: (1u64 << 60) as f64, ..literal(4096, &[36, 36]) };
        assert!(matches!(Parameters::new(&large), Err(ParametersError::ScaleTooLarge { .. })));
        assert!(matches!(
            Parameters::from_primes(4096, &[65_537], &[65_537], 4.0),
            Err(ParametersError::Ring(_))
        ));
        assert!(matches!(Parameters::from_primes(4096, &[65_539], &[], 4.0), Err(ParametersError::Ring(_))));
    }

    #[test]
    fn identity_covers_the_chain_and_not_the_scale() {
        let base = Parameters::new(&literal(4096, &[36, 34, 36])).unwrap();
        let id = base.context().params_id();
        let other_scale = ParametersLiteral { scale: 1024.0, ..literal(4096, &[36, 34, 36]) };
        assert_eq!(Parameters::new(&other_scale).unwrap().context().params_id(), id);
        let q: Vec<u64> = base.context().basis().moduli().map(Modulus::value).collect();
        for (data, special) in [(&q[..1], &q[1..]), (&q[..], &q[3..])] {
            assert_ne!(crate::ParamsId::new(4096, data, special), id);
        }
        assert_eq!(crate::ParamsId::new(4096, &q[..2], &q[2..]), id);
    }
}
