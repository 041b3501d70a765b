//! `GET /keys`: what a client needs to make keys. No member can hold a secret.

use serde::{Deserialize, Serialize};

use super::card::{EvaluationKeys, LayoutParameters};
use crate::ids::{KeyId, ModelId, ModelVersion};
use crate::limits::Limits;
use crate::manifest::{Layout, Manifest};
use crate::timestamp::Timestamp;
use crate::version::API_VERSION;

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keys {
    /// Version of the protocol.
    pub api_version: String,
    /// Every served parameter set, by `params_id` ascending.
    pub parameter_sets: Vec<ParameterSet>,
    /// The caller's own stored keys.
    pub keys: Vec<StoredKey>,
    /// Limits.
    pub limits: Limits,
}

/// One parameter set and who uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterSet {
    /// The parameters, `params_id` among them.
    #[serde(flatten)]
    pub parameters: LayoutParameters,
    /// Models and layouts that use them.
    pub models: Vec<ParameterSetUse>,
}

/// One use of a parameter set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterSetUse {
    /// The model.
    pub model_id: ModelId,
    /// Its version.
    pub version: ModelVersion,
    /// The layout.
    pub layout: Layout,
    /// The keys it needs.
    pub evaluation_keys: EvaluationKeys,
}

/// A stored evaluation key of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// SHA-256 of the container.
    pub key_id: KeyId,
    /// Kind of the container.
    pub kind: String,
    /// Parameters of the key.
    pub params_id: String,
    /// Bytes of the container.
    pub size: u64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When a job last used it.
    pub last_used_at: Timestamp,
    /// Until when it is kept at least.
    pub expires_at: Timestamp,
}

/// The answer about one stored key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAnswer {
    /// Version of the protocol.
    pub api_version: String,
    /// The key.
    #[serde(flatten)]
    pub key: StoredKey,
}

impl KeyAnswer {
    /// The answer about this key.
    pub fn new(key: StoredKey) -> Self {
        KeyAnswer { api_version: API_VERSION.to_owned(), key }
    }
}

impl Keys {
    /// The parameter sets of these models, with no stored keys.
    pub fn new<'m>(manifests: impl IntoIterator<Item = &'m Manifest>, limits: Limits) -> Self {
        let mut sets: Vec<ParameterSet> = Vec::new();
        for manifest in manifests {
            for facts in &manifest.layouts {
                let used = ParameterSetUse {
                    model_id: manifest.entry.model_id.clone(),
                    version: manifest.entry.version.clone(),
                    layout: facts.layout,
                    evaluation_keys: facts.evaluation_keys.clone(),
                };
                match sets.iter_mut().find(|set| set.parameters.params_id == facts.parameters.params_id) {
                    Some(set) => set.models.push(used),
                    None => {
                        sets.push(ParameterSet { parameters: facts.parameters.clone(), models: vec![used] });
                    }
                }
            }
        }
        for set in &mut sets {
            set.models.sort_by(|a, b| {
                super::models_order((&a.model_id, &a.version), (&b.model_id, &b.version))
                    .then(a.layout.cmp(&b.layout))
            });
        }
        sets.sort_by(|a, b| a.parameters.params_id.cmp(&b.parameters.params_id));
        Keys { api_version: API_VERSION.to_owned(), parameter_sets: sets, keys: Vec::new(), limits }
    }
}
