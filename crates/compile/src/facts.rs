//! What a model's card says of one layout.

use crate::model::{Model, rounded_up};
use hei_circuit::{Layout, Plan, PlanLiteral};
use hei_protocol::manifest;
use hei_protocol::messages::card::{
    CardLayout, EvaluationKeys, FORMAT_HEI, FORMAT_SEAL, Form, LayoutInput, LayoutOutput, LayoutParameters,
    OutputValue, Positions, PostProcessing, SECURITY_TABLE,
};

/// Octets of a `hei/1` header before its variable part, and of one index range in it (`spec/wire.md`, section 2).
const HEADER_OCTETS: u64 = 72;
const RANGE_OCTETS: u64 = 12;

/// Octets of the `hei/1` containers of a request and of its reply, headers included.
pub(crate) fn container_bytes(literal: &PlanLiteral, batch: usize) -> (u64, u64) {
    let cost = literal.cost(batch);
    let limbs = literal.moduli.len() as u64;
    match literal.layout {
        Layout::FeatureColumns => {
            let reply_limbs = literal.output_level() as u64 + 1;
            let headers = literal.weights.len() as u64 * (HEADER_OCTETS + limbs);
            (cost.request_bytes + headers, cost.reply_bytes + HEADER_OCTETS + reply_limbs)
        }
        Layout::Coefficients => {
            let header = HEADER_OCTETS + limbs + RANGE_OCTETS;
            (cost.request_bytes + header, cost.reply_bytes + header)
        }
    }
}

/// The facts of one plan.
pub(crate) fn card(model: &Model, plan: &Plan) -> CardLayout {
    let (literal, input, output) = (plan.literal(), plan.input(), plan.output());
    let dimension = plan.dimension() as u32;
    let bound = plan.error_bound(&model.ranges);
    let security = plan.parameters().security();
    let (request_bytes, reply_bytes) = container_bytes(literal, plan.max_batch());
    let decimal = |moduli: &[u64]| moduli.iter().map(u64::to_string).collect();
    let rows = |start, step| Positions { start, count: None, step };
    let columns = plan.layout() == Layout::FeatureColumns;
    CardLayout {
        layout: match plan.layout() {
            Layout::FeatureColumns => manifest::Layout::FeatureColumns,
            Layout::Coefficients => manifest::Layout::Coefficients,
        },
        value: if columns { OutputValue::Activation } else { OutputValue::Linear },
        parameters: LayoutParameters {
            poly_modulus_degree: literal.degree as u64,
            coeff_modulus: decimal(&literal.moduli),
            special_modulus: decimal(&literal.special_moduli),
            params_id: plan.parameters().context().params_id().to_string(),
            security_bits: security.bits,
            security_bits_quantum: security.quantum_128().then_some(128),
            log2_modulus: security.log2_qp,
            security_table: SECURITY_TABLE.to_owned(),
        },
        ciphertext_formats: match columns {
            true => vec![FORMAT_HEI.to_owned(), FORMAT_SEAL.to_owned()],
            false => vec![FORMAT_HEI.to_owned()],
        },
        input: LayoutInput {
            ciphertexts: input.ciphertexts as u32,
            level: input.level as u32,
            scale: input.scale,
            form: if columns { Form::Ntt } else { Form::Coefficient },
            rows_per_request: plan.max_batch() as u32,
            stride: if columns { 1 } else { dimension },
            ranges: match columns {
                true => Vec::new(),
                false => {
                    vec![Positions { start: 0, count: Some(dimension * plan.max_batch() as u32), step: 1 }]
                }
            },
        },
        output: LayoutOutput {
            parts: output.parts as u32,
            level: output.level as u32,
            scale: output.scale,
            form: if columns { Form::Ntt } else { Form::Coefficient },
            positions: if columns { rows(0, 1) } else { rows(dimension - 1, dimension) },
            reply_modulus_bits: output.reply_modulus_bits,
        },
        evaluation_keys: EvaluationKeys::default(),
        max_batch_size: plan.max_batch() as u32,
        request_bytes,
        reply_bytes,
        output_bound: rounded_up(bound.largest_value + bound.total()),
        expected_error: rounded_up(expected_error(model, plan)),
        post_processing: match columns {
            true => PostProcessing::None,
            false => PostProcessing::Polynomial { coefficients: vec![model.constant, model.slope, 0.0] },
        },
    }
}

/// The bound of a layout's error, in the model's value.
pub(crate) fn expected_error(model: &Model, plan: &Plan) -> f64 {
    let error = plan.error_bound(&model.ranges).total();
    match plan.layout() {
        Layout::FeatureColumns => error,
        Layout::Coefficients => error * model.slope.abs(),
    }
}
