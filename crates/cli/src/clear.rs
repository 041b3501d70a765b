//! A model evaluated in the clear, from its own numbers: what encrypted results are held against.

use hei_client::session::{Feature, Terms};
use hei_protocol::manifest::Manifest;

use crate::exit::{Exit, Failure};

/// Rows as the model takes them: scaled as the card publishes.
pub(crate) fn scaled(features: &[Feature], rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let scale = |(x, feature): (&f64, &Feature)| (x - feature.offset) * feature.factor;
    rows.iter().map(|row| row.iter().zip(features).map(scale).collect()).collect()
}

/// The registry polynomial of w·x + b, for every row, in doubles and from the entry's own weights: not from
/// the compiled plan, whose rounding is part of what is measured.
pub(crate) fn values(manifest: &Manifest, terms: &Terms, rows: &[Vec<f64>]) -> Result<Vec<f64>, Failure> {
    let entry = &manifest.entry;
    let missing = || Failure::new(Exit::Local, format!("{} has no weights in its file", entry.model_id));
    let linear = entry.parameters.as_ref().ok_or_else(missing)?;
    let [c0, c1, c2] = entry.activation_parameters.as_ref().ok_or_else(missing)?.coefficients;
    let value = |row: &Vec<f64>| {
        let z = row.iter().zip(&linear.weights).map(|(x, w)| x * w).sum::<f64>() + linear.bias;
        c0 + z * (c1 + z * c2)
    };
    Ok(scaled(terms.features(), rows).iter().map(value).collect())
}
