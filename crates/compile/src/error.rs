//! Why a model was not compiled.

use hei_protocol::manifest::{RegistryCategory, RegistryError};

/// Why a model was not compiled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The entry, or what it asks for, was refused.
    #[error("{file}: {source}")]
    Entry {
        /// The entry's file, as the caller named it.
        file: String,
        /// Layer, member and reason.
        source: RegistryError,
    },
    /// The model does not fit the file format.
    #[error("the model does not fit a model file: {0}")]
    File(#[from] hei_circuit::FileError),
    /// The manifest is not text.
    #[error("the manifest is not UTF-8")]
    Manifest,
}

/// A refusal of what the schema cannot see.
pub(crate) fn semantic(pointer: &str, message: impl Into<String>) -> RegistryError {
    RegistryError {
        category: RegistryCategory::Semantic,
        pointer: pointer.to_owned(),
        message: message.into(),
    }
}
