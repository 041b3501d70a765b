//! Parameter sets and randomness for tests. **Nothing here is secure.**
//!
//! [`InsecureParameters`] is a different type from [`Parameters`](crate::Parameters): a server, a compiler and a client
//! session take the latter only, so no build flag can let a test set into production.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::parameters::{ParametersError, ParametersLiteral};
use crate::randomness::{RandomSource, RandomnessError, StreamKey};

/// A parameter set nobody vouches for.
#[derive(Debug, Clone)]
pub struct InsecureParameters(Arc<Context>);

impl InsecureParameters {
    /// A set with SEAL's choice of primes and no regard for security.
    ///
    /// # Errors
    /// [`ParametersError`] for what is no parameter set at all.
    pub fn new(literal: &ParametersLiteral) -> Result<Self, ParametersError> {
        Context::from_literal(literal).map(Self)
    }

    /// The arithmetic.
    pub fn context(&self) -> &Arc<Context> {
        &self.0
    }
}

/// Reproducible seeds: the same number gives the same keys, masks and errors. For test vectors.
#[derive(Debug, Clone)]
pub struct SeededRandomness {
    seed: u64,
    counter: u64,
}

impl SeededRandomness {
    /// Seeds derived from a number and a counter.
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }
}

impl RandomSource for SeededRandomness {
    fn key(&mut self) -> Result<StreamKey, RandomnessError> {
        let mut hash = Sha256::new();
        hash.update(b"insecure testing\0");
        hash.update(self.seed.to_le_bytes());
        hash.update(self.counter.to_le_bytes());
        self.counter += 1;
        let mut key = StreamKey::zero();
        key.copy_from_slice(&hash.finalize());
        Ok(key)
    }
}
