//! Secret keys as bytes: a bare `hei/1` container of kind secret-key, or that container under a passphrase.
//!
//! Nothing here touches a disk: an application keeps the bytes where it keeps secrets. Key files under the
//! user's data directory are the `store` module's work.

mod lock;

use std::sync::Arc;

use hei_ckks::{Context, ParamsId, RandomSource, RandomnessError, SecretKey};
use zeroize::Zeroizing;

/// The largest key file that is read: the largest container plus its envelope.
pub const MAX_KEY_FILE: u64 = lock::MAX_CONTAINER as u64 + 1024;

/// Why bytes are not a usable key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Neither a secret-key container nor an envelope around one.
    #[error("not a key file, or cut short: expected a hei/1 secret key or a passphrase envelope")]
    Malformed,
    /// An envelope of a later version.
    #[error("key file version {found}; this program reads version {supported}: update it")]
    UnsupportedVersion {
        /// The version in the file.
        found: u8,
        /// The version this program reads.
        supported: u8,
    },
    /// The file asks for more memory or passes than a key file of this program ever does.
    #[error(
        "key file asks for Argon2id with {memory_kib} KiB, {passes} passes, {lanes} lanes: refused as unreasonable"
    )]
    CostRefused {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// The file is under a passphrase and none was given.
    #[error("this key is under a passphrase: give it")]
    PassphraseNeeded,
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty: give one, or store the key without")]
    EmptyPassphrase,
    /// The tag did not match.
    #[error("wrong passphrase, or the key file was changed")]
    WrongPassphraseOrChanged,
    /// More bytes than any key has.
    #[error("{bytes} bytes are more than any key has (at most {limit})")]
    TooLarge {
        /// How many there were.
        bytes: u64,
        /// The ceiling.
        limit: u64,
    },
    /// The key belongs to other parameters.
    #[error("this key is for parameters {found}, but {expected} are in use: make a key for this model")]
    OtherParameters {
        /// The parameters of the key.
        found: ParamsId,
        /// The parameters in use.
        expected: ParamsId,
    },
    /// No randomness for salt and nonce.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl From<hei_wire::DecodeError> for KeyFileError {
    fn from(_: hei_wire::DecodeError) -> Self {
        Self::Malformed
    }
}

/// What a key file says about itself without being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFileInfo {
    /// The parameters the key is for.
    pub params_id: ParamsId,
    /// Whether it is under a passphrase.
    pub locked: bool,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Writes a key: bare, or under a passphrase (Argon2id, XChaCha20-Poly1305).
///
/// # Errors
/// [`KeyFileError::EmptyPassphrase`], or no randomness for salt and nonce.
pub fn write(
    key: &SecretKey,
    context: &Arc<Context>,
    passphrase: Option<&[u8]>,
    randomness: &mut impl RandomSource,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let container = hei_wire::hei::encode_secret_key(key, context).map_err(|_| KeyFileError::Malformed)?;
    let Some(passphrase) = passphrase else { return Ok(container) };
    let (salt, nonce) = (randomness.key()?, randomness.key()?);
    let mut entropy = [0; lock::ENTROPY];
    entropy[..16].copy_from_slice(&salt[..16]);
    entropy[16..].copy_from_slice(&nonce[..24]);
    lock::lock(&container, context.params_id().0, passphrase, &entropy).map(Zeroizing::new)
}

/// Says what a key file is for, from its clear header.
///
/// # Errors
/// [`KeyFileError`] when it is none, or asks for an unreasonable derivation.
pub fn describe(file: &[u8]) -> Result<KeyFileInfo, KeyFileError> {
    let bytes = file.len() as u64;
    if bytes > MAX_KEY_FILE {
        return Err(KeyFileError::TooLarge { bytes, limit: MAX_KEY_FILE });
    }
    if file.starts_with(&lock::MAGIC) {
        let header = lock::header(file)?;
        return Ok(KeyFileInfo { params_id: ParamsId(header.params_id), locked: true, bytes });
    }
    let description = hei_wire::inspect(file)?;
    if description.format != hei_wire::Format::Hei || description.kind != hei_wire::Kind::SecretKey.as_str() {
        return Err(KeyFileError::Malformed);
    }
    let params_id = description.params_id.ok_or(KeyFileError::Malformed)?;
    Ok(KeyFileInfo { params_id, locked: false, bytes })
}

/// Opens a key file for the parameters of `context`.
///
/// # Errors
/// [`KeyFileError::OtherParameters`] before any derivation when it is for others;
/// [`KeyFileError::WrongPassphraseOrChanged`] when the tag does not match.
pub fn read(
    file: &[u8],
    context: &Arc<Context>,
    passphrase: Option<&[u8]>,
) -> Result<SecretKey, KeyFileError> {
    let info = describe(file)?;
    if info.params_id != context.params_id() {
        return Err(KeyFileError::OtherParameters { found: info.params_id, expected: context.params_id() });
    }
    let shape = hei_wire::Shape::secret_key(context);
    if !info.locked {
        return Ok(hei_wire::hei::decode_secret_key(file, &shape)?);
    }
    let container = lock::unlock(file, passphrase.ok_or(KeyFileError::PassphraseNeeded)?)?;
    Ok(hei_wire::hei::decode_secret_key(&container, &shape)?)
}

#[cfg(test)]
mod tests;
