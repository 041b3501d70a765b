//! Weights and constant as integers: what the executor multiplies by, and the check that it can.

use super::check::log2_modulus;
use super::{PlanLiteral, State, Step};
use crate::PlanError;
use hei_ckks::Context;
use hei_ckks::coefficients::PreparedWeights;

/// Checks that every rounded number fits the modulus it is used with and, for the `coefficients` layout, prepares the
/// product with the reversed weights: the weights, and the constant at the scale of the product.
pub(super) fn prepare(
    literal: &PlanLiteral,
    trace: &[State],
    context: &Context,
) -> Result<Option<(PreparedWeights, i64)>, PlanError> {
    let mut reversed = None;
    for (step, (before, after)) in literal.steps.iter().zip(trace.iter().zip(&trace[1..])) {
        let log2_modulus = log2_modulus(&literal.moduli, before.level);
        match *step {
            Step::MultiplyAccumulate { weight_scale } => {
                round_all(&literal.weights, weight_scale, log2_modulus)?;
            }
            Step::AddConstant => {
                round(literal.constant, before.scale, log2_modulus, "the constant")?;
            }
            Step::MultiplyReversed { weight_scale } => {
                // One prime of at most 60 bits: what fits it fits a word.
                let weights = round_all(&literal.weights, weight_scale, log2_modulus)?;
                let weights: Vec<i64> = weights.into_iter().map(|w| w as i64).collect();
                let constant = round(literal.constant, after.scale, log2_modulus, "the constant")? as i64;
                reversed = Some((PreparedWeights::new(context, &weights, weight_scale)?, constant));
            }
            Step::DropToLevel { .. } | Step::Rescale | Step::SwitchModulus { .. } => {}
        }
    }
    Ok(reversed)
}

fn round_all(weights: &[f64], scale: f64, log2_modulus: f64) -> Result<Vec<f64>, PlanError> {
    let rounded =
        weights.iter().map(|w| round(*w, scale, log2_modulus, "a weight")).collect::<Result<Vec<_>, _>>()?;
    match rounded.iter().all(|w| *w == 0.0) {
        true => Err(PlanError::NoWeights { log2_scale: libm::log2(scale) }),
        false => Ok(rounded),
    }
}

/// value · scale to the nearest integer, which stays below half the modulus.
fn round(value: f64, scale: f64, log2_modulus: f64, what: &'static str) -> Result<f64, PlanError> {
    let rounded = (value * scale).round();
    match rounded.abs() < libm::exp2(log2_modulus - 1.0) {
        true => Ok(rounded),
        false => Err(PlanError::TooLarge { what, log2_scale: libm::log2(scale), log2_modulus }),
    }
}
