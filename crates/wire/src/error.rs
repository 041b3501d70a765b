//! Why bytes were refused: one closed vocabulary, computed from public bytes only.

use core::fmt;

use hei_ckks::{MissingKey, RandomnessError};

/// The bytes are not a well-formed container (HTTP 400, `INVALID_CIPHERTEXT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The first bytes name no format this crate reads.
    BadMagic,
    /// A format version this crate does not read.
    BadVersion,
    /// Well formed, but of another kind than the one expected here.
    WrongKind,
    /// A length field disagrees with the length the expected shape requires.
    LengthMismatch,
    /// The bytes end before the container does.
    Truncated,
    /// Bytes follow the end of the container.
    TrailingBytes,
    /// A residue is not below its modulus.
    CoefficientOutOfRange,
    /// The scale is not a positive, normal, finite number.
    BadScale,
    /// A second spelling of something that has exactly one: reserved bits, padding, flags, counts out of bounds.
    NonCanonical,
}

impl Reason {
    /// The stable identifier of the protocol's error taxonomy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadMagic => "bad_magic",
            Self::BadVersion => "bad_version",
            Self::WrongKind => "wrong_kind",
            Self::LengthMismatch => "length_mismatch",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::CoefficientOutOfRange => "coefficient_out_of_range",
            Self::BadScale => "bad_scale",
            Self::NonCanonical => "non_canonical",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The container is well formed and describes something else than what is expected here
/// (HTTP 409, `INCOMPATIBLE_CIPHERTEXT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Incompatible {
    /// Another parameter set.
    Params,
    /// Another number of limbs, or another reply modulus.
    Level,
    /// Another scale; scales are compared bit for bit.
    Scale,
    /// Another number of polynomials (or of items in a list).
    PolynomialCount,
    /// Coefficients instead of NTT values or the reverse, other coefficients present, seeded where it may not be.
    Form,
}

impl Incompatible {
    /// The stable identifier of the protocol's error taxonomy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Level => "level",
            Self::Scale => "scale",
            Self::PolynomialCount => "polynomial_count",
            Self::Form => "form",
        }
    }
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Well formed, compatible, and still not accepted (HTTP 422, `CRYPTO_POLICY_VIOLATION`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// A limb of the mask polynomial is zero or nearly so: the message would be readable.
    TransparentMask,
}

impl Policy {
    /// The stable identifier of the reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransparentMask => "transparent_mask",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes did not become a value. Carries identifiers only, never a byte of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// Not a well-formed container.
    #[error("the bytes are not a valid container ({0})")]
    Invalid(Reason),
    /// Not what is expected here.
    #[error("the container does not fit what is expected here ({0}); read the model card again")]
    Incompatible(Incompatible),
    /// A secret key where a ciphertext is expected. Wipe the buffer: see [`crate::wipe`].
    #[error("a secret key was sent; it was refused and must be treated as disclosed: make a new one")]
    SecretKey,
    /// Refused by policy.
    #[error("the container is well formed but refused ({0})")]
    Policy(Policy),
}

impl DecodeError {
    /// The reason's stable identifier; `None` for a secret key, whose code says it all.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Invalid(reason) => Some(reason.as_str()),
            Self::Incompatible(reason) => Some(reason.as_str()),
            Self::SecretKey => None,
            Self::Policy(reason) => Some(reason.as_str()),
        }
    }
}

impl From<Reason> for DecodeError {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

impl From<Incompatible> for DecodeError {
    fn from(reason: Incompatible) -> Self {
        Self::Incompatible(reason)
    }
}

impl From<Policy> for DecodeError {
    fn from(reason: Policy) -> Self {
        Self::Policy(reason)
    }
}

/// Why bytes did not become evaluation keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes. As a key, [`DecodeError::Invalid`] and [`DecodeError::Policy`] are HTTP 422 `INVALID_KEY`,
    /// [`DecodeError::Incompatible`] is 409 `EVALUATION_KEY_INCOMPATIBLE`.
    #[error(transparent)]
    Bytes(#[from] DecodeError),
    /// Well-formed keys, and not those of the manifest (HTTP 409, `EVALUATION_KEY_INCOMPATIBLE`).
    #[error(
        "not the keys this computation needs: {} missing, {} not wanted; make exactly those the model card names",
        missing.len(), surplus.len()
    )]
    Manifest {
        /// What is needed and not there, or not for the level it is needed at.
        missing: Vec<MissingKey>,
        /// Galois elements (0 for relinearization) with a key that is not needed, or for a higher level than it is.
        surplus: Vec<u64>,
    },
}

impl From<Reason> for KeyError {
    fn from(reason: Reason) -> Self {
        Self::Bytes(reason.into())
    }
}

/// Why a value could not be written: always a mistake of the calling program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value is not over the primes of the context it was given with.
    #[error("the value has {actual} limbs of degree {degree}; the shape expects {expected}")]
    Basis {
        /// Limbs of the value.
        actual: usize,
        /// Limbs expected.
        expected: usize,
        /// Its degree.
        degree: usize,
    },
    /// The format has no place for the number.
    #[error("{what} = {value} does not fit the format (at most {limit})")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The largest value the format holds.
        limit: u64,
    },
    /// A residue is not below its modulus.
    #[error("a residue is not below its modulus")]
    OutOfRange,
    /// The items of a list differ in shape.
    #[error("the items of a list must have one shape; item {0} differs from item 0")]
    MixedList(usize),
    /// A list without items.
    #[error("a list needs at least one item")]
    EmptyList,
    /// SEAL has no keys for a lower level.
    #[error("the key is for levels up to {level}; SEAL streams hold whole keys only, for level {max}")]
    TrimmedKey {
        /// Highest level of the key.
        level: usize,
        /// Highest level of the parameters.
        max: usize,
    },
    /// No fresh seeds.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The seed given does not expand to the mask of the ciphertext.
    #[error("the seed does not expand to this ciphertext's mask; write the full form instead")]
    SeedMismatch,
    /// A seeded form was asked for and the value has no seed, or more than two polynomials.
    #[error("the value has no mask seed; write the full form instead")]
    NotSeeded,
    /// A SEAL object has one special prime; this parameter set has another number.
    #[error("SEAL streams need exactly one special prime; this parameter set has {0}")]
    SpecialPrimes(usize),
}
