//! The rules that a schema cannot state.

use std::collections::BTreeSet;

use super::{Layout, POLYNOMIAL_SIGMOID, RegistryEntry, RegistryError};
use crate::messages::card::CardLayout;

/// Ring degrees that are served.
const DEGREES: std::ops::RangeInclusive<u64> = 1024..=65_536;
/// Bit sizes of primes that are served.
const PRIME_BITS: std::ops::RangeInclusive<u32> = 18..=60;
/// Largest scale, 2^60.
const MAX_SCALE: f64 = 1_152_921_504_606_846_976.0;

fn refuse(pointer: impl Into<String>, message: impl Into<String>) -> Result<(), RegistryError> {
    Err(RegistryError::semantic(pointer, message))
}

/// Whether a number is 2^k for an integer k.
fn is_power_of_two(value: f64) -> bool {
    value.is_normal() && value > 0.0 && value.to_bits() & ((1 << 52) - 1) == 0
}

/// Checks an entry that has passed the schema.
pub fn check(entry: &RegistryEntry) -> Result<(), RegistryError> {
    if entry.he_scheme != "CKKS" {
        return refuse("/he_scheme", "must be CKKS");
    }
    check_inference(entry)?;
    check_encryption_parameters(entry)?;
    check_model(entry)?;
    check_inputs(entry)?;
    check_outputs(entry)?;
    check_layout_names(entry)?;
    match entry.tolerance {
        Some(tolerance) if !(tolerance > 0.0 && tolerance.is_finite()) => {
            refuse("/tolerance", format!("must be a positive number, is {tolerance}"))
        }
        _ => Ok(()),
    }
}

fn check_inference(entry: &RegistryEntry) -> Result<(), RegistryError> {
    let inference = &entry.inference;
    if inference.input_dimension == 0 {
        return refuse("/inference/input_dimension", "must be positive");
    }
    if inference.output_dimension != 1 {
        let message = format!("logistic regression has 1 output, not {}", inference.output_dimension);
        return refuse("/inference/output_dimension", message);
    }
    if inference.activation != POLYNOMIAL_SIGMOID {
        return refuse("/inference/activation", format!("must be {POLYNOMIAL_SIGMOID}"));
    }
    if entry.constraints.max_batch_size == 0 {
        return refuse("/constraints/max_batch_size", "must be positive");
    }
    Ok(())
}

fn check_encryption_parameters(entry: &RegistryEntry) -> Result<(), RegistryError> {
    let Some(parameters) = &entry.encryption_parameters else { return Ok(()) };
    let at = |member: &str| format!("/encryption_parameters/{member}");
    let degree = parameters.poly_modulus_degree;
    if !degree.is_power_of_two() || !DEGREES.contains(&degree) {
        let message = format!("must be a power of two from 1024 to 65536, is {degree}");
        return refuse(at("poly_modulus_degree"), message);
    }
    if !is_power_of_two(parameters.scale) || !(2.0..=MAX_SCALE).contains(&parameters.scale) {
        let message = format!("must be an exact power of two from 1 to 2^60, is {}", parameters.scale);
        return refuse(at("scale"), message);
    }
    for (index, bits) in parameters.coeff_modulus_bits.iter().enumerate() {
        if !PRIME_BITS.contains(bits) {
            let message = format!("primes have 18 to 60 bits, not {bits}");
            return refuse(format!("{}/{index}", at("coeff_modulus_bits")), message);
        }
    }
    let primes = parameters.coeff_modulus_bits.len() as u64;
    let depth = u64::from(parameters.max_multiplicative_depth);
    if depth >= primes {
        let message = format!("{depth} exceeds the {} levels of {primes} primes", primes.saturating_sub(1));
        return refuse(at("max_multiplicative_depth"), message);
    }
    let (batch, slots) = (u64::from(entry.constraints.max_batch_size), degree / 2);
    if batch > slots {
        let message = format!("{batch} rows exceed the {slots} slots of degree {degree}");
        return refuse("/constraints/max_batch_size", message);
    }
    Ok(())
}

fn check_model(entry: &RegistryEntry) -> Result<(), RegistryError> {
    if let Some(parameters) = &entry.parameters {
        check_length("/parameters/weights", parameters.weights.len(), entry)?;
        check_finite("/parameters/weights", &parameters.weights)?;
        if !parameters.bias.is_finite() {
            return refuse("/parameters/bias", "must be finite");
        }
    }
    if let Some(activation) = &entry.activation_parameters {
        if activation.kind != entry.inference.activation {
            return refuse("/activation_parameters/kind", "must equal inference.activation");
        }
        check_finite("/activation_parameters/coefficients", &activation.coefficients)?;
        let [_, _, quadratic] = activation.coefficients;
        let required = if quadratic == 0.0 { 1 } else { 2 };
        match &entry.encryption_parameters {
            Some(parameters) if parameters.max_multiplicative_depth < required => {
                let message = format!(
                    "the activation coefficients need {required}, there are {}",
                    parameters.max_multiplicative_depth
                );
                return refuse("/encryption_parameters/max_multiplicative_depth", message);
            }
            _ => {}
        }
    }
    if entry.publish_weights && (entry.parameters.is_none() || entry.activation_parameters.is_none()) {
        return refuse(
            "/publish_weights",
            "needs parameters and activation_parameters, for there is nothing to publish without them",
        );
    }
    Ok(())
}

fn check_inputs(entry: &RegistryEntry) -> Result<(), RegistryError> {
    let Some(inputs) = &entry.inputs else { return Ok(()) };
    if let Some(names) = &inputs.names {
        check_length("/inputs/names", names.len(), entry)?;
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            if !seen.insert(name) {
                return refuse(format!("/inputs/names/{index}"), "repeats the name of an earlier feature");
            }
            check_printable(&format!("/inputs/names/{index}"), name)?;
        }
    }
    let lists = [
        ("/inputs/offset", &inputs.offset),
        ("/inputs/factor", &inputs.factor),
        ("/inputs/minimum", &inputs.minimum),
        ("/inputs/maximum", &inputs.maximum),
    ];
    for (pointer, list) in lists {
        if let Some(list) = list {
            check_length(pointer, list.len(), entry)?;
            check_finite(pointer, list)?;
        }
    }
    if let Some(index) = inputs.factor.iter().flatten().position(|factor| *factor == 0.0) {
        return refuse(format!("/inputs/factor/{index}"), "must not be zero: the feature would be lost");
    }
    match (&inputs.minimum, &inputs.maximum) {
        (Some(minimum), Some(maximum)) => {
            match minimum.iter().zip(maximum).position(|(minimum, maximum)| minimum >= maximum) {
                Some(index) => refuse(format!("/inputs/minimum/{index}"), "must be below maximum"),
                None => Ok(()),
            }
        }
        (None, None) => Ok(()),
        (None, Some(_)) => refuse("/inputs/minimum", "must be given with maximum"),
        (Some(_), None) => refuse("/inputs/maximum", "must be given with minimum"),
    }
}

fn check_outputs(entry: &RegistryEntry) -> Result<(), RegistryError> {
    let Some(outputs) = &entry.outputs else { return Ok(()) };
    let (labels, dimension) = (outputs.labels.len(), entry.inference.output_dimension as usize);
    if labels != dimension && !(dimension == 1 && labels == 2) {
        let message =
            format!("{labels} labels for {dimension} outputs; a single output has 1 label or its 2 classes");
        return refuse("/outputs/labels", message);
    }
    let mut seen = BTreeSet::new();
    for (index, label) in outputs.labels.iter().enumerate() {
        if !seen.insert(label) {
            return refuse(format!("/outputs/labels/{index}"), "repeats an earlier label");
        }
        check_printable(&format!("/outputs/labels/{index}"), label)?;
    }
    Ok(())
}

fn check_layout_names(entry: &RegistryEntry) -> Result<(), RegistryError> {
    let mut seen = BTreeSet::new();
    for (index, layout) in entry.layouts().iter().enumerate() {
        if !seen.insert(layout) {
            return refuse(format!("/layouts/{index}"), "repeats an earlier layout");
        }
        if *layout == Layout::Packed {
            return refuse(
                format!("/layouts/{index}"),
                "linear models have feature_columns and coefficients",
            );
        }
    }
    if seen.is_empty() { refuse("/layouts", "must name a layout") } else { Ok(()) }
}

fn check_length(pointer: &str, length: usize, entry: &RegistryEntry) -> Result<(), RegistryError> {
    let features = entry.inference.input_dimension as usize;
    if length == features {
        return Ok(());
    }
    refuse(pointer, format!("has {length} elements, the model has {features} features"))
}

fn check_finite(pointer: &str, list: &[f64]) -> Result<(), RegistryError> {
    match list.iter().position(|value| !value.is_finite()) {
        Some(index) => refuse(format!("{pointer}/{index}"), "must be finite"),
        None => Ok(()),
    }
}

fn check_printable(pointer: &str, text: &str) -> Result<(), RegistryError> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return refuse(pointer, "must be printable and not blank");
    }
    Ok(())
}

/// Checks compiled layouts against their entry.
pub fn check_layouts(entry: &RegistryEntry, layouts: &[CardLayout]) -> Result<(), RegistryError> {
    if layouts.is_empty() {
        return refuse("/layouts", "the model has no compiled layout; compile it again");
    }
    for (index, facts) in layouts.iter().enumerate() {
        let at = |member: &str| format!("/layouts/{index}/{member}");
        if !entry.layouts().contains(&facts.layout) {
            return refuse(at("layout"), "is not a layout of the entry");
        }
        if layouts.iter().take(index).any(|earlier| earlier.layout == facts.layout) {
            return refuse(at("layout"), "repeats an earlier layout");
        }
        if facts.parameters.security_bits < 128 {
            let message =
                format!("{} bits are below the served floor of 128", facts.parameters.security_bits);
            return refuse(at("parameters/security_bits"), message);
        }
        check_moduli(&at("parameters/coeff_modulus"), &facts.parameters.coeff_modulus)?;
        check_moduli(&at("parameters/special_modulus"), &facts.parameters.special_modulus)?;
        if facts.parameters.coeff_modulus.len() as u64 != u64::from(facts.input.level) + 1 {
            return refuse(at("input/level"), "must be the number of data primes less one");
        }
        if !is_power_of_two(facts.input.scale) {
            return refuse(at("input/scale"), "must be an exact power of two");
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(facts.output.scale) || !positive(facts.output_bound) || !positive(facts.expected_error) {
            return refuse(at("output"), "scale, output_bound and expected_error must be positive");
        }
        if facts.max_batch_size == 0 || facts.input.ciphertexts == 0 {
            return refuse(at("max_batch_size"), "a layout takes at least one row in one ciphertext");
        }
        if facts.ciphertext_formats.is_empty() {
            return refuse(at("ciphertext_formats"), "must name a format");
        }
    }
    Ok(())
}

fn check_moduli(pointer: &str, moduli: &[String]) -> Result<(), RegistryError> {
    for (index, modulus) in moduli.iter().enumerate() {
        if !matches!(modulus.parse::<u64>(), Ok(value) if value > 1 && value < 1 << 61) {
            return refuse(format!("{pointer}/{index}"), "must be a decimal number of at most 61 bits");
        }
    }
    Ok(())
}
