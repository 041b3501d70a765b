//! Models as their operator describes them ([`RegistryEntry`]) and as a model file carries them ([`Manifest`]).
//!
//! An entry passes two layers before anything is made of it: the schema (`model_registry_entry`), then the
//! rules that a schema cannot state ([`semantic`]).

mod entry;
pub mod semantic;

use serde::{Deserialize, Serialize};

pub use entry::{
    ActivationParameters, Constraints, EncryptionParameters, Inference, InputDescription, Layout,
    LinearParameters, OutputDescription, POLYNOMIAL_SIGMOID, RegistryEntry,
};

#[cfg(feature = "validate")]
use crate::json;
use crate::messages::card::CardLayout;

/// Which layer refused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryCategory {
    /// Not JSON, or not what the schema describes.
    Schema,
    /// Well-formed, but it contradicts itself or asks for what is not served.
    Semantic,
}

impl RegistryCategory {
    /// `schema` or `semantic`.
    pub fn as_str(self) -> &'static str {
        match self {
            RegistryCategory::Schema => "schema",
            RegistryCategory::Semantic => "semantic",
        }
    }
}

/// A refused registry entry or manifest. The operator's own file is described, so it may be quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} error at {}: {message}", category.as_str(), if pointer.is_empty() { "the top level" } else { pointer })]
pub struct RegistryError {
    /// The layer that refused.
    pub category: RegistryCategory,
    /// JSON Pointer to the place.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl RegistryError {
    #[cfg(feature = "validate")]
    pub(crate) fn schema(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        RegistryError { category: RegistryCategory::Schema, pointer: pointer.into(), message: message.into() }
    }

    pub(crate) fn semantic(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        RegistryError {
            category: RegistryCategory::Semantic,
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

impl RegistryEntry {
    /// Reads a registry file and passes it through both layers.
    #[cfg(feature = "validate")]
    pub fn from_json(file: &[u8]) -> Result<Self, RegistryError> {
        let tree = json::parse(file).map_err(|error| RegistryError::schema("", error.to_string()))?;
        let projection = tree.project();
        crate::schema::check_registry_entry(&projection)?;
        let whole = tree.to_json().unwrap_or_default();
        let entry: RegistryEntry =
            serde_json::from_value(whole).map_err(|error| RegistryError::schema("", error.to_string()))?;
        semantic::check(&entry)?;
        Ok(entry)
    }
}

/// The version of the manifest's own shape.
pub const MANIFEST_VERSION: u32 = 1;

/// What a `.hei` model file says of its model: the entry it was compiled from and one set of facts per
/// layout, as the model's card publishes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub manifest_version: u32,
    /// The registry entry.
    pub entry: RegistryEntry,
    /// One object per layout, in the order of the entry's `layouts`.
    pub layouts: Vec<CardLayout>,
}

impl Manifest {
    /// The manifest of an entry and its compiled layouts.
    pub fn new(entry: RegistryEntry, layouts: Vec<CardLayout>) -> Self {
        Manifest { manifest_version: MANIFEST_VERSION, entry, layouts }
    }

    /// Writes the manifest. Equal manifests give equal octets.
    pub fn to_json(&self) -> Vec<u8> {
        crate::messages::to_json(self)
    }

    /// Reads a manifest and passes its entry through both layers again, then checks the layouts against it.
    #[cfg(feature = "validate")]
    pub fn from_json(octets: &[u8]) -> Result<Self, RegistryError> {
        let tree = json::parse(octets).map_err(|error| RegistryError::schema("", error.to_string()))?;
        let entry = tree.member("entry").ok_or_else(|| RegistryError::schema("/entry", "is missing"))?;
        crate::schema::check_registry_entry(&entry.project()).map_err(|error| error.below("/entry"))?;
        let whole = tree.to_json().unwrap_or_default();
        let manifest: Manifest =
            serde_json::from_value(whole).map_err(|error| RegistryError::schema("", error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The semantic rules of the entry and of the layouts.
    pub fn check(&self) -> Result<(), RegistryError> {
        if self.manifest_version != MANIFEST_VERSION {
            let message = format!(
                "is {}; this program reads {MANIFEST_VERSION}, compile the model again",
                self.manifest_version
            );
            return Err(RegistryError::semantic("/manifest_version", message));
        }
        semantic::check(&self.entry).map_err(|error| error.below("/entry"))?;
        semantic::check_layouts(&self.entry, &self.layouts)
    }

    /// The facts of one layout.
    pub fn layout(&self, layout: Layout) -> Option<&CardLayout> {
        self.layouts.iter().find(|facts| facts.layout == layout)
    }
}

impl RegistryError {
    fn below(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}
