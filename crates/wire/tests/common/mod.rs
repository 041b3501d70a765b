//! What the tests share: the committed vectors and the parameter sets they are made with.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

pub(crate) mod frames;

use std::path::PathBuf;
use std::sync::Arc;

use hei_ckks::insecure_testing::InsecureParameters;
use hei_ckks::{Context, ParametersLiteral};
use serde_json::Value;

pub(crate) const N1024: &str = "pyfhel_n1024_insecure";
pub(crate) const N16384: &str = "pyfhel_n16384";

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors")
}

pub(crate) fn file(set: &str, name: &str) -> Vec<u8> {
    let path = root().join(set).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn doubles(set: &str, name: &str) -> Vec<f64> {
    file(set, name).as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

pub(crate) fn manifest() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("manifest.json")).unwrap()).unwrap()
}

pub(crate) fn floats(value: &Value) -> Vec<f64> {
    value.as_array().map(|a| a.iter().map(|v| v.as_f64().unwrap()).collect()).unwrap_or_default()
}

/// The context of a set of the manifest; the prime choice has to come out as the manifest says.
pub(crate) fn context(set: &str) -> Arc<Context> {
    let entry = &manifest()["sets"][set];
    let literal = ParametersLiteral {
        poly_modulus_degree: entry["n"].as_u64().unwrap() as usize,
        coeff_modulus_bits: entry["bits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b.as_u64().unwrap() as u32)
            .collect(),
        special_count: 1,
        scale: f64::exp2(entry["log2_scale"].as_f64().unwrap()),
    };
    let context = Arc::clone(InsecureParameters::new(&literal).unwrap().context());
    let primes: Vec<String> = context.basis().moduli().map(|q| q.value().to_string()).collect();
    let expected: Vec<&str> =
        entry["primes"].as_array().unwrap().iter().map(|q| q.as_str().unwrap()).collect();
    assert_eq!(primes, expected);
    context
}

pub(crate) fn small_context(degree: usize, bits: &[u32], special_count: usize) -> Arc<Context> {
    let literal = ParametersLiteral {
        poly_modulus_degree: degree,
        coeff_modulus_bits: bits.to_vec(),
        special_count,
        scale: f64::exp2(f64::from(bits[0].min(40) - 8)),
    };
    Arc::clone(InsecureParameters::new(&literal).unwrap().context())
}

pub(crate) fn max_error(actual: &[f64], expected: &[f64]) -> f64 {
    assert!(!expected.is_empty() && actual.len() >= expected.len());
    actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f64::max)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
