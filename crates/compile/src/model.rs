//! What an entry says, as numbers.

use crate::error::semantic;
use hei_circuit::Plan;
use hei_protocol::manifest::{EncryptionParameters, RegistryEntry, RegistryError};

/// Assumed bound of every encrypted feature when the entry gives no ranges: wide enough for standardized data. The
/// manifest publishes it as the features' minimum and maximum.
pub const DEFAULT_INPUT_BOUND: f64 = 8.0;

/// A linear model with an activation of degree one.
#[derive(Debug)]
pub(crate) struct Model {
    /// One weight for each feature.
    pub weights: Vec<f64>,
    /// The bias.
    pub bias: f64,
    /// The activation is constant + slope · z.
    pub constant: f64,
    pub slope: f64,
    /// (minimum, maximum) of every encrypted feature.
    pub ranges: Vec<(f64, f64)>,
    /// Largest absolute error allowed, in the model's value.
    pub tolerance: f64,
    /// Rows of the largest batch.
    pub max_batch: usize,
}

impl Model {
    pub(crate) fn new(entry: &RegistryEntry) -> Result<Self, RegistryError> {
        let parameters = entry.parameters.as_ref().ok_or_else(|| {
            semantic("/parameters", "is missing: a model is compiled from its weights and bias")
        })?;
        let activation = entry.activation_parameters.as_ref().ok_or_else(|| {
            semantic("/activation_parameters", "is missing: give the coefficients [c0, c1, c2], c2 = 0")
        })?;
        let [constant, slope, quadratic] = activation.coefficients;
        if quadratic != 0.0 {
            return Err(semantic(
                "/activation_parameters/coefficients/2",
                format!(
                    "is {quadratic}: this release serves activations of degree 1, which need no evaluation keys; fit \
                     [c0, c1, 0.0] instead"
                ),
            ));
        }
        if slope == 0.0 {
            return Err(semantic(
                "/activation_parameters/coefficients/1",
                "is 0: the value would not depend on the input",
            ));
        }
        if parameters.weights.iter().all(|w| *w == 0.0) {
            return Err(semantic(
                "/parameters/weights",
                "are all 0: the value would not depend on the input",
            ));
        }
        let given =
            entry.inputs.as_ref().and_then(|inputs| inputs.minimum.as_ref().zip(inputs.maximum.as_ref()));
        let ranges = match given {
            Some((minimum, maximum)) => minimum.iter().copied().zip(maximum.iter().copied()).collect(),
            None => vec![(-DEFAULT_INPUT_BOUND, DEFAULT_INPUT_BOUND); parameters.weights.len()],
        };
        Ok(Self {
            weights: parameters.weights.clone(),
            bias: parameters.bias,
            constant,
            slope,
            ranges,
            tolerance: entry.tolerance(),
            max_batch: entry.constraints.max_batch_size as usize,
        })
    }

    /// The entry with everything the compiler decided: input ranges, and the parameters of `feature_columns`.
    pub(crate) fn completed(&self, mut entry: RegistryEntry, columns: Option<&Plan>) -> RegistryEntry {
        let inputs = entry.inputs.get_or_insert_default();
        inputs.minimum = Some(self.ranges.iter().map(|range| range.0).collect());
        inputs.maximum = Some(self.ranges.iter().map(|range| range.1).collect());
        if let (None, Some(plan)) = (&entry.encryption_parameters, columns) {
            let literal = plan.literal();
            let chain = literal.moduli.iter().chain(&literal.special_moduli);
            entry.encryption_parameters = Some(EncryptionParameters {
                poly_modulus_degree: literal.degree as u64,
                scale: literal.scale,
                coeff_modulus_bits: chain.map(|q| q.ilog2() + 1).collect(),
                max_multiplicative_depth: literal.moduli.len() as u32 - 1,
            });
        }
        entry
    }
}

/// Rounded up to three significant digits: what is published is simple, and never less than what was computed.
pub(crate) fn rounded_up(value: f64) -> f64 {
    let text = format!("{value:.2e}");
    let parsed = |text: &str| text.parse::<f64>().unwrap_or(value);
    if parsed(&text) >= value {
        return parsed(&text);
    }
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let digits: u32 = mantissa.replace('.', "").parse().unwrap_or(999);
            let exponent: i32 = exponent.parse().unwrap_or(0);
            parsed(&format!("{}e{}", digits + 1, exponent - 2))
        }
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers_are_short_and_never_too_small() {
        for (value, expected) in
            [(1.0, 1.0), (1.234, 1.24), (9.991e-5, 1e-4), (4.0e-4, 4.0e-4), (123_456.0, 124_000.0)]
        {
            assert_eq!(rounded_up(value), expected);
        }
    }
}
