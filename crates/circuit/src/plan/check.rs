//! The type check of a plan: every step's level and scale follow from the ones before it.

use super::{PlanLiteral, Stage, State, Step};
use crate::{Layout, PlanError};
use hei_ckks::coefficients::reply_scale;

/// Reply moduli 2^k that fit a word with room for a rounding.
const REPLY_BITS: core::ops::RangeInclusive<u32> = 8..=60;

/// Checks that need no parameter set, before one is made.
pub(crate) fn bounds(literal: &PlanLiteral) -> Result<(), PlanError> {
    let PlanLiteral { layout, degree, weights, max_batch, .. } = literal;
    let dimension = weights.len();
    if dimension == 0 || dimension > *degree {
        return Err(PlanError::Dimension { maximum: *degree, actual: dimension });
    }
    let capacity = layout.capacity(*degree, dimension);
    if !(1..=capacity).contains(max_batch) {
        return Err(PlanError::MaxBatch { layout: *layout, maximum: capacity, actual: *max_batch });
    }
    if weights.iter().any(|w| !w.is_finite()) {
        return Err(PlanError::NotFinite("a weight"));
    }
    if !literal.constant.is_finite() {
        return Err(PlanError::NotFinite("the constant"));
    }
    if *layout == Layout::Coefficients && (literal.moduli.len() != 1 || !literal.special_moduli.is_empty()) {
        return Err(PlanError::Incomplete(
            "the coefficients layout takes exactly one prime and no special prime",
        ));
    }
    if literal.moduli.is_empty() {
        return Err(PlanError::Incomplete("no primes"));
    }
    Ok(())
}

/// The state before the first step and after each.
pub(crate) fn trace(literal: &PlanLiteral) -> Result<Vec<State>, PlanError> {
    let mut state = State { stage: Stage::Inputs, level: literal.moduli.len() - 1, scale: literal.scale };
    let mut trace = vec![state];
    for (index, step) in literal.steps.iter().enumerate() {
        let refuse = |reason| PlanError::Step { index, step: step.name(), reason };
        state = after(literal, state, step).map_err(refuse)?;
        let modulus = match step {
            Step::SwitchModulus { bits } => f64::from(*bits),
            _ => log2_modulus(&literal.moduli, state.level),
        };
        if !(state.scale.is_normal() && state.scale >= 1.0 && libm::log2(state.scale) < modulus) {
            return Err(refuse("the scale leaves the modulus"));
        }
        trace.push(state);
    }
    match (literal.layout, state.stage) {
        (Layout::FeatureColumns, Stage::Value) | (Layout::Coefficients, Stage::Reply) => Ok(trace),
        (_, Stage::Inputs) => Err(PlanError::Incomplete("no product with the weights")),
        (_, Stage::Sum) => Err(PlanError::Incomplete("the constant is not added")),
        _ => Err(PlanError::Incomplete("the modulus is not switched")),
    }
}

fn after(literal: &PlanLiteral, state: State, step: &Step) -> Result<State, &'static str> {
    let State { stage, level, scale } = state;
    match (literal.layout, *step) {
        (Layout::FeatureColumns, Step::DropToLevel { level: to }) => match to < level {
            true => Ok(State { level: to, ..state }),
            false => Err("it does not lower the level"),
        },
        (Layout::FeatureColumns, Step::MultiplyAccumulate { weight_scale }) => multiply(state, weight_scale),
        (Layout::Coefficients, Step::MultiplyReversed { weight_scale }) => {
            Ok(State { stage: Stage::Value, ..multiply(state, weight_scale)? })
        }
        (Layout::FeatureColumns, Step::Rescale) => match literal.moduli.get(level) {
            Some(q) if level > 0 => Ok(State { level: level - 1, scale: scale / *q as f64, ..state }),
            _ => Err("no level is left"),
        },
        (Layout::FeatureColumns, Step::AddConstant) => match stage {
            Stage::Sum => Ok(State { stage: Stage::Value, ..state }),
            _ => Err("there is no sum to add to, or the constant is there already"),
        },
        (Layout::Coefficients, Step::SwitchModulus { bits }) => match (stage, literal.moduli.first()) {
            (Stage::Value, Some(q)) if REPLY_BITS.contains(&bits) && (1u64 << bits) < *q => {
                Ok(State { stage: Stage::Reply, scale: reply_scale(scale, *q, bits), ..state })
            }
            (Stage::Value, _) => Err("2^bits is not below q, or bits are not 8 to 60"),
            _ => Err("there is no value to switch"),
        },
        _ => Err("the layout has no such step"),
    }
}

fn multiply(state: State, weight_scale: f64) -> Result<State, &'static str> {
    if state.stage != Stage::Inputs {
        return Err("the weights are multiplied already");
    }
    if !(weight_scale.is_normal() && weight_scale >= 1.0) {
        return Err("the weights' scale is not a number of at least 1");
    }
    Ok(State { stage: Stage::Sum, scale: state.scale * weight_scale, ..state })
}

/// log2 of q_0 … q_level.
pub(crate) fn log2_modulus(moduli: &[u64], level: usize) -> f64 {
    moduli.iter().take(level + 1).map(|q| libm::log2(*q as f64)).sum()
}
