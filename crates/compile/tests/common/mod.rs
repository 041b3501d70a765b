//! Held-out data and encrypted runs shared by the tests.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use hei_circuit::{Inputs, Layout, Output, Plan, packing};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Encoder, SecretKey, coefficients};
use hei_protocol::manifest::Manifest;
use std::fs;
use std::path::PathBuf;

pub(crate) fn models() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// Deterministic rows in [-bound, bound].
pub(crate) fn rows(count: usize, dimension: usize, bound: f64, seed: u64) -> Vec<Vec<f64>> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| (0..dimension).map(|_| bound * next()).collect()).collect()
}

/// Encrypts rows, runs the plan, decrypts.
pub(crate) fn encrypted_run(plan: &Plan, rows: &[Vec<f64>]) -> Vec<f64> {
    let (context, shape) = (plan.parameters().context(), plan.input());
    let mut randomness = SeededRandomness::new(rows.len() as u64);
    let key = SecretKey::generate(context, &mut randomness).unwrap();
    let encoder = Encoder::new(context);
    let inputs = match plan.layout() {
        Layout::FeatureColumns => {
            let columns = packing::columns(rows, plan.dimension()).unwrap();
            let encrypt = |column: &Vec<f64>| {
                key.encrypt(&encoder.encode(column, shape.level, shape.scale).unwrap(), &mut randomness)
                    .unwrap()
            };
            Inputs::Slots(columns.iter().map(encrypt).collect())
        }
        Layout::Coefficients => {
            let values = packing::coefficients(rows, plan.dimension()).unwrap();
            let ranges = packing::request_ranges(shape.degree, plan.dimension(), rows.len()).unwrap();
            Inputs::Coefficients(
                coefficients::encrypt(&key, &values, &ranges, shape.scale, &mut randomness).unwrap(),
            )
        }
    };
    match plan.run(inputs, rows.len(), &|| false).unwrap() {
        Output::Slots(ciphertext) => {
            let mut values = encoder.decode(&key.decrypt(&ciphertext).unwrap());
            values.truncate(rows.len());
            values
        }
        Output::Coefficients(reply) => coefficients::decrypt(&key, &reply).unwrap(),
        _ => unreachable!("two layouts"),
    }
}

/// Scaled held-out rows with their classes.
pub(crate) struct HeldOut {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) labels: Vec<usize>,
}

/// What scikit-learn says of them.
pub(crate) struct Scores {
    pub(crate) decision_function: Vec<f64>,
    pub(crate) value: Vec<f64>,
    pub(crate) accuracy: f64,
}

pub(crate) fn held_out(manifest: &Manifest) -> (HeldOut, Scores) {
    let text = fs::read_to_string(models().join("data/breast_cancer_heldout.csv")).unwrap();
    let (inputs, outputs) =
        (manifest.entry.inputs.as_ref().unwrap(), manifest.entry.outputs.as_ref().unwrap());
    let (offset, factor) = (inputs.offset.as_ref().unwrap(), inputs.factor.as_ref().unwrap());
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(
        header.split_last(),
        Some((&"label", &inputs.names.as_ref().unwrap().iter().map(String::as_str).collect::<Vec<_>>()[..]))
    );
    let mut data = HeldOut { rows: Vec::new(), labels: Vec::new() };
    for line in lines {
        let (features, label) = line.rsplit_once(',').unwrap();
        let raw = features.split(',').map(|x| x.parse::<f64>().unwrap());
        data.rows
            .push(raw.zip(offset).zip(factor).map(|((x, offset), factor)| (x - offset) * factor).collect());
        data.labels.push(outputs.labels.iter().position(|name| name == label).unwrap());
    }
    let text = fs::read_to_string(models().join("data/breast_cancer_heldout.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |name: &str| json[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    let scores = Scores {
        decision_function: list("decision_function"),
        value: list("value"),
        accuracy: json["accuracy"].as_f64().unwrap(),
    };
    (data, scores)
}

pub(crate) fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "{worst:e} > {tolerance:e}");
}
