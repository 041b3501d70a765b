//! `POST /infer/plain`: the extension that evaluates what the server sees in the clear.

use serde::{Deserialize, Serialize};

use super::MessageError;
use super::infer::check_version;
use super::view::View;
use crate::ids::ModelId;
use crate::json;
use crate::problem::Problem;
use crate::tree::Value;

/// A row in the clear.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainRequest {
    /// The model.
    pub model_id: ModelId,
    /// Its version, as text: a version that is no semantic version is merely unknown.
    pub version: String,
    /// The features, as the model's protocol inputs are (scaled).
    pub inputs: Vec<f64>,
}

/// Most features of a plain request.
pub const MAX_PLAIN_INPUTS: usize = 65_536;

impl PlainRequest {
    /// The server's way in: syntax, version, schema, in that order.
    pub fn parse(body: &[u8], header_version: Option<&str>) -> Result<Self, Problem> {
        let tree = json::parse(body)?;
        check_version(&tree, header_version)?;
        #[cfg(feature = "validate")]
        crate::schema::check_plain_request(&tree.project())?;
        Self::from_value(&tree).map_err(|error| match error {
            MessageError::Member { pointer, reason } => Problem::invalid_field(pointer, reason),
            _ => Problem::invalid_field("", "invalid"),
        })
    }

    fn from_value(tree: &Value<'_>) -> Result<Self, MessageError> {
        let view = View::new(tree, "")?;
        let elements = view.required("inputs")?.as_array().ok_or_else(|| view.wrong("inputs", "type"))?;
        if elements.is_empty() {
            return Err(view.wrong("inputs", "min_items"));
        }
        if elements.len() > MAX_PLAIN_INPUTS {
            return Err(view.wrong("inputs", "max_items"));
        }
        let inputs = elements
            .iter()
            .enumerate()
            .map(|(index, element)| {
                element.as_f64().ok_or_else(|| MessageError::Member {
                    pointer: format!("/inputs/{index}"),
                    reason: "type",
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(PlainRequest {
            model_id: view.parsed("model_id")?,
            version: view.text("version")?.to_owned(),
            inputs,
        })
    }

    /// Writes the request.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'r> {
            model_id: &'r ModelId,
            version: &'r str,
            inputs: &'r [f64],
        }
        super::to_json(&Body { model_id: &self.model_id, version: &self.version, inputs: &self.inputs })
    }
}

/// The answer, in the reference project's closed shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlainResponse {
    /// The model.
    pub model_id: String,
    /// Its version.
    pub version: String,
    /// The model's values.
    pub outputs: Vec<f64>,
    /// How they were computed.
    pub diagnostics: PlainDiagnostics,
}

/// How a plain answer was computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainDiagnostics {
    /// Always `plain`.
    pub mode: String,
}

impl PlainResponse {
    /// The answer of a model.
    pub fn new(model_id: &str, version: &str, outputs: Vec<f64>) -> Self {
        PlainResponse {
            model_id: model_id.to_owned(),
            version: version.to_owned(),
            outputs,
            diagnostics: PlainDiagnostics { mode: "plain".to_owned() },
        }
    }
}
