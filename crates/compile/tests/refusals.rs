//! What the compiler refuses, and how it says so.

mod common;

use common::models;
use hei_compile::{CompileError, compile};
use hei_protocol::manifest::RegistryCategory;
use serde_json::{Value, json};
use std::fs;

fn entry() -> Value {
    serde_json::from_slice(&fs::read(models().join("logistic_v1.json")).unwrap()).unwrap()
}

/// (category, pointer, whole message) of the refusal after one change.
fn refusal(change: impl FnOnce(&mut Value)) -> (RegistryCategory, String, String) {
    let mut entry = entry();
    change(&mut entry);
    let error = compile(entry.to_string().as_bytes(), "changed.json").unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("changed.json: "), "{message}");
    match error {
        CompileError::Entry { source, .. } => (source.category, source.pointer, message),
        other => panic!("{other}"),
    }
}

#[test]
fn a_quadratic_activation_is_refused_with_the_remedy() {
    let (category, pointer, message) =
        refusal(|e| e["activation_parameters"]["coefficients"][2] = json!(-0.004));
    assert_eq!(
        (category, pointer.as_str()),
        (RegistryCategory::Semantic, "/activation_parameters/coefficients/2")
    );
    assert!(message.contains("degree 1") && message.contains("[c0, c1, 0.0]"), "{message}");
}

#[test]
fn what_does_not_depend_on_the_input_is_refused() {
    let (_, pointer, _) = refusal(|e| e["activation_parameters"]["coefficients"][1] = json!(0.0));
    assert_eq!(pointer, "/activation_parameters/coefficients/1");
    let (_, pointer, _) = refusal(|e| e["parameters"]["weights"] = json!([0, 0, 0, 0, 0, 0, 0, 0.0]));
    assert_eq!(pointer, "/parameters/weights");
}

#[test]
fn missing_weights_and_schema_violations_are_named() {
    let (category, pointer, _) = refusal(|e| {
        e.as_object_mut().unwrap().remove("parameters");
        e["publish_weights"] = json!(false);
    });
    assert_eq!((category, pointer.as_str()), (RegistryCategory::Semantic, "/parameters"));
    let (category, _, _) = refusal(|e| e["unknown"] = json!(1));
    assert_eq!(category, RegistryCategory::Schema);
    let (category, _, _) = refusal(|e| e["parameters"]["weights"] = json!([0.1]));
    assert_eq!(category, RegistryCategory::Semantic);
    // JSON has no NaN; a number beyond doubles is the closest an entry can come to infinity.
    for bad in ["NaN", "Infinity", "1e999"] {
        let text = entry().to_string().replacen("0.15", bad, 1);
        assert!(matches!(compile(text.as_bytes(), "bad.json"), Err(CompileError::Entry { .. })), "{bad}");
    }
}

#[test]
fn parameters_that_are_insecure_or_too_short_are_refused() {
    let (_, pointer, message) = refusal(|e| e["encryption_parameters"]["poly_modulus_degree"] = json!(4096));
    assert_eq!(pointer, "/encryption_parameters");
    assert!(message.contains("ia.cr/2024/463"), "{message}");
    let (_, pointer, _) = refusal(|e| {
        e["encryption_parameters"]["coeff_modulus_bits"] = json!([60, 60]);
        e["encryption_parameters"]["max_multiplicative_depth"] = json!(1);
    });
    assert_eq!(pointer, "/encryption_parameters/coeff_modulus_bits");
}

#[test]
fn a_tolerance_out_of_reach_is_refused_with_the_error_that_was_reached() {
    let (_, pointer, message) = refusal(|e| {
        e["layouts"] = json!(["coefficients"]);
        e["tolerance"] = json!(1e-15);
    });
    assert_eq!(pointer, "/tolerance");
    assert!(message.contains("tolerance of 1.0e-15"), "{message}");
    let (_, pointer, _) = refusal(|e| {
        e["layouts"] = json!(["feature_columns"]);
        e["tolerance"] = json!(1e-15);
    });
    assert_eq!(pointer, "/encryption_parameters");
}

#[test]
fn a_tighter_tolerance_costs_bytes_and_is_kept() {
    let mut previous = 0;
    for tolerance in [1e-2, 5e-4, 1e-5, 1e-7] {
        let mut entry = entry();
        entry["tolerance"] = json!(tolerance);
        entry["layouts"] = json!(["coefficients"]);
        let report = compile(entry.to_string().as_bytes(), "x.json").unwrap().report;
        let layout = &report.layouts[0];
        assert!(layout.expected_error <= tolerance, "{report}");
        assert!(layout.reply_bytes > previous, "{report}");
        previous = layout.reply_bytes;
    }
}

#[test]
fn the_same_entry_gives_the_same_bytes() {
    let text = entry().to_string();
    let (a, b) = (compile(text.as_bytes(), "a.json").unwrap(), compile(text.as_bytes(), "b.json").unwrap());
    assert_eq!(a.bytes, b.bytes);
}

#[test]
fn without_parameters_large_batches_and_wide_ranges_get_a_larger_ring() {
    let mut entry = entry();
    entry.as_object_mut().unwrap().remove("encryption_parameters");
    entry["layouts"] = json!(["feature_columns"]);
    let degree =
        |entry: &Value| compile(entry.to_string().as_bytes(), "x.json").unwrap().report.layouts[0].degree;
    assert_eq!(degree(&entry), 4096);
    entry["inputs"] = json!({"minimum": [-1e6, -1e6, -1e6, -1e6, -1e6, -1e6, -1e6, -1e6], "maximum": [1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6]});
    assert!(degree(&entry) > 4096);
}
