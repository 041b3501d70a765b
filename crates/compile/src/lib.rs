//! Trained model to plan, parameters and error report.
//!
//! [`compile`] takes a registry entry (JSON), holds it against both validation layers, chooses parameters for every
//! layout, builds the plans, and answers with the bytes of a `.hei` model file, its manifest and a report. The same entry
//! gives the same bytes, on every machine.
//!
//! | layout | how parameters are chosen |
//! |---|---|
//! | `feature_columns` | those of the entry; without any, the smallest ring that keeps the tolerance and has the one special prime that SEAL clients need |
//! | `coefficients` | a search over rings, primes, scales and reply moduli for the fewest bytes that keep the tolerance |

mod coefficients;
mod columns;
mod error;
mod facts;
mod model;
mod report;

use hei_circuit::{Layout, ModelFile};
use hei_protocol::manifest::{self, Manifest, RegistryEntry};

pub use error::CompileError;
pub use model::DEFAULT_INPUT_BOUND;
pub use report::{CompileReport, LayoutReport};

/// A compiled model.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The octets of the `.hei` file.
    pub bytes: Vec<u8>,
    /// What the file says of itself: the entry, completed, and the facts of every layout.
    pub manifest: Manifest,
    /// Parameters, bytes, error and cost, for people.
    pub report: CompileReport,
}

/// Compiles a registry entry. `file_name` is what errors call it.
///
/// # Errors
/// [`CompileError`] naming the file, the layer that refused (schema or semantic) and the member.
pub fn compile(entry_json: &[u8], file_name: &str) -> Result<Compiled, CompileError> {
    let refuse = |source| CompileError::Entry { file: file_name.to_owned(), source };
    let entry = RegistryEntry::from_json(entry_json).map_err(refuse)?;
    let model = model::Model::new(&entry).map_err(refuse)?;
    let mut plans = Vec::new();
    let mut layouts = Vec::new();
    for layout in entry.layouts() {
        let plan = match layout {
            manifest::Layout::FeatureColumns => columns::choose(&model, entry.encryption_parameters.as_ref()),
            manifest::Layout::Coefficients => coefficients::choose(&model),
            manifest::Layout::Packed => {
                Err(error::semantic("/layouts", "a linear model has no packed layout"))
            }
        }
        .map_err(refuse)?;
        layouts.push(facts::card(&model, &plan));
        plans.push(plan);
    }
    let columns = plans.iter().find(|plan| plan.layout() == Layout::FeatureColumns);
    let manifest = Manifest::new(model.completed(entry, columns), layouts);
    manifest.check().map_err(refuse)?;
    let report = CompileReport::new(&manifest, &plans, &model);
    let text = String::from_utf8(manifest.to_json()).map_err(|_| CompileError::Manifest)?;
    let bytes = ModelFile::new(text, plans)?.encode();
    Ok(Compiled { bytes, manifest, report })
}
