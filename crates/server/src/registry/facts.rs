//! What a manifest says of a layout, held against the plan that is evaluated. Every number a client relies on is
//! recomputed here; a file that contradicts itself is not served.
//!
//! Free text (descriptions, names, labels, scaling of raw features, sources) says nothing about the plan and is
//! the operator's word.

use hei_circuit::{Layout, Plan, Step, packing};
use hei_protocol::manifest::RegistryEntry;
use hei_protocol::messages::card::{
    CardLayout, EvaluationKeys, FORMAT_HEI, FORMAT_SEAL, Form, OutputValue, Positions, PostProcessing,
    SECURITY_TABLE,
};
use hei_wire::{Format, Shape};

/// How far two computations of the same number may be apart.
const ROUNDING: f64 = 1e-12;
/// What rounding up to three significant digits adds at most, as a factor.
const ROUNDED_UP: f64 = 1.0 + 0.01 + 1e-9;

/// A fact that is not true.
pub(super) struct Untrue {
    /// JSON Pointer below the layout, or from the top for what begins with `/entry`.
    pub(super) field: &'static str,
    pub(super) message: String,
}

/// Compares every fact of the manifest with the plan.
pub(super) fn check(entry: &RegistryEntry, facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    equal("/entry/inference/input_dimension", &entry.inference.input_dimension, &number(plan.dimension())?)?;
    check_parameters(facts, plan)?;
    check_encryption_parameters(entry, plan)?;
    check_input(facts, plan)?;
    check_output(facts, plan)?;
    check_sizes(entry, facts, plan)?;
    check_model(entry, facts, plan)?;
    check_bounds(entry, facts, plan)
}

fn check_parameters(facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    let context = plan.parameters().context();
    let security = plan.parameters().security();
    let decimal = |moduli: &[u64]| moduli.iter().map(u64::to_string).collect::<Vec<_>>();
    let (literal, parameters) = (plan.literal(), &facts.parameters);
    equal("/parameters/poly_modulus_degree", &parameters.poly_modulus_degree, &(literal.degree as u64))?;
    equal("/parameters/coeff_modulus", &parameters.coeff_modulus, &decimal(&literal.moduli))?;
    equal("/parameters/special_modulus", &parameters.special_modulus, &decimal(&literal.special_moduli))?;
    equal("/parameters/params_id", &parameters.params_id, &context.params_id().to_string())?;
    equal("/parameters/security_bits", &parameters.security_bits, &security.bits)?;
    let quantum = security.quantum_128().then_some(128);
    equal("/parameters/security_bits_quantum", &parameters.security_bits_quantum, &quantum)?;
    close("/parameters/log2_modulus", parameters.log2_modulus, security.log2_qp)?;
    equal("/parameters/security_table", &parameters.security_table.as_str(), &SECURITY_TABLE)
}

/// The entry's parameters are those of `feature_columns`.
fn check_encryption_parameters(entry: &RegistryEntry, plan: &Plan) -> Result<(), Untrue> {
    let (Some(parameters), Layout::FeatureColumns) = (&entry.encryption_parameters, plan.layout()) else {
        return Ok(());
    };
    let literal = plan.literal();
    let chain = literal.moduli.iter().chain(&literal.special_moduli);
    let bits: Vec<u32> = chain.map(|prime| u64::BITS - prime.leading_zeros()).collect();
    let degree = "/entry/encryption_parameters/poly_modulus_degree";
    equal(degree, &parameters.poly_modulus_degree, &(literal.degree as u64))?;
    equal("/entry/encryption_parameters/scale", &parameters.scale.to_bits(), &literal.scale.to_bits())?;
    equal("/entry/encryption_parameters/coeff_modulus_bits", &parameters.coeff_modulus_bits, &bits)?;
    let rescalings = plan.steps().iter().filter(|step| matches!(step, Step::Rescale)).count();
    let said = parameters.max_multiplicative_depth as usize;
    if (rescalings..literal.moduli.len()).contains(&said) {
        return Ok(());
    }
    let most = literal.moduli.len().saturating_sub(1);
    let message = format!("says {said}, the plan rescales {rescalings} times over {most} levels");
    Err(Untrue { field: "/entry/encryption_parameters/max_multiplicative_depth", message })
}

fn check_input(facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    let (input, said) = (plan.input(), &facts.input);
    let (columns, dimension) = (is_columns(plan), number(plan.dimension())?);
    let rows = number(plan.max_batch())?;
    equal("/input/ciphertexts", &said.ciphertexts, &number(input.ciphertexts)?)?;
    equal("/input/level", &said.level, &number(input.level)?)?;
    equal("/input/scale", &said.scale.to_bits(), &input.scale.to_bits())?;
    equal("/input/form", &said.form, &form(plan))?;
    equal("/input/rows_per_request", &said.rows_per_request, &rows)?;
    equal("/input/stride", &said.stride, if columns { &1 } else { &dimension })?;
    let all = Positions { start: 0, count: Some(dimension.saturating_mul(rows)), step: 1 };
    equal("/input/ranges", &said.ranges, &if columns { Vec::new() } else { vec![all] })?;
    let formats: &[&str] = if columns { &[FORMAT_HEI, FORMAT_SEAL] } else { &[FORMAT_HEI] };
    let said: Vec<&str> = facts.ciphertext_formats.iter().map(String::as_str).collect();
    equal("/ciphertext_formats", &said.as_slice(), &formats)
}

fn check_output(facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    let (output, said) = (plan.output(), &facts.output);
    let (columns, dimension) = (is_columns(plan), number(plan.dimension())?);
    equal("/output/parts", &said.parts, &number(output.parts)?)?;
    equal("/output/level", &said.level, &number(output.level)?)?;
    equal("/output/scale", &said.scale.to_bits(), &output.scale.to_bits())?;
    equal("/output/form", &said.form, &form(plan))?;
    let (start, step) = if columns { (0, 1) } else { (dimension.saturating_sub(1), dimension) };
    equal("/output/positions", &said.positions, &Positions { start, count: None, step })?;
    equal("/output/reply_modulus_bits", &said.reply_modulus_bits, &output.reply_modulus_bits)?;
    // No plan of this release needs keys.
    equal("/evaluation_keys/required", &facts.evaluation_keys.required, &false)?;
    equal("/evaluation_keys", &facts.evaluation_keys, &EvaluationKeys::default())
}

fn check_sizes(entry: &RegistryEntry, facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    let (context, input, output) = (plan.parameters().context(), plan.input(), plan.output());
    let rows = plan.max_batch();
    equal("/max_batch_size", &facts.max_batch_size, &number(rows)?)?;
    let most = entry.constraints.max_batch_size;
    let fits = if is_columns(plan) { most == facts.max_batch_size } else { most >= facts.max_batch_size };
    if !fits {
        let message = format!("says {most}, the plan takes {rows} rows; compile the model again");
        return Err(Untrue { field: "/entry/constraints/max_batch_size", message });
    }
    let none = |_| Untrue { field: "/max_batch_size", message: "no request has so many rows".to_owned() };
    let (request, reply) = if is_columns(plan) {
        let request = Shape::ciphertext(context, input.level, input.scale);
        (request, Shape::ciphertext(context, output.level, output.scale).unseeded())
    } else {
        let sent = packing::request_ranges(input.degree, plan.dimension(), rows).map_err(none)?;
        let returned = packing::reply_ranges(output.degree, plan.dimension(), rows).map_err(none)?;
        let bits = output.reply_modulus_bits.unwrap_or(0);
        let request = Shape::coefficient_request(context, &sent, input.scale);
        (request, Shape::coefficient_reply(context, &returned, bits, output.scale))
    };
    let request = request.encoded_len(Format::Hei, true).saturating_mul(input.ciphertexts as u64);
    equal("/request_bytes", &facts.request_bytes, &request)?;
    equal("/reply_bytes", &facts.reply_bytes, &reply.encoded_len(Format::Hei, false))
}

/// Weights, bias and activation are those of the plan.
fn check_model(entry: &RegistryEntry, facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    let missing = |field| Untrue { field, message: "is missing; compile the model again".to_owned() };
    let activation = "/entry/activation_parameters";
    let model = entry.parameters.as_ref().ok_or_else(|| missing("/entry/parameters"))?;
    let [constant, slope, quadratic] =
        entry.activation_parameters.as_ref().ok_or_else(|| missing(activation))?.coefficients;
    close("/entry/activation_parameters/coefficients", quadratic, 0.0)?;
    let (literal, columns) = (plan.literal(), is_columns(plan));
    equal("/value", &facts.value, if columns { &OutputValue::Activation } else { &OutputValue::Linear })?;
    let after = match columns {
        true => PostProcessing::None,
        false => PostProcessing::Polynomial { coefficients: vec![constant, slope, quadratic] },
    };
    equal("/post_processing", &facts.post_processing, &after)?;
    equal("/entry/parameters/weights", &model.weights.len(), &literal.weights.len())?;
    let (factor, offset) = if columns { (slope, constant) } else { (1.0, 0.0) };
    for (said, is) in model.weights.iter().zip(&literal.weights) {
        close("/entry/parameters/weights", factor * said, *is)?;
    }
    close("/entry/parameters/bias", offset + factor * model.bias, literal.constant)
}

/// The bounds follow from the plan and the ranges of the features.
fn check_bounds(entry: &RegistryEntry, facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    let inputs = entry.inputs.as_ref();
    let ranges = inputs.and_then(|inputs| inputs.minimum.as_ref().zip(inputs.maximum.as_ref()));
    let Some((minimum, maximum)) = ranges else {
        let message = "is missing; compile the model again".to_owned();
        return Err(Untrue { field: "/entry/inputs/minimum", message });
    };
    let ranges: Vec<(f64, f64)> = minimum.iter().copied().zip(maximum.iter().copied()).collect();
    let bound = plan.error_bound(&ranges);
    let slope = entry.activation_parameters.as_ref().map_or(1.0, |activation| {
        let [_, slope, _] = activation.coefficients;
        slope.abs()
    });
    let error = if is_columns(plan) { bound.total() } else { bound.total() * slope };
    rounded_up("/output_bound", facts.output_bound, bound.largest_value + bound.total())?;
    rounded_up("/expected_error", facts.expected_error, error)
}

fn is_columns(plan: &Plan) -> bool {
    plan.layout() == Layout::FeatureColumns
}

fn form(plan: &Plan) -> Form {
    if is_columns(plan) { Form::Ntt } else { Form::Coefficient }
}

fn number(value: usize) -> Result<u32, Untrue> {
    let too_large = |_| Untrue { field: "", message: "the plan is larger than any request".to_owned() };
    u32::try_from(value).map_err(too_large)
}

fn equal<T: PartialEq + std::fmt::Debug>(field: &'static str, said: &T, is: &T) -> Result<(), Untrue> {
    if said == is {
        return Ok(());
    }
    Err(Untrue { field, message: format!("says {said:?}, the plan has {is:?}; compile the model again") })
}

/// The same number, computed twice.
fn close(field: &'static str, said: f64, is: f64) -> Result<(), Untrue> {
    // Not a number is close to nothing.
    if (said - is).abs() <= ROUNDING * is.abs().max(ROUNDING) {
        return Ok(());
    }
    equal(field, &said, &is)
}

/// A bound as it is published: rounded up, and no further than to three digits.
fn rounded_up(field: &'static str, said: f64, is: f64) -> Result<(), Untrue> {
    if said >= is * (1.0 - 1e-9) && said <= is * ROUNDED_UP {
        return Ok(());
    }
    equal(field, &said, &is)
}
