//! The registry entry: the reference project's members, unchanged, and optional ones of our own.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ModelId, ModelVersion};
use crate::messages::number;

/// The one activation that registry entries of this release may name.
pub const POLYNOMIAL_SIGMOID: &str = "polynomial_sigmoid_v1";

/// How the rows of a batch lie in ciphertexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One ciphertext per feature, row *i* of the batch in slot *i*.
    FeatureColumns,
    /// One ciphertext, features in polynomial coefficients; no evaluation keys.
    Coefficients,
    /// One ciphertext, features in slots, for models with rotations.
    Packed,
}

impl Layout {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Layout::FeatureColumns => "feature_columns",
            Layout::Coefficients => "coefficients",
            Layout::Packed => "packed",
        }
    }

    /// The layout of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Layout::FeatureColumns, Layout::Coefficients, Layout::Packed]
            .into_iter()
            .find(|layout| layout.as_str() == name)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A model, as its operator describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryEntry {
    /// Name.
    pub model_id: ModelId,
    /// Version.
    pub version: ModelVersion,
    /// A sentence for people.
    pub description: String,
    /// Always `CKKS`.
    pub he_scheme: String,
    /// Parameters of the `feature_columns` layout; the compiler chooses when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_parameters: Option<EncryptionParameters>,
    /// Dimensions and activation.
    pub inference: Inference,
    /// Weights and bias of the linear part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<LinearParameters>,
    /// Coefficients of the activation polynomial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_parameters: Option<ActivationParameters>,
    /// Limits of the model.
    pub constraints: Constraints,
    /// Whether the weights are published in discovery. A reply reveals those of a linear model anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub publish_weights: bool,
    /// Names, scaling and ranges of the features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputDescription>,
    /// Names of the outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputDescription>,
    /// Layouts to compile; [`RegistryEntry::layouts`] gives the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layouts: Option<Vec<Layout>>,
    /// Largest absolute error of the model's value that compiled parameters may cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Where the model comes from: free text under free names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<BTreeMap<String, String>>,
}

/// Parameters of the scheme, in the order of SEAL: data primes, then the special prime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionParameters {
    /// Ring degree, a power of two.
    pub poly_modulus_degree: u64,
    /// Scale, an exact power of two.
    #[serde(with = "number")]
    pub scale: f64,
    /// Bit sizes of the primes.
    pub coeff_modulus_bits: Vec<u32>,
    /// Rescalings the chain allows for.
    pub max_multiplicative_depth: u32,
}

/// Dimensions and activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// Number of features.
    pub input_dimension: u32,
    /// Number of outputs.
    pub output_dimension: u32,
    /// Name of the activation.
    pub activation: String,
}

/// The linear part `z = w . x + b`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearParameters {
    /// One weight per feature.
    pub weights: Vec<f64>,
    /// The bias.
    pub bias: f64,
}

/// The polynomial `c0 + c1 z + c2 z^2` that is the model's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationParameters {
    /// The name of the activation again.
    pub kind: String,
    /// `c0`, `c1`, `c2`.
    pub coefficients: [f64; 3],
}

/// Limits of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// Most rows of one request.
    pub max_batch_size: u32,
}

/// Features: names, the scaling a client applies, and the ranges of what it then encrypts. Every list has
/// one element per feature.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputDescription {
    /// Names of the features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// What is subtracted from a raw feature; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Vec<f64>>,
    /// What the difference is multiplied by; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Vec<f64>>,
    /// Least scaled value a client may encrypt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Vec<f64>>,
    /// Largest scaled value a client may encrypt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Vec<f64>>,
}

/// Outputs of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputDescription {
    /// One name per output.
    pub labels: Vec<String>,
}

impl RegistryEntry {
    /// The layouts to compile, in order.
    pub fn layouts(&self) -> &[Layout] {
        self.layouts.as_deref().unwrap_or(&[Layout::FeatureColumns, Layout::Coefficients])
    }

    /// Largest absolute error of the model's value, 5e-4 when the entry is silent.
    pub fn tolerance(&self) -> f64 {
        self.tolerance.unwrap_or(5e-4)
    }
}
