//! Model files that are refused: the server does not start, and says where the fault is.

use hei_circuit::ModelFile;
use hei_server::{ModelSource, Server, ServerConfig, StartError};
use serde_json::Value;

use crate::support::{LOGISTIC, TestServer, model_file};

/// The refusal of a server with these models.
fn refusal(models: Vec<(&str, Vec<u8>)>) -> hei_server::RegistryError {
    refused(models).unwrap_or_else(|| panic!("it started"))
}

/// The refusal, unless the server starts.
fn refused(models: Vec<(&str, Vec<u8>)>) -> Option<hei_server::RegistryError> {
    let models = models
        .into_iter()
        .map(|(name, bytes)| ModelSource { name: name.to_owned(), bytes: bytes.into() })
        .collect();
    let config = ServerConfig::new(([127, 0, 0, 1], 0).into(), models);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(Server::bind(config)) {
        Err(StartError::Registry(error)) => Some(error),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

/// The logistic model with its manifest changed, and a digest that fits.
fn with_manifest(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let file = ModelFile::decode(&model_file(LOGISTIC)).unwrap();
    let mut manifest: Value = serde_json::from_str(file.manifest()).unwrap();
    change(&mut manifest);
    ModelFile::new(manifest.to_string(), file.plans().to_vec()).unwrap().encode()
}

#[test]
fn a_bad_model_file_stops_the_start() {
    let good = model_file(LOGISTIC);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let files = [
        ("empty.hei", Vec::new()),
        ("text.hei", b"{\"model_id\":\"x\"}".to_vec()),
        ("short.hei", good[..good.len() - 1].to_vec()),
        ("long.hei", [good.as_slice(), b"x"].concat()),
        ("flipped.hei", flipped),
    ];
    for (name, bytes) in files {
        let refused = refusal(vec![("good.hei", good.clone()), (name, bytes)]);
        assert_eq!((refused.file.as_str(), refused.category), (name, "file"), "{refused}");
    }
    type Change = fn(&mut Value);
    let manifests: [(&str, &str, Change); 6] = [
        ("schema", "/entry/model_id", |m| m["entry"]["model_id"] = "Not An Id".into()),
        ("schema", "/entry/constraints/max_batch_size", |m| {
            m["entry"]["constraints"]["max_batch_size"] = 0.into()
        }),
        ("semantic", "/entry/parameters/weights", |m| {
            m["entry"]["parameters"]["weights"] = serde_json::json!([1.0]);
        }),
        ("parameters", "/layouts/0/parameters/params_id", |m| {
            m["layouts"][0]["parameters"]["params_id"] = "0".repeat(64).into();
        }),
        ("parameters", "/layouts/0/parameters/security_bits", |m| {
            m["layouts"][0]["parameters"]["security_bits"] = 192.into();
        }),
        ("parameters", "/layouts/1/parameters/coeff_modulus", |m| {
            m["layouts"][1]["parameters"]["coeff_modulus"] = serde_json::json!(["12289"]);
        }),
    ];
    for (category, field, change) in manifests {
        let refused = refusal(vec![("changed.hei", with_manifest(change))]);
        let text = refused.to_string();
        assert_eq!(refused.file, "changed.hei");
        assert!(text.contains("changed.hei") && text.contains(refused.category), "{text}");
        // The semantic layer may catch a fact first: what matters is that file, category and field are named.
        if refused.category == category {
            assert!(refused.field.starts_with(field), "{text}");
        } else {
            assert_eq!((category, refused.category), ("parameters", "semantic"), "{text}");
            assert!(refused.field.starts_with("/layouts/"), "{text}");
        }
    }
}

/// One leaf of a document changed: another number, another text, a shorter list.
fn changed(leaf: &Value) -> Value {
    match leaf {
        Value::Bool(value) => Value::Bool(!value),
        Value::Number(number) => match number.as_u64() {
            Some(value) => (value + 1).into(),
            None if number.as_f64() == Some(0.0) => 1.0.into(),
            None => (number.as_f64().unwrap() * 1.5).into(),
        },
        Value::String(_) => "other".into(),
        Value::Array(items) if items.is_empty() => serde_json::json!([1]),
        Value::Array(items) => items[1..].to_vec().into(),
        Value::Null | Value::Object(_) => panic!("{leaf} is no leaf"),
    }
}

/// Pointers to everything below: every leaf, and every list besides.
fn leaves(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| leaves(member, format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            found.push(pointer.clone());
            items.iter().enumerate().for_each(|(i, item)| leaves(item, format!("{pointer}/{i}"), found));
        }
        _ => found.push(pointer),
    }
}

#[test]
fn every_published_number_is_held_against_the_plan() {
    let file = ModelFile::decode(&model_file(LOGISTIC)).unwrap();
    let manifest: Value = serde_json::from_str(file.manifest()).unwrap();
    let mut pointers = Vec::new();
    leaves(&manifest["layouts"], "/layouts".to_owned(), &mut pointers);
    for member in ["inference", "parameters", "activation_parameters", "encryption_parameters", "inputs"] {
        leaves(&manifest["entry"][member], format!("/entry/{member}"), &mut pointers);
    }
    pointers.push("/entry/constraints/max_batch_size".to_owned());
    assert!(pointers.len() > 100, "{}", pointers.len());
    for pointer in pointers {
        let bytes = with_manifest(|manifest| {
            let leaf = manifest.pointer_mut(&pointer).unwrap();
            *leaf = changed(leaf);
        });
        let refused = refused(vec![("changed.hei", bytes)]);
        let refused = refused.unwrap_or_else(|| panic!("a server with another {pointer} started"));
        assert_eq!(refused.file, "changed.hei", "{pointer}");
        let known = ["schema", "semantic", "parameters"].contains(&refused.category);
        assert!(
            known && (refused.field.starts_with('/') || refused.category == "schema"),
            "{pointer}: {refused}"
        );
    }
}

#[test]
fn a_manifest_whose_numbers_are_not_the_plans_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 24] = [
        ("/entry/parameters/weights", |m| m["entry"]["parameters"]["weights"][0] = 0.95.into()),
        ("/entry/parameters/bias", |m| m["entry"]["parameters"]["bias"] = 0.02.into()),
        ("/entry/parameters/weights", |m| {
            m["entry"]["activation_parameters"]["coefficients"] = serde_json::json!([0.5, 0.25, 0.0]);
        }),
        ("/entry/parameters/bias", |m| {
            m["entry"]["activation_parameters"]["coefficients"] = serde_json::json!([0.6, 0.197, 0.0]);
        }),
        ("/entry/encryption_parameters/scale", |m| {
            m["entry"]["encryption_parameters"]["scale"] = (1_u64 << 31).into();
        }),
        ("/entry/encryption_parameters/coeff_modulus_bits", |m| {
            m["entry"]["encryption_parameters"]["coeff_modulus_bits"] = serde_json::json!([60, 30, 40, 60]);
        }),
        ("/layouts/0/output_bound", |m| m["entry"]["inputs"]["maximum"][0] = 9.0.into()),
        ("/layouts/0/output_bound", |m| m["layouts"][0]["output_bound"] = 16.2.into()),
        ("/layouts/0/expected_error", |m| m["layouts"][0]["expected_error"] = 3.08e-7.into()),
        ("/layouts/1/expected_error", |m| m["layouts"][1]["expected_error"] = 0.001.into()),
        ("/layouts/0/value", |m| m["layouts"][0]["value"] = "linear".into()),
        ("/layouts/1/post_processing", |m| {
            m["layouts"][1]["post_processing"] = serde_json::json!({"kind": "none"});
        }),
        ("/layouts/0/input/form", |m| m["layouts"][0]["input"]["form"] = "coefficient".into()),
        ("/layouts/1/input/stride", |m| m["layouts"][1]["input"]["stride"] = 9.into()),
        ("/layouts/1/input/ranges", |m| m["layouts"][1]["input"]["ranges"][0]["count"] = 120.into()),
        ("/layouts/1/output/positions", |m| m["layouts"][1]["output"]["positions"]["start"] = 6.into()),
        ("/layouts/0/parameters/log2_modulus", |m| {
            m["layouts"][0]["parameters"]["log2_modulus"] = 179.0.into();
        }),
        ("/layouts/1/ciphertext_formats", |m| {
            m["layouts"][1]["ciphertext_formats"] = serde_json::json!(["hei/1", "seal"]);
        }),
        ("/layouts/0/input/scale", |m| m["layouts"][0]["input"]["scale"] = (1_u64 << 31).into()),
        ("/layouts/0/output/scale", |m| m["layouts"][0]["output"]["scale"] = 3.into()),
        ("/layouts/1/output/reply_modulus_bits", |m| {
            m["layouts"][1]["output"]["reply_modulus_bits"] = 20.into();
        }),
        ("/layouts/0/input/rows_per_request", |m| {
            m["layouts"][0]["input"]["rows_per_request"] = 15.into();
        }),
        ("/layouts/0/request_bytes", |m| m["layouts"][0]["request_bytes"] = 1.into()),
        ("/layouts/0/evaluation_keys/required", |m| {
            m["layouts"][0]["evaluation_keys"]["required"] = true.into();
        }),
    ];
    for (field, change) in cases {
        let refused = refusal(vec![("changed.hei", with_manifest(change))]);
        assert_eq!(
            (refused.file.as_str(), refused.category, refused.field.as_str()),
            ("changed.hei", "parameters", field),
            "{refused}"
        );
        assert!(refused.to_string().contains(field), "{refused}");
    }
}

#[test]
fn a_model_cannot_be_served_from_two_files() {
    let good = model_file(LOGISTIC);
    let refused = refusal(vec![("one.hei", good.clone()), ("two.hei", good)]);
    assert_eq!((refused.file.as_str(), refused.category), ("two.hei", "semantic"));
}

#[test]
fn versions_are_listed_highest_first_and_unpublished_models_stay_out_of_the_closed_list() {
    let version = |version: &'static str| {
        let bytes = with_manifest(move |manifest| manifest["entry"]["version"] = version.into());
        ModelSource { name: format!("{version}.hei"), bytes: bytes.into() }
    };
    let hidden = with_manifest(|manifest| {
        manifest["entry"]["model_id"] = "hidden_v1".into();
        manifest["entry"]["publish_weights"] = false.into();
    });
    let hidden = ModelSource { name: "hidden.hei".to_owned(), bytes: hidden.into() };
    let server = TestServer::start_with(|config| {
        config.models = vec![version("1.2.0"), hidden, version("1.10.0"), version("1.10.0-rc.1")];
    });
    let names = |target: &str| {
        let list = server.get(target).json();
        let models = list["models"].as_array().unwrap().clone();
        models
            .iter()
            .map(|model| {
                format!("{} {}", model["model_id"].as_str().unwrap(), model["version"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    let published = ["logistic_v1 1.10.0", "logistic_v1 1.10.0-rc.1", "logistic_v1 1.2.0"];
    assert_eq!(names("/models"), published);
    assert_eq!(names("/models?view=all"), [&["hidden_v1 1.0.0"], published.as_slice()].concat());
    let card = server.get("/models/hidden_v1/versions/1.0.0").json();
    assert!(card.get("parameters").is_none() && card.get("activation_parameters").is_none());
}

#[test]
fn a_server_without_models_serves_none() {
    let server = TestServer::start_with(|config| config.models = Vec::new());
    assert_eq!(server.get("/models").json()["models"], serde_json::json!([]));
    assert_eq!(server.get("/health/ready").json()["models"], 0);
}
