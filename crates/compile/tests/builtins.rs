//! The models that ship with the project: committed bytes, budgets, accuracy.
//!
//! `HEI_BLESS=1 cargo test -p hei-compile --test builtins` writes the committed model files again.

mod common;

use common::*;
use hei_circuit::{Layout, ModelFile, Plan, packing};
use hei_compile::{Compiled, compile};
use hei_protocol::manifest::Manifest;
use hei_wire::{Format, Shape};
use std::fs;

const MODELS: [&str; 2] = ["breast_cancer_v1", "logistic_v1"];

fn compiled(model: &str) -> Compiled {
    let file = format!("{model}.json");
    compile(&fs::read(models().join(&file)).unwrap(), &file).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn committed_model_files_are_what_the_compiler_makes() {
    for model in MODELS {
        let (path, fresh) = (models().join(format!("{model}.hei")), compiled(model).bytes);
        if std::env::var_os("HEI_BLESS").is_some_and(|bless| bless == "1") {
            fs::write(&path, &fresh).unwrap();
        }
        let committed = fs::read(&path).unwrap_or_default();
        assert!(
            committed == fresh,
            "{model}.hei is not what compiling {model}.json gives: run HEI_BLESS=1 cargo test -p hei-compile"
        );
    }
}

#[test]
fn a_model_file_carries_its_manifest_and_plans() {
    for model in MODELS {
        let made = compiled(model);
        let file = ModelFile::decode(&made.bytes).unwrap();
        let manifest = Manifest::from_json(file.manifest().as_bytes()).unwrap();
        assert_eq!(manifest, made.manifest);
        assert_eq!(manifest.entry.model_id.as_str(), model);
        for (facts, plan) in manifest.layouts.iter().zip(file.plans()) {
            assert_eq!(facts.layout.as_str(), plan.layout().name());
            assert_eq!(facts.parameters.params_id, plan.parameters().context().params_id().to_string());
            assert_eq!(facts.input.scale, plan.input().scale);
            assert_eq!(facts.output.scale, plan.output().scale);
            assert_eq!(facts.output.level as usize, plan.output().level);
        }
    }
}

#[test]
fn the_reference_model_keeps_its_published_members() {
    let manifest = compiled("logistic_v1").manifest;
    let entry = &manifest.entry;
    let parameters = entry.encryption_parameters.as_ref().unwrap();
    assert_eq!((parameters.poly_modulus_degree, parameters.scale), (16384, 1_073_741_824.0));
    assert_eq!(parameters.coeff_modulus_bits, [60, 30, 30, 60]);
    assert_eq!(
        entry.parameters.as_ref().unwrap().weights,
        [0.15, -0.08, 0.11, 0.07, -0.12, 0.09, 0.05, -0.04]
    );
    assert_eq!(entry.parameters.as_ref().unwrap().bias, -0.02);
    assert_eq!(entry.activation_parameters.as_ref().unwrap().coefficients, [0.5, 0.197, 0.0]);
    assert_eq!(entry.constraints.max_batch_size, 16);
    assert!(entry.publish_weights);
    let inputs = entry.inputs.as_ref().unwrap();
    assert_eq!((&inputs.minimum, &inputs.maximum), (&Some(vec![-8.0; 8]), &Some(vec![8.0; 8])));
}

#[test]
fn the_reference_model_keeps_its_budgets() {
    let report = compiled("logistic_v1").report;
    let [columns, coefficients] = &report.layouts[..] else { panic!("two layouts") };
    assert!(columns.request_bytes <= 2_000_000 && columns.expected_error <= 5e-5, "{report}");
    assert!(coefficients.request_bytes <= 200 && coefficients.reply_bytes <= 9_000, "{report}");
    assert!(coefficients.expected_error <= 5e-4, "{report}");
    assert_eq!(coefficients.max_batch, 16);
    for layout in &report.layouts {
        assert!(layout.security.bits >= 128 && layout.security.margin() >= 0.0, "{report}");
        assert!(layout.error_bound.headroom_bits >= 0.0, "{report}");
    }
    println!("{report}");
}

#[test]
fn chosen_columns_are_small_and_readable_by_seal() {
    let report = compiled("breast_cancer_v1").report;
    let columns = &report.layouts[0];
    assert_eq!((columns.layout, columns.degree), (Layout::FeatureColumns, 4096));
    assert_eq!((columns.chain_bits(), columns.special_moduli.len()), (vec![36, 34, 36], 1));
    assert!(columns.expected_error <= 5e-5, "{report}");
    println!("{report}");
}

/// Encrypted runs of the shipped plans, on inputs anywhere in the published ranges.
#[test]
fn encrypted_values_agree_with_the_model_within_the_published_error() {
    for model in MODELS {
        let made = compiled(model);
        let file = ModelFile::decode(&made.bytes).unwrap();
        let inputs = made.manifest.entry.inputs.as_ref().unwrap();
        let bound = inputs.maximum.as_ref().unwrap()[0];
        for (facts, plan) in made.manifest.layouts.iter().zip(file.plans()) {
            for batch in [1, 16, plan.max_batch()] {
                let mut rows = rows(batch, plan.dimension(), bound, batch as u64);
                // The corners of the box, where the value is largest and smallest.
                let weights = &made.manifest.entry.parameters.as_ref().unwrap().weights;
                for (row, sign) in rows.iter_mut().zip([bound, -bound]) {
                    *row = weights.iter().map(|w| w.signum() * sign).collect();
                }
                let decrypted = encrypted_run(plan, &rows);
                let clear = values(&made.manifest, &rows);
                for (decrypted, clear) in decrypted.iter().zip(&clear) {
                    assert!(decrypted.abs() <= facts.output_bound);
                    let value = facts.post_processing.apply(*decrypted);
                    let error = (value - clear).abs();
                    assert!(
                        error <= facts.expected_error,
                        "{model} {} batch {batch}: {error:e}",
                        facts.layout
                    );
                }
            }
        }
    }
}

/// The model's value from the entry alone, not from a plan.
fn values(manifest: &Manifest, rows: &[Vec<f64>]) -> Vec<f64> {
    let entry = &manifest.entry;
    let (linear, activation) =
        (entry.parameters.as_ref().unwrap(), entry.activation_parameters.as_ref().unwrap());
    let [c0, c1, c2] = activation.coefficients;
    let value = |row: &Vec<f64>| {
        let z = row.iter().zip(&linear.weights).map(|(x, w)| x * w).sum::<f64>() + linear.bias;
        c0 + c1 * z + c2 * z * z
    };
    rows.iter().map(value).collect()
}

/// scikit-learn's decision function on the held-out rows, our cleartext twin, and both encrypted layouts.
#[test]
fn held_out_rows_agree_with_scikit_learn_and_keep_the_accuracy() {
    let made = compiled("breast_cancer_v1");
    let file = ModelFile::decode(&made.bytes).unwrap();
    let (held_out, scores) = held_out(&made.manifest);
    assert_eq!(held_out.rows.len(), 114);
    let [columns, coefficients] = file.plans() else { panic!("two layouts") };

    let linear = coefficients.run_clear(&held_out.rows).unwrap();
    assert_close(&linear, &scores.decision_function, 1e-9);
    assert_close(&columns.run_clear(&held_out.rows).unwrap(), &scores.value, 1e-9);

    let right = |values: &[f64]| {
        let hits = values.iter().zip(&held_out.labels).filter(|(v, label)| (**v >= 0.5) == (**label == 1));
        hits.count() as f64 / values.len() as f64
    };
    assert_eq!(right(&scores.value), scores.accuracy);
    assert!(scores.accuracy >= 0.95);

    let encrypted = encrypted_run(columns, &held_out.rows);
    assert_close(&encrypted, &scores.value, 5e-5);
    assert_eq!(right(&encrypted), scores.accuracy);
    let facts = &made.manifest.layouts[1];
    let mut encrypted = Vec::new();
    for rows in held_out.rows.chunks(coefficients.max_batch()) {
        encrypted
            .extend(encrypted_run(coefficients, rows).into_iter().map(|z| facts.post_processing.apply(z)));
    }
    assert_close(&encrypted, &scores.value, 1e-3);
    assert_eq!(right(&encrypted), scores.accuracy);
}

#[test]
fn no_held_out_row_leaves_the_published_ranges() {
    let made = compiled("breast_cancer_v1");
    let inputs = made.manifest.entry.inputs.as_ref().unwrap();
    let (minimum, maximum) = (inputs.minimum.as_ref().unwrap(), inputs.maximum.as_ref().unwrap());
    let (held_out, _) = held_out(&made.manifest);
    for row in &held_out.rows {
        assert!(row.iter().zip(minimum).zip(maximum).all(|((x, low), high)| low <= x && x <= high));
    }
}

/// The file is small, and a plan for each layout is all it serves.
#[test]
fn model_files_are_small() {
    for model in MODELS {
        let made = compiled(model);
        assert!(made.bytes.len() < 16_000, "{model}: {} bytes", made.bytes.len());
        let layouts: Vec<Layout> =
            ModelFile::decode(&made.bytes).unwrap().plans().iter().map(Plan::layout).collect();
        assert_eq!(layouts, Layout::ALL);
    }
}

/// `compile` may not use `wire`, so it knows the sizes of containers by heart.
#[test]
fn the_bytes_a_card_promises_are_the_bytes_wire_writes() {
    for model in MODELS {
        let made = compiled(model);
        let file = ModelFile::decode(&made.bytes).unwrap();
        for facts in &made.manifest.layouts {
            let plan = file.plans().iter().find(|p| p.layout().name() == facts.layout.as_str()).unwrap();
            let (context, input, output) = (plan.parameters().context(), plan.input(), plan.output());
            let length = |shape: Shape, seeded| shape.encoded_len(Format::Hei, seeded);
            let (request, reply) = match output.reply_modulus_bits {
                None => (
                    input.ciphertexts as u64
                        * length(Shape::ciphertext(context, input.level, input.scale), true),
                    length(Shape::ciphertext(context, output.level, output.scale).unseeded(), false),
                ),
                Some(bits) => {
                    let (degree, d, batch) = (context.degree(), plan.dimension(), plan.max_batch());
                    let wanted = packing::request_ranges(degree, d, batch).unwrap();
                    let given = packing::reply_ranges(degree, d, batch).unwrap();
                    (
                        length(Shape::coefficient_request(context, &wanted, input.scale), true),
                        length(Shape::coefficient_reply(context, &given, bits, output.scale), false),
                    )
                }
            };
            assert_eq!(
                (facts.request_bytes, facts.reply_bytes),
                (request, reply),
                "{model}, {}",
                facts.layout
            );
        }
    }
}
