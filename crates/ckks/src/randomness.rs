//! Where fresh keys for the samplers come from.

use core::ops::{Deref, DerefMut};

use zeroize::Zeroize;

/// The operating system gave no randomness. Fatal: nothing is encrypted without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct RandomnessError;

/// The key of one stream. Wiped on drop, and on the heap: a value that is moved leaves its bytes behind where it was.
pub struct StreamKey(Box<[u8; 32]>);

impl StreamKey {
    /// All zeros, to be written in place.
    pub fn zero() -> Self {
        Self(Box::new([0; 32]))
    }
}

impl Deref for StreamKey {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl DerefMut for StreamKey {
    fn deref_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl Drop for StreamKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A source of fresh 32-byte keys, one for each stream of each object.
///
/// Masks, errors and secrets never share a key: a published mask seed says nothing of the error beside it.
pub trait RandomSource {
    /// A fresh key.
    ///
    /// # Errors
    /// [`RandomnessError`] when the source fails.
    fn key(&mut self) -> Result<StreamKey, RandomnessError>;
}

/// Randomness from the operating system (from WebCrypto in the browser), asked anew for each key, so that neither a fork
/// nor a restored snapshot can repeat one.
#[cfg(feature = "os")]
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandomness;

#[cfg(feature = "os")]
impl RandomSource for OsRandomness {
    fn key(&mut self) -> Result<StreamKey, RandomnessError> {
        let mut key = StreamKey::zero();
        getrandom::fill(&mut *key).map_err(|_| RandomnessError)?;
        Ok(key)
    }
}

#[cfg(all(test, feature = "os"))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_do_not_repeat() {
        let keys: HashSet<[u8; 32]> = (0..10_000).map(|_| *OsRandomness.key().unwrap()).collect();
        assert_eq!(keys.len(), 10_000);
    }
}
