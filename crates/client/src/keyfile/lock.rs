//! The passphrase envelope around a secret-key container.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `heikey\r\n` |
//! | 8 | 1 | version, 1 |
//! | 9 | 1 | key derivation, 1 = Argon2id (version 0x13) |
//! | 10 | 1 | cipher, 1 = XChaCha20-Poly1305 |
//! | 11 | 1 | zero |
//! | 12 | 4 | Argon2 memory in KiB, little-endian |
//! | 16 | 4 | Argon2 passes |
//! | 20 | 4 | Argon2 lanes |
//! | 24 | 4 | length of the container |
//! | 28 | 32 | params id of the key, so that a key can be listed without its passphrase |
//! | 60 | 16 | salt |
//! | 76 | 24 | nonce |
//! | 100 | length + 16 | ciphertext and tag |
//!
//! The first 100 bytes are authenticated as associated data. A key file is opened where its owner works, but
//! it may have been swapped: the cost fields are bounded before anything is derived from them.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, Zeroizing};

use super::KeyFileError;

pub(super) const MAGIC: [u8; 8] = *b"heikey\r\n";
const VERSION: u8 = 1;
const ARGON2ID: u8 = 1;
const XCHACHA20_POLY1305: u8 = 1;
const HEADER: usize = 100;
const SALT: usize = 60;
const NONCE: usize = 76;
const TAG: usize = 16;

/// Random bytes one envelope consumes: salt and nonce.
pub(super) const ENTROPY: usize = 16 + 24;

/// The second recommended option of RFC 9106, section 4: 64 MiB, three passes, four lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// The most a file may ask for: 256 MiB, sixteen passes, sixteen lanes.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// The largest container an envelope may hold (a degree-65536 key of 40 limbs is under 24 MiB).
pub(super) const MAX_CONTAINER: usize = 32 << 20;

/// What the clear header of an envelope says.
pub(super) struct Header {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    length: usize,
    pub(super) params_id: [u8; 32],
}

/// Seals `container` under `passphrase`.
pub(super) fn lock(
    container: &[u8],
    params_id: [u8; 32],
    passphrase: &[u8],
    entropy: &[u8; ENTROPY],
) -> Result<Vec<u8>, KeyFileError> {
    if passphrase.is_empty() {
        return Err(KeyFileError::EmptyPassphrase);
    }
    let length = u32::try_from(container.len())
        .ok()
        .filter(|_| container.len() <= MAX_CONTAINER)
        .ok_or(KeyFileError::TooLarge { bytes: container.len() as u64, limit: MAX_CONTAINER as u64 })?;
    let mut out = Vec::with_capacity(HEADER + container.len() + TAG);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, ARGON2ID, XCHACHA20_POLY1305, 0]);
    for word in [MEMORY_KIB, PASSES, LANES, length] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&params_id);
    out.extend_from_slice(entropy);
    let (cipher, nonce) = cipher(&out, MEMORY_KIB, PASSES, LANES, passphrase)?;
    let sealed = cipher
        .encrypt(&nonce, Payload { msg: container, aad: &out })
        .map_err(|_| KeyFileError::TooLarge { bytes: container.len() as u64, limit: MAX_CONTAINER as u64 })?;
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// Reads and bounds the clear header; the total length must be exactly what it announces.
pub(super) fn header(bytes: &[u8]) -> Result<Header, KeyFileError> {
    if bytes.len() < HEADER + TAG || !bytes.starts_with(&MAGIC) {
        return Err(KeyFileError::Malformed);
    }
    if bytes[8] != VERSION {
        return Err(KeyFileError::UnsupportedVersion { found: bytes[8], supported: VERSION });
    }
    if bytes[9..12] != [ARGON2ID, XCHACHA20_POLY1305, 0] {
        return Err(KeyFileError::Malformed);
    }
    let word = |at: usize| {
        let mut raw = [0; 4];
        raw.copy_from_slice(&bytes[at..at + 4]);
        u32::from_le_bytes(raw)
    };
    let (memory_kib, passes, lanes, length) = (word(12), word(16), word(20), word(24) as usize);
    let affordable = (8..=MAX_MEMORY_KIB).contains(&memory_kib)
        && (1..=MAX_PASSES).contains(&passes)
        && (1..=MAX_LANES).contains(&lanes);
    if !affordable {
        return Err(KeyFileError::CostRefused { memory_kib, passes, lanes });
    }
    if length > MAX_CONTAINER || bytes.len() != HEADER + length + TAG {
        return Err(KeyFileError::Malformed);
    }
    let mut params_id = [0; 32];
    params_id.copy_from_slice(&bytes[28..SALT]);
    Ok(Header { memory_kib, passes, lanes, length, params_id })
}

/// Opens an envelope. A wrong passphrase and a changed file are one error: the tag cannot tell them apart.
pub(super) fn unlock(bytes: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let head = header(bytes)?;
    let (clear, sealed) = bytes.split_at(HEADER);
    let (cipher, nonce) = cipher(clear, head.memory_kib, head.passes, head.lanes, passphrase)?;
    let container = cipher
        .decrypt(&nonce, Payload { msg: sealed, aad: clear })
        .map_err(|_| KeyFileError::WrongPassphraseOrChanged)?;
    debug_assert_eq!(container.len(), head.length);
    Ok(Zeroizing::new(container))
}

fn cipher(
    clear: &[u8],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    passphrase: &[u8],
) -> Result<(XChaCha20Poly1305, XNonce), KeyFileError> {
    let refused = || KeyFileError::CostRefused { memory_kib, passes, lanes };
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| refused())?;
    let mut derived = Key::default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &clear[SALT..NONCE], &mut derived)
        .map_err(|_| refused())?;
    let cipher = XChaCha20Poly1305::new(&derived);
    derived.as_mut_slice().zeroize();
    let mut nonce = XNonce::default();
    nonce.copy_from_slice(&clear[NONCE..HEADER]);
    Ok((cipher, nonce))
}
