//! Why an operation on ciphertexts was refused.

/// Why an operation was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluatorError {
    /// Operands at different levels.
    #[error("operands are at levels {left} and {right}: drop the higher one with drop_to_level")]
    Level {
        /// Level of the first operand.
        left: usize,
        /// Level of the second operand.
        right: usize,
    },
    /// Operands at different scales.
    #[error("operands have scales {left} and {right}: only equal scales can be added")]
    Scale {
        /// Scale of the first operand.
        left: f64,
        /// Scale of the second operand.
        right: f64,
    },
    /// The product's scale leaves no room below the modulus.
    #[error(
        "a scale of 2^{log2_scale:.1} exceeds the modulus of {log2_modulus:.1} bits at this level: rescale first"
    )]
    ScaleTooLarge {
        /// log2 of the resulting scale.
        log2_scale: f64,
        /// log2 of the modulus.
        log2_modulus: f64,
    },
    /// No level left to rescale to.
    #[error("no level left: the ciphertext is at level 0")]
    NoLevelLeft,
    /// Dropping only goes down.
    #[error("a ciphertext at level {from} cannot be raised to level {to}")]
    Raise {
        /// Level it has.
        from: usize,
        /// Level asked for.
        to: usize,
    },
    /// The operation is for ciphertexts of another number of parts.
    #[error("the operation takes ciphertexts of {expected} parts, this one has {actual}")]
    Parts {
        /// Parts it takes.
        expected: usize,
        /// Parts it was given.
        actual: usize,
    },
    /// Another ring.
    #[error("the operand is of other parameters")]
    Parameters,
    /// The key is for lower levels only.
    #[error(
        "the key reaches level {key} and the ciphertext is at level {ciphertext}: drop it, or take a higher key"
    )]
    KeyLevel {
        /// Highest level of the key.
        key: usize,
        /// Level of the ciphertext.
        ciphertext: usize,
    },
    /// A product must be relinearized, and there is no key for it.
    #[error("no relinearization key")]
    MissingRelinKey,
    /// No key for that automorphism.
    #[error("no key for Galois element {0}")]
    MissingGaloisKey(u64),
    /// Parameters without special primes cannot switch keys.
    #[error("these parameters have no special prime, so they cannot switch keys")]
    NoSpecialPrime,
    /// A sum of nothing has no level and no scale.
    #[error("a sum of no terms")]
    NoTerms,
    /// NaN or infinite scalar or scale.
    #[error("a scalar or scale is not a finite number, or the scale is not positive")]
    NotFinite,
}
