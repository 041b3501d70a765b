//! The `.hei` model file: what `hei compile` writes and `hei serve` loads.
//!
//! All numbers are little-endian; doubles are their IEEE 754 bits. Nothing may follow the trailer.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic `HEIMODEL` |
//! | 2 | version, 1 |
//! | 1 | number of plans, 1 … 8 |
//! | 1 | zero |
//! | 4 + n | length of the manifest, at most 2^20, and the manifest: UTF-8, opaque here |
//! | per plan | see below; at most one for each layout, ascending |
//! | 32 | SHA-256 of everything before it: the model's digest |
//!
//! | plan | what |
//! |---|---|
//! | 1 | layout: 0 `feature_columns`, 1 `coefficients` |
//! | 1 | log2 of the degree, 10 … 16 |
//! | 1, 1 | number of data primes, of special primes |
//! | 8 each | data primes, special primes |
//! | 8 | scale of an input |
//! | 4 | largest batch |
//! | 4 + 8 each | number of weights, at most 2^16, and the weights |
//! | 8 | constant |
//! | 1 | number of steps, at most 64 |
//! | 9 each | step: code and operand |
//!
//! Steps: 1 drop to level (operand: level) · 2 multiply and accumulate (weight scale) · 3 rescale (0) · 4 add constant
//! (0) · 5 multiply by reversed weights (weight scale) · 6 switch modulus (bits).
//!
//! Reading is strict: every ceiling is checked before memory is taken, every plan is type-checked, and what was read
//! encodes to the same bytes again.

mod reader;
mod writer;

use crate::{Layout, Plan, PlanError};
use reader::Reader;
use sha2::{Digest, Sha256};

/// The first bytes of every model file.
pub const MAGIC: [u8; 8] = *b"HEIMODEL";
/// The version written and read.
pub const VERSION: u16 = 1;
/// Ceiling for the manifest.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// Ceiling for a plan's weights.
pub const MAX_WEIGHTS: usize = 1 << 16;
/// Ceiling for a plan's steps.
pub const MAX_STEPS: usize = 64;

const DIGEST_BYTES: usize = 32;

/// A manifest and one plan for each layout that the model is served in.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    manifest: String,
    plans: Vec<Plan>,
}

/// Why bytes are no model file, or a model cannot be written as one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The first bytes are not the magic.
    #[error("not a model file: it does not start with HEIMODEL")]
    BadMagic,
    /// A version this release does not read.
    #[error("model file version {0}, this release reads {VERSION}: compile the model again")]
    BadVersion(u16),
    /// Fewer bytes than the file says it has.
    #[error("truncated at byte {offset}: {needed} more bytes expected")]
    Truncated {
        /// Where reading stopped.
        offset: usize,
        /// What was missing there.
        needed: usize,
    },
    /// Bytes after the last plan and before the trailer.
    #[error("{0} bytes follow the last plan")]
    TrailingBytes(usize),
    /// The trailer is not the SHA-256 of the file.
    #[error("the digest does not match: the file was altered or damaged")]
    DigestMismatch,
    /// The manifest is not UTF-8.
    #[error("the manifest is not UTF-8")]
    NotUtf8,
    /// A count or a code outside of what the format allows.
    #[error("{what} is {actual}, allowed are {minimum} to {maximum}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// The least allowed.
        minimum: u64,
        /// The most allowed.
        maximum: u64,
        /// What was found.
        actual: u64,
    },
    /// Two spellings of one thing: only one is allowed.
    #[error("{0} is not in its canonical form")]
    NonCanonical(&'static str),
    /// The numbers make no plan.
    #[error("plan for {layout}: {source}")]
    Plan {
        /// The plan's layout.
        layout: Layout,
        /// What is wrong.
        source: PlanError,
    },
}

impl ModelFile {
    /// A model from its manifest and plans; the plans are put into the order of [`Layout::ALL`].
    ///
    /// # Errors
    /// [`FileError`] when there is no plan, two for one layout, or a number beyond its ceiling.
    pub fn new(manifest: String, mut plans: Vec<Plan>) -> Result<Self, FileError> {
        in_range("manifest length", manifest.len(), 0, MAX_MANIFEST_BYTES)?;
        in_range("number of plans", plans.len(), 1, Layout::ALL.len())?;
        plans.sort_by_key(Plan::layout);
        if plans.windows(2).any(|pair| pair[0].layout() == pair[1].layout()) {
            return Err(FileError::NonCanonical("the list of plans"));
        }
        for plan in &plans {
            in_range("number of weights", plan.dimension(), 1, MAX_WEIGHTS)?;
            in_range("number of steps", plan.steps().len(), 1, MAX_STEPS)?;
        }
        Ok(Self { manifest, plans })
    }

    /// The manifest: JSON, which this crate does not read.
    pub fn manifest(&self) -> &str {
        &self.manifest
    }

    /// The plans, in the order of [`Layout::ALL`].
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The plan for a layout, if the model is served in it.
    pub fn plan(&self, layout: Layout) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.layout() == layout)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = writer::model(self);
        let digest = Sha256::digest(&out);
        out.extend_from_slice(&digest);
        out
    }

    /// A model from the bytes of a file.
    ///
    /// # Errors
    /// [`FileError`] for anything but what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let mut reader = Reader::new(bytes);
        if reader.array::<8>()? != MAGIC {
            return Err(FileError::BadMagic);
        }
        let version = u16::from_le_bytes(reader.array()?);
        if version != VERSION {
            return Err(FileError::BadVersion(version));
        }
        let body_length = bytes.len().checked_sub(DIGEST_BYTES).filter(|length| *length >= reader.offset());
        let (body, trailer) = body_length
            .and_then(|length| bytes.split_at_checked(length))
            .ok_or(FileError::Truncated { offset: bytes.len(), needed: DIGEST_BYTES })?;
        // All bytes are read and counted, then hashed, before the first parameter set is built.
        let (manifest, literals) = reader::contents(&mut Reader::resume(body, reader.offset()))?;
        if Sha256::digest(body)[..] != *trailer {
            return Err(FileError::DigestMismatch);
        }
        let plans = literals.into_iter().map(|literal| {
            let layout = literal.layout;
            Plan::new(literal).map_err(|source| FileError::Plan { layout, source })
        });
        Self::new(manifest.to_owned(), plans.collect::<Result<_, _>>()?)
    }
}

/// The digest a model file carries, unchecked; `None` when the bytes are too short to be one.
pub fn digest(bytes: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    bytes.starts_with(&MAGIC).then(|| bytes.last_chunk().copied()).flatten()
}

fn in_range(what: &'static str, actual: usize, minimum: usize, maximum: usize) -> Result<(), FileError> {
    match (minimum..=maximum).contains(&actual) {
        true => Ok(()),
        false => Err(FileError::OutOfRange {
            what,
            minimum: minimum as u64,
            maximum: maximum as u64,
            actual: actual as u64,
        }),
    }
}
