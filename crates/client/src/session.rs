//! Keys, encryption and decryption for one model.

/// Why a session refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {}
