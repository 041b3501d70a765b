//! The reference models and the held-out data that ship in this program.

use hei_circuit::ModelFile;
use hei_protocol::manifest::Manifest;

use crate::exit::{Exit, Failure};

/// A compiled model as it was committed.
pub(crate) struct ReferenceModel {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
}

pub(crate) const MODELS: [ReferenceModel; 2] = [
    ReferenceModel {
        name: "breast_cancer_v1.hei",
        bytes: include_bytes!("../../../models/breast_cancer_v1.hei"),
    },
    ReferenceModel { name: "logistic_v1.hei", bytes: include_bytes!("../../../models/logistic_v1.hei") },
];

/// Rows of the breast-cancer data that the model was not trained on: a header, 30 features, the label.
pub(crate) const BREAST_CANCER: &str = include_str!("../../../models/data/breast_cancer_heldout.csv");

impl ReferenceModel {
    /// Opens the file, which checks its digest, its plans' parameters and both validation layers.
    pub(crate) fn manifest(&self) -> Result<Manifest, Failure> {
        let named = |error: String| Failure::new(Exit::Local, format!("{}: {error}", self.name));
        let file = ModelFile::decode(self.bytes).map_err(|error| named(error.to_string()))?;
        Manifest::from_json(file.manifest().as_bytes()).map_err(|error| named(error.to_string()))
    }
}

/// The manifest of the reference model of this id.
pub(crate) fn manifest(id: &str) -> Result<Manifest, Failure> {
    for model in &MODELS {
        let manifest = model.manifest()?;
        if manifest.entry.model_id.as_str() == id {
            return Ok(manifest);
        }
    }
    Err(Failure::new(Exit::Usage, format!("no reference model is named {id}")))
}

/// Opens every reference model and names it.
pub(crate) fn verify() -> Result<Vec<String>, Failure> {
    let name = |model: &ReferenceModel| {
        let entry = model.manifest()?.entry;
        Ok(format!("{} {}", entry.model_id, entry.version))
    };
    MODELS.iter().map(name).collect()
}
