//! `GET /models`: the reference project's closed shape, and the open list of `?view=all`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::ids::{ModelId, ModelVersion};
use crate::manifest::{
    ActivationParameters, Constraints, EncryptionParameters, Inference, Layout, LinearParameters, Manifest,
    POLYNOMIAL_SIGMOID,
};
use crate::version::API_VERSION;

/// Plain `GET /models`. Clients of the reference project validate it against a closed schema, so it has
/// these members and never any other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Version of the protocol.
    pub api_version: String,
    /// The published polynomial-sigmoid models that have a `feature_columns` layout.
    pub models: Vec<PublishedModel>,
}

/// A model in plain `GET /models`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedModel {
    /// The model.
    pub model_id: ModelId,
    /// Its version.
    pub version: ModelVersion,
    /// A sentence for people.
    pub description: String,
    /// Always `CKKS`.
    pub he_scheme: String,
    /// Parameters of the `feature_columns` layout.
    pub encryption_parameters: EncryptionParameters,
    /// Dimensions and activation.
    pub inference: Inference,
    /// Weights and bias.
    pub parameters: LinearParameters,
    /// The activation polynomial.
    pub activation_parameters: ActivationParameters,
    /// Limits.
    pub constraints: Constraints,
}

/// `GET /models?view=all`. Clients ignore members they do not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListModels {
    /// Version of the protocol.
    pub api_version: String,
    /// Every served model.
    pub models: Vec<ListedModel>,
}

/// A model in `GET /models?view=all`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedModel {
    /// The model.
    pub model_id: ModelId,
    /// Its version.
    pub version: ModelVersion,
    /// A sentence for people.
    pub description: String,
    /// Always `CKKS`.
    pub he_scheme: String,
    /// Dimensions and activation; the activation may be one this client does not know.
    pub inference: Inference,
    /// Limits.
    pub constraints: Constraints,
    /// The layouts it has; names may be newer than this client.
    pub layouts: Vec<String>,
    /// SHA-256 of the model file, lower-case hex.
    pub model_digest: String,
    /// Path of its card.
    pub card: String,
    /// Weights and bias, if published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<LinearParameters>,
    /// The activation polynomial, if published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_parameters: Option<ActivationParameters>,
}

/// The order of both lists: `model_id` ascending, then the highest version first.
pub fn models_order(a: (&ModelId, &ModelVersion), b: (&ModelId, &ModelVersion)) -> Ordering {
    a.0.cmp(b.0).then_with(|| b.1.cmp(a.1))
}

fn sorted<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> Vec<&'m Manifest> {
    let mut sorted: Vec<_> = manifests.into_iter().collect();
    sorted.sort_by(|a, b| {
        models_order((&a.entry.model_id, &a.entry.version), (&b.entry.model_id, &b.entry.version))
    });
    sorted
}

impl Models {
    /// The plain list of these models: only those of the closed shape.
    pub fn new<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> Self {
        Models {
            api_version: API_VERSION.to_owned(),
            models: sorted(manifests).into_iter().filter_map(PublishedModel::new).collect(),
        }
    }
}

impl PublishedModel {
    /// The model in the closed shape, if it is published and of that shape.
    pub fn new(manifest: &Manifest) -> Option<Self> {
        let entry = &manifest.entry;
        if !entry.publish_weights || entry.inference.activation != POLYNOMIAL_SIGMOID {
            return None;
        }
        manifest.layout(Layout::FeatureColumns)?;
        Some(PublishedModel {
            model_id: entry.model_id.clone(),
            version: entry.version.clone(),
            description: entry.description.clone(),
            he_scheme: entry.he_scheme.clone(),
            encryption_parameters: encryption_parameters(manifest)?,
            inference: entry.inference.clone(),
            parameters: entry.parameters.clone()?,
            activation_parameters: entry.activation_parameters.clone()?,
            constraints: entry.constraints.clone(),
        })
    }
}

/// The parameters of `feature_columns` in the reference project's form: the entry's own, else what the
/// compiler chose.
fn encryption_parameters(manifest: &Manifest) -> Option<EncryptionParameters> {
    if let Some(parameters) = &manifest.entry.encryption_parameters {
        return Some(parameters.clone());
    }
    let layout = manifest.layout(Layout::FeatureColumns)?;
    let bits = |prime: &String| prime.parse::<u64>().ok().map(|prime| 64 - prime.leading_zeros());
    let parameters = &layout.parameters;
    Some(EncryptionParameters {
        poly_modulus_degree: parameters.poly_modulus_degree,
        scale: layout.input.scale,
        coeff_modulus_bits: parameters
            .coeff_modulus
            .iter()
            .chain(&parameters.special_modulus)
            .map(bits)
            .collect::<Option<_>>()?,
        max_multiplicative_depth: layout.input.level,
    })
}

impl ListModels {
    /// The whole list of these models, each with the SHA-256 of its file (lower-case hex).
    pub fn new<'m>(models: impl IntoIterator<Item = (&'m Manifest, &'m str)>) -> Self {
        let mut models: Vec<_> =
            models.into_iter().map(|(manifest, digest)| ListedModel::new(manifest, digest)).collect();
        models.sort_by(|a, b| models_order((&a.model_id, &a.version), (&b.model_id, &b.version)));
        ListModels { api_version: API_VERSION.to_owned(), models }
    }
}

impl ListedModel {
    /// The model in the open list.
    pub fn new(manifest: &Manifest, model_digest: &str) -> Self {
        let entry = &manifest.entry;
        let published = entry.publish_weights;
        ListedModel {
            model_id: entry.model_id.clone(),
            version: entry.version.clone(),
            description: entry.description.clone(),
            he_scheme: entry.he_scheme.clone(),
            inference: entry.inference.clone(),
            constraints: entry.constraints.clone(),
            layouts: manifest.layouts.iter().map(|facts| facts.layout.to_string()).collect(),
            model_digest: model_digest.to_owned(),
            card: format!("/models/{}/versions/{}", entry.model_id, entry.version),
            parameters: entry.parameters.clone().filter(|_| published),
            activation_parameters: entry.activation_parameters.clone().filter(|_| published),
        }
    }
}
