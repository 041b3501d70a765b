//! Parameters and plan of the `coefficients` layout: a search for the fewest bytes.

use crate::error::semantic;
use crate::facts;
use crate::model::Model;
use hei_circuit::{Layout, Plan, PlanLiteral, Step};
use hei_ckks::{Parameters, ParametersLiteral, security};
use hei_protocol::manifest::RegistryError;

/// Rings that are tried. A larger one only makes the reply's mask longer.
const DEGREES: [usize; 3] = [1024, 2048, 4096];
/// Sizes of the single prime that are tried, below what the security table allows.
const MIN_PRIME_BITS: u32 = 20;
const MAX_PRIME_BITS: u32 = 60;
/// Share of half the modulus that values may fill; the rest is for noise.
const FILL: f64 = 127.0 / 128.0;
/// Bytes within this factor of the fewest count as equal, and the smaller error wins.
const EQUAL_BYTES: f64 = 1.01;

/// One point of the search.
struct Candidate {
    literal: PlanLiteral,
    bytes: u64,
    error: f64,
}

/// The plan with the fewest request and reply bytes, for one row, whose error on the model's value keeps the tolerance.
pub(crate) fn choose(model: &Model) -> Result<Plan, RegistryError> {
    let mut candidates = Vec::new();
    let mut smallest = f64::INFINITY;
    for degree in DEGREES {
        if Layout::Coefficients.capacity(degree, model.weights.len()) == 0 {
            continue;
        }
        let limit = security::limit_128(degree).unwrap_or(0).min(MAX_PRIME_BITS);
        for bits in MIN_PRIME_BITS..=limit {
            let Some(q) = prime(degree, bits) else { continue };
            let Some(literal) = best_scales(model, degree, q) else { continue };
            match fewest_reply_bits(model, literal) {
                Ok(candidate) => candidates.push(candidate),
                Err(error) => smallest = smallest.min(error),
            }
        }
    }
    let fewest = candidates.iter().map(|c| c.bytes).min().unwrap_or(0) as f64;
    let chosen = candidates
        .into_iter()
        .filter(|c| c.bytes as f64 <= EQUAL_BYTES * fewest)
        .min_by(|a, b| a.error.total_cmp(&b.error));
    let chosen = chosen.ok_or_else(|| {
        semantic(
            "/tolerance",
            format!(
                "layout coefficients reaches an error of {smallest:.1e}, over the tolerance of {:.1e}; give a larger \
                 tolerance or narrower input ranges, or leave the layout out of `layouts`",
                model.tolerance
            ),
        )
    })?;
    Plan::new(chosen.literal).map_err(|error| semantic("/parameters", error.to_string()))
}

/// The largest prime of this size that the ring's transform takes.
fn prime(degree: usize, bits: u32) -> Option<u64> {
    let literal = ParametersLiteral {
        poly_modulus_degree: degree,
        coeff_modulus_bits: vec![bits],
        special_count: 0,
        scale: 2.0,
    };
    let parameters = Parameters::new(&literal).ok()?;
    parameters.context().data_moduli().next().map(|q| q.value())
}

/// For one prime, the scales of inputs and weights whose product fills the modulus and whose error is least.
///
/// Inputs are scaled by a power of two. Weights are scaled by any integer, because a scale that makes them integers
/// costs no precision: weights of two decimals are exact at 100.
fn best_scales(model: &Model, degree: usize, q: u64) -> Option<PlanLiteral> {
    let bits = q.ilog2() + 1;
    let literal = |scale: f64, weight_scale: f64| PlanLiteral {
        layout: Layout::Coefficients,
        degree,
        moduli: vec![q],
        special_moduli: Vec::new(),
        scale,
        max_batch: model.max_batch.min(Layout::Coefficients.capacity(degree, model.weights.len())),
        weights: model.weights.clone(),
        constant: model.bias,
        steps: vec![Step::MultiplyReversed { weight_scale }, Step::SwitchModulus { bits: bits - 1 }],
    };
    let room = q as f64 / 2.0 * FILL / largest_value(model)?;
    let mut best: Option<(f64, PlanLiteral)> = None;
    for weight_scale in weight_scales(room) {
        let scale = power_of_two_below(room / weight_scale);
        if scale < 2.0 {
            continue;
        }
        let literal = literal(scale, weight_scale);
        let Ok(bound) = literal.error_bound(&model.ranges) else { continue };
        if bound.headroom_bits >= 0.0 && best.as_ref().is_none_or(|(error, _)| bound.total() < *error) {
            best = Some((bound.total(), literal));
        }
    }
    best.map(|(_, literal)| literal)
}

/// Largest |w · x + b| within the ranges.
fn largest_value(model: &Model) -> Option<f64> {
    let (mut low, mut high) = (model.bias, model.bias);
    for (weight, (minimum, maximum)) in model.weights.iter().zip(&model.ranges) {
        low += (weight * minimum).min(weight * maximum);
        high += (weight * minimum).max(weight * maximum);
    }
    let largest = low.abs().max(high.abs());
    (largest.is_finite() && largest > 0.0).then_some(largest)
}

/// Small integers, which may make the weights exact; powers of ten, which often do; and what fills the room together
/// with a power of two.
fn weight_scales(room: f64) -> impl Iterator<Item = f64> {
    let small = (1..=1024).map(f64::from);
    let tens = (4..=12).map(|k| 10u64.pow(k) as f64);
    let filling = (1..=50).map(move |k| (room / (1u64 << k) as f64).floor());
    small.chain(tens).chain(filling).filter(|scale| *scale >= 1.0)
}

fn power_of_two_below(value: f64) -> f64 {
    let mut power = 1.0;
    while power * 2.0 <= value {
        power *= 2.0;
    }
    power
}

/// The smallest reply modulus that keeps the tolerance; otherwise the error that the largest leaves.
fn fewest_reply_bits(model: &Model, mut literal: PlanLiteral) -> Result<Candidate, f64> {
    let largest = literal.moduli[0].ilog2();
    let mut error = f64::INFINITY;
    for bits in 8..=largest {
        let [multiply, _] = literal.steps[..] else { break };
        literal.steps = vec![multiply, Step::SwitchModulus { bits }];
        let Ok(bound) = literal.error_bound(&model.ranges) else { continue };
        if bound.headroom_bits < 0.0 {
            continue;
        }
        error = bound.total() * model.slope.abs();
        if error <= model.tolerance {
            let bytes = facts::container_bytes(&literal, 1);
            return Ok(Candidate { literal, bytes: bytes.0 + bytes.1, error });
        }
    }
    Err(error)
}
