//! The card of a model: everything a client needs to encrypt for it and to read its replies.

use serde::{Deserialize, Serialize};

use super::number;
use crate::ids::{ModelId, ModelVersion};
use crate::manifest::{
    ActivationParameters, Constraints, Inference, InputDescription, Layout, LinearParameters, Manifest,
    OutputDescription,
};
use crate::version::API_VERSION;

/// What a reply to a linear model reveals, in one sentence that every such card carries.
pub const LINEAR_PRIVACY: &str = "A reply lets the key holder learn the weights of a linear model.";
/// Where the security of parameters is looked up.
pub const SECURITY_TABLE: &str = "ia.cr/2024/463";
/// Our own container format.
pub const FORMAT_HEI: &str = "hei/1";
/// A bare Microsoft SEAL stream.
pub const FORMAT_SEAL: &str = "seal";

/// What a layout's output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputValue {
    /// The model's value, activation included.
    Activation,
    /// The linear part; the client applies `post_processing`.
    Linear,
}

/// The domain of polynomials in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Values at the roots of unity.
    Ntt,
    /// Coefficients.
    Coefficient,
}

/// The exact parameters of one layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayoutParameters {
    /// Ring degree.
    pub poly_modulus_degree: u64,
    /// Data primes, decimal: they exceed what every JSON reader keeps exact.
    pub coeff_modulus: Vec<String>,
    /// Special primes, decimal; empty where nothing is switched.
    pub special_modulus: Vec<String>,
    /// Digest of the parameters, 64 lower-case hexadecimal digits.
    pub params_id: String,
    /// Classical security by the table.
    pub security_bits: u32,
    /// Quantum security by the table, where it was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_bits_quantum: Option<u32>,
    /// Logarithm to base 2 of the whole modulus, special primes included.
    #[serde(with = "number")]
    pub log2_modulus: f64,
    /// The table, [`SECURITY_TABLE`].
    pub security_table: String,
}

/// What a client encrypts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayoutInput {
    /// Ciphertexts of one request.
    pub ciphertexts: u32,
    /// Level: number of data primes less one.
    pub level: u32,
    /// Scale, an exact power of two.
    #[serde(with = "number")]
    pub scale: f64,
    /// Domain of the polynomials.
    pub form: Form,
    /// Rows of one request at most; rows share ciphertexts.
    pub rows_per_request: u32,
    /// Distance between the places of two rows: slots for `feature_columns`, coefficients for `coefficients`.
    pub stride: u32,
    /// The c0-coefficients a request carries, for `coefficients`: the client sends those of the rows it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Positions>,
}

/// An arithmetic progression of places: `start`, `start + step`, … . Row *i* of a batch is at the *i*-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions {
    /// The first.
    pub start: u32,
    /// How many; the batch size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The distance of two neighbors.
    pub step: u32,
}

/// What a client gets back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayoutOutput {
    /// Polynomials of the ciphertext.
    pub parts: u32,
    /// Level.
    pub level: u32,
    /// Scale.
    #[serde(with = "number")]
    pub scale: f64,
    /// Domain of the polynomials.
    pub form: Form,
    /// Where the rows are: slots, or coefficients.
    pub positions: Positions,
    /// Bits *k* of the reply's modulus when it is 2^k rather than the data primes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_modulus_bits: Option<u32>,
}

/// The evaluation keys of a layout.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvaluationKeys {
    /// Whether any are needed.
    pub required: bool,
    /// Whether a relinearization key is.
    pub relinearization: bool,
    /// Galois elements, ascending.
    pub galois_elements: Vec<u64>,
    /// Longest container, in bytes.
    pub max_bytes: u64,
}

/// What a client applies to what it decrypts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum PostProcessing {
    /// Nothing: the decrypted value is the model's.
    None,
    /// The polynomial with these coefficients, constant first.
    Polynomial {
        /// The coefficients.
        coefficients: Vec<f64>,
    },
}

impl PostProcessing {
    /// Applies it to a decrypted value.
    pub fn apply(&self, value: f64) -> f64 {
        match self {
            PostProcessing::None => value,
            PostProcessing::Polynomial { coefficients } => {
                coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * value + coefficient)
            }
        }
    }
}

/// One layout of a model. Numbers of bytes are of `hei/1` containers, headers included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardLayout {
    /// The layout.
    pub layout: Layout,
    /// What its output holds.
    pub value: OutputValue,
    /// Its parameters.
    pub parameters: LayoutParameters,
    /// Container formats it takes.
    pub ciphertext_formats: Vec<String>,
    /// What is encrypted.
    pub input: LayoutInput,
    /// What comes back.
    pub output: LayoutOutput,
    /// Keys it needs.
    pub evaluation_keys: EvaluationKeys,
    /// Most rows of one request.
    pub max_batch_size: u32,
    /// Bytes of all containers of a request with a full batch.
    pub request_bytes: u64,
    /// Bytes of its reply.
    pub reply_bytes: u64,
    /// Largest magnitude an honest reply decrypts to; a client refuses what lies outside.
    #[serde(with = "number")]
    pub output_bound: f64,
    /// Largest expected absolute error of the model's value.
    #[serde(with = "number")]
    pub expected_error: f64,
    /// What the client applies.
    pub post_processing: PostProcessing,
}

impl CardLayout {
    /// Whether it takes containers of this format.
    pub fn takes(&self, format: &str) -> bool {
        self.ciphertext_formats.iter().any(|taken| taken == format)
    }
}

/// `GET /models/{model_id}/versions/{version}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Version of the protocol.
    pub api_version: String,
    /// The model.
    pub model_id: ModelId,
    /// Its version.
    pub version: ModelVersion,
    /// A sentence for people.
    pub description: String,
    /// Always `CKKS`.
    pub he_scheme: String,
    /// Dimensions and activation.
    pub inference: Inference,
    /// Features: names, scaling, ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputDescription>,
    /// Names of the outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputDescription>,
    /// Limits.
    pub constraints: Constraints,
    /// Every layout, each with its own parameters.
    pub layouts: Vec<CardLayout>,
    /// SHA-256 of the model file, lower-case hex.
    pub model_digest: String,
    /// What the model's operator and its users should know about privacy.
    pub privacy: String,
    /// The weights, if published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<LinearParameters>,
    /// The activation polynomial, if published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_parameters: Option<ActivationParameters>,
}

impl ModelCard {
    /// The card of a model file with this manifest and this SHA-256 (lower-case hex).
    pub fn new(manifest: &Manifest, model_digest: &str) -> Self {
        let entry = &manifest.entry;
        let published = entry.publish_weights;
        ModelCard {
            api_version: API_VERSION.to_owned(),
            model_id: entry.model_id.clone(),
            version: entry.version.clone(),
            description: entry.description.clone(),
            he_scheme: entry.he_scheme.clone(),
            inference: entry.inference.clone(),
            inputs: entry.inputs.clone(),
            outputs: entry.outputs.clone(),
            constraints: entry.constraints.clone(),
            layouts: manifest.layouts.clone(),
            model_digest: model_digest.to_owned(),
            privacy: LINEAR_PRIVACY.to_owned(),
            parameters: entry.parameters.clone().filter(|_| published),
            activation_parameters: entry.activation_parameters.clone().filter(|_| published),
        }
    }

    /// The facts of one layout.
    pub fn layout(&self, layout: Layout) -> Option<&CardLayout> {
        self.layouts.iter().find(|facts| facts.layout == layout)
    }

    /// The layout a request without `layout` means: `feature_columns`, else the only one.
    pub fn default_layout(&self) -> Option<&CardLayout> {
        match (self.layout(Layout::FeatureColumns), self.layouts.as_slice()) {
            (Some(layout), _) => Some(layout),
            (None, [only]) => Some(only),
            _ => None,
        }
    }
}
