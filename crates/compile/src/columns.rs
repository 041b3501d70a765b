//! Parameters and plan of the `feature_columns` layout.

use crate::error::semantic;
use crate::model::Model;
use hei_circuit::{Layout, Plan, PlanLiteral, Step};
use hei_ckks::{Parameters, ParametersLiteral};
use hei_protocol::manifest::{EncryptionParameters, RegistryError};

/// What is tried, in order, when the entry names no parameters: two data primes for one product and one rescaling, and a
/// special prime, without which SEAL's clients cannot work. (degree, bits, log2 of the scale)
const CANDIDATES: [(usize, [u32; 3], u32); 3] =
    [(4096, [36, 34, 36], 34), (8192, [50, 40, 50], 40), (16384, [60, 50, 60], 50)];

/// Beyond this the rounding of the last step is far below fresh noise, and room for larger values is worth more.
const MAX_OUTPUT_SCALE_LOG2: u32 = 45;
/// Bits kept free below half the modulus.
const HEADROOM_BITS: f64 = 1.0;

const POINTER: &str = "/encryption_parameters";

/// The plan for the entry's parameters, or for the first candidate that keeps the tolerance.
pub(crate) fn choose(model: &Model, given: Option<&EncryptionParameters>) -> Result<Plan, RegistryError> {
    if let Some(given) = given {
        let bits = given.coeff_modulus_bits.clone();
        return plan(model, given.poly_modulus_degree as usize, bits, given.scale);
    }
    let mut refused = semantic(POINTER, "no candidate was tried");
    for (degree, bits, log2_scale) in CANDIDATES {
        if model.max_batch > Layout::FeatureColumns.capacity(degree, model.weights.len()) {
            continue;
        }
        match plan(model, degree, bits.to_vec(), (1u64 << log2_scale) as f64) {
            Ok(plan) => return Ok(plan),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The plan over one parameter set: lower, multiply, rescale once, add the constant, and answer at the lowest level that
/// holds the value.
fn plan(model: &Model, degree: usize, bits: Vec<u32>, scale: f64) -> Result<Plan, RegistryError> {
    let parameters = Parameters::new(&ParametersLiteral {
        poly_modulus_degree: degree,
        coeff_modulus_bits: bits,
        special_count: 1,
        scale,
    })
    .map_err(|error| semantic(POINTER, error.to_string()))?;
    let context = parameters.context();
    let moduli: Vec<u64> = context.data_moduli().map(|q| q.value()).collect();
    if moduli.len() < 2 {
        return Err(semantic(
            "/encryption_parameters/coeff_modulus_bits",
            "a product and its rescaling need two data primes and a special prime",
        ));
    }
    let base = PlanLiteral {
        layout: Layout::FeatureColumns,
        degree,
        moduli,
        special_moduli: context.special_moduli().map(|q| q.value()).collect(),
        scale,
        max_batch: model.max_batch,
        weights: model.weights.iter().map(|w| model.slope * w).collect(),
        constant: model.constant + model.slope * model.bias,
        steps: Vec::new(),
    };
    let mut smallest = f64::INFINITY;
    for product_level in 1..base.moduli.len() {
        for last_level in 0..product_level {
            for log2_output in (1..=MAX_OUTPUT_SCALE_LOG2).rev() {
                let steps = steps(&base, product_level, last_level, (1u64 << log2_output) as f64);
                let literal = PlanLiteral { steps, ..base.clone() };
                let Ok(bound) = literal.error_bound(&model.ranges) else { continue };
                if bound.headroom_bits < HEADROOM_BITS {
                    continue;
                }
                if bound.total() <= model.tolerance {
                    return Plan::new(literal).map_err(|error| semantic("/parameters", error.to_string()));
                }
                // A smaller scale only rounds more.
                smallest = smallest.min(bound.total());
                break;
            }
        }
    }
    Err(semantic(
        POINTER,
        format!(
            "degree {degree} with these primes leaves an error of {smallest:.1e} for the given ranges and weights, over \
             the tolerance of {:.1e}; give larger primes or a larger scale, or narrower ranges",
            model.tolerance
        ),
    ))
}

/// The steps that end at `output_scale` exactly: the weights' scale carries the prime that the rescaling divides by.
fn steps(base: &PlanLiteral, product_level: usize, last_level: usize, output_scale: f64) -> Vec<Step> {
    let weight_scale = output_scale / base.scale * base.moduli[product_level] as f64;
    let mut steps = Vec::with_capacity(5);
    if product_level + 1 < base.moduli.len() {
        steps.push(Step::DropToLevel { level: product_level });
    }
    steps.extend([Step::MultiplyAccumulate { weight_scale }, Step::Rescale]);
    if last_level + 1 < product_level {
        steps.push(Step::DropToLevel { level: last_level });
    }
    steps.push(Step::AddConstant);
    steps
}
