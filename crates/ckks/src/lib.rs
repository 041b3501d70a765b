//! The CKKS scheme (J. H. Cheon, A. Kim, M. Kim, Y. Song, ASIACRYPT 2017; ia.cr/2016/421) in its RNS form
//! (ia.cr/2018/931), with SEAL's primes, transform order and slot map.
//!
//! A vector of numbers is *encoded* into a [`Plaintext`] at a scale, *encrypted* into a [`Ciphertext`] under a
//! [`SecretKey`] or a [`PublicKey`], computed on by an [`Evaluator`] that holds no secret, and *decrypted* back.
//! The level of a ciphertext is the number of rescalings it can still bear: its limbs minus one.
//!
//! ```
//! use hei_ckks::{Encoder, Evaluator, OsRandomness, Parameters, ParametersLiteral, SecretKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let parameters = Parameters::new(&ParametersLiteral {
//!     poly_modulus_degree: 4096,
//!     coeff_modulus_bits: vec![36, 34, 36],
//!     special_count: 1,
//!     scale: (1u64 << 30) as f64,
//! })?;
//! let context = parameters.context();
//! let mut randomness = OsRandomness;
//! let key = SecretKey::generate(context, &mut randomness)?;
//! let (encoder, evaluator) = (Encoder::new(context), Evaluator::new(context));
//!
//! let plaintext = encoder.encode(&[1.0, 2.0, 3.0], context.max_level(), context.scale())?;
//! let ciphertext = key.encrypt(&plaintext, &mut randomness)?;
//! let doubled = evaluator.add(&ciphertext, &ciphertext)?;
//! let values = encoder.decode(&key.decrypt(&doubled)?);
//! assert!((values[2] - 6.0).abs() < 1e-4);
//! # Ok(()) }
//! ```
//!
//! Security is IND-CPA for whoever does not see decrypted values: results are for the key holder (ia.cr/2020/1533).

pub mod coefficients;
mod context;
mod encoder;
mod encryption;
mod evaluation_keys;
mod evaluator;
mod evaluator_error;
mod fft;
mod hoisting;
pub mod insecure_testing;
mod key_manifest;
mod keys;
mod keyswitch;
pub mod noise;
mod parameters;
mod randomness;
pub mod security;
mod switching;
mod values;

pub use context::{Context, ParamsId};
pub use encoder::{Complex, EncodeError, Encoder};
pub use encryption::EncryptionError;
pub use evaluation_keys::{EvaluationKeys, GaloisKeys, KeyDigit, RelinKey, SwitchKey};
pub use evaluator::Evaluator;
pub use evaluator_error::EvaluatorError;
pub use hoisting::{Extended, ExtendedPlaintext, Hoisted};
pub use key_manifest::{KeyManifest, MissingKey, switch_key_bytes};
pub use keys::{PublicKey, SecretKey, SecretKeyError};
pub use parameters::{Parameters, ParametersError, ParametersLiteral};
#[cfg(feature = "os")]
pub use randomness::OsRandomness;
pub use randomness::{RandomSource, RandomnessError, StreamKey};
pub use security::SecurityReport;
pub use values::{Ciphertext, MaskSeed, Plaintext, ShapeError};
